"""`meta.k8s.io/v1 Table` columns and cells per kind, as Kubernetes prints them (`kubectl get`).

One module per family of kinds; each adds `TableKind`s to `registry.py`. The caller (the registry's encoder) wraps the cells in
Table rows with the object or its metadata. Cells are JSON values; every row has exactly as many cells as columns.
"""

from __future__ import annotations

from typing import Any

from kogia.api.kinds import ResourceInfo
from kogia.api.tables.age import age, duration
from kogia.api.tables.model import DEFAULT, TableKind
from kogia.api.tables.registry import TABLES

Obj = dict[str, Any]


def table_kind(resource: ResourceInfo) -> TableKind:
    """The columns and cell rule of a kind, `DEFAULT` (Name, Age) for kinds without their own."""
    return TABLES.get((resource.storage[0], resource.storage[2]), DEFAULT)


def columns(resource: ResourceInfo) -> list[dict[str, Any]]:
    """`columnDefinitions` of the kind's table: name, type, format, description, priority (0 = always, 1 = `-o wide`)."""
    return [column.definition() for column in table_kind(resource).columns]


def row(resource: ResourceInfo, obj: Obj, now: float) -> list[Any]:
    """The cells of one object (in `resource`'s version, or the stored one); `now` in seconds since the epoch."""
    return table_kind(resource).cells(obj, now)


__all__ = ["age", "columns", "duration", "row", "table_kind"]
