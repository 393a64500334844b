"""Which Pods a node will have: taints and tolerations, node selectors and node affinity. Pure.

The scheduler, the DaemonSet controller, the node lifecycle controller and the kubelet ask the same questions, so the answers live here.
Source: k8s.io/component-helpers scheduling/corev1 (tolerations, nodeaffinity).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kogia.api.selectors import LabelSelector, Requirement, SelectorError, make_requirement

Obj = dict[str, Any]

NO_SCHEDULE = "NoSchedule"
PREFER_NO_SCHEDULE = "PreferNoSchedule"
NO_EXECUTE = "NoExecute"

TAINT_NOT_READY = "node.kubernetes.io/not-ready"
TAINT_UNREACHABLE = "node.kubernetes.io/unreachable"
TAINT_UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
TAINT_MEMORY_PRESSURE = "node.kubernetes.io/memory-pressure"
TAINT_DISK_PRESSURE = "node.kubernetes.io/disk-pressure"
TAINT_PID_PRESSURE = "node.kubernetes.io/pid-pressure"
TAINT_NETWORK_UNAVAILABLE = "node.kubernetes.io/network-unavailable"

#: Answers whether a node of these labels and this name fits.
NodeMatch = Callable[[Mapping[str, str], str], bool]


def tolerates(toleration: Obj, taint: Obj) -> bool:
    """Source: Toleration.ToleratesTaint. An empty key with Exists tolerates all keys, an empty effect all effects."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    if operator == "Equal":
        return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")
    return False


def tolerated(tolerations: Iterable[Obj], taint: Obj) -> bool:
    return any(tolerates(toleration, taint) for toleration in tolerations)


def untolerated_taint(taints: Iterable[Obj], tolerations: Sequence[Obj], effects: Sequence[str] = (NO_SCHEDULE, NO_EXECUTE)) -> Obj | None:
    """The first taint of one of `effects` that nothing tolerates."""
    return next((t for t in taints if t.get("effect") in effects and not tolerated(tolerations, t)), None)


_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt"}


def _requirements(expressions: Iterable[Obj]) -> list[Requirement]:
    """Errors: SelectorError."""
    found = []
    for expression in expressions:
        operator = _OPERATORS.get(expression.get("operator", ""))
        if operator is None:
            raise SelectorError(f'"{expression.get("operator", "")}" is not a valid node selector operator')
        found.append(make_requirement(expression.get("key", ""), operator, tuple(expression.get("values") or ())))
    return found


def compile_term(term: Obj) -> NodeMatch | None:
    """One nodeSelectorTerm: all of its expressions and fields must match. An empty or unreadable term matches nothing (None)."""
    if not term.get("matchExpressions") and not term.get("matchFields"):
        return None
    try:
        labels = LabelSelector(_requirements(term.get("matchExpressions") or ()))
    except SelectorError:
        return None
    fields = [(f.get("key"), f.get("operator"), set(f.get("values") or ())) for f in term.get("matchFields") or ()]
    if any(key != "metadata.name" or operator not in ("In", "NotIn") for key, operator, _ in fields):
        return None

    def match(node_labels: Mapping[str, str], name: str) -> bool:
        return labels.matches(node_labels) and all((name in values) == (operator == "In") for _, operator, values in fields)

    return match


def compile_required(pod: Obj) -> NodeMatch | None:
    """The Pod's nodeSelector and required node affinity as one question; None if it has neither.

    Source: nodeaffinity.GetRequiredNodeAffinity.
    """
    spec = pod.get("spec") or {}
    wanted: dict[str, str] = spec.get("nodeSelector") or {}
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    if not wanted and required is None:
        return None
    terms = None if required is None else [m for t in required.get("nodeSelectorTerms") or () if (m := compile_term(t)) is not None]

    def match(labels: Mapping[str, str], name: str) -> bool:
        if any(labels.get(key) != value for key, value in wanted.items()):
            return False
        return terms is None or any(term(labels, name) for term in terms)

    return match


def compile_preferred(pod: Obj) -> list[tuple[int, NodeMatch]]:
    """(weight, question) of each preferred node affinity term; empty terms match nothing here too."""
    affinity = ((pod.get("spec") or {}).get("affinity") or {}).get("nodeAffinity") or {}
    return [
        (int(entry.get("weight") or 0), match)
        for entry in affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        if entry.get("weight") and (match := compile_term(entry.get("preference") or {})) is not None
    ]


def pinned_names(pod: Obj) -> set[str] | None:
    """The node names required node affinity pins the Pod to by `metadata.name In [...]` in every term; None if it does not.

    Source: NodeAffinity.PreFilter.
    """
    affinity = ((pod.get("spec") or {}).get("affinity") or {}).get("nodeAffinity") or {}
    terms = (affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms")
    if not terms:
        return None
    names: set[str] = set()
    for term in terms:
        sets = [set(f.get("values") or ()) for f in term.get("matchFields") or () if f.get("key") == "metadata.name" and f.get("operator") == "In"]
        if not sets:
            return None
        names |= set.intersection(*sets)
    return names


def condition(node: Obj, kind: str) -> Obj | None:
    """The node's condition of type `kind`, if it has one."""
    return next((c for c in (node.get("status") or {}).get("conditions") or () if c.get("type") == kind), None)


def is_ready(node: Obj) -> bool:
    ready = condition(node, "Ready")
    return ready is not None and ready.get("status") == "True"
