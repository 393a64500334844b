"""`up`, `down`, `status`, `logs`, `kubeconfig`, `doctor` and foreground mode: Pods outlive Kogia's own processes and are adopted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

from tests.support.machine import conmons, container_processes, process_pid


def test_up_twice_is_harmless(cluster):
    before = (process_pid(cluster, "server"), process_pid(cluster, "node"))
    assert all(before)
    said = cluster.local("up").ok()
    assert "was running" in said and str(cluster.port) in said
    assert (process_pid(cluster, "server"), process_pid(cluster, "node")) == before


def test_pods_go_on_while_it_is_down_and_are_adopted(cluster):
    cluster.run_pod("steady", 'trap "exit 0" TERM; n=0; while :; do echo line $n; n=$((n+1)); sleep 0.1 & wait $!; done')
    before = cluster.container("steady")
    conmon = conmons(cluster)
    said = cluster.local("down").ok()
    assert "is down" in said and "go on" in said
    assert cluster.local("status").code == 1 and not process_pid(cluster, "server") and not process_pid(cluster, "node")
    assert conmons(cluster) == conmon and container_processes(cluster)
    assert "was not running" in cluster.local("down").ok()

    cluster.up()
    cluster.wait_ready("steady")
    after = cluster.container("steady")
    assert after["containerID"] == before["containerID"] and after["restartCount"] == 0 and after["state"] == before["state"]
    assert conmons(cluster) == conmon
    assert cluster.kubectl("exec", "steady", "--", "sh", "-c", "echo from inside").ok() == "from inside\n"
    log = cluster.spawn("logs", "-f", "--tail=1", "steady")
    try:
        lines = [log.stdout.readline() for _ in range(4)]
        numbers = [int(line.split()[1]) for line in lines]
        assert numbers == list(range(numbers[0], numbers[0] + 4))
    finally:
        log.kill()
        log.communicate()
    everything = cluster.kubectl("logs", "steady").ok().splitlines()
    assert everything[:3] == ["line 0", "line 1", "line 2"] and [int(x.split()[1]) for x in everything] == list(range(len(everything)))


def test_down_with_pods_stops_them_and_up_runs_them_anew(cluster):
    cluster.run_pod("again")
    before = cluster.container("again")["containerID"]
    assert "were stopped" in cluster.local("down", "--pods").ok()
    assert not conmons(cluster) and not container_processes(cluster)
    cluster.up()
    cluster.wait_for(lambda: cluster.container("again").get("containerID") not in (None, before) and cluster.container("again")["ready"], "run anew")
    assert cluster.container("again")["restartCount"] == 1
    assert cluster.kubectl("exec", "again", "--", "echo", "yes").ok() == "yes\n"


def test_down_with_pods_when_it_is_down_already(cluster):
    cluster.run_pod("late")
    cluster.local("down").ok()
    assert conmons(cluster)
    cluster.local("down", "--pods").ok()
    assert not conmons(cluster) and not container_processes(cluster)


def test_status_logs_kubeconfig_doctor(cluster):
    report = json.loads(cluster.local("status", "-o", "json").ok())
    assert report["name"] == cluster.name and report["server"].endswith(str(cluster.port))
    assert report["serverProcess"].startswith("running (pid") and report["nodeProcess"].startswith("running (pid")
    assert "running (pid" in cluster.local("status").ok()
    assert "API server listens" in cluster.local("logs", "--component", "server", "--tail", "1000").ok()
    both = cluster.local("logs", "--tail", "1000").ok()
    assert "server.log" in both and "is ready" in both
    own = cluster.folder / "own-kubeconfig"
    own.write_text(cluster.local("kubeconfig").ok())
    assert cluster.kubectl("--kubeconfig", str(own), "get", "ns", "default", "-o", "name").ok() == "namespace/default\n"
    assert cluster.kubectl("config", "current-context").ok().strip() == cluster.name
    assert "can run Pods" in cluster.kogia("doctor").ok()


def test_the_log_of_kogia_is_followed(cluster):
    command = [sys.executable, "-m", "kogia.main", "logs", "-f", "--component", "server", "--data-dir", str(cluster.data_dir)]
    follower = subprocess.Popen(command, env=cluster.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        time.sleep(0.5)
        follower.send_signal(signal.SIGINT)
        out, err = follower.communicate(timeout=10)
        assert "API server listens" in out and "Traceback" not in err
    finally:
        follower.kill()


def test_foreground_ends_with_sigterm_and_pods_go_on(make_cluster):
    own = make_cluster("rb-fg")
    command = [sys.executable, "-m", "kogia.main", "up", "--foreground", "--name", own.name, "--data-dir", str(own.data_dir), "--port", str(own.port)]
    front = subprocess.Popen(command, env=own.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        own.wait_for(lambda: own.local("status").code == 0, "both processes ready", 30)
        own.local("up").ok()  # finds it running; adds the context
        assert own.kubectl("get", "nodes", "-o", "name").ok().startswith("node/")
        front.send_signal(signal.SIGTERM)
        out, _ = front.communicate(timeout=20)
        assert front.returncode == 0, out
        assert "API server listens" in out and "Traceback" not in out
        assert not process_pid(own, "server") and not process_pid(own, "node")
    finally:
        front.kill()
