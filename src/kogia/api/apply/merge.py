"""Merging an applied configuration into the live object, and taking fields out of an object again.

Values returned share parts with the arguments: callers pass private copies. Null in a configuration means "as if absent".

Source: structured-merge-diff typed (merge, remove, validate).
"""

from __future__ import annotations

from typing import Any

from kogia.api import schema
from kogia.api.apply.sets import FieldSet, OmittedKeys, child_type, element_of, element_text, is_member
from kogia.api.schema import Node, Shape


class ConfigurationError(ValueError):
    """The applied configuration does not fit the schema; the message starts with the path, as `.spec.foo: field not declared in schema`."""


def validate(value: Any, node: Node, path: str = "") -> None:
    """Refuse unknown fields, wrong shapes, list items without keys or named twice. Errors: ConfigurationError."""
    shape = node.shape
    if value is None or shape is Shape.ANY:
        return
    if shape is Shape.SCALAR:
        if isinstance(value, (dict, list)):
            raise ConfigurationError(f"{path}: expected {node.scalar}, got {_go_text(value)}")
    elif shape is Shape.LIST:
        if not isinstance(value, list):
            raise ConfigurationError(f"{path}: expected list, got {_go_text(value)}")
        _validate_list(value, node, path)
    elif not isinstance(value, dict):
        raise ConfigurationError(f"{path}: expected map, got {_go_text(value)}")
    elif shape is Shape.MAP:
        for key, entry in value.items():
            validate(entry, node.item or schema.ANY, f"{path}.{key}")
    else:
        fields = node.fields
        for key, entry in value.items():
            child = fields.get(key)
            if child is None:
                raise ConfigurationError(f"{path}.{key}: field not declared in schema")
            validate(entry, child, f"{path}.{key}")


def _validate_list(value: list[Any], node: Node, path: str) -> None:
    item_type = node.item or schema.ANY
    if node.list_type == "atomic":
        for index, item in enumerate(value):
            validate(item, item_type, f"{path}[{index}]")
        return
    seen: set[str] = set()
    for index, item in enumerate(value):
        try:
            element = element_of(item, node)
        except OmittedKeys as error:
            raise ConfigurationError(f"{path}: element {index}: {error}") from None
        if element in seen:
            raise ConfigurationError(f"{path}: duplicate entries for key {element_text(element)}")
        seen.add(element)
        validate(item, item_type, path + element_text(element))


def _go_text(value: Any) -> str:
    if isinstance(value, dict):
        return "map"
    return "list" if isinstance(value, list) else f"&{{{value}}}"


def merge(live: Any, config: Any, node: Node) -> Any:
    """`live` with `config` laid over it: maps and associative lists merge, the rest is replaced. Source: TypedValue.Merge."""
    if config is None:
        return live
    shape = node.shape
    if type(live) is dict and type(config) is dict and not node.atomic and shape not in (Shape.LIST, Shape.SCALAR):
        for key, entry in config.items():
            if entry is None:
                continue
            live[key] = merge(live[key], entry, child_type(node, key)) if key in live else drop_nulls(entry)
        return live
    if type(live) is list and type(config) is list and shape is Shape.LIST and node.list_type != "atomic" and live:
        if not config:
            return live
        try:
            return _merge_lists(live, config, node)
        except OmittedKeys:
            return drop_nulls(config)
    return drop_nulls(config)


def drop_nulls(value: Any) -> Any:
    """A configuration without its nulls, which mean "absent"."""
    if type(value) is dict:
        for key in [k for k, v in value.items() if v is None]:
            del value[key]
        for entry in value.values():
            drop_nulls(entry)
    elif type(value) is list:
        for entry in value:
            drop_nulls(entry)
    return value


def _merge_lists(live: list[Any], config: list[Any], node: Node) -> list[Any]:
    """Configured items in the configuration's order, items only the live object has at their old place between them.

    Source: mergingWalker.visitListItems.
    """
    left = [element_of(item, node) for item in live]
    right = [element_of(item, node) for item in config]
    have: dict[str, Any] = {}
    repeated: set[str] = set()
    for element, item in zip(left, live, strict=True):
        (repeated.add(element) if element in have else have.__setitem__(element, item))
    want = dict(zip(right, config, strict=True))
    shared = iter([element for element in right if element in have])
    upcoming = next(shared, None)
    item_type = node.item or schema.ANY
    out: list[Any] = []
    done: set[str] = set()

    def take(element: str) -> None:
        done.add(element)
        if element in have and element not in repeated:
            out.append(merge(have[element], want[element], item_type))
        else:
            out.append(drop_nulls(want[element]))

    i = j = 0
    while i < len(left) or j < len(right):
        if i < len(left) and j < len(right):
            element = left[i]
            if element == right[j]:
                take(element)
                i, j = i + 1, j + 1
                upcoming = next(shared, None)
                continue
            if element in want and upcoming is not None and upcoming != element:
                i += 1  # shared, but its turn in the configuration's order comes later
                continue
        if i < len(left):
            element = left[i]
            if element not in want:
                out.append(live[i])
                i += 1
                continue
            if element in done:
                i += 1
        if j < len(right):
            element = right[j]
            take(element)
            j += 1
            if upcoming == element:
                upcoming = next(shared, None)
    return out


_GONE = object()


def remove(value: Any, gone: FieldSet, node: Node) -> Any:
    """A copy-on-write `value` without the members of `gone`; containers emptied that way go too (the root stays).

    Source: TypedValue.RemoveItems.
    """
    left = _remove(value, gone, node)
    return {} if left is _GONE else left


def _remove(value: Any, gone: FieldSet, node: Node) -> Any:
    if not gone:
        return value
    if type(value) is dict and value and node.shape not in (Shape.LIST, Shape.SCALAR):
        if node.atomic:
            return _GONE
        out = {}
        for key, entry in value.items():
            branch = gone.get("f:" + key)
            if branch is None:
                out[key] = entry
            elif not is_member(branch):
                left = _remove(entry, branch, child_type(node, key))
                if left is not _GONE:
                    out[key] = left
        return out or _GONE
    if type(value) is list and value and node.shape is Shape.LIST:
        if node.list_type == "atomic":
            return _GONE
        kept = []
        item_type = node.item or schema.ANY
        for item in value:
            try:
                branch = gone.get(element_of(item, node))
            except OmittedKeys:
                branch = None
            if branch is None:
                kept.append(item)
            elif not is_member(branch):
                left = _remove(item, branch, item_type)
                if left is not _GONE:
                    kept.append(left)
        return kept or _GONE
    return value
