"""Reading the body of a request that is not plain storage, and answering it: one way for all such endpoints."""

from __future__ import annotations

import json
from typing import Any

from kogia.api import resources
from kogia.api.decode import cannot_be_handled, check, decode_object
from kogia.api.kinds import ResourceInfo
from kogia.api.status import bad_request, not_acceptable
from kogia.apiserver.interface import RequestInfo
from kogia.wire.messages import Request, Response

Obj = dict[str, Any]
MEDIA_TYPES = ("application/json", "application/yaml")


def read_body(request: Request, info: RequestInfo) -> tuple[Obj, ResourceInfo]:
    """The decoded, pruned and type-checked body, and the row of its kind (the subresource's body kind, if that differs).

    Unknown fields are dropped with a warning, as for stored kinds. Errors: StatusError 400, 406, 415.
    """
    refuse_tables(request)
    row = info.resource
    assert row is not None
    if info.subresource:
        sub = row.subresource(info.subresource)
        assert sub is not None
        group, version = (sub.group, sub.version) if sub.version else (row.group, row.version)
        found = resources.by_kind(group, version, sub.kind)
        row = found or ResourceInfo(group, version, sub.kind, row.plural, "", storage=(group, version, sub.kind))
    obj, messages = decode_object(request.body, request.headers.get("content-type", ""), row.kind, strict=True)
    api_version, kind = obj.get("apiVersion"), obj.get("kind")
    if not api_version or not kind:
        obj["apiVersion"], obj["kind"] = api_version or row.api_version, kind or row.kind
    elif (api_version, kind) != (row.api_version, row.kind):
        if kind == row.kind:
            raise bad_request(f"the API version in the data ({api_version}) does not match the expected API version ({row.api_version})")
        raise cannot_be_handled(obj, f"no kind {kind!r} is registered")
    warnings = messages + check(obj, row)
    if warnings:
        request.context.setdefault("warnings", []).extend(warnings)
    return obj, row


def refuse_tables(request: Request) -> None:
    """406 for a client that takes nothing but a conversion there is none for."""
    accept = request.headers.get("accept", "")
    if not accept:
        return
    for clause in accept.split(","):
        media, *parameters = (p.strip() for p in clause.split(";"))
        plain = media in ("application/json", "*/*", "application/*", "application/yaml")
        if plain and not any(p.startswith("as=") for p in parameters):
            return
    raise not_acceptable(MEDIA_TYPES)


def respond(request: Request, obj: Obj, status: int = 200) -> Response:
    """`obj` as JSON, or YAML where that is preferred."""
    accept = request.headers.get("accept", "")
    if accept.startswith(("application/yaml", "application/x-yaml")):
        import yaml

        return Response(status, [], yaml.safe_dump(obj, sort_keys=True).encode(), "application/yaml")
    return Response(status, [], json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")
