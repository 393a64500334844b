"""Small rules that validation of many kinds is put together from. Each appends to the list it is given.

`path` is the field path as Kubernetes prints it (`spec.containers[0].name`).

Source: kubernetes pkg/apis/core/validation, k8s.io/apimachinery pkg/apis/meta/v1/validation.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

from kogia.api import names
from kogia.api.quantity import Quantity, QuantityError, parse
from kogia.api.status import FieldError, forbidden_field, invalid_value, not_supported, required

Obj = dict[str, Any]
Errors = list[FieldError]

NOT_NEGATIVE = "must be greater than or equal to 0"
IMMUTABLE = "field is immutable"
MAX_INT32 = 2**31 - 1


def invalid_each(errors: Errors, path: str, value: Any, messages: Iterable[str]) -> None:
    """One "Invalid value" for every message a name check gave."""
    for message in messages:
        errors.append(invalid_value(path, value, message))


def label_key(errors: Errors, path: str, key: str) -> None:
    invalid_each(errors, path, key, names.qualified_name(key))


def labels(errors: Errors, path: str, value: dict[str, Any] | None) -> None:
    """A map of labels; all errors are at the map's own path, as in Kubernetes."""
    for key, text in (value or {}).items():
        invalid_each(errors, path, key, names.qualified_name(key))
        invalid_each(errors, path, text, names.label_value(text))


def one_of(errors: Errors, path: str, value: Any, supported: Sequence[str]) -> None:
    """A required enumeration: missing, or not among `supported`."""
    if not value:
        errors.append(required(path))
    elif value not in supported:
        errors.append(not_supported(path, value, supported))


def not_negative(errors: Errors, path: str, value: Any) -> None:
    if value is not None and value < 0:
        errors.append(invalid_value(path, value, NOT_NEGATIVE))


def immutable(errors: Errors, path: str, new: Any, old: Any) -> None:
    if new != old:
        errors.append(invalid_value(path, new, IMMUTABLE))


def between(errors: Errors, path: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        errors.append(invalid_value(path, value, f"must be between {low} and {high}, inclusive"))


def port_or_name(errors: Errors, path: str, port: int | str | None) -> None:
    """A port by number or by name; none at all counts as number 0."""
    if isinstance(port, str):
        invalid_each(errors, path, port, names.port_name(port))
    else:
        invalid_each(errors, path, port or 0, names.port_number(port or 0))


def ip_address(errors: Errors, path: str, value: str) -> None:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        errors.append(invalid_value(path, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"))


def quantity(errors: Errors, path: str, text: Any) -> Quantity | None:
    """Parse an amount that may not be negative; `None` if it is no quantity."""
    try:
        amount = parse(text)
    except QuantityError as problem:
        errors.append(invalid_value(path, text, str(problem)))
        return None
    if amount.sign() < 0:
        errors.append(invalid_value(path, str(amount), NOT_NEGATIVE))
    return amount


def relative_path(errors: Errors, path: str, value: str) -> None:
    """A path that stays below where it starts (subPath, items[].path)."""
    if value.startswith("/"):
        errors.append(invalid_value(path, value, "must be a relative path"))
    no_backsteps(errors, path, value)


def no_backsteps(errors: Errors, path: str, value: str) -> None:
    if ".." in value.split("/"):
        errors.append(invalid_value(path, value, "must not contain '..'"))


def label_selector(errors: Errors, path: str, selector: Obj | None) -> None:
    """A metav1.LabelSelector. Source: apimachinery ValidateLabelSelector."""
    if not selector:
        return
    labels(errors, f"{path}.matchLabels", selector.get("matchLabels"))
    for i, requirement in enumerate(selector.get("matchExpressions") or ()):
        here = f"{path}.matchExpressions[{i}]"
        operator, values = requirement.get("operator"), requirement.get("values") or ()
        if operator in ("In", "NotIn"):
            if not values:
                errors.append(required(f"{here}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                errors.append(forbidden_field(f"{here}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
        else:
            errors.append(invalid_value(f"{here}.operator", operator or "", "not a valid selector operator"))
        label_key(errors, f"{here}.key", requirement.get("key") or "")
        for j, value in enumerate(values):
            invalid_each(errors, f"{here}.values[{j}]", value, names.label_value(value))
