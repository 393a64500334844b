"""A SPDY/3.1 connection with its streams, on top of the framing in spdy.py.

Neighbours: remotecommand.py and portforward.py, which are given the streams a client opens.
Invariants: what a client has sent and nobody has read yet is bounded over all streams of a connection (`MAX_UNREAD_BYTES`); beyond it the
connection is not read, which is the only back-pressure the protocol's Kubernetes dialect has. Frames go out whole and in order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Protocol

from kogia.wire import spdy

MAX_UNREAD_BYTES = 4 << 20
READ_BYTES = 64 << 10


class ByteStream(Protocol):
    """What is needed of `messages.Connection`; a WebSocket tunnel offers the same."""

    async def read(self, limit: int = 65536) -> bytes: ...

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...

    def close(self) -> None: ...


class SpdyStream:
    """One stream a client opened. `headers` have lower-case names."""

    def __init__(self, connection: SpdyConnection, stream_id: int, headers: dict[str, str]) -> None:
        self.id = stream_id
        self.headers = headers
        self._connection = connection
        self._chunks: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._ended = False
        self._fin_sent = False

    async def read(self) -> bytes:
        """The next bytes in order; b"" when the client has closed or reset the stream, or the connection is gone."""
        while not self._chunks:
            if self._ended:
                return b""
            self._wake.clear()
            await self._wake.wait()
        chunk = self._chunks.popleft()
        self._connection._took(len(chunk))
        return chunk

    async def write(self, data: bytes) -> None:
        """Errors: OSError once the connection is gone. Data after `close_write` is dropped."""
        if not self._fin_sent and data:
            await self._connection.send(self._connection.framing.data(self.id, data))

    async def close_write(self) -> None:
        if not self._fin_sent:
            self._fin_sent = True
            await self._connection.send(self._connection.framing.data(self.id, b"", fin=True))

    def _put(self, data: bytes, fin: bool) -> int:
        if self._ended:
            return 0
        if data:
            self._chunks.append(data)
        if fin:
            self._ended = True
        self._wake.set()
        return len(data)

    def _end(self) -> None:
        self._ended = True
        self._wake.set()


class SpdyConnection:
    """The server's side. Iterate `streams()` to be given each stream the client opens; it ends with the connection."""

    def __init__(self, connection: ByteStream) -> None:
        self.framing = spdy.Spdy()
        self._connection = connection
        self._streams: dict[int, SpdyStream] = {}
        self._unread = 0
        self._room = asyncio.Event()
        self._room.set()
        self._last_id = 0
        self.gone = False

    async def streams(self) -> AsyncIterator[SpdyStream]:
        """Accepts (SYN_REPLY) and yields new streams, and delivers data meanwhile: it must be iterated for anything to arrive."""
        try:
            while data := await self._connection.read(READ_BYTES):
                for event in self.framing.feed(data):
                    stream = await self._handle(event)
                    if stream is not None:
                        yield stream
                if self._unread > MAX_UNREAD_BYTES:
                    self._room.clear()
                    await self._room.wait()
        except OSError:
            pass  # gone is gone; the finally clause tells everybody
        finally:
            self.gone = True
            for stream in self._streams.values():
                stream._end()

    async def _handle(self, event: spdy.Event) -> SpdyStream | None:
        if isinstance(event, spdy.SynStream):
            stream = SpdyStream(self, event.stream_id, event.headers)
            self._streams[event.stream_id] = stream
            self._last_id = max(self._last_id, event.stream_id)
            if event.fin:
                stream._end()
            await self.send(self.framing.syn_reply(event.stream_id))
            return stream
        if isinstance(event, spdy.Data):
            known = self._streams.get(event.stream_id)
            if known is None:
                await self.send(self.framing.rst_stream(event.stream_id, spdy.INVALID_STREAM))
            else:
                self._unread += known._put(event.data, event.fin)
        elif isinstance(event, spdy.RstStream):
            known = self._streams.pop(event.stream_id, None)
            if known is not None:
                known._end()
        elif isinstance(event, spdy.Ping) and event.id % 2 == 1:
            await self.send(self.framing.ping(event.id))
        return None

    def forget(self, stream: SpdyStream) -> None:
        """A stream both sides are done with; what is unread of it no longer counts."""
        self._streams.pop(stream.id, None)
        stream._end()
        while stream._chunks:
            self._took(len(stream._chunks.popleft()))

    def _took(self, size: int) -> None:
        self._unread -= size
        if self._unread <= MAX_UNREAD_BYTES:
            self._room.set()

    async def send(self, data: bytes) -> None:
        """Errors: OSError."""
        self._connection.write(data)
        await self._connection.drain()

    def close(self) -> None:
        self._connection.close()
