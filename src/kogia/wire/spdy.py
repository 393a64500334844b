"""SPDY/3.1 framing without I/O, as far as Kubernetes' exec, attach and port-forward use it.

kubectl before 1.31 and every Go client of that age speak it (moby/spdystream underneath). That library neither sends nor minds window
updates, so flow control here is the TCP connection's; WINDOW_UPDATE and SETTINGS are read and dropped.
Neighbours: spdy_connection.py gives it a connection. Invariants: one zlib stream per direction for the header blocks, in the order of
frames on the wire, hence every frame must be fed and every returned frame sent; sizes are bounded before memory is taken.
Source: SPDY Protocol Draft 3.1 (chromium.org), sections 2.2 to 2.6.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

FLAG_FIN = 1
PROTOCOL_ERROR, INVALID_STREAM, REFUSED_STREAM, CANCEL = 1, 2, 3, 5
MAX_FRAME_BYTES = 16 << 20
MAX_HEADER_BYTES = 64 << 10
MAX_DATA_BYTES = 32 << 10  #: of one DATA frame sent

_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _HEADERS, _WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9

_WORD_LIST = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow authorization "
    "cache-control connection content-base content-encoding content-language content-length content-location content-md5 content-range "
    "content-type date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified "
    "location max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding "
    "upgrade user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie keep-alive origin"
)
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found"
    "500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 "
    "Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,"
    "text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(struct.pack("!I", len(w)) + w for w in (w.replace("_", " ").encode() for w in _WORD_LIST.split())) + _TAIL.encode()
"""The header compressor's preset dictionary; its Adler-32, which every stream names, is 0xE3C6A7C2."""


class SpdyError(Exception):
    """The peer broke the protocol: the connection cannot go on."""


@dataclass(frozen=True, slots=True)
class SynStream:
    stream_id: int
    headers: dict[str, str] = field(default_factory=dict)
    fin: bool = False


@dataclass(frozen=True, slots=True)
class SynReply:
    stream_id: int
    headers: dict[str, str] = field(default_factory=dict)
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Data:
    stream_id: int
    data: bytes
    fin: bool = False


@dataclass(frozen=True, slots=True)
class RstStream:
    stream_id: int
    status: int


@dataclass(frozen=True, slots=True)
class Ping:
    id: int


@dataclass(frozen=True, slots=True)
class GoAway:
    last_stream_id: int


Event = SynStream | SynReply | Data | RstStream | Ping | GoAway


class Spdy:
    """One connection's two directions. `feed` takes received bytes; the other methods give bytes to send, which must go out in that order."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def feed(self, data: bytes) -> list[Event]:
        """What `data` completed, in order; frames of no concern are left out. Errors: SpdyError."""
        self._buffer += data
        events: list[Event] = []
        at = 0
        while len(self._buffer) - at >= 8:
            word, rest = struct.unpack_from("!II", self._buffer, at)
            flags, size = rest >> 24, rest & 0xFFFFFF
            if size > MAX_FRAME_BYTES:
                raise SpdyError(f"a frame of {size} bytes is over the limit")
            if len(self._buffer) - at < 8 + size:
                break
            payload = bytes(self._buffer[at + 8 : at + 8 + size])
            at += 8 + size
            if word & 0x80000000:
                event = self._control((word >> 16) & 0x7FFF, word & 0xFFFF, flags, payload)
                if event is not None:
                    events.append(event)
            else:
                events.append(Data(word, payload, bool(flags & FLAG_FIN)))
        del self._buffer[:at]
        return events

    def _control(self, version: int, kind: int, flags: int, payload: bytes) -> Event | None:
        if version != 3:
            raise SpdyError(f"SPDY version {version} is not spoken here")
        fin = bool(flags & FLAG_FIN)
        try:
            if kind == _SYN_STREAM:
                return SynStream(_stream_id(payload), self._headers(payload[10:]), fin)
            if kind == _SYN_REPLY:
                return SynReply(_stream_id(payload), self._headers(payload[4:]), fin)
            if kind == _HEADERS:
                self._headers(payload[4:])
                return None
            if kind == _RST_STREAM:
                return RstStream(*struct.unpack("!II", payload[:8]))
            if kind == _PING:
                return Ping(struct.unpack("!I", payload[:4])[0])
            if kind == _GOAWAY:
                return GoAway(_stream_id(payload))
        except (struct.error, zlib.error, UnicodeDecodeError) as error:
            raise SpdyError(f"malformed frame of type {kind}: {error}") from error
        return None

    def _headers(self, block: bytes) -> dict[str, str]:
        raw = self._inflate.decompress(block, MAX_HEADER_BYTES)
        if self._inflate.unconsumed_tail:
            raise SpdyError("a header block is too large")
        (count,) = struct.unpack_from("!I", raw)
        at = 4
        headers: dict[str, str] = {}
        for _ in range(count):
            pair = []
            for _part in range(2):
                (size,) = struct.unpack_from("!I", raw, at)
                if at + 4 + size > len(raw):
                    raise SpdyError("a header runs over its block")
                pair.append(raw[at + 4 : at + 4 + size].decode())
                at += 4 + size
            headers[pair[0].lower()] = pair[1].split("\0")[0]
        return headers

    def _block(self, headers: Mapping[str, str]) -> bytes:
        raw = [struct.pack("!I", len(headers))]
        for name, value in headers.items():
            for part in (name.lower().encode(), value.encode()):
                raw += [struct.pack("!I", len(part)), part]
        return self._deflate.compress(b"".join(raw)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def syn_stream(self, stream_id: int, headers: Mapping[str, str], *, fin: bool = False) -> bytes:
        """Opens a stream: odd ids for clients, even ones for servers, rising."""
        return _frame(_SYN_STREAM, fin, struct.pack("!IIH", stream_id, 0, 0) + self._block(headers))

    def syn_reply(self, stream_id: int, headers: Mapping[str, str] | None = None, *, fin: bool = False) -> bytes:
        return _frame(_SYN_REPLY, fin, struct.pack("!I", stream_id) + self._block(headers or {}))

    def data(self, stream_id: int, data: bytes, *, fin: bool = False) -> bytes:
        """One or several DATA frames; the last carries FIN if asked for."""
        if len(data) <= MAX_DATA_BYTES:
            return struct.pack("!II", stream_id, (FLAG_FIN if fin else 0) << 24 | len(data)) + data
        parts = []
        for start in range(0, len(data), MAX_DATA_BYTES):
            piece = data[start : start + MAX_DATA_BYTES]
            last = fin and start + len(piece) == len(data)
            parts += [struct.pack("!II", stream_id, (FLAG_FIN if last else 0) << 24 | len(piece)), piece]
        return b"".join(parts)

    def rst_stream(self, stream_id: int, status: int = CANCEL) -> bytes:
        return _frame(_RST_STREAM, False, struct.pack("!II", stream_id, status))

    def ping(self, id: int) -> bytes:
        return _frame(_PING, False, struct.pack("!I", id))

    def goaway(self, last_stream_id: int, status: int = 0) -> bytes:
        return _frame(_GOAWAY, False, struct.pack("!II", last_stream_id, status))


def _stream_id(payload: bytes) -> int:
    return int(struct.unpack_from("!I", payload)[0]) & 0x7FFFFFFF


def _frame(kind: int, fin: bool, payload: bytes) -> bytes:
    return struct.pack("!HHI", 0x8003, kind, (FLAG_FIN if fin else 0) << 24 | len(payload)) + payload
