"""Which groups, versions, kinds and verbs are served: the legacy documents and the aggregated ones, cached as bytes until the table changes.

Source: k8s.io/apiserver pkg/endpoints/discovery (legacy) and discovery/aggregated; field order as Go's structs have it, because clients compare text.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from kogia.api.kinds import ResourceInfo, Subresource
from kogia.api.resources import GroupInfo, ResourceTable, storage_version_hash
from kogia.wire.messages import Request, Response

Obj = dict[str, Any]
_AGGREGATED = ("v2", "v2beta1")


def aggregated_version(accept: str) -> str:
    """`v2` or `v2beta1` if the Accept header asks for aggregated discovery before anything else it could have, else ""."""
    for clause in accept.split(","):
        media, *parameters = (p.strip() for p in clause.split(";"))
        values = dict(p.split("=", 1) for p in parameters if "=" in p)
        if media not in ("application/json", "*/*", "application/*"):
            continue
        if values.get("as") == "APIGroupDiscoveryList":
            if values.get("g") == "apidiscovery.k8s.io" and values.get("v") in _AGGREGATED:
                return values["v"]
            continue
        return ""
    return ""


def api_resource_list(table: ResourceTable, group: str, version: str) -> Obj:
    """`APIResourceList` of one group and version."""
    resources = []
    for row in table.in_version(group, version):
        entry: Obj = {
            "name": row.plural, "singularName": row.singular, "namespaced": row.namespaced, "kind": row.kind, "verbs": sorted(row.verbs),
        }
        if row.short_names:
            entry["shortNames"] = list(row.short_names)
        if row.categories:
            entry["categories"] = list(row.categories)
        if row.stored:
            entry["storageVersionHash"] = storage_version_hash(row)
        resources.append(entry)
        for sub in row.subresources:
            entry = {"name": f"{row.plural}/{sub.name}", "singularName": "", "namespaced": row.namespaced}
            if sub.group or sub.version:
                entry |= {"group": sub.group, "version": sub.version}
            resources.append(entry | {"kind": sub.kind, "verbs": sorted(sub.verbs)})
    resources.sort(key=lambda r: r["name"])
    head: Obj = {"kind": "APIResourceList"}
    if group:
        head["apiVersion"] = "v1"
    return head | {"groupVersion": f"{group}/{version}" if group else version, "resources": resources}


def api_group(group: GroupInfo, *, typed: bool) -> Obj:
    versions = [{"groupVersion": f"{group.name}/{v}", "version": v} for v in group.versions]
    head: Obj = {"kind": "APIGroup", "apiVersion": "v1"} if typed else {}
    return head | {"name": group.name, "versions": versions, "preferredVersion": versions[0]}


def _response_kind(row: ResourceInfo, sub: Subresource | None = None) -> Obj:
    if sub is None or not (sub.group or sub.version):
        return {"group": row.group, "version": row.version, "kind": sub.kind if sub else row.kind}
    return {"group": sub.group, "version": sub.version, "kind": sub.kind}


def _discovered(row: ResourceInfo) -> Obj:
    entry: Obj = {
        "resource": row.plural, "responseKind": _response_kind(row), "scope": "Namespaced" if row.namespaced else "Cluster",
        "singularResource": row.singular, "verbs": sorted(row.verbs),
    }
    if row.short_names:
        entry["shortNames"] = list(row.short_names)
    if row.categories:
        entry["categories"] = list(row.categories)
    if row.subresources:
        entry["subresources"] = [
            {"subresource": s.name, "responseKind": _response_kind(row, s), "verbs": sorted(s.verbs)} for s in sorted(row.subresources, key=lambda s: s.name)
        ]
    return entry


def group_discovery_list(table: ResourceTable, groups: list[GroupInfo], version: str) -> Obj:
    """`APIGroupDiscoveryList` of the given groups."""
    items = []
    for group in groups:
        metadata: Obj = {"name": group.name} if group.name else {}
        versions = [
            {"version": v, "resources": [_discovered(row) for row in table.in_version(group.name, v)], "freshness": "Current"} for v in group.versions
        ]
        items.append({"metadata": metadata | {"creationTimestamp": None}, "versions": versions})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": f"apidiscovery.k8s.io/{version}", "metadata": {}, "items": items}


class Discovery:
    """Answers `/api`, `/api/v1`, `/apis`, `/apis/<group>` and `/apis/<group>/<version>`."""

    def __init__(self, table: ResourceTable, server_address: str) -> None:
        self._table = table
        self._server_address = server_address
        self._rows: list[ResourceInfo] = []
        self._documents: dict[tuple[str, str], tuple[bytes, str] | None] = {}

    def answer(self, request: Request) -> Response | None:
        """None if the path names nothing that is served."""
        rows = list(self._table)
        if len(rows) != len(self._rows) or any(a is not b for a, b in zip(rows, self._rows, strict=True)):
            self._rows = rows
            self._documents.clear()
        path = request.path.rstrip("/")
        aggregated = aggregated_version(request.headers.get("accept", "")) if path in ("/api", "/apis") else ""
        key = (path, aggregated)
        if key not in self._documents:
            document = self._document(path, aggregated)
            if document is None:
                return None
            body = json.dumps(document, separators=(",", ":")).encode() + b"\n"
            self._documents[key] = (body, '"' + hashlib.sha512(body).hexdigest().upper() + '"')
        body, etag = self._documents[key]  # type: ignore[misc]
        headers = [("Vary", "Accept")]
        content_type = "application/json"
        if aggregated:
            content_type = f"application/json;g=apidiscovery.k8s.io;v={aggregated};as=APIGroupDiscoveryList"
            headers.append(("ETag", etag))
            if request.headers.get("if-none-match") == etag:
                return Response(304, headers, content_type=content_type)
        return Response(200, headers, body, content_type)

    def _document(self, path: str, aggregated: str) -> Obj | None:
        groups = self._table.groups()
        core = [g for g in groups if not g.name]
        named = [g for g in groups if g.name]
        parts = path.strip("/").split("/")
        if parts == ["api"]:
            if aggregated:
                return group_discovery_list(self._table, core, aggregated)
            addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": self._server_address}]
            return {"kind": "APIVersions", "versions": [v for g in core for v in g.versions], "serverAddressByClientCIDRs": addresses}
        if parts == ["apis"]:
            if aggregated:
                return group_discovery_list(self._table, named, aggregated)
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [api_group(g, typed=False) for g in named]}
        known = {g.name: g for g in groups}
        if len(parts) == 2 and parts[0] == "apis" and parts[1] in known and parts[1]:
            return api_group(known[parts[1]], typed=True)
        group, version = ("", parts[1]) if len(parts) == 2 and parts[0] == "api" else (parts[1], parts[2]) if len(parts) == 3 and parts[0] == "apis" else ("", "")
        if version and group in known and version in known[group].versions:
            return api_resource_list(self._table, group, version)
        return None
