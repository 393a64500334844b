"""An idle cluster costs nothing: after ten Pods have settled, both processes sleep. Bounds are wider than the goals, for busy test machines."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.support.machine import process_pid

SETTLE_S, WATCHED_S = 6.0, 12.0


def spent(pid: int) -> tuple[float, int]:
    """(CPU seconds, times scheduled) of all threads of a process so far."""
    cpu_ns = turns = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        ran, _, times = Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()
        cpu_ns, turns = cpu_ns + int(ran), turns + int(times)
    return cpu_ns / 1e9, turns


def memory_mib(pid: int) -> float:
    return sum(int(line.split()[1]) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:")) / 1024


def test_an_idle_cluster_sleeps(cluster, manifest):
    cluster.create(*(manifest(f"idle-{i}") for i in range(10)))
    cluster.wait_all_ready(10)
    time.sleep(SETTLE_S)
    both = [process_pid(cluster, name) for name in ("server", "node")]
    before = [spent(pid) for pid in both]
    time.sleep(WATCHED_S)
    used = [(now - then, turns - old) for (then, old), (now, turns) in zip(before, map(spent, both), strict=True)]
    share = sum(cpu for cpu, _ in used) / WATCHED_S
    assert share < 0.02, used  # goal 0.005 of one core
    assert sum(turns for _, turns in used) / WATCHED_S < 25, used
    memory = [memory_mib(pid) for pid in both]
    assert sum(memory) < 160, memory
    print(f"idle: {share:.4f} of a core, {used}, {memory} MiB")
