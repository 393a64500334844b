"""The raw byte stream that is left of an HTTP connection after a 101 answer, for servers and clients alike.

The owning protocol feeds `feed`, `feed_eof` and `lost`; the user sees only `Connection`. Reading is flow-controlled: once
`HIGH_BYTES` wait unread the transport stops reading. A TLS stream has no half-close: `write_eof` there is a no-op, and the end of
input means that the peer has closed.
"""

from __future__ import annotations

import asyncio
import socket

from kogia.wire.messages import Connection

HIGH_BYTES = 256 * 1024
#: how long a peer may take nothing of what is buffered for it before the connection is dropped
STUCK_S = 30.0
#: the same for a taken-over connection, at whose end a person may have paused the terminal; a dead host is found by TCP keep-alive
SESSION_STUCK_S = 4 * 3600.0


class WriteGate:
    """Follows a transport's pause_writing/resume_writing; `wait` returns when there is room again.

    A peer that accepts nothing at all for `STUCK_S` is taken for dead: the transport is aborted and ConnectionResetError raised.
    """

    __slots__ = ("_lost", "_paused", "_transport", "_waiter")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._paused = False
        self._lost = False
        self._waiter: asyncio.Future[None] | None = None

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def lost(self) -> None:
        self._lost = True
        self.resume()

    @property
    def blocked(self) -> bool:
        return self._paused or self._lost

    async def wait(self, stuck_s: float = STUCK_S) -> None:
        """Errors: ConnectionResetError when the connection has gone or the peer is stuck. Cancel: safe."""
        while self._paused and not self._lost:
            before = self._transport.get_write_buffer_size()
            if self._waiter is None or self._waiter.done():
                self._waiter = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._waiter], timeout=stuck_s)
            if self._paused and not self._lost and self._transport.get_write_buffer_size() >= before:
                self._transport.abort()
                raise ConnectionResetError("the peer reads nothing")
        if self._lost:
            raise ConnectionResetError("connection lost")


class RawConnection(Connection):
    """`Connection` over an asyncio transport. One reader at a time."""

    def __init__(self, transport: asyncio.Transport, gate: WriteGate, early: bytes = b"") -> None:
        self.transport = transport
        self.gate = gate
        self._buffer = bytearray(early)
        self._eof = False
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def feed(self, data: bytes) -> None:
        self._buffer += data
        self._wake()
        if len(self._buffer) > HIGH_BYTES and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def feed_eof(self) -> None:
        self._eof = True
        self._wake()

    def lost(self) -> None:
        self.feed_eof()
        self.gate.lost()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def read(self, limit: int = 65536) -> bytes:
        """At most `limit` bytes as soon as there are any; b"" at the end of the stream, again and again. Cancel: loses nothing."""
        while not self._buffer and not self._eof:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = bytes(self._buffer[:limit])
        del self._buffer[:limit]
        if self._paused and len(self._buffer) < HIGH_BYTES // 2 and not self._eof:
            self._paused = False
            self.transport.resume_reading()
        return data

    def write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    async def drain(self) -> None:
        if self.gate.blocked:
            await self.gate.wait(SESSION_STUCK_S)

    def write_eof(self) -> None:
        if not self.transport.is_closing() and self.transport.can_write_eof():
            self.transport.write_eof()

    def close(self) -> None:
        self.transport.close()
