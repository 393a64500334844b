"""Discovery, OpenAPI, health, and the pure parts of the kubelet tunnel."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from kogia.api.kinds import ResourceInfo
from kogia.api.resources import ALL
from kogia.api.status import StatusError
from kogia.apiserver.endpoints.discovery import Discovery, aggregated_version
from kogia.apiserver.endpoints.health import Check, Health
from kogia.apiserver.endpoints.kubelet_tunnel import log_options, resolve_container
from kogia.apiserver.endpoints.openapi import OpenApi
from kogia.apiserver.endpoints.version import version_info
from kogia.wire.messages import Request, Response

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def fetch(endpoint: Any, path: str, query: str = "", **headers: str) -> Response:
    found = endpoint.answer(Request("GET", path, query, {k.replace("_", "-"): v for k, v in headers.items()}))
    assert found is not None, path
    return found  # type: ignore[no-any-return]


def test_legacy_and_aggregated_discovery_say_the_same() -> None:
    discovery = Discovery(ALL.copy(), "h:1")
    groups = json.loads(fetch(discovery, "/apis").body)["groups"]
    listed = {g["name"]: [v["version"] for v in g["versions"]] for g in groups}
    aggregated = json.loads(fetch(discovery, "/apis", accept=V2).body)
    assert {i["metadata"]["name"]: [v["version"] for v in i["versions"]] for i in aggregated["items"]} == listed
    core = json.loads(fetch(discovery, "/api", accept=V2).body)["items"]
    for item in core + aggregated["items"]:
        group = item["metadata"].get("name", "")
        for version in item["versions"]:
            legacy = json.loads(fetch(discovery, f"/apis/{group}/{version['version']}" if group else "/api/v1").body)["resources"]
            names = {r["resource"]: r["verbs"] for r in version["resources"]}
            names |= {f"{r['resource']}/{s['subresource']}": s["verbs"] for r in version["resources"] for s in r.get("subresources", ())}
            assert names == {r["name"]: r["verbs"] for r in legacy}
            assert [r["name"] for r in legacy] == sorted(r["name"] for r in legacy)
    assert discovery.answer(Request("GET", "/apis/nope")) is None and discovery.answer(Request("GET", "/apis/apps/v9")) is None


def test_discovery_etags_and_new_kinds() -> None:
    table = ALL.copy()
    discovery = Discovery(table, "h:1")
    first = fetch(discovery, "/apis", accept=V2 + ",application/json")
    etag = dict(first.headers)["ETag"]
    assert first.content_type == V2 and fetch(discovery, "/apis", accept=V2, if_none_match=etag).status == 304
    table.add(ResourceInfo("x.example", "v1", "Widget", "widgets", "widget", storage=("x.example", "v1", "Widget")))
    assert fetch(discovery, "/apis", accept=V2, if_none_match=etag).status == 200
    assert b'"widgets"' in fetch(discovery, "/apis/x.example/v1").body


@pytest.mark.parametrize(
    ("accept", "version"),
    [(V2 + ",application/json", "v2"), (V2.replace("v2;", "v2beta1;"), "v2beta1"), ("application/json," + V2, ""), ("", ""), ("*/*", ""),
     (V2.replace("v=v2", "v=v9") + ",application/json", "")],
)
def test_who_wants_aggregated_discovery(accept: str, version: str) -> None:
    assert aggregated_version(accept) == version


def test_openapi_documents_are_closed_and_cover_every_kind() -> None:
    openapi = OpenApi(ALL.copy())
    index = json.loads(fetch(openapi, "/openapi/v3").body)["paths"]
    assert {"api/v1", "apis/apps/v1", "apis/rbac.authorization.k8s.io/v1"} <= set(index)
    for path in ("api/v1", "apis/apps/v1", "apis/autoscaling/v2"):
        url, _, query = index[path]["serverRelativeURL"].partition("?")
        response = fetch(openapi, url, query, accept_encoding="gzip")
        text = gzip.decompress(response.body).decode()
        document = json.loads(text)
        schemas = document["components"]["schemas"]
        refs = {piece.split('"')[0] for piece in text.split("#/components/schemas/")[1:]}
        assert refs <= set(schemas), refs - set(schemas)
        assert "Expires" in dict(response.headers)
        assert fetch(openapi, url, if_none_match=dict(response.headers)["Etag"]).status == 304
    paths = json.loads(fetch(openapi, "/openapi/v3/api/v1").body)["paths"]
    patch = paths["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "", "version": "v1", "kind": "Pod"}
    assert {"dryRun", "fieldValidation", "fieldManager", "force"} <= {p["name"] for p in patch["parameters"]}


def test_openapi_v2_as_json_and_protobuf() -> None:
    openapi = OpenApi(ALL.copy())
    document = json.loads(fetch(openapi, "/openapi/v2").body)
    assert document["swagger"] == "2.0" and "io.k8s.api.core.v1.Pod" in document["definitions"]
    proto = fetch(openapi, "/openapi/v2", accept="application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
    assert "@" not in proto.content_type and proto.body.startswith(b"\x0a\x032.0") and b"io.k8s.api.core.v1.Pod" in proto.body
    with pytest.raises(StatusError) as refused:
        openapi.answer(Request("GET", "/openapi/v3/api/v1", headers={"accept": "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"}))
    assert refused.value.code == 406


def test_health() -> None:
    bad: list[str] = []
    health = Health([Check("ping", lambda: ""), Check("etcd", lambda: ",".join(bad)), Check("shutdown", lambda: "going" if bad else "", readiness=True)])
    assert fetch(health, "/healthz").body == b"ok" and fetch(health, "/livez/ping").body == b"ok"
    assert fetch(health, "/readyz", "verbose").body == b"[+]ping ok\n[+]etcd ok\n[+]shutdown ok\nreadyz check passed\n"
    assert b"shutdown" not in fetch(health, "/livez", "verbose=1").body
    assert health.answer(Request("GET", "/livez/shutdown")) is None and health.answer(Request("GET", "/healthz/nope")) is None
    bad.append("disk")
    failed = fetch(health, "/readyz")
    assert failed.status == 500 and b"[-]etcd failed: reason withheld" in failed.body and failed.body.endswith(b"readyz check failed\n")
    assert fetch(health, "/livez", "exclude=etcd").status == 200 and b"disk" in fetch(health, "/livez/etcd").body


def test_version_is_what_clients_can_parse() -> None:
    info = version_info()
    assert info["major"].isdigit() and info["minor"].isdigit() and info["gitVersion"].startswith(f"v{info['major']}.{info['minor']}.")


def test_which_container() -> None:
    def pod(*names: str, inits: tuple[str, ...] = ()) -> dict[str, Any]:
        return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": n} for n in names], "initContainers": [{"name": n} for n in inits]}}

    assert resolve_container(pod("a"), "") == "a" and resolve_container(pod("a", "b"), "b") == "b" and resolve_container(pod("a", inits=("i",)), "i") == "i"
    for wanted, what, message in (
        ("", pod("a", "b"), "a container name must be specified for pod p, choose one of: [a b]"),
        ("", pod("a", "b", inits=("i",)), "a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [i]"),
        ("z", pod("a"), "container z is not valid for pod p"),
    ):
        with pytest.raises(StatusError) as refused:
            resolve_container(what, wanted)
        assert (refused.value.code, refused.value.message) == (400, message)


def test_log_options() -> None:
    assert log_options(Request("GET", "/", "follow=true&tailLines=0&timestamps&container=c")) == {"tailLines": "0", "follow": "true", "timestamps": "true"}
    for query, code in (("tailLines=-1", 422), ("tailLines=x", 400), ("limitBytes=0", 422), ("sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", 422)):
        with pytest.raises(StatusError) as refused:
            log_options(Request("GET", "/", query))
        assert refused.value.code == code
