"""gRPC's wire words: length-prefixed messages, statuses in trailers, deadlines. Pure.

Source: grpc/grpc doc/PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from urllib.parse import quote, unquote

from kogia.cri.errors import Code, CriError

MAX_MESSAGE_BYTES = 16 << 20
_PREFIX = struct.Struct(">BI")
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
#: printable ASCII but %, as PROTOCOL-HTTP2 asks
_UNQUOTED = "".join(chr(c) for c in range(0x20, 0x7F) if chr(c) != "%")


def frame(message: bytes) -> bytes:
    """One uncompressed message. Errors: CriError RESOURCE_EXHAUSTED when it is too large to send."""
    if len(message) > MAX_MESSAGE_BYTES:
        raise CriError(Code.RESOURCE_EXHAUSTED, f"grpc: trying to send message larger than max ({len(message)} vs. {MAX_MESSAGE_BYTES})")
    return _PREFIX.pack(0, len(message)) + message


class Deframer:
    """Cuts a stream into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The messages complete now. Errors: CriError for compressed or oversized ones."""
        self._buffer += data
        found = []
        while len(self._buffer) >= _PREFIX.size:
            compressed, size = _PREFIX.unpack_from(self._buffer)
            if compressed:
                raise CriError(Code.UNIMPLEMENTED, "grpc: compressed messages are not supported")
            if size > MAX_MESSAGE_BYTES:
                raise CriError(Code.RESOURCE_EXHAUSTED, f"grpc: received message larger than max ({size} vs. {MAX_MESSAGE_BYTES})")
            if len(self._buffer) < _PREFIX.size + size:
                break
            found.append(bytes(self._buffer[_PREFIX.size : _PREFIX.size + size]))
            del self._buffer[: _PREFIX.size + size]
        return found

    @property
    def partial(self) -> bool:
        """Bytes of an unfinished message are waiting."""
        return bool(self._buffer)


def parse_timeout(value: str) -> float | None:
    """Seconds of a `grpc-timeout` header; None when there is none. Errors: ValueError."""
    if not value:
        return None
    if value[-1] not in _UNITS or not value[:-1].isdigit() or len(value) > 9:
        raise ValueError(f"malformed grpc-timeout {value!r}")
    return int(value[:-1]) * _UNITS[value[-1]]


def format_timeout(seconds: float) -> str:
    """At most eight digits, rounded up so that no deadline becomes zero."""
    for unit, scale in (("m", 1e-3), ("S", 1.0), ("M", 60.0), ("H", 3600.0)):
        count = max(1, math.ceil(round(seconds / scale, 6)))
        if count < 100_000_000:
            return f"{count}{unit}"
    return "99999999H"


def status_trailers(error: CriError | None = None) -> list[tuple[str, str]]:
    if error is None:
        return [("grpc-status", "0")]
    trailers = [("grpc-status", str(error.code.value))]
    if error.message:
        trailers.append(("grpc-message", quote(error.message, safe=_UNQUOTED)))
    return trailers


def status_error(headers: Iterable[tuple[str, str]]) -> CriError | None:
    """The error that trailers (or a trailers-only answer) tell; None for success."""
    fields = dict(headers)
    status = fields.get("grpc-status")
    if status is None:
        http = fields.get(":status", "200")
        text = (
            "server closed the stream without sending trailers"
            if http == "200"
            else f"unexpected HTTP status code received from server: {http}"
        )
        return CriError(Code.INTERNAL if http == "200" else Code.UNAVAILABLE, text)
    if status == "0":
        return None
    try:
        code = Code(int(status))
    except ValueError:
        code = Code.UNKNOWN
    return CriError(code, unquote(fields.get("grpc-message", "")))
