"""Query parameters and bodies of options, read once and checked: ListOptions, DeleteOptions, and what every write takes.

Errors are Kubernetes' own: 422 naming the options kind, 400 for what cannot be parsed.
Source: apimachinery meta/v1/validation, internalversion/validation; apiserver handlers.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import orjson

from kogia.api.decode import decode
from kogia.api.selectors import FieldSelector, LabelSelector, SelectorError, parse_field_selector, parse_label_selector
from kogia.api.status import FieldError, bad_request, forbidden_field, invalid, invalid_value, not_supported, required
from kogia.wire.messages import Request, UserInfo

Obj = dict[str, Any]

_META_GROUP = "meta.k8s.io"
_MAX_MANAGER = 128


def _flag(request: Request, name: str) -> bool:
    """A boolean parameter: present is true, whatever it says, unless it says 0 or false. Source: apimachinery Convert_Slice_string_To_bool."""
    values = request.query.get(name)
    if values is None:
        return False
    return values[0].lower() not in ("0", "f", "false")


def _number(request: Request, name: str) -> int:
    text = request.param(name)
    if not text:
        return 0
    try:
        return int(text)
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def _refuse(kind: str, errors: list[FieldError]) -> None:
    if errors:
        raise invalid(kind, "", errors, _META_GROUP)


# reading


@dataclass(slots=True)
class ListOptions:
    """`revision` is the parsed resourceVersion (None = unset); `match` NotOlderThan, Exact or ""."""

    labels: LabelSelector
    fields: FieldSelector
    revision: int | None = None
    match: str = ""
    limit: int = 0
    token: str = ""
    watch: bool = False
    bookmarks: bool = False
    timeout_s: int = 0
    initial_events: bool | None = None


_PLAIN = ListOptions(parse_label_selector(""), parse_field_selector(""))


def list_options(request: Request, *, watch: bool = False) -> ListOptions:
    """Errors: 400 (selectors, numbers), 422 (combinations)."""
    if not request.raw_query:
        return _PLAIN if not watch else ListOptions(_PLAIN.labels, _PLAIN.fields, watch=True)
    try:
        labels = parse_label_selector(request.param("labelSelector"))
        fields = parse_field_selector(request.param("fieldSelector"))
    except SelectorError as error:
        raise bad_request(str(error)) from None
    options = ListOptions(
        labels, fields, _revision(request), request.param("resourceVersionMatch"), _number(request, "limit"), request.param("continue"),
        watch, _flag(request, "allowWatchBookmarks"), _number(request, "timeoutSeconds"),
        _flag(request, "sendInitialEvents") if "sendInitialEvents" in request.query else None,
    )
    _refuse("ListOptions", _list_errors(options))
    return options


def _revision(request: Request) -> int | None:
    text = request.param("resourceVersion")
    if not text:
        return None
    if not text.isdecimal():
        raise invalid("ListOptions", "", [invalid_value("resourceVersion", text, f'strconv.ParseUint: parsing "{text}": invalid syntax')], _META_GROUP)
    return int(text)


def _list_errors(options: ListOptions) -> list[FieldError]:
    errors = []
    match, initial = options.match, options.initial_events
    if options.watch:
        if initial is not None:
            if not match:
                errors.append(forbidden_field("resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
            elif match != "NotOlderThan":
                errors.append(not_supported("resourceVersionMatch", match, ["NotOlderThan"]))
            if initial and not options.bookmarks:
                errors.append(forbidden_field("allowWatchBookmarks", "sendInitialEvents requires setting allowWatchBookmarks to true"))
        elif match:
            errors.append(forbidden_field("resourceVersionMatch", "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"))
        if options.token:
            errors.append(forbidden_field("continue", "continue is forbidden for watch"))
        return errors
    if initial is not None:
        errors.append(forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if match:
        if options.revision is None:
            errors.append(forbidden_field("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"))
        if options.token:
            errors.append(forbidden_field("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"))
        if match not in ("Exact", "NotOlderThan"):
            errors.append(not_supported("resourceVersionMatch", match, ["Exact", "NotOlderThan", ""]))
        elif match == "Exact" and options.revision == 0:
            errors.append(forbidden_field("resourceVersionMatch", 'resourceVersionMatch "Exact" is forbidden for resourceVersion "0"'))
    return errors


def encode_token(revision: int, after: str) -> str:
    """A continue token: go on behind key `after`, at `revision` (-1 = at whatever is newest). Source: apiserver storage/continue.go."""
    raw = orjson.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": after + "\x00"})
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode_token(token: str) -> tuple[int, str]:
    """(revision, first key that may follow). Errors: 400."""
    try:
        value = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        revision, start = value["rv"], value["start"]
        if value["v"] != "meta.k8s.io/v1" or not isinstance(revision, int) or revision == 0 or not isinstance(start, str) or not start:
            raise ValueError("unexpected content")
    except (ValueError, KeyError, TypeError) as error:
        raise bad_request(f"continue key is not valid: {error}") from None
    return revision, start


# writing


@dataclass(slots=True)
class WriteContext:
    """One write's circumstances. `now` in seconds since the epoch; `warnings` become headers; `validation` Strict, Warn or Ignore."""

    user: UserInfo
    now: float
    manager: str = "unknown"
    dry_run: bool = False
    validation: str = "Warn"
    force: bool = False
    warnings: list[str] = field(default_factory=list)
    options: Obj = field(default_factory=dict)  #: as admission sees them


def write_context(request: Request, user: UserInfo, now: float, kind: str) -> WriteContext:
    """The parameters of a create, update or patch; `kind` is CreateOptions, UpdateOptions or PatchOptions. Errors: 422."""
    context = WriteContext(user, now, warnings=request.context.setdefault("warnings", []))
    manager = ""
    if request.raw_query:
        query = request.query
        errors = _dry_run_errors(query.get("dryRun", []))
        context.dry_run = "All" in query.get("dryRun", [])
        manager = request.param("fieldManager")
        if len(manager) > _MAX_MANAGER:
            errors.append(FieldError("FieldValueTooLong", "fieldManager", f"Too long: may not be more than {_MAX_MANAGER} bytes"))
        elif not manager.isprintable():
            errors.append(invalid_value("fieldManager", manager, "should only contain printable characters"))
        validation = request.param("fieldValidation") or "Warn"
        if validation not in ("Ignore", "Warn", "Strict"):
            errors.append(not_supported("fieldValidation", validation, ["", "Ignore", "Strict", "Warn"]))
        context.validation = validation
        context.force = _flag(request, "force")
        if errors:
            raise invalid(kind, "", errors, _META_GROUP)
        context.options = {k: query[k] if k == "dryRun" else query[k][0] for k in ("dryRun", "fieldManager", "fieldValidation") if k in query}
    context.options = {"kind": kind, "apiVersion": "meta.k8s.io/v1", **context.options}
    context.manager = manager or manager_of(request.headers.get("user-agent", ""))
    return context


def manager_of(user_agent: str) -> str:
    """A field manager's name out of a User-Agent: what stands before the first slash. Source: prefixFromUserAgent."""
    prefix = user_agent.partition("/")[0]
    clean = "".join(c for c in prefix if c.isprintable())
    return clean.encode()[:_MAX_MANAGER].decode("utf-8", "ignore") or "unknown"


def _dry_run_errors(values: list[str]) -> list[FieldError]:
    return [not_supported("dryRun", values, ["All"])] if any(v != "All" for v in values) else []


def check_patch_options(context: WriteContext, *, apply: bool, forced: bool, manager: str) -> None:
    """Apply needs a manager; nothing else may force. Errors: 422."""
    errors = []
    if apply and not manager:
        errors.append(required("fieldManager", "is required for apply patch"))
    if not apply and forced:
        errors.append(forbidden_field("force", "may not be specified for non-apply patch"))
    if errors:
        raise invalid("PatchOptions", "", errors, _META_GROUP)


@dataclass(slots=True)
class DeleteOptions:
    """grace_s None = the object's own; policy "" = the kind's own (Background); uid and revision are preconditions ("" = none)."""

    grace_s: int | None = None
    policy: str = ""
    orphan: bool | None = None
    uid: str = ""
    revision: str = ""
    dry_run: bool = False


def delete_options(request: Request) -> DeleteOptions:
    """From the body if there is one, else from the query. Errors: 400, 415, 422."""
    raw: Obj = {}
    if request.body:
        value, _ = decode(request.body, request.headers.get("content-type", ""))
        if not isinstance(value, dict):
            raise bad_request("the body of a delete must be DeleteOptions")
        if value.get("kind", "DeleteOptions") not in ("DeleteOptions", ""):
            raise bad_request(f"decoded object cannot be converted to DeleteOptions: {value.get('apiVersion', '')}, Kind={value.get('kind')}")
        raw = value
    elif request.raw_query:
        query = request.query
        if "gracePeriodSeconds" in query:
            raw["gracePeriodSeconds"] = _number(request, "gracePeriodSeconds")
        if "propagationPolicy" in query:
            raw["propagationPolicy"] = request.param("propagationPolicy")
        if "orphanDependents" in query:
            raw["orphanDependents"] = _flag(request, "orphanDependents")
    dry = [*(raw.get("dryRun") or []), *(request.query.get("dryRun", []) if request.raw_query else [])]
    before = raw.get("preconditions") or {}
    options = DeleteOptions(
        raw.get("gracePeriodSeconds"), raw.get("propagationPolicy") or "", raw.get("orphanDependents"), before.get("uid") or "",
        before.get("resourceVersion") or "", bool(dry),
    )
    errors = _dry_run_errors(dry)
    if options.policy and options.orphan is not None:
        errors.append(invalid_value("propagationPolicy", options.policy, "orphanDependents and deletionPropagation cannot be both set"))
    if options.policy not in ("", "Foreground", "Background", "Orphan"):
        errors.append(not_supported("propagationPolicy", options.policy, ["Foreground", "Background", "Orphan", "nil"]))
    if options.grace_s is not None and not isinstance(options.grace_s, int):
        raise bad_request("DeleteOptions in version \"v1\" cannot be handled as a DeleteOptions: gracePeriodSeconds must be an integer")
    _refuse("DeleteOptions", errors)
    return options
