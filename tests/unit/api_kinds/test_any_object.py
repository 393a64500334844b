"""No object that fits the schema, however odd, makes the rules fall over: random objects of every kind, the same on every run."""

import copy
import random
from typing import Any

import pytest

from kogia.api import pods, resources, schema
from kogia.api.conversion import convert
from kogia.api.decode import check
from kogia.api.kinds import ResourceInfo
from kogia.api.schema import Node, Shape
from kogia.api.status import invalid
from kogia.api.strategies import strategy_for
from kogia.api.tables import columns, row

TEXTS = (
    "", "x", "a.b", "A_b", "1", "None", "*", "..", "/x", "../x", "a/b", "http", "TCP", "Always", "Never", "OnFailure", "ClusterIP", "ExternalName", "RollingUpdate",
    "In", "Exists", "10.0.0.1", "::1", "10.0.0.0/8", "ü", "50%", "v1", "Resource", "Pods", "Guaranteed", "cpu", "metadata.labels['a']", "* * * * *", "@every x",
)
NUMBERS = (-1, 0, 1, 3, 80, 70000, 2**31 - 1)
AMOUNTS = ("0", "1", "100m", "1Gi", "1500m")
KEYS = ("a", "cpu", "memory", "storage", "example.com/gpu", "hugepages-2Mi", "app", "")


class Maker:
    """Random values for schema nodes."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def scalar(self, kind: str) -> Any:
        pick = self.random.choice
        if kind in ("int32", "int64"):
            return pick(NUMBERS)
        if kind == "quantity":
            return pick(AMOUNTS)
        if kind == "int-or-string":
            return pick((*NUMBERS, "25%", "http", "x%"))
        return {"boolean": pick((True, False)), "double": 1.5, "byte": pick(("", "YQ==")), "time": "2026-01-01T00:00:00Z",
                "microtime": "2026-01-01T00:00:00.000000Z"}.get(kind, pick(TEXTS))

    def value(self, node: Node, depth: int) -> Any:
        if node.shape is Shape.SCALAR:
            return self.scalar(node.scalar)
        if node.shape is Shape.ANY:
            return {}
        count = self.random.choice((0, 1, 1, 2)) if depth < 9 else 0
        assert node.item is not None or node.shape is Shape.STRUCT
        if node.shape is Shape.LIST:
            return [self.value(node.item, depth + 1) for _ in range(count)]  # type: ignore[arg-type]
        if node.shape is Shape.MAP:
            return {self.random.choice(KEYS): self.value(node.item, depth + 1) for _ in range(count)}  # type: ignore[arg-type]
        chance = (1.0, 0.9, 0.75, 0.55, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2)[min(depth, 9)]
        return {name: self.value(field, depth + 1) for name, field in node.fields.items() if self.random.random() < chance}

    def object(self, resource: ResourceInfo) -> dict[str, Any]:
        made: dict[str, Any] = self.value(schema.type_for(resource.group, resource.version, resource.kind), 1)
        made |= {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": "x", "labels": {"app": "a"}}}
        if resource.namespaced:
            made["metadata"]["namespace"] = "default"
        check(made, resource)
        return made


ROWS = [row for row in resources.ALL if row.stored or row.kind == "Binding"]


@pytest.mark.parametrize("resource", ROWS, ids=[f"{r.api_version}/{r.kind}" for r in ROWS])
def test_rules_hold_for_anything_the_schema_allows(resource: ResourceInfo) -> None:
    strategy = strategy_for(resource)
    maker = Maker(7)
    old: dict[str, Any] | None = None
    for _ in range(25 if resource.kind == "Pod" else 8):
        obj = maker.object(resource)
        raw = copy.deepcopy(obj)
        assert len(row(resource, raw, 0.0)) == len(columns(resource))
        strategy.default(obj)
        strategy.prepare_create(obj)
        again = copy.deepcopy(obj)
        strategy.default(again)
        assert again == obj
        errors = strategy.validate_create(obj) + strategy.validate_update(obj, old or obj, "")
        if errors:
            assert invalid(resource.kind, "x", errors, resource.group).code == 422
        assert all(isinstance(value, str) for value in strategy.selectable_fields(obj).values())
        assert all(isinstance(warning, str) for warning in strategy.warnings(obj))
        for subresource in ("", "status", *(s.name for s in resource.subresources if s.kind == resource.kind)):
            new = copy.deepcopy(raw)
            strategy.default(new)
            before = copy.deepcopy(obj)
            strategy.prepare_update(new, before, subresource)
            strategy.validate_update(new, before, subresource)
            assert before == obj
        stored = resources.ALL.storage_row(resource)
        convert(convert(obj, stored), resource)
        if resource.kind == "Pod":
            assert pods.qos_class(obj) in ("Guaranteed", "Burstable", "BestEffort")
            pods.requests(obj), pods.limits(obj)
        old = obj
