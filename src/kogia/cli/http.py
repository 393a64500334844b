"""A small synchronous HTTP/1.1 client for one server: what a command needs of http.client without its e-mail parser, a third of start-up.

Neighbour: `connection` adds Kubernetes' errors and retries. Invariant: an answer is read to its end before its connection is used again.
Source: RFC 9112 (framing by Content-Length, chunks, or the connection's end).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

MAX_LINE_BYTES = 65_536


class BrokenAnswer(ConnectionError):
    """The connection ended, or what came is no HTTP, before an answer was whole."""


class Answer:
    """Status and headers (lower-case names) of an answer, and its body piece by piece."""

    def __init__(self, status: int, headers: list[tuple[str, str]], connection: Connection) -> None:
        self.status, self.headers, self._connection = status, headers, connection

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")

    @property
    def keeps_alive(self) -> bool:
        framed = self.header("content-length") or self.header("transfer-encoding")
        return bool(framed) and "close" not in self.header("connection").lower()

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes. Errors: BrokenAnswer, OSError."""
        source = self._connection.source
        if self.status in (204, 304):
            return
        if "chunked" in self.header("transfer-encoding").lower():
            while size := _chunk_size(self._connection.line()):
                yield from self._exactly(size)
                self._connection.line()
            while self._connection.line():
                pass
        elif length := self.header("content-length"):
            yield from self._exactly(int(length))
        else:
            while piece := source.read1(65_536):
                yield piece

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self._connection.source.read1(min(size, 65_536))
            if not piece:
                raise BrokenAnswer("unexpected EOF")
            size -= len(piece)
            yield piece

    def read(self) -> bytes:
        return b"".join(self.pieces())


def _chunk_size(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError:
        raise BrokenAnswer("malformed chunked encoding") from None


class Connection:
    """One connection, opened at once. Errors: OSError, ssl.SSLError."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None, server_name: str = "", timeout_s: float | None = None) -> None:
        self._socket: socket.socket = socket.create_connection((host, port), timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            self._socket = context.wrap_socket(self._socket, server_hostname=server_name or host)
        self.source = self._socket.makefile("rb")
        self._host = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def request(self, method: str, target: str, headers: dict[str, str], body: bytes | None = None) -> Answer:
        """Send a request and read the head of its answer. Errors: BrokenAnswer, OSError."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._host}", *(f"{k}: {v}" for k, v in headers.items())]
        if body is not None or method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(body or b'')}")
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a line break in a header")
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode() + (body or b""))
        while True:
            answer = self._head()
            if answer.status >= 200:
                return answer

    def _head(self) -> Answer:
        words = self.line().split(b" ", 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
            raise BrokenAnswer("malformed HTTP response")
        headers: list[tuple[str, str]] = []
        while line := self.line():
            key, _, value = line.decode("latin-1").partition(":")
            headers.append((key.strip().lower(), value.strip()))
        return Answer(int(words[1]), headers, self)

    def line(self) -> bytes:
        """The next line without its end. Errors: BrokenAnswer at the connection's end."""
        line = self.source.readline(MAX_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise BrokenAnswer("EOF")
        return line.rstrip(b"\r\n")

    def close(self) -> None:
        self.source.close()
        self._socket.close()
