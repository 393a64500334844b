"""What the scheduler knows: nodes with what is taken on them, kept up to date change by change.

There is one event loop and decisions never await, so the living state is its own snapshot: nothing is copied per decision. A Pod that was
just given a node is *assumed* there until the server's watch confirms it. Units: CPU in thousandths, memory and storage in bytes.
Source: kube-scheduler backend/cache and framework.NodeInfo (accounting, non-zero request defaults).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from kogia.api import pods
from kogia.api.quantity import int_value, milli_value
from kogia.client.interface import Obj

#: What a container without a request is taken to need when nodes are scored. Source: schedutil.DefaultMilliCPURequest / DefaultMemoryRequest.
DEFAULT_MILLI_CPU = 100
DEFAULT_MEMORY_BYTES = 200 * 1024 * 1024

HostPort = tuple[str, str, int]  #: (host IP, protocol, port)
Amounts = dict[str, int]


def resource_amount(name: str, text: str) -> int:
    return milli_value(text) if name == "cpu" else int_value(text)


def pod_requests(pod: Obj) -> Amounts:
    """Effective requests, whole units per resource (cpu in thousandths); zeros are left out."""
    return {name: amount for name, q in pods.requests(pod).items() if (amount := q.milli() if name == "cpu" else q.value())}


def host_ports(pod: Obj) -> tuple[HostPort, ...]:
    """The host ports a Pod occupies: those of its app containers and sidecars, with Kubernetes' defaults filled in."""
    spec = pod.get("spec") or {}
    containers = [*(spec.get("containers") or ()), *(c for c in spec.get("initContainers") or () if pods.is_sidecar(c))]
    return tuple(
        (port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", port["hostPort"])
        for container in containers for port in container.get("ports") or () if port.get("hostPort")
    )


def _scored_requests(pod: Obj, requests: Amounts) -> tuple[int, int]:
    """(milli CPU, memory bytes) for scoring: containers that ask for nothing count with a default."""
    cpu, memory = requests.get("cpu", 0), requests.get("memory", 0)
    for container in (pod.get("spec") or {}).get("containers") or ():
        asked = (container.get("resources") or {}).get("requests") or {}
        if "cpu" not in asked:
            cpu += DEFAULT_MILLI_CPU
        if "memory" not in asked:
            memory += DEFAULT_MEMORY_BYTES
    return cpu, memory


@dataclass(slots=True)
class PodInfo:
    """A Pod with what scheduling needs of it, computed once per version."""

    pod: Obj
    key: str
    uid: str
    requests: Amounts
    scored: tuple[int, int]
    ports: tuple[HostPort, ...]
    priority: int

    @classmethod
    def of(cls, pod: Obj) -> PodInfo:
        metadata = pod["metadata"]
        requests = pod_requests(pod)
        return cls(
            pod, f"{metadata['namespace']}/{metadata['name']}", metadata.get("uid", ""), requests, _scored_requests(pod, requests),
            host_ports(pod), int((pod.get("spec") or {}).get("priority") or 0),
        )

    @property
    def namespace(self) -> str:
        return str(self.pod["metadata"]["namespace"])

    @property
    def name(self) -> str:
        return str(self.pod["metadata"]["name"])


@dataclass(slots=True)
class NodeInfo:
    """One node and what is taken on it. `node` is None while only Pods of it are known (they may arrive before it)."""

    name: str
    node: Obj | None = None
    labels: dict[str, str] = field(default_factory=dict)
    taints: list[Obj] = field(default_factory=list)
    unschedulable: bool = False
    allocatable: Amounts = field(default_factory=dict)
    requested: Amounts = field(default_factory=dict)
    scored_cpu: int = 0
    scored_memory: int = 0
    pods: dict[str, PodInfo] = field(default_factory=dict)  #: by UID
    ports: dict[HostPort, int] = field(default_factory=dict)

    @property
    def allowed_pods(self) -> int:
        return self.allocatable.get("pods", 0)

    def set_node(self, node: Obj) -> None:
        spec, status = node.get("spec") or {}, node.get("status") or {}
        self.node = node
        self.labels = node["metadata"].get("labels") or {}
        self.taints = spec.get("taints") or []
        self.unschedulable = bool(spec.get("unschedulable"))
        offered = status.get("allocatable") or status.get("capacity") or {}
        self.allocatable = {name: resource_amount(name, text) for name, text in offered.items()}

    def add(self, pod: PodInfo) -> None:
        self._count(pod, 1)
        self.pods[pod.uid] = pod

    def remove(self, uid: str) -> None:
        pod = self.pods.pop(uid, None)
        if pod is not None:
            self._count(pod, -1)

    def _count(self, pod: PodInfo, sign: int) -> None:
        for name, amount in pod.requests.items():
            left = self.requested.get(name, 0) + sign * amount
            if left:
                self.requested[name] = left
            else:
                self.requested.pop(name, None)
        self.scored_cpu += sign * pod.scored[0]
        self.scored_memory += sign * pod.scored[1]
        for port in pod.ports:
            users = self.ports.get(port, 0) + sign
            if users:
                self.ports[port] = users
            else:
                del self.ports[port]


class Snapshot:
    """All nodes. Invariant: a Pod's UID is counted on at most one node, and `assumed` holds only UIDs that are counted."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeInfo] = {}
        self._where: dict[str, str] = {}  # Pod UID → node name
        self.assumed: set[str] = set()
        self._listed: list[NodeInfo] | None = None

    # -- nodes ---------------------------------------------------------------------------------------------------------

    @property
    def nodes(self) -> list[NodeInfo]:
        """Every node that exists, in order of arrival."""
        if self._listed is None:
            self._listed = [n for n in self._nodes.values() if n.node is not None]
        return self._listed

    def node(self, name: str) -> NodeInfo | None:
        info = self._nodes.get(name)
        return info if info is not None and info.node is not None else None

    def __iter__(self) -> Iterator[NodeInfo]:
        return iter(self.nodes)

    def set_node(self, node: Obj) -> None:
        self._info(node["metadata"]["name"]).set_node(node)
        self._listed = None

    def remove_node(self, name: str) -> None:
        info = self._nodes.get(name)
        if info is None:
            return
        info.node = None
        self._listed = None
        self._drop_if_empty(info)

    def _info(self, name: str) -> NodeInfo:
        info = self._nodes.get(name)
        if info is None:
            info = self._nodes[name] = NodeInfo(name)
        return info

    def _drop_if_empty(self, info: NodeInfo) -> None:
        if info.node is None and not info.pods:
            self._nodes.pop(info.name, None)
            self._listed = None

    # -- pods ----------------------------------------------------------------------------------------------------------

    def set_pod(self, pod: PodInfo, node_name: str) -> None:
        """The server says that `pod` is on `node_name`: count it there, whatever was assumed."""
        self.remove_pod(pod.uid)
        self._info(node_name).add(pod)
        self._where[pod.uid] = node_name

    def remove_pod(self, uid: str) -> bool:
        """Whether the Pod had been counted."""
        self.assumed.discard(uid)
        name = self._where.pop(uid, None)
        if name is None:
            return False
        info = self._nodes[name]
        info.remove(uid)
        self._drop_if_empty(info)
        return True

    def assume(self, pod: PodInfo, node_name: str) -> None:
        """Count `pod` on the node it was just given, before the server has said so."""
        self.set_pod(pod, node_name)
        self.assumed.add(pod.uid)

    def forget(self, uid: str) -> None:
        """Undo `assume` (binding failed). A Pod confirmed meanwhile stays."""
        if uid in self.assumed:
            self.remove_pod(uid)
