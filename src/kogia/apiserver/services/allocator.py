"""Cluster IPs and node ports: given out when a Service is written, free again when the read cache no longer sees them used.

There is no stored bitmap to repair: what is taken is what stored Services hold, followed through the read cache, plus what writes now under
way have reserved (until the cache shows their outcome, or their undo is called). One event loop and one API server own a store; with
several API servers two could pick the same address within the cache's lag, which IPAddress objects will settle when that day comes.
Source: pkg/registry/core/service/{ipallocator,portallocator} and storage/alloc.go (messages).
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable
from typing import Any

from kogia.api.status import FieldError, StatusError, invalid, invalid_value, status_error
from kogia.apiserver.interface import CacheEvent, ReadCache, WriteHook

Obj = dict[str, Any]
TRIES = 64


class Pool:
    """Who holds which number. `held` follows the cache, `reserved` the writes under way; owners are Service keys."""

    def __init__(self) -> None:
        self.held: dict[str | int, str] = {}
        self.reserved: dict[str | int, str] = {}

    def owner(self, item: str | int) -> str | None:
        return self.held.get(item) or self.reserved.get(item)

    def see(self, owner: str, old: set[Any], new: set[Any]) -> None:
        for item in old - new:
            if self.held.get(item) == owner:
                del self.held[item]
        for item in new:
            self.held[item] = owner
            if self.reserved.get(item) == owner:
                del self.reserved[item]

    def release(self, items: list[Any], owner: str) -> None:
        for item in items:
            if self.reserved.get(item) == owner:
                del self.reserved[item]


class ServiceAllocator:
    def __init__(self, service_cidr: str, node_ports: tuple[int, int]) -> None:
        """Errors: ValueError for a bad CIDR."""
        self.network = ipaddress.ip_network(service_cidr, strict=False)
        self.first_port, self.last_port = node_ports
        self.ips, self.ports = Pool(), Pool()
        size = self.network.num_addresses
        #: dynamic addresses come from above this offset first; below it people may choose their own
        self._band = min(max(16, size // 16), 256) if size > 16 else 1

    def follow(self, cache: ReadCache) -> None:
        cache.on_change(("", "services"), self._changed)

    def hook(self) -> WriteHook:
        return WriteHook(before=self.before)

    @property
    def kubernetes_ip(self) -> str:
        return str(self.network[1])

    def _changed(self, event: CacheEvent) -> None:
        obj = event.current.object()
        old = event.previous.object() if event.previous is not None else {}
        owner = _owner(obj)
        gone = event.type == "DELETED"
        self.ips.see(owner, _ips(old) | (_ips(obj) if gone else set()), set() if gone else _ips(obj))
        self.ports.see(owner, _ports(old) | (_ports(obj) if gone else set()), set() if gone else _ports(obj))

    # -- on a write -------------------------------------------------------------------------------------------------------

    def before(self, obj: Obj, old: Obj | None) -> Callable[[], None]:
        """Fill in and reserve what this Service needs; the undo gives it back. Errors: StatusError 422, 500 when the range is full."""
        owner, name = _owner(obj), obj["metadata"].get("name", "")
        taken_ips: list[Any] = []
        taken_ports: list[Any] = []

        def undo() -> None:
            self.ips.release(taken_ips, owner)
            self.ports.release(taken_ports, owner)

        spec = obj.setdefault("spec", {})
        try:
            if spec.get("type", "ClusterIP") != "ExternalName":
                self._cluster_ip(spec, owner, name, taken_ips)
            self._node_ports(spec, owner, name, taken_ports)
        except StatusError:
            undo()
            raise
        return undo

    def _cluster_ip(self, spec: Obj, owner: str, name: str, taken: list[Any]) -> None:
        wanted = spec.get("clusterIP") or (spec.get("clusterIPs") or [""])[0]
        if wanted == "None":
            spec["clusterIP"], spec["clusterIPs"] = "None", ["None"]
        else:
            if not wanted:
                wanted = self._pick_ip()
            else:
                why = self._ip_refused(wanted, owner)
                if why:
                    error = invalid_value("spec.clusterIPs", [wanted], f"failed to allocate IP {wanted}: {why}")
                    raise invalid("Service", name, [error])
            if self.ips.held.get(wanted) != owner:
                self.ips.reserved[wanted] = owner
                taken.append(wanted)
            spec["clusterIP"] = wanted
            spec["clusterIPs"] = [wanted, *(spec.get("clusterIPs") or [])[1:]]
        spec.setdefault("ipFamilies", ["IPv6" if self.network.version == 6 else "IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")

    def _ip_refused(self, text: str, owner: str) -> str:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return ""  # validation has the words for it
        if address not in self.network or not self._usable(int(address) - int(self.network.network_address)):
            return f"the provided network does not match the current range {self.network}" if address.version != self.network.version else (
                f"provided IP is not in the valid range. The range of valid IPs is {self.network}")
        holder = self.ips.owner(text)
        return "provided IP is already allocated" if holder is not None and holder != owner else ""

    def _usable(self, offset: int) -> bool:
        """Not the network's own address nor, in IPv4, the broadcast one."""
        return 0 < offset < self.network.num_addresses - (1 if self.network.version == 4 else 0)

    def _pick_ip(self) -> str:
        size = self.network.num_addresses
        base = self.network.network_address
        for _ in range(TRIES):
            offset = random.randrange(self._band, size) if self._band < size else 0
            text = str(base + offset)
            if self._usable(offset) and text != self.kubernetes_ip and self.ips.owner(text) is None:
                return text
        for offset in (*range(self._band, min(size, 1 << 20)), *range(2, self._band)):
            text = str(base + offset)
            if self._usable(offset) and text != self.kubernetes_ip and self.ips.owner(text) is None:
                return text
        raise status_error(500, "InternalError", "Internal error occurred: failed to allocate a serviceIP: range is full")

    def _node_ports(self, spec: Obj, owner: str, name: str, taken: list[Any]) -> None:
        kind = spec.get("type", "ClusterIP")
        wants = kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False)
        errors: list[FieldError] = []
        if kind in ("NodePort", "LoadBalancer"):
            for index, port in enumerate(spec.get("ports") or ()):
                if port.get("nodePort"):
                    why = self._port_refused(port["nodePort"], owner)
                    if why:
                        errors.append(invalid_value(f"spec.ports[{index}].nodePort", port["nodePort"], why))
                    else:
                        self._reserve_port(port["nodePort"], owner, taken)
            if errors:
                raise invalid("Service", name, errors)
            if wants:
                self._fill_ports(spec, owner, taken)
        if kind == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local":
            if not spec.get("healthCheckNodePort"):
                spec["healthCheckNodePort"] = self._pick_port()
            self._reserve_port(spec["healthCheckNodePort"], owner, taken)

    def _fill_ports(self, spec: Obj, owner: str, taken: list[Any]) -> None:
        """The same port over TCP and UDP gets one number for both."""
        chosen: dict[int, set[str]] = {}
        by_port: dict[int, int] = {}
        for port in spec.get("ports") or ():
            if port.get("nodePort"):
                chosen.setdefault(port["nodePort"], set()).add(port.get("protocol", "TCP"))
                by_port.setdefault(port.get("port", 0), port["nodePort"])
        for port in spec.get("ports") or ():
            if port.get("nodePort"):
                continue
            protocol = port.get("protocol", "TCP")
            shared = by_port.get(port.get("port", 0))
            number = shared if shared is not None and protocol not in chosen[shared] else self._pick_port()
            port["nodePort"] = number
            chosen.setdefault(number, set()).add(protocol)
            by_port.setdefault(port.get("port", 0), number)
            self._reserve_port(number, owner, taken)

    def _reserve_port(self, number: int, owner: str, taken: list[Any]) -> None:
        if self.ports.held.get(number) != owner and number not in self.ports.reserved:
            self.ports.reserved[number] = owner
            taken.append(number)

    def _port_refused(self, number: int, owner: str) -> str:
        if not self.first_port <= number <= self.last_port:
            return f"provided port is not in the valid range. The range of valid ports is {self.first_port}-{self.last_port}"
        holder = self.ports.owner(number)
        return "provided port is already allocated" if holder is not None and holder != owner else ""

    def _pick_port(self) -> int:
        for _ in range(TRIES):
            number = random.randint(self.first_port, self.last_port)
            if self.ports.owner(number) is None:
                return number
        for number in range(self.first_port, self.last_port + 1):
            if self.ports.owner(number) is None:
                return number
        raise status_error(500, "InternalError", "Internal error occurred: failed to allocate a nodePort: range is full")


def _owner(obj: Obj) -> str:
    return f"{obj['metadata'].get('namespace', '')}/{obj['metadata'].get('name', '')}"


def _ips(obj: Obj) -> set[Any]:
    spec = obj.get("spec") or {}
    return {ip for ip in [spec.get("clusterIP"), *(spec.get("clusterIPs") or [])] if ip and ip != "None"}


def _ports(obj: Obj) -> set[Any]:
    spec = obj.get("spec") or {}
    return {p for p in [*(port.get("nodePort") for port in spec.get("ports") or ()), spec.get("healthCheckNodePort")] if p}
