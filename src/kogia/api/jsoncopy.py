"""Copies of plain JSON values: what every caller uses that wants to change an object another may hold; and how deep they may nest."""

from __future__ import annotations

from typing import Any

import orjson

#: nesting beyond this is refused wherever values come in; far above any real object, far below Python's stack and the encoder's 254
MAX_DEPTH = 200


def deep_copy(value: Any) -> Any:
    """A private copy of a JSON value (dict, list, scalar).

    Encoding and decoding is three times as fast as walking; what the encoder refuses (integers beyond 64 bits) is walked.
    """
    if type(value) is not dict and type(value) is not list:
        return value
    try:
        return orjson.loads(orjson.dumps(value))
    except TypeError:
        return _walk(value)


def too_deep(value: Any, limit: int = MAX_DEPTH) -> bool:
    """Whether dicts and lists nest more than `limit` levels; walks level by level, so it cannot overflow itself."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(limit):
        level = [
            child for item in level for child in (item.values() if isinstance(item, dict) else item) if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def _walk(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {k: (v if type(v) is str else _walk(v)) for k, v in value.items()}
    if kind is list:
        return [_walk(v) for v in value]
    return value
