"""WebSocket (RFC 6455) without I/O: bytes in, messages out, frames to send as bytes.

Both sides of the conversation share the class; `client=True` masks what it sends and refuses masked input, the server the other way round.
Neighbours: remotecommand.py and portforward.py (the server's streams), kogia.client's transports (the client's).
Invariants: a message is handed out whole; its size and a frame's are bounded before memory is taken; after a protocol error nothing more is read.
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
NORMAL, PROTOCOL_ERROR, TOO_BIG, INTERNAL_ERROR = 1000, 1002, 1009, 1011
MAX_MESSAGE_BYTES = 16 << 20

_CONTINUATION = 0
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class WebSocketError(Exception):
    """The peer broke the protocol; `code` is the close code to answer with."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Message:
    """`opcode` is TEXT, BINARY, PING, PONG or CLOSE. A CLOSE's data is what followed its two-byte code, kept in `close_code`."""

    opcode: int
    data: bytes
    close_code: int = 0


def mask(data: bytes, key: bytes) -> bytes:
    """`data` XORed with the four-byte `key`; one big-integer operation, so linear and without a Python loop."""
    size = len(data)
    if not size:
        return b""
    pad = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(pad, "little")).to_bytes(size, "little")


class WebSocket:
    """The framing of one connection. `feed` takes received bytes; `message`, `ping`, `close` give bytes to send."""

    def __init__(self, *, client: bool = False, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._client = client
        self._max = max_message_bytes
        self._buffer = bytearray()
        self._parts: list[bytes] = []
        self._parts_size = 0
        self._opcode = 0
        self.close_sent = False
        self.close_received = False

    def feed(self, data: bytes) -> list[Message]:
        """The messages completed by `data`, in order. Errors: WebSocketError."""
        self._buffer += data
        messages: list[Message] = []
        at = 0
        try:
            while not self.close_received:
                frame = self._frame(at)
                if frame is None:
                    break
                at, fin, opcode, payload = frame
                message = self._control(fin, opcode, payload) if opcode >= CLOSE else self._data(fin, opcode, payload)
                if message is not None:
                    messages.append(message)
        finally:
            del self._buffer[:at]
        return messages

    def _frame(self, at: int) -> tuple[int, bool, int, bytes] | None:
        """(offset after the frame, FIN, opcode, unmasked payload), or None while it is incomplete."""
        buffer = self._buffer
        have = len(buffer) - at
        if have < 2:
            return None
        first, second = buffer[at], buffer[at + 1]
        if first & 0x70:
            raise WebSocketError(PROTOCOL_ERROR, "reserved bits are set")
        masked, size, start = bool(second & 0x80), second & 0x7F, 2
        if masked == self._client:
            raise WebSocketError(PROTOCOL_ERROR, "masked frame from a server" if self._client else "unmasked frame from a client")
        if size >= 126:
            width = 2 if size == 126 else 8
            if have < 2 + width:
                return None
            size = int.from_bytes(buffer[at + 2 : at + 2 + width], "big")
            start = 2 + width
        if size > self._max:
            raise WebSocketError(TOO_BIG, f"a frame of {size} bytes is over the limit of {self._max}")
        end = start + (4 if masked else 0) + size
        if have < end:
            return None
        payload = bytes(buffer[at + end - size : at + end])
        if masked:
            payload = mask(payload, bytes(buffer[at + start : at + start + 4]))
        return at + end, bool(first & 0x80), first & 0x0F, payload

    def _control(self, fin: bool, opcode: int, payload: bytes) -> Message:
        if not fin or len(payload) > 125 or opcode not in (CLOSE, PING, PONG):
            raise WebSocketError(PROTOCOL_ERROR, "malformed control frame")
        if opcode != CLOSE:
            return Message(opcode, payload)
        self.close_received = True
        code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
        return Message(CLOSE, payload[2:], code)

    def _data(self, fin: bool, opcode: int, payload: bytes) -> Message | None:
        if opcode == _CONTINUATION:
            if not self._opcode:
                raise WebSocketError(PROTOCOL_ERROR, "continuation of nothing")
        elif opcode not in (TEXT, BINARY):
            raise WebSocketError(PROTOCOL_ERROR, f"unknown opcode {opcode}")
        elif self._opcode:
            raise WebSocketError(PROTOCOL_ERROR, "new message inside a fragmented one")
        elif fin:
            return Message(opcode, payload)
        else:
            self._opcode = opcode
        self._parts.append(payload)
        self._parts_size += len(payload)
        if self._parts_size > self._max:
            raise WebSocketError(TOO_BIG, f"a message is over the limit of {self._max} bytes")
        if not fin:
            return None
        message = Message(self._opcode, b"".join(self._parts))
        self._parts, self._parts_size, self._opcode = [], 0, 0
        return message

    def message(self, data: bytes, opcode: int = BINARY) -> bytes:
        """One unfragmented frame."""
        size = len(data)
        bit = 0x80 if self._client else 0
        if size < 126:
            head = bytes((0x80 | opcode, bit | size))
        elif size < 65536:
            head = struct.pack("!BBH", 0x80 | opcode, bit | 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, bit | 127, size)
        if not self._client:
            return head + data
        key = os.urandom(4)
        return head + key + mask(data, key)

    def ping(self, data: bytes = b"") -> bytes:
        return self.message(data[:125], PING)

    def pong(self, data: bytes = b"") -> bytes:
        return self.message(data[:125], PONG)

    def close(self, code: int = NORMAL, reason: str = "") -> bytes:
        """A close frame; b"" if one was sent already."""
        if self.close_sent:
            return b""
        self.close_sent = True
        text = reason.encode()[:123].decode("utf-8", "ignore").encode()
        return self.message(struct.pack("!H", code) + text, CLOSE)


def accept_key(key: str) -> str:
    """`Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`."""
    return base64.b64encode(hashlib.sha1(key.strip().encode() + _GUID).digest()).decode()


def is_websocket(headers: Mapping[str, str]) -> bool:
    """Whether a request's (lower-case) headers ask for WebSocket."""
    return "upgrade" in headers.get("connection", "").lower() and headers.get("upgrade", "").lower() == "websocket"


def offered_protocols(headers: Mapping[str, str]) -> list[str]:
    return [p.strip() for p in headers.get("sec-websocket-protocol", "").split(",") if p.strip()]


def accept_headers(headers: Mapping[str, str], protocol: str = "") -> list[tuple[str, str]]:
    """The 101 answer's headers. Errors: WebSocketError when the request lacks a key or speaks another version."""
    key = headers.get("sec-websocket-key", "")
    if not key:
        raise WebSocketError(PROTOCOL_ERROR, "Sec-WebSocket-Key is missing")
    if headers.get("sec-websocket-version", "13") != "13":
        raise WebSocketError(PROTOCOL_ERROR, "only WebSocket version 13 is spoken here")
    answer = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept_key(key))]
    if protocol:
        answer.append(("Sec-WebSocket-Protocol", protocol))
    return answer


def request_headers(protocols: Sequence[str]) -> dict[str, str]:
    """What a client sends to ask for one of `protocols`, in order of preference."""
    return {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": base64.b64encode(os.urandom(16)).decode(),
        "sec-websocket-protocol": ", ".join(protocols),
    }
