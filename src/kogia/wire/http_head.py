"""Heads of HTTP/1.1 messages as bytes: pure, shared by server and client.

Header values that carry a line break are a fault of the program and raise ValueError: nothing may be smuggled into a head.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus

from kogia.wire.messages import Request, Response

_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n" for s in HTTPStatus}
_date_at = 0
_date_text = ""

#: headers that belong to one hop only and are never forwarded (RFC 9110, 7.6.1)
HOP_HEADERS = frozenset(
    ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)


def _date() -> str:
    global _date_at, _date_text
    now = int(time.time())
    if now != _date_at:
        _date_at, _date_text = now, formatdate(now, usegmt=True)
    return _date_text


def header_lines(headers: Iterable[tuple[str, str]]) -> str:
    """`Name: value` lines. Errors: ValueError for a line break inside."""
    text = ""
    for name, value in headers:
        line = f"{name}: {value}"
        if "\r" in line or "\n" in line:
            raise ValueError(f"line break in header {name!r}")
        text += line + "\r\n"
    return text


def response_head(response: Response, *, length: int | None, chunked: bool, close: bool) -> bytes:
    """The head of an answer. `length` None and not `chunked`: no framing header (101, 204, 304, or until close)."""
    status = response.status
    text = _LINES.get(status) or f"HTTP/1.1 {status} Status\r\n"
    if response.headers:
        text += header_lines(response.headers)
    if length is not None:
        if length or response.content_type:
            text += f"Content-Type: {response.content_type}\r\n" if response.content_type else ""
        text += f"Content-Length: {length}\r\n"
    elif chunked:
        text += "Transfer-Encoding: chunked\r\n"
    if length is None and response.stream is not None and response.content_type:
        text += f"Content-Type: {response.content_type}\r\n"
    text += f"Date: {_date()}\r\nConnection: close\r\n\r\n" if close else f"Date: {_date()}\r\n\r\n"
    return text.encode("latin-1", "replace")


def request_head(request: Request, target: str, host: str) -> bytes:
    """The head of a request; `target` is path and query as they go on the wire. Errors: ValueError for a bad target or header."""
    if any(c <= " " or c == "\x7f" for c in target):
        raise ValueError("white space in the request target")
    headers = request.headers
    text = f"{request.method} {target} HTTP/1.1\r\n"
    if "host" not in headers:
        text += f"Host: {host}\r\n"
    text += header_lines(headers.items())
    if request.body or request.method in ("POST", "PUT", "PATCH"):
        if "content-length" not in headers:
            text += f"Content-Length: {len(request.body)}\r\n"
    return (text + "\r\n").encode("latin-1", "replace")
