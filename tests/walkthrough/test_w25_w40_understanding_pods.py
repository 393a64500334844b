"""W25, W29, W33, W37, W38, W40: context, phases by restart policy, a manifest by curl, round trips, shared namespaces, bad images."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.support.cluster import Cluster, oldest_and_newest


def pod(name: str, *containers: dict[str, Any], **spec: Any) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [*containers], **spec}})


def box(name: str, *command: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": list(command), **more}


def phase(cluster: Cluster, name: str) -> str:
    return str(cluster.pod(name)["status"]["phase"])


@pytest.mark.parametrize("version", oldest_and_newest())
def test_w25_the_context_is_in_the_kubeconfig(cluster: Cluster, version: str) -> None:
    assert cluster.kubectl("config", "use-context", "kogia-wt", version=version).ok() == 'Switched to context "kogia-wt".\n'
    assert cluster.kubectl("get", "namespaces", "-o", "name", version=version).ok().split() == [
        "namespace/default", "namespace/kube-node-lease", "namespace/kube-public", "namespace/kube-system"]  # fmt: skip
    nodes = cluster.kubectl("get", "nodes", "--no-headers", version=version).ok().split()
    assert nodes[1] == "Ready"


@pytest.mark.parametrize(
    ("policy", "script", "expected", "restarts"),
    [("Always", "sleep 3600", "Running", 0), ("OnFailure", "exit 0", "Succeeded", 0), ("Never", "exit 1", "Failed", 0), ("Never", "exit 0", "Succeeded", 0)],
)
def test_w29_phases(cluster: Cluster, policy: str, script: str, expected: str, restarts: int) -> None:
    cluster.kubectl("create", "-f", "-", stdin=pod("busybox", box("busybox", "sh", "-c", script), restartPolicy=policy)).ok()
    cluster.wait_for(lambda: phase(cluster, "busybox") == expected, f"phase {expected}")
    status = cluster.pod("busybox")["status"]["containerStatuses"][0]
    assert status["restartCount"] == restarts
    if expected != "Running":
        ended = status["state"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == ((0, "Completed") if expected == "Succeeded" else (1, "Error"))


def test_w29_on_failure_restarts_with_back_off(cluster: Cluster) -> None:
    cluster.kubectl("create", "-f", "-", stdin=pod("flaky", box("c", "sh", "-c", "exit 3"), restartPolicy="OnFailure")).ok()
    cluster.wait_for(lambda: re.search(r"flaky\s+0/1\s+CrashLoopBackOff\s+[1-9]", cluster.kubectl("get", "pods").ok()), "CrashLoopBackOff")
    assert phase(cluster, "flaky") == "Running"
    messages = cluster.wait_for(lambda: [e["message"] for e in cluster.events("flaky") if e["reason"] == "BackOff"], "the BackOff event")
    assert messages[0].startswith("Back-off restarting failed container c in pod flaky_default(")


def test_w29_pending_when_nothing_fits(cluster: Cluster) -> None:
    cluster.kubectl("create", "-f", "-", stdin=pod("big", box("c", "sleep", "1", resources={"requests": {"cpu": "1000"}}))).ok()
    messages = cluster.wait_for(lambda: [e["message"] for e in cluster.events("big") if e["reason"] == "FailedScheduling"], "FailedScheduling")
    assert messages[0].startswith("0/1 nodes are available: 1 Insufficient cpu.")
    assert phase(cluster, "big") == "Pending"


def test_w29_oom_killed(cluster: Cluster) -> None:
    script = "x=a; while true; do x=$x$x; done"
    cluster.kubectl("create", "-f", "-", stdin=pod("greedy", box("c", "sh", "-c", script, resources={"limits": {"memory": "16Mi"}}), restartPolicy="Never")).ok()
    cluster.wait_for(lambda: phase(cluster, "greedy") == "Failed", "the kill")
    ended = cluster.pod("greedy")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


def test_w33_post_by_curl(cluster: Cluster) -> None:
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    user, server = config["users"][0]["user"], config["clusters"][0]["cluster"]
    import base64

    paths = {}
    for key, entry in (("cert", user["client-certificate-data"]), ("key", user["client-key-data"]), ("cacert", server["certificate-authority-data"])):
        paths[key] = cluster.folder / f"curl.{key}"
        paths[key].write_bytes(base64.b64decode(entry))
    command = ["curl", "-sS", "-w", "\n%{http_code}", "-X", "POST", "-H", "Content-Type: application/json", "-d", pod("curled", box("c", "sleep", "3600")),
               *(x for key, path in paths.items() for x in (f"--{key}", str(path))), server["server"] + "/api/v1/namespaces/default/pods"]  # fmt: skip
    body, _, code = subprocess.run(command, capture_output=True, text=True, check=True).stdout.rpartition("\n")
    assert code == "201" and json.loads(body)["metadata"]["uid"]
    assert '\n  "kind"' in body, "curl gets indented JSON"
    cluster.wait_ready("curled")


@pytest.mark.parametrize("version", oldest_and_newest())
@pytest.mark.parametrize("form", ["json", "yaml"])
def test_w37_round_trip(cluster: Cluster, version: str, form: str) -> None:
    text = pod("kubia-manual", box("kubia", "sleep", "3600", ports=[{"containerPort": 8080}], env=[{"name": "A", "value": "yes"}, {"name": "B", "value": "010"}]))
    body = text if form == "json" else yaml.safe_dump(json.loads(text))
    cluster.kubectl("create", "-f", "-", stdin=body, version=version).ok()
    cluster.wait_ready("kubia-manual")
    as_json = json.loads(cluster.kubectl("get", "pod", "kubia-manual", "-o", "json", "--show-managed-fields", version=version).ok())
    as_yaml = yaml.load(cluster.kubectl("get", "pod", "kubia-manual", "-o", "yaml", "--show-managed-fields", version=version).ok(), yaml.BaseLoader)
    assert as_yaml["spec"]["containers"][0]["env"] == [{"name": "A", "value": "yes"}, {"name": "B", "value": "010"}]
    assert as_json["metadata"]["uid"] == as_yaml["metadata"]["uid"]
    before = as_json["metadata"]["resourceVersion"]
    cluster.kubectl("replace", "-f", "-", stdin=json.dumps(as_json), version=version).ok()
    after = cluster.pod("kubia-manual")
    assert after["metadata"]["resourceVersion"] == before, "writing back what was read changes nothing"
    own = json.loads(cluster.kogia("get", "pod", "kubia-manual", "-o", "json", "--show-managed-fields").ok())
    assert own == {**after, "metadata": own["metadata"]}


def test_w38_containers_share_network_ipc_and_hostname_but_not_files(cluster: Cluster) -> None:
    serve = "echo from-one > /tmp/page; mkdir /www; cp /tmp/page /www/index.html; busybox httpd -f -p 8080 -h /www"
    text = pod("shared", box("one", "sh", "-c", serve), box("two", "sleep", "3600"))
    cluster.kubectl("create", "-f", "-", stdin=text).ok()
    cluster.wait_ready("shared")

    def inside(container: str, script: str) -> str:
        return cluster.kubectl("exec", "shared", "-c", container, "--", "sh", "-c", script).ok()

    cluster.wait_for(lambda: cluster.kubectl("exec", "shared", "-c", "two", "--", "wget", "-q", "-O", "-", "http://127.0.0.1:8080/").out == "from-one\n", "loopback")
    assert inside("one", "hostname") == inside("two", "hostname") == "shared\n"
    assert inside("two", "ls /tmp") == ""
    for namespace, same in (("ipc", True), ("net", True), ("uts", True), ("mnt", False), ("pid", False)):
        one, two = (inside(c, f"readlink /proc/self/ns/{namespace}") for c in ("one", "two"))
        assert (one == two) is same, namespace
    inside("one", "echo shm > /dev/shm/x")
    assert inside("two", "cat /dev/shm/x") == "shm\n"


def test_w38_a_port_clash_is_the_second_containers_own_error(cluster: Cluster) -> None:
    serve = "busybox httpd -f -v -p 8080"
    cluster.kubectl("create", "-f", "-", stdin=pod("clash", box("one", "sh", "-c", serve), box("two", "sh", "-c", f"sleep 1; {serve}"), restartPolicy="Never")).ok()
    cluster.wait_for(lambda: any("terminated" in s["state"] for s in cluster.pod("clash")["status"].get("containerStatuses") or []), "the clash")
    states = {s["name"]: s["state"] for s in cluster.pod("clash")["status"]["containerStatuses"]}
    assert "running" in states["one"] and states["two"]["terminated"]["exitCode"] != 0
    assert "Address already in use" in cluster.kubectl("logs", "clash", "-c", "two").ok()


@pytest.mark.parametrize("version", ["kogia", *oldest_and_newest()])
def test_w40_an_image_that_cannot_be_pulled(cluster: Cluster, registry: str, version: str) -> None:
    cluster.kubectl("create", "-f", "-", stdin=pod("nope", {"name": "c", "image": f"{registry}/no/such:1"})).ok()
    run = cluster.kogia if version == "kogia" else lambda *w: cluster.kubectl(*w, version=version)
    cluster.wait_for(lambda: "ErrImagePull" in run("get", "pods").ok(), "ErrImagePull", every_s=0.01)
    cluster.wait_for(lambda: "ImagePullBackOff" in run("get", "pods").ok(), "ImagePullBackOff")
    text = cluster.wait_for(lambda: (t := run("describe", "pod", "nope").ok()) and "Back-off pulling image" in t and t, "the event")
    assert re.search(rf'Warning\s+Failed\s.*Failed to pull image "{registry}/no/such:1": .*not found', text), text
    assert re.search(r'Warning\s+Failed\s.*Error: ErrImagePull', text)
    assert re.search(rf'Back-off pulling image "{registry}/no/such:1"', text)
