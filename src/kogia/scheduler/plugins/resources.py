"""NodeResourcesFit and NodeResourcesBalancedAllocation: does the node have what the Pod asks for, and how well does it suit.

Units: CPU in thousandths, memory in bytes. Source: kube-scheduler plugins/noderesources (fit.go, least_allocated.go, balanced_allocation.go).
"""

from __future__ import annotations

from collections.abc import Sequence

from kogia.scheduler.framework import MAX_NODE_SCORE, ClusterEvent, NodeFilter, NodeScorer, Rejection
from kogia.scheduler.snapshot import NodeInfo, PodInfo, Snapshot


class NodeResourcesFit:
    name = "NodeResourcesFit"
    events = ClusterEvent.NODE_ADD | ClusterEvent.NODE_ALLOCATABLE | ClusterEvent.ASSIGNED_POD_DELETE | ClusterEvent.ASSIGNED_POD_UPDATE
    weight = 1

    def prepare_filter(self, pod: PodInfo, snapshot: Snapshot) -> NodeFilter:
        wanted = sorted(pod.requests.items(), key=_order)

        def check(node: NodeInfo) -> Rejection | None:
            if len(node.pods) + 1 > node.allowed_pods:
                reasons = ["Too many pods"]
            elif not wanted:
                return None
            else:
                reasons = []
            allocatable, requested = node.allocatable, node.requested
            for name, amount in wanted:
                if amount > allocatable.get(name, 0) - requested.get(name, 0):
                    reasons.append(f"Insufficient {name}")
            return Rejection(self.name, tuple(reasons)) if reasons else None

        return check

    def prepare_score(self, pod: PodInfo, nodes: Sequence[NodeInfo]) -> NodeScorer:
        """LeastAllocated: the emptier a node would be left, the better; CPU and memory weigh the same."""
        cpu, memory = pod.scored

        def score(node: NodeInfo) -> int:
            parts = (_free_share(node.allocatable.get("cpu", 0), node.scored_cpu + cpu),
                     _free_share(node.allocatable.get("memory", 0), node.scored_memory + memory))  # fmt: skip
            counted = [p for p in parts if p is not None]
            return sum(counted) // len(counted) if counted else 0

        return score

    def normalize(self, scores: list[int]) -> list[int]:
        return scores


def _order(item: tuple[str, int]) -> tuple[int, str]:
    """CPU, memory, ephemeral storage, then the rest by name: the order in which Kubernetes lists what is insufficient."""
    names = ("cpu", "memory", "ephemeral-storage")
    return (names.index(item[0]) if item[0] in names else len(names), item[0])


def _free_share(capacity: int, taken: int) -> int | None:
    """0 … 100, None for a node that does not offer the resource."""
    if capacity == 0:
        return None
    return 0 if taken > capacity else (capacity - taken) * MAX_NODE_SCORE // capacity


class NodeResourcesBalancedAllocation:
    """Prefers nodes whose CPU and memory would be used to a like share."""

    name = "NodeResourcesBalancedAllocation"
    events = ClusterEvent(0)
    weight = 1

    def prepare_score(self, pod: PodInfo, nodes: Sequence[NodeInfo]) -> NodeScorer | None:
        if not pod.requests:
            return None
        cpu, memory = pod.requests.get("cpu", 0), pod.requests.get("memory", 0)

        def score(node: NodeInfo) -> int:
            have_cpu, have_memory = node.allocatable.get("cpu", 0), node.allocatable.get("memory", 0)
            if not have_cpu or not have_memory:
                return MAX_NODE_SCORE
            cpu_share = min(1.0, (node.requested.get("cpu", 0) + cpu) / have_cpu)
            memory_share = min(1.0, (node.requested.get("memory", 0) + memory) / have_memory)
            return int((1 - abs(cpu_share - memory_share) / 2) * MAX_NODE_SCORE)

        return score

    def normalize(self, scores: list[int]) -> list[int]:
        return scores
