"""The handler chain: every request, from the network or from inside, passes these steps in this order, and no other way leads in.

    1  a failure of ours becomes a 500 Status, a StatusError its Status
    2  request info: what the request is about
    3  authentication (skipped when the in-process transport has set the user)
    4  impersonation
    5  in-flight limits: 429 with Retry-After instead of a collapse
    6  audit (a hook: told of the request here and of its outcome at the end)
    7  authorization
    8  the endpoint, reads under a deadline
    9  warnings become headers; metrics are counted

Reads are cut off after `READ_TIMEOUT_S`. Writes are not: cancelling one between commit and clean-up would leave allocations wrong; their
waits are bounded where they wait (store, webhooks). Source: k8s.io/apiserver pkg/server/config.go DefaultBuildHandlerChain.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from kogia.api.resources import ResourceTable
from kogia.api.status import StatusError, internal_error, status_error, too_many_requests
from kogia.apiserver.auth.attributes import Attributes, Authorizer, forbidden_error
from kogia.apiserver.auth.authenticators import Authentication
from kogia.apiserver.chain.impersonation import impersonated
from kogia.apiserver.chain.request_metrics import RequestMetrics
from kogia.apiserver.interface import RequestInfo
from kogia.apiserver.requestinfo import authorization_name, is_long_running, request_info
from kogia.wire.messages import Request, Response

log = logging.getLogger("kogia.apiserver")

READ_TIMEOUT_S = 60.0
_READS = frozenset(("get", "list", "watch", "head", "options"))
_AUDIT_PREFIX = str(uuid.uuid4())[:24]

Endpoint = Callable[[Request, RequestInfo], Awaitable[Response]]
#: (stage, request, info, status): stage is "RequestReceived" or "ResponseComplete"
AuditHook = Callable[[str, Request, RequestInfo, int], None]


@dataclass(frozen=True, slots=True)
class InFlightLimits:
    """Requests under way at once, long-running ones not counted. Nodes, masters and in-process callers are never turned away."""

    reads: int = 800
    writes: int = 400


def status_response(error: StatusError) -> Response:
    """The Status as the answer; Retry-After where the Status names one."""
    status = error.status
    headers = []
    retry = (status.get("details") or {}).get("retryAfterSeconds")
    if retry:
        headers.append(("Retry-After", str(retry)))
    code = int(status.get("code") or 500)
    if code == 401:
        headers.append(("Www-Authenticate", 'Bearer realm="kubernetes"'))
    return Response(code, headers, json.dumps(status, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")


class _Counted:
    """A stream that tells when it ends. Iterating costs nothing extra."""

    def __init__(self, stream: AsyncIterator[bytes], done: Callable[[], None]) -> None:
        self._stream = stream
        self._done = done

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()

    async def __anext__(self) -> bytes:
        return await self._stream.__anext__()

    async def aclose(self) -> None:
        done, self._done = self._done, lambda: None
        done()
        close = getattr(self._stream, "aclose", None)
        if close is not None:
            await close()


class Chain:
    """The server's `Handler`."""

    def __init__(
        self, *, table: ResourceTable, authentication: Authentication, authorizer: Authorizer, endpoint: Endpoint, metrics: RequestMetrics,
        limits: InFlightLimits | None = None, audit: AuditHook | None = None,
    ) -> None:
        self._table = table
        self._authentication = authentication
        self._authorizer = authorizer
        self._endpoint = endpoint
        self._metrics = metrics
        self._limits = limits or InFlightLimits()
        self._audit = audit
        self._serial = 0
        self.in_flight = metrics.in_flight

    async def __call__(self, request: Request) -> Response:
        started = time.monotonic()
        info = request_info(request, self._table)
        request.context["info"] = info
        try:
            response = await self._authenticated(request, info)
        except StatusError as error:
            response = status_response(error)
        except TimeoutError:
            response = status_response(status_error(504, "Timeout", f"Timeout: request did not complete within requested timeout - {READ_TIMEOUT_S:.0f}s"))
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            response = status_response(internal_error(f'an error on the server ("{info.verb}") has prevented the request from succeeding'))
        self._finish(request, info, response, started)
        return response

    async def _authenticated(self, request: Request, info: RequestInfo) -> Response:
        inside = request.user is not None
        user = request.user
        if user is None:
            user = self._authentication.user(request)
        if any(name.startswith("impersonate-") for name in request.headers):
            user = impersonated(request, user, self._authorizer)
        request.user = user
        if is_long_running(request, info):
            return await self._long_running(request, info)
        read = info.verb in _READS
        kind = ("readOnly",) if read else ("mutating",)
        running = self.in_flight.values
        count = running.get(kind, 0)
        if count >= (self._limits.reads if read else self._limits.writes) and not inside and not _exempt(user.groups):
            raise too_many_requests("Too many requests, please try again later.")
        running[kind] = count + 1
        try:
            if not read:
                return await self._authorized(request, info)
            async with asyncio.timeout(READ_TIMEOUT_S):
                return await self._authorized(request, info)
        finally:
            running[kind] -= 1

    async def _long_running(self, request: Request, info: RequestInfo) -> Response:
        response = await self._authorized(request, info)
        if response.stream is not None:
            labels = (info.verb.upper(), info.group, info.version, info.plural, info.subresource)
            gauge = self._metrics.long_running
            gauge.inc(labels)
            response.stream = _Counted(response.stream, lambda: gauge.inc(labels, -1))  # type: ignore[assignment]
        return response

    async def _authorized(self, request: Request, info: RequestInfo) -> Response:
        if self._audit is not None:
            self._audit("RequestReceived", request, info, 0)
        attributes = attributes_of(request, info)
        verdict = self._authorizer.authorize(attributes)
        if not verdict.allowed:
            raise forbidden_error(attributes, verdict.reason)
        return await self._endpoint(request, info)

    def _finish(self, request: Request, info: RequestInfo, response: Response, started: float) -> None:
        self._serial += 1
        headers = response.headers
        headers.append(("Audit-Id", request.headers.get("audit-id") or f"{_AUDIT_PREFIX}{self._serial & 0xFFFFFFFFFFFF:012x}"))
        headers.append(("Cache-Control", "no-cache, private"))
        warnings: list[str] | None = request.context.get("warnings")
        if warnings and not any(name == "Warning" for name, _ in headers):
            headers += [("Warning", f'299 - "{_quoted(w)}"') for w in dict.fromkeys(warnings)]
        self._metrics.observe(request, info, response.status, time.monotonic() - started)
        if self._audit is not None:
            self._audit("ResponseComplete", request, info, response.status)


def attributes_of(request: Request, info: RequestInfo) -> Attributes:
    """The question put to the authorizer for a request."""
    assert request.user is not None
    if not info.is_resource:
        return Attributes(request.user, info.verb, is_resource=False, path=info.path)
    selector = request.param("fieldSelector") if info.verb in ("list", "watch", "deletecollection") and "fieldSelector" in request.raw_query else ""
    return Attributes(
        request.user, info.verb, True, info.group, info.version, info.plural, info.subresource, info.namespace, authorization_name(request, info),
        field_selector=selector,
    )


def _exempt(groups: tuple[str, ...]) -> bool:
    return "system:masters" in groups or "system:nodes" in groups


def _quoted(text: str) -> str:
    """A warning's text inside quotes; line breaks and other control characters become spaces."""
    clean = "".join(" " if ord(c) < 32 or ord(c) == 127 else c for c in text)
    return clean.replace("\\", "\\\\").replace('"', '\\"').encode().decode("latin-1")


def answer(obj: Any, status: int = 200) -> Response:
    """An object as a JSON answer."""
    return Response(status, [], json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")
