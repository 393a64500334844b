"""`metadata.managedFields`: reading, writing and keeping the list of field managers short.

Managers are keyed by (name, operation, apiVersion, subresource); appliers have no apiVersion in their key, so that a newer version
replaces the older. Unreadable lists from clients count as none, as in Kubernetes.

Source: k8s.io/apimachinery util/managedfields internal (managedfields.go, capmanagers.go, stripmeta.go).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from kogia.api.apply.sets import FieldSet, is_valid, union
from kogia.api.kinds import Obj, ResourceInfo

APPLY, UPDATE = "Apply", "Update"
MAX_UPDATE_MANAGERS = 10
_ANCIENT = "ancient-changes"

#: fields nobody owns, because the server sets them
_SERVER_FIELDS: FieldSet = {
    "f:apiVersion": {}, "f:kind": {},
    "f:metadata": {f"f:{name}": {} for name in (
        "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields", "resourceVersion")},
}
_SERVER_META: frozenset[str] = frozenset(_SERVER_FIELDS["f:metadata"])
_ROOT = frozenset(("f:apiVersion", "f:kind"))


class ManagerKey(NamedTuple):
    manager: str
    operation: str
    api_version: str  #: "" for appliers
    subresource: str


@dataclass(slots=True)
class Managed:
    """One manager's fields: the set, the apiVersion it was written in, and when ("" = unknown)."""

    fields: FieldSet
    api_version: str
    time: str


Managers = dict[ManagerKey, Managed]


def key_of(manager: str, operation: str, api_version: str, subresource: str) -> ManagerKey:
    return ManagerKey(manager or "unknown", operation, "" if operation == APPLY else api_version, subresource)


def read(entries: Any) -> Managers | None:
    """The managers of a `managedFields` list, None when it is malformed."""
    found: Managers = {}
    if not isinstance(entries, list):
        return None if entries is not None else found
    for entry in entries:
        if not isinstance(entry, dict):
            return None
        operation = entry.get("operation", "")
        fields = entry.get("fieldsV1")
        fields = {} if fields is None else fields
        if operation not in (APPLY, UPDATE) or entry.get("fieldsType", "FieldsV1") != "FieldsV1" or not is_valid(fields):
            return None
        version = entry.get("apiVersion", "")
        key = ManagerKey(entry.get("manager", ""), operation, "" if operation == APPLY else version, entry.get("subresource", ""))
        found[key] = Managed(fields, version, entry.get("time") or "")
    return found


def trusted(entries: Any) -> Managers:
    """`read` for a list the server itself stored: no second look at the sets."""
    found: Managers = {}
    for entry in entries or ():
        operation = entry.get("operation", "")
        version = entry.get("apiVersion", "")
        key = ManagerKey(entry.get("manager", ""), operation, "" if operation == APPLY else version, entry.get("subresource", ""))
        found[key] = Managed(entry.get("fieldsV1") or {}, version, entry.get("time") or "")
    return found


def is_reset(entries: Any) -> bool:
    """`managedFields: []` or `[{}]`: the client's way of throwing all tracking away. Source: isResetManagedFields."""
    return entries == [] or entries == [{}]


def write(managers: Managers) -> list[Obj]:
    """The `managedFields` list, appliers first, then by time and name; empty sets are left out."""
    rows = [(key, managed) for key, managed in managers.items() if managed.fields]
    if len(rows) > 1:
        rows.sort(key=lambda row: (row[0].operation, row[1].time, row[0].manager, row[1].api_version, row[0].subresource))
    out = []
    for key, managed in rows:
        entry: Obj = {"manager": key.manager, "operation": key.operation, "apiVersion": managed.api_version}
        if managed.time:
            entry["time"] = managed.time
        entry["fieldsType"] = "FieldsV1"
        entry["fieldsV1"] = managed.fields
        if key.subresource:
            entry["subresource"] = key.subresource
        out.append(entry)
    return out


def strip(fields: FieldSet, resource: ResourceInfo, subresource: str) -> FieldSet:
    """`fields` without what the server sets and what this kind of write cannot change (status, or everything but status)."""
    out = {}
    ignored = reset_fields(resource, subresource)
    for key, branch in fields.items():
        if key in _ROOT or key == "." or key in ignored:
            continue
        if key == "f:metadata":
            branch = {k: v for k, v in branch.items() if k != "." and k not in _SERVER_META}
            if not branch:
                continue
        out[key] = branch
    return out


def without_reset_fields(fields: FieldSet, resource: ResourceInfo, subresource: str) -> FieldSet:
    """`fields` without the top-level ones this kind of write cannot change."""
    ignored = reset_fields(resource, subresource)
    return {key: branch for key, branch in fields.items() if key not in ignored} if ignored else fields


def reset_fields(resource: ResourceInfo, subresource: str) -> tuple[str, ...]:
    """Top-level fields a write to this (sub)resource does not own. Source: the strategies' GetResetFields."""
    if subresource == "status":
        return ("f:spec",)
    if not subresource and resource.subresource("status") is not None:
        return ("f:status",)
    return ()


def cap(managers: Managers) -> None:
    """Merge the oldest updaters of one version into `ancient-changes` until at most MAX_UPDATE_MANAGERS are left."""
    updaters = [key for key in managers if key.operation == UPDATE]
    left = len(updaters)
    if left <= MAX_UPDATE_MANAGERS:
        return
    updaters.sort(key=lambda key: (managers[key].time, key))
    first_of: dict[str, ManagerKey] = {}
    for key in updaters:
        if left <= MAX_UPDATE_MANAGERS:
            return
        managed = managers[key]
        version = managed.api_version
        first = first_of.get(version)
        if first is None:
            first_of[version] = key
            continue
        bucket = ManagerKey(_ANCIENT, UPDATE, version, "")
        if bucket not in managers:
            managers[bucket] = managers.pop(first)
        if bucket != key:
            managers[bucket] = Managed(union(managed.fields, managers[bucket].fields), version, managed.time)
            managers.pop(key, None)
            left -= 1
