"""A Node told at length, with the Pods on it and what they ask for."""

from __future__ import annotations

from typing import Any

from kogia.cli.connection import Api, ApiFailure
from kogia.cli.describe.common import Writer, age, annotation_lines, moment, pairs

Obj = dict[str, Any]


def describe(api: Api, node: Obj) -> Writer:
    w, meta, spec, status = Writer(), node["metadata"], node.get("spec") or {}, node.get("status") or {}
    prefix = "node-role.kubernetes.io/"
    roles = sorted(k[len(prefix) :] for k in meta.get("labels") or {} if k.startswith(prefix))
    w.line(0, "Name:", meta["name"])
    w.line(0, "Roles:", ",".join(roles) or "<none>")
    pairs(w, "Labels", meta.get("labels"))
    annotation_lines(w, meta.get("annotations"))
    w.line(0, "CreationTimestamp:", moment(meta.get("creationTimestamp")))
    taints = [f"{t['key']}{'=' + t['value'] if t.get('value') else ''}:{t['effect']}" for t in spec.get("taints") or []]
    for i, text in enumerate(taints or ["<none>"]):
        w.line(0, "Taints:" if i == 0 else " ", text)
    w.line(0, "Unschedulable:", str(bool(spec.get("unschedulable"))).lower())
    _lease(w, api, meta["name"])
    if status.get("conditions"):
        w.line(0, "Conditions:")
        w.line(1, "Type", "Status", "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message")
        w.line(1, "----", "------", "-----------------", "------------------", "------", "-------")
        for c in status["conditions"]:
            cells = [c["type"], c["status"], moment(c.get("lastHeartbeatTime")), moment(c.get("lastTransitionTime")), c.get("reason", "")]
            w.line(1, *(cell + " " for cell in cells), c.get("message", ""))
    w.line(0, "Addresses:")
    for address in status.get("addresses") or []:
        w.line(1, f"{address['type']}:", address["address"])
    for title, key in (("Capacity", "capacity"), ("Allocatable", "allocatable")):
        w.line(0, f"{title}:")
        for name, value in sorted((status.get(key) or {}).items()):
            w.line(1, f"{name}:", value)
    _system_info(w, status.get("nodeInfo") or {})
    if spec.get("podCIDR"):
        w.line(0, "PodCIDR:", spec["podCIDR"])
        w.line(0, "PodCIDRs:", ",".join(spec.get("podCIDRs") or [spec["podCIDR"]]))
    _pods(w, api, node)
    return w


def _system_info(w: Writer, info: Obj) -> None:
    w.line(0, "System Info:")
    for title, key in (("Machine ID", "machineID"), ("System UUID", "systemUUID"), ("Boot ID", "bootID"), ("Kernel Version", "kernelVersion"),
                       ("OS Image", "osImage"), ("Operating System", "operatingSystem"), ("Architecture", "architecture"),
                       ("Container Runtime Version", "containerRuntimeVersion"), ("Kubelet Version", "kubeletVersion"),
                       ("Kube-Proxy Version", "kubeProxyVersion")):  # fmt: skip
        w.line(1, f"{title}:", info.get(key, ""))


def _lease(w: Writer, api: Api, name: str) -> None:
    """The node's heartbeat; nothing if it has none or it may not be read."""
    try:
        spec = api.call("GET", f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}").get("spec") or {}
    except ApiFailure:
        return
    w.line(0, "Lease:")
    w.line(1, "HolderIdentity:", spec.get("holderIdentity") or "<unset>")
    w.line(1, "AcquireTime:", moment(spec.get("acquireTime")))
    w.line(1, "RenewTime:", moment(spec.get("renewTime")))


def _pods(w: Writer, api: Api, node: Obj) -> None:
    from kogia.api.pods import limits, requests

    selector = f"spec.nodeName={node['metadata']['name']},status.phase!=Failed,status.phase!=Succeeded"
    pods = api.call("GET", "/api/v1/pods", query={"fieldSelector": selector})["items"]
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    totals: dict[tuple[str, str], Any] = {}
    w.line(0, "Non-terminated Pods:", f"({len(pods)} in total)")
    if pods:
        w.line(1, "Namespace", "Name", "", "CPU Requests", "CPU Limits", "Memory Requests", "Memory Limits", "Age")
        w.line(1, "---------", "----", "", "------------", "----------", "---------------", "-------------", "---")
    for pod in pods:
        meta = pod["metadata"]
        wanted = {"requests": {k: str(v) for k, v in requests(pod).items()}, "limits": {k: str(v) for k, v in limits(pod).items()}}
        for which, amounts in wanted.items():
            for name, amount in amounts.items():
                totals[which, name] = totals.get((which, name), 0) + exact(amount)
        cells = [f"{wanted[which].get(name, '0')} ({percent(wanted[which].get(name), allocatable.get(name))}%)"
                 for name in ("cpu", "memory") for which in ("requests", "limits")]  # fmt: skip
        w.line(1, meta["namespace"], meta["name"], "", *cells, age(meta["creationTimestamp"]))
    _allocated(w, totals, allocatable)


def _allocated(w: Writer, totals: dict[tuple[str, str], Any], allocatable: Obj) -> None:
    """The sums of what the Pods ask for, beside what the node has."""
    w.line(0, "Allocated resources:")
    w.line(1, "(Total limits may be over 100 percent, i.e., overcommitted.)")
    w.line(1, "Resource", "Requests", "Limits")
    w.line(1, "--------", "--------", "------")
    others = sorted(k for k in allocatable if k not in ("cpu", "memory", "ephemeral-storage", "pods"))
    for name in ("cpu", "memory", "ephemeral-storage", *others):
        cells = []
        for which in ("requests", "limits"):
            total = totals.get((which, name), 0)
            share = f" ({percent(total, allocatable.get(name))}%)" if name in ("cpu", "memory", "ephemeral-storage") or name.startswith("hugepages-") else ""
            cells.append(amount_text(name, total) + share)
        w.line(1, name, *cells)


def exact(amount: Any) -> Any:
    from kogia.api import quantity

    return quantity.parse(str(amount)).value_exact if amount is not None else 0


def percent(amount: Any, whole: Any) -> int:
    total = exact(whole)
    return int(100 * (exact(amount) if isinstance(amount, str | None) else amount) / total) if total else 0


def amount_text(name: str, total: Any) -> str:
    """A sum in the unit people use: milli-CPUs, or the largest binary unit that leaves no rest."""
    if name == "cpu":
        return f"{int(total * 1000)}m" if total else "0"
    number = int(total)
    for unit in ("Ti", "Gi", "Mi", "Ki"):
        size = 1024 ** ("KMGT".index(unit[0]) + 1)
        if number and number % size == 0:
            return f"{number // size}{unit}"
    return str(number)
