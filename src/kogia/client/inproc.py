"""A `Transport` that is a function call: the server's handler chain in the caller's own process and loop.

The request carries a fixed `UserInfo`, so authentication is settled, and then takes the same road as one from the network:
authorization, admission, validation. Bodies cross as encoded bytes, hence no dict is ever shared with the server.
Neighbours: `rest.py` above, any `kogia.wire.messages.Handler` below.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator

from kogia.base.tasks import TaskOwner
from kogia.wire.messages import Connection, Handler, Request, Response, UserInfo

#: Bytes that may wait in one direction of an in-process connection before `drain` blocks.
HIGH_WATER = 256 * 1024


class InProcTransport:
    """Errors: ConnectionRefusedError after `close`; what the handler raises passes through (a chain turns all into answers)."""

    def __init__(self, handler: Handler, user: UserInfo) -> None:
        self._handler = handler
        self._user = user
        self._tasks = TaskOwner("inproc")
        self._closed = False

    async def send(self, request: Request) -> Response:
        response = await self._handler(self._prepared(request))
        if response.stream is not None:
            response.stream = _until_closed(response.stream, request)
        return response

    async def open(self, request: Request) -> tuple[Response, Connection | None]:
        request.upgrade = True
        response = await self._handler(self._prepared(request))
        if response.takeover is None:
            return response, None
        ours, theirs = connection_pair()
        self._tasks.spawn("takeover", _serve(response, theirs, request))
        return response, ours

    def _prepared(self, request: Request) -> Request:
        if self._closed:
            raise ConnectionRefusedError("the in-process transport is closed")
        request.user = self._user
        request.received = time.monotonic()
        request.closed = asyncio.Event()
        return request

    async def close(self) -> None:
        self._closed = True
        await self._tasks.close()


async def _until_closed(stream: AsyncIterator[bytes], request: Request) -> AsyncIterator[bytes]:
    """The stream itself; tells the server when the reader lets go, as a broken connection would."""
    try:
        async for chunk in stream:
            yield chunk
    finally:
        if request.closed is not None:
            request.closed.set()
        closer = getattr(stream, "aclose", None)
        if closer is not None:
            await closer()


async def _serve(response: Response, connection: Connection, request: Request) -> None:
    assert response.takeover is not None
    try:
        await response.takeover(connection)
    finally:
        connection.close()
        if request.closed is not None:
            request.closed.set()


class _Pipe:
    """One direction: bytes queue up, the reader takes them."""

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._changed = asyncio.Event()

    def write(self, data: bytes) -> None:
        if not self._ended and data:
            self._chunks.append(bytes(data))
            self._size += len(data)
            self._changed.set()

    def end(self) -> None:
        self._ended = True
        self._changed.set()

    async def drain(self) -> None:
        while self._size > HIGH_WATER and not self._ended:
            self._changed.clear()
            await self._changed.wait()

    async def read(self, limit: int) -> bytes:
        while not self._chunks:
            if self._ended:
                return b""
            self._changed.clear()
            await self._changed.wait()
        data = self._chunks.popleft()
        if len(data) > limit:
            self._chunks.appendleft(data[limit:])
            data = data[:limit]
        self._size -= len(data)
        self._changed.set()
        return data


class _PipeConnection(Connection):
    def __init__(self, incoming: _Pipe, outgoing: _Pipe) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    async def read(self, limit: int = 65536) -> bytes:
        return await self._incoming.read(limit)

    def write(self, data: bytes) -> None:
        self._outgoing.write(data)

    async def drain(self) -> None:
        await self._outgoing.drain()

    def write_eof(self) -> None:
        self._outgoing.end()

    def close(self) -> None:
        self._outgoing.end()
        self._incoming.end()


def connection_pair() -> tuple[Connection, Connection]:
    """Two ends of one in-process connection; what one writes the other reads."""
    there, back = _Pipe(), _Pipe()
    return _PipeConnection(back, there), _PipeConnection(there, back)
