"""YAML as Kubernetes reads it: parsed by libyaml, typed by the rules of Go's yaml v2, returned as JSON values.

YAML 1.1 with Go's deviations: `yes`/`no`/`on`/`off` and `y`/`n` are booleans, `0777` and `0o777` octal, `_` may part digits, dates stay
texts, `1e3` is a number, base 60 is not. Keys become texts. Anchors and merge keys work, bounded against "billion laughs". Only the
C parser's node tree is used; construction is our own, because PyYAML's is the slow part.

Source: sigs.k8s.io/yaml and its goyaml.v2 (resolve.go, decode.go).
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any

import yaml

#: None for a PyYAML without libyaml: slower, same result
_Parser: Any = getattr(yaml, "CParser", None) or getattr(getattr(yaml, "cyaml", None), "CParser", None)

#: how many nodes aliases may add in total
MAX_ALIASED_NODES = 100_000
_TRUE = frozenset(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"))
_FALSE = frozenset(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"))
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z", re.ASCII)
_INFINITY = {".inf": math.inf, ".Inf": math.inf, ".INF": math.inf, "+.inf": math.inf, "+.Inf": math.inf, "+.INF": math.inf,
             "-.inf": -math.inf, "-.Inf": -math.inf, "-.INF": -math.inf, ".nan": math.nan, ".NaN": math.nan, ".NAN": math.nan}
_STARTS = frozenset("+-.0123456789")
_TAG = "tag:yaml.org,2002:"


class YamlError(ValueError):
    """The text is no YAML, or none that can become JSON; the message is like Go's (`yaml: line 3: …`)."""


if _Parser is not None:

    class _Loader(_Parser):  # type: ignore[misc, valid-type]
        """libyaml's composer; scalars keep their text, so resolving costs nothing here."""

        def __init__(self, stream: bytes | str) -> None:
            _Parser.__init__(self, stream)

        def resolve(self, kind: type, value: Any, implicit: Any) -> str:
            if kind is yaml.ScalarNode:
                return "?" if implicit[0] else "!"
            return ""

        def descend_resolver(self, parent: Any, index: Any) -> None: ...

        def ascend_resolver(self) -> None: ...

else:

    class _Loader(yaml.SafeLoader):  # type: ignore[no-redef]
        """PyYAML's own composer in the same dress."""

        def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
            if kind is yaml.ScalarNode:
                return "?" if implicit[0] else "!"
            return ""

        def descend_resolver(self, parent: Any, index: Any) -> None: ...

        def ascend_resolver(self) -> None: ...

        def dispose(self) -> None: ...


def load(body: bytes | str, *, strict: bool = False, max_depth: int = 200) -> tuple[Any, list[str]]:
    """The first document as JSON values, and (when `strict`) `line 3: key "foo" already set in map` messages.

    Errors: YamlError.
    """
    try:
        return _load_all(body, strict, max_depth, first_only=True)[0]
    except IndexError:
        return None, []


def load_all(body: bytes | str, *, strict: bool = False, max_depth: int = 200) -> list[tuple[Any, list[str]]]:
    """Every document of a stream (`---` between them), as `load` gives one; empty documents are None. Errors: YamlError."""
    return _load_all(body, strict, max_depth, first_only=False)


def _load_all(body: bytes | str, strict: bool, max_depth: int, *, first_only: bool) -> list[tuple[Any, list[str]]]:
    out: list[tuple[Any, list[str]]] = []
    try:
        loader = _Loader(body)
        try:
            while loader.check_node():
                messages: list[str] = []
                out.append((_Builder(messages if strict else None, max_depth).build(loader.get_node(), 0), messages))
                if first_only:
                    break
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark is not None else ""
        raise YamlError(f"yaml: {line}{error.problem or error.context}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise YamlError(f"yaml: {error}") from None
    except RecursionError:
        raise YamlError("yaml: exceeded max depth") from None
    return out


class _Builder:
    """Makes JSON values out of one document's nodes."""

    def __init__(self, messages: list[str] | None, max_depth: int) -> None:
        self.messages = messages
        self.max_depth = max_depth
        self.seen: set[int] = set()
        self.open: set[int] = set()
        self.aliased = 0
        self.inside_alias = False

    def build(self, node: Any, depth: int) -> Any:
        if isinstance(node, yaml.ScalarNode):
            if self.inside_alias:
                self.count()
            return scalar(node.value, node.tag, node.start_mark)
        if depth >= self.max_depth:
            raise YamlError("yaml: exceeded max depth")
        identity = id(node)
        if identity in self.open:
            raise YamlError(f"yaml: line {node.start_mark.line + 1}: anchor value contains itself")
        outermost = identity in self.seen and not self.inside_alias
        if outermost:
            self.inside_alias = True
        if self.inside_alias:
            self.count()
        self.seen.add(identity)
        self.open.add(identity)
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.build(item, depth + 1) for item in node.value]
            return self.mapping(node, depth)
        finally:
            self.open.discard(identity)
            if outermost:
                self.inside_alias = False

    def count(self) -> None:
        self.aliased += 1
        if self.aliased > MAX_ALIASED_NODES:
            raise YamlError("yaml: document contains excessive aliasing")

    def mapping(self, node: Any, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        merges: list[Any] = []
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise YamlError(f"yaml: invalid map key: line {key_node.start_mark.line + 1}")
            if key_node.value == "<<" and key_node.tag in ("?", _TAG + "merge"):
                merges.append(value_node)
                continue
            key = key_text(key_node)
            if self.messages is not None and key in made:
                self.messages.append(f'line {key_node.start_mark.line + 1}: key "{key}" already set in map')
            made[key] = self.build(value_node, depth + 1)
        for merge in merges:
            for source in self.merge_sources(merge, depth):
                for key, value in source.items():
                    made.setdefault(key, value)
        return made

    def merge_sources(self, node: Any, depth: int) -> list[dict[str, Any]]:
        value = self.build(node, depth + 1)
        sources = value if isinstance(value, list) else [value]
        if not all(isinstance(source, dict) for source in sources):
            raise YamlError(f"yaml: line {node.start_mark.line + 1}: map merge requires map or sequence of maps as the value")
        return sources


def key_text(node: Any) -> str:
    """A key as JSON text: numbers and booleans are printed, as sigs.k8s.io/yaml does."""
    value = scalar(node.value, node.tag, node.start_mark)
    if type(value) is str:
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def scalar(text: str, tag: str, mark: Any) -> Any:
    """One scalar's value. tag: "?" plain without tag, "!" quoted, else the explicit tag."""
    if tag == "?":
        return resolve(text)
    if tag == "!":
        return text
    if tag == _TAG + "binary":
        try:
            return base64.b64decode(text).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            raise YamlError("yaml: !!binary value contains invalid base64 data") from None
    short = tag.removeprefix(_TAG)
    if short in ("int", "float", "bool", "null"):
        value = resolve(text)
        if short == "float" and type(value) is int:
            return float(value)
        names = {"int": int, "float": float, "bool": bool, "null": type(None)}
        if type(value) is not names[short]:
            raise YamlError(f"yaml: line {mark.line + 1}: cannot decode !!str `{text}` as a !!{short}")
        return value
    return text


def resolve(text: str) -> Any:
    """A plain scalar's value by the go-yaml v2 table. Errors: YamlError for .inf and .nan, which JSON cannot hold."""
    if text in _NULL:
        return None
    if text[0] not in _STARTS:
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
        return text
    if text in _INFINITY:
        raise YamlError(f"json: unsupported value: {text}")
    plain = text.replace("_", "")
    number = _integer(plain)
    if number is not None:
        return number
    if _FLOAT.match(plain):
        value = float(plain)
        if math.isinf(value):
            return text
        return int(value) if value == int(value) and abs(value) < 2**53 else value
    return text


def _integer(text: str) -> int | float | None:
    sign, digits = (text[0], text[1:]) if text[:1] in ("-", "+") else ("", text)
    if not digits or not digits.isascii() or not digits[0].isdigit():
        return None
    try:
        if digits[:2] in ("0b", "0B"):
            number = int(digits[2:], 2)
        elif digits[:2] in ("0x", "0X"):
            number = int(digits[2:], 16)
        elif digits[:2] in ("0o", "0O"):
            number = int(digits[2:], 8)
        elif len(digits) > 1 and digits[0] == "0":
            number = int(digits, 8)
        elif digits.isdigit():
            number = int(digits) if len(digits) < 400 else 2**64
        else:
            return None
    except ValueError:
        return None
    if sign == "-":
        number = -number
    return number if -(2**63) <= number < 2**64 else None
