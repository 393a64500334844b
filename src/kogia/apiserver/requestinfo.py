"""What a request is about, read off its method, path and query: pure, the first thing every later step leans on.

Source: k8s.io/apiserver pkg/endpoints/request RequestInfoFactory (its special verbs and name rules).
"""

from __future__ import annotations

import re

from kogia.api.resources import ResourceTable
from kogia.apiserver.interface import RequestInfo
from kogia.wire.messages import Request

_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_NAMESPACE_SUBRESOURCES = ("status", "finalize")
_NAME_FIELD = re.compile(r"(?:^|,)\s*metadata\.name==?([^,=!]+)(?:$|,)")
#: exchanges that may go on for long: never timed out, never counted as in flight
LONG_RUNNING_SUBRESOURCES = frozenset(("attach", "exec", "proxy", "log", "portforward"))


def request_info(request: Request, table: ResourceTable) -> RequestInfo:
    """Never fails: what is not under `/api` or `/apis/<group>/<version>/` is a non-resource path whose verb is the lower-case method."""
    path = request.path
    parts = [p for p in path.split("/") if p]
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return RequestInfo(False, request.method.lower(), path)
    verb = _VERBS.get(request.method, "")
    if rest[0] == "watch" and request.method == "GET" and len(rest) > 1:
        verb, rest = "watch", rest[1:]
    namespace = ""
    if rest[0] == "namespaces":
        if len(rest) > 1:
            namespace = rest[1]
            if len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES:
                rest = rest[2:]
    plural = rest[0]
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if not name and verb in ("get", "delete"):
        if verb == "delete":
            verb = "deletecollection"
        else:
            verb = "watch" if request.raw_query and request.param("watch") in ("true", "1") else "list"
    elif name and verb == "get" and not subresource and request.raw_query and request.param("watch") in ("true", "1"):
        verb = "watch"
    return RequestInfo(True, verb, path, group, version, plural, subresource, namespace, name, tuple(rest[3:]), table.find(group, version, plural))


def authorization_name(request: Request, info: RequestInfo) -> str:
    """The object's name for authorization: lists and watches of one object by `metadata.name` count as reading that object."""
    if not info.name and info.verb in ("list", "watch", "deletecollection") and "fieldSelector" in request.raw_query:
        found = _NAME_FIELD.search(request.param("fieldSelector"))
        if found:
            return found[1].strip()
    return info.name


def is_long_running(request: Request, info: RequestInfo) -> bool:
    """Watches, streams and tunnels."""
    return info.verb == "watch" or info.subresource in LONG_RUNNING_SUBRESOURCES or request.upgrade
