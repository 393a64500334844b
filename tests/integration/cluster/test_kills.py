"""Any process may be killed at any moment: kill -9 of the node, the server, a conmon, a container, at rest and in mid-work."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import threading
import time

import pytest

from kogia.main.pki import PkiPaths
from tests.support.machine import conmons, container_processes, kill, kill_everything, process_pid


def running_containers(cluster):
    """(Pod, container) → ids of what runs, as the runtime itself says."""
    out = {}
    for c in json.loads(cluster.crictl("ps", "-o", "json").ok())["containers"]:
        out.setdefault((c["labels"]["io.kubernetes.pod.name"], c["metadata"]["name"]), []).append(c["id"])
    return out


def kill_all_of(cluster, *which):
    for process in which:
        kill(process_pid(cluster, process))


@pytest.mark.parametrize("which", [("node",), ("server",), ("server", "node")], ids="+".join)
def test_killed_at_rest_nothing_restarts(cluster, manifest, which):
    cluster.create(*(manifest(f"rest-{i}") for i in range(5)))
    cluster.wait_all_ready(5)
    before = {p["metadata"]["name"]: p["status"]["containerStatuses"] for p in cluster.all_pods()}
    kill_all_of(cluster, *which)
    assert cluster.local("status").code == 1
    cluster.up()
    time.sleep(1)  # whatever would go wrong has its chance
    assert {p["metadata"]["name"]: p["status"]["containerStatuses"] for p in cluster.all_pods()} == before
    assert len(cluster.ready_pods()) == 5 and len(conmons(cluster)) == 5
    cluster.run_pod("after")
    assert cluster.kubectl("exec", "rest-0", "--", "echo", "hi").ok() == "hi\n"


@pytest.mark.parametrize("which", [("node",), ("server",), ("server", "node")], ids="+".join)
@pytest.mark.parametrize("after_s", [0.15, 0.5])
def test_killed_while_twenty_pods_start(cluster, manifest, which, after_s):
    cluster.create(*(manifest(f"mid-{i}") for i in range(20)))
    time.sleep(after_s)
    kill_all_of(cluster, *which)
    ran = {cid for cid, pid in conmons(cluster).items() if os.path.exists(cluster.data_dir / "node/runtime/containers" / cid / "state.json")
           and json.loads((cluster.data_dir / "node/runtime/containers" / cid / "state.json").read_text())["state"] == 1}  # fmt: skip
    cluster.up()
    cluster.wait_all_ready(20)
    running = running_containers(cluster)
    assert len(running) == 20 and all(len(ids) == 1 for ids in running.values())
    assert ran <= {ids[0] for ids in running.values()}, "what ran was restarted"
    assert set(conmons(cluster)) == {ids[0] for ids in running.values()}
    addresses = [p["status"]["podIP"] for p in cluster.all_pods()]
    assert len(set(addresses)) == 20


def test_an_exit_while_the_node_was_down_is_noticed(cluster, manifest):
    cluster.create(manifest("ender", "until [ -e /tmp/end ]; do sleep 0.05; done; exit 7"), manifest("never", "until [ -e /tmp/end ]; do sleep 0.05; done; exit 5",
                   restartPolicy="Never"), manifest("fine", "until [ -e /tmp/end ]; do sleep 0.05; done", restartPolicy="OnFailure"))  # fmt: skip
    cluster.wait_all_ready(3)
    before = cluster.container("ender")
    script = "for i in 1 2 3 4 5 6 7 8; do sleep 0.1; done; touch /tmp/end"
    for name in ("ender", "never", "fine"):
        cluster.kubectl("exec", name, "--", "sh", "-c", f"({script}) >/dev/null 2>&1 &").ok()
    kill_all_of(cluster, "node")
    cluster.wait_for(lambda: not conmons(cluster), "all three ended", 20)
    cluster.up()
    cluster.wait_for(lambda: cluster.container("ender").get("restartCount") == 1, "restarted")
    ended = cluster.container("ender")["lastState"]["terminated"]
    assert ended["exitCode"] == 7 and ended["reason"] == "Error" and ended["containerID"] == before["containerID"]
    cluster.wait_for(lambda: cluster.pod("never")["status"]["phase"] == "Failed" and cluster.pod("fine")["status"]["phase"] == "Succeeded", "ended")
    never, fine = cluster.container("never"), cluster.container("fine")
    assert never["state"]["terminated"]["exitCode"] == 5 and never["restartCount"] == 0
    assert fine["state"]["terminated"]["reason"] == "Completed" and fine["restartCount"] == 0


def test_a_pod_deleted_while_the_node_was_down_is_cleaned_up(cluster, manifest):
    cluster.create(manifest("gone"), manifest("stays"))
    cluster.wait_all_ready(2)
    kept = cluster.container("stays")["containerID"].rpartition("/")[2]
    kill_all_of(cluster, "node")
    cluster.kubectl("delete", "pod", "gone", "--grace-period=0", "--force").ok()
    cluster.up()
    cluster.wait_for(lambda: set(conmons(cluster)) == {kept}, "the deleted Pod's container is gone")
    cluster.wait_for(lambda: len(cluster.crictl("pods", "-q").ok().split()) == 1, "its sandbox is gone")
    assert len(list((cluster.data_dir / "node/kubelet/pods").iterdir())) == 1


def test_a_graceful_deletion_cut_off_by_a_kill_is_finished(cluster):
    cluster.run_pod("slow", 'trap "sleep 2; exit 0" TERM; while :; do sleep 3600 & wait; done', terminationGracePeriodSeconds=20)
    cluster.kubectl("delete", "pod", "slow", "--wait=false").ok()
    time.sleep(0.3)
    kill_all_of(cluster, "node")
    cluster.up()
    cluster.wait_for(lambda: cluster.kubectl("get", "pod", "slow").code == 1, "deleted", 15)
    assert not conmons(cluster)


def test_a_killed_conmon_costs_one_restart(cluster):
    cluster.run_pod("widow")
    (cid, pid), = conmons(cluster).items()  # fmt: skip
    kill(pid)
    cluster.wait_for(lambda: cluster.container("widow").get("restartCount") == 1 and cluster.container("widow")["ready"], "restarted")
    status = cluster.container("widow")
    assert status["lastState"]["terminated"]["containerID"].endswith(cid) and status["lastState"]["terminated"]["reason"] == "Error"
    assert set(conmons(cluster)) == {status["containerID"].rpartition("/")[2]}
    assert status["lastState"]["terminated"]["exitCode"] != 0 and status["lastState"]["terminated"].get("message")
    started = [e for e in cluster.events("widow") if e["reason"] == "Started"]
    assert sum(e.get("count", 1) for e in started) == 2


def test_a_conmon_killed_while_the_node_was_down(cluster):
    cluster.run_pod("widow2")
    kill_all_of(cluster, "node")
    kill(next(iter(conmons(cluster).values())))
    cluster.up()
    cluster.wait_for(lambda: cluster.container("widow2").get("restartCount") == 1 and cluster.container("widow2")["ready"], "restarted")
    assert len(conmons(cluster)) == 1


def test_a_killed_container_process_is_an_error_137(cluster):
    cluster.run_pod("victim")
    cid = cluster.container("victim")["containerID"].rpartition("/")[2]
    main = int(json.loads(cluster.crictl("inspect", cid).ok())["info"]["pid"])
    kill(main)
    cluster.wait_for(lambda: cluster.container("victim").get("restartCount") == 1 and cluster.container("victim")["ready"], "restarted")
    ended = cluster.container("victim")["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "Error")


def test_everything_killed_at_once_comes_back(cluster, manifest):
    cluster.create(*(manifest(f"phoenix-{i}") for i in range(5)))
    cluster.wait_all_ready(5)
    kill_everything(cluster)
    cluster.wait_for(lambda: not container_processes(cluster) and not conmons(cluster), "all dead")
    cluster.up()
    cluster.wait_for(lambda: all(cluster.container(f"phoenix-{i}").get("restartCount", 0) == 1 for i in range(5)), "each restarted once")
    cluster.wait_all_ready(5)
    assert len(conmons(cluster)) == 5


def test_what_the_server_acknowledged_is_there_after_a_kill(cluster):
    """Eight connections create ConfigMaps one after the other until the server dies under them."""
    paths = PkiPaths(cluster.data_dir / "pki")
    context = ssl.create_default_context(cafile=str(paths.ca_cert))
    context.load_cert_chain(paths.admin_cert, paths.admin_key)
    acknowledged: list[str] = []

    def write(worker: int) -> None:
        connection = http.client.HTTPSConnection("127.0.0.1", cluster.port, context=context, timeout=30)
        for i in range(100_000):
            body = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"w{worker}-{i}"}, "data": {"n": str(i)}})
            try:
                connection.request("POST", "/api/v1/namespaces/default/configmaps", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                return
            assert answer.status == 201
            acknowledged.append(f"w{worker}-{i}")

    writers = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for writer in writers:
        writer.start()
    cluster.wait_for(lambda: len(acknowledged) > 1000, "writes under way")
    kill_all_of(cluster, "server")
    for writer in writers:
        writer.join()
    cluster.up()
    there = {c["metadata"]["name"]: c["data"] for c in cluster.get("configmaps")["items"] if c["metadata"]["name"].startswith("w")}
    assert set(acknowledged) <= set(there) and len(there) <= len(acknowledged) + 8
    assert all(data == {"n": name.partition("-")[2]} for name, data in there.items())
    cluster.kubectl("delete", "configmaps", "--all", "--wait=false").ok()
