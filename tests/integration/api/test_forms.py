"""What goes over the wire: media types, Tables, metadata only, YAML, sizes, discovery, OpenAPI, health."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from kogia.api import resources
from tests.support.api import JSON, Api, eventually

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def test_tables(api: Api, namespace: str) -> None:
    pods = f"/api/v1/namespaces/{namespace}/pods"
    api.post(pods, {"metadata": {"name": "p"}, "spec": {"schedulerName": "nobody", "containers": [{"name": "c", "image": "i"}]}}).ok()
    table = api.get(pods, Accept=f"{TABLE},application/json").ok()
    assert [c["name"] for c in table["columnDefinitions"]] == [
        "Name", "Ready", "Status", "Restarts", "Age", "IP", "Node", "Nominated Node", "Readiness Gates"]  # fmt: skip
    row = table["rows"][0]
    assert row["cells"][:4] == ["p", "0/1", "Pending", "0"] and row["object"]["kind"] == "PartialObjectMetadata"
    assert table["metadata"]["resourceVersion"] and "spec" not in row["object"]
    assert api.get(f"{pods}?includeObject=None", Accept=TABLE).ok()["rows"][0]["object"] is None
    assert api.get(f"{pods}?includeObject=Object", Accept=TABLE).ok()["rows"][0]["object"]["spec"]
    assert api.get(f"{pods}/p", Accept=TABLE).ok()["rows"][0]["cells"][0] == "p"
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"nonResourceAttributes": {"path": "/x", "verb": "get"}}}
    reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    api.post(reviews, review, Accept=TABLE).refused(406, "NotAcceptable")
    assert api.post(reviews, review).ok()["status"]["allowed"] is True
    stream = Api(api.port, api.ca, api.cert, headers={"Accept": f"{TABLE},application/json"}).watch(f"{pods}?watch=1&resourceVersion=0")
    first = stream.wait(1)[0]
    assert first["type"] == "ADDED" and first["object"]["kind"] == "Table" and first["object"]["rows"][0]["cells"][0] == "p"
    stream.close()


def test_metadata_only(api: Api, namespace: str) -> None:
    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    api.post(secrets, {"metadata": {"name": "s"}, "stringData": {"a": "hidden"}}).ok()
    one = api.get(f"{secrets}/s", Accept=METADATA).ok()
    assert (one["kind"], one["apiVersion"], set(one)) == ("PartialObjectMetadata", "meta.k8s.io/v1", {"kind", "apiVersion", "metadata"})
    many = api.get(secrets, Accept=METADATA_LIST).ok()
    assert many["kind"] == "PartialObjectMetadataList" and all("data" not in item for item in many["items"])


def test_media_types(api: Api, namespace: str) -> None:
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    made = api.call("POST", maps, "kind: ConfigMap\napiVersion: v1\nmetadata: {name: y1}\ndata: {a: 'on', b: \"1\"}\n", "application/yaml").ok()
    assert made["data"] == {"a": "on", "b": "1"}
    answer = api.get(f"{maps}/y1", Accept="application/yaml")
    assert answer.headers["content-type"].startswith("application/yaml") and yaml.safe_load(answer.data)["data"] == made["data"]
    assert api.get(f"{maps}/y1", Accept="application/vnd.kubernetes.protobuf,application/json").code == 200
    api.get(f"{maps}/y1", Accept="text/html").refused(406, "NotAcceptable")
    api.get(f"{maps}/y1", Accept="image/png;q=0.9").refused(406)
    assert api.get(f"{maps}/y1", Accept="*/*").ok()["kind"] == "ConfigMap"
    api.call("POST", maps, "<x/>", "text/xml").refused(415, "UnsupportedMediaType")
    api.call("PATCH", f"{maps}/y1", "{}", JSON).refused(415, "UnsupportedMediaType")
    assert api.call("POST", maps, {"metadata": {"name": "bare"}}, "-").code == 201  # no Content-Type at all
    pretty = api.get(f"{maps}/y1", User_Agent="curl/8.0", Accept="*/*").data.decode()
    assert pretty.startswith('{\n  "kind": "ConfigMap",\n  "apiVersion": "v1",\n  "metadata": {\n    "resourceVersion": "')
    assert b"\n  " not in api.get(f"{maps}/y1").data.strip() and b"\n  " in api.get(f"{maps}/y1?pretty=true").data


def test_size_limit(api: Api, namespace: str) -> None:
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    status = api.post(maps, {"metadata": {"name": "big"}, "data": {"a": "x" * (3 * 1024 * 1024 + 1)}}).refused(413, "RequestEntityTooLarge")
    assert "limit is 3145728" in status["message"]
    too_long = api.post(maps, {"metadata": {"name": "big"}, "data": {"a": "x" * (1024 * 1024 + 1)}}).refused(422, "Invalid")
    assert "Too long: may not be more than 1048576 bytes" in too_long["message"]


def test_discovery_says_what_the_table_says(api: Api) -> None:
    groups = api.get("/apis").ok()["groups"]
    assert [g["name"] for g in groups] == [g.name for g in resources.groups() if g.name]
    aggregated: dict[tuple[str, str], Any] = {}
    for path in ("/api", "/apis"):
        answer = api.get(path, Accept=f"{AGGREGATED},application/json")
        assert "as=APIGroupDiscoveryList" in answer.headers["content-type"]
        document = answer.ok()
        assert (document["kind"], document["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
        for group in document["items"]:
            for version in group["versions"]:
                aggregated[group["metadata"].get("name", ""), version["version"]] = version["resources"]
    for group in groups:
        assert group["preferredVersion"] in group["versions"]
        assert api.get(f"/apis/{group['name']}").ok()["preferredVersion"] == group["preferredVersion"]
    for (group, version), items in aggregated.items():
        legacy = api.get(f"/apis/{group}/{version}" if group else f"/api/{version}").ok()["resources"]
        flat = {r["name"]: r for r in legacy}
        rows = resources.ALL.in_version(group, version)
        assert {name for name in flat if "/" not in name} == {row.plural for row in rows} == {r["resource"] for r in items}
        for item in items:
            row, old = resources.find(group, version, item["resource"]), flat[item["resource"]]
            assert row is not None and old["verbs"] == sorted(row.verbs) == item["verbs"]
            assert old["namespaced"] is row.namespaced is (item["scope"] == "Namespaced")
            assert {s["subresource"] for s in item.get("subresources", [])} == {s.name for s in row.subresources}
            assert {name.partition("/")[2] for name in flat if name.startswith(f"{row.plural}/")} == {s.name for s in row.subresources}


def test_openapi(api: Api) -> None:
    index = api.get("/openapi/v3").ok()["paths"]
    for row in resources.ALL:
        assert (f"apis/{row.group}/{row.version}" if row.group else f"api/{row.version}") in index
    document = api.get(index["apis/apps/v1"]["serverRelativeURL"]).ok()
    assert document["openapi"].startswith("3.") and "/apis/apps/v1/namespaces/{namespace}/deployments/{name}" in document["paths"]
    names = set(document["components"]["schemas"])
    references = set(_references(document))
    assert references and {r.removeprefix("#/components/schemas/") for r in references} <= names
    old = api.get("/openapi/v2")
    assert old.ok()["swagger"] == "2.0" and {r.removeprefix("#/definitions/") for r in _references(old.obj)} <= set(old.obj["definitions"])
    assert api.get("/openapi/v2", If_None_Match=old.headers["etag"]).code == 304
    assert api.get("/openapi/v2", Accept="application/com.github.proto-openapi.spec.v2@v1.0+protobuf").code == 200


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        return ([value["$ref"]] if isinstance(value.get("$ref"), str) else []) + [r for v in value.values() for r in _references(v)]
    return [r for v in value for r in _references(v)] if isinstance(value, list) else []


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/readyz/ping", "/livez/ping"])
def test_health(api: Api, path: str) -> None:
    assert api.get(path).data == b"ok"


def test_version_and_metrics(api: Api) -> None:
    version = api.get("/version").ok()
    assert int(version["major"]) == 1 and int(version["minor"].rstrip("+")) >= 33 and version["gitVersion"].startswith("v1.")
    metrics = api.get("/metrics").data.decode()
    assert "# TYPE apiserver_request_total counter" in metrics and 'resource="' in metrics
    assert "/healthz" in api.get("/").ok()["paths"]


def test_paths_that_are_not_there(api: Api) -> None:
    for path in ("/nothing", "/api/v2/pods", "/api/v1/nonsense", "/apis/nobody.example/v1/things", "/apis/apps/v9/deployments", "/api/v1/namespaces/default/pods/a/b/c/d"):
        answer = api.get(path)
        assert answer.code == 404 and (answer.data == b"404 page not found\n" or answer.obj["reason"] == "NotFound"), (path, answer)
    api.call("DELETE", "/api/v1/pods/x").refused(405)
    api.call("PUT", "/api/v1/namespaces/default/pods", {}).refused(405, "MethodNotAllowed")


def test_service_addresses(api: Api, namespace: str) -> None:
    services = f"/api/v1/namespaces/{namespace}/services"
    assert api.get("/api/v1/namespaces/default/services/kubernetes").ok()["spec"]["ports"][0]["name"] == "https"
    assert api.get("/api/v1/namespaces/default/endpoints/kubernetes").ok()["subsets"]

    def service(name: str, **spec: Any) -> dict[str, Any]:
        return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}

    fixed = service("a", clusterIP="10.96.200.200", type="NodePort", ports=[{"port": 80, "nodePort": 31234}])
    dry = api.post(f"{services}?dryRun=All", fixed).ok()
    assert dry["spec"]["clusterIP"] == "10.96.200.200"
    api.get(f"{services}/a").refused(404)
    made = api.post(services, fixed).ok()  # the dry run held nothing back
    assert made["spec"]["clusterIPs"] == ["10.96.200.200"] and made["spec"]["ports"][0] == {"port": 80, "targetPort": 80, "protocol": "TCP", "nodePort": 31234}
    assert "provided IP is already allocated" in api.post(services, service("b", clusterIP="10.96.200.200")).refused(422, "Invalid")["message"]
    assert "provided port is already allocated" in api.post(services, service("b", type="NodePort", ports=[{"port": 80, "nodePort": 31234}])).refused(422)["message"]
    assert "not in the valid range" in api.post(services, service("b", clusterIP="192.0.2.1")).refused(422, "Invalid")["message"]
    api.delete(f"{services}/a").ok()
    eventually(lambda: api.post(services, service("b", clusterIP="10.96.200.200")).code == 201, "the address is free again")
    assert api.post(services, service("h", clusterIP="None")).ok()["spec"]["clusterIPs"] == ["None"]
    changed = api.patch(f"{services}/b", {"spec": {"type": "ExternalName", "externalName": "example.org", "clusterIP": None, "clusterIPs": None}}).ok()
    assert "clusterIP" not in changed["spec"] or changed["spec"]["clusterIP"] == ""
    assert json.dumps(api.post(services, service("c", clusterIP="10.96.200.200")).ok())
