"""What must hold whatever happens at once: one order for all watchers, state equal to history, survival of restarts and gaps."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import pytest

from kogia.api.resources import ALL
from kogia.api.status import StatusError
from kogia.apiserver.interface import WriteHook
from kogia.base.clock import FakeClock
from kogia.store.interface import Delete, Put
from kogia.store.memory import MemoryStore
from kogia.store.sqlite import SqliteStore

CMS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(params=["memory", "sqlite"])
def store_at(request, tmp_path: Path):
    return lambda clock: MemoryStore(clock=clock) if request.param == "memory" else SqliteStore(tmp_path / "db", clock=clock)


def test_every_watcher_sees_one_order_and_it_leads_to_the_state(store_at, api_on):
    rng = random.Random(7)

    async def churn(api, worker):
        for _ in range(40):
            name = f"k{rng.randrange(6)}"
            body = {"metadata": {"name": name, "labels": {"app": rng.choice("xy")}}, "data": {"w": f"{worker}-{rng.random()}"}}
            try:
                method = rng.choice(("POST", "PUT", "PATCH", "DELETE"))
                if method == "POST":
                    await api.post(CMS, body)
                elif method == "DELETE":
                    await api.delete(f"{CMS}/{name}")
                elif method == "PUT":
                    await api.put(f"{CMS}/{name}", body)
                else:
                    await api.patch(f"{CMS}/{name}", {"metadata": {"labels": body["metadata"]["labels"]}, "data": body["data"]})
            except StatusError as error:
                assert error.code in (404, 409), error
            await asyncio.sleep(0)

    async def collect(watch, until):
        events = []
        while not events or events[-1][1]["metadata"]["name"] != until:
            events.append(await watch.next())
        await watch.close()
        return events

    async def main():
        clock = FakeClock()
        store = store_at(clock)
        api = await api_on(store, clock)
        plain = asyncio.ensure_future(collect(await api.watch(CMS + "?resourceVersion=1"), "end"))
        chosen = asyncio.ensure_future(collect(await api.watch(CMS + "?labelSelector=app%3Dx&resourceVersion=1"), "end"))
        await asyncio.gather(*(churn(api, i) for i in range(8)))
        await api.post(CMS, {"metadata": {"name": "end", "labels": {"app": "x"}}})
        everything, selected = await plain, await chosen
        revisions = [int(o["metadata"]["resourceVersion"]) for _, o in everything]
        assert revisions == sorted(set(revisions)) and len(revisions) > 40
        # started at any event's revision, a watch sees exactly what came after it
        for index in range(0, len(everything) - 1, 7):
            later = await collect(await api.watch(f"{CMS}?resourceVersion={revisions[index]}"), "end")
            assert later == everything[index + 1:]
        for events, query in ((everything, ""), (selected, "?labelSelector=app%3Dx")):
            state: dict[str, dict] = {}
            for kind, obj in events:
                name = obj["metadata"]["name"]
                assert (kind == "ADDED") == (name not in state), (kind, name)
                if kind == "DELETED":
                    del state[name]
                else:
                    state[name] = obj
            listed = await api.get(CMS + query)
            assert {o["metadata"]["name"]: o for o in listed["items"]} == state
        await api.registry.close()
        await store.close()

    asyncio.run(main())


def test_a_restart_changes_nothing_but_history(tmp_path, api_on):
    async def main():
        clock = FakeClock()
        store = SqliteStore(tmp_path / "db", clock=clock)
        api = await api_on(store, clock)
        for name in ("b", "a"):
            await api.post(CMS, {"metadata": {"name": name}})
        first = (await api.raw("GET", CMS)).body
        await api.registry.close()
        await store.close()
        store = SqliteStore(tmp_path / "db", clock=clock)
        api = await api_on(store, clock)
        assert (await api.raw("GET", CMS)).body == first
        kind, status = await (await api.watch(CMS + "?resourceVersion=2")).next()
        assert (kind, status["code"]) == ("ERROR", 410)
        watch = await api.watch(CMS + "?resourceVersion=" + json.loads(first)["metadata"]["resourceVersion"])
        await api.post(CMS, {"metadata": {"name": "c"}})
        assert await watch.brief(1) == [("ADDED", "c")]
        await watch.close()
        await api.registry.close()
        await store.close()

    asyncio.run(main())


def test_a_gap_in_the_feed_ends_watches_and_loads_anew(api_on):
    async def main():
        clock = FakeClock()
        store = MemoryStore(clock=clock, watch_limit=5)
        api = await api_on(store, clock)
        await api.post(CMS, {"metadata": {"name": "a"}})
        await api.post(CMS, {"metadata": {"name": "gone"}})
        watch = await api.watch(CMS)
        assert await watch.brief(2) == [("ADDED", "a"), ("ADDED", "gone")]
        told = []
        api.registry.cache.on_change(("", "configmaps"), lambda e: told.append((e.type, e.current.key)))
        template = (await store.range(b"/registry/core/configmaps/default/a")).kvs[0].value
        for i in range(20):  # more than the feed's queue takes, without a chance to read
            await store.txn([], [Put(b"/registry/core/configmaps/default/n%d" % i, template.replace(b'"name":"a"', b'"name":"n%d"' % i))])
        await store.txn([], [Delete(b"/registry/core/configmaps/default/gone")])
        await clock.advance(1)
        assert await watch.ended()
        assert len((await api.get(CMS))["items"]) == 21
        assert told.count(("ADDED", "default/n7")) == 1 and ("DELETED", "default/gone") in told
        again = await api.watch(CMS + f"?resourceVersion={store.revision}")
        await api.post(CMS, {"metadata": {"name": "z"}})
        assert await again.brief(1) == [("ADDED", "z")]
        await again.close()
        await api.registry.close()
        await store.close()

    asyncio.run(main())


def test_a_client_that_leaves_does_not_free_what_its_write_uses(tmp_path, api_on):
    undone = []

    async def main():
        clock = FakeClock()
        store = SqliteStore(tmp_path / "db", clock=clock)
        hook = WriteHook(before=lambda obj, old: lambda: undone.append(obj["metadata"]["name"]))
        api = await api_on(store, clock, {("", "configmaps"): hook})
        task = asyncio.ensure_future(api.post(CMS, {"metadata": {"name": "a"}}))
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(5):
            while not (await api.get(CMS))["items"]:
                await asyncio.sleep(0.01)
        assert undone == []
        await api.registry.close()
        await store.close()

    asyncio.run(main())


def test_versions_of_one_kind_share_their_objects(api_on):
    async def main():
        clock = FakeClock()
        store = MemoryStore(clock=clock)
        api = await api_on(store, clock)
        url = "/namespaces/default/horizontalpodautoscalers"
        body = {
            "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
            "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}, "maxReplicas": 3, "targetCPUUtilizationPercentage": 50},
        }
        made = await api.post("/apis/autoscaling/v1" + url, body)
        assert made["apiVersion"] == "autoscaling/v1" and made["spec"]["targetCPUUtilizationPercentage"] == 50
        other = await api.get("/apis/autoscaling/v2" + url + "/h")
        assert other["apiVersion"] == "autoscaling/v2" and other["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 50
        assert other["metadata"]["uid"] == made["metadata"]["uid"]
        patched = await api.patch("/apis/autoscaling/v1" + url + "/h", {"spec": {"maxReplicas": 5}})
        assert patched["spec"]["maxReplicas"] == 5
        listed = await api.get("/apis/autoscaling/v1" + url)
        assert listed["apiVersion"] == "autoscaling/v1" and listed["items"][0]["spec"]["targetCPUUtilizationPercentage"] == 50
        await api.registry.close()
        await store.close()

    asyncio.run(main())


def test_every_kind_can_be_listed_and_shown_as_a_table(api_on):
    async def main():
        clock = FakeClock()
        store = MemoryStore(clock=clock)
        api = await api_on(store, clock)
        for row in ALL.stored():
            base = f"/apis/{row.group}/{row.version}" if row.group else f"/api/{row.version}"
            listed = await api.get(f"{base}/{row.plural}")
            assert (listed["kind"], listed["items"]) == (row.kind + "List", [])
            table = await api.get(f"{base}/{row.plural}", accept="application/json;as=Table;v=v1;g=meta.k8s.io")
            assert any(c["name"] == "Name" for c in table["columnDefinitions"]), row
        await api.registry.close()
        await store.close()

    asyncio.run(main())
