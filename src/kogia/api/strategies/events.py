"""Strategies of Event (both groups) and Lease.

An Event is stored in its core/v1 form; events.k8s.io/v1 shows the same object under other field names and is stricter.

Source: kubernetes pkg/apis/core/validation/events.go, pkg/registry/core/event, pkg/apis/coordination/validation.
"""

from __future__ import annotations

from typing import Any

from kogia.api import names
from kogia.api.status import FieldError, invalid_value, required, too_long
from kogia.api.strategies.base import KindStrategy
from kogia.api.strategies.rules import Errors, immutable, invalid_each

Obj = dict[str, Any]

_REFERENCE = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_MESSAGE_MAX, _NAME_MAX = 1024, 128


class EventStrategy(KindStrategy):
    """core/v1."""

    create_on_update = True
    field_labels = frozenset((*(f"involvedObject.{name}" for name in _REFERENCE), "reason", "reportingComponent", "source", "type"))

    def default(self, obj: Obj) -> None:
        for field in ("reportingComponent", "reportingInstance"):  # always shown, empty or not
            if obj.get(field) is None:
                obj[field] = ""

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        namespace = (obj.get("metadata") or {}).get("namespace") or ""
        about = (obj.get("involvedObject") or {}).get("namespace") or ""
        mismatch = namespace not in ("", "default", "kube-system") if not about else about != namespace
        if mismatch:
            errors.append(invalid_value("involvedObject.namespace", about, "does not match event.namespace"))
        if obj.get("eventTime"):
            _check_new(errors, obj, "reportingComponent", "message")
        return errors

    def fields(self, obj: Obj) -> dict[str, str]:
        involved = obj.get("involvedObject") or {}
        found = {f"involvedObject.{name}": involved.get(name) or "" for name in _REFERENCE}
        found["reason"] = obj.get("reason") or ""
        found["reportingComponent"] = obj.get("reportingComponent") or ""
        found["source"] = (obj.get("source") or {}).get("component") or obj.get("reportingComponent") or ""
        found["type"] = obj.get("type") or ""
        return found


class NewEventStrategy(KindStrategy):
    """events.k8s.io/v1."""

    create_on_update = True
    field_labels = frozenset((*(f"regarding.{name}" for name in _REFERENCE), "reason", "reportingController", "type"))

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        namespace = (obj.get("metadata") or {}).get("namespace") or ""
        about = (obj.get("regarding") or {}).get("namespace") or ""
        if (namespace not in ("", "default", "kube-system")) if not about else about != namespace:
            errors.append(invalid_value("involvedObject.namespace", about, "does not match event.namespace"))
        if not obj.get("eventTime"):
            errors.append(required("eventTime"))
        _check_new(errors, obj, "reportingController", "note")
        return errors

    def check_change(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        errors: Errors = []
        for field in ("regarding", "reason", "action", "related", "note", "type", "eventTime", "reportingController", "reportingInstance"):
            immutable(errors, {"regarding": "involvedObject", "note": "message"}.get(field, field), obj.get(field), old.get(field))
        return errors

    def fields(self, obj: Obj) -> dict[str, str]:
        regarding = obj.get("regarding") or {}
        found = {f"regarding.{name}": regarding.get(name) or "" for name in _REFERENCE}
        for field in ("reason", "reportingController", "type"):
            found[field] = obj.get(field) or ""
        return found


def _check_new(errors: Errors, obj: Obj, controller_field: str, message_field: str) -> None:
    """What an Event with an eventTime must have."""
    controller = obj.get(controller_field) or ""
    if not controller:
        errors.append(required("reportingController"))
    else:
        invalid_each(errors, "reportingController", controller, names.qualified_name(controller))
    for field in ("reportingInstance", "action", "reason"):
        value = obj.get(field) or ""
        if not value:
            errors.append(required(field))
        elif len(value) > _NAME_MAX:
            errors.append(invalid_value(field, "", f"can have at most {_NAME_MAX} characters"))
    if len(obj.get(message_field) or "") > _MESSAGE_MAX:
        errors.append(too_long(message_field, _MESSAGE_MAX) if message_field == "note" else invalid_value("message", "", "can have at most 1024 characters"))
    if obj.get("type") not in ("Normal", "Warning"):
        errors.append(invalid_value("type", "", f"has invalid value: {obj.get('type') or ''}"))
    series = obj.get("series")
    if series is not None and (series.get("count") or 0) < 2:
        errors.append(invalid_value("series.count", "", "should be at least 2"))


class LeaseStrategy(KindStrategy):
    create_on_update = True
    unconditional_update = False

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        spec = obj.get("spec") or {}
        duration, transitions, holder = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions"), spec.get("holderIdentity")
        if duration is not None and duration <= 0:
            errors.append(invalid_value("spec.leaseDurationSeconds", duration, "must be greater than 0"))
        if transitions is not None and transitions < 0:
            errors.append(invalid_value("spec.leaseTransitions", transitions, "must be greater than or equal to 0"))
        if holder is not None and not holder and spec.get("preferredHolder"):
            errors.append(invalid_value("spec.preferredHolder", holder, "must be nil if holderIdentity is empty"))
        return errors
