"""Clients we did not write: kubectl of three ages, the official Python client, lightkube."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from tests.support.api import Server, eventually

EXPLAINED = {
    "pods.spec.containers.livenessProbe": "Periodic probe of container liveness", "deployments.spec.strategy": "rollingUpdate",
    "services.spec.type": "ClusterIP", "configmaps.data": "map[string]string", "secrets": "stringData", "nodes.spec.taints": "effect",
    "events": "involvedObject", "leases.spec": "holderIdentity", "roles.rules": "apiGroups", "cronjobs.spec.jobTemplate.spec": "backoffLimit",
}


@pytest.mark.parametrize("path", EXPLAINED)
def test_kubectl_explain(kubectl: Any, path: str) -> None:
    text = kubectl("explain", path).ok()
    assert "DESCRIPTION:" in text and EXPLAINED[path] in text


def test_kubectl_reads_and_writes(kubectl: Any, namespace: str) -> None:
    here = ("-n", namespace)
    manifest = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a, namespace: {namespace}}}\ndata: {{k: v}}\n"
    assert kubectl("create", "-f", "-", stdin=manifest).ok() == "configmap/a created\n"
    assert kubectl("apply", "-f", "-", stdin=manifest.replace("k: v", "k: w")).ok() == "configmap/a configured\n"
    assert kubectl("apply", "-f", "-", stdin=manifest.replace("k: v", "k: w")).ok() == "configmap/a unchanged\n"
    assert kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifest).ok() == "configmap/a serverside-applied\n"
    difference = kubectl("diff", "-f", "-", stdin=manifest.replace("k: v", "k: z"))
    assert difference.code == 1 and "+  k: z" in difference.out
    assert kubectl("apply", "--dry-run=server", "-f", "-", stdin=manifest.replace("k: v", "k: z")).ok() == "configmap/a configured (server dry run)\n"
    assert kubectl("get", "configmap", "a", "-o", "jsonpath={.data.k}", *here).ok() == "v"
    kubectl("label", "configmap", "a", "x=y", *here).ok()
    kubectl("annotate", "configmap", "a", "x=y", *here).ok()
    assert "a " in kubectl("get", "configmaps", "-l", "x=y", "--no-headers", *here).ok()
    for kind, patch in (("json", '[{"op":"add","path":"/data/j","value":"1"}]'), ("merge", '{"data":{"m":"1"}}'), ("strategic", '{"data":{"s":"1"}}')):
        kubectl("patch", "configmap", "a", f"--type={kind}", "-p", patch, *here).ok()
    assert set(json.loads(kubectl("get", "configmap", "a", "-o", "json", *here).ok())["data"]) == {"k", "j", "m", "s"}
    kubectl("replace", "-f", "-", stdin=manifest).ok()
    assert 'unknown field "dta"' in kubectl("create", "-f", "-", stdin=manifest.replace("data:", "dta:").replace("name: a", "name: b")).err
    assert "DATA" in kubectl("get", "configmaps", *here).ok() and "Data\n====" in kubectl("describe", "configmap", "a", *here).ok()
    assert 'configmap "a" deleted' in kubectl("delete", "configmap", "a", *here).ok()
    assert kubectl("get", "configmap", "a", *here).err == 'Error from server (NotFound): configmaps "a" not found\n'


def test_kubectl_workloads_and_rights(kubectl: Any, namespace: str) -> None:
    here = ("-n", namespace)
    kubectl("create", "deployment", "d", "--image=i", "--replicas=0", *here).ok()
    assert "scaled" in kubectl("scale", "deployment", "d", "--replicas=2", *here).ok()
    assert "0/2" in kubectl("get", "deployment", "d", "--no-headers", *here).ok()
    assert "exposed" in kubectl("expose", "deployment", "d", "--port=80", *here).ok()
    assert "RollingUpdate" in kubectl("describe", "deployment", "d", *here).ok() and "ClusterIP" in kubectl("get", "services", *here).ok()
    kubectl("create", "role", "r", "--verb=get,list", "--resource=pods", *here).ok()
    kubectl("create", "rolebinding", "r", "--role=r", "--user=ann", *here).ok()
    assert kubectl("auth", "can-i", "list", "pods", "--as=ann", *here).ok() == "yes\n"
    assert kubectl("auth", "can-i", "delete", "pods", "--as=ann", *here).out == "no\n"
    assert "pods" in kubectl("auth", "can-i", "--list", "--as=ann", *here).ok()
    assert kubectl("create", "token", "default", *here).ok().count(".") == 2
    for kind in ("all", "roles,rolebindings", "events", "serviceaccounts"):
        kubectl("get", kind, "-o", "wide", *here).ok()
    assert "deployments" in kubectl("api-resources", "--api-group=apps").ok() and "coordination.k8s.io/v1" in kubectl("api-versions").ok()
    assert "Server Version" in kubectl("version").ok()


@pytest.fixture(scope="module")
def official(server: Server) -> Any:
    from kubernetes import client, config

    return client, config.new_client_from_config(str(server.kubeconfig))


def test_official_python_client(official: Any, namespace: str) -> None:
    client, connection = official
    core = client.CoreV1Api(connection)
    made = core.create_namespaced_config_map(namespace, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="p", labels={"a": "b"}), data={"k": "v"}))
    assert made.metadata.uid and made.metadata.creation_timestamp
    made.data["k"] = "w"
    assert core.replace_namespaced_config_map("p", namespace, made).data == {"k": "w"}
    with pytest.raises(client.ApiException) as caught:
        core.replace_namespaced_config_map("p", namespace, made)
    assert caught.value.status == 409 and json.loads(caught.value.body)["reason"] == "Conflict"
    assert core.patch_namespaced_config_map("p", namespace, {"data": {"n": "1"}}).data == {"k": "w", "n": "1"}
    assert [o.metadata.name for o in core.list_namespaced_config_map(namespace, label_selector="a=b").items] == ["p"]
    pod = client.V1Pod(metadata=client.V1ObjectMeta(name="x"), spec=client.V1PodSpec(scheduler_name="nobody", containers=[client.V1Container(name="c", image="i")]))
    assert core.create_namespaced_pod(namespace, pod).spec.restart_policy == "Always"
    assert core.read_namespaced_pod_status("x", namespace).status.phase == "Pending"
    core.delete_namespaced_config_map("p", namespace)
    core.delete_collection_namespaced_pod(namespace, grace_period_seconds=0)
    eventually(lambda: core.list_namespaced_pod(namespace).items == [], "no Pods")
    assert "apps" in {g.name for g in client.ApisApi(connection).get_api_versions().groups}


def test_official_python_client_watches(official: Any, namespace: str) -> None:
    from kubernetes import watch

    client, connection = official
    core, seen = client.CoreV1Api(connection), []
    start = core.list_namespaced_secret(namespace).metadata.resource_version
    watcher = watch.Watch()

    def follow() -> None:
        for event in watcher.stream(core.list_namespaced_secret, namespace, resource_version=start, timeout_seconds=15):
            seen.append((event["type"], event["object"].metadata.name))
            if event["type"] == "DELETED":
                watcher.stop()

    thread = threading.Thread(target=follow)
    thread.start()
    core.create_namespaced_secret(namespace, client.V1Secret(metadata=client.V1ObjectMeta(name="s"), string_data={"a": "b"}))
    core.patch_namespaced_secret("s", namespace, {"stringData": {"a": "c"}})
    core.delete_namespaced_secret("s", namespace)
    thread.join(15)
    assert seen == [("ADDED", "s"), ("MODIFIED", "s"), ("DELETED", "s")]


def test_official_dynamic_client(official: Any, namespace: str, tmp_path: Any) -> None:
    from kubernetes.dynamic import DynamicClient

    _client, connection = official
    dynamic = DynamicClient(connection, cache_file=str(tmp_path / "cache"))
    deployments = dynamic.resources.get(api_version="apps/v1", kind="Deployment")
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template}}
    assert deployments.create(body=body, namespace=namespace).metadata.generation == 1
    applied = dynamic.server_side_apply(deployments, body={**body, "spec": {**body["spec"], "replicas": 1}}, namespace=namespace, field_manager="dyn", force_conflicts=True)
    assert applied.spec.replicas == 1
    assert deployments.scale.get(name="d", namespace=namespace).spec.replicas == 1
    deployments.delete(name="d", namespace=namespace)


def test_lightkube(server: Server, namespace: str) -> None:
    from lightkube import ApiError, Client, KubeConfig
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.resources.core_v1 import ConfigMap, Pod

    client = Client(KubeConfig.from_file(str(server.kubeconfig)), namespace=namespace, field_manager="light")
    client.create(ConfigMap(metadata=ObjectMeta(name="l"), data={"a": "b"}))
    client.apply(ConfigMap(apiVersion="v1", kind="ConfigMap", metadata=ObjectMeta(name="l"), data={"a": "c"}), force=True)
    assert client.get(ConfigMap, "l").data == {"a": "c"}
    assert client.patch(ConfigMap, "l", {"data": {"x": "y"}}).data == {"a": "c", "x": "y"}
    assert {o.metadata.name for o in client.list(ConfigMap)} >= {"l"} and list(client.list(Pod)) == []
    for operation, obj in client.watch(ConfigMap, fields={"metadata.name": "l"}):
        assert (operation, obj.metadata.name) == ("ADDED", "l")
        break
    client.delete(ConfigMap, "l")
    with pytest.raises(ApiError) as caught:
        client.get(ConfigMap, "l")
    assert caught.value.status.reason == "NotFound"
