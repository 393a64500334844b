"""Patches, against the examples of their own documents and by properties."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kogia.api.kinds import ResourceInfo
from kogia.api.patch import MAX_OPERATIONS, json_patch, merge_patch, strategic_merge
from kogia.api.status import StatusError


@pytest.mark.parametrize(("doc", "ops", "result"), [
    ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
    ({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "qux"}], {"foo": ["bar", "qux", "baz"]}),
    ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
    ({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}),
    ({"baz": "qux", "foo": "bar"}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo", "foo": "bar"}),
    ({"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}}, [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
     {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}}),
    ({"foo": ["all", "grass", "cows", "eat"]}, [{"op": "move", "from": "/foo/1", "path": "/foo/3"}], {"foo": ["all", "cows", "eat", "grass"]}),
    ({"baz": "qux", "foo": ["a", 2, "c"]}, [{"op": "test", "path": "/baz", "value": "qux"}, {"op": "test", "path": "/foo/1", "value": 2}], {"baz": "qux", "foo": ["a", 2, "c"]}),
    ({"foo": "bar"}, [{"op": "add", "path": "/child", "value": {"grandchild": {}}}], {"foo": "bar", "child": {"grandchild": {}}}),
    ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
    ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["abc", "def"]}], {"foo": ["bar", ["abc", "def"]]}),
    ({"a": {"b": 1}}, [{"op": "copy", "from": "/a", "path": "/c"}, {"op": "replace", "path": "/c/b", "value": 2}], {"a": {"b": 1}, "c": {"b": 2}}),
    ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}),
    ({"a": [1, 2]}, [{"op": "remove", "path": "/a/-1"}], {"a": [1]}),
    ({"": 1}, [{"op": "remove", "path": "/"}], {}),
    ({}, [{"op": "test", "path": "/absent", "value": None}], {}),
])
def test_json_patch(doc: Any, ops: Any, result: Any) -> None:
    before, ops_before = copy.deepcopy(doc), copy.deepcopy(ops)
    assert json_patch(doc, ops) == result
    assert (doc, ops) == (before, ops_before)


@pytest.mark.parametrize(("doc", "ops", "code"), [
    ({"baz": "qux"}, [{"op": "test", "path": "/baz", "value": "bar"}], 422), ({"foo": "bar"}, [{"op": "add", "path": "/baz/bat", "value": "qux"}], 422),
    ({}, [{"op": "remove", "path": "/a"}], 422), ({}, [{"op": "replace", "path": "/a", "value": 1}], 422), ({"a": [1]}, [{"op": "add", "path": "/a/3", "value": 1}], 422),
    ({"a": [1]}, [{"op": "add", "path": "/a/01", "value": 1}], 422), ({"a": 1}, [{"op": "test", "path": "/a", "value": True}], 422), ({}, [{"op": "jump", "path": "/a"}], 422),
    ({}, [{"op": "add"}], 422), ({}, [{"op": "move", "path": "/a"}], 422), ({"a": {}}, [{"op": "move", "from": "/a", "path": "/a/b"}], 422),
    ({}, {"op": "add"}, 400), ({}, ["x"], 400), ({}, [{"op": "replace", "path": "", "value": 3}], 400),
    ({}, [{"op": "test", "path": "/a", "value": None}] * (MAX_OPERATIONS + 1), 413),
    ({"a": list(range(100))}, [{"op": "copy", "from": "/a", "path": "/a/-"}] * 40, 413),
])
def test_json_patch_refusals(doc: Any, ops: Any, code: int) -> None:
    before = copy.deepcopy(doc)
    with pytest.raises(StatusError) as caught:
        json_patch(doc, ops)
    assert caught.value.code == code and doc == before


@pytest.mark.parametrize(("doc", "patch", "result"), [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}), ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}), ({"a": "b"}, {"a": None}, {}), ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}), ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}), ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}), ({"e": None}, {"a": 1}, {"e": None, "a": 1}), ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
])
def test_merge_patch_table_of_the_rfc(doc: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy(doc)
    assert merge_patch(doc, patch) == result and doc == before


def test_merge_patch_must_be_an_object() -> None:
    for patch in ([], "x", None, 3):
        with pytest.raises(StatusError) as caught:
            merge_patch({}, patch)
        assert caught.value.code == 400


_json = st.recursive(st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=2),
                     lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3), max_leaves=8)
_objects = st.dictionaries(st.text("ab", max_size=2), _json, max_size=3)


def _has_null(value: Any) -> bool:
    return isinstance(value, dict) and any(v is None or _has_null(v) for v in value.values())


@given(_objects, _objects)
def test_merge_patch_properties(doc: Any, patch: Any) -> None:
    merged = merge_patch(doc, patch)
    assert merge_patch(merged, patch) == merged
    assert merge_patch(doc, {}) == doc
    if not _has_null(patch):
        for key, value in patch.items():
            assert key in merged and (isinstance(value, dict) or merged[key] == value)


@given(_objects, _objects)
def test_a_json_patch_made_of_a_difference_reaches_the_target(doc: Any, target: Any) -> None:
    ops = [{"op": "remove", "path": "/" + key} for key in doc if key not in target]
    ops += [{"op": "add", "path": "/" + key, "value": value} for key, value in target.items()]
    assert json_patch(doc, ops) == target


def containers(*names: str) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": n, "image": f"{n}:1"} for n in names]}}


def test_lists_merge_by_key(pods: ResourceInfo) -> None:
    doc = containers("a", "b")
    patch = {"spec": {"containers": [{"name": "b", "image": "b:2"}, {"name": "c", "image": "c:1"}]}}
    assert strategic_merge(doc, patch, pods)["spec"]["containers"] == [
        {"name": "a", "image": "a:1"}, {"name": "b", "image": "b:2"}, {"name": "c", "image": "c:1"}]
    assert doc == containers("a", "b")


@pytest.mark.parametrize(("patch", "result"), [
    ([{"name": "a", "$patch": "delete"}], ["b:1"]), ([{"name": "a", "image": "x", "$patch": "replace"}], ["x", "b:1"]),
    ([{"$patch": "replace"}, {"name": "q", "image": "q:1"}], ["q:1"]), ([{"$patch": "replace"}], []), (None, None),
])
def test_list_directives(pods: ResourceInfo, patch: Any, result: Any) -> None:
    after = strategic_merge(containers("a", "b"), {"spec": {"containers": patch}}, pods)["spec"].get("containers")
    assert (after if after is None else [c["image"] for c in after]) == result


def test_map_directives_and_nulls(pods: ResourceInfo) -> None:
    doc = {"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"nodeSelector": {"x": "y"}, "hostname": "h"}}
    patch = {"metadata": {"labels": {"$patch": "replace", "c": "3"}}, "spec": {"nodeSelector": {"$patch": "delete"}, "hostname": None}}
    assert strategic_merge(doc, patch, pods) == {"metadata": {"labels": {"c": "3"}}, "spec": {"nodeSelector": {}}}
    assert strategic_merge(doc, {"metadata": {"labels": {"a": None}}}, pods)["metadata"]["labels"] == {"b": "2"}


def test_retain_keys(deployments: ResourceInfo) -> None:
    doc = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_merge(doc, patch, deployments) == {"spec": {"strategy": {"type": "Recreate"}}}
    with pytest.raises(StatusError):
        strategic_merge(doc, {"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}}, deployments)


@pytest.mark.parametrize(("live", "order", "patch", "result"), [
    ("abc", "cba", "", "cba"), ("abc", "ca", "", "bca"), ("ab", "axb", "x", "axb"), ("ab", "xb", "x", "xab"), ("abcd", "db", "", "acdb"), ("", "ab", "ab", "ab"),
])
def test_element_order(pods: ResourceInfo, live: str, order: str, patch: str, result: str) -> None:
    body: dict[str, Any] = {"$setElementOrder/containers": [{"name": n} for n in order]}
    if patch:
        body["containers"] = [{"name": n} for n in patch]
    after = strategic_merge({"spec": {"containers": [{"name": n} for n in live]}}, {"spec": body}, pods)
    assert "".join(c["name"] for c in after["spec"]["containers"]) == result


def test_primitive_lists(pods: ResourceInfo) -> None:
    doc = {"metadata": {"finalizers": ["a", "b", "c"]}}
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"], "$setElementOrder/finalizers": ["c", "a", "d"], "finalizers": ["d"]}}
    assert strategic_merge(doc, patch, pods) == {"metadata": {"finalizers": ["c", "a", "d"]}}
    assert strategic_merge(doc, {"metadata": {"finalizers": ["c", "e"]}}, pods) == {"metadata": {"finalizers": ["a", "b", "c", "e"]}}


def test_atomic_lists_are_replaced(pods: ResourceInfo) -> None:
    doc = {"spec": {"containers": [{"name": "a", "command": ["x", "y"], "args": ["1"]}]}}
    patch = {"spec": {"containers": [{"name": "a", "command": ["z"]}]}}
    assert strategic_merge(doc, patch, pods)["spec"]["containers"] == [{"name": "a", "command": ["z"], "args": ["1"]}]


@pytest.mark.parametrize("patch", [
    {"spec": {"containers": [{"image": "x"}]}}, {"spec": {"containers": ["x"]}}, {"$patch": "jump"}, [], None, {"spec": {"$setElementOrder/containers": 3}},
    {"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "b"}]}},
    {"spec": {"$setElementOrder/containers": [{"name": "a"}, {"name": "b"}], "containers": [{"name": "b"}, {"name": "a"}]}},
])
def test_bad_strategic_patches(pods: ResourceInfo, patch: Any) -> None:
    with pytest.raises(StatusError) as caught:
        strategic_merge(containers("a"), patch, pods)
    assert caught.value.code == 400


def test_custom_resources_have_no_strategic_patch(widgets: ResourceInfo) -> None:
    with pytest.raises(StatusError) as caught:
        strategic_merge({}, {}, widgets)
    assert caught.value.code == 415


_pod_names = st.lists(st.sampled_from("abcde"), unique=True, max_size=5)


@given(_pod_names, _pod_names, _pod_names)
def test_strategic_patch_properties(live: list[str], touched: list[str], gone: list[str]) -> None:
    row = ResourceInfo("", "v1", "Pod", "pods", "pod")
    doc = {"spec": {"containers": [{"name": n, "image": "old"} for n in live]}}
    items: list[dict[str, Any]] = [{"name": n, "image": "new"} for n in touched if n not in gone] + [{"name": n, "$patch": "delete"} for n in gone]
    after = strategic_merge(doc, {"spec": {"containers": items}}, row)
    found = {c["name"]: c["image"] for c in after["spec"]["containers"]}
    expected = {**dict.fromkeys(live, "old"), **dict.fromkeys(touched, "new")}
    assert found == {n: image for n, image in expected.items() if n not in gone}
    assert strategic_merge(after, {"spec": {"containers": items}}, row) == after


@pytest.mark.parametrize(("live", "patch", "result"), [
    ("a", "b", "ba"), ("abc", "cab", "cab"), ("abc", "ca", "bca"), ("abc", "b", "abc"), ("", "ab", "ab"),
])
def test_without_an_order_the_patch_s_own_order_counts(pods: ResourceInfo, live: str, patch: str, result: str) -> None:
    """As the documentation's example shows, an added container comes first."""
    doc = {"spec": {"containers": [{"name": n} for n in live]}}
    after = strategic_merge(doc, {"spec": {"containers": [{"name": n} for n in patch]}}, pods)
    assert "".join(c["name"] for c in after["spec"]["containers"]) == result


def _nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


def test_depth_is_bounded(pods: ResourceInfo) -> None:
    for apply_patch in (lambda: merge_patch({}, _nested(900)), lambda: strategic_merge({}, _nested(900), pods),
                        lambda: json_patch({}, [{"op": "add", "path": "/a", "value": _nested(900)}]),
                        lambda: json_patch({}, [{"op": "add", "path": "/a" * n, "value": {}} for n in range(1, 300)])):
        with pytest.raises(StatusError) as caught:
            apply_patch()
        assert caught.value.code in (400, 422)
    assert merge_patch({}, _nested(100)) == _nested(100)
