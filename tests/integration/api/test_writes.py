"""Creating, changing and deleting: names, generation, owners of fields, validation's words, dry runs, deletion."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.api import APPLY, JSON_PATCH, STRATEGIC, Api, eventually

POD: dict[str, Any] = {"schedulerName": "nobody", "containers": [{"name": "c", "image": "i"}]}


@pytest.fixture
def maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


@pytest.fixture
def pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def test_generated_names(api: Api, maps: str) -> None:
    names = {api.post(maps, {"metadata": {"generateName": "g-"}}).ok()["metadata"]["name"] for _ in range(20)}
    assert len(names) == 20 and all(re.fullmatch(r"g-[bcdfghjklmnpqrstvwxz2456789]{5}", name) for name in names)
    long = api.post(maps, {"metadata": {"generateName": "l" * 70}}).ok()["metadata"]
    assert len(long["name"]) == 63 and long["generateName"] == "l" * 70
    assert "name or generateName is required" in api.post(maps, {"metadata": {}}).refused(422, "Invalid")["message"]


def test_what_a_creator_may_not_set(api: Api, maps: str, namespace: str) -> None:
    made = api.post(maps, {"metadata": {"name": "a", "uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z", "selfLink": "/x", "generation": 7}}).ok()
    assert made["metadata"]["uid"] != "mine" and not made["metadata"]["creationTimestamp"].startswith("2001") and "selfLink" not in made["metadata"]
    assert "resourceVersion should not be set on objects to be created" in api.post(maps, {"metadata": {"name": "b", "resourceVersion": "5"}}).refused(500)["message"]
    message = api.post(maps, {"metadata": {"name": "b", "namespace": "elsewhere"}}).refused(400, "BadRequest")["message"]
    assert message == "the namespace of the provided object does not match the namespace sent on the request"
    assert "does not match the name on the URL" in api.put(f"{maps}/a", {"metadata": {"name": "c"}}).refused(400, "BadRequest")["message"]
    wrong = api.post(maps, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}).refused(400, "BadRequest")["message"]
    assert "Secret" in wrong and "ConfigMap" in wrong
    absent = api.post("/api/v1/namespaces/not-there/configmaps", {"metadata": {"name": "x"}}).refused(404, "NotFound")
    assert absent["message"] == 'namespaces "not-there" not found'
    other = api.put(f"{maps}/a", {"metadata": {"name": "a", "uid": "00000000-0000-0000-0000-000000000000"}}).refused(409, "Conflict")["message"]
    assert "Precondition failed: UID in precondition" in other


def test_generation_and_status(api: Api, namespace: str) -> None:
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    made = api.post(deployments, {"metadata": {"name": "d"}, "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template}, "status": {"replicas": 9}}).ok()
    assert made["metadata"]["generation"] == 1 and made["status"] == {} and made["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": "25%"}
    one = f"{deployments}/d"
    generation = lambda answer: answer.ok()["metadata"]["generation"]  # noqa: E731
    assert generation(api.patch(one, {"metadata": {"labels": {"x": "y"}}, "status": {"replicas": 3}})) == 1
    assert generation(api.patch(one, {"spec": {"replicas": 1}})) == 2
    answer = api.patch(f"{one}/status", {"status": {"replicas": 3}, "spec": {"replicas": 8}}).ok()
    assert answer["metadata"]["generation"] == 2 and answer["status"]["replicas"] == 3 and answer["spec"]["replicas"] == 1
    scale = api.get(f"{one}/scale").ok()
    assert (scale["kind"], scale["apiVersion"], scale["spec"], scale["status"]["replicas"]) == ("Scale", "autoscaling/v1", {"replicas": 1}, 3)
    scale["spec"]["replicas"] = 4
    assert api.put(f"{one}/scale", scale).ok()["spec"]["replicas"] == 4 and generation(api.get(one)) == 3
    assert api.patch(f"{one}/scale", {"spec": {"replicas": 5}}).ok()["spec"]["replicas"] == 5
    assert "must be greater than or equal to 0" in api.patch(f"{one}/scale", {"spec": {"replicas": -1}}).refused(422)["message"]
    assert "field is immutable" in api.patch(one, {"spec": {"selector": {"matchLabels": {"a": "c"}}, "template": {"metadata": {"labels": {"a": "c"}}}}}).refused(422)["message"]


def test_owners_of_fields(api: Api, maps: str) -> None:
    one = f"{maps}/m"
    base = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}}
    assert api.patch(f"{one}?fieldManager=x", {**base, "data": {"a": "1", "b": "1"}}, APPLY).code == 201
    status = api.patch(f"{one}?fieldManager=y", {**base, "data": {"a": "2"}}, APPLY).refused(409, "Conflict")
    assert status["message"] == 'Apply failed with 1 conflict: conflict with "x": .data.a'
    assert status["details"]["causes"] == [{"reason": "FieldManagerConflict", "message": 'conflict with "x"', "field": ".data.a"}]
    assert api.patch(f"{one}?fieldManager=y&force=true", {**base, "data": {"a": "2"}}, APPLY).ok()["data"] == {"a": "2", "b": "1"}
    assert api.patch(f"{one}?fieldManager=x", base, APPLY).ok()["data"] == {"a": "2"}  # what x alone owned is gone
    api.patch(one, {"data": {"c": "3"}}, User_Agent="my-tool/v1.2 (linux)").ok()
    entries = {(e["manager"], e["operation"]): e for e in api.get(one).ok()["metadata"]["managedFields"]}
    assert {("y", "Apply"), ("my-tool", "Update")} <= set(entries)
    assert entries["y", "Apply"]["fieldsV1"] == {"f:data": {"f:a": {}}} and entries["y", "Apply"]["fieldsType"] == "FieldsV1"
    assert "managedFields" not in api.patch(one, {"metadata": {"managedFields": [{}]}}).ok()["metadata"]


def test_unknown_and_repeated_fields(api: Api, maps: str, pods: str) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {**POD, "foo": 1, "containers": [{"name": "c", "image": "i", "bar": 2}]}}
    status = api.post(f"{pods}?fieldValidation=Strict", pod).refused(400, "BadRequest")
    assert 'strict decoding error: unknown field "spec.containers[0].bar", unknown field "spec.foo"' in status["message"]
    warned = api.post(f"{pods}?fieldValidation=Warn&dryRun=All", pod)
    assert warned.ok() and 'unknown field \\"spec.foo\\"' in warned.headers["warning"] and warned.headers["warning"].startswith("299 - ")
    assert "warning" not in api.post(f"{pods}?fieldValidation=Ignore&dryRun=All", pod).headers
    assert "warning" in api.post(f"{pods}?dryRun=All", pod).headers
    api.post(f"{pods}?fieldValidation=Perhaps", pod).refused(422, "Invalid")
    twice = '{"metadata": {"name": "t"}, "data": {"a": "1", "a": "2"}, "data": {"a": "3"}}'
    status = api.call("POST", f"{maps}?fieldValidation=Strict", twice).refused(400)
    assert 'duplicate field "data.a"' in status["message"] and 'duplicate field "data"' in status["message"]
    yaml = "metadata: {name: t}\ndata:\n  a: '1'\n  a: '2'\n"
    status = api.call("POST", f"{maps}?fieldValidation=Strict", yaml, "application/yaml").refused(400)
    assert 'key "a" already set in map' in status["message"]
    api.post(maps, {"metadata": {"name": "m"}}).ok()
    for body, kind in (({"foo": 1}, STRATEGIC), ([{"op": "add", "path": "/foo", "value": 1}], JSON_PATCH)):
        message = api.patch(f"{maps}/m?fieldValidation=Strict", body, kind).refused(422, "Invalid")["message"]
        assert 'strict decoding error: unknown field "foo"' in message
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "foo": 1}
    assert "foo" in api.patch(f"{maps}/m?fieldManager=x", applied, APPLY).obj["message"]
    assert api.patch(f"{maps}/m?fieldManager=x", applied, APPLY).code in (400, 500)


def test_types_that_do_not_fit(api: Api, maps: str, pods: str) -> None:
    message = api.post(maps, {"metadata": {"name": "x"}, "data": {"a": 1}}).refused(400, "BadRequest")["message"]
    assert "json: cannot unmarshal number into Go struct field ConfigMap.data of type string" in message
    message = api.post(pods, {"metadata": {"name": "x"}, "spec": {"containers": {"name": "c"}}}).refused(400)["message"]
    assert "cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container" in message
    message = api.post(pods, {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "much"}}}]}}).refused(400)["message"]
    assert "quantities must match the regular expression" in message
    for bad in ("", "{", "[]", "null", "5", '"x"', '{"metadata": 5}', '{"metadata": {"labels": []}}', '{"kind": 5}'):
        assert api.call("POST", maps, bad).code in (400, 422), bad


VALIDATION = [
    ("v1/pods", {"spec": {"containers": []}}, "spec.containers: Required value"),
    ("v1/pods", {"spec": {"containers": [{"name": "C_", "image": "i"}]}}, "spec.containers[0].name: Invalid value: \"C_\": a lowercase RFC 1123 label must consist"),
    ("v1/pods", {"spec": {"containers": [{"name": "c"}]}}, "spec.containers[0].image: Required value"),
    ("v1/pods", {"spec": {**POD, "restartPolicy": "Sometimes"}}, 'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'),
    ("v1/pods", {"spec": {"containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/x"}]}]}}, 'spec.containers[0].volumeMounts[0].name: Not found: "v"'),
    ("v1/pods", {"spec": {"containers": [{"name": "c", "image": "i"}] * 2}}, 'spec.containers[1].name: Duplicate value: "c"'),
    ("v1/pods", {"spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 70000}]}]}}, "must be between 1 and 65535, inclusive"),
    ("v1/pods", {"spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}]}}, "must be less than or equal to cpu limit of 1"),
    ("v1/services", {"spec": {}}, "spec.ports: Required value"),
    ("v1/services", {"spec": {"type": "Odd", "ports": [{"port": 1}]}}, 'spec.type: Unsupported value: "Odd"'),
    ("v1/configmaps", {"data": {"a/b": "c"}}, "data[a/b]: Invalid value"),
    ("v1/configmaps", {"data": {"a": "b"}, "binaryData": {"a": "YQ=="}}, "duplicate of key present in"),
    ("v1/secrets", {"type": "kubernetes.io/tls", "data": {}}, "data[tls.crt]: Required value"),
    ("v1/secrets", {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "YQ=="}}, "data[.dockerconfigjson]"),
    ("v1/events", {"involvedObject": {"namespace": "elsewhere"}}, "involvedObject.namespace: Invalid value"),
    ("coordination.k8s.io/v1/leases", {"spec": {"leaseDurationSeconds": 0}}, "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"),
    ("v1/configmaps", {"metadata": {"name": "Bad_Name"}}, 'metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain must consist of'),
    ("v1/configmaps", {"metadata": {"name": "x", "labels": {"a": "-"}}}, "metadata.labels: Invalid value"),
]


@pytest.mark.parametrize(("where", "body", "words"), VALIDATION, ids=[f"{w}-{n}" for n, (w, _, _) in enumerate(VALIDATION)])
def test_validation_in_kubernetes_words(api: Api, shared_namespace: str, where: str, body: dict[str, Any], words: str) -> None:
    group_version, _, plural = where.rpartition("/")
    path = f"/{'apis' if '/' in group_version else 'api'}/{group_version}/namespaces/{shared_namespace}/{plural}"
    status = api.post(path, {"metadata": {"name": "x"}, **body}).refused(422, "Invalid")
    assert words in status["message"] and status["details"]["causes"]


def test_validation_of_cluster_kinds(api: Api) -> None:
    assert "must not contain dots" in api.post("/api/v1/namespaces", {"metadata": {"name": "a.b"}}).refused(422)["message"]
    assert api.post("/api/v1/nodes", {"metadata": {"name": "n"}, "spec": {"taints": [{"key": "a", "effect": "Odd"}]}}).refused(422)["message"].startswith('Node "n" is invalid: spec.taints[0].effect')


def test_immutable_things(api: Api, maps: str, pods: str, namespace: str) -> None:
    api.post(maps, {"metadata": {"name": "m"}, "data": {"a": "b"}, "immutable": True}).ok()
    assert "field is immutable when `immutable` is set" in api.patch(f"{maps}/m", {"data": {"a": "c"}}).refused(422)["message"]
    api.patch(f"{maps}/m", {"immutable": False}).refused(422)
    api.patch(f"{maps}/m", {"metadata": {"labels": {"a": "b"}}}).ok()
    api.post(pods, {"metadata": {"name": "p"}, "spec": POD}).ok()
    message = api.patch(f"{pods}/p", {"spec": {"hostname": "other"}}).refused(422, "Invalid")["message"]
    assert "pod updates may not change fields other than" in message
    assert api.patch(f"{pods}/p", {"spec": {"containers": [{"name": "c", "image": "other"}]}}, STRATEGIC).ok()["spec"]["containers"][0]["image"] == "other"
    api.patch(f"{pods}/p", {"metadata": {"name": "q"}}).refused(400)
    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    api.post(secrets, {"metadata": {"name": "s"}, "type": "a"}).ok()
    assert "field is immutable" in api.patch(f"{secrets}/s", {"type": "b"}).refused(422)["message"]


def test_strategic_lists(api: Api, pods: str) -> None:
    api.post(pods, {"metadata": {"name": "p"}, "spec": {**POD, "containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]}}).ok()
    patched = api.patch(f"{pods}/p", {"spec": {"containers": [{"name": "b", "image": "j"}], "$setElementOrder/containers": [{"name": "a"}, {"name": "b"}]}}, STRATEGIC).ok()
    assert [c["image"] for c in patched["spec"]["containers"]] == ["i", "j"]
    tolerated = api.patch(f"{pods}/p", {"spec": {"tolerations": [*patched["spec"]["tolerations"], {"key": "x", "operator": "Exists"}]}}).ok()
    assert tolerated["spec"]["tolerations"][-1]["key"] == "x"
    message = api.patch(f"{pods}/p", [{"op": "test", "path": "/spec/containers/0/image", "value": "z"}], JSON_PATCH).refused(422)["message"]
    assert "testing value /spec/containers/0/image failed" in message
    api.patch(f"{pods}/p", "{", STRATEGIC).refused(400)
    api.patch(f"{pods}/p", {"metadata": {"resourceVersion": "1"}}).refused(409, "Conflict")


def test_dry_runs_leave_no_trace(api: Api, maps: str) -> None:
    before = api.get(maps).ok()["metadata"]["resourceVersion"]
    dry = api.post(f"{maps}?dryRun=All", {"metadata": {"name": "d"}}).ok()
    assert dry["metadata"]["uid"] and "resourceVersion" not in dry["metadata"]
    api.get(f"{maps}/d").refused(404)
    assert api.get(f"{maps}?resourceVersion={before}").code == 200
    made = api.post(maps, {"metadata": {"name": "d"}, "data": {"a": "b"}}).ok()
    assert api.patch(f"{maps}/d?dryRun=All", {"data": {"a": "c"}}).ok()["data"] == {"a": "c"}
    assert api.put(f"{maps}/d?dryRun=All", {**made, "data": {}}).code == 200
    api.delete(f"{maps}/d?dryRun=All").ok()
    api.delete(f"{maps}/d", {"dryRun": ["All"]}).ok()
    api.delete(f"{maps}?dryRun=All").ok()
    assert api.get(f"{maps}/d").ok() == made
    api.post(f"{maps}?dryRun=Some", {"metadata": {"name": "e"}}).refused(422, "Invalid")


def test_finalizers(api: Api, maps: str) -> None:
    one = f"{maps}/f"
    made = api.post(maps, {"metadata": {"name": "f", "finalizers": ["example.com/a", "example.com/b"]}}).ok()
    marked = api.delete(one).ok()
    assert marked["kind"] == "ConfigMap" and marked["metadata"]["deletionTimestamp"] and marked["metadata"]["deletionGracePeriodSeconds"] == 0
    assert marked["metadata"]["uid"] == made["metadata"]["uid"]
    assert api.delete(one).ok()["metadata"]["deletionTimestamp"] == marked["metadata"]["deletionTimestamp"]
    refused = api.patch(one, {"metadata": {"finalizers": ["example.com/a", "example.com/b", "example.com/c"]}}).refused(422, "Invalid")
    assert "no new finalizers can be added if the object is being deleted" in refused["message"]
    api.patch(one, {"metadata": {"finalizers": ["example.com/a"]}}).ok()
    api.patch(one, {"metadata": {"finalizers": None}}).ok()
    api.get(one).refused(404)
    refused = api.post(maps, {"metadata": {"name": "g", "finalizers": ["plain"]}}).refused(422, "Invalid")
    assert 'metadata.finalizers[0]: Invalid value: "plain": name is neither a standard finalizer name nor is it fully qualified' in refused["message"]


def test_graceful_deletion(api: Api, pods: str) -> None:
    for name, node in (("waiting", ""), ("running", "some-node")):
        api.post(pods, {"metadata": {"name": name}, "spec": {**POD, **({"nodeName": node} if node else {})}}).ok()
    api.delete(f"{pods}/waiting").ok()
    api.get(f"{pods}/waiting").refused(404)
    marked = api.delete(f"{pods}/running").ok()
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 30 and marked["metadata"]["deletionTimestamp"] > marked["metadata"]["creationTimestamp"]
    assert api.delete(f"{pods}/running", {"gracePeriodSeconds": 60}).ok()["metadata"]["deletionGracePeriodSeconds"] == 30
    assert api.delete(f"{pods}/running", {"gracePeriodSeconds": 5}).ok()["metadata"]["deletionGracePeriodSeconds"] == 5
    status = api.delete(f"{pods}/running", {"gracePeriodSeconds": 0, "preconditions": {"uid": "other"}}).refused(409, "Conflict")
    assert "Precondition failed: UID in precondition: other, UID in object meta:" in status["message"]
    api.delete(f"{pods}/running", {"gracePeriodSeconds": 0, "preconditions": {"uid": marked["metadata"]["uid"]}}).ok()
    api.get(f"{pods}/running").refused(404)
    api.delete(f"{pods}/running").refused(404, "NotFound")


def test_deleting_a_collection(api: Api, maps: str) -> None:
    for name, color in (("a", "red"), ("b", "red"), ("c", "blue")):
        api.post(maps, {"metadata": {"name": name, "labels": {"color": color}}}).ok()
    stream = api.watch(f"{maps}?watch=1&labelSelector=color&resourceVersion={api.get(maps).ok()['metadata']['resourceVersion']}")
    answer = api.delete(f"{maps}?labelSelector=color%3Dred").ok()
    assert answer["kind"] in ("ConfigMapList", "Status")
    assert [e["type"] for e in stream.wait(2)] == ["DELETED", "DELETED"]
    stream.close()
    assert [o["metadata"]["name"] for o in api.get(f"{maps}?labelSelector=color").ok()["items"]] == ["c"]


def test_eviction(api: Api, pods: str) -> None:
    api.post(pods, {"metadata": {"name": "e", "labels": {"app": "e"}}, "spec": POD}).ok()
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "e"}}
    assert api.post(f"{pods}/e/eviction?dryRun=All", eviction).code == 201
    assert api.post(f"{pods}/e/eviction", eviction).ok()["status"] == "Success"
    eventually(lambda: api.get(f"{pods}/e").code == 404, "evicted")
    api.post(f"{pods}/e/eviction", eviction).refused(404, "NotFound")


def test_events_in_two_shapes(api: Api, namespace: str) -> None:
    new, old = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events", f"/api/v1/namespaces/{namespace}/events"
    event = {"metadata": {"name": "e"}, "regarding": {"kind": "Pod", "namespace": namespace, "name": "p"}, "reason": "Started", "type": "Normal", "note": "n",
             "action": "Starting", "eventTime": "2026-01-01T00:00:00.123456Z", "reportingController": "x.example.com/k", "reportingInstance": "n1"}  # fmt: skip
    api.post(new, event).ok()
    seen = api.get(f"{old}/e").ok()
    assert (seen["message"], seen["involvedObject"]["name"], seen["eventTime"]) == ("n", "p", "2026-01-01T00:00:00.123456Z")
    api.patch(f"{old}/e", {"count": 4, "firstTimestamp": "2026-01-01T00:00:00Z"}).ok()
    noted = api.patch(f"{new}/e", {"series": {"count": 2, "lastObservedTime": "2026-01-02T00:00:00.000007Z"}}, STRATEGIC).ok()
    assert noted["deprecatedCount"] == 4 and noted["series"]["lastObservedTime"].endswith(".000007Z")
    assert [e["metadata"]["name"] for e in api.get(f"{old}?fieldSelector=involvedObject.name%3Dp,reason%3DStarted").ok()["items"]] == ["e"]
    assert [e["metadata"]["name"] for e in api.get(f"{new}?fieldSelector=regarding.name%3Dp").ok()["items"]] == ["e"]


def test_namespaces_go_with_what_is_in_them(api: Api, namespace: str, maps: str, pods: str) -> None:
    api.post(maps, {"metadata": {"name": "m", "finalizers": ["example.com/hold"]}}).ok()
    api.post(pods, {"metadata": {"name": "p"}, "spec": POD}).ok()
    assert api.delete(f"/api/v1/namespaces/{namespace}").ok()["status"]["phase"] == "Terminating"
    message = api.post(maps, {"metadata": {"name": "late"}}).refused(403, "Forbidden")["message"]
    assert message == f'configmaps "late" is forbidden: unable to create new content in namespace {namespace} because it is being terminated'
    eventually(lambda: api.get(f"{pods}/p").code == 404, "the Pod is gone")
    assert api.get(f"/api/v1/namespaces/{namespace}").code == 200
    api.patch(f"{maps}/m", {"metadata": {"finalizers": None}})
    eventually(lambda: api.get(f"/api/v1/namespaces/{namespace}").code == 404, "the namespace is gone", 25)
