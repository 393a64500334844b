"""pods/proxy and services/proxy: plain HTTP (or HTTPS, unverified) to a Pod's address, seen from under the API server's URL.

The name may be `name`, `name:port` or `scheme:name:port`. Redirects within the backend are rewritten to stay under the proxy's path;
loopback and link-local addresses are refused, because the server stands where they mean something else.
Source: pkg/registry/core/{pod/strategy.go ResourceLocation,service/storage}, apimachinery util/proxy, util/net IsProxyableIP.
"""

from __future__ import annotations

import ipaddress
import ssl
from typing import Any
from urllib.parse import urlsplit

from kogia.api.status import bad_request, not_found, status_error
from kogia.apiserver.endpoints.kubelet_tunnel import splice
from kogia.apiserver.interface import ReadCache, RequestInfo
from kogia.base.tasks import TaskOwner
from kogia.wire.http_client import HttpClient
from kogia.wire.http_head import HOP_HEADERS
from kogia.wire.messages import Connection, Request, Response

Obj = dict[str, Any]
_NOT_FORWARDED = frozenset(("host", "authorization", "expect", "content-length"))
_NOT_RETURNED = HOP_HEADERS | {"content-type", "content-length", "date"}


def split_name(text: str) -> tuple[str, str, str]:
    """(scheme, name, port). Errors: 400 for a form there is not."""
    parts = text.split(":")
    if len(parts) == 1:
        return "http", parts[0], ""
    if len(parts) == 2:
        return "http", parts[0], parts[1]
    if len(parts) == 3 and parts[0] in ("http", "https", ""):
        return parts[0] or "http", parts[1], parts[2]
    raise bad_request(f'invalid service request "{text}"')


def pod_target(pod: Obj, port: str) -> tuple[str, int]:
    """Address and port; by default the first port any container names, else 80. Errors: 400."""
    address = (pod.get("status") or {}).get("podIP", "")
    if not address:
        raise bad_request(f"pod {pod['metadata']['name']} does not have a podIP assigned")
    named = [p for c in (pod.get("spec") or {}).get("containers") or () for p in c.get("ports") or ()]
    if not port:
        return address, int(named[0]["containerPort"]) if named else 80
    found = next((p for p in named if p.get("name") == port), None)
    if found is None and not port.isdigit():
        raise bad_request(f'pod {pod["metadata"]["name"]} has no port named "{port}"')
    return address, int(found["containerPort"] if found else port)


def service_target(service: Obj, slices: list[Obj], port: str) -> tuple[str, int]:
    """A ready endpoint. Errors: 400 for a port that must be named, 503 without endpoints."""
    name = service["metadata"]["name"]
    ports = (service.get("spec") or {}).get("ports") or []
    if not port and len(ports) == 1:
        wanted = ports[0]
    else:
        wanted = next((p for p in ports if p.get("name") == port or str(p.get("port")) == port), None)
    if wanted is None:
        raise status_error(503, "ServiceUnavailable", f'no service port "{port}" found for service "{name}"')
    for piece in slices:
        number = next((p.get("port") for p in piece.get("ports") or () if (p.get("name") or "") == (wanted.get("name") or "")), None)
        for endpoint in piece.get("endpoints") or ():
            if number and endpoint.get("addresses") and (endpoint.get("conditions") or {}).get("ready") is not False:
                return endpoint["addresses"][0], int(number)
    raise status_error(503, "ServiceUnavailable", f'no endpoints available for service "{service["metadata"]["name"]}"')


def allowed(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not (parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified or parsed.is_multicast)


class AddressProxy:
    def __init__(self, cache: ReadCache, tasks: TaskOwner, *, may_reach: Any = allowed) -> None:
        self._cache = cache
        self._tasks = tasks
        self._may_reach = may_reach

    async def __call__(self, request: Request, info: RequestInfo) -> Response:
        scheme, name, port = split_name(info.name)
        prefix = request.raw_path.partition("/proxy")[0] + "/proxy"
        rest = request.raw_path[len(prefix) :]
        if not rest and request.method in ("GET", "HEAD") and not request.upgrade:
            return Response(301, [("Location", prefix + "/" + (f"?{request.raw_query}" if request.raw_query else ""))])
        address, number = self._target(info, name, port)
        if not self._may_reach(address):
            raise bad_request("address not allowed")
        host = f"[{address}]:{number}" if ":" in address else f"{address}:{number}"
        client = HttpClient(f"{scheme}://{host}", _unverified() if scheme == "https" else None, max_idle=0)
        try:
            return await self._carry(client, request, rest or "/", prefix, host)
        except (OSError, TimeoutError) as error:
            await client.close()
            text = f"error trying to reach service: {error or type(error).__name__}"
            raise status_error(503, "ServiceUnavailable", text) from None

    def _target(self, info: RequestInfo, name: str, port: str) -> tuple[str, int]:
        found = self._cache.get(("", info.plural), name, info.namespace)
        if found is None:
            raise not_found(info.plural, name)
        if info.plural == "pods":
            return pod_target(found.object(), port)
        slices = [s.object() for s in self._cache.list(("discovery.k8s.io", "endpointslices"), info.namespace)]
        mine = [s for s in slices if (s["metadata"].get("labels") or {}).get("kubernetes.io/service-name") == name]
        return service_target(found.object(), mine, port)

    async def _carry(self, client: HttpClient, request: Request, rest: str, prefix: str, host: str) -> Response:
        skip = HOP_HEADERS - {"connection", "upgrade"} if request.upgrade else HOP_HEADERS
        headers = {k: v for k, v in request.headers.items() if k not in skip and k not in _NOT_FORWARDED and not k.startswith("impersonate-")}
        headers |= {"x-forwarded-uri": prefix + rest, "x-forwarded-host": request.headers.get("host", ""), "x-forwarded-proto": "https"}
        onward = Request(request.method, rest, request.raw_query, headers, request.body, raw_path=rest, context={"stream": True})
        if request.upgrade:
            response, backend = await client.open(onward)
            if backend is not None:
                return self._tunnel(response, backend)
        else:
            response = await client.send(onward)
        response.headers = [(k, rewritten(v, prefix, host) if k.lower() == "location" else v) for k, v in response.headers if k.lower() not in _NOT_RETURNED]
        return response

    def _tunnel(self, answer: Response, backend: Connection) -> Response:
        async def pump(front: Connection) -> None:
            await splice(front, backend, self._tasks)

        headers = [(k, v) for k, v in answer.headers if k.lower() not in ("date", "content-length")]
        return Response(answer.status, headers, takeover=pump)


def rewritten(location: str, prefix: str, host: str) -> str:
    """A redirect of the backend to itself, as seen from outside; others are left alone."""
    parts = urlsplit(location)
    if parts.netloc and parts.netloc != host:
        return location
    if not parts.path.startswith("/"):
        return location
    return prefix + parts.path + (f"?{parts.query}" if parts.query else "")


def _unverified() -> ssl.SSLContext:
    """Pods' own certificates are nobody's business here; Kubernetes does not verify them either."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
