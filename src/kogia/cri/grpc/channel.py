"""A client's connection to one endpoint, made when needed and made again when lost.

Invariants: many calls share the connection; when it breaks each of them fails with UNAVAILABLE, and the next call dials anew;
a call that times out or is cancelled resets its stream. At most MAX_PENDING messages of a streaming call wait for their reader.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from google.protobuf.message import DecodeError

from kogia.base.tasks import TaskOwner
from kogia.cri.errors import Code, CriError
from kogia.cri.grpc.descriptors import PACKAGE, methods
from kogia.cri.grpc.framing import Deframer, format_timeout, frame, status_error
from kogia.cri.grpc.http2 import Gone, Http2
from kogia.cri.grpc.server import short_path

DIAL_S = 10.0
MAX_PENDING = 10_000


class _Call:
    """One stream from the client's side: messages and, in the end, a status."""

    def __init__(self) -> None:
        self.deframer = Deframer()
        self.messages: deque[bytes] = deque()
        self.headers: list[tuple[str, str]] = []
        self.ended = False
        self.error: CriError | None = None
        self._news = asyncio.Event()

    def end(self, error: CriError | None) -> None:
        if not self.ended:
            self.ended, self.error = True, error
        self._news.set()

    def data(self, data: bytes) -> None:
        try:
            self.messages.extend(self.deframer.feed(data))
            if len(self.messages) > MAX_PENDING:
                raise CriError(Code.RESOURCE_EXHAUSTED, "event subscriber is too slow: relist")
        except CriError as error:
            self.messages.clear()
            self.end(error)
        self._news.set()

    async def next(self) -> bytes | None:
        """The next message, None at a good end. Errors: CriError."""
        while not self.messages:
            if self.ended:
                if self.error is not None:
                    raise self.error
                return None
            self._news.clear()
            await self._news.wait()
        return self.messages.popleft()


class _Connection(Http2):
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer, client=True)
        self.calls: dict[int, _Call] = {}
        self.going = False

    @property
    def usable(self) -> bool:
        return not (self.closed or self.going or self.h2.highest_outbound_stream_id > 2**30)

    def on_headers(self, stream_id: int, headers: list[tuple[str, str]]) -> None:
        if (call := self.calls.get(stream_id)) is not None:
            call.headers += headers

    def on_data(self, stream_id: int, data: bytes) -> None:
        if (call := self.calls.get(stream_id)) is not None:
            call.data(data)

    def on_end(self, stream_id: int) -> None:
        if (call := self.calls.pop(stream_id, None)) is not None:
            call.end(status_error(call.headers))

    def on_reset(self, stream_id: int) -> None:
        if (call := self.calls.pop(stream_id, None)) is not None:
            call.end(CriError(Code.CANCELLED, "stream terminated by RST_STREAM"))

    def on_goaway(self) -> None:
        self.going = True

    def on_closed(self) -> None:
        for call in self.calls.values():
            call.end(CriError(Code.UNAVAILABLE, "error reading from server: EOF"))
        self.calls.clear()


class Channel:
    """See the module."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.path = endpoint_path(endpoint)
        self._connection: _Connection | None = None
        self._dialling = asyncio.Lock()
        self._tasks = TaskOwner("cri-channel")

    async def unary(self, service: str, method: str, request: Any, timeout_s: float) -> Any:
        """The response message; `timeout_s` 0 = none. Errors: CriError. Cancel: the runtime is told."""
        response_class = methods()[f"/{PACKAGE}.{service}/{method}"][1]
        try:
            async with asyncio.timeout(timeout_s or None):
                call, connection, stream_id = await self._start(service, method, request, timeout_s)
                try:
                    data = await call.next()
                    if data is None:
                        raise CriError(Code.INTERNAL, "the server ended the call without an answer")
                    while await call.next() is not None:  # the status follows; it may yet be an error
                        pass
                finally:
                    self._drop(connection, stream_id)
        except TimeoutError:
            raise CriError(Code.DEADLINE_EXCEEDED, "context deadline exceeded") from None
        try:
            return response_class.FromString(data)
        except DecodeError as error:
            raise CriError(Code.INTERNAL, f"grpc: failed to unmarshal the received message: {error}") from None

    def stream(self, service: str, method: str, request: Any) -> ServerStream:
        """A server-streaming call, sent now."""
        return ServerStream(self, service, method, request)

    async def _start(self, service: str, method: str, request: Any, timeout_s: float) -> tuple[_Call, _Connection, int]:
        connection = await self._connect()
        call = _Call()
        stream_id = connection.h2.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", f"/{PACKAGE}.{service}/{method}"),
            (":authority", "localhost"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "kogia"),
        ]
        if timeout_s:
            headers.append(("grpc-timeout", format_timeout(timeout_s)))
        data = frame(request.SerializeToString())
        try:
            connection.send_headers(stream_id, headers)
            connection.calls[stream_id] = call
            await connection.send_data(stream_id, data, end=True)
        except Gone:
            if not call.ended and not call.headers:
                self._drop(connection, stream_id)
                raise CriError(Code.UNAVAILABLE, "error reading from server: EOF") from None
        except BaseException:
            self._drop(connection, stream_id)
            raise
        return call, connection, stream_id

    def _drop(self, connection: _Connection, stream_id: int) -> None:
        """Forget a call; if it has not ended, the runtime is told to stop."""
        if connection.calls.pop(stream_id, None) is not None:
            connection.reset(stream_id)

    async def _connect(self) -> _Connection:
        if self._connection is not None and self._connection.usable:
            return self._connection
        async with self._dialling:
            if self._connection is not None and self._connection.usable:
                return self._connection
            try:
                with short_path(self.path) as name:
                    async with asyncio.timeout(DIAL_S):
                        reader, writer = await asyncio.open_unix_connection(name)
            except (OSError, TimeoutError) as error:
                reason = os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else "i/o timeout"
                text = f'connection error: desc = "transport: Error while dialing: dial unix {self.path}: connect: {reason}"'
                raise CriError(Code.UNAVAILABLE, text) from None
            connection = self._connection = _Connection(reader, writer)
            connection.start()
            self._tasks.spawn("read", connection.read())
            return connection

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.shut()
        await self._tasks.close()


class ServerStream:
    """Messages of a server-streaming call. The request leaves as soon as the loop runs, before calls made later."""

    def __init__(self, channel: Channel, service: str, method: str, request: Any) -> None:
        self._channel = channel
        self._class = methods()[f"/{PACKAGE}.{service}/{method}"][1]
        self._started = channel._tasks.spawn(method, self._open(service, method, request))
        self._ended = False

    async def _open(self, service: str, method: str, request: Any) -> tuple[_Call, _Connection, int] | CriError:
        try:
            return await self._channel._start(service, method, request, 0)
        except CriError as error:
            return error  # told at `anext`, not to the log

    def __aiter__(self) -> ServerStream:
        return self

    async def __anext__(self) -> Any:
        if self._ended:
            raise StopAsyncIteration
        try:
            started = await asyncio.shield(self._started)
        except asyncio.CancelledError:
            if self._started.cancelled():  # the channel was closed
                raise StopAsyncIteration from None
            raise
        if isinstance(started, CriError):
            self._ended = True
            raise started
        try:
            data = await started[0].next()
        except CriError:
            self._ended = True
            raise
        if data is None:
            self._ended = True
            raise StopAsyncIteration
        return self._class.FromString(data)

    async def aclose(self) -> None:
        """End the subscription. Idempotent."""
        self._ended = True
        if not self._started.done():
            self._started.cancel()
        elif not self._started.cancelled() and isinstance(started := self._started.result(), tuple):
            call, connection, stream_id = started
            call.end(None)
            self._channel._drop(connection, stream_id)


def endpoint_path(endpoint: str) -> Path:
    """The socket's path of `unix:///a/b`, `unix:/a/b` or `/a/b`. Errors: ValueError for other schemes."""
    if endpoint.startswith("/"):
        return Path(endpoint)
    parts = urlsplit(endpoint)
    if parts.scheme != "unix" or not parts.path:
        raise ValueError(f"protocol {parts.scheme or endpoint!r} not supported: use unix:///path/to.sock")
    return Path(parts.path)
