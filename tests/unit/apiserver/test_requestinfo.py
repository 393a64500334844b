"""What each kind of URL is about."""

from __future__ import annotations

import pytest

from kogia.api.resources import ALL
from kogia.apiserver.requestinfo import authorization_name, is_long_running, request_info
from kogia.wire.messages import Request

CASES = [
    ("GET", "/api/v1/namespaces", "", ("list", "", "v1", "namespaces", "", "", "")),
    ("GET", "/api/v1/namespaces/ns", "", ("get", "", "v1", "namespaces", "", "ns", "ns")),
    ("PUT", "/api/v1/namespaces/ns/finalize", "", ("update", "", "v1", "namespaces", "finalize", "ns", "ns")),
    ("GET", "/api/v1/namespaces/ns/pods", "", ("list", "", "v1", "pods", "", "ns", "")),
    ("GET", "/api/v1/namespaces/ns/pods", "watch=true", ("watch", "", "v1", "pods", "", "ns", "")),
    ("GET", "/api/v1/namespaces/ns/pods", "watch=0", ("list", "", "v1", "pods", "", "ns", "")),
    ("GET", "/api/v1/watch/namespaces/ns/pods", "", ("watch", "", "v1", "pods", "", "ns", "")),
    ("DELETE", "/api/v1/namespaces/ns/pods", "", ("deletecollection", "", "v1", "pods", "", "ns", "")),
    ("DELETE", "/api/v1/namespaces/ns/pods/p", "", ("delete", "", "v1", "pods", "", "ns", "p")),
    ("POST", "/api/v1/namespaces/ns/pods/p/exec", "command=ls", ("create", "", "v1", "pods", "exec", "ns", "p")),
    ("PATCH", "/apis/apps/v1/namespaces/ns/deployments/d/scale", "", ("patch", "apps", "v1", "deployments", "scale", "ns", "d")),
    ("GET", "/api/v1/nodes/n/proxy/stats/summary", "", ("get", "", "v1", "nodes", "proxy", "", "n")),
    ("GET", "/apis/custom.example/v1/things/x", "", ("get", "custom.example", "v1", "things", "", "", "x")),
]


@pytest.mark.parametrize(("method", "path", "query", "wanted"), CASES)
def test_resources(method: str, path: str, query: str, wanted: tuple[str, ...]) -> None:
    info = request_info(Request(method, path, query), ALL)
    assert info.is_resource
    assert (info.verb, info.group, info.version, info.plural, info.subresource, info.namespace, info.name) == wanted


@pytest.mark.parametrize("path", ["/", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/healthz", "/openapi/v3/apis/apps/v1", ""])
def test_everything_else(path: str) -> None:
    info = request_info(Request("GET", path), ALL)
    assert (info.is_resource, info.verb, info.path) == (False, "get", path)


def test_proxy_rest_and_long_running() -> None:
    request = Request("GET", "/api/v1/nodes/n/proxy/a/b")
    info = request_info(request, ALL)
    assert info.parts == ("a", "b") and is_long_running(request, info)
    assert is_long_running(Request("GET", "/x", "watch=1"), request_info(Request("GET", "/api/v1/pods", "watch=1"), ALL))
    assert not is_long_running(request, request_info(Request("GET", "/api/v1/pods"), ALL))


@pytest.mark.parametrize(
    ("query", "name"),
    [("fieldSelector=metadata.name%3Dx", "x"), ("fieldSelector=metadata.name%3D%3Dx,a%3Db", "x"), ("fieldSelector=metadata.name!%3Dx", ""), ("", "")],
)
def test_lists_of_one_object_count_as_that_object(query: str, name: str) -> None:
    request = Request("GET", "/api/v1/namespaces/ns/secrets", query)
    assert authorization_name(request, request_info(request, ALL)) == name
