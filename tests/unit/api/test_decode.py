"""Bodies to objects: JSON and YAML, duplicates, unknown fields, Go's words for wrong types, canonical values."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kogia.api import schema
from kogia.api.checks import recogniser
from kogia.api.decode import check, decode, decode_object, strict_error
from kogia.api.kinds import ResourceInfo
from kogia.api.pruning import prune
from kogia.api.schema import Node, Shape
from kogia.api.status import StatusError

POD = "io.k8s.api.core.v1.Pod"


def pod(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


def test_a_canonical_pod_is_left_alone() -> None:
    obj = pod(terminationGracePeriodSeconds=30, hostNetwork=True)
    before = copy.deepcopy(obj)
    assert check(obj, POD) == [] and obj == before


def test_unknown_fields_are_pruned_and_named() -> None:
    obj = pod(foo=1)
    obj["spec"]["containers"][0].update(imagePullPolicies="x", ports=[{"containerPort": 1, "hostport": 2}])
    obj["metadata"]["unknownMeta"] = {}
    obj["extra"] = None
    messages = check(obj, POD)
    assert sorted(messages) == sorted([
        'unknown field "spec.foo"', 'unknown field "spec.containers[0].imagePullPolicies"', 'unknown field "spec.containers[0].ports[0].hostport"',
        'unknown field "metadata.unknownMeta"', 'unknown field "extra"'])
    assert obj == {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 1}]}]}}
    assert strict_error(obj, messages[:2]).message.startswith('Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "')


def test_values_become_canonical(services: ResourceInfo) -> None:
    obj = pod(priority=None, nodeSelector={"a": None}, overhead={"cpu": 1, "memory": "1024Mi"})
    obj["metadata"]["creationTimestamp"] = "2026-01-01T02:00:00.5+02:00"
    obj["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "1000m", "memory": 0.5}}
    assert check(obj, POD) == []
    assert obj["metadata"]["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert obj["spec"] == {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1", "memory": "500m"}}}],
                           "nodeSelector": {"a": ""}, "overhead": {"cpu": "1", "memory": "1Gi"}}
    service = {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80, "targetPort": "http"}, {"port": 81, "targetPort": 8081}]}}
    assert check(service, services) == []


def test_micro_times_keep_their_digits() -> None:
    lease = {"spec": {"renewTime": "2026-01-01T00:00:00.123456Z", "acquireTime": "2026-01-01T00:00:00Z"}}
    assert check(lease, "io.k8s.api.coordination.v1.Lease") == []
    assert lease["spec"] == {"renewTime": "2026-01-01T00:00:00.123456Z", "acquireTime": "2026-01-01T00:00:00.000000Z"}


@pytest.mark.parametrize(("change", "message"), [
    ({"terminationGracePeriodSeconds": "x"}, "json: cannot unmarshal string into Go struct field PodSpec.spec.terminationGracePeriodSeconds of type int64"),
    ({"containers": [{"name": 3}]}, "json: cannot unmarshal number into Go struct field Container.spec.containers.name of type string"),
    ({"containers": {}}, "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container"),
    ({"nodeSelector": {"a": 1}}, "json: cannot unmarshal number into Go struct field PodSpec.spec.nodeSelector of type string"),
    ({"priority": 1.5}, "json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.priority of type int32"),
    ({"priority": 2**31}, "json: cannot unmarshal number 2147483648 into Go struct field PodSpec.spec.priority of type int32"),
    ({"priority": True}, "json: cannot unmarshal bool into Go struct field PodSpec.spec.priority of type int32"),
    ({"hostNetwork": "true"}, "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool"),
    ({"securityContext": []}, "json: cannot unmarshal array into Go struct field PodSpec.spec.securityContext of type v1.PodSecurityContext"),
    ({"overhead": {"cpu": "lots"}}, "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
])
def test_wrong_types_in_gos_words(change: dict[str, Any], message: str) -> None:
    with pytest.raises(StatusError) as caught:
        check(pod(**change), POD)
    assert caught.value.code == 400 and caught.value.message == f'Pod in version "v1" cannot be handled as a Pod: {message}'


@pytest.mark.parametrize(("data", "good"), [("aGk=", True), ("", True), ("aGk", False), ("a-k=", False), ("aG\nk=", True)])
def test_base64(data: str, good: bool) -> None:
    secret = {"kind": "Secret", "apiVersion": "v1", "data": {"x": data}}
    if good:
        assert check(secret, "io.k8s.api.core.v1.Secret") == []
        return
    with pytest.raises(StatusError, match="illegal base64 data at input byte"):
        check(secret, "io.k8s.api.core.v1.Secret")


@pytest.mark.parametrize("text", ["2020-13-01T00:00:00Z", "yesterday", "2020-01-01", "2020-01-01T00:00:00", "2020-02-30T00:00:00Z", "2020-01-01T25:00:00Z", 5])
def test_bad_times(text: object) -> None:
    with pytest.raises(StatusError, match=r"parsing time|cannot unmarshal number"):
        check({"metadata": {"creationTimestamp": text}}, POD)


def test_custom_resources_get_their_metadata_checked(widgets: ResourceInfo) -> None:
    obj = {"kind": "Widget", "metadata": {"name": "a", "bogus": 1, "labels": {"a": "b"}}, "anything": [None, {"x": 1}]}
    assert check(obj, widgets) == ['unknown field "metadata.bogus"']
    assert obj["anything"] == [None, {"x": 1}]
    with pytest.raises(StatusError):
        check({"kind": "Widget", "metadata": {"labels": []}}, widgets)


def test_json_schema_in_a_crd_recurses() -> None:
    props = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}, "typo": 1}}}
    crd = {"kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1", "spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": props}}]}}
    assert check(crd, "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition") == [
        'unknown field "spec.versions[0].schema.openAPIV3Schema.properties.a.typo"']


@pytest.mark.parametrize(("body", "message"), [
    (b"", "unexpected end of JSON input (<empty>)"), (b"{", "unexpected end of JSON input ({)"),
    (b'{"a":}', "invalid character '}' looking for beginning of value ({\"a\":})"), (b"[1]", "cannot unmarshal array into Go value"),
    (b"[" * 300 + b"]" * 300, "exceeded max depth"), (b'{"a":1}x', "invalid character 'x' after top-level value"), (b'{"a":NaN}', "invalid character 'N'"),
])
def test_malformed_json(body: bytes, message: str) -> None:
    with pytest.raises(StatusError) as caught:
        decode_object(body, "application/json", "Pod")
    assert caught.value.code == 400 and message in caught.value.message
    assert caught.value.message.startswith("the object provided is unrecognized (must be of type Pod): ")


def test_unknown_content_type() -> None:
    with pytest.raises(StatusError) as caught:
        decode(b"{}", "text/plain")
    assert caught.value.code == 415


def test_content_types_and_int64() -> None:
    assert decode(b'{"a":9223372036854775807}', "application/json; charset=utf-8") == ({"a": 2**63 - 1}, [])
    assert decode(b"{}", "") == ({}, [])


def test_duplicate_fields_when_asked() -> None:
    body = b'{"a":1,"a":2,"b":[{"c":1,"d":{"e":1,"e":1,"e":1},"c":2}]}'
    assert decode(body, "application/json", strict=True) == (
        {"a": 2, "b": [{"c": 2, "d": {"e": 1}}]}, ['duplicate field "a"', 'duplicate field "b[0].d.e"', 'duplicate field "b[0].c"'])
    assert decode(body, "application/json")[1] == []
    value, messages = decode(b"a: 1\nb:\n  c: 1\n  c: 2\na: 3\n", "application/yaml", strict=True)
    assert value == {"a": 3, "b": {"c": 2}} and messages == ['line 4: key "c" already set in map', 'line 5: key "a" already set in map']
    assert strict_error({"kind": "X", "apiVersion": "v1"}, [*messages, 'unknown field "z"']).message == (
        'X in version "v1" cannot be handled as a X: strict decoding error: yaml: unmarshal errors:\n  line 4: key "c" already set in map\n'
        '  line 5: key "a" already set in map, unknown field "z"')


@pytest.mark.parametrize(("text", "value"), [
    ("yes", True), ("Off", False), ("y", True), ("null", None), ("~", None), ("", None), ("'yes'", "yes"), ('"1"', "1"), ("0777", 511), ("0o17", 15), ("0x1F", 31),
    ("0b11", 3), ("1_000", 1000), ("1e3", 1000), ("1.5", 1.5), (".5", 0.5), ("2020-01-01", "2020-01-01"), ("12:30:45", "12:30:45"), ("=", "="), ("08", 8),
    ("-1", -1), ("+1", 1), ("1.2.3", "1.2.3"), ("1Gi", "1Gi"), ("100m", "100m"), ("!!str 12", "12"), ("!!int '12'", 12), ("!!binary aGk=", "hi"), ("18446744073709551615", 2**64 - 1),
    ("- a\n  - b", ["a", "b"]), ("[a, 1]", ["a", 1]), ("|\n  a\n  b\n", "a\nb\n"), (">-\n  a\n  b\n", "a b"), ("-", [None]), ("0", 0), ("-0", 0), ("nullable", "nullable"), (".", "."), ("+", "+"),
])
def test_yaml_scalars_as_go_reads_them(text: str, value: Any) -> None:
    body = f"k: {text}\n" if not text.startswith("-") or text in ("-1", "-0") else f"k:\n  {text}\n"
    assert decode(body.encode(), "application/yaml") == ({"k": value}, [])


def test_yaml_keys_anchors_and_merges() -> None:
    body = b"base: &b {x: 1, z: 2}\nuse:\n  <<: *b\n  z: 3\n1: a\ntrue: b\n1.5: c\nlist:\n  <<: [*b, {z: 9, w: 8}]\n"
    assert decode(body, "application/yaml")[0] == {
        "base": {"x": 1, "z": 2}, "use": {"z": 3, "x": 1}, "1": "a", "true": "b", "1.5": "c", "list": {"x": 1, "z": 2, "w": 8}}


def test_yaml_bombs_and_nonsense_are_refused() -> None:
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))
    for body in (bomb, "a: &a [*a]", "a: .nan", "a: b: c", "\ta: 1", "a: [", "? {a: b}\n: c", "a: " + "[" * 300 + "]" * 300, "a: !!int x", "<<: 3", "a: *nope"):
        with pytest.raises(StatusError) as caught:
            decode(body.encode(), "application/yaml")
        assert caught.value.code == 400


def test_json_is_yaml() -> None:
    text = json.dumps(pod(nodeSelector={"a": "\u00e9 \" \\ \n"}))
    assert decode(text.encode(), "application/yaml")[0] == json.loads(text)


_scalars = {
    "string": st.text(max_size=3), "boolean": st.booleans(), "int32": st.integers(-9, 9), "int64": st.integers(-9, 9), "double": st.floats(0, 1),
    "byte": st.sampled_from(["aGk=", ""]), "quantity": st.sampled_from(["1", "500m", "1Gi", "1000m", 2]), "int-or-string": st.sampled_from([1, "50%"]),
    "time": st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:00+01:00"]), "microtime": st.just("2026-01-01T00:00:00.000001Z"),
}


@st.composite
def values_of(draw: st.DrawFn, node: Node, depth: int = 0) -> Any:
    """A value of a type, now and then with a flaw in it."""
    if draw(st.integers(0, 60)) == 0:
        return draw(st.sampled_from([None, "flaw", 7, [], {}, True, 1.5]))
    if node.shape is Shape.SCALAR:
        return draw(_scalars[node.scalar])
    if node.shape is Shape.ANY or depth > 5:
        return {} if node.shape is not Shape.LIST else []
    assert node.item is not None or node.struct is not None
    if node.shape is Shape.LIST:
        return [draw(values_of(node.item, depth + 1)) for _ in range(draw(st.integers(0, 2)))]  # type: ignore[arg-type]
    if node.shape is Shape.MAP:
        return {key: draw(values_of(node.item, depth + 1)) for key in draw(st.sets(st.sampled_from("abc"), max_size=2))}  # type: ignore[arg-type]
    chosen = draw(st.sets(st.sampled_from(sorted(node.fields) + ["bogus"]), max_size=3)) if node.fields else set()
    return {name: draw(values_of(node.fields[name], depth + 1)) if name in node.fields else 1 for name in chosen}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_what_is_recognised_needs_no_pruning_and_pruning_is_final(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([POD, "io.k8s.api.apps.v1.Deployment", "io.k8s.api.core.v1.Node", "io.k8s.api.networking.v1.Ingress"]))
    node = schema.type_of(name)
    value = data.draw(values_of(node))
    before = copy.deepcopy(value)
    accepted = recogniser(node)(value)
    messages: list[str] = []
    try:
        kept = prune(value, node, messages)
    except TypeError:
        assert not accepted
        return
    if accepted:
        assert kept == before and messages == []
    elif isinstance(kept, dict):
        again: list[str] = []
        assert prune(copy.deepcopy(kept), node, again) == kept and again == []
