"""Request bodies to private objects in the stored version: decoded, held against the schema, named as the URL says.

Source: k8s.io/apiserver handlers/create.go, update.go, rest.go (transformDecodeError, checkName).
"""

from __future__ import annotations

from typing import Any

from kogia.api.conversion import convert
from kogia.api.decode import cannot_be_handled, check, decode_object, strict_error
from kogia.api.kinds import ResourceInfo
from kogia.api.status import bad_request
from kogia.api.strategies import strategy_for
from kogia.apiserver.registry.kinds import Kind
from kogia.apiserver.registry.options import WriteContext
from kogia.wire.messages import Request

Obj = dict[str, Any]


def read_object(request: Request, kind: Kind, context: WriteContext) -> Obj:
    """The body as an object of `kind` in the stored version. Errors: 400, 415."""
    obj = read_as(request, kind.row, context)
    return to_stored(kind, obj)


def read_as(request: Request, row: ResourceInfo, context: WriteContext) -> Obj:
    """The body as an object of `row`; unknown and duplicate fields refused, warned of or dropped as the client asked."""
    careful = context.validation == "Strict" or (context.validation == "Warn" and "fieldValidation" in context.options)
    obj, messages = decode_object(request.body, request.headers.get("content-type", ""), row.kind, strict=careful)
    check_kind(obj, row)
    if not isinstance(obj.setdefault("metadata", {}), dict):
        if obj["metadata"] is not None:
            check(obj, row)  # words the error
        obj["metadata"] = {}
    messages = messages + check(obj, row)
    if messages:
        note_unknown(obj, messages, context)
    return obj


def note_unknown(obj: Obj, messages: list[str], context: WriteContext) -> None:
    """Errors: 400 when validation is Strict."""
    if context.validation == "Strict":
        raise strict_error(obj, messages)
    if context.validation == "Warn":
        context.warnings.extend(messages)


def check_kind(obj: Obj, row: ResourceInfo) -> None:
    """Hold apiVersion and kind against the URL's; absent ones are filled in. Errors: 400."""
    version = obj.setdefault("apiVersion", row.api_version) or row.api_version
    kind = obj.setdefault("kind", row.kind) or row.kind
    if kind != row.kind:
        why = f"converting ({kind}) to ({row.kind}): unknown conversion"
        raise bad_request(f'{kind} in version "{version}" cannot be handled as a {row.kind}: {why}')
    if version != row.api_version:
        raise bad_request(f"the API version in the data ({version}) does not match the expected API version ({row.api_version})")
    obj["apiVersion"], obj["kind"] = row.api_version, row.kind


def to_stored(kind: Kind, obj: Obj) -> Obj:
    """`obj` (of the request's version, private) in the stored version."""
    if kind.same:
        return obj
    strategy_for(kind.row).default(obj)
    return convert(obj, kind.stored)


def to_requested(kind: Kind, obj: Obj) -> Obj:
    """A stored object as the request's version; shares parts with it."""
    return obj if kind.same else convert(obj, kind.row)


def typed(obj: Any, row: ResourceInfo) -> list[str]:
    """Check a patched object: unknown fields pruned in place. Errors: 400 for wrong types."""
    if not isinstance(obj, dict):
        raise cannot_be_handled({}, "json: cannot unmarshal into an object")
    return check(obj, row)
