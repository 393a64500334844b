#!/usr/bin/env python3
"""Figures of a whole cluster: start-up, memory, idle CPU, one command line call; with --yardsticks also Pod latency and API load.

    bench/cluster.py [--yardsticks FOLDER] [--starts 5] [--idle 20] [--out bench/out/cluster.json]

Starts a cluster of its own (name `bench`), measures, removes it. The yardstick scripts (pod_latency.py, api_load.py) are those that also measure
upstream; they are run as they are. Root only; two cores are enough, but nothing else should run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.support.cluster import Cluster, kubectls  # noqa: E402


def start_up(folder: Path, times: int) -> dict[str, object]:
    """Seconds from `kogia up` to the API's first answer and to the node's Ready, on a fresh and on an existing data directory."""
    fresh, again, to_api = [], [], []
    for i in range(times):
        cluster = Cluster("bench", folder / f"start{i}")
        cluster.folder.mkdir(parents=True)
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "kogia.main", "up", "--name", cluster.name, "--data-dir", str(cluster.data_dir), "--port", str(cluster.port), "--quiet"],
            env=cluster.environment(), cwd=cluster.folder,
        )  # fmt: skip
        while not cluster.kubeconfig.exists() or cluster.kubectl("get", "ns").code:
            time.sleep(0.005)
        to_api.append(time.monotonic() - began)
        assert process.wait() == 0
        fresh.append(time.monotonic() - began)
        cluster.local("down").ok()
        began = time.monotonic()
        cluster.local("up").ok()
        again.append(time.monotonic() - began)
        cluster.down()
    shown = lambda values: {"median_s": round(statistics.median(values), 3), "max_s": round(max(values), 3)}  # noqa: E731
    return {"up_to_kubectl_get_ns": shown(to_api), "up_to_node_ready_fresh": shown(fresh), "up_to_node_ready_again": shown(again)}


def processes(cluster: Cluster) -> dict[str, int]:
    return {p: int((cluster.data_dir / "run" / f"{p}.pid").read_text().split()[0]) for p in ("server", "node")}


def memory_mib(pid: int) -> dict[str, float]:
    fields = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("Rss", "Pss"):
            fields[name.lower()] = round(int(value.split()[0]) / 1024, 1)
    return fields


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle(cluster: Cluster, seconds: int) -> dict[str, object]:
    """Memory and the share of one core while nothing happens."""
    time.sleep(5)
    pids = processes(cluster)
    before = {p: cpu_seconds(pid) for p, pid in pids.items()}
    time.sleep(seconds)
    cpu = {p: round(100 * (cpu_seconds(pid) - before[p]) / seconds, 2) for p, pid in pids.items()}
    memory = {p: memory_mib(pid) for p, pid in pids.items()}
    return {"memory_mib": memory, "rss_total_mib": round(sum(m["rss"] for m in memory.values()), 1),
            "pss_total_mib": round(sum(m["pss"] for m in memory.values()), 1), "cpu_percent_of_a_core": cpu, "cpu_total": round(sum(cpu.values()), 2)}  # fmt: skip


def command_line(cluster: Cluster, times: int = 10) -> dict[str, object]:
    """CPU and wall seconds of one `get pods`, Kogia's and kubectl's, and of `kogia version --client`."""
    commands = {
        "kogia_get_pods": [sys.executable, "-m", "kogia.main", "get", "pods"], "kubectl_get_pods": [list(kubectls().values())[-1], "get", "pods"],
        "kogia_version_client": [sys.executable, "-m", "kogia.main", "version", "--client"],
    }  # fmt: skip
    out: dict[str, object] = {}
    for name, command in commands.items():
        walls, cpus = [], []
        for _ in range(times):
            began, child = time.monotonic(), os.times()
            subprocess.run(command, env=cluster.environment(), capture_output=True, check=True, cwd=cluster.folder)
            after = os.times()
            walls.append(time.monotonic() - began)
            cpus.append(after.children_user + after.children_system - child.children_user - child.children_system)
        out[name] = {"wall_ms": round(1000 * statistics.median(walls), 1), "cpu_ms": round(1000 * statistics.median(cpus), 1)}
    return out


def yardstick(cluster: Cluster, folder: Path, script: str, *options: str) -> object:
    done = subprocess.run([sys.executable, str(folder / script), *options], env=cluster.environment(), capture_output=True, text=True, timeout=900)
    return json.loads(done.stdout) if done.returncode == 0 else {"error": done.stderr[-500:]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--yardsticks", type=Path)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--idle", type=int, default=20)
    parser.add_argument("--burst", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--skip", default="", help="comma-separated: starts, idle, cli, pods, api")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "out" / "cluster.json")
    options = parser.parse_args()
    skip = set(options.skip.split(","))
    folder = Path(tempfile.mkdtemp(prefix="kogia-bench-"))
    figures: dict[str, object] = {"when": time.strftime("%Y-%m-%d %H:%M", time.gmtime()), "python": sys.version.split()[0], "cores": os.cpu_count()}
    try:
        if "starts" not in skip:
            figures["start"] = start_up(folder, options.starts)
        cluster = Cluster("bench", folder / "main")
        cluster.folder.mkdir()
        cluster.up()
        try:
            measure(cluster, options, skip, figures)
        finally:
            cluster.down()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


def measure(cluster: Cluster, options: argparse.Namespace, skip: set[str], figures: dict[str, object]) -> None:
    from kogia.base.cluster import load
    from kogia.main.demo_image import NAME, make_demo_image

    config = load(cluster.data_dir)
    assert config is not None
    make_demo_image(config)
    if "idle" not in skip:
        figures["idle"] = idle(cluster, options.idle)
    if "cli" not in skip:
        figures["command_line"] = command_line(cluster)
    if options.yardsticks and "pods" not in skip:
        figures["pods"] = yardstick(cluster, options.yardsticks, "pod_latency.py", "--image", NAME, "--serial", "20", "--burst", str(options.burst))
        figures["after_pods"] = idle(cluster, 5)
    if options.yardsticks and "api" not in skip:
        token = cluster.folder / "token"
        cluster.kubectl("create", "serviceaccount", "yard", "-n", "kube-system").ok()
        cluster.kubectl("create", "clusterrolebinding", "yard", "--clusterrole=cluster-admin", "--serviceaccount=kube-system:yard").ok()
        token.write_text(cluster.kubectl("create", "token", "yard", "-n", "kube-system").ok())
        server = f"https://127.0.0.1:{cluster.port}"
        figures["api"] = yardstick(cluster, options.yardsticks, "api_load.py", "--server", server, "--token-file", str(token), "--seconds", str(options.seconds))
        figures["server_after_load_mib"] = memory_mib(processes(cluster)["server"])


if __name__ == "__main__":
    main()
