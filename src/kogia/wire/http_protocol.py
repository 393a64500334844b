"""One server-side HTTP/1.1 connection: parsing, order of answers, streaming, take-over. `http_server` owns the connections.

Rules held here:
- Requests of one connection are answered in order; at most `MAX_PIPELINED` wait, then reading pauses.
- A head and body of an answer, and each chunk with its framing, go out in one `write`.
- Anything the parser refuses, and every ambiguity of framing, ends the connection with a 4xx: no second guess at where a request ends.
- A handler is never cancelled because its client left (its write may be half done); it sees `Request.closed`. A stream is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import httptools

from kogia.wire.http_head import response_head
from kogia.wire.messages import Peer, Request, Response
from kogia.wire.raw_connection import RawConnection, WriteGate

if TYPE_CHECKING:
    from kogia.wire.http_server import Server

log = logging.getLogger("kogia.wire.http")

MAX_PIPELINED = 16
MAX_EARLY_BYTES = 64 * 1024
MAX_HEADERS = 256
BIG_BODY = 256 * 1024
WRITE_HIGH = 256 * 1024
#: protocol switches a handler may be asked for; others (h2c) are ignored, as RFC 9110 lets a server do
SWITCHABLE = ("websocket", "spdy/3.1")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Refused(Exception):
    """The request cannot be taken: answer `status` and close."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class HttpProtocol(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self.server = server
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.gate: WriteGate = None  # type: ignore[assignment]
        self.peer = Peer()
        self.closed = asyncio.Event()
        self.deadline = 0.0  #: monotonic; the sweep closes the connection when it has passed; 0 = none
        self._parser: Any = httptools.HttpRequestParser(self)
        self._queue: deque[tuple[Request, bool, bool]] = deque()  #: with: keep alive, may be chunked
        self._task: asyncio.Task[None] | None = None
        self._streaming = False
        self._tls = False
        self._peer_done = False  #: the peer sends no more
        self._raw: RawConnection | None = None
        self._switching = False  #: an upgrade request was read; what follows is not HTTP
        self._early = bytearray()
        self._reading_paused = False
        self._refusal: Refused | None = None
        self._head_bytes = 0
        self._in_head = False
        self._begin()

    # -- asyncio.Protocol -------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        transport.set_write_buffer_limits(high=WRITE_HIGH)
        self.gate = WriteGate(transport)
        self._tls = transport.get_extra_info("sslcontext") is not None
        address = transport.get_extra_info("peername")
        self.peer = Peer(
            address=address[0] if isinstance(address, tuple) else "",
            certificate=transport.get_extra_info("peercert") or None,
        )
        self.deadline = time.monotonic() + self.server.limits.head_s
        self.server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.forget(self)
        self.closed.set()
        self.gate.lost()
        self._queue.clear()
        if self._raw is not None:
            self._raw.lost()
        elif self._streaming and self._task is not None:
            self._task.cancel()
        self._parser = None

    def pause_writing(self) -> None:
        self.gate.pause()

    def resume_writing(self) -> None:
        self.gate.resume()

    def eof_received(self) -> bool:
        """Half-close is honoured on plain connections while a whole answer or a raw stream is under way; TLS has none."""
        if self._raw is not None:
            self._raw.feed_eof()
            return not self._tls
        self._peer_done = True
        return self._task is not None and not self._streaming and not self._tls

    def data_received(self, data: bytes) -> None:
        if self._raw is not None:
            self._raw.feed(data)
            return
        if self._switching:
            self._hold_early(data)
            return
        if self._refusal is not None or self._parser is None:
            return
        self._parse(data)

    # -- parsing ----------------------------------------------------------------------------------------------------------

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as switch:
            rest = data[switch.args[0] :]
            if self._switching:
                self._hold_early(rest)
            else:
                self._parser = httptools.HttpRequestParser(self)
                if rest:
                    self._parse(rest)
            return
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__ if isinstance(error.__context__, Refused) else error.__cause__
            self._refuse(cause if isinstance(cause, Refused) else Refused(400, "bad request"))
            return
        except httptools.HttpParserError:
            self._refuse(Refused(400, "malformed HTTP request"))
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self.server.limits.head_bytes:
                self._refuse(Refused(431, "the request's head is too large"))

    def _begin(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._header_count = 0
        self._body: list[bytes] = []
        self._body_bytes = 0

    def on_message_begin(self) -> None:
        self._begin()
        self._in_head, self._head_bytes = True, 0
        if self._task is None:
            self.deadline = time.monotonic() + self.server.limits.head_s

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_count += 1
        if self._header_count > MAX_HEADERS:
            raise Refused(431, "too many headers")
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        if key in self._headers:
            if key in ("content-length", "transfer-encoding", "host"):
                raise Refused(400, f"repeated header {key}")
            self._headers[key] += ", " + text
        else:
            self._headers[key] = text

    def on_headers_complete(self) -> None:
        self._in_head = False
        headers = self._headers
        if "host" not in headers and self._parser.get_http_version() == "1.1":
            raise Refused(400, "missing required Host header")
        coding = headers.get("transfer-encoding")
        if coding is not None and ("content-length" in headers or coding.strip().lower() != "chunked" or self._parser.get_http_version() == "1.0"):
            raise Refused(400, "ambiguous or unsupported transfer coding")
        length = headers.get("content-length", "")
        limit = self.server.limits.body_bytes
        if length and (not length.isdigit() or int(length) > limit):
            raise Refused(413 if length.isdigit() else 400, f"Request entity too large: limit is {limit}" if length.isdigit() else "bad Content-Length")
        if self._task is None:
            self.deadline = time.monotonic() + self.server.limits.body_s
        if "expect" in headers:
            if headers["expect"].lower() != "100-continue":
                raise Refused(417, "unsupported Expect header")
            if self._task is None:
                self.transport.write(CONTINUE)

    def on_body(self, data: bytes) -> None:
        self._body_bytes += len(data)
        limit = self.server.limits.body_bytes
        if self._body_bytes > limit:
            raise Refused(413, f"Request entity too large: limit is {limit}")
        self._body.append(data)

    def on_message_complete(self) -> None:
        headers = self._headers
        url = self._url.decode("latin-1")
        if not url.startswith("/"):
            url = _origin_form(url)
        raw_path, _, query = url.partition("?")
        upgrade = False
        if "upgrade" in headers and "upgrade" in headers.get("connection", "").lower():
            upgrade = self._switching = headers["upgrade"].lower() in SWITCHABLE
        body = self._body
        request = Request(
            self._parser.get_method().decode("latin-1"),
            unquote(raw_path) if "%" in raw_path else raw_path,
            query,
            headers,
            b"" if not body else body[0] if len(body) == 1 else b"".join(body),
            self.peer,
            None,
            time.monotonic(),
            raw_path,
            self.closed,
            upgrade,
        )
        self._body = []
        if request.method == "CONNECT":
            raise Refused(405, "CONNECT is not supported")
        keep = self._parser.should_keep_alive() or upgrade
        self._queue.append((request, keep, self._parser.get_http_version() == "1.1"))
        if self._task is None:
            self.deadline = 0.0
            self._task = self.server.tasks.spawn("request", self._answer_all())
        elif len(self._queue) >= MAX_PIPELINED and not self._reading_paused:
            self._reading_paused = True
            self.transport.pause_reading()

    def _hold_early(self, data: bytes) -> None:
        self._early += data
        if len(self._early) > MAX_EARLY_BYTES and not self._reading_paused:
            self._reading_paused = True
            self.transport.pause_reading()

    def _refuse(self, why: Refused) -> None:
        """Answer after what is under way, then close."""
        self._refusal = why
        if self._task is None:
            self._write_refusal()

    def _write_refusal(self) -> None:
        why = self._refusal
        if why is None or self.transport.is_closing():
            return
        content_type, body = self.server.error_body(why.status, str(why))
        response = Response(why.status, body=body, content_type=content_type)
        self.transport.write(response_head(response, length=len(body), chunked=False, close=True) + body)
        self._close_lingering()

    def _close_lingering(self) -> None:
        """Close after the peer had a moment to read the answer: closing with unread input would reset the connection."""
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.deadline = time.monotonic() + 2.0
        else:
            self.transport.close()

    # -- answering --------------------------------------------------------------------------------------------------------

    async def _answer_all(self) -> None:
        try:
            while self._queue and not self.transport.is_closing():
                request, keep, chunked = self._queue.popleft()
                if self._reading_paused and not self._switching and len(self._queue) < MAX_PIPELINED // 2:
                    self._reading_paused = False
                    self.transport.resume_reading()
                if not await self._answer(request, keep, chunked):
                    self._queue.clear()
                    self.transport.close()
                    return
        except ConnectionError:
            self.transport.abort()
        except asyncio.CancelledError:
            self.transport.close()
            raise
        finally:
            self._task = None
        if self._refusal is not None:
            self._write_refusal()
        elif not self.transport.is_closing() and not self._in_head:
            self.deadline = time.monotonic() + self.server.limits.idle_s

    async def _answer(self, request: Request, keep: bool, chunked: bool) -> bool:
        """One exchange; True if the connection stays open for the next."""
        try:
            response = await self.server.handler(request)
        except Exception:
            log.exception("handler failed: %s %s", request.method, request.path)
            content_type, body = self.server.error_body(500, "internal error")
            response = Response(500, body=body, content_type=content_type)
        if self.transport.is_closing():
            if response.stream is not None:
                await _aclose(response.stream)
            return False
        if response.takeover is not None:
            await self._take_over(response)
            return False
        keep = keep and not request.upgrade and not self.server.closing and not self._peer_done
        if response.stream is not None:
            return await self._send_stream(request, response, keep, chunked)
        body = response.body
        bare = response.status in (204, 304) or response.status < 200
        head = response_head(response, length=None if bare else len(body), chunked=False, close=not keep)
        if bare or request.method == "HEAD":
            self.transport.write(head)
        elif len(body) < BIG_BODY:
            self.transport.write(head + body)
        else:
            self.transport.write(head)
            self.transport.write(body)
        if self.gate.blocked:
            await self.gate.wait(self.server.limits.stuck_s)
        return keep

    async def _send_stream(self, request: Request, response: Response, keep: bool, chunked: bool) -> bool:
        stream = response.stream
        assert stream is not None
        self._streaming = True
        transport, gate = self.transport, self.gate
        try:
            transport.write(response_head(response, length=None, chunked=chunked, close=not keep or not chunked))
            if request.method != "HEAD":
                async for chunk in stream:
                    if not chunk:
                        continue
                    transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
                    if gate.blocked:
                        await gate.wait(response.patience_s or self.server.limits.stuck_s)
                if chunked:
                    transport.write(b"0\r\n\r\n")
        except asyncio.CancelledError:
            if self.server.closing and chunked and not transport.is_closing():
                transport.write(b"0\r\n\r\n")
            raise
        except ConnectionError:
            transport.abort()
            return False
        except Exception:
            log.exception("stream failed: %s %s", request.method, request.path)
            transport.abort()
            return False
        finally:
            self._streaming = False
            await _aclose(stream)
        return keep and chunked

    async def _take_over(self, response: Response) -> None:
        assert response.takeover is not None
        self._raw = RawConnection(self.transport, self.gate, bytes(self._early))
        self._early.clear()
        if self._reading_paused:
            self._reading_paused = False
            self.transport.resume_reading()
        self.transport.write(response_head(response, length=None, chunked=False, close=False))
        try:
            await response.takeover(self._raw)
        except ConnectionError:
            self.transport.abort()
        except Exception:
            log.exception("taken-over connection failed")

    # -- for the server ---------------------------------------------------------------------------------------------------

    def expire(self) -> None:
        """The deadline has passed: nothing useful is going on here."""
        self.deadline = 0.0
        self.transport.close()

    def shut_down(self) -> None:
        """Graceful end: idle connections close, streams end cleanly, whole answers finish first."""
        if self._task is None:
            self.transport.close()
        elif self._streaming or self._raw is not None:
            self._task.cancel()


def _origin_form(url: str) -> str:
    """Path and query of an absolute-form target (`http://host/path`). Errors: Refused."""
    scheme, mark, rest = url.partition("://")
    if url == "*":
        return "/"
    if not mark or scheme.lower() not in ("http", "https"):
        raise Refused(400, "bad request target")
    slash = rest.find("/")
    return rest[slash:] if slash >= 0 else "/"


async def _aclose(stream: Any) -> None:
    close = getattr(stream, "aclose", None)
    if close is not None:
        with contextlib.suppress(RuntimeError, ConnectionError):
            await close()
