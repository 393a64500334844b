"""Is a node alive, and which taints follow from what it says? Pure decisions for `nodelifecycle.py` and `tainteviction.py`.

Source: pkg/controller/nodelifecycle (node_lifecycle_controller.go), pkg/controller/tainteviction.
"""

from __future__ import annotations

from collections.abc import Sequence

from kogia.api import nodes as api_nodes
from kogia.api.nodes import NO_EXECUTE, NO_SCHEDULE, TAINT_NOT_READY, TAINT_UNREACHABLE
from kogia.client.interface import Obj

#: A node not heard of for so long is Unknown.
GRACE_S = 40.0

HEALTH_CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")

#: condition type → (status, taint key)
_CONDITION_TAINTS = (
    ("Ready", "False", TAINT_NOT_READY),
    ("Ready", "Unknown", TAINT_UNREACHABLE),
    ("MemoryPressure", "True", api_nodes.TAINT_MEMORY_PRESSURE),
    ("DiskPressure", "True", api_nodes.TAINT_DISK_PRESSURE),
    ("PIDPressure", "True", api_nodes.TAINT_PID_PRESSURE),
    ("NetworkUnavailable", "True", api_nodes.TAINT_NETWORK_UNAVAILABLE),
)
_OURS = {key for _, _, key in _CONDITION_TAINTS} | {api_nodes.TAINT_UNSCHEDULABLE}
_OURS_NO_EXECUTE = (TAINT_NOT_READY, TAINT_UNREACHABLE)


def heartbeat(node: Obj, lease: Obj | None) -> tuple[str, ...]:
    """What changes whenever the node gives a sign of life. Never compared with our clock, only with itself."""
    ready = api_nodes.condition(node, "Ready") or {}
    return str(ready.get("lastHeartbeatTime")), str(ready.get("status")), str(((lease or {}).get("spec") or {}).get("renewTime"))


def silent_conditions(node: Obj, now: str) -> list[Obj] | None:
    """The health conditions of a node that fell silent, those to be written; None if they say so already."""
    changed = []
    for kind in HEALTH_CONDITIONS:
        known = api_nodes.condition(node, kind)
        if known is None:
            created = node["metadata"].get("creationTimestamp") or now
            changed.append({
                "type": kind, "status": "Unknown", "reason": "NodeStatusNeverUpdated", "message": "Kubelet never posted node status.",
                "lastHeartbeatTime": created, "lastTransitionTime": now,
            })
        elif known.get("status") != "Unknown":
            changed.append({
                **known, "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status.",
                "lastTransitionTime": now,
            })
    return changed or None


def desired_taints(node: Obj, now: str) -> list[Obj] | None:
    """All of the node's taints as its conditions and cordon want them; None if it has them. Foreign taints are kept in place."""
    spec = node.get("spec") or {}
    have: list[Obj] = spec.get("taints") or []
    ready = api_nodes.condition(node, "Ready")
    no_schedule: list[str] = []
    for kind, status, taint_key in _CONDITION_TAINTS:
        condition = api_nodes.condition(node, kind)
        if condition is not None and condition.get("status") == status:
            no_schedule.append(taint_key)
    if ready is None:
        no_schedule.append(TAINT_NOT_READY)  # registered, but has not reported yet
    if spec.get("unschedulable"):
        no_schedule.append(api_nodes.TAINT_UNSCHEDULABLE)
    no_execute = [key for key in no_schedule if key in _OURS_NO_EXECUTE] if ready is not None else []
    kept = []
    for taint in have:
        key, effect = taint.get("key"), taint.get("effect")
        ours = (effect == NO_SCHEDULE and key in _OURS) or (effect == NO_EXECUTE and key in _OURS_NO_EXECUTE)
        if not ours or (effect == NO_SCHEDULE and key in no_schedule) or (effect == NO_EXECUTE and key in no_execute):
            kept.append(taint)
    present = {(t.get("key"), t.get("effect")) for t in kept}
    new = [{"key": key, "effect": NO_SCHEDULE} for key in no_schedule if (key, NO_SCHEDULE) not in present]
    new += [{"key": key, "effect": NO_EXECUTE, "timeAdded": now} for key in no_execute if (key, NO_EXECUTE) not in present]
    return kept + new if new or len(kept) != len(have) else None


def tolerated_for(pod: Obj, taints: Sequence[Obj]) -> float | None:
    """How long the Pod may stay beside these NoExecute taints, in seconds; None for ever, 0 not at all.

    Source: tainteviction getMinTolerationTime: of the tolerations used, the shortest limit counts.
    """
    tolerations = (pod.get("spec") or {}).get("tolerations") or ()
    shortest: float | None = None
    for taint in taints:
        matching = [t for t in tolerations if api_nodes.tolerates(t, taint)]
        if not matching:
            return 0.0
        limits = [max(0.0, float(t["tolerationSeconds"])) for t in matching if t.get("tolerationSeconds") is not None]
        if limits:
            shortest = min(limits) if shortest is None else min(shortest, *limits)
    return shortest


def no_execute_taints(node: Obj | None) -> list[Obj]:
    return [t for t in ((node or {}).get("spec") or {}).get("taints") or () if t.get("effect") == NO_EXECUTE]
