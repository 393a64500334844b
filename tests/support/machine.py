"""What one cluster has on this machine, found by looking at the machine itself: its processes, and the traces a reset must not leave."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from kogia.main.node import runtime_config
from tests.support.cluster import Cluster


def process_pid(cluster: Cluster, process: str) -> int:
    """The pid of the cluster's `server` or `node` from its pid file; 0 if it does not run."""
    path = cluster.data_dir / "run" / f"{process}.pid"
    try:
        pid = int(path.read_text().split()[0])
    except FileNotFoundError:
        return 0
    return pid if Path(f"/proc/{pid}").exists() else 0


def kill(pid: int) -> None:
    """SIGKILL, and wait until it is gone."""
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}/exe").exists() and time.monotonic() < deadline:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass
        time.sleep(0.002)


def argv(pid: int | str) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return [""]


def pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def conmons(cluster: Cluster) -> dict[str, int]:
    """Container id → pid of its conmon."""
    found = {}
    for pid in pids():
        words = argv(pid)
        if words[0].endswith("conmon") and any(str(cluster.data_dir) in w for w in words):
            found[words[words.index("-c") + 1]] = pid
    return found


def container_processes(cluster: Cluster) -> set[int]:
    """Every living process in a cgroup of the cluster."""
    root = runtime_config_of(cluster.name, str(cluster.data_dir)).cgroup_root
    found = set()
    for pid in pids():
        try:
            text = Path(f"/proc/{pid}/cgroup").read_text()
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state in "ZX":
            continue
        if any(line.split(":", 2)[2].startswith(root + "/") for line in text.splitlines()):
            found.add(pid)
    return found


def runtime_config_of(name: str, data_dir: str):  # type: ignore[no-untyped-def]
    from kogia.base.cluster import ClusterConfig

    return runtime_config(ClusterConfig(name=name, data_dir=data_dir))


def traces(cluster: Cluster) -> list[str]:
    """What of the cluster is on the machine: one line each, empty after a reset."""
    config = runtime_config_of(cluster.name, str(cluster.data_dir))
    found = [f"process {pid}: {' '.join(argv(pid))}" for pid in pids() if pid != os.getpid() and any(str(cluster.data_dir) in w for w in argv(pid))]
    found += [f"process {pid} in a cgroup" for pid in container_processes(cluster)]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found += [f"mount {line.split()[4]}" for line in mounts if str(cluster.data_dir) in line or f"{config.state_dir}/" in line]
    links = [n for n in os.listdir("/sys/class/net") if n == config.bridge or n.startswith(config.link_prefix)]
    found += [f"link {name}" for name in links]
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout.splitlines()
    found += [line for line in tables if f"kogia_{config.slug}_" in line or line.endswith(f"kogia_{config.slug}")]
    groups = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()]
    found += [f"cgroup {g}" for base in groups if (g := base / config.cgroup_root.lstrip("/")).is_dir()]
    found += [f"file {p}" for p in (config.state_dir, cluster.data_dir) if p.exists()]
    if cluster.kubeconfig.exists() and cluster.name in cluster.kubeconfig.read_text():
        found.append(f"context in {cluster.kubeconfig}")
    return found


def kill_everything(cluster: Cluster) -> None:
    """SIGKILL to server, node, every conmon and every container, as fast as they can be listed."""
    doomed = [process_pid(cluster, "server"), process_pid(cluster, "node"), *conmons(cluster).values(), *container_processes(cluster)]
    for pid in doomed:
        if pid:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
