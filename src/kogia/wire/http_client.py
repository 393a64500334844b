"""A small HTTP/1.1 client: pooled keep-alive connections, streams, and take-over after 101. Implements `client.interface.Transport`.

One `HttpClient` speaks to one server. A request that went out on a pooled connection the server had meanwhile closed is sent once more
on a fresh one if repeating it is harmless; everything else is the caller's to retry. A stream that is not read to its end costs its connection.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, cast
from urllib.parse import quote, urlsplit

import httptools

from kogia.wire.http_head import request_head
from kogia.wire.messages import Connection, Request, Response
from kogia.wire.raw_connection import HIGH_BYTES, RawConnection, WriteGate

IDEMPOTENT = frozenset(("GET", "HEAD", "PUT", "DELETE", "OPTIONS"))
MAX_IDLE = 32
IDLE_S = 55.0  #: below every server's own idle time-out
CONNECT_S = 10.0
ANSWER_S = 60.0  #: for the head, and for each pause in a body that is not a stream


class StaleConnection(ConnectionResetError):
    """The connection ended before a single byte of the answer came."""


class _ClientProtocol(asyncio.Protocol):
    """One connection, one exchange at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.gate: WriteGate = None  # type: ignore[assignment]
        self.raw: RawConnection | None = None
        self.idle_since = 0.0
        self._tls = False
        self._parser: Any = None
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self.reset("GET")

    def reset(self, method: str) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._method = method
        self.headers: list[tuple[str, str]] = []
        self.status = 0
        self.head_done = self.complete = self.got_bytes = False
        self.reusable = True
        self._until_close = True
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self.gate = WriteGate(transport)
        self._tls = transport.get_extra_info("sslcontext") is not None

    def pause_writing(self) -> None:
        self.gate.pause()

    def resume_writing(self) -> None:
        self.gate.resume()

    def eof_received(self) -> bool:
        if self.raw is not None:
            self.raw.feed_eof()
            return not self._tls
        self._finish(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.gate.lost()
        if self.raw is not None:
            self.raw.lost()
        self._finish(exc)

    def _finish(self, exc: Exception | None) -> None:
        self.reusable = False
        if not self.complete:
            if self.head_done and self._until_close and exc is None:
                self.complete = True
            elif self._error is None:
                self._error = ConnectionResetError("connection lost in the middle of an answer") if self.got_bytes else StaleConnection("connection lost")
        self._wake()

    def data_received(self, data: bytes) -> None:
        if self.raw is not None:
            self.raw.feed(data)
            return
        self.got_bytes = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as switch:
            self.raw = RawConnection(self.transport, self.gate, data[switch.args[0] :])
            self.head_done = self.complete = True
        except httptools.HttpParserError as error:
            if not self.complete:
                self._error = ConnectionError(f"malformed answer: {error}")
            self.reusable = False
            self.transport.close()
        self._wake()

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode("latin-1")
        self.headers.append((key, value.decode("latin-1")))
        if key.lower() in ("content-length", "transfer-encoding"):
            self._until_close = False

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status == 100:
            return
        self.head_done = True
        if not self._parser.should_keep_alive():
            self.reusable = False
        if self._method == "HEAD" or self.status in (204, 304):
            self.complete, self.reusable = True, False

    def on_body(self, data: bytes) -> None:
        self._chunks.append(data)
        self._buffered += len(data)
        if self._buffered > HIGH_BYTES and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def on_message_complete(self) -> None:
        if self.status == 100:
            self.headers, self.status, self._until_close = [], 0, True
            return
        self.complete = True

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def wait_head(self) -> None:
        while not self.head_done:
            if self._error is not None:
                raise self._error
            await self._wait()

    async def next_chunk(self) -> bytes:
        """b"" at the end. Errors: ConnectionError if the answer is cut short."""
        while not self._chunks:
            if self.complete:
                return b""
            if self._error is not None:
                raise self._error
            await self._wait()
        data = self._chunks.popleft() if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        if self._paused:
            self._paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()
        return data


class HttpClient:
    """`base_url`: `https://host:port`, `http://host:port` or `unix:///path/of/socket`; a path in it is put before every request's.

    `headers` go with every request; `max_idle` 0 closes each connection after its exchange.
    """

    def __init__(
        self, base_url: str, ssl_context: ssl.SSLContext | None = None, *, server_hostname: str = "", headers: dict[str, str] | None = None,
        max_idle: int = MAX_IDLE,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https", "unix"):
            raise ValueError(f"unsupported URL {base_url!r}")
        self._unix = parts.path if parts.scheme == "unix" else ""
        self._prefix = "" if self._unix else parts.path.rstrip("/")
        self._tls = parts.scheme == "https"
        self._host = parts.hostname or "localhost"
        self._port = parts.port or (443 if self._tls else 80)
        self._authority = parts.netloc.rpartition("@")[2] or "localhost"
        if self._tls and ssl_context is None:
            ssl_context = ssl.create_default_context()
        self._ssl = ssl_context if self._tls else None
        self._server_hostname = server_hostname
        self._headers = headers or {}
        self._idle: list[_ClientProtocol] = []
        self._busy: set[_ClientProtocol] = set()
        self._max_idle = max_idle
        self._closed = False

    async def _connect(self) -> _ClientProtocol:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_S):
                if self._unix:
                    _, protocol = await loop.create_unix_connection(_ClientProtocol, self._unix)
                else:
                    name = (self._server_hostname or self._host) if self._ssl is not None else None
                    _, protocol = await loop.create_connection(_ClientProtocol, self._host, self._port, ssl=self._ssl, server_hostname=name)
        except TimeoutError:
            raise TimeoutError(f"connecting to {self._authority} timed out") from None
        return protocol

    def _pooled(self) -> _ClientProtocol | None:
        now = time.monotonic()
        while self._idle:
            protocol = self._idle.pop()
            if protocol.reusable and not protocol.transport.is_closing() and now - protocol.idle_since < IDLE_S:
                return protocol
            protocol.transport.close()
        return None

    def _release(self, protocol: _ClientProtocol) -> None:
        self._busy.discard(protocol)
        if protocol.complete and protocol.reusable and not self._closed and len(self._idle) < self._max_idle and not protocol.transport.is_closing():
            protocol.idle_since = time.monotonic()
            self._idle.append(protocol)
        else:
            protocol.transport.close()

    def _target(self, request: Request) -> str:
        path = request.raw_path or quote(request.path, safe="/:@!$&'()*+,;=~-._")
        return self._prefix + path + (f"?{request.raw_query}" if request.raw_query else "")

    async def _exchange_head(self, request: Request, protocol: _ClientProtocol) -> None:
        protocol.reset(request.method)
        self._busy.add(protocol)
        if self._headers:
            request.headers = {**self._headers, **request.headers}
        try:
            protocol.transport.write(request_head(request, self._target(request), self._authority) + request.body)
            async with asyncio.timeout(request.context.get("timeout_s", ANSWER_S)):
                await protocol.wait_head()
        except BaseException:
            self._busy.discard(protocol)
            protocol.transport.abort()
            raise

    async def _start(self, request: Request, *, fresh: bool = False) -> _ClientProtocol:
        if self._closed:
            raise ConnectionError("client is closed")
        pooled = None if fresh else self._pooled()
        if pooled is not None:
            try:
                await self._exchange_head(request, pooled)
                return pooled
            except StaleConnection:
                if request.method not in IDEMPOTENT:
                    raise
        protocol = await self._connect()
        await self._exchange_head(request, protocol)
        return protocol

    async def send(self, request: Request) -> Response:
        """One exchange; `context["stream"]` (or `watch`/`follow` in the query) asks for `Response.stream`, `context["timeout_s"]` bounds the wait
        for the head. Errors: OSError and its children; TimeoutError. Cancel: safe, gives the connection up."""
        protocol = await self._start(request)
        response = _response(protocol)
        if _wants_stream(request):
            response.stream = self._stream(protocol)
            return response
        try:
            async with asyncio.timeout(request.context.get("timeout_s", ANSWER_S)):
                response.body = await _whole_body(protocol)
        except BaseException:
            protocol.reusable = False
            raise
        finally:
            self._release(protocol)
        return response

    async def _stream(self, protocol: _ClientProtocol) -> AsyncIterator[bytes]:
        try:
            while chunk := await protocol.next_chunk():
                yield chunk
        finally:
            self._release(protocol)

    async def open(self, request: Request) -> tuple[Response, Connection | None]:
        """An upgrading exchange on a connection of its own. The caller sets the `Connection: Upgrade` and `Upgrade` headers."""
        protocol = await self._start(request, fresh=True)
        self._busy.discard(protocol)
        response = _response(protocol)
        if protocol.raw is not None:
            return response, protocol.raw
        try:
            response.body = await _whole_body(protocol)
        finally:
            protocol.transport.close()
        return response, None

    async def close(self) -> None:
        """Close every connection, also those in use. Idempotent."""
        self._closed = True
        for protocol in [*self._idle, *self._busy]:
            protocol.transport.abort()
        self._idle.clear()


async def _whole_body(protocol: _ClientProtocol) -> bytes:
    parts: list[bytes] = []
    while chunk := await protocol.next_chunk():
        parts.append(chunk)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _response(protocol: _ClientProtocol) -> Response:
    content_type = next((v for k, v in protocol.headers if k.lower() == "content-type"), "")
    return Response(protocol.status, protocol.headers, content_type=content_type)


def _wants_stream(request: Request) -> bool:
    if "stream" in request.context:
        return bool(request.context["stream"])
    return "watch=" in request.raw_query and request.param("watch") in ("true", "1") or request.param("follow") in ("true", "1")
