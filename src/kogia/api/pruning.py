"""The slow half of checking: walk an object along its schema, prune what the schema does not know, convert what Kubernetes
converts, and say in Go's words what cannot be read.

Only reached when the recogniser of `checks.py` hesitates, so clarity wins over speed. Wrong JSON types are raised as `TypeError`
with the decoder's message; `decode.check` makes a 400 of it.

Source: encoding/json UnmarshalTypeError as sigs.k8s.io/json raises it; resource.Quantity, intstr and metav1.Time UnmarshalJSON.
"""

from __future__ import annotations

import re
from typing import Any

from kogia.api import quantity
from kogia.api.checks import BASE64, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN
from kogia.api.schema import Node, Shape
from kogia.api.times import TimeError, normal_microtime, normal_time

#: more unknown fields than this are pruned but not reported
MAX_MESSAGES = 100
_ABSENT = object()


def prune(value: Any, node: Node, messages: list[str], path: str = "") -> Any:
    """Return `value` as Kubernetes would keep it (dicts and lists are changed in place); unknown fields go into `messages`.

    Errors: TypeError with Go's message.
    """
    return _walk(value, node, path, _Where("", "", messages))


class _Where:
    """Where the walk is for Go's messages: the innermost struct's name and the dotted field path."""

    __slots__ = ("dotted", "messages", "struct")

    def __init__(self, struct: str, dotted: str, messages: list[str]) -> None:
        self.struct, self.dotted, self.messages = struct, dotted, messages

    def at(self, struct: str, name: str) -> _Where:
        return _Where(struct, f"{self.dotted}.{name}" if self.dotted else name, self.messages)


def _walk(value: Any, node: Node, path: str, where: _Where) -> Any:
    shape = node.shape
    if shape is Shape.SCALAR:
        return _scalar(value, node.scalar, where)
    if shape is Shape.ANY:
        return value
    if shape is Shape.LIST:
        if type(value) is not list:
            raise _mismatch(value, node, where)
        item = node.item
        assert item is not None
        for index, entry in enumerate(value):
            value[index] = _zero(item) if entry is None else _walk(entry, item, f"{path}[{index}]", where)
        return value
    if type(value) is not dict:
        raise _mismatch(value, node, where)
    if shape is Shape.MAP:
        item = node.item
        assert item is not None
        for key, entry in value.items():
            value[key] = _zero(item) if entry is None else _walk(entry, item, f"{path}.{key}", where)
        return value
    return _struct(value, node, path, where)


def _struct(value: dict[str, Any], node: Node, path: str, where: _Where) -> dict[str, Any]:
    struct = node.struct
    assert struct is not None
    fields = struct.fields
    drop: list[str] = []
    for key, entry in value.items():
        child = fields.get(key)
        if child is None:
            drop.append(key)
            if len(where.messages) < MAX_MESSAGES:
                where.messages.append(f'unknown field "{path}.{key}"' if path else f'unknown field "{key}"')
        elif entry is None:
            drop.append(key)
        else:
            kept = _walk(entry, child, f"{path}.{key}" if path else key, where.at(struct.short, key))
            if kept is _ABSENT:
                drop.append(key)
            else:
                value[key] = kept
    for key in drop:
        del value[key]
    return value


def _zero(node: Node) -> Any:
    """What Go leaves where a list or map holds null: the type's zero value."""
    if node.shape is Shape.STRUCT or node.shape is Shape.MAP:
        return {}
    if node.shape is Shape.LIST:
        return []
    if node.shape is Shape.ANY:
        return None
    return {"boolean": False, "int32": 0, "int64": 0, "double": 0, "quantity": "0", "int-or-string": 0, "time": None, "microtime": None}.get(node.scalar, "")


def go_type(node: Node) -> str:
    """The Go type of a node as decoder errors print it."""
    if node.shape is Shape.STRUCT and node.struct is not None:
        return f"{node.struct.package}.{node.struct.short}"
    if node.shape is Shape.LIST:
        return "[]" + (go_type(node.item) if node.item else "interface {}")
    if node.shape is Shape.MAP:
        return "map[string]" + (go_type(node.item) if node.item else "interface {}")
    names = {"boolean": "bool", "double": "float64", "byte": "[]uint8", "quantity": "resource.Quantity", "int-or-string": "intstr.IntOrString",
             "time": "v1.Time", "microtime": "v1.MicroTime"}
    return names.get(node.scalar, node.scalar or "interface {}")


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, dict):
        return "object"
    return "array" if isinstance(value, list) else "string" if isinstance(value, str) else "null"


def _mismatch(value: Any, node: Node, where: _Where, *, number: bool = False) -> TypeError:
    what = f"number {value}" if number else _show(value)
    target = f"Go struct field {where.struct}.{where.dotted}" if where.struct else "Go value"
    return TypeError(f"json: cannot unmarshal {what} into {target} of type {go_type(node)}")


def _scalar(value: Any, scalar: str, where: _Where) -> Any:
    kind = type(value)
    if scalar == "string":
        if kind is str:
            return value
    elif scalar == "boolean":
        if kind is bool:
            return value
    elif scalar in ("int32", "int64"):
        low, high = (INT32_MIN, INT32_MAX) if scalar == "int32" else (INT64_MIN, INT64_MAX)
        if kind is int and low <= value <= high:
            return value
        if kind is int or kind is float:
            raise _mismatch(value, Node(Shape.SCALAR, scalar=scalar), where, number=True)
    elif scalar == "double":
        if kind is int or kind is float:
            return value
    elif scalar == "quantity":
        return _as_quantity(value)
    elif scalar == "int-or-string":
        if kind is str or (kind is int and INT32_MIN <= value <= INT32_MAX):
            return value
        raise TypeError(f"json: cannot unmarshal {_show(value)} into Go value of type {'int32' if kind in (int, float) else 'string'}")
    elif scalar == "byte":
        if kind is str:
            return _as_base64(value)
    else:
        return _as_time(value, scalar)
    raise _mismatch(value, Node(Shape.SCALAR, scalar=scalar), where)


def _as_quantity(value: Any) -> str:
    if isinstance(value, (dict, list, bool)):
        raise TypeError(quantity.FORMAT_ERROR)
    try:
        return quantity.canonical(value.strip() if isinstance(value, str) else value)
    except quantity.QuantityError as error:
        raise TypeError(str(error)) from None


def _as_base64(value: str) -> str:
    if BASE64(value) is not None:
        return value
    compact = value.replace("\n", "").replace("\r", "")
    if BASE64(compact) is not None:
        return compact
    good = re.match("[A-Za-z0-9+/]*", compact, re.ASCII)
    at = good.end() if good else 0
    raise TypeError(f"illegal base64 data at input byte {at if at < len(compact) else len(compact) - len(compact) % 4}")


def _as_time(value: Any, scalar: str) -> Any:
    if not isinstance(value, str):
        raise TypeError(f"json: cannot unmarshal {_show(value)} into Go value of type string")
    try:
        return normal_time(value) if scalar == "time" else normal_microtime(value)
    except TimeError as error:
        raise TypeError(str(error)) from None
