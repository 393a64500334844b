"""pods/proxy and services/proxy: which address, and what happens to headers on the way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kogia.api.resources import ALL
from kogia.api.status import StatusError
from kogia.apiserver.endpoints.address_proxy import AddressProxy, allowed, pod_target, rewritten, service_target, split_name
from kogia.apiserver.requestinfo import request_info
from kogia.base.tasks import TaskOwner
from kogia.wire.http_server import serve
from kogia.wire.messages import Request, Response


@pytest.mark.parametrize(("text", "wanted"), [("a", ("http", "a", "")), ("a:80", ("http", "a", "80")), ("https:a:web", ("https", "a", "web")), (":a:1", ("http", "a", "1"))])
def test_names(text: str, wanted: tuple[str, str, str]) -> None:
    assert split_name(text) == wanted


def test_targets() -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{}, {"ports": [{"name": "web", "containerPort": 8080}]}]}, "status": {"podIP": "10.1.2.3"}}
    assert [pod_target(pod, port) for port in ("", "web", "99")] == [("10.1.2.3", 8080), ("10.1.2.3", 8080), ("10.1.2.3", 99)]
    service = {"metadata": {"name": "s"}, "spec": {"ports": [{"name": "web", "port": 80}]}}
    piece = {"ports": [{"name": "web", "port": 8080}], "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": False}}, {"addresses": ["10.0.0.2"]}]}
    assert [service_target(service, [piece], port) for port in ("", "80", "web")] == [("10.0.0.2", 8080)] * 3
    for slices, port, text in (([], "", 'no endpoints available for service "s"'), ([piece], "x", 'no service port "x" found for service "s"')):
        with pytest.raises(StatusError) as refused:
            service_target(service, slices, port)
        assert (refused.value.code, refused.value.message) == (503, text)
    assert [allowed(a) for a in ("10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "fe80::1", "x")] == [True, False, False, False, False, False]


def test_redirects_stay_under_the_proxy() -> None:
    assert rewritten("/a?b=c", "/p/proxy", "h:1") == "/p/proxy/a?b=c" and rewritten("http://h:1/a", "/p/proxy", "h:1") == "/p/proxy/a"
    assert rewritten("http://other/a", "/p/proxy", "h:1") == "http://other/a" and rewritten("next", "/p/proxy", "h:1") == "next"


def test_a_request_goes_through(cache: Any) -> None:
    seen: list[Request] = []

    async def backend(request: Request) -> Response:
        seen.append(request)
        return Response(302, [("Location", "/there"), ("X-Own", "1")], b"moved", "text/plain")

    async def main() -> None:
        server = await serve(backend, "127.0.0.1", 0)
        spec = {"containers": [{"ports": [{"containerPort": server.port}]}]}
        cache.put("", "pods", {"metadata": {"name": "p", "namespace": "d"}, "spec": spec, "status": {"podIP": "127.0.0.1"}})
        path = "/api/v1/namespaces/d/pods/p/proxy/a%20b"
        headers = {"authorization": "Bearer secret", "host": "api", "x-mine": "1"}
        request = Request("POST", "/api/v1/namespaces/d/pods/p/proxy/a b", "q=1", headers, b"body", raw_path=path)
        info = request_info(request, ALL)
        with pytest.raises(StatusError) as refused:
            await AddressProxy(cache, TaskOwner("t"))(request, info)
        assert refused.value.message == "address not allowed"
        answer = await AddressProxy(cache, TaskOwner("t"), may_reach=lambda address: True)(request, info)
        assert answer.stream is not None
        assert (answer.status, answer.content_type, b"".join([c async for c in answer.stream])) == (302, "text/plain", b"moved")
        assert ("Location", "/api/v1/namespaces/d/pods/p/proxy/there") in answer.headers and ("X-Own", "1") in answer.headers
        got = seen[0]
        assert (got.method, got.path, got.raw_query, got.body) == ("POST", "/a b", "q=1", b"body")
        assert "authorization" not in got.headers and got.headers["x-forwarded-uri"] == path and got.headers["x-mine"] == "1"
        await server.close()

    asyncio.run(main())
