"""The fast half of checking: per struct one closure that says whether a value is already just as Kubernetes would print it.

A recogniser never changes or explains anything; a False only means "take the slow way" (`pruning.py`). Each field of a struct maps
either to a JSON type (checked inline, no call) or to a recogniser. Structs are compiled when first met, so recursion in the schema
(JSONSchemaProps) costs nothing.

Invariant: whatever a recogniser accepts, `pruning.prune` would return unchanged and without messages (a test holds them together).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from kogia.api import quantity
from kogia.api.schema import Node, Shape, Struct

Recogniser = Callable[[Any], bool]

#: dates that need no calendar; the 29th of February goes the slow way
_DATE = r"(?!0000)\d{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
_CLOCK = r"T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
TIME = re.compile(_DATE + _CLOCK + "Z", re.ASCII).fullmatch
MICROTIME = re.compile(_DATE + _CLOCK + r"\.\d{6}Z", re.ASCII).fullmatch
BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", re.ASCII).fullmatch
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
_KNOWN_QUANTITIES: set[str] = set()


def _int32(value: Any) -> bool:
    return type(value) is int and INT32_MIN <= value <= INT32_MAX


def _int64(value: Any) -> bool:
    return type(value) is int and INT64_MIN <= value <= INT64_MAX


def _double(value: Any) -> bool:
    return type(value) is float or type(value) is int


def _quantity(value: Any) -> bool:
    if type(value) is not str:
        return False
    if value in _KNOWN_QUANTITIES:
        return True
    try:
        same = quantity.canonical(value) == value
    except quantity.QuantityError:
        return False
    if same:
        if len(_KNOWN_QUANTITIES) > 10_000:
            _KNOWN_QUANTITIES.clear()
        _KNOWN_QUANTITIES.add(value)
    return same


def _int_or_string(value: Any) -> bool:
    return type(value) is str or (type(value) is int and INT32_MIN <= value <= INT32_MAX)


def _time(value: Any) -> bool:
    return type(value) is str and TIME(value) is not None


def _microtime(value: Any) -> bool:
    return type(value) is str and MICROTIME(value) is not None


def _byte(value: Any) -> bool:
    return type(value) is str and BASE64(value) is not None


def _anything(value: Any) -> bool:
    return value is not None


#: scalar name -> JSON type checked inline, or a recogniser
_SCALARS: dict[str, type | Recogniser] = {
    "string": str, "boolean": bool, "int32": _int32, "int64": _int64, "double": _double, "byte": _byte,
    "quantity": _quantity, "int-or-string": _int_or_string, "time": _time, "microtime": _microtime,
}


def _test_of(node: Node) -> type | Recogniser:
    shape = node.shape
    if shape is Shape.SCALAR:
        return _SCALARS[node.scalar]
    if shape is Shape.ANY:
        return _anything
    return recogniser(node)


def recogniser(node: Node) -> Recogniser:
    """The compiled recogniser of a node, kept on it (`Node.fast`)."""
    made: Recogniser | None = node.fast
    if made is None:
        shape = node.shape
        if shape is Shape.STRUCT:
            made = _struct(node.struct)  # type: ignore[arg-type]
        elif shape is Shape.LIST:
            made = _list(_test_of(node.item))  # type: ignore[arg-type]
        elif shape is Shape.MAP:
            made = _map(_test_of(node.item))  # type: ignore[arg-type]
        else:
            test = _test_of(node)
            made = _exact(test) if isinstance(test, type) else test
        node.fast = made
    return made


_made: dict[str, Recogniser] = {}


def _struct(struct: Struct) -> Recogniser:
    known = _made.get(struct.name)
    if known is not None:
        return known
    table: dict[str, type | Recogniser] = {}

    def fill() -> None:
        for name, node in struct.fields.items():
            if node.shape is Shape.SCALAR:
                table[name] = _SCALARS[node.scalar]
            else:
                table[name] = _lazy(node, table, name)

    get = table.get

    def recognise(value: Any) -> bool:
        if type(value) is not dict:
            return False
        if not table:
            fill()
        for key, item in value.items():
            test = get(key)
            if test is str:
                if type(item) is not str:
                    return False
            elif test is bool:
                if item is not True and item is not False:
                    return False
            elif test is None or not test(item):
                return False
        return True

    _made[struct.name] = recognise
    return recognise


def _lazy(node: Node, table: dict[str, type | Recogniser], name: str) -> Recogniser:
    def first(value: Any) -> bool:
        test = _test_of(node)
        table[name] = test
        return bool(test(value))

    return first


def _exact(kind: type) -> Recogniser:
    return lambda value: type(value) is kind


def _list(test: type | Recogniser) -> Recogniser:
    if isinstance(test, type):
        kind = test

        def plain(value: Any) -> bool:
            if type(value) is not list:
                return False
            for item in value:  # noqa: SIM110
                if type(item) is not kind:
                    return False
            return True

        return plain
    each: Recogniser = test

    def recognise(value: Any) -> bool:
        if type(value) is not list:
            return False
        for item in value:  # noqa: SIM110
            if not each(item):
                return False
        return True

    return recognise


def _map(test: type | Recogniser) -> Recogniser:
    if isinstance(test, type):
        kind = test

        def plain(value: Any) -> bool:
            if type(value) is not dict:
                return False
            for item in value.values():  # noqa: SIM110
                if type(item) is not kind:
                    return False
            return True

        return plain
    each: Recogniser = test

    def recognise(value: Any) -> bool:
        if type(value) is not dict:
            return False
        for item in value.values():  # noqa: SIM110
            if not each(item):
                return False
        return True

    return recognise
