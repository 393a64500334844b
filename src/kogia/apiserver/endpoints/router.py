"""Where an authorized request ends up: stored kinds in the registry, everything else in its own endpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kogia.api.status import method_not_allowed, not_found
from kogia.apiserver.interface import Registry, RequestInfo
from kogia.wire.messages import Request, Response

Special = Callable[[Request, RequestInfo], Awaitable[Response]]
PathEndpoint = Callable[[Request], Response | None]

NOT_FOUND = b"404 page not found\n"


def page_not_found() -> Response:
    """What Go's mux says of paths nobody serves; clients know it as "the server could not find the requested resource"."""
    return Response(404, [("X-Content-Type-Options", "nosniff")], NOT_FOUND, "text/plain; charset=utf-8")


class Router:
    """`special`: (group, plural, subresource) → endpoint, before the registry. `paths`: by first path segment."""

    def __init__(self, registry: Registry, special: dict[tuple[str, str, str], Special], paths: dict[str, PathEndpoint]) -> None:
        self._registry = registry
        self._special = special
        self._paths = paths

    async def __call__(self, request: Request, info: RequestInfo) -> Response:
        if not info.is_resource:
            return self._path(request)
        row = info.resource
        if row is None:
            return self._path(request) if request.method == "GET" and info.name == "" and not info.plural else page_not_found()
        if info.namespace and not row.namespaced and row.plural != "namespaces":
            return page_not_found()
        self._check_shape(request, info)
        special = self._special.get((info.group, info.plural, info.subresource))
        if special is not None:
            return await special(request, info)
        if not row.stored and row.plural != "bindings":
            return page_not_found()
        return await self._registry.serve(request, info)

    def _check_shape(self, request: Request, info: RequestInfo) -> None:
        """Methods on the wrong kind of path. Errors: StatusError 404, 405."""
        row = info.resource
        assert row is not None
        if info.subresource:
            known = row.subresource(info.subresource)
            if known is None:
                raise not_found(f"{row.plural}/{info.subresource}", info.name, row.group)
            if info.verb not in known.verbs and not (info.verb == "get" and "create" in known.verbs and request.upgrade):
                raise method_not_allowed(f"{row.plural}/{info.subresource}", info.verb, row.group)
            return
        by_name = info.verb in ("update", "patch", "delete")
        misplaced = (info.verb == "create" and info.name) or (by_name and not info.name) or (
            row.namespaced and not info.namespace and info.verb not in ("list", "watch"))
        if misplaced or not info.verb or info.verb not in row.verbs:
            raise method_not_allowed(row.plural, info.verb or request.method.lower(), row.group)

    def _path(self, request: Request) -> Response:
        first = request.path.split("/", 2)[1] if request.path.startswith("/") else ""
        endpoint = self._paths.get(first)
        if endpoint is None:
            return page_not_found()
        if request.method not in ("GET", "HEAD"):
            return Response(405, [("Allow", "GET, HEAD")], b"Method Not Allowed\n", "text/plain; charset=utf-8")
        return endpoint(request) or page_not_found()
