"""An HTTP/1.1 server of our own on httptools: the API server's and the kubelet's front door.

`serve` listens; every request becomes a `Request` for the handler, see `messages`. Connections live in `http_protocol`; this module
owns the listening sockets, the limits, the sweep that enforces time-outs, and shutdown. HTTP/2 is not offered (ALPN says http/1.1).
"""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import contextlib
import json
import os
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from kogia.base.memory import give_back
from kogia.base.tasks import TaskOwner
from kogia.wire.http_protocol import HttpProtocol
from kogia.wire.messages import Handler

SWEEP_S = 5.0
#: after so many closed connections their memory is given back: else it climbs with every wave of watches
TRIM_AFTER = 500
BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may cost. Source: kube-apiserver's 3 MiB body limit and Go's 1 MiB head limit, made tighter."""

    body_bytes: int = 3 * 1024 * 1024
    head_bytes: int = 512 * 1024
    head_s: float = 15.0  #: from the connection's start, or a head's first byte, to the head's end (and the TLS handshake)
    body_s: float = 60.0  #: from the head's end to the body's
    idle_s: float = 120.0  #: between requests
    stuck_s: float = 30.0  #: a peer that takes no byte of its answer for so long is dropped


def text_error(status: int, message: str) -> tuple[str, bytes]:
    return "text/plain; charset=utf-8", message.encode() + b"\n"


def status_error_body(status: int, message: str) -> tuple[str, bytes]:
    """A `metav1.Status`, for servers whose clients expect one."""
    reason = {400: "BadRequest", 405: "MethodNotAllowed", 413: "RequestEntityTooLarge", 500: "InternalError"}.get(status, "Unknown")
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": status}
    return "application/json", json.dumps(body, separators=(",", ":")).encode() + b"\n"


class Server:
    """A running server. `close` is graceful and idempotent."""

    def __init__(self, handler: Handler, limits: Limits, error_body: Callable[[int, str], tuple[str, bytes]]) -> None:
        self.handler = handler
        self.limits = limits
        self.error_body = error_body
        self.connections: set[HttpProtocol] = set()
        self.closing = False
        self._emptied = asyncio.Event()
        self._forgotten = 0
        self.tasks = TaskOwner("http")
        self._listeners: list[asyncio.Server] = []
        self._unix_path = ""
        self._sweep_handle: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """The bound TCP port (useful after asking for port 0); 0 for a unix socket."""
        for listener in self._listeners:
            for sock in listener.sockets:
                name = sock.getsockname()
                if isinstance(name, tuple):
                    return int(name[1])
        return 0

    def forget(self, connection: HttpProtocol) -> None:
        self.connections.discard(connection)
        self._forgotten += 1
        if self.closing and not self.connections:
            self._emptied.set()

    async def listen(self, host: str | None, port: int, path: str, ssl_context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        handshake_s = self.limits.head_s if ssl_context is not None else None

        def factory() -> HttpProtocol:
            return HttpProtocol(self)

        if path:
            listener = await loop.create_unix_server(factory, path, ssl=ssl_context, backlog=BACKLOG, ssl_handshake_timeout=handshake_s)
            os.chmod(path, 0o600)
            self._unix_path = path
        else:
            listener = await loop.create_server(
                factory, host or None, port, ssl=ssl_context, backlog=BACKLOG, reuse_address=True, ssl_handshake_timeout=handshake_s,
            )
        self._listeners.append(listener)
        if self._sweep_handle is None:
            self._sweep_handle = loop.call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        now = time.monotonic()
        for connection in [c for c in self.connections if 0 < c.deadline < now]:
            connection.expire()
        if self._forgotten >= TRIM_AFTER:
            self._forgotten = 0
            give_back()
        self._sweep_handle = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    async def close(self, grace_s: float = 2.0) -> None:
        """Stop listening, end idle connections and streams, let whole answers finish for `grace_s`, then cut what is left."""
        if self.closing:
            return
        self.closing = True
        for listener in self._listeners:
            listener.close()
        if self._sweep_handle is not None:
            self._sweep_handle.cancel()
        for connection in list(self.connections):
            connection.shut_down()
        if self.connections:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self._emptied.wait()
        for connection in list(self.connections):
            connection.transport.abort()
        await self.tasks.close(timeout_s=1.0)
        if self._unix_path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._unix_path)


async def serve(
    handler: Handler, host: str | None = None, port: int = 0, *, path: str = "", ssl_context: ssl.SSLContext | None = None,
    limits: Limits | None = None, error_body: Callable[[int, str], tuple[str, bytes]] = status_error_body,
) -> Server:
    """Listen on `host`:`port` (port 0: any free one; host None: all addresses) or on the unix socket `path` (made 0600).

    Errors: OSError (address in use, permission). For TLS use `kogia.wire.tls.server_context`.
    """
    if ssl_context is not None and asyncio.sslproto.SSLProtocol.max_size > 32 * 1024:
        asyncio.sslproto.SSLProtocol.max_size = 32 * 1024  # else the stock loop keeps 256 KiB per idle TLS connection
    server = Server(handler, limits or Limits(), error_body)
    await server.listen(host, port, path, ssl_context)
    return server
