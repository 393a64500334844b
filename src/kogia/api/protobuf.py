"""Kubernetes' protobuf bodies to plain objects: what kubectl from 1.32 on and many Go clients send when they create things.

Only reading: answers are JSON, which every client that sends protobuf also takes. Types and scalars come from the schema, field numbers
from `protobuf_numbers.txt` (made by tools/protobuf_numbers.py), read at the first such body. In this encoding Go writes every field that is
no pointer, zero or not; so zeros are dropped except where the field is a pointer (`*` in the table) and a zero was meant.
Source: k8s.io/apimachinery runtime/serializer/protobuf (the envelope), generated.proto of each group (numbers).
"""

from __future__ import annotations

import base64
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any

from kogia.api import schema
from kogia.api.schema import Node, Shape
from kogia.api.status import StatusError, bad_request
from kogia.api.times import format_microtime, format_time

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"
MAX_DEPTH = 64

Obj = dict[str, Any]
#: number → (JSON name, type, whether a zero is kept, definition whose fields stand in the parent)
Plan = dict[int, tuple[str, Node | None, bool, str]]


class _Malformed(ValueError):
    pass


def decode(body: bytes) -> Obj:
    """The object in a protobuf envelope, apiVersion and kind filled in. Errors: 400 BadRequest."""
    if not body.startswith(MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        return _unknown(body[len(MAGIC) :], 0)
    except (ValueError, IndexError, struct.error, OverflowError, OSError) as error:
        raise bad_request(f"unable to decode protobuf: {error}") from None


def _unknown(data: bytes, depth: int) -> Obj:
    """runtime.Unknown: typeMeta = 1 (apiVersion = 1, kind = 2), raw = 2."""
    api_version = kind = ""
    raw = b""
    for number, _, value in _fields(data):
        if number == 1:
            for inner, _, text in _fields(_bytes(value)):
                if inner == 1:
                    api_version = _bytes(text).decode()
                elif inner == 2:
                    kind = _bytes(text).decode()
        elif number == 2:
            raw = _bytes(value)
    group, _, version = api_version.rpartition("/")
    name = schema.definition_for(group, version, kind)
    if name not in _numbers():
        raise _no_kind(api_version, kind)
    return {"apiVersion": api_version, "kind": kind, **_message(raw, name, depth)}


def _no_kind(api_version: str, kind: str) -> StatusError:
    return bad_request(f'no kind "{kind}" is registered for version "{api_version}" in protobuf')


@lru_cache(maxsize=1)
def _numbers() -> dict[str, str]:
    text = Path(__file__).with_name("protobuf_numbers.txt").read_text()
    return {name: fields for name, _, fields in (line.partition(" ") for line in text.splitlines())}


@lru_cache(maxsize=512)
def _plan(name: str, parent: str) -> Plan:
    """For `name`; a message inlined in `parent` has its types there (often it is no definition of its own)."""
    made: Plan = {}
    known = schema.struct(parent).fields
    for entry in _numbers().get(name, "").split():
        field, _, number = entry.partition("=")
        keep = number.endswith("*")
        if field.startswith("+"):
            made[int(number)] = ("", None, False, field[1:])
        elif field in known:
            made[int(number.rstrip("*"))] = (field, known[field], keep, "")
    return made


def _fields(data: bytes) -> list[tuple[int, int, Any]]:
    """(number, wire type, value): an int for varints, bytes for the rest."""
    found = []
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise _Malformed("illegal tag 0")
        value: Any
        if wire == 0:
            value, at = _varint(data, at)
        elif wire == 2:
            size, at = _varint(data, at)
            value, at = data[at : at + size], at + size
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            value, at = data[at : at + size], at + size
        else:
            raise _Malformed(f"illegal wireType {wire}")
        if at > end:
            raise _Malformed("unexpected EOF")
        found.append((number, wire, value))
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if shift >= 70:
            raise _Malformed("integer overflow")
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & 0xFFFFFFFFFFFFFFFF, at
        shift += 7


def _signed(number: Any) -> int:
    if not isinstance(number, int):
        raise _Malformed("wrong wireType")
    return number - (1 << 64) if number >= 1 << 63 else number


def _message(data: bytes, name: str, depth: int, parent: str = "") -> Obj:
    if depth > MAX_DEPTH:
        raise _Malformed("nested too deeply")
    plan = _plan(name, parent or name)
    made: Obj = {}
    for number, wire, value in _fields(data):
        known = plan.get(number)
        if known is None:
            continue
        field, node, keep, inline = known
        if inline:
            made.update(_message(_bytes(value), inline, depth + 1, parent or name))
            continue
        assert node is not None
        if node.shape is Shape.LIST and node.item is not None:
            made.setdefault(field, []).extend(_items(value, wire, node.item, depth))
        elif node.shape is Shape.MAP and node.item is not None:
            key, item = _entry(_bytes(value), node.item, depth)
            made.setdefault(field, {})[key] = item
        else:
            item = _value(value, node, depth)
            if item is not None and (keep or item not in ("", 0, False) or isinstance(item, dict)):
                made[field] = item
    return made


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise _Malformed("wrong wireType")
    return value


def _items(value: Any, wire: int, node: Node, depth: int) -> list[Any]:
    """One item, or several packed integers."""
    if wire == 2 and node.shape is Shape.SCALAR and node.scalar in ("int32", "int64"):
        items, at = [], 0
        while at < len(value):
            number, at = _varint(value, at)
            items.append(_signed(number))
        return items
    return [_value(value, node, depth)]


def _entry(data: bytes, node: Node, depth: int) -> tuple[str, Any]:
    """A map's entry: key = 1, value = 2; what is missing is empty. A list as a value hides in a message of its own."""
    key, raw = "", None
    for number, _, value in _fields(data):
        if number == 1:
            key = _bytes(value).decode()
        elif number == 2:
            raw = value
    if node.shape is Shape.LIST and node.item is not None:
        inner = node.item
        return key, [_value(v, inner, depth) for n, _, v in _fields(_bytes(raw or b"")) if n == 1]
    if raw is None:
        raw = 0 if node.shape is Shape.SCALAR and node.scalar in ("int32", "int64", "boolean") else b""
    item = _value(raw, node, depth)
    return key, "" if item is None else item


def _value(value: Any, node: Node, depth: int) -> Any:
    if node.shape is Shape.STRUCT and node.struct is not None:
        return _message(_bytes(value), node.struct.name, depth + 1)
    if node.shape is Shape.SCALAR:
        return _scalar(value, node.scalar)
    return _free_form(_bytes(value), depth)


def _scalar(value: Any, scalar: str) -> Any:
    if scalar == "string":
        return _bytes(value).decode()
    if scalar == "boolean":
        return bool(value)
    if scalar == "byte":
        return base64.b64encode(_bytes(value)).decode()
    if scalar == "double":
        return struct.unpack("<d", _bytes(value))[0]
    if scalar in ("time", "microtime", "quantity", "int-or-string"):
        inner = {number: v for number, _, v in _fields(_bytes(value))}
        if scalar == "quantity":
            return _bytes(inner.get(1, b"")).decode() or "0"
        if scalar == "int-or-string":
            return _bytes(inner.get(3, b"")).decode() if inner.get(1, 0) == 1 else _signed(inner.get(2, 0))
        if not inner:
            return None
        moment = _signed(inner.get(1, 0)) + (_signed(inner.get(2, 0)) / 1e9 if scalar == "microtime" else 0)
        return format_microtime(moment) if scalar == "microtime" else format_time(moment)
    return _signed(value)


def _free_form(data: bytes, depth: int) -> Any:
    """RawExtension, FieldsV1 and JSON: field 1 holds JSON text (or another envelope)."""
    import orjson

    raw = next((_bytes(v) for n, _, v in _fields(data) if n == 1), b"")
    if not raw:
        return None
    if raw.startswith(MAGIC):
        return _unknown(raw[len(MAGIC) :], depth + 1)
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _Malformed(str(error)) from None
