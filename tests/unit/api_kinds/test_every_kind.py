"""One valid object per kind: defaults fit the schema, are idempotent, and the result passes its own validation and prints as a row."""

import copy
from typing import Any

import pytest

from kogia.api import resources
from kogia.api.conversion import convert
from kogia.api.decode import check
from kogia.api.kinds import ResourceInfo
from kogia.api.strategies import strategy_for
from kogia.api.tables import columns, row
from tests.support.examples import example


def created(resource: ResourceInfo) -> dict[str, Any]:
    obj = example(resource)
    strategy = strategy_for(resource)
    strategy.default(obj)
    strategy.prepare_create(obj)
    return obj


ROWS = [row for row in resources.ALL if row.stored or row.kind == "Binding"]
IDS = [f"{row.api_version}/{row.kind}" for row in ROWS]


@pytest.mark.parametrize("resource", ROWS, ids=IDS)
def test_valid_object_passes(resource: ResourceInfo) -> None:
    obj = created(resource)
    assert [e.message for e in strategy_for(resource).validate_create(obj)] == []
    if resource.kind != "Secret":
        assert check(copy.deepcopy(obj), resource) == []


@pytest.mark.parametrize("resource", ROWS, ids=IDS)
def test_defaulting_twice_changes_nothing(resource: ResourceInfo) -> None:
    obj = created(resource)
    again = copy.deepcopy(obj)
    strategy_for(resource).default(again)
    assert again == obj


@pytest.mark.parametrize("resource", ROWS, ids=IDS)
def test_update_without_change_keeps_generation_and_is_valid(resource: ResourceInfo) -> None:
    old = created(resource)
    old["metadata"] |= {"uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
    strategy = strategy_for(resource)
    for subresource in ("", "status"):
        new = copy.deepcopy(old)
        strategy.prepare_update(new, old, subresource)
        assert new == old
        assert strategy.validate_update(new, old, subresource) == []


@pytest.mark.parametrize("resource", ROWS, ids=IDS)
def test_row_has_as_many_cells_as_columns(resource: ResourceInfo) -> None:
    obj = created(resource)
    assert len(row(resource, obj, 0.0)) == len(columns(resource))
    bare = {"metadata": {"name": "x"}}
    assert len(row(resource, bare, 0.0)) == len(columns(resource))
    for cell, column in zip(row(resource, bare, 0.0), columns(resource), strict=True):
        assert isinstance(cell, (str, int, bool))
        if column["type"] == "integer":
            assert isinstance(cell, int)


@pytest.mark.parametrize("resource", ROWS, ids=IDS)
def test_selectable_fields(resource: ResourceInfo) -> None:
    strategy = strategy_for(resource)
    fields = strategy.selectable_fields(created(resource))
    expected = {"metadata.name"} | ({"metadata.namespace"} if resource.namespaced else set()) | strategy.field_labels
    assert set(fields) == expected
    assert all(isinstance(value, str) for value in fields.values())
    assert all(strategy.supports_field(label) for label in fields) and not strategy.supports_field("spec.nonsense")


@pytest.mark.parametrize("resource", ROWS, ids=IDS)
def test_conversion_to_storage_and_back(resource: ResourceInfo) -> None:
    obj = created(resource)
    stored = resources.ALL.storage_row(resource)
    there = convert(obj, stored)
    assert (there["apiVersion"], there["kind"]) == (stored.api_version, stored.kind)
    assert convert(there, resource) == obj
