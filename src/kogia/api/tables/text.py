"""How cells put small things into words: labels, selectors, lists cut short, booleans.

Source: kubernetes pkg/printers/internalversion/printers.go, k8s.io/apimachinery labels.FormatLabels, metav1.FormatLabelSelector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kogia.api.quantity import parse
from kogia.api.selectors import SelectorError, label_selector_from_object

Obj = dict[str, Any]

NONE, UNSET, UNKNOWN = "<none>", "<unset>", "<unknown>"


def label_text(labels: dict[str, str] | None) -> str:
    """`a=1,b=2`, sorted, or `<none>`."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


def selector_text(selector: Obj | None) -> str:
    """A LabelSelector as kubectl would take it, or `<none>`."""
    if not selector:
        return NONE
    try:
        return str(label_selector_from_object(selector)) or NONE
    except SelectorError:
        return "<error>"


def container_cells(template: Obj | None) -> list[str]:
    """Names and images of a template's containers, each joined by commas."""
    containers = ((template or {}).get("spec") or {}).get("containers") or ()
    return [",".join(c.get("name") or "" for c in containers), ",".join(c.get("image") or "" for c in containers)]


def cut(parts: Sequence[str], total: int, limit: int = 3, separator: str = ",") -> str:
    """At most `limit` parts, and how many of `total` were left out."""
    shown = separator.join(parts[:limit])
    return f"{shown} + {total - limit} more..." if total > limit else shown


def bool_text(value: bool | None) -> str:
    return UNSET if value is None else str(bool(value))


def number(obj: Obj | None, field: str) -> int:
    """An integer field, 0 if absent."""
    return int((obj or {}).get(field) or 0)


def amount(text: Any) -> str:
    """A quantity in canonical form, `0` if absent."""
    return str(parse(text)) if text not in (None, "") else "0"


def meta(obj: Obj) -> Obj:
    found: Obj = obj.get("metadata") or {}
    return found


def spec(obj: Obj) -> Obj:
    found: Obj = obj.get("spec") or {}
    return found


def status(obj: Obj) -> Obj:
    found: Obj = obj.get("status") or {}
    return found


def condition(obj: Obj, kind: str) -> Obj | None:
    """The object's condition of that type."""
    return next((c for c in status(obj).get("conditions") or () if c.get("type") == kind), None)
