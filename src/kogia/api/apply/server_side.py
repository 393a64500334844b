"""The two operations of field management: `apply` and `record`.

Objects keep their `managedFields` in `metadata`; both functions read the live object's list, work out the change, and put the new list
into the result. Defaulting and validation come after, in the handler.

Source: merge.Updater (Apply, Update, prune), managedfields internal (fieldmanager.go, lastappliedmanager.go, skipnonapplied.go).
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from kogia.api import schema
from kogia.api.apply import managers as book
from kogia.api.apply import sets
from kogia.api.apply.compare import compare, to_set
from kogia.api.apply.managers import APPLY, UPDATE, Managed, ManagerKey, Managers
from kogia.api.apply.merge import ConfigurationError, drop_nulls, merge, remove, validate
from kogia.api.apply.sets import FieldSet, OmittedKeys
from kogia.api.jsoncopy import deep_copy
from kogia.api.kinds import Obj, ResourceInfo
from kogia.api.schema import Node, Shape
from kogia.api.status import Cause, StatusError, bad_request, status_error
from kogia.api.times import format_time

BEFORE_FIRST_APPLY = "before-first-apply"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_LAST_APPLIED_LIMIT = 262_144
_CURRENT = ManagerKey("", "", "", "")


def _type_for(resource: ResourceInfo) -> Node:
    node = schema.type_for(resource.group, resource.version, resource.kind)
    return _untyped() if node.shape is Shape.ANY else node


def _untyped() -> Node:
    """A kind without schema: everything deduced, but `metadata` is what it always is."""
    global _custom
    if _custom is None:
        root = schema.Struct("", {})
        root._fields = {"metadata": schema.object_meta()}
        _custom = _OpenNode(Shape.STRUCT, struct=root)
    return _custom


class _OpenNode(Node):
    """A struct that lets other fields be."""

    __slots__ = ()


_custom: Node | None = None


def _stamp(now: str | float | datetime) -> str:
    return now if isinstance(now, str) else format_time(now)


def _bare(obj: Obj) -> Obj:
    """A shallow copy without managedFields."""
    meta = obj.get("metadata")
    if meta and "managedFields" in meta:
        return {**obj, "metadata": {k: v for k, v in meta.items() if k != "managedFields"}}
    return obj


def record(
    new: Obj, old: Obj | None, resource: ResourceInfo, manager: str, now: str | float | datetime,
    subresource: str = "", operation: str = UPDATE,
) -> None:
    """Set `new["metadata"]["managedFields"]` for a create, update or non-apply patch: what changed now belongs to `manager`.

    Shape: `new` is changed in place (only its metadata), `old` is the stored object or None for a create; now is RFC 3339 text, epoch
    seconds or a datetime. A list the client sent is honoured (`[]` and `[{}]` throw all tracking away) except on subresources; an object
    without tracking stays without until the next apply. Nothing changed: the list stays as it was, times included.
    """
    meta = new.setdefault("metadata", {})
    sent = meta.pop("managedFields", None)
    stored = (old.get("metadata") or {}).get("managedFields") if old else None
    known = _starting_point(sent, stored, subresource)
    if old is not None and not known:
        return
    node = _type_for(resource)
    changed, removed = compare(_bare(old) if old else {}, new, node)
    if old is None:
        _drop_presence(changed)
    _update(known, changed, removed, resource, book.key_of(manager, operation, resource.api_version, subresource), _stamp(now), subresource)
    if known:
        book.cap(known)
        meta["managedFields"] = book.write(known)


def _drop_presence(changed: FieldSet) -> None:
    """On creation the root's apiVersion and kind are not news."""
    changed.pop("f:apiVersion", None)
    changed.pop("f:kind", None)


def _starting_point(sent: Any, stored: Any, subresource: str) -> Managers:
    if not subresource and sent is not None and sent != stored:
        if book.is_reset(sent):
            return {}
        given = book.read(sent)
        if given:
            return given
    return book.trusted(stored)


def _update(
    known: Managers, changed: FieldSet, removed: FieldSet, resource: ResourceInfo, key: ManagerKey, now: str, subresource: str,
) -> None:
    """Give the changed fields to `key` and take changed and removed ones from everybody. Source: Updater.Update."""
    changed = book.strip(changed, resource, subresource)
    removed = book.strip(removed, resource, subresource)
    if changed or removed:
        lost = sets.union(changed, removed)
        for other, managed in list(known.items()):
            left = sets.difference(managed.fields, lost)
            if not left:
                del known[other]
                if other == key and changed:
                    known[other] = Managed({}, managed.api_version, managed.time)
            elif left != managed.fields:
                known[other] = Managed(left, managed.api_version, managed.time)
    if changed:
        before = known.get(key)
        fields = sets.union(before.fields, changed) if before is not None else changed
        known[key] = Managed(fields, resource.api_version, now)


def apply(
    live: Obj | None, applied: Obj, resource: ResourceInfo, manager: str, force: bool, now: str | float | datetime, subresource: str = "",
) -> Obj:
    """The object after `manager` applied its whole opinion `applied`; a new object, the arguments are left alone.

    Shape: live None creates. Fields the manager applied before and no longer mentions go, unless somebody else owns them. The result
    carries the new managedFields; when nothing changed it equals `live`.
    Errors: 400 BadRequest (managedFields in the configuration), 409 Conflict with a FieldManagerConflict cause per field owned by
    others at other values (unless `force`), 500 when the configuration does not fit the schema (Kubernetes answers so, too).
    """
    node = _type_for(resource)
    config = deep_copy(applied)
    if (config.get("metadata") or {}).get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    _check_config(config, node, resource)
    now = _stamp(now)
    base: Obj = _bare(deep_copy(live)) if live else {}
    known = book.trusted(((live or {}).get("metadata") or {}).get("managedFields"))
    if live and not known:
        changed, _ = compare({}, base, node)
        _drop_presence(changed)
        _update(known, changed, {}, resource, book.key_of(BEFORE_FIRST_APPLY, UPDATE, resource.api_version, subresource), now, subresource)
    key = book.key_of(manager, APPLY, "", subresource)
    job = _Apply(base, config, node, resource, known, key, subresource)
    conflicts = job.run(force)
    if conflicts and manager == "kubectl":
        conflicts = _beyond_last_applied(conflicts, base, node)
        if not conflicts:
            job = _Apply(base, config, node, resource, known, key, subresource)
            job.run(True)
    if conflicts:
        raise _conflict_error(conflicts, known)
    result, known = job.result, job.managers
    if manager == "kubectl" and live and LAST_APPLIED in (base.get("metadata") or {}).get("annotations", {}):
        _refresh_last_applied(result, applied)
    if key in known and (not known[key].time or live is None or result != base):
        known[key].time = now
    book.cap(known)
    entries = book.write(known)
    meta = result.setdefault("metadata", {})
    if entries:
        meta["managedFields"] = entries
    return result


def _check_config(config: Obj, node: Node, resource: ResourceInfo) -> None:
    try:
        if isinstance(node, _OpenNode):
            validate(config.get("metadata"), schema.object_meta(), ".metadata")
        else:
            validate(config, node)
    except ConfigurationError as error:
        meta = config.get("metadata") or {}
        name = "/".join(part for part in (meta.get("namespace", ""), meta.get("name", "")) if part)
        message = f"failed to create typed patch object ({name}; {resource.api_version}, Kind={resource.kind}): {error}"
        raise status_error(500, "", message) from None


class _Apply:
    """One attempt at an apply; `base`, `config` and `known` are only read."""

    def __init__(self, base: Obj, config: Obj, node: Node, resource: ResourceInfo, known: Managers, key: ManagerKey, subresource: str) -> None:
        self.base, self.config, self.node, self.resource = base, config, node, resource
        self.managers: Managers = {k: Managed(m.fields, m.api_version, m.time) for k, m in known.items()}
        self.key, self.subresource = key, subresource
        self.result: Obj = base

    def run(self, force: bool) -> dict[ManagerKey, FieldSet]:
        """Do it; returns the conflicts, {} when there are none (or `force`)."""
        merged: Obj = drop_nulls(merge(deep_copy(self.base), deep_copy(self.config), self.node))
        previous = self.managers.get(self.key)
        # name, kind and the like count as wanted while pruning, so that metadata survives its last label; nobody owns them in the end
        wanted = book.without_reset_fields(to_set(self.config, self.node), self.resource, self.subresource)
        self.managers[self.key] = Managed(wanted, self.resource.api_version, previous.time if previous else "")
        if previous is not None and sets.difference(previous.fields, wanted):
            merged = self.prune(merged, previous.fields)
        self.result = merged
        return self.settle(force)

    def prune(self, merged: Obj, last: FieldSet) -> Obj:
        """Take out what this manager applied last time and nobody wants any more. Source: Updater.prune."""
        node = self.node
        last = sets.with_named_fields(last, node)
        pruned = remove(merged, last, node)
        owned: FieldSet = {}
        for managed in self.managers.values():
            owned = sets.union(owned, managed.fields)
        owned = sets.with_named_fields(owned, node)
        everything = self.named(merged)
        keep = sets.union(self.named(pruned), owned)
        pruned = remove(merged, sets.difference(everything, keep), node)
        gone = sets.intersection(sets.difference(everything, self.named(pruned)), last)
        result: Obj = remove(merged, gone, node)
        if "spec" in merged and "spec" not in result and "spec" in node.fields:
            result["spec"] = {}  # no pointer in Go's types: it is always there
        return result

    def named(self, obj: Obj) -> FieldSet:
        return sets.with_named_fields(_lenient_set(obj, self.node), self.node)

    def settle(self, force: bool) -> dict[ManagerKey, FieldSet]:
        """Compare live and result: others lose what changed (a conflict unless forced) and what is gone."""
        changed: FieldSet = {}
        removed: FieldSet = {}
        if self.base != self.result:
            changed, removed = compare(self.base, self.result, self.node)
        changed = book.strip(changed, self.resource, self.subresource)
        removed = book.strip(removed, self.resource, self.subresource)
        conflicts = {}
        for key, managed in self.managers.items():
            if key == self.key:
                continue
            contested = sets.intersection(managed.fields, changed) if changed else {}
            if contested:
                conflicts[key] = contested
        if conflicts and not force:
            return conflicts
        mine = self.managers[self.key]
        mine.fields = book.strip(mine.fields, self.resource, self.subresource)
        for key in list(self.managers):
            managed = self.managers[key]
            if key != self.key:
                managed.fields = sets.difference(sets.difference(managed.fields, conflicts.get(key, {})), removed)
            if not managed.fields:
                del self.managers[key]
        return {}


def _lenient_set(obj: Obj, node: Node) -> FieldSet:
    try:
        return to_set(obj, node)
    except OmittedKeys:
        return compare({}, obj, node)[0]


def _beyond_last_applied(conflicts: dict[ManagerKey, FieldSet], base: Obj, node: Node) -> dict[ManagerKey, FieldSet]:
    """Conflicts that are not explained by client-side apply: kubectl may take over what its annotation says it applied."""
    text = ((base.get("metadata") or {}).get("annotations") or {}).get(LAST_APPLIED)
    if not text:
        return conflicts
    try:
        allowed = to_set(json.loads(text), node)
    except (ValueError, AttributeError, TypeError, RecursionError):
        return conflicts
    left = {key: sets.difference(fields, allowed) for key, fields in conflicts.items()}
    return {key: fields for key, fields in left.items() if fields}


def _refresh_last_applied(result: Obj, applied: Obj) -> None:
    """Keep the client-side annotation in step, so that a later client-side apply prunes rightly."""
    config = deep_copy(applied)
    annotations = (config.get("metadata") or {}).get("annotations")
    if annotations:
        annotations.pop(LAST_APPLIED, None)
    text = json.dumps(config, separators=(",", ":"), sort_keys=True, ensure_ascii=False) + "\n"
    target = result.setdefault("metadata", {}).setdefault("annotations", {})
    if sum(len(k) + len(v) for k, v in target.items() if k != LAST_APPLIED) + len(text.encode()) > _LAST_APPLIED_LIMIT:
        target.pop(LAST_APPLIED, None)
    else:
        target[LAST_APPLIED] = text


def _manager_text(key: ManagerKey, managed: Managed) -> str:
    text = json.dumps(key.manager, ensure_ascii=False)
    if key.subresource:
        text += f" with subresource {json.dumps(key.subresource)}"
    return f"{text} using {managed.api_version}" if key.operation == UPDATE else text


def _conflict_error(conflicts: dict[ManagerKey, FieldSet], known: Managers) -> StatusError:
    """409 with one FieldManagerConflict cause per contested field. Source: managedfields internal conflict.go."""
    rows = sorted(
        (_manager_text(key, known[key]), path) for key, fields in conflicts.items() for path in sets.paths(fields)
    )
    causes = [Cause("FieldManagerConflict", f"conflict with {who}", path) for who, path in rows]
    if len(rows) == 1:
        message = f"Apply failed with 1 conflict: conflict with {rows[0][0]}: {rows[0][1]}"
    else:
        lines: list[str] = []
        for who in dict.fromkeys(who for who, _ in rows):
            lines.append(f"conflicts with {who}:")
            lines += [f"- {path}" for other, path in rows if other == who]
        message = f"Apply failed with {len(rows)} conflicts: " + "\n".join(lines)
    return status_error(409, "Conflict", message, causes=causes)
