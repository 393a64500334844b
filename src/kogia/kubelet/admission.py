"""Whether a Pod that was bound to this node fits beside what runs here. Pure.

The scheduler sees to this for the Pods it places; a Pod that names its node itself was looked at by nobody. Neighbour: kubelet.py asks once per
Pod, when it first hears of it; a Pod the node has taken is never asked about again. Invariants: the first thing that does not fit is told, in
Kubernetes' order and words; what a Pod does not ask for cannot be lacking.
Source: kubelet lifecycle/predicate.go (generalFilter, InsufficientResourceError), scheduler noderesources fitsRequest and nodeports.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kogia.api.pods import is_sidecar, requests
from kogia.api.quantity import Quantity, parse

Obj = dict[str, Any]

RESOURCES = ("cpu", "memory", "ephemeral-storage")
ANY = ("", "0.0.0.0", "::")
PORTS = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
_NONE = Quantity(0)


def refusal(pod: Obj, others: Iterable[Obj], allocatable: Mapping[str, str]) -> tuple[str, str] | None:
    """(reason, message) why `pod` cannot run beside `others`, the Pods that have a place here and have not ended; None when it can."""
    others = list(others)
    capacity = allocatable.get("pods")
    if capacity is not None and len(others) + 1 > int(parse(capacity).value()):
        return _insufficient("pods", 1, len(others), int(parse(capacity).value()))
    wanted = requests(pod)
    taken = [requests(other) for other in others] if any(not wanted.get(name, _NONE).is_zero() for name in RESOURCES) else []
    for name in RESOURCES:
        asked = _amount(name, wanted.get(name, _NONE))
        if not asked or name not in allocatable:
            continue
        used = sum(_amount(name, amounts[name]) for amounts in taken if name in amounts)
        room = _amount(name, parse(allocatable[name]))
        if asked > room - used:
            return _insufficient(name, asked, used, room)
    mine = list(host_ports(pod))
    if mine and any(_clash(a, b) for other in others for b in host_ports(other) for a in mine):
        return "NodePorts", PORTS
    return None


def _insufficient(name: str, asked: int, used: int, capacity: int) -> tuple[str, str]:
    return f"OutOf{name}", f"Node didn't have enough resource: {name}, requested: {asked}, used: {used}, capacity: {capacity}"


def _amount(name: str, quantity: Quantity) -> int:
    """Thousandths of a CPU, otherwise whole units, as the messages count."""
    return quantity.milli() if name == "cpu" else quantity.value()


def host_ports(pod: Obj) -> Iterator[tuple[str, str, int]]:
    """(host IP, protocol, port) of every port of the node that the Pod takes while it runs."""
    spec = pod["spec"]
    for container in [*(c for c in spec.get("initContainers") or () if is_sidecar(c)), *spec["containers"]]:
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield port.get("hostIP") or "", port.get("protocol") or "TCP", int(port["hostPort"])


def _clash(a: tuple[str, str, int], b: tuple[str, str, int]) -> bool:
    return a[1:] == b[1:] and (a[0] == b[0] or a[0] in ANY or b[0] in ANY)
