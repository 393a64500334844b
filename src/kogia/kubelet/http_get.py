"""One GET for probes and hooks, made by hand so that no HTTP library is loaded for it.

Neighbours: probe_checks.py, hooks.py. Invariants: certificates are not verified (the Pod is asked, not trusted); redirects are followed on the
same host only, and at most ten; nothing of the body is read. Failures are worded as Go's net/http words them, because they become events.
Source: kubelet pkg/probe/http, request.go NewProbeRequest.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

Obj = dict[str, Any]

USER_AGENT = "kube-probe/1.37"
MAX_REDIRECTS = 10
MAX_HEAD_BYTES = 64 << 10
_REDIRECTS = (301, 302, 303, 307, 308)
_URL_SAFE = "/?&=%:@!$'()*+,;~-._"


class RequestError(Exception):
    """No answer; the message is fit for an event."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    location: str = ""  #: of a redirect that was not followed, because it leads to another host


def request_url(get: Obj, host: str, port: int) -> str:
    scheme = (get.get("scheme") or "HTTP").lower()
    path = quote((get.get("path") or "/").partition("#")[0], safe=_URL_SAFE)
    return f"{scheme}://{join(host, port)}{path if path.startswith('/') else '/' + path}"


def join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def dial_failure(address: str, error: OSError) -> str:
    """As Go says it: `dial tcp 10.0.0.1:80: connect: connection refused`."""
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {address.rpartition(':')[0]}: no such host"
    if isinstance(error, TimeoutError):
        return f"dial tcp {address}: i/o timeout"
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    return f"dial tcp {address}: connect: {reason}"


def headers_of(get: Obj, host: str, port: int) -> list[tuple[str, str]]:
    """The request's headers: what the user gives goes before our own, names may repeat; an empty Accept or User-Agent leaves it out."""
    given = [(h["name"], str(h.get("value") or "")) for h in get.get("httpHeaders") or []]
    names = {name.lower() for name, _ in given}
    own = [("Host", join(host, port)), ("User-Agent", USER_AGENT), ("Accept", "*/*")]
    kept = [(n, v) for n, v in given if v or n.lower() not in ("accept", "user-agent")]
    return [(n, v) for n, v in own if n.lower() not in names] + kept + [("Connection", "close")]


async def http_get(get: Obj, host: str, port: int) -> Answer:
    """The answer to an HTTPGetAction. Errors: RequestError; the caller bounds the time."""
    url = request_url(get, host, port)
    first = urlsplit(url)
    for _ in range(MAX_REDIRECTS):
        status, location = await _once(url, headers_of(get, urlsplit(url).hostname or host, _port(url)))
        if status not in _REDIRECTS or not location:
            return Answer(status)
        target = urljoin(url, location)
        parts = urlsplit(target)
        if parts.hostname != first.hostname or parts.scheme not in ("http", "https"):
            return Answer(status, location)
        url = target
    raise RequestError(f'Get "{url}": stopped after {MAX_REDIRECTS} redirects')


def _port(url: str) -> int:
    parts = urlsplit(url)
    try:
        return parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise RequestError(f'Get "{url}": {error}') from None


@lru_cache(1)
def _no_verification() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def _once(url: str, headers: list[tuple[str, str]]) -> tuple[int, str]:
    """(status, Location). Errors: RequestError."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", _port(url)
    target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_URL_SAFE)
    context = _no_verification() if parts.scheme == "https" else None
    writer: asyncio.StreamWriter | None = None
    try:
        reader, writer = await asyncio.open_connection(host, port, ssl=context, limit=MAX_HEAD_BYTES)
        writer.write("\r\n".join([f"GET {target} HTTP/1.1", *(f"{n}: {v}" for n, v in headers), "", ""]).encode("utf-8"))
        while (found := _head(await reader.readuntil(b"\r\n\r\n")))[0] < 200:  # 100 Continue and its like come before the answer
            pass
        return found
    except asyncio.IncompleteReadError as error:
        raise RequestError(f'Get "{url}": ' + ("malformed HTTP response" if error.partial else "EOF")) from None
    except (ValueError, IndexError, asyncio.LimitOverrunError):
        raise RequestError(f'Get "{url}": malformed HTTP response') from None
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).replace("_", " ").lower()
        raise RequestError(f'Get "{url}": tls: {reason}') from None
    except OSError as error:
        why = dial_failure(join(host, port), error) if writer is None else f"read tcp {join(host, port)}: {os.strerror(error.errno or 0).lower()}"
        raise RequestError(f'Get "{url}": {why}') from None
    finally:
        if writer is not None:
            writer.transport.abort()  # the body is not wanted, and TLS would wait for the peer's goodbye


def _head(head: bytes) -> tuple[int, str]:
    """Errors: ValueError, IndexError."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, status = first.split()[:2]
    if not version.startswith("HTTP/"):
        raise ValueError(first)
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(status), fields.get("location", "")
