"""The rules of metadata."""

from __future__ import annotations

from typing import Any

import pytest

from kogia.api import meta, names


def problems(data: dict[str, Any], namespaced: bool = True) -> list[str]:
    return [e.message for e in meta.validate_object_meta(data, namespaced, names.dns1123_subdomain)]


GOOD = {"name": "a.b", "namespace": "d", "labels": {"x.io/a": "b", "c": ""}, "annotations": {"X/y": "anything at all \n"}, "finalizers": ["x.io/f", "orphan"],
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": True}], "generation": 1,
        "managedFields": [{"manager": "m", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {}}]}


def test_good_metadata() -> None:
    assert problems(GOOD) == [] and problems(GOOD) == []


@pytest.mark.parametrize(("change", "message"), [
    ({"name": ""}, "metadata.name: Required value: name or generateName is required"), ({"name": "A"}, 'metadata.name: Invalid value: "A": a lowercase RFC 1123'),
    ({"generateName": "Bcd-"}, 'metadata.generateName: Invalid value: "Bcd-": a lowercase'), ({"namespace": ""}, "metadata.namespace: Required value"),
    ({"namespace": "a.b"}, 'metadata.namespace: Invalid value: "a.b": must not contain dots'), ({"labels": {"a b": "x"}}, 'metadata.labels: Invalid value: "a b": name part must'),
    ({"labels": {"a": "-"}}, 'metadata.labels: Invalid value: "-": a valid label'), ({"annotations": {"a/b/c": ""}}, 'metadata.annotations: Invalid value: "a/b/c": a valid label key'),
    ({"annotations": {"a": "x" * 262144}}, "metadata.annotations: Too long: may not be more than 262144 bytes"), ({"generation": -1}, "metadata.generation: Invalid value: -1: must be greater"),
    ({"finalizers": ["a b"]}, 'metadata.finalizers: Invalid value: "a b": name part'),
    ({"finalizers": ["orphan", "foregroundDeletion"]}, "finalizer orphan and foregroundDeletion cannot be both set"),
    ({"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]}, 'metadata.ownerReferences[0].uid: Required value: must not be empty'),
    ({"ownerReferences": [{"apiVersion": "v1", "kind": "Event", "name": "p", "uid": "u"}]}, "/v1, Kind=Event is disallowed from being an owner"),
    ({"ownerReferences": GOOD["ownerReferences"] * 2}, 'Found "true" in references for Pod/p and Pod/p'),
    ({"managedFields": [{"operation": "Nope"}]}, "metadata.managedFields[0].operation: Unsupported value: \"Nope\": supported values: \"Apply\", \"Update\""),
    ({"managedFields": [{"operation": "Apply", "manager": "a\n"}]}, "invalid character U+000A (at position 1)"),
])
def test_bad_metadata(change: dict[str, Any], message: str) -> None:
    found = problems({**GOOD, **change})
    assert found and message in found[0]


def test_cluster_scoped_objects_have_no_namespace() -> None:
    assert problems({"name": "a", "namespace": "d"}, namespaced=False) == ["metadata.namespace: Forbidden: not allowed on this type"]
    assert problems({"name": "a"}, namespaced=False) == []


def test_updates() -> None:
    old = {**GOOD, "uid": "u", "creationTimestamp": "t", "generation": 3}
    assert meta.validate_object_meta_update(dict(old), old) == []
    for field in ("name", "uid", "creationTimestamp"):
        assert [e.message for e in meta.validate_object_meta_update({**old, field: "x"}, old)] == [f'metadata.{field}: Invalid value: "x": field is immutable']
    assert "must not be decremented" in meta.validate_object_meta_update({**old, "generation": 2}, old)[0].message
    dying = {**old, "deletionTimestamp": "t", "finalizers": ["a"]}
    assert meta.validate_object_meta_update({**dying, "finalizers": []}, dying) == []
    assert 'found new finalizers []string{"b"}' in meta.validate_object_meta_update({**dying, "finalizers": ["a", "b"]}, dying)[0].message


def test_generated_names() -> None:
    made = {meta.generate_name("web-") for _ in range(50)}
    assert len(made) == 50 and all(len(name) == 9 and not names.dns1123_label(name) for name in made)
    assert len(meta.generate_name("x" * 100)) == 63


def test_owners() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "r", "uid": "u"}}
    pod = {"metadata": {"name": "p", "namespace": "d", "ownerReferences": [{"uid": "other"}, meta.controller_reference(owner)]}}
    assert meta.controller_of(pod) == {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u", "controller": True, "blockOwnerDeletion": True}
    assert meta.is_controlled_by(pod, owner) and meta.has_owner(pod, "other") and meta.controller_of(owner) is None and not meta.is_being_deleted(pod)
    assert meta.object_key(pod) == "d/p" and meta.object_key(owner) == "r"
    assert meta.merge_finalizers(["a", "b"], add=["c", "a"], remove=["b"]) == ["a", "c"]
