"""What an HTTP exchange is inside Kogia, with or without a network under it.

A handler is `async (Request) -> Response`. The HTTP server makes a `Request` from a connection and writes the `Response` to it; the
in-process transport makes the same `Request` with `user` set and hands the `Response` straight to the caller.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs


@dataclass(frozen=True, slots=True)
class UserInfo:
    """Who asks; `authentication.k8s.io` UserInfo."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection."""

    address: str = ""  #: IP, no port; "" for in-process callers
    certificate: dict[str, Any] | None = None  #: what `ssl.SSLObject.getpeercert()` gave for a verified client certificate


@dataclass(slots=True)
class Request:
    method: str
    path: str  #: percent-decoded, without the query
    raw_query: str = ""
    headers: dict[str, str] = field(default_factory=dict)  #: lower-case names; repeated headers joined by ", "
    body: bytes = b""
    peer: Peer = field(default_factory=Peer)
    user: UserInfo | None = None  #: set by the in-process transport, or by the authenticator
    received: float = 0.0  #: monotonic seconds at which the request's head was complete
    raw_path: str = ""  #: as on the wire, for proxying
    closed: asyncio.Event | None = None  #: set when the client has gone (connections only)
    upgrade: bool = False  #: the client asks for a protocol switch; answer with `Response.takeover`
    context: dict[str, Any] = field(default_factory=dict)  #: for the handler chain: request info, audit, warnings
    _query: dict[str, list[str]] | None = None

    @property
    def query(self) -> dict[str, list[str]]:
        """Query parameters in order of appearance per name; empty values kept."""
        if self._query is None:
            self._query = parse_qs(self.raw_query, keep_blank_values=True) if self.raw_query else {}
        return self._query

    def param(self, name: str, default: str = "") -> str:
        values = self.query.get(name)
        return values[0] if values else default


class Connection(ABC):
    """A raw byte stream taken over from an HTTP connection after a 101 answer (WebSocket, SPDY, a tunnel)."""

    @abstractmethod
    async def read(self, limit: int = 65536) -> bytes:
        """Up to `limit` bytes, at least one; b"" at end of stream. Errors: OSError when the connection broke."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Buffers without bound: follow it with `drain`."""

    @abstractmethod
    async def drain(self) -> None:
        """Wait until there is room in the buffer. Errors: OSError when the connection broke."""

    @abstractmethod
    def write_eof(self) -> None:
        """Say that no more will be written, where the transport can (TLS cannot)."""

    @abstractmethod
    def close(self) -> None:
        """Idempotent; what was written is still sent."""


@dataclass(slots=True)
class Response:
    """Exactly one of `body`, `stream` and `takeover` speaks.

    body: the whole answer. stream: chunks, each sent at once (chunked encoding on a connection). takeover: called with the raw
    connection after a head of `status` and `headers` (normally 101) has been written; the exchange ends when it returns.
    """

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    content_type: str = "application/json"
    stream: AsyncIterator[bytes] | None = None
    takeover: Callable[[Connection], Awaitable[None]] | None = None
    patience_s: float = 0.0  #: how long a reader of `stream` may take nothing (a person at a pager); 0 = the server's limit


Handler = Callable[[Request], Awaitable[Response]]
