"""`reset --yes` leaves no trace, whatever state the cluster is in; a second cluster on the machine is not disturbed by it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.support.cluster import free_port
from tests.support.machine import conmons, kill_everything, process_pid, traces

SERVE = "mkdir -p /www; hostname > /www/index.html; exec busybox httpd -f -p 8080 -h /www"


def fetch(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(url, timeout=5).read().decode()


def stop_the_server(own):
    os.kill(process_pid(own, "server"), signal.SIGSTOP)


@pytest.mark.parametrize("spoil", [None, kill_everything, stop_the_server], ids=["running", "all-killed", "server-hangs"])
def test_reset_leaves_no_trace(make_cluster, manifest, spoil):
    own = make_cluster("rb-reset")
    own.start()
    volumes = [{"name": "v", "emptyDir": {"medium": "Memory"}}]
    own.create(*(manifest(f"p-{i}", volumes=volumes, hostIPC=i == 1, hostNetwork=i == 2) for i in range(4)))
    own.wait_all_ready(4)
    own.create(*(manifest(f"half-{i}") for i in range(12)))
    time.sleep(0.2)
    if spoil is not None:
        spoil(own)
    assert traces(own)
    started = time.monotonic()
    assert "is gone" in own.local("reset", "--yes").ok()
    if spoil is not stop_the_server:
        assert time.monotonic() - started < 10
    assert traces(own) == []
    assert "nothing to do" in own.local("reset", "--yes").ok()
    own.start()  # and the machine is as good as new
    own.run_pod("fresh")


@pytest.mark.parametrize("before", [kill_everything, lambda own: None], ids=["all-killed", "running"])
def test_reset_finds_what_it_made_even_without_its_data_directory(make_cluster, before):
    """Someone removed /var/lib/kogia by hand: the rest still goes when the cluster is named."""
    own = make_cluster("rb-lost")
    own.start()
    own.run_pod("orphan")
    before(own)
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    subprocess.run(["umount", "-l", *(line.split()[4] for line in mounts if str(own.data_dir) in line)], check=True)
    own.wait_for(lambda: subprocess.run(["rm", "-rf", str(own.data_dir)], stderr=subprocess.DEVNULL).returncode == 0, "removed")
    own.local("reset", "--yes").ok()
    assert traces(own) == []


def test_reset_asks_first(cluster):
    answer = cluster.local("reset")
    assert answer.code == 1 and answer.err.count("\n") == 1 and "--yes" in answer.err
    assert cluster.local("status").code == 0


def test_two_clusters_do_not_disturb_each_other(make_cluster):
    first, second = make_cluster("rb-one"), make_cluster("rb-two")
    first.start()
    second.start()
    for one in (first, second):
        one.run_pod("web", SERVE)
    answers = {}
    for one in (first, second):
        address = one.pod("web")["status"]["podIP"]
        answers[one.name] = (address, one.container("web"))
        assert one.wait_for(lambda a=address: fetch(f"http://{a}:8080/"), "the page") == "web\n"
    assert answers["rb-one"][0] != answers["rb-two"][0]
    kept = conmons(second)
    assert len(kept) == 1 and not set(conmons(first)) & set(kept)
    first.local("reset", "--yes").ok()
    assert traces(first) == []
    assert conmons(second) == kept and second.container("web") == answers["rb-two"][1]
    assert fetch(f"http://{answers['rb-two'][0]}:8080/") == "web\n"
    assert second.kubectl("exec", "web", "--", "hostname").ok() == "web\n"
    second.run_pod("another")
    assert second.local("status").code == 0


def test_foreground_killed_by_force_is_taken_over_by_the_next_up(make_cluster):
    own = make_cluster("rb-front")
    command = [sys.executable, "-m", "kogia.main", "up", "--foreground", "--name", own.name, "--data-dir", str(own.data_dir), "--port", str(own.port)]
    front = subprocess.Popen(command, env=own.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    own.wait_for(lambda: own.local("status").code == 0, "both processes ready", 30)
    front.kill()
    front.wait()
    own.start()
    own.run_pod("web")


def test_a_name_belongs_to_one_data_directory(cluster):
    other = cluster.folder / "other"
    answer = cluster.kogia("up", "--name", cluster.name, "--data-dir", str(other), "--port", str(free_port()))
    assert answer.code == 1 and answer.err.count("\n") == 1 and str(cluster.data_dir) in answer.err
    assert not other.exists()
    assert "nothing to do" in cluster.kogia("reset", "--yes", "--name", cluster.name, "--data-dir", str(other)).ok()
    assert cluster.local("status").code == 0


def test_two_ups_at_once_start_one_cluster(make_cluster):
    own = make_cluster("rb-race")
    words = [sys.executable, "-m", "kogia.main", "up", "--name", own.name, "--data-dir", str(own.data_dir), "--port", str(own.port)]
    both = [subprocess.Popen(words, env=own.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0, 0], said
    assert sorted("was running" in out for out, _ in said) == [False, True, True]
    own.local("down").ok()
    assert not [line for line in traces(own) if line.startswith("process") and "kogia.main" in line]
