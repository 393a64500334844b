"""The channels of an exec or attach as the two wire formats carry them: one shape for remotecommand.py.

WebSocket: each message starts with its channel (0 stdin, 1 stdout, 2 stderr, 3 error, 4 resize, from v5 on 255 = "close this channel").
SPDY: one stream each, told apart by the header `streamtype`.
Invariants: `start` returns when output may be sent; `receive` gives `Gone` when the client has closed, and must then not be called again;
`finish` ends output and sends the status.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

from kogia.base.tasks import TaskOwner
from kogia.wire import websocket
from kogia.wire.messages import Connection
from kogia.wire.spdy import SpdyError
from kogia.wire.spdy_connection import SpdyConnection, SpdyStream

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE_SIGNAL = 0, 1, 2, 3, 4, 255


@dataclass(frozen=True, slots=True)
class Stdin:
    data: bytes


@dataclass(frozen=True, slots=True)
class StdinClosed:
    """The client will send no more; the process sees the end of its stdin."""


@dataclass(frozen=True, slots=True)
class Resize:
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Gone:
    """The client closed the connection."""


Received = Stdin | StdinClosed | Resize | Gone


class Channels(Protocol):
    gone: bool

    async def start(self) -> None:
        """Errors: TimeoutError, OSError."""

    async def receive(self) -> Received: ...

    async def output(self, channel: int, data: bytes) -> None:
        """Waits for room. Errors: OSError."""

    async def finish(self, status: dict[str, Any]) -> None: ...

    async def close(self) -> None: ...


def _resize(data: bytes) -> Resize | None:
    try:
        size = json.loads(data)
        return Resize(int(size["Width"]), int(size["Height"]))
    except (ValueError, KeyError, TypeError):
        return None


def _decode(data: bytes) -> bytes:
    try:
        return base64.b64decode(data)
    except ValueError as error:
        raise websocket.WebSocketError(1007, "not base64") from error


def _status_bytes(status: dict[str, Any], with_json: bool) -> bytes:
    """From v4 on the whole Status; before it only a failure's text."""
    if with_json:
        return json.dumps(status, separators=(",", ":")).encode()
    return b"" if status.get("status") == "Success" else str(status.get("message", "")).encode()


class WebSocketChannels:
    def __init__(self, connection: Connection, protocol: str, *, stdout: bool, stderr: bool) -> None:
        self.gone = False
        self._connection = connection
        self._framing = websocket.WebSocket()
        self._base64 = "base64" in protocol
        self._json = protocol.startswith(("v4", "v5"))
        self._half_close = protocol.startswith("v5")
        self._first = STDOUT if stdout else STDERR if stderr else ERROR
        self._pending: list[Received] = []

    async def start(self) -> None:
        """An empty message tells the client that the connection stands, as Kubernetes does."""
        await self._send(self._first, b"")

    async def _send(self, channel: int, data: bytes) -> None:
        if self._base64:
            frame = self._framing.message(str(channel).encode() + base64.b64encode(data), websocket.TEXT)
        else:
            frame = self._framing.message(bytes((channel,)) + data)
        self._connection.write(frame)
        await self._connection.drain()

    async def output(self, channel: int, data: bytes) -> None:
        await self._send(channel, data)

    async def receive(self) -> Received:
        while not self._pending:
            data = await self._connection.read()
            if not data:
                return Gone()
            try:
                messages = self._framing.feed(data)
            except websocket.WebSocketError as error:
                self._connection.write(self._framing.close(error.code, str(error)))
                raise
            for message in messages:
                received = await self._received(message)
                if received is not None:
                    self._pending.append(received)
        return self._pending.pop(0)

    async def _received(self, message: websocket.Message) -> Received | None:
        if message.opcode == websocket.CLOSE:
            self._connection.write(self._framing.close(websocket.NORMAL))
            return Gone()
        if message.opcode == websocket.PING:
            self._connection.write(self._framing.pong(message.data))
            await self._connection.drain()
            return None
        if message.opcode == websocket.PONG or not message.data:
            return None
        channel, data = message.data[0], message.data[1:]
        if self._base64:
            channel, data = channel - ord("0"), _decode(data)
        if channel == STDIN:
            return Stdin(data) if data else None
        if channel == RESIZE:
            return _resize(data)
        if channel == CLOSE_SIGNAL and self._half_close and data[:1] == b"\0":
            return StdinClosed()
        return None

    async def finish(self, status: dict[str, Any]) -> None:
        body = _status_bytes(status, self._json)
        if body:
            await self._send(ERROR, body)
        self._connection.write(self._framing.close(websocket.NORMAL))
        await self._connection.drain()

    async def close(self) -> None:
        self._connection.close()


class SpdyChannels:
    def __init__(
        self, connection: Connection, protocol: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool, start_s: float
    ) -> None:
        self.gone = False
        self._connection = SpdyConnection(connection)
        self._json = protocol.startswith("v4")
        self._expected = {"error"} | {n for n, on in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)) if on}
        if tty and protocol.startswith(("v3", "v4")):
            self._expected.add("resize")
        self._start_s = start_s
        self._streams: dict[str, SpdyStream] = {}
        self._tasks = TaskOwner("spdy-channels")
        self._received: asyncio.Queue[Received] = asyncio.Queue(maxsize=16)

    async def start(self) -> None:
        incoming = self._connection.streams()
        async with asyncio.timeout(self._start_s):
            while not self._expected <= self._streams.keys():
                try:
                    stream = await anext(incoming)
                except (StopAsyncIteration, SpdyError) as error:
                    raise ConnectionError("the client went before it had opened its streams") from error
                self._streams[stream.headers.get("streamtype", "").lower()] = stream
        self._tasks.spawn("frames", self._pump(incoming))
        if "stdin" in self._expected:
            self._tasks.spawn("stdin", self._read_stdin())
        if "resize" in self._expected:
            self._tasks.spawn("resize", self._read_resizes())

    async def _pump(self, incoming: AsyncIterator[SpdyStream]) -> None:
        """Deliver frames until the connection ends; further streams are not wanted."""
        try:
            async for stream in incoming:
                await self._connection.send(self._connection.framing.rst_stream(stream.id))
                self._connection.forget(stream)
        except (OSError, SpdyError):
            pass  # told below, as every other end
        finally:
            self.gone = True
            while self._received.full():
                self._received.get_nowait()
            self._received.put_nowait(Gone())

    async def _read_stdin(self) -> None:
        while data := await self._streams["stdin"].read():
            await self._received.put(Stdin(data))
        await self._received.put(StdinClosed())

    async def _read_resizes(self) -> None:
        """Sizes come as JSON objects one after another, not aligned with frames."""
        text = b""
        while data := await self._streams["resize"].read():
            text = (text + data)[-4096:]
            while (end := text.find(b"}")) >= 0:
                resize = _resize(text[: end + 1])
                text = text[end + 1 :].lstrip()
                if resize is not None:
                    await self._received.put(resize)

    async def receive(self) -> Received:
        return await self._received.get()

    async def output(self, channel: int, data: bytes) -> None:
        stream = self._streams.get("stdout" if channel == STDOUT else "stderr")
        if self.gone:
            raise ConnectionError("the client has gone")
        if stream is not None:
            await stream.write(data)

    async def finish(self, status: dict[str, Any]) -> None:
        for name in ("stdout", "stderr"):
            if name in self._streams:
                await self._streams[name].close_write()
        error = self._streams["error"]
        body = _status_bytes(status, self._json)
        await self._connection.send(self._connection.framing.data(error.id, body, fin=True))

    async def close(self) -> None:
        self._connection.close()
        await self._tasks.close()
