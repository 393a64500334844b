"""W01–W09, from "the role of docker": one httpd Pod, watched while its containers and sandbox are taken away beneath the kubelet."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.cluster import Cluster, oldest_and_newest

POD = """apiVersion: v1
kind: Pod
metadata:
  name: pod-apache
spec:
  containers:
  - name: apache
    image: httpd
"""
MISPRINTED = """apiVersion: v1
kind: Pod
metadata:
  name: pod-misprint
spec:  containers:
  - name: apache
    image: httpd
"""


@pytest.fixture
def manifest(cluster: Cluster) -> str:
    path = cluster.folder / "pod-apache.yaml"
    path.write_text(POD)
    return str(path)


@pytest.fixture
def apache(cluster: Cluster, manifest: str) -> Iterator[Cluster]:
    cluster.kubectl("create", "-f", manifest).ok()
    cluster.wait_ready("pod-apache")
    yield cluster


def page(address: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(50):
        try:
            return opener.open(f"http://{address}/", timeout=2).read().decode()
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"http://{address}/ did not answer")


def status(cluster: Cluster) -> Any:
    return cluster.pod("pod-apache")["status"]


def container_status(cluster: Cluster) -> Any:
    return (status(cluster).get("containerStatuses") or [{}])[0]


def container_id(cluster: Cluster) -> str:
    return container_status(cluster).get("containerID", "").rpartition("//")[2]


def sandbox_id(cluster: Cluster) -> str:
    return cluster.crictl("pods", "-q", "--name", "pod-apache", "--state", "ready").ok().split()[0]


@pytest.mark.parametrize("version", oldest_and_newest())
def test_w01_create_runs_the_pod(cluster: Cluster, manifest: str, version: str) -> None:
    assert cluster.kubectl("create", "-f", manifest, version=version).ok() == "pod/pod-apache created\n"
    cluster.wait_ready("pod-apache")
    pod = cluster.pod("pod-apache")
    assert pod["spec"]["nodeName"] and pod["status"]["phase"] == "Running"
    assert "It works!" in page(pod["status"]["podIP"])


def test_w01_with_kogias_own_command_line(cluster: Cluster, manifest: str) -> None:
    assert cluster.kogia("create", "-f", manifest).ok() == "pod/pod-apache created\n"
    assert "condition met" in cluster.kogia("wait", "--for=condition=Ready", "pod/pod-apache", "--timeout=30s").ok()


@pytest.mark.parametrize("version", ["kogia", *oldest_and_newest()])
def test_w02_a_misprint_is_a_yaml_error_and_creates_nothing(cluster: Cluster, version: str) -> None:
    path = cluster.folder / "misprint.yaml"
    path.write_text(MISPRINTED)
    run = cluster.kogia if version == "kogia" else lambda *words: cluster.kubectl(*words, version=version)
    result = run("create", "-f", str(path))
    assert result.code == 1
    assert "misprint.yaml" in result.err and re.search(r"yaml: line \d+: mapping values are not allowed in this context", result.err)
    assert cluster.kubectl("get", "pod", "pod-misprint").code == 1


@pytest.mark.parametrize("version", oldest_and_newest())
def test_w03_get_wide(apache: Cluster, version: str) -> None:
    lines = apache.kubectl("get", "pods", "pod-apache", "-o", "wide", version=version).ok().splitlines()
    assert re.split(r"\s{2,}", lines[0].strip()) == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "NOMINATED NODE", "READINESS GATES"]
    cells = lines[1].split()
    live = apache.pod("pod-apache")
    assert cells[:4] == ["pod-apache", "1/1", "Running", "0"]
    assert cells[5:] == [live["status"]["podIP"], live["spec"]["nodeName"], "<none>", "<none>"]
    assert apache.kogia("get", "pods", "pod-apache", "-o", "wide").ok().splitlines()[0].split() == lines[0].split()


def test_w04_a_watch_shows_every_transition(cluster: Cluster, manifest: str) -> None:
    version = oldest_and_newest()[-1]
    watch = cluster.spawn("get", "pods", "--watch", "-o", "wide", version=version)
    try:
        time.sleep(1)
        cluster.kubectl("create", "-f", manifest).ok()
        cluster.wait_ready("pod-apache")
        cluster.kubectl("delete", "pod", "pod-apache", "--grace-period=1").ok()
        time.sleep(1)
    finally:
        watch.terminate()
        text, _ = watch.communicate(timeout=10)
    shown = [line.split()[2] for line in text.splitlines() if line.startswith("pod-apache")]
    order = [state for i, state in enumerate(shown) if i == 0 or shown[i - 1] != state]
    assert order[:3] == ["Pending", "ContainerCreating", "Running"], text
    assert "Terminating" in order[3:], text


def test_w05_containers_are_named_for_their_pod(apache: Cluster) -> None:
    live = apache.pod("pod-apache")
    uid, node_id = live["metadata"]["uid"], container_id(apache)
    assert node_id.startswith(apache.crictl("ps", "-q", "--name", "apache").ok().split()[0][:12])
    row = apache.crictl("ps", "--name", "apache").ok().splitlines()
    assert row[0].split()[:2] == ["CONTAINER", "IMAGE"] and "apache" in row[1] and "pod-apache" in row[1]
    import json

    container = json.loads(apache.crictl("inspect", node_id).ok())
    labels = container["status"]["labels"]
    name = f"k8s_{labels['io.kubernetes.container.name']}_{labels['io.kubernetes.pod.name']}_{labels['io.kubernetes.pod.namespace']}_{labels['io.kubernetes.pod.uid']}_{container['status']['metadata']['attempt']}"
    assert name == f"k8s_apache_pod-apache_default_{uid}_0"
    sandbox = json.loads(apache.crictl("inspectp", sandbox_id(apache)).ok())["status"]["metadata"]
    assert (sandbox["name"], sandbox["namespace"], sandbox["uid"], int(sandbox["attempt"])) == ("pod-apache", "default", uid, 0)


def test_w06_a_removed_container_is_replaced_within_a_second(apache: Cluster) -> None:
    before, old, sandbox = status(apache), container_id(apache), sandbox_id(apache)
    removed = time.monotonic()
    apache.crictl("rm", "-f", old).ok()
    apache.wait_for(lambda: container_id(apache) not in ("", old) and "running" in container_status(apache)["state"], "a new container", every_s=0.02)
    took = time.monotonic() - removed
    after = status(apache)
    assert after["podIP"] == before["podIP"] and sandbox_id(apache) == sandbox
    assert took < 3, f"{took:.1f} s (with two command lines' start-up in it)"
    assert "It works!" in page(after["podIP"])


def test_w07_a_stopped_container_completes_and_runs_again(apache: Cluster) -> None:
    watch = apache.spawn("get", "pods", "pod-apache", "--watch", "-o", "wide")
    time.sleep(1)
    apache.crictl("stop", "--timeout", "10", container_id(apache)).ok()
    apache.wait_for(lambda: container_status(apache).get("restartCount") == 1 and container_status(apache)["ready"], "the restart")
    watch.terminate()
    text, _ = watch.communicate(timeout=10)
    states = [line.split()[2] for line in text.splitlines() if line.startswith("pod-apache")]
    assert "Completed" in states and states[-1] == "Running", text
    ended = container_status(apache)["lastState"]["terminated"]
    assert ended["exitCode"] == 0 and ended["reason"] == "Completed" and ended["startedAt"] <= ended["finishedAt"]
    assert ended["containerID"]


@pytest.mark.parametrize("how", [["rmp", "-f"], ["stopp"]])
def test_w08_a_removed_sandbox_comes_back(apache: Cluster, how: list[str]) -> None:
    old = sandbox_id(apache)
    apache.crictl(*how, old).ok()
    apache.wait_for(lambda: container_status(apache).get("restartCount") == 1 and container_status(apache)["ready"] and sandbox_id(apache) != old, "a new sandbox")
    messages = [e["message"] for e in apache.events("pod-apache") if e["reason"] == "SandboxChanged"]
    assert messages == ["Pod sandbox changed, it will be killed and re-created."]
    assert "It works!" in page(status(apache)["podIP"])


@pytest.mark.parametrize("version", ["kogia", *oldest_and_newest()])
def test_w09_describe_tells_it_all(apache: Cluster, version: str) -> None:
    apache.crictl("stop", "--timeout", "10", container_id(apache)).ok()
    apache.wait_for(lambda: container_status(apache).get("restartCount") == 1 and container_status(apache)["ready"], "the restart")
    text = (apache.kogia if version == "kogia" else lambda *w: apache.kubectl(*w, version=version))("describe", "pods", "pod-apache").ok()
    live = apache.pod("pod-apache")
    for wanted in (
        r"Name:\s+pod-apache\n", r"Namespace:\s+default\n", r"Start Time:\s+\w{3}, \d\d \w{3} \d{4}", r"Labels:\s+<none>", r"Status:\s+Running",
        rf"IP:\s+{re.escape(live['status']['podIP'])}", rf"Node:\s+{re.escape(live['spec']['nodeName'])}/", r"Container ID:\s+\w+://[0-9a-f]{64}",
        r"Image:\s+httpd\n", r"Image ID:\s+docker\.io/library/httpd@sha256:[0-9a-f]{64}", r"State:\s+Running\n", r"Last State:\s+Terminated\n\s+Reason:\s+Completed",
        r"Ready:\s+True\n", r"Restart Count:\s+1\n", r"Normal\s+Scheduled\s+\S+\s+default-scheduler\s+Successfully assigned default/pod-apache to",
        r'Normal\s+Pulling\s.*Pulling image "httpd"', r'Normal\s+Pulled\s.*Successfully pulled image "httpd" in ', r"Normal\s+Created\s+\S+ \(x2 over \S+\)",
        r"Normal\s+Started\s+\S+ \(x2 over \S+\)",
    ):  # fmt: skip
        assert re.search(wanted, text), f"{wanted}\n{text}"
