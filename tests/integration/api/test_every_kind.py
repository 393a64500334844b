"""Every row of the resource table through its whole life, over plain HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kogia.api import resources
from kogia.api.kinds import ResourceInfo
from tests.support.api import APPLY, JSON_PATCH, MERGE, STRATEGIC, Api, eventually
from tests.support.examples import example

ROWS = [row for row in resources.ALL if row.stored and "create" in row.verbs]
IDS = [f"{row.api_version}/{row.plural}" for row in ROWS]


def collection(row: ResourceInfo, namespace: str = "") -> str:
    base = f"/apis/{row.group}/{row.version}" if row.group else f"/api/{row.version}"
    return f"{base}/namespaces/{namespace}/{row.plural}" if row.namespaced and namespace else f"{base}/{row.plural}"


def sample(row: ResourceInfo, namespace: str) -> dict[str, Any]:
    obj = example(row)
    name = {"IPAddress": "10.96.77.1", "ServiceCIDR": "second"}.get(row.kind) or (obj["metadata"]["name"] if row.kind in ("CustomResourceDefinition", "APIService") else f"x-{namespace}")
    obj["metadata"] = {"name": name, "labels": {"life": namespace}}
    if row.namespaced:
        obj["metadata"]["namespace"] = namespace
    for about in ("involvedObject", "regarding"):
        if about in obj:
            obj[about]["namespace"] = namespace
    if row.kind == "ServiceCIDR":
        obj["spec"]["cidrs"] = ["10.97.0.0/24"]
    return obj


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_life(row: ResourceInfo, api: Api, server: Any, shared_namespace: str) -> None:
    space = shared_namespace
    obj = sample(row, space)
    label = f"labelSelector=life%3D{space}"
    many, one = collection(row, space), f"{collection(row, space)}/{obj['metadata']['name']}"
    start = api.get(f"{many}?{label}").ok()
    assert start["kind"] == row.list_kind and start["apiVersion"] == row.api_version and start["items"] == []
    watch = api.watch(f"{many}?watch=1&{label}&resourceVersion={start['metadata']['resourceVersion']}")
    try:
        made = api.post(f"{many}?fieldValidation=Strict", obj).ok()
        assert made["kind"] == row.kind and made["apiVersion"] == row.api_version and made["metadata"]["uid"]
        again = api.post(many, obj).refused(409, "AlreadyExists")
        assert again["details"]["name"] == obj["metadata"]["name"]

        update(api, one)
        patches(api, one)
        if row.subresource("status"):
            status(api, one)
        if row.subresource("scale"):
            assert api.get(f"{one}/scale").ok()["kind"] == "Scale"

        listed = api.get(f"{many}?{label}").ok()["items"]
        assert [o["metadata"]["name"] for o in listed] == [obj["metadata"]["name"]]
        if row.namespaced:
            assert len(api.get(f"{collection(row)}?{label}").ok()["items"]) == 1
        table = api.get(many, Accept="application/json;as=Table;v=v1;g=meta.k8s.io,application/json").ok()
        assert table["kind"] == "Table" and all(len(r["cells"]) == len(table["columnDefinitions"]) for r in table["rows"])

        gone(api, one)
        eventually(lambda: "DELETED" in watch.types(), f"DELETED of {one}: {watch.types()}")
        assert watch.types()[0] == "ADDED" and "MODIFIED" in watch.types()
        versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in watch.events]
        assert versions == sorted(set(versions))
    finally:
        watch.close()

    if "deletecollection" in row.verbs:
        api.post(many, obj).ok()
        api.delete(f"{many}?{label}", {"gracePeriodSeconds": 0}).ok()
        for item in api.get(f"{many}?{label}").ok()["items"]:
            api.patch(f"{many}/{item['metadata']['name']}", {"metadata": {"finalizers": None}})
        eventually(lambda: api.get(f"{many}?{label}").ok()["items"] == [], f"{many} is empty")


def gone(api: Api, one: str) -> None:
    api.delete(one, {"gracePeriodSeconds": 0}).ok()
    left = api.get(one)
    if left.code == 200 and left.obj["metadata"].get("finalizers"):
        api.patch(one, {"metadata": {"finalizers": None}})
    eventually(lambda: api.get(one).code == 404, f"{one} is gone")
    api.get(one).refused(404, "NotFound")


def update(api: Api, one: str) -> None:
    def attempt() -> bool:  # controllers may write in between
        now = api.get(one).ok()
        now["metadata"].setdefault("annotations", {})["by"] = "update"
        answer = api.put(one, now)
        return answer.code != 409 and answer.ok()["metadata"]["annotations"]["by"] == "update"

    eventually(attempt, f"PUT {one}")
    now = api.get(one).ok()
    stale = json.loads(json.dumps(now))
    stale["metadata"]["resourceVersion"] = "1"
    message = api.put(one, stale).refused(409, "Conflict")["message"]
    assert "the object has been modified; please apply your changes to the latest version and try again" in message


def patches(api: Api, one: str) -> None:
    note = "/metadata/annotations"
    assert api.patch(one, [{"op": "add", "path": f"{note}/a~1b", "value": "json"}], JSON_PATCH).ok()["metadata"]["annotations"]["a/b"] == "json"
    assert api.patch(one, {"metadata": {"annotations": {"a/b": None, "m": "merge"}}}, MERGE).ok()["metadata"]["annotations"].keys() >= {"by", "m"}
    assert api.patch(one, {"metadata": {"annotations": {"s": "strategic"}}}, STRATEGIC).ok()["metadata"]["annotations"]["s"] == "strategic"
    now = api.get(one).ok()
    assert "a/b" not in now["metadata"]["annotations"]
    applied = {"apiVersion": now["apiVersion"], "kind": now["kind"], "metadata": {"name": now["metadata"]["name"], "annotations": {"x": "apply"}}}
    api.patch(one, applied, APPLY).refused(422, "Invalid")  # no fieldManager
    done = api.patch(f"{one}?fieldManager=me", applied, APPLY).ok()
    assert done["metadata"]["annotations"]["x"] == "apply"
    assert {"me", "test"} <= {entry["manager"] for entry in done["metadata"]["managedFields"]}
    before = done["metadata"]["resourceVersion"]
    same = api.patch(f"{one}?fieldManager=me", applied, APPLY).ok()["metadata"]
    assert same["resourceVersion"] == before or api.get(one).ok()["metadata"]["resourceVersion"] == same["resourceVersion"]


def status(api: Api, one: str) -> None:
    now = api.get(f"{one}/status").ok()
    answer = api.patch(f"{one}/status", {"metadata": {"annotations": {"by": "status"}}}, MERGE).ok()
    assert answer["kind"] == now["kind"] and answer["metadata"].get("generation") == now["metadata"].get("generation")
