"""`/openapi/v2` and `/openapi/v3`: the published definitions with the paths this server serves; made on first demand, kept compressed.

kubectl reads v3 for `explain` and validation (its index carries a hash per document, which clients cache by). v2 is there as JSON and,
for kubectl up to 1.28, as protobuf (`openapi_proto`). Each document is built, encoded, compressed and dropped: only the compressed bytes stay.
Source: kube-openapi pkg/handler3, pkg/builder3.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from typing import Any

import kogia
from kogia.api.kinds import ResourceInfo, Subresource
from kogia.api.openapi import V2_REF, V3_REF, openapi_v2, openapi_v3
from kogia.api.resources import ResourceTable
from kogia.api.schema import META, definition_for
from kogia.api.status import not_acceptable
from kogia.apiserver.endpoints import openapi_proto
from kogia.wire.messages import Request, Response

Obj = dict[str, Any]
_ACTIONS = {"get": "get", "list": "list", "create": "post", "update": "put", "patch": "patch", "delete": "delete", "deletecollection": "deletecollection"}
_METHODS = {"get": "get", "list": "get", "create": "post", "update": "put", "patch": "patch", "delete": "delete", "deletecollection": "delete"}
_PATCH_TYPES = ("application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json")


def _gvk(group: str, version: str, kind: str) -> Obj:
    return {"group": group, "version": version, "kind": kind}


def _query(name: str, kind: str, description: str) -> Obj:
    return {"name": name, "in": "query", "description": description, "schema": {"type": kind, "uniqueItems": True}}


_LIST_PARAMETERS = [
    _query("allowWatchBookmarks", "boolean", "Ask for BOOKMARK events."), _query("continue", "string", "Continue a list at this token."),
    _query("fieldSelector", "string", "Restrict by fields."), _query("labelSelector", "string", "Restrict by labels."),
    _query("limit", "integer", "At most so many items."), _query("resourceVersion", "string", "See the API conventions."),
    _query("resourceVersionMatch", "string", "See the API conventions."), _query("sendInitialEvents", "boolean", "Start a watch with what exists."),
    _query("timeoutSeconds", "integer", "End the call after so long."), _query("watch", "boolean", "Watch instead of listing."),
]
_WRITE_PARAMETERS = [
    _query("dryRun", "string", "All: go through every step but storing."), _query("fieldManager", "string", "Who is making the change."),
    _query("fieldValidation", "string", "Ignore, Warn or Strict."),
]
_FORCE = _query("force", "boolean", "Take ownership of conflicting fields in an apply.")
_DELETE_PARAMETERS = [
    _query("dryRun", "string", "All: go through every step but storing."), _query("gracePeriodSeconds", "integer", "How long the object may take to go."),
    _query("propagationPolicy", "string", "Orphan, Background or Foreground."),
]


class _Paths:
    """Builds the path items of one group version."""

    def __init__(self, table: ResourceTable, group: str, version: str) -> None:
        self._table, self._group, self._version = table, group, version
        self.base = f"/apis/{group}/{version}" if group else f"/api/{version}"
        self.tag = f"{_tag(group)}_{version}"

    def build(self) -> Obj:
        paths: Obj = {f"{self.base}/": {"get": {
            "tags": [self.tag], "description": "get available resources", "operationId": f"get{_camel(self.tag)}APIResources",
            "responses": _responses(META + "APIResourceList"),
        }}}
        for row in self._table.in_version(self._group, self._version):
            self._row(paths, row)
        return dict(sorted(paths.items()))

    def _row(self, paths: Obj, row: ResourceInfo) -> None:
        scope = f"{self.base}/namespaces/{{namespace}}" if row.namespaced else self.base
        shared = [_path_parameter("namespace", "object name and auth scope, such as for teams and projects")] if row.namespaced else []
        name = definition_for(row.group, row.version, row.kind)
        listed = definition_for(row.group, row.version, row.list_kind)
        collection = {_METHODS[v]: self._operation(row, v, name, listed) for v in row.verbs if v in ("list", "create", "deletecollection")}
        if collection:
            paths[f"{scope}/{row.plural}"] = collection | {"parameters": shared}
        if row.namespaced and "list" in row.verbs:
            paths[f"{self.base}/{row.plural}"] = {"get": self._operation(row, "list", name, listed, suffix="ForAllNamespaces")}
        single = {_METHODS[v]: self._operation(row, v, name, listed) for v in row.verbs if v in ("get", "update", "patch", "delete")}
        here = [_path_parameter("name", f"name of the {row.kind}"), *shared]
        if single:
            paths[f"{scope}/{row.plural}/{{name}}"] = single | {"parameters": here}
        for sub in row.subresources:
            made = {_METHODS[v]: self._sub_operation(row, sub, v) for v in sub.verbs if v in _METHODS}
            paths[f"{scope}/{row.plural}/{{name}}/{sub.name}"] = made | {"parameters": here}

    def _operation(self, row: ResourceInfo, verb: str, name: str, listed: str, *, suffix: str = "") -> Obj:
        scope = "Namespaced" if row.namespaced and not suffix else ""
        action = _ACTIONS[verb] if verb != "deletecollection" else "deletecollection"
        word = {"get": "read", "update": "replace", "deletecollection": "deleteCollection"}.get(verb, verb)
        operation: Obj = {
            "tags": [self.tag], "description": f"{word} {'objects of kind' if verb == 'list' else 'the specified' if verb in ('get', 'patch', 'update') else 'a'} {row.kind}",
            "operationId": f"{word}{_camel(self.tag)}{scope}{row.kind}{suffix}", "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": _gvk(row.group, row.version, row.kind),
        }
        if verb in ("list", "deletecollection"):
            operation["parameters"] = [*_LIST_PARAMETERS, *(_DELETE_PARAMETERS if verb != "list" else [])]
        elif verb in ("create", "update", "patch"):
            operation["parameters"] = [*_WRITE_PARAMETERS, *([_FORCE] if verb == "patch" else [])]
            operation["requestBody"] = _body(META + "Patch", _PATCH_TYPES) if verb == "patch" else _body(name)
        elif verb == "delete":
            operation["parameters"] = _DELETE_PARAMETERS
            operation["requestBody"] = _body(META + "DeleteOptions")
        answer = listed if verb == "list" else META + "Status" if verb.startswith("delete") else name
        operation["responses"] = _responses(answer, created=verb == "create")
        return operation

    def _sub_operation(self, row: ResourceInfo, sub: Subresource, verb: str) -> Obj:
        group, version = (sub.group, sub.version) if sub.version else (row.group, row.version)
        name = definition_for(group, version, sub.kind)
        word = {"get": "read", "update": "replace"}.get(verb, verb)
        connects = sub.kind.endswith("Options") or sub.name == "log"
        operation: Obj = {
            "tags": [self.tag], "description": f"{word} {sub.name} of the specified {row.kind}",
            "operationId": f"{word}{_camel(self.tag)}{'Namespaced' if row.namespaced else ''}{row.kind}{sub.name.capitalize()}",
            "x-kubernetes-action": "connect" if sub.kind.endswith("Options") else _ACTIONS[verb], "x-kubernetes-group-version-kind": _gvk(group, version, sub.kind),
            "responses": _responses("" if connects else name, created=verb == "create" and not connects),
        }
        if verb in ("create", "update", "patch") and not connects:
            operation["parameters"] = [*_WRITE_PARAMETERS, *([_FORCE] if verb == "patch" else [])]
            operation["requestBody"] = _body(META + "Patch", _PATCH_TYPES) if verb == "patch" else _body(name)
        return operation


def _path_parameter(name: str, description: str) -> Obj:
    return {"name": name, "in": "path", "description": description, "required": True, "schema": {"type": "string", "uniqueItems": True}}


def _schema(name: str) -> Obj:
    return {"$ref": V3_REF + name} if name else {"type": "string"}


def _body(name: str, types: tuple[str, ...] = ("*/*",)) -> Obj:
    return {"content": {t: {"schema": _schema(name)} for t in types}, "required": True}


def _responses(name: str, *, created: bool = False) -> Obj:
    types = ("application/json", "application/yaml") if name else ("text/plain",)
    content = {t: {"schema": _schema(name)} for t in types}
    made: Obj = {"200": {"description": "OK", "content": content}, "401": {"description": "Unauthorized"}}
    if created:
        made |= {"201": {"description": "Created", "content": content}, "202": {"description": "Accepted", "content": content}}
    return made


def _tag(group: str) -> str:
    return group.partition(".")[0] if group else "core"


def _camel(tag: str) -> str:
    return "".join(part.capitalize() for part in tag.split("_"))


def document_v3(table: ResourceTable, group: str, version: str) -> Obj:
    """The OpenAPI 3.0 document of one group version."""
    extra = []
    for row in table.in_version(group, version):
        extra += [definition_for(s.group, s.version, s.kind) for s in row.subresources if s.version]
        if row.group != group or definition_for(row.group, row.version, row.kind):
            extra.append(definition_for(row.group, row.version, row.kind))
    return {
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": kogia.KUBERNETES_VERSION}, "paths": _Paths(table, group, version).build(),
        "components": {"schemas": openapi_v3(group, version, extra)},
    }


def document_v2(table: ResourceTable) -> Obj:
    """The swagger 2.0 document: all definitions, and paths with what kubectl looks for in them (verbs, kinds, query parameters)."""
    paths: Obj = {}
    for group in table.groups():
        for version in group.versions:
            for path, item in _Paths(table, group.name, version).build().items():
                paths[path] = {k: _swagger_operation(v) if k != "parameters" else [_swagger_parameter(p) for p in v] for k, v in item.items()}
    return {
        "swagger": "2.0", "info": {"title": "Kubernetes", "version": kogia.KUBERNETES_VERSION}, "paths": dict(sorted(paths.items())),
        "definitions": openapi_v2(),
    }


def _swagger_parameter(parameter: Obj) -> Obj:
    made = {k: v for k, v in parameter.items() if k != "schema"}
    return made | parameter["schema"]


def _swagger_operation(operation: Obj) -> Obj:
    made = {k: v for k, v in operation.items() if k not in ("requestBody", "parameters", "responses")}
    parameters = [_swagger_parameter(p) for p in operation.get("parameters", ())]
    body = operation.get("requestBody")
    if body is not None:
        content = next(iter(body["content"].values()))
        parameters.insert(0, {"name": "body", "in": "body", "required": True, "schema": _to_v2(content["schema"])})
    made["parameters"] = parameters
    made["responses"] = {
        code: {"description": r["description"], **({"schema": _to_v2(next(iter(r["content"].values()))["schema"])} if "content" in r else {})}
        for code, r in operation["responses"].items()
    }
    return made


def _to_v2(schema: Obj) -> Obj:
    return {"$ref": schema["$ref"].replace(V3_REF, V2_REF)} if "$ref" in schema else schema


class OpenApi:
    """Answers `/openapi/v2`, `/openapi/v3` and `/openapi/v3/<group version>`."""

    def __init__(self, table: ResourceTable) -> None:
        self._table = table
        self._compressed: dict[str, tuple[bytes, str]] = {}
        self._rows = 0

    def answer(self, request: Request) -> Response | None:
        if len(self._table) != self._rows:
            self._rows = len(self._table)
            self._compressed.clear()
        path = request.path.rstrip("/")
        if path == "/openapi/v2":
            return self._v2(request)
        if path == "/openapi/v3":
            return self._index()
        if path.startswith("/openapi/v3/"):
            return self._v3(request, path[len("/openapi/v3/") :])
        return None

    def _versions(self) -> list[tuple[str, str, str]]:
        made = []
        for group in self._table.groups():
            made += [(f"apis/{group.name}/{v}" if group.name else f"api/{v}", group.name, v) for v in group.versions]
        return made

    def _index(self) -> Response:
        """Hashes come from what the documents are made of, so that the index costs nothing to answer."""
        paths = {}
        for path, group, version in self._versions():
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={self._hash(group, version)}"}
        return Response(200, [], json.dumps({"paths": paths}, separators=(",", ":")).encode())

    def _hash(self, group: str, version: str) -> str:
        text = repr((kogia.__version__, kogia.KUBERNETES_VERSION, self._table.in_version(group, version)))
        return hashlib.sha256(text.encode()).hexdigest().upper()

    def _kept(self, key: str, build: Any) -> tuple[bytes, str]:
        found = self._compressed.get(key)
        if found is None:
            import orjson

            made = build()
            body = made if isinstance(made, bytes) else orjson.dumps(made)
            found = self._compressed[key] = (gzip.compress(body, 5, mtime=0), '"' + hashlib.sha256(body).hexdigest().upper() + '"')
        return found

    def _v3(self, request: Request, path: str) -> Response | None:
        known = next(((g, v) for p, g, v in self._versions() if p == path), None)
        if known is None:
            return None
        if _only_protobuf(request):
            raise not_acceptable(("application/json",))
        compressed, etag = self._kept(path, lambda: document_v3(self._table, *known))
        wanted = request.param("hash")
        headers = [("Vary", "Accept")]
        if wanted and wanted == self._hash(*known):
            headers.append(("Expires", "Thu, 31 Dec 2037 23:55:55 GMT"))
        return _send(request, compressed, etag, headers)

    def _v2(self, request: Request) -> Response:
        if "com.github.proto-openapi.spec.v2" in request.headers.get("accept", ""):
            compressed, etag = self._kept("v2 protobuf", lambda: openapi_proto.encode(document_v2(self._table)))
            return _send(request, compressed, etag, [("Vary", "Accept")], openapi_proto.MEDIA_TYPE)
        if _only_protobuf(request):
            raise not_acceptable(("application/json", openapi_proto.MEDIA_TYPE))
        compressed, etag = self._kept("v2", lambda: document_v2(self._table))
        return _send(request, compressed, etag, [("Vary", "Accept")])


def _only_protobuf(request: Request) -> bool:
    accept = request.headers.get("accept", "")
    return bool(accept) and not any(c.partition(";")[0].strip() in ("application/json", "*/*", "application/*", "*") for c in accept.split(","))


def _send(request: Request, compressed: bytes, etag: str, headers: list[tuple[str, str]], content_type: str = "application/json") -> Response:
    headers = [*headers, ("Etag", etag)]
    if request.headers.get("if-none-match") in (etag, etag.strip('"')):
        return Response(304, headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(200, [*headers, ("Content-Encoding", "gzip")], compressed, content_type)
    return Response(200, headers, gzip.decompress(compressed), content_type)
