"""The default pod network: a bridge, a veth per sandbox, host-local addresses; the same links the CNI plugins would make.

Built by rtnetlink without forking, and ahead of time: a few namespace sets stand ready with link, address and route, so
that a sandbox only takes one. Rules live in one nftables table of our own: Pods' traffic to the outside is masqueraded,
and packets for Pod or Service addresses that nobody took never leave by the uplink.
Invariants: an address file exists before its link; a set not named by a sandbox record is removed at the next start.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import os
import secrets
import socket
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kogia.base.tasks import TaskOwner
from kogia.cri.errors import Code, CriError
from kogia.runtime import namespaces, nft
from kogia.runtime.cni import default_conflist
from kogia.runtime.config import RuntimeConfig
from kogia.runtime.ipam import HostLocal
from kogia.runtime.namespaces import NamespaceSet
from kogia.runtime.netlink import PEER_INDEX, Netlink

log = logging.getLogger("kogia.runtime.network")

ALL = ("net", "ipc", "uts")


class DefaultNetwork:
    """Owns the bridge, the addresses and the ready sets of one cluster on this node."""

    def __init__(self, config: RuntimeConfig, executor: ThreadPoolExecutor) -> None:
        self._config = config
        self._executor = executor
        self._lock = threading.Lock()  # around netlink and ipam, both on worker threads
        self._ipam = HostLocal(config.cni_dir / "networks" / config.bridge, config.pod_cidr)
        self._netlink = Netlink()
        self._bridge_index = 0
        self._mtu = config.mtu or uplink_mtu()
        self._ready: deque[NamespaceSet] = deque()
        self._tasks = TaskOwner("network")
        self._filling: asyncio.Task[None] | None = None
        self._closed = False

    async def start(self, in_use: set[str]) -> None:
        """Bridge, rules, leftovers removed (sets whose id is not in `in_use`), the pool begun.

        Errors: CriError UNAVAILABLE with what the machine refused.
        """
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._executor, self._prepare, in_use)
        except OSError as error:
            raise CriError(Code.UNAVAILABLE, f"pod network: {error}") from error
        await nft.apply(network_rules(self._config))
        self._refill()

    def _prepare(self, in_use: set[str]) -> None:
        for address, owner in self._ipam.owners().items():
            if owner not in in_use:
                self._ipam.release(address)
        try:
            self._netlink.add_bridge(self._config.bridge, self._mtu)
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise
        self._bridge_index = socket.if_nametoindex(self._config.bridge)
        self._netlink.add_address(self._bridge_index, self._ipam.gateway, self._ipam.network.prefixlen)
        self._netlink.set_up(self._bridge_index)
        for other in overlapping(Path("/proc/net/route").read_text(), self._config.pod_cidr, self._config.bridge):
            log.warning("the Pod range %s is also routed by %s: choose another --pod-cidr", self._config.pod_cidr, other)
        conflist = default_conflist(
            self._config.name, self._config.bridge, self._config.pod_cidr, self._config.cni_dir / "networks", self._mtu
        )
        (self._config.cni_dir / "10-kogia.conflist").write_text(conflist)
        settings = {
            "/proc/sys/net/ipv4/ip_forward": "1",
            f"/proc/sys/net/ipv4/conf/{self._config.bridge}/route_localnet": "1",
            f"/sys/class/net/{self._config.bridge}/bridge/nf_call_iptables": "1",
        }
        for path, value in settings.items():
            try:
                Path(path).write_text(value)
            except OSError as error:
                log.warning("cannot write %s to %s: %s", value, path, error)

    async def take(self) -> NamespaceSet:
        """A set with net, ipc and uts, attached and addressed. Errors: CriError."""
        if self._ready:
            held = self._ready.popleft()
            self._refill()
            return held
        return await self._make_one()

    async def _make_one(self) -> NamespaceSet:
        future = asyncio.get_running_loop().run_in_executor(self._executor, self._make)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait({future})
            if future.exception() is None:
                self._ready.append(future.result())  # whoever wanted it is gone; the next one takes it
            raise
        except OSError as error:
            raise CriError(Code.INTERNAL, f"failed to set up the pod network: {error}") from error

    def _make(self) -> NamespaceSet:
        identity = secrets.token_hex(8)
        directory = self._config.namespaces_dir / identity
        link = self._config.link_prefix + identity[:8]
        with self._lock:
            address = self._ipam.allocate(identity)
        inside: Netlink | None = None
        try:
            inside = namespaces.make(directory, ALL)
            assert inside is not None
            self._attach(inside, directory / "net", link, address)
        except BaseException:
            namespaces.unpin(directory)
            with self._lock:
                self._ipam.release(address)
            raise
        finally:
            if inside is not None:
                inside.close()
        return NamespaceSet(identity, directory, ALL, address, link)

    def _attach(self, inside: Netlink, netns: Path, link: str, address: str) -> None:
        fd = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with self._lock:
                self._netlink.add_veth(link, "eth0", fd, self._bridge_index, self._mtu)
                self._netlink.set_hairpin(socket.if_nametoindex(link))
        finally:
            os.close(fd)
        inside.set_up(PEER_INDEX)
        inside.add_address(PEER_INDEX, address, self._ipam.network.prefixlen)
        inside.add_default_route(PEER_INDEX, self._ipam.gateway)

    async def give_back(self, held: NamespaceSet) -> None:
        """Take a set down: unpinned, its link gone with it, the address free. Idempotent."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._drop, held)

    def _drop(self, held: NamespaceSet) -> None:
        # The kernel removes the link with its namespace, in the background and in batches; asking for it costs 40 ms.
        namespaces.unpin(held.directory)
        if held.ip:
            with self._lock:
                self._ipam.release(held.ip)

    def _refill(self) -> None:
        if self._closed or self._filling is not None or len(self._ready) >= self._config.ready_namespaces:
            return
        self._filling = self._tasks.spawn("refill", self._fill())

    async def _fill(self) -> None:
        try:
            while not self._closed and len(self._ready) < self._config.ready_namespaces:
                held = await self._make_one()
                self._ready.append(held)
        except CriError as error:
            log.warning("no network namespaces made ready: %s", error.message)
        finally:
            self._filling = None

    async def close(self) -> None:
        """Stop the pool and take its sets down; attached sandboxes go on."""
        self._closed = True
        await self._tasks.close()
        while self._ready:
            await self.give_back(self._ready.popleft())
        self._netlink.close()


def uplink_mtu() -> int:
    """The MTU of the interface behind the default route, so that Pods' packets fit through it; 0 if there is none."""
    try:
        for line in Path("/proc/net/route").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1] == "00000000":
                return int(Path(f"/sys/class/net/{fields[0]}/mtu").read_text())
    except (OSError, ValueError, IndexError):
        pass
    return 0


def overlapping(routes: str, cidr: str, own: str) -> list[str]:
    """Interfaces other than `own` that hold a route within `cidr`, from the text of /proc/net/route. Pure."""
    wanted = ipaddress.IPv4Network(cidr)
    found = []
    for fields in (line.split() for line in routes.splitlines()[1:]):
        if len(fields) < 8 or fields[0] == own or fields[7] == "00000000":
            continue
        address, mask = (socket.inet_ntoa(int(fields[at], 16).to_bytes(4, "little")) for at in (1, 7))
        if wanted.overlaps(ipaddress.IPv4Network(f"{address}/{mask}", strict=False)):
            found.append(fields[0])
    return found


def network_rules(config: RuntimeConfig) -> str:
    """The table's whole text: replaced in one transaction, so applying it again is harmless. Pure."""
    pods = config.cluster_cidr or config.pod_cidr
    table, bridge = config.net_table, config.bridge
    return f"""
table ip {table} {{}}
delete table ip {table}
table ip {table} {{
  chain raw {{
    type filter hook prerouting priority raw; policy accept;
    iifname "{bridge}" ip daddr 127.0.0.0/8 drop
  }}
  chain uplink {{
    type filter hook postrouting priority mangle; policy accept;
    ip daddr {config.pod_cidr} oifname != {{ "{bridge}", "lo" }} drop
    ip daddr {config.service_cidr} oifname != "lo" drop
  }}
  chain outgoing {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {config.pod_cidr} ip daddr != {{ {pods}, {config.service_cidr} }} oifname != "{bridge}" masquerade
  }}
}}
"""
