"""From a verb to a `Request`: paths, queries and bodies of the Kubernetes API, pure.

`rest.py` sends what is built here. Nothing here reads a socket or a clock, so every path and header can be tested as a value.
Source: Kubernetes API concepts (resource URIs, PATCH content types, DeleteOptions).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from kogia.client.interface import Obj, Resource
from kogia.wire.messages import Request

PATCH_TYPES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}

JSON = "application/json"
#: What an informer that needs no specs asks for: metadata only, plain JSON where the server cannot.
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
METADATA_ONLY_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"


def group_path(group: str, version: str) -> str:
    return f"/apis/{group}/{version}" if group else f"/api/{version}"


def collection_path(resource: Resource, namespace: str = "") -> str:
    """`/api/v1/namespaces/default/pods`; without a namespace, the collection over all of them."""
    scope = f"/namespaces/{namespace}" if namespace and resource.namespaced else ""
    return f"{group_path(resource.group, resource.version)}{scope}/{resource.plural}"


def object_path(resource: Resource, name: str, namespace: str = "", subresource: str = "") -> str:
    """Errors: ValueError where a name or namespace is missing, because the path would silently mean a collection."""
    if not name or "/" in name:
        raise ValueError(f"{resource.plural}: {name!r} cannot name an object")
    if resource.namespaced and not namespace:
        raise ValueError(f'{resource.plural} "{name}": a namespace is required')
    path = f"{collection_path(resource, namespace)}/{name}"
    return f"{path}/{subresource}" if subresource else path


def encode(body: Any) -> bytes:
    """JSON bytes of a dict or list; bytes are taken as they are."""
    if body is None:
        return b""
    return bytes(body) if isinstance(body, bytes | bytearray) else orjson.dumps(body)


def build(
    method: str, path: str, *, query: str = "", body: Any = None, content_type: str = JSON, accept: str = JSON,
    headers: Mapping[str, str] | None = None,
) -> Request:
    """`path` is not percent-encoded; header names in `headers` may have any case."""
    data = encode(body)
    sent = {"accept": accept}
    if data:
        sent["content-type"] = content_type
    for name, value in (headers or {}).items():
        sent[name.lower()] = value
    return Request(method=method, path=path, raw_path=quote(path, safe="/:@!$&'()*+,;=~"), raw_query=query, headers=sent, body=data)


def query(**params: Any) -> str:
    """A query string of what is set: empty, zero and None are left out, True is `true`."""
    pairs = [(k, "true" if v is True else str(v)) for k, v in params.items() if v not in (None, "", 0, False)]
    return urlencode(pairs)


def list_query(label_selector: str, field_selector: str, resource_version: str, limit: int, continue_: str) -> str:
    return urlencode([
        (k, str(v)) for k, v in (
            ("labelSelector", label_selector), ("fieldSelector", field_selector), ("resourceVersion", resource_version),
            ("limit", limit or ""), ("continue", continue_),
        ) if v != ""
    ])


def watch_query(
    resource_version: str, label_selector: str, field_selector: str, bookmarks: bool, send_initial_events: bool, timeout_s: int,
) -> str:
    pairs = [("watch", "true")]
    if resource_version:
        pairs.append(("resourceVersion", resource_version))
    if label_selector:
        pairs.append(("labelSelector", label_selector))
    if field_selector:
        pairs.append(("fieldSelector", field_selector))
    if bookmarks:
        pairs.append(("allowWatchBookmarks", "true"))
    if send_initial_events:
        pairs += [("sendInitialEvents", "true"), ("resourceVersionMatch", "NotOlderThan")]
    if timeout_s:
        pairs.append(("timeoutSeconds", str(timeout_s)))
    return urlencode(pairs)


def delete_options(
    *, grace_period_s: int | None = None, uid: str = "", resource_version: str = "", propagation_policy: str = "",
) -> Obj | None:
    """DeleteOptions, or None where the defaults will do (an empty body)."""
    options: Obj = {}
    if grace_period_s is not None:
        options["gracePeriodSeconds"] = grace_period_s
    preconditions = {k: v for k, v in (("uid", uid), ("resourceVersion", resource_version)) if v}
    if preconditions:
        options["preconditions"] = preconditions
    if propagation_policy:
        options["propagationPolicy"] = propagation_policy
    return {"kind": "DeleteOptions", "apiVersion": "v1", **options} if options else None
