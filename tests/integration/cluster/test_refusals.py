"""What cannot be done is refused with one line that says what to do, exit status 1, and nothing half done."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys

import pytest

from tests.support.cluster import free_port
from tests.support.machine import traces


def one_line(result, *words):
    assert result.code == 1 and result.out == "" and result.err.count("\n") == 1, result
    for word in words:
        assert word in result.err
    return result.err


def as_nobody(cluster, *words):
    """`kogia WORDS…` as a user without rights, who may read the code and the kubeconfig."""
    setpriv = shutil.which("setpriv")
    command = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-m", "kogia.main", *words]
    done = subprocess.run(command, env=cluster.environment(), capture_output=True, text=True, timeout=30, cwd="/")
    return type("R", (), {"code": done.returncode, "out": done.stdout, "err": done.stderr})()


@pytest.mark.parametrize(("words", "says"), [
    (("--port", "99999"), "--port 99999"),
    (("--name", "Upper"), "--name Upper"),
    (("--name", "a-name-that-is-too-long"), "1 to 10"),
    (("--pod-cidr", "10.0.0.0/33"), "--pod-cidr"),
    (("--pod-cidr", "10.1.2.3/16"), "--pod-cidr"),
    (("--pod-cidr", "fd00::/64"), "IPv4"),
    (("--service-cidr", "10.96.0.0/30"), "--service-cidr"),
    (("--pod-cidr", "10.96.0.0/16"), "overlap"),
    (("--node-name", "Not_A_Name"), "--node-name"),
])  # fmt: skip
def test_settings_that_cannot_be(make_cluster, words, says):
    own = make_cluster("rb-bad")
    one_line(own.kogia("up", "--name", own.name, "--data-dir", str(own.data_dir), "--port", str(own.port), *words), says)
    assert traces(own) == []


@pytest.mark.parametrize("words", [("up", "--colour"), ("up", "--port", "many"), ("down", "now"), ("status", "-o", "xml")])
def test_options_that_are_not_there(make_cluster, words):
    own = make_cluster("rb-bad")
    one_line(own.kogia(words[0], "--name", own.name, "--data-dir", str(own.data_dir), *words[1:]), words[-1], "--help")
    assert traces(own) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
def test_a_port_in_use(make_cluster, host):
    own = make_cluster("rb-port")
    with socket.socket() as busy:
        busy.bind((host, 0))
        busy.listen()
        port = busy.getsockname()[1]
        one_line(own.kogia("up", "--name", own.name, "--data-dir", str(own.data_dir), "--port", str(port)), f"port {port} is in use", "--port")
        assert traces(own) == []
        answer = own.kogia("up", "--name", own.name, "--data-dir", str(own.data_dir), "--port", str(free_port()), "--kubelet-port", str(port))
        one_line(answer, f"port {port} is in use", "--kubelet-port")
        assert traces(own) == []


def test_no_cluster(make_cluster):
    own = make_cluster("rb-none")
    for command in ("down", "status", "kubeconfig", "logs"):
        one_line(own.local(command), "there is no cluster in", "kogia up")
    assert "nothing to do" in own.local("reset", "--yes").ok()


def test_a_data_directory_that_is_a_file(make_cluster):
    own = make_cluster("rb-file")
    own.data_dir.write_text("mine")
    one_line(own.local("up", "--port", str(own.port)), str(own.data_dir))
    assert own.data_dir.read_text() == "mine"
    own.data_dir.unlink()


def test_not_root(cluster):
    for folder in (cluster.folder, *cluster.folder.parents[:3]):
        os.chmod(folder, 0o755)
    probe = as_nobody(cluster, "version", "--client")
    if probe.code and "Permission" in probe.err + probe.out:
        pytest.fail(f"the tests' Python cannot be run by other users here: {probe.err}")
    for command in (("up", "--data-dir", "/var/lib/rb-nobody"), ("doctor",)):
        answer = as_nobody(cluster, *command)
        assert answer.code == 1 and "run this as root" in answer.err + answer.out, answer.err
    assert as_nobody(cluster, "status", "--data-dir", str(cluster.data_dir)).code == 0  # looking is free
    for command in ("down", "reset", "kubeconfig", "up"):
        one_line(as_nobody(cluster, command, "--data-dir", str(cluster.data_dir), *(["--yes"] if command == "reset" else [])), "root")
    assert cluster.local("status").code == 0 and not os.path.exists("/var/lib/rb-nobody")

    os.chmod(cluster.kubeconfig, 0o600)
    one_line(as_nobody(cluster, "get", "namespaces"), f"open {cluster.kubeconfig}: permission denied")
    os.chmod(cluster.kubeconfig, 0o644)
    answer = as_nobody(cluster, "get", "namespaces")
    assert answer.code == 0 and "kube-system" in answer.out, answer.err
    os.chmod(cluster.kubeconfig, 0o600)


def test_a_reader_that_goes_away(cluster):
    command = f"{sys.executable} -m kogia.main api-resources | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], env=cluster.environment(), capture_output=True, text=True, timeout=30)
    assert done.stderr == "" and done.stdout.startswith("NAME")
