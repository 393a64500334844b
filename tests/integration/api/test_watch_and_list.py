"""resourceVersion, watches, selectors, pages: what informers rely on."""

from __future__ import annotations

import random
import threading
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.api import JSON_PATCH, Api, eventually


def config_map(name: str, **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": {"a": "b"}}


@pytest.fixture
def maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def version(obj: Any) -> str:
    return obj["metadata"]["resourceVersion"]


def test_a_watch_starts_where_it_is_told(api: Api, maps: str) -> None:
    selector = "labelSelector=" + quote("watch in (a,b)")
    first = api.post(maps, config_map("one", watch="a")).ok()
    past = api.watch(f"{maps}?watch=1&{selector}&resourceVersion={version(first)}")
    fresh, cached = api.watch(f"{maps}?watch=1&{selector}"), api.watch(f"{maps}?watch=true&{selector}&resourceVersion=0")
    try:
        second = api.patch(f"{maps}/one", {"data": {"a": "c"}}).ok()
        gone = api.delete(f"{maps}/one").ok()
        assert gone["kind"] == "Status" and gone["details"]["name"] == "one"
        events = past.wait(2)
        assert [e["type"] for e in events] == ["MODIFIED", "DELETED"]
        assert events[0]["object"] == second
        assert int(version(events[1]["object"])) > int(version(second))
        for stream in (fresh, cached):
            assert [e["type"] for e in stream.wait(3)] == ["ADDED", "MODIFIED", "DELETED"]
            assert stream.events[0]["object"] == first
        again = api.watch(f"{maps}?watch=1&{selector}&resourceVersion={version(events[0]['object'])}")
        assert again.wait(1)[0] == events[1]
        again.close()
    finally:
        for stream in (past, fresh, cached):
            stream.close()


def test_leaving_a_selector_is_deleted_and_entering_it_is_added(api: Api, maps: str) -> None:
    start = api.get(maps).ok()
    stream = api.watch(f"{maps}?watch=1&labelSelector=w%3Da&resourceVersion={version(start)}")
    api.post(maps, config_map("x", w="a")).ok()
    left = api.patch(f"{maps}/x", {"metadata": {"labels": {"w": "b"}}}).ok()
    api.patch(f"{maps}/x", {"data": {"silent": "yes"}}).ok()
    back = api.patch(f"{maps}/x", {"metadata": {"labels": {"w": "a"}}}).ok()
    api.delete(f"{maps}/x").ok()
    events = stream.wait(4)
    assert [e["type"] for e in events] == ["ADDED", "DELETED", "ADDED", "DELETED"]
    assert version(events[1]["object"]) == version(left) and events[1]["object"]["metadata"]["labels"] == {"w": "a"}
    assert events[2]["object"] == back and back["data"]["silent"] == "yes"
    replayed = api.watch(f"{maps}?watch=1&labelSelector=w%3Da&resourceVersion={version(start)}")
    assert replayed.wait(4) == events
    stream.close()
    replayed.close()


def test_all_watches_see_the_same_order(api: Api, maps: str) -> None:
    """Thirty watches, each opened at the version of an event just seen, while one writes."""
    done = threading.Event()
    writer = api.__class__(api.port, api.ca, api.cert)
    dice = random.Random(7)

    def write() -> None:
        names: list[str] = []
        while not done.wait(0.004):
            roll = dice.random()
            if not names or roll < 0.4:
                names.append(f"n{dice.randrange(10**9)}")
                writer.post(maps, config_map(names[-1])).ok()
            elif roll < 0.75:
                writer.patch(f"{maps}/{dice.choice(names)}", {"data": {"n": str(dice.random())}}).ok()
            else:
                writer.delete(f"{maps}/{names.pop(dice.randrange(len(names)))}").ok()

    thread = threading.Thread(target=write)
    thread.start()
    streams = []
    try:
        at = version(api.get(maps).ok())
        first = api.watch(f"{maps}?watch=1&resourceVersion={at}")
        streams.append((at, first))
        for number in range(1, 30):
            at = version(first.wait(number * 3)[-1]["object"])
            streams.append((at, api.watch(f"{maps}?watch=1&resourceVersion={at}")))
        first.wait(150, 20)
    finally:
        done.set()
        thread.join()
    last = version(api.post(maps, config_map("the-end")).ok())
    for _at, stream in streams:
        eventually(lambda stream=stream: stream.events and version(stream.events[-1]["object"]) == last, "the last event")
        assert not stream.ended
    whole = [(e["type"], version(e["object"])) for e in first.events]
    assert [int(v) for _, v in whole] == sorted({int(v) for _, v in whole})
    for at, stream in streams:
        assert [(e["type"], version(e["object"])) for e in stream.events] == [pair for pair in whole if int(pair[1]) > int(at)]
        stream.close()


def test_what_the_writer_gets_is_what_watchers_see(api: Api, maps: str) -> None:
    stream = api.watch(f"{maps}?watch=1&resourceVersion={version(api.get(maps).ok())}")
    answers = [
        api.post(maps, config_map("same")).ok(),
        api.put(f"{maps}/same", config_map("same", x="y")).ok(),
        api.patch(f"{maps}/same", [{"op": "replace", "path": "/data/a", "value": "z"}], JSON_PATCH).ok(),
    ]
    assert [e["object"] for e in stream.wait(3)] == answers
    unchanged = api.patch(f"{maps}/same", {"data": {"a": "z"}}).ok()
    assert version(unchanged) == version(answers[-1])
    api.post(maps, config_map("marker")).ok()
    assert stream.wait(4)[3]["object"]["metadata"]["name"] == "marker"  # the write without a change made no event
    stream.close()


def test_bookmarks_come_only_to_who_asked(api: Api, maps: str) -> None:
    api.post(maps, config_map("a")).ok()
    initial = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    stream = api.watch(f"{maps}?watch=1&allowWatchBookmarks=true&{initial}")
    mark = eventually(lambda: next((e for e in stream.events if e["type"] != "ADDED"), None), "a bookmark")
    assert stream.types() == ["ADDED"] * len(api.get(maps).ok()["items"]) + ["BOOKMARK"]
    assert mark["type"] == "BOOKMARK" and mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert mark["object"]["kind"] == "ConfigMap" and set(mark["object"]) <= {"kind", "apiVersion", "metadata", "data", "binaryData"}
    stream.close()
    short = api.watch(f"{maps}?watch=1&allowWatchBookmarks=true&timeoutSeconds=2&resourceVersion={version(api.get(maps).ok())}")
    eventually(lambda: short.ended, "the end of the watch")
    assert "BOOKMARK" in short.types()
    silent = api.watch(f"{maps}?watch=1&timeoutSeconds=1&resourceVersion={version(api.get(maps).ok())}")
    eventually(lambda: silent.ended, "the end of the watch")
    assert silent.events == []
    assert "sendInitialEvents" in api.get(f"{maps}?watch=1&sendInitialEvents=true").refused(422, "Invalid")["message"]


def test_versions_on_lists(api: Api, maps: str) -> None:
    old = version(api.post(maps, config_map("a")).ok())
    api.post(maps, config_map("b")).ok()
    newest = api.get(maps).ok()
    assert int(version(newest)) > int(old)
    names = lambda answer: [o["metadata"]["name"] for o in answer.ok()["items"] if o["metadata"]["name"] in "ab"]  # noqa: E731
    assert names(api.get(f"{maps}?resourceVersion=0")) == ["a", "b"]
    assert names(api.get(f"{maps}?resourceVersion={old}")) == ["a", "b"]
    exact = api.get(f"{maps}?resourceVersion={old}&resourceVersionMatch=Exact")
    assert names(exact) == ["a"] and version(exact.obj) == old
    future = str(int(version(newest)) + 10**6)
    status = api.get(f"{maps}?resourceVersion={future}").refused(504, "Timeout")
    assert "Too large resource version" in status["message"] and status["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
    api.get(f"{maps}?resourceVersion=nonsense").refused(422, "Invalid")
    api.get(f"{maps}?resourceVersionMatch=Exact").refused(422, "Invalid")
    api.get(f"{maps}?resourceVersion=0&resourceVersionMatch=Exact").refused(422, "Invalid")
    api.get(f"{maps}?resourceVersion=0&resourceVersionMatch=Sometimes").refused(422, "Invalid")
    api.get(f"{maps}/a?resourceVersion={future}").refused(504, "Timeout")


def test_pages(api: Api, maps: str) -> None:
    names = sorted(f"p{n:03}" for n in range(60))
    for name in names:
        api.post(maps, config_map(name, page="yes")).ok()
    dice, seen, token, pinned = random.Random(3), [], "", ""
    total = len(api.get(maps).ok()["items"])
    while True:
        limit = dice.randrange(1, 20)
        page = api.get(f"{maps}?limit={limit}" + (f"&continue={quote(token)}" if token else "")).ok()
        pinned = pinned or version(page)
        assert version(page) == pinned and len(page["items"]) <= limit
        seen += [o["metadata"]["name"] for o in page["items"]]
        token = page["metadata"].get("continue", "")
        if not token:
            break
        assert page["metadata"]["remainingItemCount"] == total - len(seen)
        api.post(maps, config_map(f"z{len(seen)}")).ok()  # must not show up in later pages
    assert "remainingItemCount" not in page["metadata"]
    assert seen == sorted(seen) and len(seen) == total and set(names) < set(seen)
    selected = api.get(f"{maps}?limit=5&labelSelector=page").ok()
    assert selected["metadata"]["continue"] and "remainingItemCount" not in selected["metadata"]
    api.get(f"{maps}?limit=5&continue=garbage").refused(400)
    api.get(f"{maps}?limit=5&continue={quote(token or 'e30')}&resourceVersion=5").refused(400)


def test_selectors(api: Api, maps: str, namespace: str) -> None:
    for name, labels in {"a": {"app": "web", "tier": "front"}, "b": {"app": "web"}, "c": {"app": "db"}, "d": {}}.items():
        api.post(maps, config_map(name, **labels)).ok()

    def names(query: str) -> str:
        return "".join(o["metadata"]["name"] for o in api.get(f"{maps}?{query}").ok()["items"] if len(o["metadata"]["name"]) == 1)

    for selector, found in {"app=web": "ab", "app==db": "c", "app!=web": "cd", "app in (web,db)": "abc", "app notin (web)": "cd", "tier": "a", "!tier": "bcd",
                            "app,tier!=front": "bc", "app in (web),tier=front": "a", "": "abcd"}.items():  # fmt: skip
        assert names("labelSelector=" + quote(selector)) == found, selector
    assert names("fieldSelector=metadata.name%3Db") == "b" and names("fieldSelector=metadata.name!%3Db") == "acd"
    assert names(f"fieldSelector=metadata.namespace%3D{namespace},metadata.name%3Da") == "a"
    assert names("fieldSelector=metadata.name%3Dabsent") == ""
    status = api.get(f"{maps}?fieldSelector=data.a%3Db").refused(400, "BadRequest")
    assert status["message"] == '"data.a" is not a known field selector: only "metadata.name", "metadata.namespace"'
    assert "unable to parse requirement" in api.get(f"{maps}?labelSelector={quote('a in')}").refused(400, "BadRequest")["message"]
    pods = f"/api/v1/namespaces/{namespace}/pods"
    assert api.get(f"{pods}?fieldSelector=spec.x%3Db").refused(400, "BadRequest")["message"] == "field label not supported: spec.x"
    for name, node in (("p", "here"), ("q", "")):
        spec: dict[str, Any] = {"containers": [{"name": "c", "image": "i"}], "schedulerName": "nobody", **({"nodeName": node} if node else {})}
        api.post(pods, {"metadata": {"name": name}, "spec": spec}).ok()
    for selector, found in {"spec.nodeName=here": "p", "spec.nodeName=": "q", "status.phase=Pending": "pq", "status.phase!=Pending": ""}.items():
        assert "".join(o["metadata"]["name"] for o in api.get(f"{pods}?fieldSelector={quote(selector)}").ok()["items"]) == found
    start = version(api.get(pods).ok())
    stream = api.watch(f"{pods}?watch=1&fieldSelector={quote('spec.nodeName=there')}&resourceVersion={start}")
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "q"}, "target": {"kind": "Node", "name": "there"}}
    assert api.post(f"{pods}/q/binding", binding).ok()["status"] == "Success"
    assert stream.wait(1)[0]["type"] == "ADDED"
    stream.close()
    message = api.post(f"{pods}/q/binding", binding).refused(409, "Conflict")["message"]
    assert message == 'Operation cannot be fulfilled on pods/binding "q": pod q is already assigned to node "there"'


def test_watch_errors(api: Api, maps: str) -> None:
    api.get(f"{maps}?watch=1&resourceVersion=nonsense").refused(422, "Invalid")
    api.get(f"{maps}?watch=1&labelSelector={quote('a in')}").refused(400)
    future = int(version(api.get(maps).ok())) + 10**6
    answer = api.get(f"{maps}?watch=1&timeoutSeconds=5&resourceVersion={future}")
    assert answer.code in (200, 504) and b"Too large resource version" in answer.data
