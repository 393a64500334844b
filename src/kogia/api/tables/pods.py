"""The Pod table. Its STATUS is the most read word in Kubernetes: `status_text` says how it comes about.

Source: kubernetes pkg/printers/internalversion/printers.go (printPod).
"""

from __future__ import annotations

from typing import Any

from kogia.api.pods import is_sidecar, is_terminal
from kogia.api.tables.age import duration
from kogia.api.tables.model import age_of, name_of, table
from kogia.api.tables.text import NONE, condition, container_cells, label_text, meta, spec, status
from kogia.base.clock import parse_rfc3339

Obj = dict[str, Any]


class _Tally:
    """What the container statuses add up to."""

    __slots__ = ("last_restart", "ready", "reason", "restarts")

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.ready = 0
        self.restarts = 0
        self.last_restart = 0.0

    def count_restarts(self, container: Obj) -> None:
        self.restarts += int(container.get("restartCount") or 0)
        ended = (container.get("lastState") or {}).get("terminated") or {}
        if ended.get("finishedAt"):
            self.last_restart = max(self.last_restart, parse_rfc3339(ended["finishedAt"]))


def _ended_text(ended: Obj, prefix: str = "") -> str:
    if ended.get("reason"):
        return f"{prefix}{ended['reason']}"
    if ended.get("signal"):
        return f"{prefix}Signal:{ended['signal']}"
    return f"{prefix}ExitCode:{ended.get('exitCode') or 0}"


def _init_progress(pod: Obj, tally: _Tally, sidecars: _Tally) -> bool:
    """Walk the init containers; True while the Pod is still initializing (and then `tally.reason` says where it stands)."""
    by_name = {c.get("name"): c for c in spec(pod).get("initContainers") or ()}
    for i, container in enumerate(status(pod).get("initContainerStatuses") or ()):
        sidecar = is_sidecar(by_name.get(container.get("name")) or {})
        state = container.get("state") or {}
        tally.count_restarts(container)
        if sidecar:
            sidecars.count_restarts(container)
        ended, waiting = state.get("terminated"), state.get("waiting") or {}
        if ended is not None and not ended.get("exitCode"):
            continue
        if sidecar and container.get("started"):
            if container.get("ready"):
                tally.ready += 1
            continue
        if ended is not None:
            tally.reason = _ended_text(ended, "Init:")
        elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
            tally.reason = f"Init:{waiting['reason']}"
        else:
            tally.reason = f"Init:{i}/{len(by_name)}"
        return True
    return False


def _running_progress(pod: Obj, tally: _Tally) -> None:
    running = False
    for container in reversed(status(pod).get("containerStatuses") or ()):
        state = container.get("state") or {}
        tally.count_restarts(container)
        if (state.get("waiting") or {}).get("reason"):
            tally.reason = state["waiting"]["reason"]
        elif state.get("terminated") is not None:
            tally.reason = _ended_text(state["terminated"])
        elif container.get("ready") and state.get("running") is not None:
            running = True
            tally.ready += 1
    if tally.reason == "Completed" and running:
        ready = condition(pod, "Ready")
        tally.reason = "Running" if ready is not None and ready.get("status") == "True" else "NotReady"


def _tally(pod: Obj) -> _Tally:
    state = status(pod)
    tally = _Tally(state.get("reason") or state.get("phase") or "")
    scheduled = condition(pod, "PodScheduled")
    if scheduled is not None and scheduled.get("reason") == "SchedulingGated":
        tally.reason = "SchedulingGated"
    sidecars = _Tally("")
    initializing = _init_progress(pod, tally, sidecars)
    initialized = condition(pod, "Initialized")
    if not initializing or (initialized is not None and initialized.get("status") == "True"):
        tally.restarts, tally.last_restart = sidecars.restarts, sidecars.last_restart
        _running_progress(pod, tally)
    if meta(pod).get("deletionTimestamp"):
        if state.get("reason") == "NodeLost":
            tally.reason = "Unknown"
        elif not is_terminal(pod):
            tally.reason = "Terminating"
    return tally


def status_text(pod: Obj) -> str:
    """The STATUS column: `Running`, `Init:0/1`, `CrashLoopBackOff`, `Completed`, `Terminating`, …"""
    return _tally(pod).reason


def _cells(pod: Obj, now: float) -> list[Any]:
    tally = _tally(pod)
    inner, state = spec(pod), status(pod)
    total = len(inner.get("containers") or ()) + sum(1 for c in inner.get("initContainers") or () if is_sidecar(c))
    restarts = str(tally.restarts)
    if tally.restarts and tally.last_restart:
        restarts = f"{restarts} ({duration(now - tally.last_restart)} ago)"
    ips = state.get("podIPs") or ()
    gates = inner.get("readinessGates") or ()
    passed = sum(1 for gate in gates if (condition(pod, gate.get("conditionType") or "") or {}).get("status") == "True")
    return [
        name_of(pod), f"{tally.ready}/{total}", tally.reason, restarts, age_of(pod, now),
        (ips[0].get("ip") if ips else state.get("podIP")) or NONE, inner.get("nodeName") or NONE,
        state.get("nominatedNodeName") or NONE, f"{passed}/{len(gates)}" if gates else NONE,
    ]


def _template_cells(obj: Obj, now: float) -> list[Any]:
    template = obj.get("template") or {}
    return [name_of(obj), *container_cells(template), label_text(meta(template).get("labels"))]


TABLES = {
    ("", "Pod"): table("Name|Ready|Status|Restarts|Age|*IP|*Node|*Nominated Node|*Readiness Gates", _cells),
    ("", "PodTemplate"): table("Name|Containers|Images|Pod Labels", _template_cells),
}
