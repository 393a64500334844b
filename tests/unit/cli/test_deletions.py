"""What `kogia apply` adds to a patch so that dropped things go."""

from __future__ import annotations

from kogia.api import resources
from kogia.cli.apply import LAST_APPLIED as KEY
from kogia.cli.apply import annotated, three_way

POD = resources.by_kind("", "v1", "Pod")


def pod(containers: list[dict], **meta: object) -> dict:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", **meta}, "spec": {"containers": containers}}


def test_dropped_fields_become_null_and_dropped_list_items_are_deleted_by_key() -> None:
    before = pod([{"name": "a", "image": "1", "args": ["x"]}, {"name": "b", "image": "2"}], labels={"k": "v", "l": "w"})
    live = annotated(before, "default")
    now = annotated(pod([{"name": "a", "image": "3"}], labels={"k": "v"}), "default")
    patch = three_way(POD, live, now)
    assert patch["metadata"]["labels"] == {"k": "v", "l": None}
    assert patch["spec"]["containers"] == [{"name": "a", "image": "3", "args": None}, {"$patch": "delete", "name": "b"}]


def test_what_others_added_to_the_live_object_stays() -> None:
    live = annotated(pod([{"name": "a", "image": "1"}]), "default")
    live["spec"]["nodeName"] = "n"
    live["metadata"]["labels"] = {"added": "by-someone"}
    patch = three_way(POD, live, annotated(pod([{"name": "a", "image": "1"}]), "default"))
    assert "nodeName" not in patch["spec"] and "labels" not in patch["metadata"]


def test_the_annotation_is_kubectls() -> None:
    text = annotated({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "b"}}, "default")["metadata"]["annotations"][KEY]
    assert text == '{"apiVersion":"v1","data":{"a":"b"},"kind":"ConfigMap","metadata":{"annotations":{},"name":"x","namespace":"default"}}\n'
