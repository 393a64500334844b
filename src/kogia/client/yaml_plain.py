"""Reads the plain block YAML that kubeconfig files consist of, without a YAML library: loading one costs more than a whole short command.

Anything but nested block mappings and lists of unmistakable texts makes it give up, and the caller takes the real parser. Invariant: what it
accepts means the same to every YAML reader.
"""

from __future__ import annotations

import json
import re
from typing import Any

_LINE = re.compile(r"( *)((?:- )*)([A-Za-z][A-Za-z0-9-]*):(?: (\S.*?))?\s*\Z")
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./@+=-]*(?::[A-Za-z0-9_./@+=-]+)*\Z")
_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"))


class NotPlain(ValueError):
    """More than this reader knows; no statement about the text's being YAML."""


def load(text: str) -> dict[str, Any]:
    """The document's mapping. Errors: NotPlain."""
    rows: list[tuple[int, bool, str, str | None]] = []
    for line in text.split("\n"):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.match(line)
        if match is None or len(match[2]) > 2:
            raise NotPlain(line)
        rows.append((len(match[1]) + len(match[2]), bool(match[2]), match[3], match[4]))
    value, end = _mapping(rows, 0, 0)
    if end != len(rows):
        raise NotPlain("indentation")
    return value


def _mapping(rows: list[tuple[int, bool, str, str | None]], at: int, indent: int) -> tuple[dict[str, Any], int]:
    """The mapping whose first row is `at`; a row that begins a list item may be its first, not a later one."""
    out: dict[str, Any] = {}
    first = at
    while at < len(rows) and rows[at][0] == indent and (at == first or not rows[at][1]):
        _, _, key, scalar = rows[at]
        if key in out:
            raise NotPlain(f"{key} twice")
        at += 1
        if scalar is not None:
            out[key] = _scalar(scalar)
        elif at < len(rows) and rows[at][1] and rows[at][0] >= indent + 2:
            out[key], at = _list(rows, at, rows[at][0])
        elif at < len(rows) and not rows[at][1] and rows[at][0] > indent:
            out[key], at = _mapping(rows, at, rows[at][0])
        else:
            raise NotPlain(f"{key} is empty")
    return out, at


def _list(rows: list[tuple[int, bool, str, str | None]], at: int, indent: int) -> tuple[list[Any], int]:
    out: list[Any] = []
    while at < len(rows) and rows[at][1] and rows[at][0] == indent:
        item, at = _mapping(rows, at, indent)
        out.append(item)
    return out, at


def _scalar(text: str) -> Any:
    if text == "{}":
        return {}
    if text == "[]":
        return []
    if text in ("true", "false"):
        return text == "true"
    if text.startswith('"') and text.isascii():
        try:
            return json.loads(text)
        except ValueError:
            raise NotPlain(text) from None
    if _PLAIN.match(text) and text.lower() not in _WORDS:
        return text
    raise NotPlain(text)
