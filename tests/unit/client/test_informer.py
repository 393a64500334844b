import asyncio

from kogia.api.status import status_error
from kogia.base.clock import FakeClock
from kogia.client.cache import Cache, by_field, by_label
from kogia.client.fake import FakeApi
from kogia.client.informer import Informer
from kogia.client.interface import Resource

PODS = Resource("", "v1", "pods")


def pod(name, node="", **labels):
    spec = {"containers": [], **({"nodeName": node} if node else {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "x", "labels": labels, "managedFields": [{}]}, "spec": spec}


def versioned(name, version, uid="u", **more):
    return {"metadata": {"name": name, "namespace": "x", "resourceVersion": version, "uid": uid}, **more}


def test_indexes_follow_changes():
    cache = Cache({"node": by_field("spec", "nodeName"), "app": by_label("app")})
    cache.put(pod("a", "n1", app="w"))
    cache.put(pod("b", "n1"))
    cache.put(pod("a", "n2", app="v"))
    assert [p["metadata"]["name"] for p in cache.by_index("node", "n1")] == ["b"]
    assert cache.by_index("app", "w") == []
    assert len(cache.by_index("app", "v")) == 1
    cache.remove(pod("b"))
    assert cache.by_index("node", "n1") == []
    assert len(cache.list("x")) == 1 and cache.list("y") == []


def test_replace_says_what_differs():
    cache = Cache({})
    for name in "abcd":
        cache.put(versioned(name, "1"))
    new = [versioned("a", "1"), versioned("b", "2"), versioned("c", "2", uid="other"), versioned("e", "1")]
    steps = [(old and old["metadata"]["name"], new and new["metadata"]["name"]) for old, new in cache.replace(new)]
    assert steps == [("b", "b"), ("c", None), (None, "c"), (None, "e"), ("d", None)]
    assert sorted(cache.keys()) == ["x/a", "x/b", "x/c", "x/e"]


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


def test_a_server_away_is_retried_with_growing_pauses_not_in_a_busy_loop():
    async def main():
        clock = FakeClock()
        api = FakeApi(clock)
        api.faults.append(lambda request: ConnectionRefusedError("down"))
        informer = Informer(api.client(), PODS, clock=clock)
        informer.start()
        await clock.advance(600)
        assert 40 <= len(api.log) <= 80
        assert not informer.has_synced
        api.faults.clear()
        await clock.advance(16)
        assert informer.has_synced
        await informer.close()

    asyncio.run(main())


def test_watches_that_end_at_once_do_not_spin():
    async def main():
        clock = FakeClock()
        api = FakeApi(clock)
        informer = Informer(api.client(), PODS, clock=clock)
        informer.start()
        await informer.wait_synced()
        for _ in range(2000):
            api.end_watches()
            await asyncio.sleep(0)
        assert len(api.log) <= 4
        await informer.close()

    asyncio.run(main())


def test_managed_fields_are_not_kept_and_selectors_apply():
    async def main():
        api = FakeApi()
        api.put(pod("a", "n1"))
        api.put(pod("b"))
        informer = Informer(api.client(), PODS, field_selector="spec.nodeName=")
        informer.start()
        await informer.wait_synced()
        assert informer.keys() == ["x/b"]
        assert informer.list()[0]["kind"] == "Pod"
        assert "managedFields" not in informer.list()[0]["metadata"]
        await until(lambda: api.watches == 1)
        api.put(pod("b", "n1"))
        await until(lambda: not informer.keys())
        await informer.close()

    asyncio.run(main())


def test_a_forbidden_list_keeps_trying():
    async def main():
        clock = FakeClock()
        api = FakeApi(clock)
        api.faults.append(lambda request: status_error(403, "Forbidden", "no"))
        informer = Informer(api.client(), PODS, clock=clock)
        informer.start()
        await clock.advance(5)
        api.faults.clear()
        await clock.advance(15)
        assert informer.has_synced
        await informer.close()

    asyncio.run(main())


def test_a_failing_handler_stops_nobody():
    async def main():
        api = FakeApi()
        informer = Informer(api.client(), PODS)
        seen = []

        def bad(old, new):
            raise RuntimeError("mistake")

        informer.on_change(bad)
        informer.on_change(lambda old, new: seen.append(new["metadata"]["name"]))
        informer.start()
        api.put(pod("a"))
        await until(lambda: api.watches == 1)
        api.put(pod("b"))
        await until(lambda: seen == ["a", "b"])
        await informer.close()

    asyncio.run(main())
