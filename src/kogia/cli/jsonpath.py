"""kubectl's JSONPath templates: `{.items[*].metadata.name}`, `{range .items[*]}…{end}`, filters, slices, `..`.

Pure: a template is parsed into a tree of nodes and evaluated on plain data. Source: kubernetes.io/docs/reference/kubectl/jsonpath.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any


class JsonPathError(ValueError):
    """A template that does not parse, or a path that finds nothing where something is asked for."""


@dataclass(slots=True)
class Step:
    kind: str  #: field, wildcard, index, slice, filter, recursive, union
    value: Any = None


@dataclass(slots=True)
class Node:
    kind: str  #: text, path, range
    text: str = ""
    steps: list[Step] = field(default_factory=list)
    body: list[Node] = field(default_factory=list)


_FILTER = re.compile(r"\s*(@[^=!<>]*?|'[^']*'|\"[^\"]*\"|[\w.+-]+)\s*(==|!=|<=|>=|<|>)\s*(@.*|'[^']*'|\"[^\"]*\"|[\w.+-]+)\s*$")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'"}


def render(template: str, data: Any, *, allow_missing: bool = True) -> str:
    """The template filled from `data`. Errors: JsonPathError."""
    nodes, rest = _parse_template(template, 0, inside=False)
    if rest != len(template):
        raise JsonPathError("unexpected {end}")
    return "".join(_evaluate(nodes, data, data, allow_missing))


def relaxed(expression: str) -> str:
    """`x.y`, `.x.y` and `{.x.y}` all mean `{.x.y}` (custom-columns, sort-by)."""
    inner = expression.strip()
    if inner.startswith("{") and inner.endswith("}"):
        inner = inner[1:-1]
    return "{" + (inner if inner.startswith((".", "[", "$", "@")) else "." + inner) + "}"


def values(expression: str, data: Any) -> list[Any]:
    """What one path expression finds, undecorated; [] if nothing."""
    nodes, _ = _parse_template(relaxed(expression), 0, inside=False)
    return _walk(nodes[0].steps, [data], data, True) if nodes else []


def _parse_template(text: str, at: int, inside: bool) -> tuple[list[Node], int]:
    nodes: list[Node] = []
    while at < len(text):
        if text[at] != "{":
            end = text.find("{", at)
            end = len(text) if end < 0 else end
            nodes.append(Node("text", text=text[at:end]))
            at = end
            continue
        close = _closing(text, at)
        inner = text[at + 1 : close].strip()
        at = close + 1
        if inner == "end":
            if not inside:
                raise JsonPathError("not in range, nothing to end")
            return nodes, at
        if inner.startswith("range"):
            body, at = _parse_template(text, at, inside=True)
            nodes.append(Node("range", steps=_parse_path(inner[5:].strip()), body=body))
        elif inner[:1] in "\"'" and len(inner) >= 2:
            nodes.append(Node("text", text=re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), inner[1:-1])))
        else:
            nodes.append(Node("path", steps=_parse_path(inner)))
    if inside:
        raise JsonPathError("unclosed range: {end} is missing")
    return nodes, at


def _closing(text: str, at: int) -> int:
    quote, depth = "", 0
    for i in range(at, len(text)):
        c = text[i]
        if quote:
            if c == quote and text[i - 1] != "\\":
                quote = ""
        elif c in "\"'":
            quote = c
        elif c == "{":
            depth += 1
        elif c == "}":
            depth -= 1
            if depth == 0:
                return i
    raise JsonPathError("unclosed action")


def _parse_path(text: str) -> list[Step]:
    steps: list[Step] = []
    at = 1 if text[:1] in "$@" else 0
    while at < len(text):
        if text.startswith("..", at):
            steps.append(Step("recursive"))
            at += 2
            if at < len(text) and text[at] not in ".[":
                name, at = _name(text, at)
                steps.append(Step("wildcard") if name == "*" else Step("field", name))
        elif text[at] == ".":
            if at + 1 == len(text):
                break
            name, at = _name(text, at + 1)
            if name:
                steps.append(Step("wildcard") if name == "*" else Step("field", name))
        elif text[at] == "[":
            close = _bracket(text, at)
            steps.append(_subscript(text[at + 1 : close].strip()))
            at = close + 1
        else:
            name, at = _name(text, at)
            if not name:
                raise JsonPathError(f"unrecognized character in action: {text[at]!r}")
            steps.append(Step("field", name))
    return steps


def _name(text: str, at: int) -> tuple[str, int]:
    out = []
    while at < len(text) and text[at] not in ".[ ]":
        if text[at] == "\\" and at + 1 < len(text):
            at += 1
        out.append(text[at])
        at += 1
    return "".join(out), at


def _bracket(text: str, at: int) -> int:
    quote, depth = "", 0
    for i in range(at, len(text)):
        c = text[i]
        if quote:
            quote = "" if c == quote else quote
        elif c in "\"'":
            quote = c
        elif c == "[":
            depth += 1
        elif c == "]":
            depth -= 1
            if depth == 0:
                return i
    raise JsonPathError("unterminated array")


def _subscript(inner: str) -> Step:
    if inner == "*":
        return Step("wildcard")
    if inner.startswith("?(") and inner.endswith(")"):
        return Step("filter", inner[2:-1])
    if inner[:1] == "'":
        return Step("union", re.findall(r"'([^']*)'", inner))
    if re.fullmatch(r"-?\d+(\s*,\s*-?\d+)*", inner):
        return Step("union", [int(x) for x in inner.split(",")])
    match = re.fullmatch(r"(-?\d*):(-?\d*)(?::(\d*))?", inner)
    if match:
        return Step("slice", slice(*(int(g) if g else None for g in match.groups())))
    raise JsonPathError(f"invalid array index {inner}")


def _walk(steps: list[Step], current: list[Any], root: Any, allow_missing: bool) -> list[Any]:
    for step in steps:
        found: list[Any] = []
        for value in current:
            found.extend(_apply(step, value))
        if not found and step.kind == "field" and not allow_missing and current:
            raise JsonPathError(f"{step.value} is not found")
        current = found
    return current


def _apply(step: Step, value: Any) -> list[Any]:
    if step.kind == "field":
        return [value[step.value]] if isinstance(value, dict) and step.value in value else []
    if step.kind == "wildcard":
        return list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list) else []
    if step.kind == "slice":
        return value[step.value] if isinstance(value, list) else []
    if step.kind == "union":
        return _union(step.value, value)
    if step.kind == "recursive":
        return _descend(value)
    return [item for item in (value if isinstance(value, list) else []) if _matches(step.value, item)]


def _union(keys: list[Any], value: Any) -> list[Any]:
    out = []
    for key in keys:
        if isinstance(value, dict) and key in value or isinstance(value, list) and isinstance(key, int) and -len(value) <= key < len(value):
            out.append(value[key])
        elif isinstance(value, list) and isinstance(key, int):
            raise JsonPathError(f"array index out of bounds: index {key}, length {len(value)}")
    return out


def _descend(value: Any) -> list[Any]:
    out = [value]
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if isinstance(child, dict | list):
            out.extend(_descend(child))
    return out


def _matches(expression: str, item: Any) -> bool:
    match = _FILTER.match(expression)
    if not match:
        return bool(_walk(_parse_path(expression.strip()), [item], item, True))
    left, operator, right = _operand(match[1], item), match[2], _operand(match[3], item)
    if left is None or right is None:
        return (left != right) if operator == "!=" else False
    if type(left) is not type(right) and not (isinstance(left, int | float) and isinstance(right, int | float)):
        left, right = str(left), str(right)
    comparisons = {"==": left == right, "!=": left != right}
    if operator in comparisons:
        return comparisons[operator]
    return {"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[operator]


def _operand(text: str, item: Any) -> Any:
    text = text.strip()
    if text.startswith("@"):
        found = _walk(_parse_path(text), [item], item, True)
        return found[0] if found else None
    if text[:1] in "'\"":
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text


def _evaluate(nodes: list[Node], data: Any, root: Any, allow_missing: bool) -> list[str]:
    out: list[str] = []
    for node in nodes:
        if node.kind == "text":
            out.append(node.text)
        elif node.kind == "range":
            for item in _walk(node.steps, [data], root, allow_missing):
                out.extend(_evaluate(node.body, item, root, allow_missing))
        else:
            out.append(" ".join(printed(v) for v in _walk(node.steps, [data], root, allow_missing)))
    return out


def check(template: str) -> None:
    """Errors: JsonPathError if it does not parse."""
    _parse_template(template, 0, inside=False)


def printed(value: Any) -> str:
    """A found value as kubectl prints it: Go's JSON for lists and maps."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def as_go(value: Any) -> str:
    """A found value as Go's %v prints it (custom columns): `map[a:b]`, `[x y]`, `<nil>`."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{k}:{as_go(v)}" for k, v in sorted(value.items())) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(as_go, value)) + "]"
    if value is None:
        return "<nil>"
    return str(value).lower() if isinstance(value, bool) else str(value)
