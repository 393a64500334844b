"""Resource use of Pods and the node, as metrics-server and `kubectl top` read it: /stats/summary, /metrics/resource, /metrics.

Made on demand from one CRI call; nothing is sampled in the background. Source: kubelet stats/v1alpha1 types, server/metrics.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kogia.base.clock import rfc3339
from kogia.cri import types as t
from kogia.kubelet.node_context import NodeContext
from kogia.kubelet.runtime_config import POD_UID

if TYPE_CHECKING:
    from kogia.kubelet.kubelet import Kubelet
    from kogia.kubelet.pod_worker import PodWorker

Obj = dict[str, Any]


def _container(found: t.ContainerStats) -> Obj:
    when = rfc3339(found.timestamp / 1e9)
    return {
        "name": found.metadata.name,
        "startTime": when,
        "cpu": {"time": when, "usageCoreNanoSeconds": found.cpu_usage_core_nanoseconds},
        "memory": {
            "time": when, "usageBytes": found.memory_usage_bytes, "workingSetBytes": found.memory_working_set_bytes, "rssBytes": found.memory_rss_bytes,
        },
        "rootfs": {"time": when, "usedBytes": found.writable_layer_used_bytes, "inodesUsed": found.writable_layer_inodes_used},
    }


def _node_usage() -> tuple[int, int]:
    """(CPU nanoseconds since boot, memory in use) of the machine."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    busy = sum(int(w) for i, w in enumerate(words[:8]) if i not in (3, 4))
    memory = {k: int(v.split()[0]) for k, _, v in (line.partition(":") for line in Path("/proc/meminfo").read_text().splitlines()) if v}
    return busy * 1_000_000_000 // os.sysconf("SC_CLK_TCK"), (memory["MemTotal"] - memory.get("MemAvailable", 0)) * 1024


async def summary(node: NodeContext, workers: Mapping[str, PodWorker]) -> Obj:
    """`/stats/summary`. Errors: CriError."""
    by_pod: dict[str, list[Obj]] = defaultdict(list)
    for found in await node.runtime.list_container_stats():
        by_pod[found.labels.get(POD_UID, "")].append(_container(found))
    now = rfc3339(node.clock.now())
    pods = []
    for uid, worker in workers.items():
        containers = by_pod.get(uid, [])
        metadata = worker.pod["metadata"]
        pods.append({
            "podRef": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": uid},
            "startTime": worker.state.status.get("startTime"),
            "containers": containers,
            "cpu": {"time": now, "usageCoreNanoSeconds": sum(c["cpu"]["usageCoreNanoSeconds"] for c in containers)},
            "memory": {"time": now, "workingSetBytes": sum(c["memory"]["workingSetBytes"] for c in containers)},
        })  # fmt: skip
    cpu, memory = _node_usage()
    return {
        "node": {
            "nodeName": node.config.node_name, "startTime": rfc3339(node.clock.now() - time.monotonic()),
            "cpu": {"time": now, "usageCoreNanoSeconds": cpu}, "memory": {"time": now, "workingSetBytes": memory, "usageBytes": memory},
        },
        "pods": pods,
    }


def resource_metrics(found: Obj) -> str:
    """The summary as `/metrics/resource`, which metrics-server scrapes."""
    lines = []
    for name, kind in (("container_cpu_usage_seconds_total", "cpu"), ("container_memory_working_set_bytes", "memory")):
        lines.append(f"# TYPE {name} {'counter' if kind == 'cpu' else 'gauge'}")
        for pod in found["pods"]:
            ref = pod["podRef"]
            for container in pod["containers"]:
                value = container["cpu"]["usageCoreNanoSeconds"] / 1e9 if kind == "cpu" else container["memory"]["workingSetBytes"]
                lines.append(f'{name}{{container="{container["name"]}",namespace="{ref["namespace"]}",pod="{ref["name"]}"}} {value}')
    node = found["node"]
    lines += ["# TYPE node_cpu_usage_seconds_total counter", f"node_cpu_usage_seconds_total {node['cpu']['usageCoreNanoSeconds'] / 1e9}"]
    lines += ["# TYPE node_memory_working_set_bytes gauge", f"node_memory_working_set_bytes {node['memory']['workingSetBytes']}"]
    return "\n".join(lines) + "\n"


def metrics(kubelet: Kubelet) -> str:
    """A few figures of the agent itself."""
    workers = kubelet.workers.values()
    running = sum(r.running for w in workers for r in w.state.records.values())
    lines = [
        "# TYPE kubelet_running_pods gauge", f"kubelet_running_pods {sum(w.state.sandbox is not None for w in workers)}",
        "# TYPE kubelet_running_containers gauge", f'kubelet_running_containers{{container_state="running"}} {running}',
        "# TYPE kogia_kubelet_status_writes_total counter", f"kogia_kubelet_status_writes_total {kubelet.node.statuses.writes}",
    ]
    return "\n".join(lines) + "\n"
