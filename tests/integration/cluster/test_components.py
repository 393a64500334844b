"""Each component alone: API server, controller manager, scheduler and kubelet as four foreground processes make a Pod run (W10)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from kogia.base.cluster import load
from kogia.main.demo_image import make_demo_image
from tests.support.machine import traces

COMPONENTS = ("apiserver", "controller-manager", "scheduler", "kubelet")


def test_four_processes_make_a_pod_run(make_cluster, manifest):
    own = make_cluster("rb-four")
    running: dict[str, subprocess.Popen[bytes]] = {}

    def start(name: str) -> None:
        words = ["--name", own.name, "--data-dir", str(own.data_dir), "--port", str(own.port)]
        with open(own.folder / f"{name}.log", "ab") as log:
            running[name] = subprocess.Popen([sys.executable, "-m", "kogia.main", name, *words], env=own.environment(), stdout=log, stderr=log)

    def end(name: str, number: int = signal.SIGTERM) -> int:
        running[name].send_signal(number)
        return running.pop(name).wait(timeout=20)

    try:
        start("apiserver")
        own.wait_for(lambda: own.local("kubeconfig").code == 0, "the admin kubeconfig")
        own.kubeconfig.write_text(own.local("kubeconfig").ok())
        own.wait_for(lambda: own.kubectl("get", "--raw", "/readyz").code == 0, "the API answers")
        assert own.get("nodes")["items"] == []

        own.kubectl("create", "-f", "-", stdin='{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"early"}}').ok()
        assert own.kubectl("get", "serviceaccount", "default", "-n", "early").code == 1  # nobody makes it yet
        start("controller-manager")
        own.wait_for(lambda: own.kubectl("get", "serviceaccount", "default", "-n", "early").code == 0, "controllers work")

        start("kubelet")
        own.wait_for(lambda: own.get("nodes")["items"], "the node is registered")
        config = load(own.data_dir)
        assert config is not None
        make_demo_image(config)
        own.create(manifest("lonely"))
        own.wait_for(lambda: own.pod("lonely")["status"]["phase"] == "Pending", "made")
        assert "nodeName" not in own.pod("lonely")["spec"]  # nobody schedules yet
        start("scheduler")
        own.wait_ready("lonely")
        before = own.container("lonely")

        assert [end(name) for name in ("scheduler", "kubelet", "controller-manager")] == [0, 0, 0]
        assert end("apiserver", signal.SIGINT) == 0
        for name in COMPONENTS:  # in whatever order they come, they find each other
            start(name) if name != "apiserver" else None
        start("apiserver")
        own.wait_for(lambda: own.kubectl("get", "--raw", "/readyz").code == 0, "the API answers again")
        own.create(manifest("second"))
        own.wait_ready("second")
        assert own.container("lonely") == before
        for name in COMPONENTS:
            assert "Traceback" not in (own.folder / f"{name}.log").read_text(), name
    finally:
        for process in running.values():
            process.send_signal(signal.SIGTERM)
        for process in running.values():
            process.wait(timeout=20)
    assert any(line.startswith("process") for line in traces(own))  # the Pods go on


@pytest.mark.parametrize("server_was_there", [False, True], ids=["no-certificates-yet", "server-gone"])
def test_a_node_that_waits_for_its_server_ends_when_told(make_cluster, server_was_there):
    cluster = make_cluster("rb-wait")
    if server_was_there:
        cluster.up()
        cluster.local("down").ok()
    cluster.folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "kogia.main", "kubelet", "--name", cluster.name, "--data-dir", str(cluster.data_dir), "--port", str(cluster.port)]
    with open(cluster.folder / "waiting.log", "wb") as log:
        process = subprocess.Popen(command, env=cluster.environment(), cwd=cluster.folder, stdout=log, stderr=log)
    try:
        time.sleep(2)
        assert process.poll() is None, (cluster.folder / "waiting.log").read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(8) == 0
    finally:
        process.kill()
        process.wait()
