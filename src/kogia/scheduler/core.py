"""The decision: one Pod and the snapshot in, a node or the reasons against each node out. Pure and synchronous.

Filters run in the profile's order; the first to reject a node gives its reason. The remaining nodes are scored; of the best, one is
chosen at random among equals so that a burst spreads. `fit_error` words the result as Kubernetes does, because people and tools read it.
Source: kube-scheduler schedule_one.go (findNodesThatFitPod, prioritizeNodes, selectHost), framework types FitError.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from kogia.scheduler.framework import Code, NodeFilter, Plugins, Rejection
from kogia.scheduler.snapshot import NodeInfo, PodInfo, Snapshot

NO_NODES = "no nodes available to schedule pods"
NO_VICTIMS = "No preemption victims found for incoming pod"
NOT_HELPFUL = "Preemption is not helpful for scheduling"
NEVER_PREEMPTS = "not eligible due to preemptionPolicy=Never."


@dataclass(frozen=True, slots=True)
class Decision:
    """node is "" if the Pod does not fit anywhere; `message` then says why and `plugins` who rejected it (empty: there are no nodes)."""

    node: str = ""
    message: str = ""
    plugins: frozenset[str] = frozenset()
    evaluated: int = 0
    feasible: int = 0
    rejected: dict[str, Rejection] = field(default_factory=dict)


def schedule(pod: PodInfo, snapshot: Snapshot, plugins: Plugins, choose: Callable[[int], int] = random.randrange) -> Decision:
    """`choose(n)` picks one of n equally good nodes."""
    nodes = snapshot.nodes
    if not nodes:
        return Decision(message=NO_NODES)
    prepared = prepare_filters(pod, snapshot, plugins)
    if isinstance(prepared, Rejection):
        rejected = {node.name: prepared for node in nodes}
        return Decision(message=_with_post_filter(pod, snapshot, plugins, rejected), plugins=frozenset({prepared.plugin}), rejected=rejected)
    feasible, rejected = find_feasible(nodes, prepared)
    if not feasible:
        rejecting = frozenset(r.plugin for r in rejected.values())
        return Decision(message=_with_post_filter(pod, snapshot, plugins, rejected), plugins=rejecting, evaluated=len(nodes), rejected=rejected)
    chosen = feasible[0] if len(feasible) == 1 else select(pod, feasible, plugins, choose)
    return Decision(node=chosen.name, evaluated=len(nodes), feasible=len(feasible))


def prepare_filters(pod: PodInfo, snapshot: Snapshot, plugins: Plugins) -> list[NodeFilter] | Rejection:
    checks: list[NodeFilter] = []
    for plugin in plugins.filters:
        prepared = plugin.prepare_filter(pod, snapshot)
        if isinstance(prepared, Rejection):
            return prepared
        if prepared is not None:
            checks.append(prepared)
    return checks


def find_feasible(nodes: Iterable[NodeInfo], checks: list[NodeFilter]) -> tuple[list[NodeInfo], dict[str, Rejection]]:
    """(nodes that pass every check, first rejection by name of the others)."""
    feasible: list[NodeInfo] = []
    rejected: dict[str, Rejection] = {}
    for node in nodes:
        for check in checks:
            rejection = check(node)
            if rejection is not None:
                rejected[node.name] = rejection
                break
        else:
            feasible.append(node)
    return feasible, rejected


def score(pod: PodInfo, nodes: list[NodeInfo], plugins: Plugins) -> list[int]:
    """The weighted sum of all plugins' normalized scores, per node."""
    total = [0] * len(nodes)
    for plugin in plugins.scores:
        scorer = plugin.prepare_score(pod, nodes)
        if scorer is None:
            continue
        weight = plugin.weight
        for index, value in enumerate(plugin.normalize([scorer(node) for node in nodes])):
            total[index] += weight * value
    return total


def select(pod: PodInfo, nodes: list[NodeInfo], plugins: Plugins, choose: Callable[[int], int]) -> NodeInfo:
    totals = score(pod, nodes, plugins)
    best = max(totals)
    winners = [node for node, total in zip(nodes, totals, strict=True) if total == best]
    return winners[0] if len(winners) == 1 else winners[choose(len(winners))]


def counted(total: int, reasons: Iterable[str]) -> str:
    """`0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.`"""
    texts = sorted(f"{count} {reason}" for reason, count in Counter(reasons).items())
    return f"0/{total} nodes are available: {', '.join(texts)}."


def _with_post_filter(pod: PodInfo, snapshot: Snapshot, plugins: Plugins, rejected: dict[str, Rejection]) -> str:
    message = counted(len(snapshot.nodes), (reason for r in rejected.values() for reason in r.reasons))
    extra = [result.message for plugin in plugins.post_filters if (result := plugin.post_filter(pod, snapshot, rejected)).message]
    if not plugins.post_filters:
        extra = [f"preemption: {no_preemption(pod, rejected)}"]
    return " ".join([message, *extra])


def no_preemption(pod: PodInfo, rejected: dict[str, Rejection]) -> str:
    """What preemption says when it finds nobody to evict."""
    if (pod.pod.get("spec") or {}).get("preemptionPolicy") == "Never":
        return NEVER_PREEMPTS
    return counted(len(rejected), (NOT_HELPFUL if r.code is Code.UNRESOLVABLE else NO_VICTIMS for r in rejected.values()))
