"""URLs for Exec, Attach and PortForward: a loopback HTTP server that joins whoever comes with the token to the stream it stands for.

Started at the first such call, on a free port of 127.0.0.1. Invariants: a token is random, works once, and only for a minute; its stream is opened when
the client's connection stands. Source: k8s.io/kubelet pkg/cri/streaming (paths, request cache).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from kogia.cri.errors import Code, CriError
from kogia.cri.interface import RuntimeService, StreamSession
from kogia.wire.messages import Request, Response
from kogia.wire.portforward import port_forward
from kogia.wire.remotecommand import StreamOptions, plain, remote_command

if TYPE_CHECKING:
    from kogia.wire.http_server import Server

TOKEN_LIFE_S = 60.0
MAX_TOKENS = 1_000


class StreamingServer:
    """Gives out URLs and serves them."""

    def __init__(self, runtime: RuntimeService) -> None:
        self._runtime = runtime
        self._server: Server | None = None
        self._starting = asyncio.Lock()
        self._pending: dict[str, tuple[float, Callable[[Request], Response]]] = {}

    async def exec_url(self, container_id: str, cmd: list[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str:
        """Errors: CriError NOT_FOUND for an unknown container, INVALID_ARGUMENT for impossible wishes."""
        options = _options(stdin, stdout, stderr, tty)
        await self._runtime.container_status(container_id)

        async def opener(_: StreamOptions) -> StreamSession:
            return await self._runtime.exec(container_id, cmd, tty=tty, stdin=stdin)

        return await self._offer("exec", lambda request: remote_command(request, opener, options=options))

    async def attach_url(self, container_id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str:
        """Errors: as `exec_url`."""
        options = _options(stdin, stdout, stderr, tty)
        await self._runtime.container_status(container_id)

        async def opener(_: StreamOptions) -> StreamSession:
            return await self._runtime.attach(container_id, tty=tty, stdin=stdin)

        return await self._offer("attach", lambda request: remote_command(request, opener, exit_status=False, options=options))

    async def port_forward_url(self, pod_sandbox_id: str, ports: list[int]) -> str:
        """Errors: CriError NOT_FOUND for an unknown sandbox."""
        await self._runtime.pod_sandbox_status(pod_sandbox_id)

        async def dial(port: int) -> StreamSession:
            return await self._runtime.port_forward(pod_sandbox_id, port)

        def answer(request: Request) -> Response:
            if ports and not request.param("ports"):
                request.raw_query = "&".join(f"ports={port}" for port in ports)
                request._query = None
            return port_forward(request, dial)

        return await self._offer("portforward", answer)

    async def _offer(self, kind: str, answer: Callable[[Request], Response]) -> str:
        from kogia.wire.http_server import serve

        async with self._starting:
            if self._server is None:
                self._server = await serve(self._handle, "127.0.0.1", 0)
        now = time.monotonic()
        self._pending = {token: entry for token, entry in self._pending.items() if entry[0] > now}
        if len(self._pending) >= MAX_TOKENS:
            raise CriError(Code.RESOURCE_EXHAUSTED, "maximum number of in-flight requests exceeded")
        token = secrets.token_urlsafe(16)
        self._pending[token] = (now + TOKEN_LIFE_S, answer)
        return f"http://127.0.0.1:{self._server.port}/{kind}/{token}"

    async def _handle(self, request: Request) -> Response:
        end, answer = self._pending.pop(request.path.rpartition("/")[2], (0.0, None))
        if answer is None or time.monotonic() > end:
            return plain(404, "404 page not found\n")
        return answer(request)

    async def close(self) -> None:
        self._pending.clear()
        if self._server is not None:
            await self._server.close(grace_s=0.2)


def _options(stdin: bool, stdout: bool, stderr: bool, tty: bool) -> StreamOptions:
    if tty and stderr:
        raise CriError(Code.INVALID_ARGUMENT, "tty and stderr cannot both be true")
    if not (stdin or stdout or stderr):
        raise CriError(Code.INVALID_ARGUMENT, "one of stdin, stdout, or stderr must be set")
    return StreamOptions(stdin=stdin, stdout=stdout, stderr=stderr, tty=tty)
