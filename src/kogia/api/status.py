"""`metav1.Status` as an exception, and the builders for each reason Kubernetes uses, in its words.

Source: k8s.io/apimachinery api/errors and util/validation/field (messages), API conventions "Response Status Kind".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Cause:
    """One entry of `details.causes`."""

    reason: str
    message: str
    field: str = ""


class StatusError(Exception):
    """An answer of failure; `status` is the body. Predicates trust `reason`, then `code`."""

    def __init__(self, status: dict[str, Any]) -> None:
        super().__init__(status.get("message", ""))
        self.status = status

    @property
    def code(self) -> int:
        return int(self.status.get("code", 500))

    @property
    def reason(self) -> str:
        return str(self.status.get("reason", ""))

    @property
    def message(self) -> str:
        return str(self.status.get("message", ""))

    @property
    def causes(self) -> list[dict[str, str]]:
        return (self.status.get("details") or {}).get("causes") or []


def status_error(
    code: int, reason: str, message: str, *, name: str = "", group: str = "", kind: str = "", uid: str = "",
    causes: Sequence[Cause] = (), retry_after_s: int = 0,
) -> StatusError:
    details: dict[str, Any] = {}
    for key, value in (("name", name), ("group", group), ("kind", kind), ("uid", uid)):
        if value:
            details[key] = value
    if causes:
        details["causes"] = [
            {k: v for k, v in (("reason", c.reason), ("message", c.message), ("field", c.field)) if v} for c in causes
        ]
    if retry_after_s:
        details["retryAfterSeconds"] = retry_after_s
    status: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason}
    if details:
        status["details"] = details
    status["code"] = code
    return StatusError(status)


def qualified(plural: str, group: str) -> str:
    """`deployments.apps`, or `pods` in the core group."""
    return f"{plural}.{group}" if group else plural


def not_found(plural: str, name: str, group: str = "") -> StatusError:
    return status_error(404, "NotFound", f'{qualified(plural, group)} "{name}" not found', name=name, group=group, kind=plural)


def already_exists(plural: str, name: str, group: str = "") -> StatusError:
    return status_error(409, "AlreadyExists", f'{qualified(plural, group)} "{name}" already exists', name=name, group=group, kind=plural)


def conflict(plural: str, name: str, why: str, group: str = "") -> StatusError:
    message = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}'
    return status_error(409, "Conflict", message, name=name, group=group, kind=plural)


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def forbidden(plural: str, name: str, why: str, group: str = "") -> StatusError:
    what = f'{qualified(plural, group)} "{name}"' if name else qualified(plural, group)
    return status_error(403, "Forbidden", f"{what} is forbidden: {why}", name=name, group=group, kind=plural)


def bad_request(message: str) -> StatusError:
    return status_error(400, "BadRequest", message)


def unauthorized() -> StatusError:
    return status_error(401, "Unauthorized", "Unauthorized")


def method_not_allowed(plural: str, verb: str, group: str = "") -> StatusError:
    message = f'{verb} is not supported on resources of kind "{qualified(plural, group)}"'
    return status_error(405, "MethodNotAllowed", message, group=group, kind=plural)


def not_acceptable(media_types: Sequence[str]) -> StatusError:
    message = "only the following media types are accepted: " + ", ".join(media_types)
    return status_error(406, "NotAcceptable", message)


def unsupported_media_type(media_types: Sequence[str]) -> StatusError:
    message = "the body of the request was in an unknown format - accepted media types include: " + ", ".join(media_types)
    return status_error(415, "UnsupportedMediaType", message)


def expired(message: str = "The resourceVersion for the provided watch is too old.") -> StatusError:
    return status_error(410, "Expired", message)


def too_many_requests(message: str, retry_after_s: int = 1) -> StatusError:
    return status_error(429, "TooManyRequests", message, retry_after_s=retry_after_s)


def internal_error(message: str) -> StatusError:
    return status_error(500, "InternalError", f"Internal error occurred: {message}", causes=[Cause("", message)])


def server_timeout(plural: str, verb: str, retry_after_s: int = 1, group: str = "") -> StatusError:
    message = f"The {verb} operation against {qualified(plural, group)} could not be completed at this time, please try again."
    return status_error(500, "ServerTimeout", message, group=group, kind=plural, retry_after_s=retry_after_s)


@dataclass(frozen=True, slots=True)
class FieldError:
    """One broken rule. `type` is the cause's reason (FieldValueRequired, FieldValueInvalid, FieldValueNotSupported,
    FieldValueDuplicate, FieldValueForbidden, FieldValueTooLong, FieldValueTooMany, FieldValueNotFound, FieldValueTypeInvalid);
    `detail` is the message after the path, e.g. `Required value` or `Invalid value: "x": must be …`."""

    type: str
    field: str
    detail: str

    @property
    def message(self) -> str:
        return f"{self.field}: {self.detail}"


def _show(value: Any) -> str:
    """A bad value as Kubernetes prints it in messages: strings quoted as Go's %q does, the rest as JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def required(field: str, detail: str = "") -> FieldError:
    return FieldError("FieldValueRequired", field, "Required value" + (f": {detail}" if detail else ""))


def invalid_value(field: str, value: Any, detail: str) -> FieldError:
    return FieldError("FieldValueInvalid", field, f"Invalid value: {_show(value)}" + (f": {detail}" if detail else ""))


def not_supported(field: str, value: Any, supported: Sequence[str]) -> FieldError:
    listed = ", ".join(_show(s) for s in supported)
    return FieldError("FieldValueNotSupported", field, f"Unsupported value: {_show(value)}" + (f": supported values: {listed}" if supported else ""))


def duplicate(field: str, value: Any) -> FieldError:
    return FieldError("FieldValueDuplicate", field, f"Duplicate value: {_show(value)}")


def not_found_value(field: str, value: Any) -> FieldError:
    return FieldError("FieldValueNotFound", field, f"Not found: {_show(value)}")


def forbidden_field(field: str, detail: str) -> FieldError:
    return FieldError("FieldValueForbidden", field, f"Forbidden: {detail}")


def too_long(field: str, maximum: int) -> FieldError:
    return FieldError("FieldValueTooLong", field, f"Too long: may not be more than {maximum} bytes")


def too_many(field: str, actual: int, maximum: int) -> FieldError:
    return FieldError("FieldValueTooMany", field, f"Too many: {actual}: must have at most {maximum} items")


def invalid(kind: str, name: str, errors: Sequence[FieldError], group: str = "") -> StatusError:
    """422 with one cause per broken rule; several messages are joined in brackets, as `Kind "name" is invalid: [a, b]`."""
    unique = list(dict.fromkeys(errors))
    texts = [e.message for e in unique]
    joined = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    shown = f"{kind}.{group}" if group else kind
    return status_error(
        422, "Invalid", f'{shown} "{name}" is invalid: {joined}', name=name, group=group, kind=kind,
        causes=[Cause(e.type, e.detail, e.field) for e in unique],
    )
