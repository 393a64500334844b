"""The order and the manners of the chain, with a stub endpoint behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from kogia.api.resources import ALL
from kogia.api.status import not_found, too_many_requests
from kogia.apiserver.auth.attributes import NO_OPINION, Attributes, Decision, Verdict
from kogia.apiserver.auth.authenticators import Authentication
from kogia.apiserver.chain import chain as chain_module
from kogia.apiserver.chain.chain import Chain, InFlightLimits
from kogia.apiserver.chain.request_metrics import RequestMetrics
from kogia.apiserver.interface import RequestInfo
from kogia.base.metrics import Registry
from kogia.wire.messages import Request, Response, UserInfo

ME = UserInfo("me", groups=("system:authenticated",))


class Allow:
    def __init__(self, *verbs: str) -> None:
        self.verbs = verbs
        self.asked: list[Attributes] = []

    def authorize(self, attributes: Attributes) -> Verdict:
        self.asked.append(attributes)
        return Verdict(Decision.ALLOW) if not self.verbs or attributes.verb in self.verbs else NO_OPINION


def make(endpoint: Callable[[Request, RequestInfo], Awaitable[Response]], authorizer: Any = None, **more: Any) -> tuple[Chain, Registry]:
    registry = Registry()
    chain = Chain(
        table=ALL, authentication=Authentication([]), authorizer=authorizer or Allow(), endpoint=endpoint, metrics=RequestMetrics(registry), **more,
    )
    return chain, registry


def get(path: str = "/api/v1/namespaces/d/pods", *, user: UserInfo | None = ME, method: str = "GET", **more: Any) -> Request:
    return Request(method, path, user=user, **more)


def status_of(response: Response) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(response.body)
    assert body["kind"] == "Status" and body["code"] == response.status
    return body


async def ok(request: Request, info: RequestInfo) -> Response:
    return Response(body=b"{}")


def test_a_refused_request_never_reaches_the_endpoint() -> None:
    reached = []

    async def endpoint(request: Request, info: RequestInfo) -> Response:
        reached.append(request)
        return Response()

    chain, _ = make(endpoint, Allow("create"))
    response = asyncio.run(chain(get(user=None)))
    assert response.status == 403 and not reached
    assert status_of(response)["message"] == 'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" in the namespace "d"'
    bad_token = asyncio.run(chain(get(user=None, headers={"authorization": "Bearer x"})))
    assert status_of(bad_token)["reason"] == "Unauthorized" and ("Www-Authenticate", 'Bearer realm="kubernetes"') in bad_token.headers


def test_status_errors_panics_and_retry_after(caplog: pytest.LogCaptureFixture) -> None:
    async def endpoint(request: Request, info: RequestInfo) -> Response:
        raise {"a": not_found("pods", "a"), "b": ValueError("secret"), "c": too_many_requests("slow", 7)}[info.name]

    chain, _ = make(endpoint)
    answers = [asyncio.run(chain(get(f"/api/v1/namespaces/d/pods/{name}"))) for name in "abc"]
    assert [a.status for a in answers] == [404, 500, 429]
    assert b"secret" not in answers[1].body and "secret" in caplog.text
    assert ("Retry-After", "7") in answers[2].headers


def test_warnings_become_headers_once_and_whole() -> None:
    async def endpoint(request: Request, info: RequestInfo) -> Response:
        request.context["warnings"] = ['say "no"', "two\r\nlines: Evil", 'say "no"']
        return Response()

    chain, _ = make(endpoint)
    response = asyncio.run(chain(get()))
    assert [v for k, v in response.headers if k == "Warning"] == ['299 - "say \\"no\\""', '299 - "two  lines: Evil"']


def test_too_many_in_flight_is_429_but_not_for_those_inside() -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def endpoint(request: Request, info: RequestInfo) -> Response:
            await gate.wait()
            return Response()

        chain, _ = make(endpoint, limits=InFlightLimits(reads=2, writes=1))
        outside = [asyncio.ensure_future(chain(get(user=None))) for _ in range(3)]
        inside = asyncio.ensure_future(chain(get()))
        write = asyncio.ensure_future(chain(get(user=None, method="POST")))
        watches = [asyncio.ensure_future(chain(get(user=None, raw_query="watch=1"))) for _ in range(5)]
        await asyncio.sleep(0.01)
        assert [f.done() for f in outside] == [False, False, True]
        assert status_of(outside[2].result())["reason"] == "TooManyRequests"
        gate.set()
        answers = await asyncio.gather(*outside, inside, write, *watches)
        assert [a.status for a in answers] == [200, 200, 429, 200, 200] + [200] * 5
        assert set(chain.in_flight.values.values()) == {0}

    asyncio.run(main())


def test_reads_have_a_deadline_and_writes_are_left_to_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_module, "READ_TIMEOUT_S", 0.02)

    async def endpoint(request: Request, info: RequestInfo) -> Response:
        await asyncio.sleep(0.05)
        return Response(201)

    chain, _ = make(endpoint)
    late = asyncio.run(chain(get()))
    assert late.status == 504 and status_of(late)["reason"] == "Timeout"
    assert asyncio.run(chain(get(method="POST"))).status == 201


def test_metrics_and_streams_are_counted() -> None:
    async def main() -> bytes:
        async def endpoint(request: Request, info: RequestInfo) -> Response:
            async def chunks() -> AsyncIterator[bytes]:
                yield b"x"

            return Response(stream=chunks()) if info.verb == "watch" else Response()

        chain, registry = make(endpoint)
        for path in ("/api/v1/pods", "/apis/made-up/v1/a", "/apis/made-up/v1/b", "/zzz"):
            await chain(get(path))
        response = await chain(get(raw_query="watch=1"))
        during = registry.render()
        assert b'apiserver_longrunning_requests{verb="WATCH",group="",version="v1",resource="pods",subresource=""} 1' in during
        assert response.stream is not None
        assert [c async for c in response.stream] == [b"x"]
        await response.stream.aclose()  # type: ignore[attr-defined]
        await response.stream.aclose()  # type: ignore[attr-defined]
        return registry.render()

    text = asyncio.run(main())
    assert b'apiserver_longrunning_requests{verb="WATCH",group="",version="v1",resource="pods",subresource=""} 0' in text
    assert b'resource="pods",scope="cluster",subresource="",verb="LIST",version="v1"} 1' in text
    assert b'resource="unknown",scope="",subresource="",verb="LIST",version=""} 2' in text
    assert b"made-up" not in text and b"zzz" not in text


def test_the_audit_hook_sees_both_ends() -> None:
    seen = []
    chain, _ = make(ok, audit=lambda stage, request, info, status: seen.append((stage, info.plural, status)))
    asyncio.run(chain(get()))
    assert seen == [("RequestReceived", "pods", 0), ("ResponseComplete", "pods", 200)]
