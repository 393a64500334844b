"""Host ports of Pods on the default network: destination NAT in an nftables table of our own.

The table is always written whole and in one transaction, from the sandboxes' records: what a crash left cannot survive
the next change. Reachable from outside, from the node itself (also by 127.0.0.1) and from Pods. Nothing runs for Pods
without host ports. Rendering is pure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from kogia.cri import types as t
from kogia.cri.errors import Code, CriError
from kogia.runtime import nft
from kogia.runtime.config import RuntimeConfig


@dataclass(frozen=True, slots=True, order=True)
class HostPort:
    protocol: str
    host_ip: str  #: "" = every address of the node
    host_port: int
    pod_ip: str
    pod_port: int


def wanted(config: t.PodSandboxConfig, pod_ip: str) -> list[HostPort]:
    """The host ports a sandbox asks for. Pure."""
    return [
        HostPort(
            mapping.protocol.name.lower(),
            "" if mapping.host_ip in ("", "0.0.0.0", "::") else mapping.host_ip,
            mapping.host_port,
            pod_ip,
            mapping.container_port,
        )
        for mapping in config.port_mappings
        if mapping.host_port and ":" not in mapping.host_ip.removeprefix("::")
    ]


def conflict(port: HostPort, taken: Iterable[HostPort]) -> HostPort | None:
    """Another Pod's mapping that `port` cannot live beside. Pure."""
    for other in taken:
        same = (other.protocol, other.host_port) == (port.protocol, port.host_port)
        if same and (not other.host_ip or not port.host_ip or other.host_ip == port.host_ip):
            return other
    return None


def render(config: RuntimeConfig, ports: Iterable[HostPort]) -> str:
    """The table's text; without ports the table goes. Pure."""
    table = config.hostports_table
    head = f"table ip {table} {{}}\ndelete table ip {table}\n"
    ordered = sorted(ports, key=lambda port: (not port.host_ip, port))  # those for one address before those for all
    if not ordered:
        return head
    rules = []
    for port in ordered:
        match = f"ip daddr {port.host_ip} " if port.host_ip else ""
        rules.append(f"    {match}{port.protocol} dport {port.host_port} dnat to {port.pod_ip}:{port.pod_port}")
    return (
        head
        + f"""table ip {table} {{
  chain ports {{
{chr(10).join(rules)}
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local jump ports
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    fib daddr type local jump ports
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname "{config.bridge}" ip saddr 127.0.0.0/8 masquerade
    ct status dnat ip saddr {config.pod_cidr} oifname "{config.bridge}" ct original daddr != {config.service_cidr} masquerade
  }}
}}
"""
    )


class HostPorts:
    """The node's host ports, by sandbox."""

    def __init__(self, config: RuntimeConfig) -> None:
        self._config = config
        self._held: dict[str, list[HostPort]] = {}
        self._lock = asyncio.Lock()

    async def restore(self, held: dict[str, list[HostPort]]) -> None:
        """At start: what the records say, and nothing else."""
        self._held = {key: ports for key, ports in held.items() if ports}
        await self._apply()

    async def add(self, sandbox_id: str, ports: list[HostPort]) -> None:
        """Errors: CriError ALREADY_EXISTS for a port another Pod has."""
        if not ports:
            return
        for port in ports:
            other = conflict(port, (p for ports in self._held.values() for p in ports))
            if other is not None:
                message = f"host port {port.host_port}/{port.protocol} is already mapped to {other.pod_ip}"
                raise CriError(Code.ALREADY_EXISTS, message)
        self._held[sandbox_id] = ports
        try:
            await self._apply()
        except BaseException:
            self._held.pop(sandbox_id, None)
            raise

    async def remove(self, sandbox_id: str) -> None:
        """Idempotent."""
        if self._held.pop(sandbox_id, None):
            await self._apply()

    async def _apply(self) -> None:
        async with self._lock:
            await nft.apply(render(self._config, [p for ports in self._held.values() for p in ports]))
