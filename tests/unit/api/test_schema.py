"""The schema's data as the rest of the machinery sees them, and as they are published again."""

from __future__ import annotations

import json

import pytest

from kogia.api import openapi, schema, times
from kogia.api.kinds import ResourceInfo
from kogia.api.schema import Shape


def test_kinds_lead_to_definitions() -> None:
    assert schema.definition_for("apps", "v1", "Deployment") == "io.k8s.api.apps.v1.Deployment"
    assert schema.definition_for("example.com", "v1", "Widget") == ""
    assert schema.type_for("example.com", "v1", "Widget").shape is Shape.ANY
    assert "properties" in schema.definition("io.k8s.api.core.v1.Pod")
    with pytest.raises(KeyError):
        schema.definition("nope")


def test_fields_know_how_they_merge(pods: ResourceInfo) -> None:
    pod = schema.type_for(pods.group, pods.version, pods.kind)
    ports = schema.field(pod, "spec.containers.ports")
    assert ports is not None and (ports.list_type, ports.list_keys, ports.key_defaults) == ("map", ("containerPort", "protocol"), {"protocol": "TCP"})
    assert ports.merge_key == "containerPort" and ports.strategies == {"merge"}
    command = schema.field(pod, "spec.containers.command")
    assert command is not None and command.list_type == "atomic"
    selector = schema.field(schema.type_for("apps", "v1", "Deployment"), "spec.selector")
    assert selector is not None and selector.atomic
    finalizers = schema.field(pod, "metadata.finalizers")
    assert finalizers is not None and finalizers.list_type == "set"
    quantity = schema.field(pod, "spec.containers.resources.limits.cpu")
    assert quantity is not None and quantity.scalar == "quantity"
    assert schema.field(pod, "spec.nope") is None


def test_every_definition_compiles() -> None:
    for name in schema.definitions():
        for node in schema.type_of(name).fields.values():
            assert repr(node)


def test_published_v2_has_no_trace_of_the_package() -> None:
    definitions = openapi.openapi_v2()
    text = json.dumps(definitions)
    assert '"null"' not in text and "$defs" not in text and len(definitions) == len(schema.definitions())
    assert definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"]["type"] == "string"
    assert definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]["format"] == "int-or-string"
    pod = definitions["io.k8s.api.core.v1.Pod"]
    assert "enum" not in pod["properties"]["kind"] and pod["description"] and pod["x-kubernetes-group-version-kind"] == [{"group": "", "kind": "Pod", "version": "v1"}]
    assert pod["properties"]["spec"]["$ref"] == "#/definitions/io.k8s.api.core.v1.PodSpec"


def test_published_v3_is_closed_under_references() -> None:
    schemas = openapi.openapi_v3("apps", "v1", extra_roots=["io.k8s.api.autoscaling.v1.Scale"])
    assert "io.k8s.api.apps.v1.Deployment" in schemas and "io.k8s.api.autoscaling.v1.Scale" in schemas and "io.k8s.api.core.v1.Node" not in schemas
    refs = set()

    def walk(value: object) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                refs.add(value["$ref"])
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(schemas)
    assert refs == {ref for ref in refs if ref.removeprefix("#/components/schemas/") in schemas} and refs
    assert schemas["io.k8s.api.apps.v1.Deployment"]["properties"]["spec"]["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec"}]


@pytest.mark.parametrize(("text", "seconds", "micros"), [
    ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000000Z"),
    ("2026-01-01T00:00:00.123456789+02:30", "2025-12-31T21:30:00Z", "2025-12-31T21:30:00.123456Z"), ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
    ("2024-02-29T23:59:59-00:00", "2024-02-29T23:59:59Z", "2024-02-29T23:59:59.000000Z"),
])
def test_times(text: str, seconds: str, micros: str) -> None:
    assert (times.normal_time(text), times.normal_microtime(text)) == (seconds, micros)


def test_times_from_clocks() -> None:
    assert times.format_time(0) == "1970-01-01T00:00:00Z" and times.format_microtime(1.5) == "1970-01-01T00:00:01.500000Z"
    assert times.parse_time("2026-01-01T00:00:00Z").timestamp() == 1767225600
    with pytest.raises(times.TimeError, match='parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"'):
        times.parse_time("x")
