"""Copies of plain JSON values: what every caller uses that wants to change an object another may hold."""

from __future__ import annotations

from typing import Any


def deep_copy(value: Any) -> Any:
    """A private copy of a JSON value (dict, list, scalar). Other types are shared, as they are immutable in JSON."""
    kind = type(value)
    if kind is dict:
        return {k: (v if type(v) is str else deep_copy(v)) for k, v in value.items()}
    if kind is list:
        return [deep_copy(v) for v in value]
    return value
