"""Field sets: which fields of an object are meant, in the very shape managedFields stores them (`fieldsV1`).

A set is a dict of path elements: `f:name` (field), `k:{"name":"x"}` (list item by keys), `v:"x"` (set item), `i:0` (index). A value of `{}`
is a member; a value with entries is a branch, itself a member only if it also holds `".": {}`. Because this *is* the encoded form,
recording fields never converts anything. Functions return new dicts at every changed level and share the rest: treat sets as frozen.

Source: sigs.k8s.io/structured-merge-diff fieldpath (Set, PathElement, serialize).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from kogia.api import schema
from kogia.api.schema import Node, Shape

FieldSet = dict[str, Any]


def is_member(branch: FieldSet) -> bool:
    """Whether the path that leads to this value is itself in the set."""
    return not branch or "." in branch


def _joined(member: bool, children: FieldSet) -> FieldSet | None:
    """A branch from its two halves; None when nothing is left."""
    if not children:
        return {} if member else None
    return {".": {}, **children} if member else children


def _children(branch: FieldSet) -> FieldSet:
    return {k: v for k, v in branch.items() if k != "."} if "." in branch else branch


def union(a: FieldSet, b: FieldSet) -> FieldSet:
    """Members of either."""
    if not a or not b:
        return a or b
    out = dict(a)
    for key, theirs in b.items():
        ours = out.get(key)
        if ours is None or ours == theirs:
            out[key] = theirs
        else:
            member = is_member(ours) or is_member(theirs)
            out[key] = _joined(member, union(_children(ours), _children(theirs)))
    return out


def difference(a: FieldSet, b: FieldSet) -> FieldSet:
    """Members of `a` that are no members of `b`; members below a member of `b` stay."""
    if not a or not b:
        return a
    out: FieldSet = {}
    for key, ours in a.items():
        theirs = b.get(key)
        if theirs is None:
            out[key] = ours
            continue
        member = is_member(ours) and not is_member(theirs)
        left = _joined(member, difference(_children(ours), _children(theirs)))
        if left is not None:
            out[key] = left
    return out


def intersection(a: FieldSet, b: FieldSet) -> FieldSet:
    """Members of both."""
    out: FieldSet = {}
    for key, ours in a.items():
        theirs = b.get(key)
        if theirs is None:
            continue
        both = _joined(is_member(ours) and is_member(theirs), intersection(_children(ours), _children(theirs)))
        if both is not None:
            out[key] = both
    return out


def without(a: FieldSet, ignored: FieldSet) -> FieldSet:
    """`a` less the members of `ignored` and everything below them. Source: Set.RecursiveDifference."""
    out: FieldSet = {}
    for key, ours in a.items():
        theirs = ignored.get(key)
        if theirs is None:
            out[key] = ours
        elif theirs and "." not in theirs:
            left = _joined(is_member(ours), without(_children(ours), theirs))
            if left is not None:
                out[key] = left
    return out


def with_named_fields(a: FieldSet, node: Node) -> FieldSet:
    """`a` plus the struct fields on the way to its members (labels of maps and list items are not fields).

    Source: Set.EnsureNamedFieldsAreMembers.
    """
    out: FieldSet = {}
    for key, branch in a.items():
        if key == "." or not branch:
            out[key] = branch
            continue
        inner = with_named_fields(branch, element_type(node, key))
        if key[:2] == "f:" and node.shape is Shape.STRUCT and "." not in inner and key[2:] in node.fields:
            inner = {".": {}, **inner}
        out[key] = inner
    return out


def element_type(node: Node, element: str) -> Node:
    """The type below a path element."""
    if element[:2] == "f:":
        return child_type(node, element[2:])
    return node.item if node.shape is Shape.LIST and node.item is not None else schema.ANY


def child_type(node: Node, key: str) -> Node:
    """The type of a struct's field or a map's value; `schema.ANY` where nothing is known."""
    if node.shape is Shape.STRUCT:
        return node.fields.get(key) or schema.ANY
    if node.shape is Shape.MAP and node.item is not None:
        return node.item
    return schema.ANY


def equal(a: FieldSet, b: FieldSet) -> bool:
    return a == b


def text_of(value: Any) -> str:
    """A scalar as Go's JSON encoder writes it into a path element."""
    if type(value) is str and value.isascii() and value.isprintable() and not any(c in value for c in '"\\<>&'):
        return f'"{value}"'
    if type(value) is float and value == int(value) and abs(value) < 1e15:
        value = int(value)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for char, escaped in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029")):
        text = text.replace(char, escaped)
    return text


class OmittedKeys(ValueError):
    """A list item that cannot be named, because it has none of its keys (or is no object)."""


def element_of(item: Any, node: Node) -> str:
    """The path element that names an item of an associative list (`node.list_type` set or map). Errors: OmittedKeys."""
    if node.list_type == "set":
        if item is None or isinstance(item, (dict, list)):
            raise OmittedKeys("associative list without keys has an element that's not a scalar")
        return "v:" + text_of(item)
    if type(item) is not dict:
        raise OmittedKeys("associative list with keys may not have non-map elements")
    keys = node.list_keys
    if len(keys) == 1:
        value = item.get(keys[0])
        if type(value) is str:
            return f'k:{{"{keys[0]}":{text_of(value)}}}'
    parts = []
    for key in sorted(keys):
        value = item.get(key)
        if value is None:
            value = node.key_defaults.get(key)
        if value is not None:
            parts.append(f'"{key}":{text_of(value)}')
    if not parts:
        shown = " ".join(f'"{k}"' for k in keys)
        raise OmittedKeys(f"associative list with keys has an element that omits all key fields [{shown}] (and doesn't have default values for any key fields)")
    return "k:{" + ",".join(parts) + "}"


def element_text(element: str) -> str:
    """A path element as conflict messages show it: `.name`, `[name="c"]`, `[="x"]`, `[0]`."""
    kind, rest = element[:2], element[2:]
    if kind == "f:":
        return "." + rest
    if kind == "v:":
        return f"[={rest}]"
    if kind == "k:":
        try:
            keys = json.loads(rest)
        except ValueError:
            return f"[{rest}]"
        return "[" + ",".join(f"{k}={json.dumps(v, ensure_ascii=False, separators=(',', ':'))}" for k, v in keys.items()) + "]"
    return f"[{rest}]"


def paths(a: FieldSet, prefix: str = "") -> Iterator[str]:
    """Every member's path as text, members before what is below them, sorted."""
    for key in sorted(k for k in a if k != "."):
        here = prefix + element_text(key)
        branch = a[key]
        if is_member(branch):
            yield here
        if branch:
            yield from paths(branch, here)


def is_valid(a: Any, depth: int = 0) -> bool:
    """Whether a value from outside has the shape of a set."""
    if not isinstance(a, dict) or depth > 200:
        return False
    for key, branch in a.items():
        if key == ".":
            if branch != {}:
                return False
        elif key[:2] not in ("f:", "k:", "v:", "i:") or not is_valid(branch, depth + 1):
            return False
    return True
