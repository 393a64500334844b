"""A Node told at length, with the Pods on it and what they ask for."""

from __future__ import annotations

from typing import Any

from kogia.cli.connection import Api
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
    if status.get("conditions"):
        w.line(0, "Conditions:")
        w.line(1, "Type", "Status", "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message")
        w.line(1, "----", "------", "-----------------", "------------------", "------", "-------")
        for c in status["conditions"]:
            w.line(1, c["type"], c["status"], moment(c.get("lastHeartbeatTime")), moment(c.get("lastTransitionTime")), c.get("reason", ""), c.get("message", ""))
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


def _pods(w: Writer, api: Api, node: Obj) -> None:
    from kogia.api import quantity
    from kogia.api.pods import limits, requests

    selector = f"spec.nodeName={node['metadata']['name']},status.phase!=Failed,status.phase!=Succeeded"
    pods = api.call("GET", "/api/v1/pods", query={"fieldSelector": selector})["items"]
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    w.line(0, "Non-terminated Pods:", f"({len(pods)} in total)")
    if pods:
        w.line(1, "Namespace", "Name", "", "CPU Requests", "CPU Limits", "Memory Requests", "Memory Limits", "Age")
        w.line(1, "---------", "----", "", "------------", "----------", "---------------", "-------------", "---")
    totals: dict[tuple[str, str], Any] = {}

    def share(which: str, resource: str, wanted: Obj) -> str:
        amount = quantity.parse(str(wanted.get(resource, "0")))
        totals[which, resource] = totals.get((which, resource), 0) + amount.value_exact
        whole = quantity.parse(str(allocatable.get(resource, "0"))).value_exact
        return f"{wanted.get(resource, '0')} ({int(100 * amount.value_exact / whole) if whole else 0}%)"

    for pod in pods:
        asked, capped = ({k: str(v) for k, v in f(pod).items()} for f in (requests, limits))
        w.line(1, pod["metadata"]["namespace"], pod["metadata"]["name"], "", share("requests", "cpu", asked), share("limits", "cpu", capped),
               share("requests", "memory", asked), share("limits", "memory", capped), age(pod["metadata"]["creationTimestamp"]))  # fmt: skip
    w.line(0, "Allocated resources:")
    w.line(1, "(Total limits may be over 100 percent, i.e., overcommitted.)")
    w.line(1, "Resource", "Requests", "Limits")
    w.line(1, "--------", "--------", "------")
    for resource in ("cpu", "memory"):
        whole = quantity.parse(str(allocatable.get(resource, "0"))).value_exact
        cells = []
        for which in ("requests", "limits"):
            total = totals.get((which, resource), 0)
            shown = f"{int(total * 1000)}m" if resource == "cpu" else str(int(total))
            cells.append(f"{shown} ({int(100 * total / whole) if whole else 0}%)")
        w.line(1, resource, *cells)
