"""Name rules: each check returns the list of Kubernetes' own messages, empty when the text is fine.

Every check takes the bare text; `prefix_ok` wraps one for `generateName`, whose trailing dash a suffix will follow.

Source: k8s.io/apimachinery pkg/util/validation, pkg/api/validation/generic.go and path/name.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

Check = Callable[[str], list[str]]

DNS_LABEL_MAX = 63
DNS_SUBDOMAIN_MAX = 253
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = _LABEL + r"(\." + _LABEL + ")*"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = f"({_QUALIFIED})?"
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)
_QUALIFIED_TEXT = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"

EMPTY = "must be non-empty"


def regex_error(text: str, pattern: str, *examples: str) -> str:
    """A message with its examples and pattern, spaced as Kubernetes spaces them. Source: validation.RegexError."""
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{text} (e.g. {shown}regex used for validation is '{pattern}')"


def max_length_error(limit: int, unit: str = "characters") -> str:
    """Too long a text; upstream counts bytes everywhere but says so only for label keys and values."""
    return f"must be no more than {limit} {unit}"


def _too_long(text: str, limit: int) -> bool:
    return len(text) > limit or (not text.isascii() and len(text.encode()) > limit)


def _rule(pattern: str, limit: int, text: str, *examples: str, unit: str = "characters") -> Check:
    message = regex_error(text, pattern, *examples)
    match: Callable[[str], Any] | None = None  # compiled at first use: importing this module must cost nothing

    def check(value: str) -> list[str]:
        nonlocal match
        if match is None:
            match = re.compile(pattern, re.ASCII).fullmatch
        problems = []
        if limit and _too_long(value, limit):
            problems.append(max_length_error(limit, unit))
        if match(value) is None:
            problems.append(message)
        return problems

    return check


_plain_label = _rule(
    _LABEL, DNS_LABEL_MAX,
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
    "my-name", "123-abc",
)


def dns1123_label(value: str) -> list[str]:
    """A lowercase RFC 1123 label, at most 63 bytes: namespaces, containers, volumes."""
    problems = _plain_label(value)
    if problems and "." in value and _qualified_matchers()[1](value):
        problems[-1] = "must not contain dots"
    return problems


dns1123_subdomain = _rule(_SUBDOMAIN, DNS_SUBDOMAIN_MAX, _SUBDOMAIN_TEXT, "example.com")
dns1123_subdomain.__doc__ = "A lowercase RFC 1123 subdomain, at most 253 bytes: most objects' names."
dns1035_label = _rule(
    "[a-z]([-a-z0-9]*[a-z0-9])?", DNS_LABEL_MAX,
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
    "my-name", "abc-123",
)
dns1035_label.__doc__ = "An RFC 1035 label, at most 63 bytes: Services."
wildcard_dns1123_subdomain = _rule(
    r"\*\." + _SUBDOMAIN, DNS_SUBDOMAIN_MAX,
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case "
    "alphanumeric characters, '-' or '.' and end with an alphanumeric character", "*.example.com",
)
c_identifier = _rule(
    "[A-Za-z_][A-Za-z0-9_]*", 0,
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
    "my_name", "MY_NAME", "MyName",
)
percent = _rule("[0-9]+%", 0, "a valid percent string must be a numeric string followed by an ending '%'", "1%", "93%")
http_header_name = _rule("[-A-Za-z0-9]+", 0, "a valid HTTP header must consist of alphanumeric characters or '-'", "X-Header-Name")
_env_strict = _rule(
    "[-._a-zA-Z][-._a-zA-Z0-9]*", 0,
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit",
    "my.env-name", "MY_ENV.NAME", "MyEnvName1",
)
_config_key = _rule(
    "[-._a-zA-Z0-9]+", DNS_SUBDOMAIN_MAX, "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    "key.name", "KEY_NAME", "key-name",
)
label_value = _rule(
    _LABEL_VALUE, DNS_LABEL_MAX, f"a valid label {_QUALIFIED_TEXT.replace('consist', 'be an empty string or consist', 1)}",
    "MyValue", "my_value", "12345", unit="bytes",
)
label_value.__doc__ = "A label's value: empty, or at most 63 bytes of the allowed characters."


def _dots(value: str) -> list[str]:
    if value == ".":
        return ["must not be '.'"]
    if value == "..":
        return ["must not be '..'"]
    return ["must not start with '..'"] if value.startswith("..") else []


def env_var_name(value: str, *, strict: bool = False) -> list[str]:
    """An environment variable's name; since 1.34 any printable ASCII but `=` will do, `strict` is the older rule."""
    if strict:
        return _env_strict(value) + _dots(value)
    if not value:
        return ["environment variable name " + EMPTY]
    if not value.isascii() or not value.isprintable() or "=" in value:
        return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]
    return []


def config_map_key(value: str) -> list[str]:
    """A key of a ConfigMap's or Secret's data."""
    return _config_key(value) + _dots(value)


@lru_cache(maxsize=1)
def _qualified_matchers() -> tuple[Callable[[str], Any], Callable[[str], Any]]:
    return re.compile(_QUALIFIED, re.ASCII).fullmatch, re.compile(_SUBDOMAIN, re.ASCII).fullmatch


def qualified_name(value: str) -> list[str]:
    """`name` or `prefix/name`: label and annotation keys, finalizers, resource names."""
    prefix, slash, name = value.rpartition("/")
    if "/" in prefix:
        text = regex_error(f"a valid label key {_QUALIFIED_TEXT}", _QUALIFIED, "MyName", "my.name", "123-abc")
        return [f"{text} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    problems = []
    _qualified_match, _subdomain_match = _qualified_matchers()
    if slash:
        if not prefix:
            problems.append("prefix part " + EMPTY)
        elif _subdomain_match(prefix) is None or len(prefix) > DNS_SUBDOMAIN_MAX:
            problems += ["prefix part " + message for message in dns1123_subdomain(prefix)]
    if not name:
        problems.append("name part " + EMPTY)
    elif _too_long(name, DNS_LABEL_MAX):
        problems.append("name part " + max_length_error(DNS_LABEL_MAX, "bytes"))
    if _qualified_match(name) is None:
        problems.append("name part " + regex_error(_QUALIFIED_TEXT, _QUALIFIED, "MyName", "my.name", "123-abc"))
    return problems


def port_name(value: str) -> list[str]:
    """A named container port (IANA service name), at most 15 characters."""
    problems = []
    if len(value) > 15:
        problems.append("must be no more than 15 characters")
    if not re.fullmatch("[-a-z0-9]+", value):
        problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        problems.append("must contain at least one letter (a-z)")
    if "--" in value:
        problems.append("must not contain consecutive hyphens")
    if value and (value[0] == "-" or value[-1] == "-"):
        problems.append("must not begin or end with a hyphen")
    return problems


def port_number(value: int) -> list[str]:
    return [] if 1 <= value <= 65535 else ["must be between 1 and 65535, inclusive"]


def path_segment_name(value: str) -> list[str]:
    """Anything that may stand in a URL path: RBAC names and the like."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{part}'" for part in "/%" if part in value]


def prefix_ok(check: Check, value: str) -> list[str]:
    """Apply a name check to a `generateName`. Source: validation.maskTrailingDash."""
    if len(value) > 1 and value.endswith("-"):
        value = value[:-2] + "a"
    return check(value)
