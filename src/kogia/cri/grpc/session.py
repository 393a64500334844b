"""One served connection: HTTP/2 streams to calls and back.

Loaded at the first connection (it brings in h2 and protobuf). Invariants: each stream has one task, cancelled when the client resets the stream or
goes; a `grpc-timeout` bounds it; an error no one foresaw becomes INTERNAL for that call and is logged, the connection goes on.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from google.protobuf.message import DecodeError

from kogia.base.tasks import TaskOwner
from kogia.cri.errors import Code, CriError
from kogia.cri.grpc.calls import Calls
from kogia.cri.grpc.descriptors import methods
from kogia.cri.grpc.framing import Deframer, frame, parse_timeout, status_trailers
from kogia.cri.grpc.http2 import Gone, Http2

log = logging.getLogger("kogia.cri.grpc")

HEAD = [(":status", "200"), ("content-type", "application/grpc")]
EVENTS = "/runtime.v1.RuntimeService/GetContainerEvents"


class _Stream:
    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers
        self.deframer = Deframer()
        self.messages: list[bytes] = []
        self.task: asyncio.Task[None] | None = None
        self.head_sent = False


class Session(Http2):
    """A client of ours."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, calls: Calls) -> None:
        super().__init__(reader, writer, client=False)
        self._calls = calls
        self._streams: dict[int, _Stream] = {}
        self._tasks = TaskOwner("cri-session")

    def on_headers(self, stream_id: int, headers: list[tuple[str, str]]) -> None:
        if stream_id not in self._streams:  # else trailers of a request, which gRPC has not
            self._streams[stream_id] = _Stream(dict(headers))

    def on_data(self, stream_id: int, data: bytes) -> None:
        stream = self._streams.get(stream_id)
        if stream is None or stream.task is not None:
            return
        try:
            stream.messages += stream.deframer.feed(data)
            if len(stream.messages) > 1:
                raise CriError(Code.UNIMPLEMENTED, "grpc: this method takes one message")
        except CriError as error:
            stream.task = self._tasks.spawn("refuse", self._finish(stream_id, stream, error))

    def on_end(self, stream_id: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None and stream.task is None:
            stream.task = self._tasks.spawn(stream.headers.get(":path", "?"), self._serve(stream_id, stream))

    def on_reset(self, stream_id: int) -> None:
        stream = self._streams.pop(stream_id, None)
        if stream is not None and stream.task is not None:
            stream.task.cancel()

    def on_closed(self) -> None:
        for stream_id in list(self._streams):
            self.on_reset(stream_id)

    async def _serve(self, stream_id: int, stream: _Stream) -> None:
        error: CriError | None = None
        path = stream.headers.get(":path", "")
        try:
            timeout_s = parse_timeout(stream.headers.get("grpc-timeout", ""))
            async with asyncio.timeout(timeout_s):
                await self._call(path, stream_id, stream)
        except CriError as failure:
            error = failure
        except TimeoutError:
            error = CriError(Code.DEADLINE_EXCEEDED, "context deadline exceeded")
        except (ValueError, DecodeError) as failure:
            error = CriError(Code.INVALID_ARGUMENT, f"grpc: {failure}")
        except Gone:
            return
        except Exception as failure:  # the seam's last resort: this call fails, the server stays
            log.exception("%s failed", path)
            error = CriError(Code.INTERNAL, f"{type(failure).__name__}: {failure}")
        await self._finish(stream_id, stream, error)

    async def _call(self, path: str, stream_id: int, stream: _Stream) -> None:
        known = methods().get(path)
        name = path.rpartition("/")[2]
        if path == EVENTS:
            await self._send_events(stream_id, stream)
            return
        handler: Any = getattr(self._calls, name, None) if known is not None else None
        if known is None or handler is None:
            service = path.strip("/").rpartition("/")[0]
            raise CriError(Code.UNIMPLEMENTED, f"unknown method {name} for service {service}")
        if len(stream.messages) != 1 or stream.deframer.partial:
            raise CriError(Code.INTERNAL, "grpc: the request has no complete message")
        request_class, response_class, _ = known
        request, response = request_class.FromString(stream.messages[0]), response_class()
        await handler(request, response)
        await self._send(stream_id, stream, response)

    async def _send_events(self, stream_id: int, stream: _Stream) -> None:
        events = self._calls.events()
        self._head(stream_id, stream)
        try:
            async for event in events:
                await self._send(stream_id, stream, await self._calls.event(event))
        finally:
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()

    def _head(self, stream_id: int, stream: _Stream) -> None:
        if not stream.head_sent:
            self.send_headers(stream_id, HEAD)
            stream.head_sent = True

    async def _send(self, stream_id: int, stream: _Stream, response: Any) -> None:
        data = frame(response.SerializeToString())
        self._head(stream_id, stream)
        await self.send_data(stream_id, data)

    async def _finish(self, stream_id: int, stream: _Stream, error: CriError | None) -> None:
        self._streams.pop(stream_id, None)
        trailers = status_trailers(error)
        try:
            self.send_headers(stream_id, trailers if stream.head_sent else [*HEAD, *trailers], end=True)
        except Gone:
            return

    async def close(self) -> None:
        self.shut()
        await self._tasks.close()
