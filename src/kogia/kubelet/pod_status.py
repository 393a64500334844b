"""Builds a Pod's `status` from what the state machine knows: pure, the same input gives the same status.

Neighbours: pod_state.py (calls it after every event), status_writer.py (sends what changed).
Invariants: conditions keep Kubernetes' order and their transition times as long as their status stays; those of others (readiness gates) are
not touched; a terminal phase is never left. Source: kubelet's getPhase, status/generate.go, convertToAPIContainerStatuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kogia.api.times import format_time
from kogia.kubelet.container_record import RUNTIME, ContainerRecord

Obj = dict[str, Any]

READY_TO_START, INITIALIZED, READY, CONTAINERS_READY, SCHEDULED = (
    "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled",
)


def container_status(record: ContainerRecord, default_waiting: str) -> Obj:
    """One entry of containerStatuses, keys in Kubernetes' order."""
    status: Obj = {"name": record.name, "state": _state(record, default_waiting), "lastState": {}}
    if record.exited and "terminated" not in status["state"]:
        status["lastState"] = {"terminated": record.terminated()}
    elif record.last:
        status["lastState"] = {"terminated": record.last}
    current = record.current
    status["ready"] = record.succeeded if record.init and not record.sidecar else record.running and record.ready
    status["restartCount"] = max(0, record.attempt)
    status["image"] = record.spec.get("image", "")
    status["imageID"] = current.image_ref if current else ""
    if current:
        status["containerID"] = f"{RUNTIME}://{current.id}"
    status["started"] = record.running and record.started
    resources = record.spec.get("resources")
    if resources and current:
        if resources.get("requests"):
            status["allocatedResources"] = resources["requests"]
        status["resources"] = resources
    mounts = [_mount_status(m) for m in record.spec.get("volumeMounts") or []]
    if mounts and current:
        status["volumeMounts"] = mounts
    return status


def _mount_status(mount: Obj) -> Obj:
    status = {"name": mount["name"], "mountPath": mount["mountPath"]}
    if mount.get("readOnly"):
        status |= {"readOnly": True, "recursiveReadOnly": "Disabled"}
    return status


def _state(record: ContainerRecord, default_waiting: str) -> Obj:
    if record.running and record.current:
        return {"running": {"startedAt": format_time(record.current.started_at / 1e9)}}
    if record.waiting is not None:
        reason, message = record.waiting
        return {"waiting": {"reason": reason, "message": message} if message else {"reason": reason}}
    if record.exited:
        return {"terminated": record.terminated()}
    return {"waiting": {"reason": default_waiting}}


def phase(restart_policy: str, inits: Sequence[Obj], apps: Sequence[Obj], init_specs: Sequence[Obj]) -> str:
    """From container statuses, before any stickiness."""
    for status, spec in zip(inits, init_specs, strict=True):
        if spec.get("restartPolicy") == "Always":
            if not status["started"] and not _terminated(status):
                return "Pending" if not any("running" in a["state"] or _terminated(a) for a in apps) else "Running"
            continue
        terminated = status["state"].get("terminated")
        if terminated is None:
            return "Pending"
        if terminated["exitCode"] != 0:
            return "Failed" if restart_policy == "Never" else "Pending"
    running = sum("running" in a["state"] for a in apps)
    stopped = [t for t in map(_terminated, apps) if t is not None]
    if any("waiting" in a["state"] and _terminated(a) is None for a in apps):
        return "Pending"
    if running:
        return "Running"
    if stopped:
        if restart_policy == "Always":
            return "Running"
        if all(t["exitCode"] == 0 for t in stopped):
            return "Succeeded"
        return "Failed" if restart_policy == "Never" else "Running"
    return "Pending"


def _terminated(status: Obj) -> Obj | None:
    """The terminated state of a stopped container, also of one that waits to be restarted."""
    if "terminated" in status["state"]:
        return dict(status["state"]["terminated"])
    if "waiting" in status["state"]:
        return status["lastState"].get("terminated")
    return None


def _names(names: Sequence[str]) -> str:
    return "[" + " ".join(names) + "]"


def conditions(pod: Obj, phase: str, inits: Sequence[Obj], apps: Sequence[Obj], *, sandbox_ready: bool, now: float) -> list[Obj]:
    """The kubelet's five, in Kubernetes' order, transition times carried over from `pod`."""
    wanted: list[tuple[str, bool, str, str]] = [(READY_TO_START, sandbox_ready, "", "")]
    sidecars = {c["name"] for c in pod["spec"].get("initContainers") or [] if c.get("restartPolicy") == "Always"}
    incomplete = [s["name"] for s in inits if not (s["started"] if s["name"] in sidecars else s["ready"])]
    if phase == "Succeeded":
        wanted.append((INITIALIZED, True, "PodCompleted", ""))
    elif incomplete and not any("running" in a["state"] or a["restartCount"] for a in apps):
        wanted.append((INITIALIZED, False, "ContainersNotInitialized", f"containers with incomplete status: {_names(incomplete)}"))
    else:
        wanted.append((INITIALIZED, True, "", ""))
    unready = [s["name"] for s in apps if not s["ready"]]
    if phase == "Succeeded":
        why = (False, "PodCompleted", "")
    elif phase == "Failed":
        why = (False, "PodFailed", "")
    elif unready:
        why = (False, "ContainersNotReady", f"containers with unready status: {_names(unready)}")
    else:
        why = (True, "", "")
    old = {c["type"]: c for c in (pod.get("status") or {}).get("conditions") or []}
    wanted.append((READY, *(why if not why[0] else _gates(pod, old))))
    wanted.append((CONTAINERS_READY, *why))
    wanted.append((SCHEDULED, True, "", ""))
    generation = pod["metadata"].get("generation")
    return [_condition(kind, ok, reason, message, old.get(kind), now, generation) for kind, ok, reason, message in wanted]


def _gates(pod: Obj, old: dict[str, Obj]) -> tuple[bool, str, str]:
    missing = []
    for gate in pod["spec"].get("readinessGates") or []:
        kind = gate["conditionType"]
        if kind not in old:
            missing.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif old[kind].get("status") != "True":
            missing.append(f'the status of pod readiness gate "{kind}" is not "True", but {old[kind].get("status")}')
    return (False, "ReadinessGatesNotReady", ", ".join(missing)) if missing else (True, "", "")


def _condition(kind: str, ok: bool, reason: str, message: str, old: Obj | None, now: float, generation: int | None) -> Obj:
    status = "True" if ok else "False"
    kept = old.get("lastTransitionTime") if old and old.get("status") == status else None
    condition: Obj = {"type": kind}
    if generation:
        condition["observedGeneration"] = generation
    condition |= {"status": status, "lastProbeTime": None, "lastTransitionTime": kept or format_time(now)}
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return condition
