"""The kubelet's HTTPS API: logs, exec, attach, port-forward, run, pods, health, metrics.

Who calls: the API server with its client certificate, and administrators. Neighbours: logs.py, kogia.wire.remotecommand and portforward.
Invariants: nobody without a certificate of the cluster's CA and a right name or group gets further than /healthz; errors are plain text, as other
kubelets give them. Source: kubelet server/server.go.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from kogia.api.times import TimeError, parse_time
from kogia.base.clock import rfc3339_micro
from kogia.cri.errors import CriError
from kogia.cri.interface import StreamSession
from kogia.kubelet import stats
from kogia.kubelet.container_record import RUNTIME, ContainerRecord
from kogia.kubelet.logs import LogOptions, read_logs
from kogia.kubelet.pod_worker import PodWorker
from kogia.wire.http_server import Server, serve, text_error
from kogia.wire.messages import Request, Response
from kogia.wire.portforward import port_forward
from kogia.wire.remotecommand import StreamOptions, remote_command
from kogia.wire.tls import server_context

if TYPE_CHECKING:
    from kogia.kubelet.kubelet import Kubelet

log = logging.getLogger("kogia.kubelet.server")

Obj = dict[str, Any]


READER_PATIENCE_S = 4 * 3600.0  #: a follower's terminal may be paused


class HttpError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def text(status: int, message: str) -> Response:
    return Response(status=status, body=message.encode(), content_type="text/plain; charset=utf-8")


def _flag(request: Request, name: str) -> bool:
    return request.param(name).lower() in ("true", "1", "t")


def log_options(request: Request, now: float) -> LogOptions:
    """From PodLogOptions' query parameters. Errors: HttpError 400."""
    try:
        tail, limit = request.param("tailLines"), request.param("limitBytes")
        since = 0.0
        if request.param("sinceSeconds"):
            since = now - int(request.param("sinceSeconds"))
        elif request.param("sinceTime"):
            since = parse_time(request.param("sinceTime")).timestamp()
        return LogOptions(
            follow=_flag(request, "follow"), timestamps=_flag(request, "timestamps"), since=since, tail=max(0, int(tail)) if tail else None,
            limit_bytes=int(limit) if limit else None, stream=request.param("stream") or "All",
        )
    except (ValueError, TimeError) as error:
        raise HttpError(400, f'{{"message": "unable to decode query: {error}"}}') from error


class KubeletServer:
    def __init__(self, kubelet: Kubelet) -> None:
        self._kubelet = kubelet
        self._node = kubelet.node

    async def __call__(self, request: Request) -> Response:
        try:
            if request.path == "/healthz":
                return text(200, "ok")
            self._authorize(request)
            return await self._route(request)
        except HttpError as error:
            return text(error.status, error.message)
        except CriError as error:
            return text(500, error.message)

    def _authorize(self, request: Request) -> None:
        """By the client certificate's common name or organization. Errors: HttpError."""
        config = self._node.config
        if not config.client_ca:
            return  # plain HTTP on loopback, for tests and tools
        certificate = request.peer.certificate
        if not certificate:
            raise HttpError(401, "Unauthorized")
        names = {value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"}
        groups = {value for part in certificate.get("subject", ()) for key, value in part if key == "organizationName"}
        if not (names & set(config.allowed_users) or groups & set(config.allowed_groups)):
            user = next(iter(names), "")
            raise HttpError(403, f"Forbidden (user={user}, verb={request.method.lower()}, resource=nodes, subresource(s)=[proxy])")

    async def _route(self, request: Request) -> Response:
        parts = [p for p in request.path.split("/") if p]
        head = parts[0] if parts else ""
        if head == "containerLogs" and len(parts) == 4:
            return await self._logs(request, *parts[1:])
        if head in ("exec", "attach", "run") and len(parts) in (4, 5):
            worker = self._worker(parts[1], parts[2])
            record = self._running(worker, parts[-1])
            return await getattr(self, f"_{head}")(request, record)
        if head == "portForward" and len(parts) in (3, 4):
            return self._port_forward(request, self._worker(parts[1], parts[2]))
        if request.path in ("/pods", "/runningpods", "/runningpods/"):
            items = [{**w.pod, "status": {**(w.pod.get("status") or {}), **w.state.status}} for w in self._kubelet.workers.values()]
            return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})
        if head == "debug" and len(parts) == 4 and parts[1] == "pods":
            trace = self._worker(parts[2], parts[3]).trace
            return _json({"transitions": [{"at": rfc3339_micro(at), "event": event, "instructions": list(do)} for at, event, do in trace]})
        if request.path == "/stats/summary":
            return _json(await stats.summary(self._node, self._kubelet.workers))
        if request.path == "/metrics/resource":
            body = stats.resource_metrics(await stats.summary(self._node, self._kubelet.workers))
            return Response(body=body.encode(), content_type="text/plain; version=0.0.4; charset=utf-8")
        if request.path == "/metrics":
            return Response(body=stats.metrics(self._kubelet).encode(), content_type="text/plain; version=0.0.4; charset=utf-8")
        raise HttpError(404, "404 page not found\n")

    # -- finding -------------------------------------------------------------------------------------------------------

    def _worker(self, namespace: str, name: str) -> PodWorker:
        worker = self._kubelet.find(namespace, name)
        if worker is None:
            raise HttpError(404, f'pod "{name}" not found\n')
        return worker

    def _running(self, worker: PodWorker, container: str) -> ContainerRecord:
        record = worker.state.records.get(container)
        if record is None or not record.running or record.current is None:
            raise HttpError(404, f'container not found ("{container}")\n')
        return record

    # -- endpoints -----------------------------------------------------------------------------------------------------

    async def _logs(self, request: Request, namespace: str, name: str, container: str) -> Response:
        worker = self._worker(namespace, name)
        record = worker.state.records.get(container)
        if record is None:
            raise HttpError(404, f'container "{container}" not found in pod "{name}"\n')
        options = log_options(request, self._node.clock.now())
        attempt = self._attempt(worker, record, _flag(request, "previous"))
        path = worker.actions.log_dir / container / f"{attempt}.log"
        watched = record.current.id if record.current and record.current.metadata.attempt == attempt else ""

        def running() -> bool:
            return record.running and record.current is not None and record.current.id == watched

        stream = read_logs(path, options, running)
        try:
            first = await anext(stream, b"")
        except FileNotFoundError:
            if not watched:
                raise HttpError(400, f'previous terminated container "{container}" in pod "{name}" not found') from None
            return text(200, "")
        return Response(stream=_chained(first, stream), content_type="text/plain", patience_s=READER_PATIENCE_S)

    def _attempt(self, worker: PodWorker, record: ContainerRecord, previous: bool) -> int:
        """Which attempt's log is asked for. Errors: HttpError 400 in Kubernetes' words."""
        name, pod = record.name, worker.pod["metadata"]["name"]
        if record.current is None:
            if previous and record.last:
                return record.attempt
            if previous:
                raise HttpError(400, f'previous terminated container "{name}" in pod "{pod}" not found')
            reason = record.waiting[0] if record.waiting else "PodInitializing" if worker.state.inits and not record.init else "ContainerCreating"
            if reason in ("ErrImagePull", "ImagePullBackOff"):
                reason = "trying and failing to pull image"
            raise HttpError(400, f'container "{name}" in pod "{pod}" is waiting to start: {reason}')
        current = record.current.metadata.attempt
        if not previous:
            return current
        if record.exited and record.waiting is not None:
            return current  # it waits to run again: what ended is the previous one
        if record.last is None:
            raise HttpError(400, f'previous terminated container "{name}" in pod "{pod}" not found')
        return current if record.last.get("containerID") == f"{RUNTIME}://{record.current.id}" else current - 1

    async def _exec(self, request: Request, record: ContainerRecord) -> Response:
        command = request.query.get("command", [])
        container_id = record.current.id if record.current else ""
        if not command:
            return text(400, "you must specify at least 1 command for the container")

        async def open_session(options: StreamOptions) -> StreamSession:
            return await self._node.runtime.exec(container_id, command, tty=options.tty, stdin=options.stdin)

        return remote_command(request, open_session)

    async def _attach(self, request: Request, record: ContainerRecord) -> Response:
        container_id = record.current.id if record.current else ""

        async def open_session(options: StreamOptions) -> StreamSession:
            return await self._node.runtime.attach(container_id, tty=options.tty, stdin=options.stdin)

        return remote_command(request, open_session, exit_status=False)

    async def _run(self, request: Request, record: ContainerRecord) -> Response:
        command = request.query.get("command") or request.param("cmd").split()
        result = await self._node.runtime.exec_sync(record.current.id if record.current else "", command)
        return Response(status=200 if result.exit_code == 0 else 500, body=result.stdout + result.stderr, content_type="text/plain")

    def _port_forward(self, request: Request, worker: PodWorker) -> Response:
        sandbox = worker.state.sandbox
        if sandbox is None:
            raise HttpError(400, f'pod "{worker.pod["metadata"]["name"]}" has no running sandbox\n')
        sandbox_id = sandbox.id

        async def dial(port: int) -> StreamSession:
            return await self._node.runtime.port_forward(sandbox_id, port)

        return port_forward(request, dial)


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        if first:
            yield first
        async for chunk in rest:
            yield chunk
    finally:
        close = getattr(rest, "aclose", None)
        if close is not None:
            await close()


def _json(body: Obj) -> Response:
    return Response(body=json.dumps(body, separators=(",", ":")).encode())


async def serve_kubelet(kubelet: Kubelet) -> Server:
    """Listen as the config says; TLS whenever a certificate is configured. Errors: OSError."""
    config = kubelet.config
    context = server_context(str(config.tls_cert), str(config.tls_key), str(config.client_ca)) if config.tls_cert else None
    handler = KubeletServer(kubelet)
    return await serve(handler, config.bind_address, config.port, ssl_context=context, error_body=text_error)
