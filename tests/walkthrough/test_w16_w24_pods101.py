"""W16–W20, W22, W23, from "pods101": apply and look, a shell inside, logs, two containers, a shared volume, deletion."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import time
from typing import Any

import pytest

from tests.support.cluster import Cluster, kubectls, oldest_and_newest

PODS01 = """apiVersion: v1
kind: Pod
metadata:
  name: webserver
spec:
  containers:
  - name: webserver
    image: nginx:latest
    ports:
    - containerPort: 80
"""
PODS02 = PODS01 + """  - name: webwatcher
    image: afakharany/watcher:latest
"""
PODS03 = """apiVersion: v1
kind: Pod
metadata:
  name: mc1
spec:
  volumes:
  - name: html
    emptyDir: {}
  containers:
  - name: 1st
    image: nginx
    volumeMounts:
    - name: html
      mountPath: /usr/share/nginx/html
  - name: 2nd
    image: debian
    volumeMounts:
    - name: html
      mountPath: /html
    command: ["/bin/sh", "-c"]
    args:
      - while true; do
          date >> /html/index.html;
          sleep 1;
        done
"""


def write(cluster: Cluster, name: str, text: str) -> str:
    path = cluster.folder / name
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("version", oldest_and_newest())
def test_w16_apply_get_describe(cluster: Cluster, version: str) -> None:
    path = write(cluster, "pods01.yaml", PODS01)
    assert cluster.kubectl("apply", "-f", path, version=version).ok() == "pod/webserver created\n"
    cluster.wait_ready("webserver")
    assert cluster.kubectl("apply", "-f", path, version=version).ok() == "pod/webserver unchanged\n"
    assert re.search(r"webserver\s+1/1\s+Running\s+0", cluster.kubectl("get", "pods", version=version).ok())
    assert "nginx:latest" in cluster.kubectl("describe", "po", version=version).ok()
    pod = json.loads(cluster.kubectl("get", "pods", "webserver", "-o", "json", version=version).ok())
    applied = json.loads(pod["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"])
    assert applied["spec"]["containers"][0]["image"] == "nginx:latest"
    check_defaults(pod)


def check_defaults(pod: Any) -> None:
    spec, container = pod["spec"], pod["spec"]["containers"][0]
    assert container["imagePullPolicy"] == "Always"
    assert (container["terminationMessagePath"], container["terminationMessagePolicy"]) == ("/dev/termination-log", "File")
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert (spec["restartPolicy"], spec["dnsPolicy"], spec["schedulerName"], spec["terminationGracePeriodSeconds"]) == ("Always", "ClusterFirst", "default-scheduler", 30)
    assert {(t["key"], t["effect"], t["operator"], t["tolerationSeconds"]) for t in spec["tolerations"]} == {
        ("node.kubernetes.io/not-ready", "NoExecute", "Exists", 300), ("node.kubernetes.io/unreachable", "NoExecute", "Exists", 300)}  # fmt: skip
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "default" and spec["enableServiceLinks"] is True
    token = spec["volumes"][0]
    assert token["name"].startswith("kube-api-access-") and [next(iter(s)) for s in token["projected"]["sources"]] == ["serviceAccountToken", "configMap", "downwardAPI"]
    assert container["volumeMounts"] == [{"mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "name": token["name"], "readOnly": True}]
    assert pod["status"]["qosClass"] == "BestEffort"
    conditions = {c["type"]: c["status"] for c in pod["status"]["conditions"]}
    assert conditions == {"PodReadyToStartContainers": "True", "Initialized": "True", "Ready": "True", "ContainersReady": "True", "PodScheduled": "True"}


def test_w16_with_kogias_own_command_line(cluster: Cluster) -> None:
    path = write(cluster, "pods01.yaml", PODS01)
    assert cluster.kogia("apply", "-f", path).ok() == "pod/webserver created\n"
    cluster.kogia("wait", "--for=condition=Ready", "pod/webserver").ok()
    assert cluster.kogia("apply", "-f", path).ok() == "pod/webserver unchanged\n"
    assert cluster.kubectl("apply", "-f", path).ok() == "pod/webserver unchanged\n"
    check_defaults(json.loads(cluster.kogia("get", "pods", "webserver", "-o", "json").ok()))


class Terminal:
    """A command on a pseudo-terminal, typed at as a person would."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True, close_fds=True)
        os.close(slave)
        self.text = ""

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def expect(self, pattern: str, timeout_s: float = 20) -> None:
        deadline = time.monotonic() + timeout_s
        while not re.search(pattern, self.text):
            assert time.monotonic() < deadline, f"{pattern!r} not seen in {self.text!r}"
            ready, _, _ = select.select([self.master], [], [], 0.2)
            if ready:
                try:
                    self.text += os.read(self.master, 65536).decode("utf-8", "replace")
                except OSError:
                    break
        assert re.search(pattern, self.text), f"{pattern!r} not seen in {self.text!r}"
        self.text = ""

    def close(self) -> int:
        code = self.process.wait(20)
        os.close(self.master)
        return code


@pytest.mark.parametrize("version", ["kogia", *oldest_and_newest()])
def test_w17_a_shell_with_a_terminal(cluster: Cluster, version: str) -> None:
    import fcntl
    import struct
    import sys
    import termios

    cluster.kubectl("apply", "-f", write(cluster, "pods01.yaml", PODS01)).ok()
    cluster.wait_ready("webserver")
    command = [sys.executable, "-m", "kogia.main"] if version == "kogia" else [kubectls()[version]]
    shell = Terminal([*command, "exec", "-it", "webserver", "--", "/bin/bash"], cluster.environment())
    fcntl.ioctl(shell.master, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
    shell.type("echo $((40+2)); tty\n")
    shell.expect(r"\b42\r\n/dev/pts/\d+")
    fcntl.ioctl(shell.master, termios.TIOCSWINSZ, struct.pack("HHHH", 41, 123, 0, 0))
    os.kill(shell.process.pid, 28)  # SIGWINCH, as a terminal window sends it
    time.sleep(1)
    shell.type("stty size\n")
    shell.expect(r"41 123")
    shell.type("sleep 100\n")
    time.sleep(0.5)
    shell.type("\x03")
    shell.type("echo back-$((1+1))\n")
    shell.expect(r"back-2")
    shell.type("exit 7\n")
    assert shell.close() == 7


@pytest.mark.parametrize("version", ["kogia", *oldest_and_newest()])
def test_w17_exit_codes_and_streams(cluster: Cluster, version: str) -> None:
    cluster.kubectl("apply", "-f", write(cluster, "pods01.yaml", PODS01)).ok()
    cluster.wait_ready("webserver")
    run = cluster.kogia if version == "kogia" else lambda *w, **k: cluster.kubectl(*w, version=version, **k)
    result = run("exec", "webserver", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (result.code, result.out) == (3, "out\n") and "err\n" in result.err and "exit code 3" in result.err
    assert run("exec", "-i", "webserver", "--", "cat", stdin="piped\n").ok() == "piped\n"
    assert run("exec", "webserver", "--", "no-such-program").code != 0


@pytest.mark.parametrize("version", ["kogia", *oldest_and_newest()])
def test_w18_logs(cluster: Cluster, version: str) -> None:
    script = "i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo line-$i; done; echo to-stderr >&2; sleep 1; echo late; sleep 3600"
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "talker"}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [
        {"name": n, "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script]} for n in ("one", "two")]}}  # fmt: skip
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(pod)).ok()
    cluster.wait_ready("talker")
    run = cluster.kogia if version == "kogia" else lambda *w, **k: cluster.kubectl(*w, version=version, **k)
    cluster.wait_for(lambda: "late" in run("logs", "talker", "-c", "one").ok(), "the last line")
    whole = run("logs", "talker", "-c", "one").ok().splitlines()
    assert whole[:30] == [f"line-{i}" for i in range(1, 31)] and "to-stderr" in whole and whole[-1] == "late"
    assert run("logs", "talker", "-c", "one", "--tail=2").ok().splitlines() == ["to-stderr", "late"]
    stamped = run("logs", "talker", "-c", "one", "--tail=1", "--timestamps").ok()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d) late\n", stamped)
    assert len(run("logs", "talker", "--all-containers").ok().splitlines()) == 64
    time.sleep(2)
    assert run("logs", "talker", "-c", "one", "--since=1s").ok() == ""
    assert len(run("logs", "talker", "-c", "one", "--since=1h").ok().splitlines()) == 32
    assert run("logs", "talker", "-c", "one", "--limit-bytes=10").ok() == "line-1\nlin"
    missing = run("logs", "talker", "-c", "three")
    assert missing.code == 1 and "container three is not valid for pod talker" in missing.err
    assert 'previous terminated container "one" in pod "talker" not found' in run("logs", "talker", "-c", "one", "--previous").err


def test_w18_follow_and_previous(cluster: Cluster) -> None:
    script = "echo run-$(date +%N); sleep 2; exit 1"
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "restarts"}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [
        {"name": "c", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script]}]}}  # fmt: skip
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(pod)).ok()
    cluster.wait_ready("restarts")
    followed = cluster.kubectl("logs", "-f", "restarts").ok()
    assert followed.startswith("run-")
    cluster.wait_for(lambda: cluster.pod("restarts")["status"]["containerStatuses"][0]["restartCount"] >= 1, "a restart")
    assert cluster.kubectl("logs", "restarts", "--previous").ok() == followed


@pytest.mark.parametrize("version", ["kogia", *oldest_and_newest()])
def test_w19_graceful_deletion(cluster: Cluster, version: str) -> None:
    run = cluster.kogia if version == "kogia" else lambda *w, **k: cluster.kubectl(*w, version=version, **k)
    path = write(cluster, "pods01.yaml", PODS01)
    cluster.kubectl("apply", "-f", path).ok()
    cluster.wait_ready("webserver")
    assert run("delete", "-f", path).ok().startswith('pod "webserver" deleted')
    result = run("get", "po", "-o", "wide")
    assert result.code == 0 and result.out == "" and result.err.startswith("No resources found")


def test_w19_a_container_that_ignores_sigterm_is_killed_after_the_grace_period(cluster: Cluster) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stubborn"}, "spec": {"terminationGracePeriodSeconds": 2, "containers": [
        {"name": "c", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", "trap '' TERM; while true; do sleep 1; done"]}]}}  # fmt: skip
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(pod)).ok()
    cluster.wait_ready("stubborn")
    started = time.monotonic()
    cluster.kubectl("delete", "pod", "stubborn").ok()
    assert 1.8 < time.monotonic() - started < 8


def test_w20_two_containers_share_localhost(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", write(cluster, "pods02.yaml", PODS02)).ok()
    cluster.wait_ready("webserver")
    assert re.search(r"webserver\s+2/2\s+Running", cluster.kubectl("get", "po").ok())
    cluster.wait_for(lambda: "Welcome to nginx" in cluster.kubectl("logs", "webserver", "-c", "webwatcher").ok(), "the watcher's first page")


def test_w20_one_bad_image_of_two(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=PODS02.replace("afakharany/watcher:latest", "afakharany/watcher:no-such-tag")).ok()
    cluster.wait_for(lambda: "ImagePullBackOff" in cluster.kubectl("get", "po").ok() or "ErrImagePull" in cluster.kubectl("get", "po").ok(), "the pull failure")
    assert re.search(r"webserver\s+1/2\s+(ErrImagePull|ImagePullBackOff)", cluster.wait_for(
        lambda: (t := cluster.kubectl("get", "po").ok()) and "1/2" in t and t, "the good container running"))  # fmt: skip


@pytest.mark.parametrize("version", oldest_and_newest())
def test_w22_managed_hosts_file(cluster: Cluster, version: str) -> None:
    cluster.kubectl("apply", "-f", write(cluster, "pods02.yaml", PODS02)).ok()
    cluster.wait_ready("webserver")
    text = cluster.kubectl("exec", "webserver", "-c", "webwatcher", "--", "cat", "/etc/hosts", version=version).ok()
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert f"{cluster.pod('webserver')['status']['podIP']}\twebserver\n" in text


def test_w23_a_shared_empty_dir(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", write(cluster, "pods03.yaml", PODS03)).ok()
    cluster.wait_ready("mc1")
    time.sleep(1.5)
    first = cluster.kubectl("exec", "mc1", "-c", "1st", "--", "/bin/cat", "/usr/share/nginx/html/index.html").ok()
    second = cluster.kubectl("exec", "mc1", "-c", "2nd", "--", "/bin/cat", "/html/index.html").ok()
    assert first and second.startswith(first)
    container = cluster.pod("mc1")["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
    cluster.crictl("stop", container).ok()
    cluster.wait_for(lambda: cluster.pod("mc1")["status"]["containerStatuses"][0]["restartCount"] == 1, "the restart")
    cluster.wait_ready("mc1")
    assert cluster.kubectl("exec", "mc1", "-c", "1st", "--", "/bin/cat", "/usr/share/nginx/html/index.html").ok().startswith(first)
    uid = cluster.pod("mc1")["metadata"]["uid"]
    cluster.kubectl("delete", "pod", "mc1", "--grace-period=1").ok()
    cluster.wait_for(lambda: not list(cluster.data_dir.glob(f"node/**/{uid}/volumes")), "the volume's removal")
