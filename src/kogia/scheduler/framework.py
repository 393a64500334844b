"""The scheduling framework's seams: what a plugin may be, what it answers, which cluster events may change its mind.

A plugin is synchronous and pure. For one Pod it *prepares* once (parsing selectors, adding up requests) and gives back a small function
that is then asked per node; `None` instead means that the plugin has nothing to say about this Pod (Kubernetes' "Skip"). `core.py` runs
them, `plugins/` holds them. Source: k8s.io/kube-scheduler framework (extension points, Code, weights and MaxNodeScore).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, Flag, auto
from typing import Protocol, runtime_checkable

from kogia.client.interface import Obj
from kogia.scheduler.snapshot import NodeInfo, PodInfo, Snapshot

MAX_NODE_SCORE = 100


class ClusterEvent(Flag):
    """What happened in the cluster, as far as an unschedulable Pod may care."""

    NODE_ADD = auto()
    NODE_LABELS = auto()
    NODE_TAINTS = auto()  #: also spec.unschedulable
    NODE_ALLOCATABLE = auto()
    ASSIGNED_POD_ADD = auto()
    ASSIGNED_POD_UPDATE = auto()
    ASSIGNED_POD_DELETE = auto()

    ANY = NODE_ADD | NODE_LABELS | NODE_TAINTS | NODE_ALLOCATABLE | ASSIGNED_POD_ADD | ASSIGNED_POD_UPDATE | ASSIGNED_POD_DELETE


class Code(Enum):
    UNSCHEDULABLE = "Unschedulable"  #: fewer Pods on the node could help
    UNRESOLVABLE = "UnschedulableAndUnresolvable"  #: no preemption on this node can help


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a node (or, from `prepare`, every node) is out. `reasons` are Kubernetes' words, counted over nodes for the message."""

    plugin: str
    reasons: tuple[str, ...]
    code: Code = Code.UNSCHEDULABLE


NodeFilter = Callable[[NodeInfo], "Rejection | None"]
NodeScorer = Callable[[NodeInfo], int]


class Plugin(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def events(self) -> ClusterEvent:
        """The events after which a Pod rejected by this plugin is worth another try."""


@runtime_checkable
class PreEnqueuePlugin(Plugin, Protocol):
    def pre_enqueue(self, pod: Obj) -> Rejection | None:
        """A Pod rejected here is not even queued until it changes."""


@runtime_checkable
class FilterPlugin(Plugin, Protocol):
    def prepare_filter(self, pod: PodInfo, snapshot: Snapshot) -> NodeFilter | Rejection | None:
        """PreFilter and Filter in one: a check per node, a verdict for all nodes, or None to skip."""


@runtime_checkable
class ScorePlugin(Plugin, Protocol):
    @property
    def weight(self) -> int: ...

    def prepare_score(self, pod: PodInfo, nodes: Sequence[NodeInfo]) -> NodeScorer | None:
        """PreScore and Score in one; scores may be of any range if `normalize` brings them to 0 … MAX_NODE_SCORE."""

    def normalize(self, scores: list[int]) -> list[int]: ...


@runtime_checkable
class ReservePlugin(Plugin, Protocol):
    """State outside the snapshot that a chosen node must reserve, e.g. volumes. `unreserve` is idempotent."""

    def reserve(self, pod: PodInfo, node_name: str) -> Rejection | None: ...

    def unreserve(self, pod: PodInfo, node_name: str) -> None: ...


@runtime_checkable
class PreBindPlugin(Plugin, Protocol):
    async def pre_bind(self, pod: PodInfo, node_name: str) -> None:
        """Errors: StatusError, OSError; the Pod is then unreserved and tried again."""


@runtime_checkable
class BindPlugin(Plugin, Protocol):
    async def bind(self, pod: PodInfo, node_name: str) -> None:
        """Errors: StatusError, OSError."""


@runtime_checkable
class PostFilterPlugin(Plugin, Protocol):
    def post_filter(self, pod: PodInfo, snapshot: Snapshot, rejected: dict[str, Rejection]) -> PostFilterResult:
        """What to do when no node is left (preemption). `rejected` is by node name."""


@dataclass(frozen=True, slots=True)
class PostFilterResult:
    message: str = ""
    nominated_node: str = ""
    victims: tuple[Obj, ...] = ()


@dataclass(frozen=True, slots=True)
class Plugins:
    """A profile's plugins per extension point, in order of execution."""

    pre_enqueue: tuple[PreEnqueuePlugin, ...] = ()
    filters: tuple[FilterPlugin, ...] = ()
    scores: tuple[ScorePlugin, ...] = ()
    post_filters: tuple[PostFilterPlugin, ...] = ()
    reserves: tuple[ReservePlugin, ...] = ()
    pre_binds: tuple[PreBindPlugin, ...] = ()
    binds: tuple[BindPlugin, ...] = ()
    by_name: dict[str, Plugin] = field(default_factory=dict)


def profile(plugins: Sequence[Plugin]) -> Plugins:
    """Sort plugins into the extension points they implement, keeping their order."""
    return Plugins(
        pre_enqueue=tuple(p for p in plugins if isinstance(p, PreEnqueuePlugin)),
        filters=tuple(p for p in plugins if isinstance(p, FilterPlugin)),
        scores=tuple(p for p in plugins if isinstance(p, ScorePlugin)),
        post_filters=tuple(p for p in plugins if isinstance(p, PostFilterPlugin)),
        reserves=tuple(p for p in plugins if isinstance(p, ReservePlugin)),
        pre_binds=tuple(p for p in plugins if isinstance(p, PreBindPlugin)),
        binds=tuple(p for p in plugins if isinstance(p, BindPlugin)),
        by_name={p.name: p for p in plugins},
    )


def default_normalize(scores: list[int], *, reverse: bool = False) -> list[int]:
    """Scale so that the highest becomes MAX_NODE_SCORE (`reverse`: the lowest raw value wins). Source: helper.DefaultNormalizeScore."""
    highest = max(scores, default=0)
    if highest == 0:
        return [MAX_NODE_SCORE] * len(scores) if reverse else scores
    scaled = [score * MAX_NODE_SCORE // highest for score in scores]
    return [MAX_NODE_SCORE - score for score in scaled] if reverse else scaled
