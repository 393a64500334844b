"""Constraints between a Pod and one node's own properties: its name, cordon, taints, labels and host ports.

Source: kube-scheduler plugins nodename, nodeunschedulable, tainttoleration, nodeaffinity, nodeports.
"""

from __future__ import annotations

from collections.abc import Sequence

from kogia.api import nodes as api_nodes
from kogia.scheduler.framework import ClusterEvent, Code, NodeFilter, NodeScorer, Rejection, default_normalize
from kogia.scheduler.snapshot import HostPort, NodeInfo, PodInfo, Snapshot

_ANY_IP = ("0.0.0.0", "::", "")


def _unresolvable(plugin: str, reason: str) -> Rejection:
    return Rejection(plugin, (reason,), Code.UNRESOLVABLE)


class NodeName:
    name = "NodeName"
    events = ClusterEvent.NODE_ADD

    def prepare_filter(self, pod: PodInfo, snapshot: Snapshot) -> NodeFilter | None:
        wanted = (pod.pod.get("spec") or {}).get("nodeName")
        if not wanted:
            return None
        rejection = _unresolvable(self.name, "node(s) didn't match the requested node name")
        return lambda node: None if node.name == wanted else rejection


class NodeUnschedulable:
    name = "NodeUnschedulable"
    events = ClusterEvent.NODE_ADD | ClusterEvent.NODE_TAINTS

    def prepare_filter(self, pod: PodInfo, snapshot: Snapshot) -> NodeFilter | None:
        taint = {"key": api_nodes.TAINT_UNSCHEDULABLE, "effect": api_nodes.NO_SCHEDULE}
        if api_nodes.tolerated((pod.pod.get("spec") or {}).get("tolerations") or (), taint):
            return None
        rejection = _unresolvable(self.name, "node(s) were unschedulable")
        return lambda node: rejection if node.unschedulable else None


class TaintToleration:
    name = "TaintToleration"
    events = ClusterEvent.NODE_ADD | ClusterEvent.NODE_TAINTS
    weight = 3

    def prepare_filter(self, pod: PodInfo, snapshot: Snapshot) -> NodeFilter:
        tolerations = (pod.pod.get("spec") or {}).get("tolerations") or ()

        def check(node: NodeInfo) -> Rejection | None:
            if not node.taints:
                return None
            taint = api_nodes.untolerated_taint(node.taints, tolerations)
            if taint is None:
                return None
            return _unresolvable(self.name, f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value') or ''}}}")

        return check

    def prepare_score(self, pod: PodInfo, nodes: Sequence[NodeInfo]) -> NodeScorer | None:
        """Counts PreferNoSchedule taints that are not tolerated; fewer is better."""
        if not any(node.taints for node in nodes):
            return None
        tolerations = [
            t for t in (pod.pod.get("spec") or {}).get("tolerations") or () if t.get("effect") in (None, "", api_nodes.PREFER_NO_SCHEDULE)
        ]
        return lambda node: sum(
            t.get("effect") == api_nodes.PREFER_NO_SCHEDULE and not api_nodes.tolerated(tolerations, t) for t in node.taints
        )

    def normalize(self, scores: list[int]) -> list[int]:
        return default_normalize(scores, reverse=True)


class NodeAffinity:
    """nodeSelector, and required and preferred node affinity."""

    name = "NodeAffinity"
    events = ClusterEvent.NODE_ADD | ClusterEvent.NODE_LABELS
    weight = 2

    def prepare_filter(self, pod: PodInfo, snapshot: Snapshot) -> NodeFilter | None:
        match = api_nodes.compile_required(pod.pod)
        if match is None:
            return None
        rejection = _unresolvable(self.name, "node(s) didn't match Pod's node affinity/selector")
        names = api_nodes.pinned_names(pod.pod)
        if names is None:
            return lambda node: None if match(node.labels, node.name) else rejection
        elsewhere = _unresolvable(self.name, f"node(s) didn't satisfy plugin(s) [{self.name}]")
        return lambda node: elsewhere if node.name not in names else None if match(node.labels, node.name) else rejection

    def prepare_score(self, pod: PodInfo, nodes: Sequence[NodeInfo]) -> NodeScorer | None:
        preferred = api_nodes.compile_preferred(pod.pod)
        if not preferred:
            return None
        return lambda node: sum(weight for weight, match in preferred if match(node.labels, node.name))

    def normalize(self, scores: list[int]) -> list[int]:
        return default_normalize(scores)


class NodePorts:
    name = "NodePorts"
    events = ClusterEvent.NODE_ADD | ClusterEvent.ASSIGNED_POD_DELETE

    def prepare_filter(self, pod: PodInfo, snapshot: Snapshot) -> NodeFilter | None:
        if not pod.ports:
            return None
        rejection = Rejection(self.name, ("node(s) didn't have free ports for the requested pod ports",))
        return lambda node: rejection if ports_conflict(pod.ports, node.ports) else None


def ports_conflict(wanted: Sequence[HostPort], used: dict[HostPort, int]) -> bool:
    """Same protocol and number conflict where the addresses are equal or one of them is "any"."""
    for ip, protocol, port in wanted:
        for used_ip, used_protocol, used_port in used:
            if (protocol, port) == (used_protocol, used_port) and (ip == used_ip or ip in _ANY_IP or used_ip in _ANY_IP):
                return True
    return False
