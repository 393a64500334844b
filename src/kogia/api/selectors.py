"""Label and field selectors: parsed once, matched often, printed back as Kubernetes prints them.

Pure and light (the command line imports it). Errors are `SelectorError`, a ValueError whose text is Kubernetes' own; servers turn
it into a 400.

Source: k8s.io/apimachinery pkg/labels/selector.go, pkg/fields/selector.go, metav1.LabelSelectorAsSelector.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from kogia.api import names


class SelectorError(ValueError):
    """A selector nobody can read."""


class Requirement(NamedTuple):
    """One term. operator: "=", "==", "!=", "in", "notin", "exists", "!", "gt", "lt"; values as written (sorted for sets)."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        operator = self.operator
        have = labels.get(self.key)
        if operator in ("=", "==", "in"):
            return have is not None and have in self.values
        if operator in ("!=", "notin"):
            return have is None or have not in self.values
        if operator == "exists":
            return have is not None
        if operator == "!":
            return have is None
        number = _int64(have)
        if number is None:
            return False
        bound = int(self.values[0])
        return number > bound if operator == "gt" else number < bound

    def __str__(self) -> str:
        operator = self.operator
        if operator == "exists":
            return self.key
        if operator == "!":
            return "!" + self.key
        if operator in ("in", "notin"):
            return f"{self.key} {operator} ({','.join(sorted(self.values))})"
        sign = {"gt": ">", "lt": "<"}.get(operator, operator)
        return f"{self.key}{sign}{self.values[0]}"


def _int64(text: str | None) -> int | None:
    if text is None or not (text.lstrip("+-").isdigit() and re.fullmatch(r"[+-]?[0-9]+", text, re.ASCII)):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


class LabelSelector:
    """A conjunction of requirements. `requirements` is sorted by key; `nothing` selectors match no labels at all."""

    __slots__ = ("nothing", "requirements")

    def __init__(self, requirements: Sequence[Requirement] = (), *, nothing: bool = False) -> None:
        self.requirements = tuple(sorted(requirements, key=lambda r: r.key))
        self.nothing = nothing

    @property
    def empty(self) -> bool:
        """True when it selects everything."""
        return not self.requirements and not self.nothing

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        if self.nothing:
            return False
        labels = labels or {}
        for requirement in self.requirements:  # noqa: SIM110 (a loop is twice as fast as all() here)
            if not requirement.matches(labels):
                return False
        return True

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))

    def __repr__(self) -> str:
        return f"LabelSelector({str(self)!r})" if not self.nothing else "LabelSelector(nothing)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelSelector) and (self.requirements, self.nothing) == (other.requirements, other.nothing)

    def __hash__(self) -> int:
        return hash((self.requirements, self.nothing))


EVERYTHING = LabelSelector()
NOTHING = LabelSelector(nothing=True)

_TOKEN = r"\s*(==|!=|[=!<>(),]|[^\s=!<>(),]+)"
_OPERATORS = {"=": "=", "==": "==", "!=": "!=", "in": "in", "notin": "notin", ">": "gt", "<": "lt"}
_SPECIAL = frozenset(("=", "==", "!=", "!", "<", ">", "(", ")", ",", ""))
_EXPECTED_OPERATORS = "in, notin, =, ==, !=, gt, lt"


class _LabelParser:
    """Recursive descent over the token list; "" stands for the end of the text."""

    def __init__(self, text: str) -> None:
        self.tokens = re.findall(_TOKEN, text) + [""]
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at]

    def take(self) -> str:
        token: str = self.tokens[self.at]
        if token:
            self.at += 1
        return token

    def parse(self) -> list[Requirement]:
        found: list[Requirement] = []
        if self.peek() == "":
            return found
        while True:
            token = self.peek()
            if token in _SPECIAL and token != "!":
                raise SelectorError(f"found '{token}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self.requirement())
            except SelectorError as error:
                raise SelectorError(f"unable to parse requirement: {error}") from None
            token = self.take()
            if token == "":
                return found
            if token != ",":
                raise SelectorError(f"found '{token}', expected: ',' or 'end of string'")
            following = self.peek()
            if following in _SPECIAL and following != "!":
                raise SelectorError(f"found '{following}', expected: identifier after ','")

    def requirement(self) -> Requirement:
        token = self.take()
        if token == "!":
            key = self.take()
            if key in _SPECIAL:
                raise SelectorError(f"found '{key}', expected: identifier")
            _check_key(key, "<nil>")
            return make_requirement(key, "!", ())
        key = token
        _check_key(key, "<nil>")
        if self.peek() in ("", ","):
            return make_requirement(key, "exists", ())
        sign = self.take()
        operator = _OPERATORS.get(sign)
        if operator is None:
            raise SelectorError(f"found '{sign}', expected: {_EXPECTED_OPERATORS}")
        if operator in ("in", "notin"):
            return make_requirement(key, operator, self.values())
        return make_requirement(key, operator, (self.exact_value(),))

    def exact_value(self) -> str:
        if self.peek() in ("", ","):
            return ""
        token = self.take()
        if token in _SPECIAL:
            raise SelectorError(f"found '{token}', expected: identifier")
        return token

    def values(self) -> tuple[str, ...]:
        token = self.take()
        if token != "(":
            raise SelectorError(f"found '{token}' expected: '('")
        if self.peek() in _SPECIAL and self.peek() not in (",", ")"):
            raise SelectorError(f"found '{self.peek()}', expected: ',', ')' or identifier")
        values: set[str] = set()
        want_value = True
        while True:
            token = self.take()
            if token in (",", ")"):
                if want_value:
                    values.add("")
                if token == ")":
                    return tuple(sorted(values))
                want_value = True
            elif not want_value:
                raise SelectorError(f"found '{token}', expected: ',' or ')'")
            elif token in _SPECIAL:
                raise SelectorError(f"found '{token}', expected: ',', or identifier")
            else:
                values.add(token)
                want_value = False


def _check_key(key: str, path: str) -> None:
    problems = names.qualified_name(key)
    if problems:
        raise SelectorError(f"{path}: Invalid value: {_quoted(key)}: {'; '.join(problems)}")


def make_requirement(key: str, operator: str, values: Sequence[str]) -> Requirement:
    """A checked requirement. Errors: SelectorError. Source: labels.NewRequirement."""
    problems = []
    bad_key = names.qualified_name(key)
    if bad_key:
        problems.append(f"key: Invalid value: {_quoted(key)}: {'; '.join(bad_key)}")
    if operator in ("in", "notin") and not values:
        problems.append("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty")
    if operator in ("exists", "!") and values:
        problems.append(f"values: Invalid value: {_list_text(values)}: values set must be empty for exists and does not exist")
    if operator in ("gt", "lt"):
        if len(values) != 1:
            problems.append(f"values: Invalid value: {_list_text(values)}: for 'Gt', 'Lt' operators, exactly one value is required")
        problems += [
            f"values[{i}]: Invalid value: {_quoted(value)}: for 'Gt', 'Lt' operators, the value must be an integer"
            for i, value in enumerate(values) if _int64(value) is None
        ]
    for i, value in enumerate(values):
        bad_value = names.label_value(value)
        if bad_value:
            problems.append(f"values[{i}][{key}]: Invalid value: {_quoted(value)}: {'; '.join(bad_value)}")
    if problems:
        raise SelectorError(problems[0] if len(problems) == 1 else "[" + ", ".join(problems) + "]")
    return Requirement(key, operator, tuple(values))


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _list_text(values: Sequence[str]) -> str:
    return "[" + ",".join(_quoted(v) for v in values) + "]"


@lru_cache(maxsize=1024)
def parse_label_selector(text: str) -> LabelSelector:
    """Parse `a=b,c in (d,e),!f,g>1`. The empty text selects everything.

    Errors: SelectorError.
    Source: labels.Parse.
    """
    if not text or text.isspace():
        return EVERYTHING
    return LabelSelector(_LabelParser(text).parse())


_OBJECT_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def label_selector_from_object(selector: Mapping[str, Any] | None) -> LabelSelector:
    """The selector a LabelSelector object (matchLabels, matchExpressions) means: None matches nothing, {} everything.

    Errors: SelectorError.
    Source: metav1.LabelSelectorAsSelector.
    """
    if selector is None:
        return NOTHING
    found = [make_requirement(key, "=", (value,)) for key, value in (selector.get("matchLabels") or {}).items()]
    for term in selector.get("matchExpressions") or ():
        operator = _OBJECT_OPERATORS.get(term.get("operator", ""))
        if operator is None:
            raise SelectorError(f"{_quoted(str(term.get('operator', '')))} is not a valid label selector operator")
        found.append(make_requirement(term.get("key", ""), operator, tuple(sorted(set(term.get("values") or ())))))
    return LabelSelector(found) if found else EVERYTHING


def label_selector_from_map(labels: Mapping[str, str] | None) -> LabelSelector:
    """The selector of a plain map, as Services and ReplicationControllers have; no validation. Empty selects everything."""
    return LabelSelector([Requirement(key, "=", (value,)) for key, value in (labels or {}).items()])


class FieldRequirement(NamedTuple):
    """`name op value`; op is "=" or "!="."""

    name: str
    op: str
    value: str


class FieldSelector:
    """A conjunction of field requirements; an absent field counts as empty."""

    __slots__ = ("requirements",)

    def __init__(self, requirements: Sequence[FieldRequirement] = ()) -> None:
        self.requirements = tuple(requirements)

    @property
    def empty(self) -> bool:
        return not self.requirements

    def matches(self, fields: Mapping[str, str]) -> bool:
        for requirement in self.requirements:  # noqa: SIM110
            if (fields.get(requirement.name, "") == requirement.value) != (requirement.op == "="):
                return False
        return True

    def exact(self, name: str) -> str | None:
        """The value `name` must have, None when it is not pinned by an equality."""
        return next((r.value for r in self.requirements if r.name == name and r.op == "="), None)

    def __str__(self) -> str:
        return ",".join(f"{r.name}{r.op}{escape_field_value(r.value)}" for r in self.requirements)

    def __repr__(self) -> str:
        return f"FieldSelector({str(self)!r})"


def escape_field_value(value: str) -> str:
    """Escape backslash, comma and equals for use in a field selector."""
    return re.sub(r"([\\,=])", r"\\\1", value)


def _split_terms(text: str) -> list[str]:
    return [term for term in re.findall(r"(?:\\.|[^,\\]|\\\Z)*", text, re.DOTALL) if term]


def _unescape(value: str) -> str:
    out: list[str] = []
    at = 0
    while at < len(value):
        char = value[at]
        if char == "\\":
            escaped = value[at + 1:at + 2]
            if escaped not in ("\\", ",", "="):
                raise SelectorError(f"invalid field selector: invalid escape sequence: {char}{escaped}")
            out.append(escaped)
            at += 2
            continue
        if char in ",=":
            raise SelectorError(f"invalid field selector: unescaped character in value: {char}")
        out.append(char)
        at += 1
    return "".join(out)


_FIELD_OPERATOR = r"!=|==|="
_EVERY_FIELD = FieldSelector()


@lru_cache(maxsize=1024)
def parse_field_selector(text: str) -> FieldSelector:
    """Parse `metadata.name=x,status.phase!=Running`; `\\`, `,` and `=` in values are escaped by a backslash.

    Errors: SelectorError. Whether a kind knows a field is the caller's to check.
    Source: fields.ParseSelector.
    """
    if not text:
        return _EVERY_FIELD
    found = []
    for term in _split_terms(text):
        match = re.search(_FIELD_OPERATOR, term)
        if match is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{term}'")
        operator = "!=" if match[0] == "!=" else "="
        found.append(FieldRequirement(term[:match.start()].strip(), operator, _unescape(term[match.end():])))
    return FieldSelector(found)
