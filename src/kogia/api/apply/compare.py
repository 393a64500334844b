"""From objects to field sets: all fields of an object, and what changed between two.

Both walk values along the schema; equal subtrees are skipped by Python's own comparison, so a small change costs little. Associative
lists are matched item by item; a list whose items cannot be named (no keys) is one leaf.

Source: structured-merge-diff typed (toFieldSet, compare).
"""

from __future__ import annotations

from typing import Any

from kogia.api import schema
from kogia.api.apply.sets import FieldSet, OmittedKeys, element_of
from kogia.api.schema import Node, Shape

#: struct fields that are no pointers in Go: an absent one counts as there and empty, so "." is not owned
VALUE_STRUCTS = frozenset((
    "metadata", "spec", "status", "template", "jobTemplate", "strategy", "updateStrategy", "resources", "names", "nodeInfo",
    "daemonEndpoints", "loadBalancer", "volumeClaimTemplate", "source",
))
_MISSING = object()


def is_leaf(value: Any, node: Node) -> bool:
    """Whether a value is owned as a whole: scalars, atomic lists and maps, and anything empty or of an unexpected shape."""
    shape = node.shape
    if type(value) is dict:
        return not value or node.atomic or shape is Shape.LIST or shape is Shape.SCALAR
    if type(value) is list:
        return not value or shape is not Shape.LIST or node.list_type == "atomic"
    return True


def to_set(value: Any, node: Node) -> FieldSet:
    """The set of all fields a configuration mentions: leaves, list items, keys of maps; struct fields only when empty.

    Errors: OmittedKeys, DuplicateKeys-like situations are the caller's (`merge.validate`).
    Source: TypedValue.ToFieldSet.
    """
    if is_leaf(value, node):
        return {}
    if type(value) is list:
        return _list_to_set(value, node)
    out: FieldSet = {}
    fields = node.fields if node.shape is Shape.STRUCT else None
    item = node.item if node.shape is Shape.MAP and node.item is not None else schema.ANY
    for key, entry in value.items():
        named = fields.get(key) if fields is not None else None
        child = named or item
        if is_leaf(entry, child):
            if not (type(entry) is list and not entry and child.shape is Shape.LIST and child.list_type != "atomic"):
                out["f:" + key] = {}
            continue
        inner = to_set(entry, child)
        if named is None:
            inner = {".": {}, **inner}
        if inner:
            out["f:" + key] = inner
    return out


def _list_to_set(value: list[Any], node: Node) -> FieldSet:
    item_type = node.item or schema.ANY
    out: FieldSet = {}
    repeated: set[str] = set()
    for item in value:
        element = element_of(item, node)
        if element in out:
            repeated.add(element)
            out[element] = {}
            continue
        out[element] = {} if is_leaf(item, item_type) else {".": {}, **to_set(item, item_type)}
    return out


def added(value: Any, node: Node) -> FieldSet:
    """The branch of a value that was not there before: every path in it is a member."""
    if is_leaf(value, node):
        return {}
    out: FieldSet = {".": {}}
    if type(value) is list:
        item_type = node.item or schema.ANY
        try:
            for item in value:
                element = element_of(item, node)
                out[element] = {} if element in out else added(item, item_type)
        except OmittedKeys:
            return {}
        return out
    shape = node.shape
    if shape is Shape.STRUCT:
        get = node.fields.get
        for key, entry in value.items():
            kind = type(entry)
            if kind is str or kind is int or kind is bool:
                out["f:" + key] = {}
            else:
                out["f:" + key] = added(entry, get(key) or schema.ANY)
        return out
    item_node = node.item if shape is Shape.MAP and node.item is not None else schema.ANY
    for key, entry in value.items():
        out["f:" + key] = {} if type(entry) is str else added(entry, item_node)
    return out


def compare(old: Any, new: Any, node: Node) -> tuple[FieldSet, FieldSet]:
    """(changed, removed): fields of `new` that are new or differ, and fields of `old` that are gone.

    Shape: both arguments are objects (dicts); `old` is {} for a creation.
    """
    changed: FieldSet = {}
    removed: FieldSet = {}
    _maps(old, new, node, changed, removed)
    return changed, removed


def _maps(old: dict[str, Any], new: dict[str, Any], node: Node, changed: FieldSet, removed: FieldSet) -> None:
    struct = node.struct if node.shape is Shape.STRUCT else None
    fields = struct.fields if struct is not None else None
    item = node.item if node.shape is Shape.MAP and node.item is not None else schema.ANY
    for key, after in new.items():
        before = old.get(key, _MISSING)
        if before is not _MISSING and before == after:
            continue
        child = (fields.get(key) if fields is not None else None) or item
        if before is _MISSING:
            if struct is not None and type(after) in (dict, list) and (key in struct.required or key in VALUE_STRUCTS):
                if not after:
                    continue
                before = type(after)()
            else:
                changed["f:" + key] = added(after, child)
                continue
        _pair(before, after, child, "f:" + key, changed, removed)
    for key, before in old.items():
        if key not in new:
            child = (fields.get(key) if fields is not None else None) or item
            removed["f:" + key] = added(before, child)


def _pair(before: Any, after: Any, node: Node, element: str, changed: FieldSet, removed: FieldSet) -> None:
    """Two values that differ, both there."""
    before_leaf, after_leaf = is_leaf(before, node), is_leaf(after, node)
    if type(before) is not type(after) or type(after) not in (dict, list) or (before_leaf and after_leaf):
        changed[element] = added(after, node)
        if not before_leaf:
            removed[element] = {k: v for k, v in added(before, node).items() if k != "."}
        return
    below_changed: FieldSet = {}
    below_removed: FieldSet = {}
    if type(after) is dict:
        _maps(before, after, node, below_changed, below_removed)
    else:
        try:
            _lists(before, after, node, below_changed, below_removed)
        except OmittedKeys:
            changed[element] = {}
            return
    if below_changed:
        changed[element] = below_changed
    if below_removed:
        removed[element] = below_removed


def _by_element(items: list[Any], node: Node) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for item in items:
        found.setdefault(element_of(item, node), []).append(item)
    return found


def _lists(before: list[Any], after: list[Any], node: Node, changed: FieldSet, removed: FieldSet) -> None:
    item_type = node.item or schema.ANY
    old, new = _by_element(before, node), _by_element(after, node)
    for element, items in new.items():
        had = old.get(element)
        if had is None:
            changed[element] = added(items[0], item_type) if len(items) == 1 else {}
        elif had == items:
            continue
        elif len(had) == 1 and len(items) == 1:
            _pair(had[0], items[0], item_type, element, changed, removed)
        else:
            # named more than once before or after: owned as one thing, the item's fields are not tracked
            changed[element] = added(items[0], item_type) if len(items) == 1 else {}
            if len(had) == 1 or len(items) == 1:
                removed[element] = added(had[0], item_type) if len(had) == 1 else {}
    for element, had in old.items():
        if element not in new:
            removed[element] = added(had[0], item_type) if len(had) == 1 else {}
