"""Facts about Pods that several components need: quality of service, effective requests, readiness, the end of their life.

Pure functions over Pod dicts (defaulted or not). The scheduler, the kubelet, quota and the tables all take them from here.

Source: kubernetes pkg/apis/core/v1/helper/qos, k8s.io/component-helpers resource, pkg/api/v1/pod.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kogia.api.quantity import Quantity, parse

Obj = dict[str, Any]

_QOS_RESOURCES = ("cpu", "memory")


def is_sidecar(container: Obj) -> bool:
    """Whether an init container keeps running beside the app containers (restartPolicy Always)."""
    return container.get("restartPolicy") == "Always"


def containers(pod: Obj) -> Iterator[Obj]:
    """Init containers, then app containers (ephemeral ones take no part in accounting)."""
    spec = pod.get("spec") or {}
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()


def qos_class(pod: Obj) -> str:
    """`Guaranteed` (every container has equal cpu and memory requests and limits), `BestEffort` (none has any), else `Burstable`."""
    level = (pod.get("spec") or {}).get("resources")
    if level and (level.get("requests") or level.get("limits")):
        return _qos_of([level])
    return _qos_of([container.get("resources") or {} for container in containers(pod)])


def _qos_of(parts: list[Obj]) -> str:
    anything = False
    guaranteed = True
    for part in parts:
        wanted = {name: text for name, text in (part.get("requests") or {}).items() if name in _QOS_RESOURCES and parse(text).sign() > 0}
        limited = {name: text for name, text in (part.get("limits") or {}).items() if name in _QOS_RESOURCES and parse(text).sign() > 0}
        anything = anything or bool(wanted) or bool(limited)
        if guaranteed:
            guaranteed = len(limited) == len(_QOS_RESOURCES) and all(
                parse(wanted.get(name, limited[name])) == parse(limited[name]) for name in _QOS_RESOURCES
            )
    if not anything:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def requests(pod: Obj) -> dict[str, Quantity]:
    """What the Pod asks of a node: the larger of its app containers together (with sidecars) and its hungriest init step,
    overruled by pod-level requests, plus the RuntimeClass's overhead."""
    return _effective(pod, "requests")


def limits(pod: Obj) -> dict[str, Quantity]:
    """The same reckoning over limits; overhead is added only to resources that have a limit."""
    return _effective(pod, "limits")


def _effective(pod: Obj, field: str) -> dict[str, Quantity]:
    spec = pod.get("spec") or {}
    total: dict[str, Quantity] = {}
    for container in spec.get("containers") or ():
        _add(total, (container.get("resources") or {}).get(field))
    sidecars: dict[str, Quantity] = {}
    peak: dict[str, Quantity] = {}
    for container in spec.get("initContainers") or ():
        own = (container.get("resources") or {}).get(field)
        if is_sidecar(container):
            _add(sidecars, own)
            step = sidecars
        else:
            step = dict(sidecars)
            _add(step, own)
        _raise_to(peak, step)
    for name, amount in sidecars.items():
        total[name] = total[name] + amount if name in total else amount
    _raise_to(total, peak)
    for name, text in ((spec.get("resources") or {}).get(field) or {}).items():
        total[name] = parse(text)
    for name, text in (spec.get("overhead") or {}).items():
        if field == "requests" or name in total:
            amount = parse(text)
            total[name] = total[name] + amount if name in total else amount
    return total


def _add(total: dict[str, Quantity], amounts: Obj | None) -> None:
    for name, text in (amounts or {}).items():
        amount = parse(text)
        total[name] = total[name] + amount if name in total else amount


def _raise_to(total: dict[str, Quantity], other: dict[str, Quantity]) -> None:
    for name, amount in other.items():
        if name not in total or total[name] < amount:
            total[name] = amount


def phase(pod: Obj) -> str:
    return str((pod.get("status") or {}).get("phase") or "")


def condition(pod: Obj, kind: str) -> Obj | None:
    """The Pod's condition of type `kind`, if it has one."""
    return next((c for c in (pod.get("status") or {}).get("conditions") or () if c.get("type") == kind), None)


def is_ready(pod: Obj) -> bool:
    """Whether the Pod's Ready condition is True."""
    ready = condition(pod, "Ready")
    return ready is not None and ready.get("status") == "True"


def is_terminal(pod: Obj) -> bool:
    """Whether the Pod has ended for good: phase Succeeded or Failed."""
    return phase(pod) in ("Succeeded", "Failed")


def is_terminating(pod: Obj) -> bool:
    """Whether the Pod is being deleted."""
    return bool((pod.get("metadata") or {}).get("deletionTimestamp"))


def is_active(pod: Obj) -> bool:
    """Neither ended nor being deleted: what controllers count."""
    return not is_terminal(pod) and not is_terminating(pod)


def is_mirror(pod: Obj) -> bool:
    """Whether the Pod only shows a static Pod that a kubelet runs from a file."""
    return "kubernetes.io/config.mirror" in ((pod.get("metadata") or {}).get("annotations") or {})
