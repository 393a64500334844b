"""GET, LIST and WATCH: revisions, pages, selectors, shapes."""

from __future__ import annotations

import base64
import json

import pytest

from kogia.apiserver.watchers import Watcher

CMS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def config_map(name, namespace="default", **labels):
    return {"metadata": {"name": name, "namespace": namespace, "labels": labels}, "data": {"k": "v"}}


async def fill(api, *names, **labels):
    return [await api.post(CMS, config_map(name, **labels)) for name in names]


def names(listed):
    return [item["metadata"]["name"] for item in listed["items"]]


def test_lists_are_sorted_as_the_store_sorts(run):
    async def scenario(api):
        await api.post("/api/v1/namespaces/a-b/configmaps", config_map("x", "a-b"))
        await api.post("/api/v1/namespaces/a/configmaps", config_map("z", "a"))
        await api.post("/api/v1/namespaces/a/configmaps", config_map("b", "a"))
        listed = await api.get("/api/v1/configmaps")
        assert [(i["metadata"]["namespace"], i["metadata"]["name"]) for i in listed["items"]] == [("a-b", "x"), ("a", "b"), ("a", "z")]
        assert (listed["kind"], listed["apiVersion"]) == ("ConfigMapList", "v1")
        assert listed["metadata"] == {"resourceVersion": str(api.store.revision)}
        assert names(await api.get("/api/v1/namespaces/a/configmaps")) == ["b", "z"]
        assert names(await api.get("/api/v1/namespaces/none/configmaps")) == []

    run(scenario)


def test_selectors(run):
    async def scenario(api):
        await fill(api, "a", "b", app="x")
        await fill(api, "c", app="y")
        assert names(await api.get(CMS + "?labelSelector=app%3Dx")) == ["a", "b"]
        assert names(await api.get(CMS + "?labelSelector=app+in+(x,y),app!=x")) == ["c"]
        assert names(await api.get(CMS + "?fieldSelector=metadata.name%3Db")) == ["b"]
        assert names(await api.get("/api/v1/configmaps?fieldSelector=metadata.name%3Db,metadata.namespace%3Ddefault")) == ["b"]
        assert names(await api.get("/api/v1/configmaps?fieldSelector=metadata.namespace!%3Ddefault")) == []
        error = await api.refused("GET", CMS + "?fieldSelector=spec.x%3D1")
        assert error.code == 400 and error.message == '"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"'
        error = await api.refused("GET", "/api/v1/pods?fieldSelector=spec.x%3D1")
        assert error.message == "field label not supported: spec.x"
        assert (await api.refused("GET", CMS + "?labelSelector=a+b")).code == 400

    run(scenario)


def test_pages_pin_the_first_revision(run):
    async def scenario(api):
        await fill(api, *"abcde")
        first = await api.get(CMS + "?limit=2")
        assert names(first) == ["a", "b"] and first["metadata"]["remainingItemCount"] == 3
        revision = first["metadata"]["resourceVersion"]
        await api.delete(CMS + "/c")
        await api.post(CMS, config_map("bb"))
        await api.put(CMS + "/d", config_map("d", new="label"))
        second = await api.get(CMS + f"?limit=2&continue={first['metadata']['continue']}")
        assert names(second) == ["c", "d"] and second["metadata"]["resourceVersion"] == revision
        assert "labels" not in second["items"][1]["metadata"]
        assert second["metadata"]["remainingItemCount"] == 1
        third = await api.get(CMS + f"?limit=2&continue={second['metadata']['continue']}")
        assert names(third) == ["e"] and third["metadata"] == {"resourceVersion": revision}

    run(scenario)


def test_pages_with_a_selector_do_not_count(run):
    async def scenario(api):
        await fill(api, *"abcde", app="x")
        first = await api.get(CMS + "?limit=2&labelSelector=app%3Dx")
        assert names(first) == ["a", "b"] and "remainingItemCount" not in first["metadata"]
        await fill(api, "aa", app="x")
        second = await api.get(CMS + f"?limit=3&labelSelector=app%3Dx&continue={first['metadata']['continue']}")
        assert names(second) == ["c", "d", "e"] and "continue" not in second["metadata"]

    run(scenario)


def test_an_expired_page_offers_an_inconsistent_rest(run):
    async def scenario(api):
        await fill(api, *"abcd")
        first = await api.get(CMS + "?limit=2")
        await fill(api, "cc", "aa")
        await api.registry.cache.wait_for(api.store.revision)
        await api.store.compact(api.store.revision)
        error = await api.refused("GET", CMS + f"?limit=2&continue={first['metadata']['continue']}")
        assert (error.code, error.reason) == (410, "Expired")
        token = error.status["metadata"]["continue"]
        assert json.loads(base64.urlsafe_b64decode(token + "==="))["rv"] == -1
        rest = await api.get(CMS + f"?limit=9&continue={token}")
        assert names(rest) == ["c", "cc", "d"] and rest["metadata"]["resourceVersion"] == str(api.store.revision)
        assert (await api.refused("GET", CMS + "?continue=rubbish")).code == 400

    run(scenario)


def test_what_a_resource_version_means_on_a_list(run):
    async def scenario(api):
        made = await fill(api, "a", "b")
        at = made[0]["metadata"]["resourceVersion"]
        await api.delete(CMS + "/a")
        await api.registry.cache.wait_for(api.store.revision)  # all but Exact may lag
        assert names(await api.get(CMS + f"?resourceVersion={at}&resourceVersionMatch=Exact")) == ["a"]
        assert names(await api.get(CMS + f"?resourceVersion={at}&resourceVersionMatch=NotOlderThan")) == ["b"]
        assert names(await api.get(CMS + f"?resourceVersion={at}")) == ["b"]
        assert names(await api.get(CMS + "?resourceVersion=0")) == ["b"]
        future = await api.refused("GET", CMS + f"?resourceVersion={api.store.revision + 5}&resourceVersionMatch=Exact")
        assert (future.code, future.causes[0]["reason"]) == (504, "ResourceVersionTooLarge")
        for query in ("resourceVersionMatch=Exact", "resourceVersion=0&resourceVersionMatch=Exact", "resourceVersion=1&resourceVersionMatch=No",
                      "resourceVersion=x", "sendInitialEvents=true"):
            assert (await api.refused("GET", f"{CMS}?{query}")).code == 422, query
        await api.store.compact(api.store.revision)
        assert (await api.refused("GET", CMS + f"?resourceVersion={at}&resourceVersionMatch=Exact")).reason == "Expired"

    run(scenario)


def test_tables(run):
    async def scenario(api):
        await fill(api, "a", "b", "c")
        table = await api.get(CMS + "?limit=2", accept=TABLE)
        assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
        assert table["columnDefinitions"][0]["name"] == "Name"
        assert [row["cells"][0] for row in table["rows"]] == ["a", "b"]
        assert all(len(row["cells"]) == len(table["columnDefinitions"]) for row in table["rows"])
        assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
        assert table["metadata"]["continue"] and table["metadata"]["remainingItemCount"] == 1
        single = await api.get(CMS + "/a?includeObject=Object", accept=TABLE)
        assert single["rows"][0]["object"]["data"] == {"k": "v"}
        assert (await api.get(CMS + "/a?includeObject=None", accept=TABLE))["rows"][0]["object"] is None

    run(scenario)


def test_metadata_only(run):
    async def scenario(api):
        await fill(api, "a")
        partial = await api.get(CMS + "/a", accept="application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
        assert partial["kind"] == "PartialObjectMetadata" and "data" not in partial and partial["metadata"]["name"] == "a"
        listed = await api.get(CMS, accept="application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
        assert listed["kind"] == "PartialObjectMetadataList" and names(listed) == ["a"]

    run(scenario)


@pytest.mark.parametrize(("accept", "expected"), [
    ("", "application/json"), ("*/*", "application/json"), ("application/vnd.kubernetes.protobuf,application/json", "application/json"),
    ("application/vnd.kubernetes.protobuf, */*", "application/json"), ("application/yaml", "application/yaml"),
    ("application/json;q=0.1,application/yaml", "application/yaml"), ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", "application/json"),
])
def test_content_negotiation(run, accept, expected):
    async def scenario(api):
        await fill(api, "a")
        response = await api.raw("GET", CMS + "/a", headers={"accept": accept})
        assert response.content_type == expected

    run(scenario)


@pytest.mark.parametrize("accept", ["application/vnd.kubernetes.protobuf", "text/html", "application/json;as=Table;v=v9;g=meta.k8s.io"])
def test_what_cannot_be_written_is_406(run, accept):
    async def scenario(api):
        assert (await api.refused("GET", CMS, headers={"accept": accept})).reason == "NotAcceptable"
        assert (await api.refused("POST", CMS, config_map("x"), {"accept": accept})).reason == "NotAcceptable"
        assert names(await api.get(CMS)) == []

    run(scenario)


def test_people_get_indented_json(run):
    async def scenario(api):
        await fill(api, "a")
        assert b'\n  "kind": "ConfigMap"' in (await api.raw("GET", CMS + "/a", headers={"user-agent": "curl/8"})).body
        assert b'\n  "kind"' in (await api.raw("GET", CMS + "/a?pretty=true")).body
        assert b"\n" not in (await api.raw("GET", CMS + "/a?pretty=0", headers={"user-agent": "curl/8"})).body

    run(scenario)


# watches


def test_a_watch_without_revision_starts_with_what_exists(run):
    async def scenario(api):
        await fill(api, "b", "a")
        for query in ("", "?resourceVersion=0"):
            watch = await api.watch(CMS + query)
            assert await watch.brief(2) == [("ADDED", "a"), ("ADDED", "b")]
            await api.put(CMS + "/a", config_map("a", q=str(len(query))))
            assert await watch.brief(1) == [("MODIFIED", "a")]
            await watch.close()

    run(scenario)


def test_a_watch_from_a_revision_replays_what_came_after(run):
    async def scenario(api):
        made = await fill(api, "a", "b")
        await api.put(CMS + "/a", config_map("a", x="1"))
        last = await api.delete(CMS + "/a")
        assert last["status"] == "Success"
        watch = await api.watch(CMS + "?resourceVersion=" + made[0]["metadata"]["resourceVersion"])
        events = [await watch.next() for _ in range(3)]
        assert [(k, o["metadata"]["name"]) for k, o in events] == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "a")]
        assert [int(o["metadata"]["resourceVersion"]) for _, o in events] == [3, 4, 5]
        assert events[2][1]["metadata"]["labels"] == {"x": "1"}
        await watch.close()

    run(scenario)


def test_leaving_a_selector_is_a_deletion_entering_an_addition(run):
    async def scenario(api):
        made = await api.post(CMS, config_map("a", app="x"))
        live = await api.watch(CMS + "?labelSelector=app%3Dx&resourceVersion=" + made["metadata"]["resourceVersion"])
        await api.put(CMS + "/a", config_map("a", app="y"))
        await api.put(CMS + "/a", config_map("a", app="z"))
        await api.put(CMS + "/a", config_map("a", app="x"))
        await api.put(CMS + "/a", config_map("a", app="x", more="1"))
        await api.delete(CMS + "/a")
        past = await api.watch(CMS + "?labelSelector=app%3Dx&resourceVersion=" + made["metadata"]["resourceVersion"])
        for watch in (live, past):
            events = [await watch.next() for _ in range(4)]
            assert [kind for kind, _ in events] == ["DELETED", "ADDED", "MODIFIED", "DELETED"]
            left = events[0][1]["metadata"]
            assert left["labels"] == {"app": "x"} and int(left["resourceVersion"]) == int(made["metadata"]["resourceVersion"]) + 1
            await watch.close()

    run(scenario)


def test_watches_of_one_name_and_one_namespace(run):
    async def scenario(api):
        one = await api.watch(CMS + "?fieldSelector=metadata.name%3Db")
        space = await api.watch("/api/v1/namespaces/other/configmaps")
        every = await api.watch("/api/v1/configmaps")
        import asyncio
        tasks = [asyncio.ensure_future(w.next()) for w in (one, space, every)]
        await asyncio.sleep(0.01)
        await fill(api, "a", "b")
        await api.post("/api/v1/namespaces/other/configmaps", config_map("c", "other"))
        seen = [(kind, obj["metadata"]["name"]) for kind, obj in await asyncio.gather(*tasks)]
        assert seen == [("ADDED", "b"), ("ADDED", "c"), ("ADDED", "a")]
        for watch in (one, space, every):
            await watch.close()

    run(scenario)


def test_an_old_revision_is_gone(run, monkeypatch):
    monkeypatch.setattr("kogia.apiserver.kindcache.HISTORY_EVENTS", 3)

    async def scenario(api):
        made = await fill(api, *"abcdef")
        watch = await api.watch(CMS + "?resourceVersion=" + made[0]["metadata"]["resourceVersion"])
        kind, status = await watch.next()
        assert (kind, status["code"], status["reason"]) == ("ERROR", 410, "Expired")
        assert await watch.ended()
        watch = await api.watch(CMS + "?resourceVersion=" + made[3]["metadata"]["resourceVersion"])
        assert await watch.brief(2) == [("ADDED", "e"), ("ADDED", "f")]
        await watch.close()

    run(scenario)


def test_bookmarks_only_for_those_who_asked(run):
    async def scenario(api):
        import asyncio
        with_marks, without = await api.watch(CMS + "?allowWatchBookmarks=true"), await api.watch(CMS)
        first, second = asyncio.ensure_future(with_marks.next()), asyncio.ensure_future(without.next())
        await asyncio.sleep(0.01)
        await api.post("/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}})
        await api.clock.advance(61)
        kind, obj = await first
        assert kind == "BOOKMARK" and obj["kind"] == "ConfigMap" and obj["metadata"]["resourceVersion"] == str(api.store.revision)
        assert not second.done()
        second.cancel()
        await with_marks.close()

    run(scenario)


def test_streaming_lists_end_with_a_bookmark(run):
    async def scenario(api):
        await fill(api, "a", "b")
        query = "?sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        watch = await api.watch(CMS + query)
        assert await watch.brief(2) == [("ADDED", "a"), ("ADDED", "b")]
        kind, obj = await watch.next()
        assert kind == "BOOKMARK" and obj["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert obj["metadata"]["resourceVersion"] == str(api.store.revision)
        await watch.close()
        for wrong in ("?sendInitialEvents=true", "?sendInitialEvents=true&resourceVersionMatch=Exact&allowWatchBookmarks=true",
                      "?resourceVersionMatch=NotOlderThan&resourceVersion=1"):
            assert (await api.refused("GET", CMS + wrong + "&watch=1")).code == 422

    run(scenario)


def test_a_slow_watcher_is_ended_and_the_others_are_not(run, monkeypatch):
    monkeypatch.setattr(Watcher.__init__, "__kwdefaults__", {"bookmarks": False, "limit": 10})

    async def scenario(api):
        slow, fast = await api.watch(CMS), await api.watch(CMS)
        await fill(api, "a0")
        assert await slow.brief(1) == [("ADDED", "a0")] == await fast.brief(1)
        got = 0
        for i in range(30):
            await fill(api, f"b{i:02}")
            got += len(await fast.brief(1))
        assert got == 30
        seen = await slow.brief(10)
        assert seen[0] == ("ADDED", "b00") and await slow.ended()
        await fast.close()

    run(scenario)


def test_watches_end_in_time(run):
    async def scenario(api):
        watch = await api.watch(CMS + "?timeoutSeconds=1&allowWatchBookmarks=true")
        kind, _ = await watch.next()
        assert kind == "BOOKMARK" and await watch.ended()

    run(scenario)


def test_a_stream_nobody_reads_leaves_nothing_behind(run):
    async def scenario(api):
        await api.watch(CMS)
        assert api.registry.watch_cache.kind("", "configmaps").listeners() == []
        watch = await api.watch(CMS + "?timeoutSeconds=60&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true")
        await watch.next()
        assert len(api.registry.watch_cache.kind("", "configmaps").listeners()) == 1
        await watch.close()
        assert api.registry.watch_cache.kind("", "configmaps").listeners() == []

    run(scenario)


def test_table_watches(run):
    async def scenario(api):
        await fill(api, "a")
        watch = await api.watch(CMS, accept=TABLE)
        kind, table = await watch.next()
        assert kind == "ADDED" and table["kind"] == "Table" and table["rows"][0]["cells"][0] == "a"
        await watch.close()

    run(scenario)


def test_the_inner_cache_tells_its_readers(run):
    async def scenario(api):
        from kogia.apiserver.interface import CacheEvent
        cache = api.registry.cache
        seen: list[tuple[str, str]] = []

        def note(event: CacheEvent) -> None:
            seen.append((event.type, event.current.key))

        await fill(api, "a")
        cache.on_change(("", "configmaps"), note)
        events = cache.events(("", "configmaps"))
        assert (await anext(events)).current.key == "default/a"
        await api.put(CMS + "/a", config_map("a", x="1"))
        await api.delete(CMS + "/a")
        await cache.wait_for(api.store.revision)
        assert seen == [("ADDED", "default/a"), ("MODIFIED", "default/a"), ("DELETED", "default/a")]
        second = await anext(events)
        assert second.type == "MODIFIED" and second.previous.object()["metadata"].get("labels") is None
        assert cache.get(("", "configmaps"), "a", "default") is None and cache.list(("", "configmaps")) == []
        await events.aclose()

    run(scenario)
