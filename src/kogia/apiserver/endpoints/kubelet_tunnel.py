"""log, exec, attach, port-forward and nodes/proxy: carried to the HTTPS server of the kubelet the Pod runs on, and back.

The API server checks what it can (the Pod, the container, the options) and authenticates itself with its kubelet-client certificate; an
upgraded connection is then a pair of pipes, whatever protocol (WebSocket, SPDY/3.1) client and kubelet speak through it.
Source: pkg/registry/core/pod strategy.go (LogLocation, streamLocation), apimachinery util/proxy UpgradeAwareHandler.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

from kogia.api.status import StatusError, bad_request, internal_error, invalid, invalid_value, not_found, status_error
from kogia.apiserver.interface import ReadCache, RequestInfo
from kogia.base.tasks import TaskOwner
from kogia.wire.http_client import HttpClient
from kogia.wire.http_head import HOP_HEADERS
from kogia.wire.messages import Connection, Request, Response

Obj = dict[str, Any]
log = logging.getLogger("kogia.apiserver.kubelet")
MAX_CLIENTS = 256
MAX_ERROR_BYTES = 50_000
ADDRESS_TYPES = ("InternalIP", "Hostname", "InternalDNS", "ExternalDNS", "ExternalIP")
_INTEGERS = {"sinceSeconds": 1, "tailLines": 0, "limitBytes": 1}
_BOOLEANS = ("follow", "previous", "timestamps")
_KEPT = frozenset(("connection", "upgrade"))


def resolve_container(pod: Obj, wanted: str) -> str:
    """The container meant; with several, one must be named. Errors: 400 in Kubernetes' words."""
    spec, name = pod.get("spec") or {}, pod["metadata"]["name"]
    names = [c["name"] for c in spec.get("containers") or ()]
    inits = [c["name"] for c in spec.get("initContainers") or ()]
    ephemeral = [c["name"] for c in spec.get("ephemeralContainers") or ()]
    if not wanted:
        if len(names) == 1:
            return str(names[0])
        if not names:
            raise bad_request(f"a container name must be specified for pod {name}")
        text = f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]"
        if inits:
            text += f" or one of the init containers: [{' '.join(inits)}]"
        if ephemeral:
            text += f" or one of the ephemeral containers: [{' '.join(ephemeral)}]"
        raise bad_request(text)
    if wanted not in names and wanted not in inits and wanted not in ephemeral:
        raise bad_request(f"container {wanted} is not valid for pod {name}")
    return wanted


def log_options(request: Request) -> dict[str, str]:
    """The kubelet's query for `pods/log`. Errors: 422 for options out of range, 400 for what is no number or boolean."""
    options: dict[str, str] = {}
    errors = []
    for key, least in _INTEGERS.items():
        text = request.param(key)
        if not text:
            continue
        try:
            value = int(text)
        except ValueError:
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
        if value < least:
            errors.append(invalid_value(key, value, "must be greater than or equal to 0" if least == 0 else "must be greater than 0"))
        options[key] = text
    for key in _BOOLEANS:
        if key in request.query:
            options[key] = "false" if request.param(key).lower() in ("0", "f", "false") else "true"
    for key in ("sinceTime", "stream"):
        if request.param(key):
            options[key] = request.param(key)
    if "sinceSeconds" in options and "sinceTime" in options:
        errors.append(invalid_value("sinceSeconds", int(options["sinceSeconds"]), "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    if errors:
        raise invalid("PodLogOptions", "", errors)
    return options


class KubeletTunnel:
    def __init__(self, cache: ReadCache, make_context: Callable[[], ssl.SSLContext]) -> None:
        self._cache = cache
        self._make_context = make_context
        self._context: ssl.SSLContext | None = None
        self._clients: dict[tuple[str, int, str], HttpClient] = {}
        self.tasks = TaskOwner("kubelet-tunnel")

    async def close(self) -> None:
        await self.tasks.close()
        for client in self._clients.values():
            await client.close()
        self._clients.clear()

    # -- endpoints --------------------------------------------------------------------------------------------------------

    async def pod_log(self, request: Request, info: RequestInfo) -> Response:
        pod = self._pod(info)
        container = resolve_container(pod, request.param("container"))
        options = log_options(request)
        node = (pod.get("spec") or {}).get("nodeName")
        if not node:
            return Response(200, content_type="text/plain")
        path = f"/containerLogs/{info.namespace}/{info.name}/{container}"
        return await self._forward(request, node, path, urlencode(options), resource=("pods", info.name))

    async def pod_stream(self, request: Request, info: RequestInfo) -> Response:
        """exec, attach and portforward."""
        pod = self._pod(info)
        if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            phase = pod["status"]["phase"]
            raise bad_request(f"cannot exec into a container in a completed pod; current phase is {phase}")
        node = (pod.get("spec") or {}).get("nodeName")
        if not node:
            raise bad_request(f"pod {info.name} does not have a host assigned")
        base = f"{info.namespace}/{info.name}"
        if info.subresource == "portforward":
            return await self._forward(request, node, f"/portForward/{base}", request.raw_query)
        container = resolve_container(pod, request.param("container"))
        pairs = [("command", c) for c in request.query.get("command", [])]
        for theirs, ours in (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")):
            if request.param(theirs).lower() in ("1", "true", "t"):
                pairs.append((ours, "1"))
        if info.subresource == "exec" and not any(key == "command" for key, _ in pairs):
            raise bad_request("you must specify at least 1 command for the container")
        if not any(key in ("input", "output", "error") for key, _ in pairs):
            raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
        return await self._forward(request, node, f"/{info.subresource}/{base}/{container}", urlencode(pairs))

    async def node_proxy(self, request: Request, info: RequestInfo) -> Response:
        """Anything of the kubelet's own API, `nodes/<name>[:port]/proxy/<path>`."""
        name, _, port = info.name.partition(":")
        path = "/" + "/".join(quote(p, safe="") for p in info.parts)
        return await self._forward(request, name, path, request.raw_query, port=int(port) if port.isdigit() else 0)

    # -- carrying ---------------------------------------------------------------------------------------------------------

    def _pod(self, info: RequestInfo) -> Obj:
        found = self._cache.get(("", "pods"), info.name, info.namespace)
        if found is None:
            raise not_found("pods", info.name)
        return found.object()

    def _client(self, node_name: str, port: int) -> HttpClient:
        """Errors: StatusError 404, or 500 for a node that has told no address."""
        found = self._cache.get(("", "nodes"), node_name)
        if found is None:
            raise not_found("nodes", node_name)
        status = found.object().get("status") or {}
        addresses = {a["type"]: a["address"] for a in reversed(status.get("addresses") or [])}
        address = next((addresses[t] for t in ADDRESS_TYPES if addresses.get(t)), "")
        port = port or int(((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or 10250)
        if not address:
            raise internal_error(f"no preferred addresses found; known addresses: {status.get('addresses') or []}")
        key = (address, port, node_name)
        client = self._clients.get(key)
        if client is None:
            if self._context is None:
                self._context = self._make_context()
            if len(self._clients) >= MAX_CLIENTS:
                old = self._clients.pop(next(iter(self._clients)))
                self.tasks.spawn("retire", old.close())
            host = f"[{address}]" if ":" in address else address
            client = self._clients[key] = HttpClient(f"https://{host}:{port}", self._context, server_hostname=node_name)
        return client

    async def _forward(self, request: Request, node: str, path: str, query: str, *, port: int = 0, resource: tuple[str, str] = ("", "")) -> Response:
        client = self._client(node, port)
        skip = HOP_HEADERS - _KEPT if request.upgrade else HOP_HEADERS
        headers = {
            k: v for k, v in request.headers.items()
            if k not in skip and k not in ("host", "authorization", "expect", "accept-encoding", "content-length") and not k.startswith("impersonate-")
        }
        onward = Request(request.method, path, query, headers, request.body, raw_path=path)
        try:
            if request.upgrade:
                return await self._upgrade(client, onward)
            onward.context = {"stream": True}
            response = await client.send(onward)
            response.patience_s = 4 * 3600.0  # people read logs through pagers
        except (OSError, TimeoutError) as error:
            raise internal_error(f"error dialing backend: {error or type(error).__name__}") from None
        if resource[0] and not 200 <= response.status <= 206:
            raise await _as_status(response, *resource)
        response.headers = [(k, v) for k, v in response.headers if k.lower() not in HOP_HEADERS and k.lower() not in ("content-type", "content-length", "date")]
        return response

    async def _upgrade(self, client: HttpClient, onward: Request) -> Response:
        answer, backend = await client.open(onward)
        if backend is None:
            answer.headers = [(k, v) for k, v in answer.headers if k.lower() not in HOP_HEADERS and k.lower() not in ("content-type", "content-length", "date")]
            return answer
        headers = [(k, v) for k, v in answer.headers if k.lower() not in ("date", "content-length")]

        async def pump(front: Connection) -> None:
            await splice(front, backend, self.tasks)

        return Response(answer.status, headers, takeover=pump)


async def _as_status(response: Response, plural: str, name: str) -> StatusError:
    """A kubelet's refusal as the API's. Source: registry/generic/rest response_checker.go."""
    body = b""
    if response.stream is not None:
        async for chunk in response.stream:
            body += chunk
            if len(body) > MAX_ERROR_BYTES:
                break
        close = getattr(response.stream, "aclose", None)
        if close is not None:
            await close()
    text = body[:MAX_ERROR_BYTES].decode("utf-8", "replace").rstrip("\n")
    if response.status == 500:
        return internal_error(text)
    if response.status == 400:
        return bad_request(text)
    if response.status == 404:
        return status_error(404, "NotFound", text if text else f"the server could not find the requested resource ( {plural} {name})", name=name, kind=plural)
    return status_error(response.status, "Unknown", text or f"the server responded with the status code {response.status}", name=name, kind=plural)


async def splice(front: Connection, backend: Connection, tasks: TaskOwner) -> None:
    """Copy both ways until the backend has ended, or the client has and the backend no longer answers to it; then close both."""

    async def copy(source: Connection, sink: Connection) -> None:
        while data := await source.read():
            sink.write(data)
            await sink.drain()
        sink.write_eof()

    up = tasks.spawn("up", _quiet(copy(front, backend)))
    down = tasks.spawn("down", _quiet(copy(backend, front)))
    try:
        await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
        if not down.done():
            await asyncio.wait([down], timeout=5.0)
    finally:
        up.cancel()
        down.cancel()
        front.close()
        backend.close()


async def _quiet(work: Any) -> None:
    try:
        await work
    except ConnectionError:
        log.debug("tunnel ended", exc_info=True)
