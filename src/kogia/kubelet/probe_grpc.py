"""gRPC probes: one call of grpc.health.v1.Health/Check over HTTP/2 without TLS.

Neighbours: probes.py imports this at the first gRPC probe, so that a node without any does not load h2. The two messages are so small that
they are written and read by hand, which spares protobuf. Invariant: only SERVING is success.
Source: kubelet pkg/probe/grpc; grpc doc/health-checking.md; protobuf's wire format.
"""

from __future__ import annotations

import asyncio

from kogia.base.tasks import TaskOwner
from kogia.cri.errors import Code, CriError
from kogia.cri.grpc.framing import Deframer, format_timeout, frame, status_error
from kogia.cri.grpc.http2 import Gone, Http2
from kogia.kubelet.http_get import USER_AGENT, dial_failure, join

STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_CHECK = "/grpc.health.v1.Health/Check"


class _Check(Http2):
    """A connection for one call: `done` is set when it has ended, in whatever way."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer, client=True)
        self.headers: list[tuple[str, str]] = []
        self.messages: list[bytes] = []
        self.error: CriError | None = None
        self.done = asyncio.Event()
        self._deframer = Deframer()

    def on_headers(self, stream_id: int, headers: list[tuple[str, str]]) -> None:
        self.headers += headers

    def on_data(self, stream_id: int, data: bytes) -> None:
        try:
            self.messages += self._deframer.feed(data)
        except CriError as error:
            self._end(error)

    def on_end(self, stream_id: int) -> None:
        self._end(status_error(self.headers))

    def on_reset(self, stream_id: int) -> None:
        self._end(CriError(Code.CANCELLED, "stream terminated by RST_STREAM"))

    def on_closed(self) -> None:
        self._end(CriError(Code.UNAVAILABLE, "error reading from server: EOF"))

    def _end(self, error: CriError | None) -> None:
        if not self.done.is_set():
            self.error = error
            self.done.set()


async def check(host: str, port: int, service: str, timeout_s: float) -> tuple[bool, str]:
    """(healthy, in the words of Kubernetes' event). Never raises for what the server does; ends within `timeout_s`."""
    address = join(host, port)
    limit = f"{timeout_s:g}s"
    tasks = TaskOwner("grpc-probe")
    call: _Check | None = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port)
            call = _Check(reader, writer)
            call.start()
            tasks.spawn("read", call.read())
            await _ask(call, address, service, timeout_s)
            await call.done.wait()
    except TimeoutError:
        if call is None:
            return False, f'timeout: failed to connect service "{address}" within {limit}: context deadline exceeded'
        return False, f"timeout: health rpc did not complete within {limit}"
    except OSError as error:
        return False, f'error: failed to connect service at "{address}": {dial_failure(address, error)}'
    finally:
        if call is not None:
            call.shut()
        await tasks.close(1.0)
    return _verdict(call, limit)


async def _ask(call: _Check, address: str, service: str, timeout_s: float) -> None:
    stream_id = call.h2.get_next_available_stream_id()
    headers = [
        (":method", "POST"), (":scheme", "http"), (":path", _CHECK), (":authority", address), ("te", "trailers"),
        ("content-type", "application/grpc"), ("user-agent", USER_AGENT), ("grpc-timeout", format_timeout(timeout_s)),
    ]
    try:
        call.send_headers(stream_id, headers)
        await call.send_data(stream_id, frame(request(service)), end=True)
    except Gone:  # the server has ended the call already; why is in its trailers, or in that it closed
        pass


def _verdict(call: _Check, limit: str) -> tuple[bool, str]:
    error = call.error
    if error is None and not call.messages:
        error = CriError(Code.INTERNAL, "the server ended the call without an answer")
    if error is not None:
        if error.code == Code.UNIMPLEMENTED:
            return False, f"error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {error.message}"
        if error.code == Code.DEADLINE_EXCEEDED:
            return False, f"timeout: health rpc did not complete within {limit}"
        name = "".join(part.capitalize() for part in error.code.name.split("_"))
        return False, f"error: health rpc probe failed: rpc error: code = {name} desc = {error.message}"
    try:
        status = response_status(call.messages[0])
    except (IndexError, ValueError):
        return False, "error: health rpc probe failed: rpc error: code = Internal desc = grpc: failed to unmarshal the received message"
    if status == 1:
        return True, "service healthy"
    name = STATUSES[status] if status < len(STATUSES) else str(status)
    return False, f'service unhealthy (responded with "{name}")'


# -- HealthCheckRequest and HealthCheckResponse ----------------------------------------------------------------------------


def request(service: str) -> bytes:
    """A HealthCheckRequest: field 1 is the service's name, absent when empty (the server as a whole)."""
    name = service.encode()
    return b"\x0a" + _varint(len(name)) + name if name else b""


def response_status(message: bytes) -> int:
    """Field 1 of a HealthCheckResponse, 0 (UNKNOWN) when absent; other fields are skipped. Errors: IndexError, ValueError for what is none."""
    at, status = 0, 0
    while at < len(message):
        key, at = _read_varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _read_varint(message, at)
            if key >> 3 == 1:
                status = value
        elif kind == 2:
            size, at = _read_varint(message, at)
            at += size
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")
    if at > len(message):
        raise ValueError("cut short")
    return status


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while shift < 70:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
    raise ValueError("a varint longer than ten bytes")
