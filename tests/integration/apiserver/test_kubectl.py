"""The real kubectl, oldest and newest at hand, against an API server without nodes or controllers."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

import pytest

from tests.support.cluster import kubectls

_ALL = list(kubectls().values())
BINARIES = [_ALL[0], _ALL[-1]] if len(_ALL) > 1 else _ALL


@pytest.fixture(params=BINARIES or ["missing"], ids=lambda p: p.rpartition("/")[2])
def kubectl(request: pytest.FixtureRequest, server: Any) -> Any:
    if request.param == "missing":
        pytest.skip("no kubectl on the PATH")
    name = request.param.rpartition("/")[2].replace(".", "-")

    def run(*arguments: str, **more: Any) -> str:
        return server.kubectl(request.param, *arguments, **more)

    run.name = name  # type: ignore[attr-defined]
    run.binary = request.param  # type: ignore[attr-defined]
    return run


def test_first_look(kubectl: Any) -> None:
    assert "default " in kubectl("get", "ns") and "kube-node-lease" in kubectl("get", "ns")
    assert "deployments" in kubectl("api-resources") and "apps/v1" in kubectl("api-versions")
    assert '"major":"1"' in kubectl("get", "--raw", "/version")
    assert "readyz check passed" in kubectl("get", "--raw", "/readyz?verbose")
    assert "apiserver_request_total" in kubectl("get", "--raw", "/metrics")
    assert kubectl("get", "svc", "kubernetes", "-o", "jsonpath={.spec.clusterIP}") == "10.96.0.1"
    assert "system-node-critical" in kubectl("get", "priorityclasses")
    assert "cluster-admin" in kubectl("get", "clusterroles")
    assert 'the server doesn\'t have a resource type "nonsense"' in kubectl("get", "nonsense", ok=False)


def test_explain(kubectl: Any) -> None:
    text = kubectl("explain", "pods.spec.containers.resources")
    assert "Pod" in text and "limits" in text and "Compute Resources required by this container" in text
    assert "rollingUpdate" in kubectl("explain", "deployment.spec.strategy")
    assert "Kubernetes" in kubectl("explain", "service") or "Service" in kubectl("explain", "service")


def test_write_and_read(kubectl: Any) -> None:
    name = f"a-{kubectl.name}"
    assert kubectl("create", "configmap", name, "--from-literal=x=y") == f"configmap/{name} created\n"
    assert json.loads(kubectl("get", "configmap", name, "-o", "json"))["data"] == {"x": "y"}
    assert kubectl("get", "configmap", name, "-o", "yaml").startswith("apiVersion: v1\ndata:\n  x: \"y\"\n")
    assert f'configmaps "{name}" already exists' in kubectl("create", "configmap", name, ok=False)
    manifest = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: b-{kubectl.name}}}\ndata: {{a: b}}\n"
    assert "created" in kubectl("apply", "-f", "-", stdin=manifest)
    assert "unchanged" in kubectl("apply", "-f", "-", stdin=manifest)
    assert "configured" in kubectl("apply", "-f", "-", stdin=manifest.replace("a: b", "a: c"))
    assert "serverside-applied" in kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifest)
    assert "foo" in kubectl("apply", "-f", "-", stdin=manifest + "foo: bar\n", ok=False)
    assert "deleted" in kubectl("delete", "configmap", name)
    assert kubectl("get", "configmap", name, ok=False) == f'Error from server (NotFound): configmaps "{name}" not found\n'


def test_generators(kubectl: Any) -> None:
    """kubectl from 1.32 on sends these as protobuf."""
    suffix = kubectl.name
    kubectl("create", "namespace", f"n-{suffix}")
    in_namespace = ("-n", f"n-{suffix}")
    kubectl("create", "deployment", "d", "--image=busybox", "--replicas=2", *in_namespace, "--", "sleep", "1")
    deployment = json.loads(kubectl("get", "deployment", "d", *in_namespace, "-o", "json"))
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["template"]["spec"]["containers"][0]["command"] == ["sleep", "1"]
    assert "hostNetwork" not in deployment["spec"]["template"]["spec"]
    kubectl("create", "secret", "generic", "s", "--from-literal=a=b", *in_namespace)
    assert json.loads(kubectl("get", "secret", "s", *in_namespace, "-o", "json"))["data"] == {"a": "Yg=="}
    kubectl("create", "service", "nodeport", "np", "--tcp=80:8080", *in_namespace)
    port = json.loads(kubectl("get", "service", "np", *in_namespace, "-o", "json"))["spec"]["ports"][0]
    assert 30000 <= port["nodePort"] <= 32767 and port["targetPort"] == 8080
    kubectl("create", "quota", "q", "--hard=pods=3,cpu=1500m", *in_namespace)
    kubectl("create", "role", "r", "--verb=get", "--resource=pods", *in_namespace)
    kubectl("create", "rolebinding", "r", "--role=r", "--user=bob", *in_namespace)
    assert kubectl("auth", "can-i", "get", "pods", "--as=bob", *in_namespace) == "yes\n"
    assert kubectl("auth", "can-i", "delete", "pods", "--as=bob", *in_namespace, ok=False) == "no\n"


def test_who_may_do_what(kubectl: Any) -> None:
    assert kubectl("auth", "can-i", "create", "pods") == "yes\n"
    assert kubectl("get", "pods", "--as=bob", ok=False) == (
        'Error from server (Forbidden): pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "default"\n')
    assert "selfsubjectaccessreviews" in kubectl("auth", "can-i", "--list", "--as=bob")
    if kubectl.binary == BINARIES[-1]:  # old ones only know the alpha and beta of the review
        assert "kubernetes-admin" in kubectl("auth", "whoami")


def test_service_account_tokens(kubectl: Any, server: Any) -> None:
    account = f"sa-{kubectl.name}"
    kubectl("create", "serviceaccount", account)
    token = kubectl("create", "token", account, "--duration=20m").strip()
    as_account = (
        "--kubeconfig=/dev/null", f"--server=https://127.0.0.1:{server.port}", f"--certificate-authority={server.root}/pki/ca.crt", f"--token={token}")
    assert f'User "system:serviceaccount:default:{account}" cannot list' in kubectl("get", "pods", *as_account, ok=False)
    kubectl("create", "rolebinding", account, "--clusterrole=view", f"--serviceaccount=default:{account}")
    assert "kubernetes" in kubectl("get", "services", "-n", "default", *as_account)
    assert "may not specify a duration less than 10 minutes" in kubectl("create", "token", account, "--duration=1s", ok=False)
    kubectl("delete", "serviceaccount", account)
    assert "Unauthorized" in kubectl("get", "services", "-n", "default", *as_account, ok=False)


def test_watch(kubectl: Any, server: Any) -> None:
    import os

    name = f"w-{kubectl.name}"
    environment = {**os.environ, "KUBECONFIG": str(server.root / "kubeconfig"), "HOME": str(server.root / "home")}
    process = subprocess.Popen(
        [kubectl.binary, "get", "configmaps", "--watch", "--output-watch-events", "--watch-only"], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        time.sleep(0.7)
        kubectl("create", "configmap", name)
        kubectl("delete", "configmap", name)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
    finally:
        process.terminate()
        process.wait(timeout=5)
    assert lines[1].startswith("ADDED") and name in lines[1]
    assert lines[2].startswith("DELETED") and name in lines[2]
