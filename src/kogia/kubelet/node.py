"""The Node object and its Lease: registers this machine and says that it is alive.

Neighbours: kubelet.py runs it. Invariants: capacity patched in by others (extended resources) stays and is mirrored to allocatable; the Lease
is renewed every ten seconds, the status written only when it differs from what the API holds (others write there too: to the node lifecycle
controller a kubelet that hung is Unknown) or every five minutes; a deleted Node is registered anew.
Source: kubelet kubelet_node_status.go, nodestatus/setters.go, component-helpers lease controller.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kogia.api.status import StatusError
from kogia.base.backoff import Backoff
from kogia.base.clock import rfc3339, rfc3339_micro
from kogia.client.interface import Resource
from kogia.cri.errors import CriError
from kogia.kubelet.config import KubeletConfig
from kogia.kubelet.node_context import NodeContext

log = logging.getLogger("kogia.kubelet.node")

Obj = dict[str, Any]

NODES = Resource("", "v1", "nodes", namespaced=False)
LEASES = Resource("coordination.k8s.io", "v1", "leases")
LEASE_NAMESPACE = "kube-node-lease"
STATUS_CHECK_S = 10.0
MAX_IMAGES = 50

_ARCH = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64"}
_CONDITIONS = (
    ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
)


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def machine_capacity(config: KubeletConfig) -> tuple[dict[str, str], int]:
    """(the Node's capacity, memory in bytes)."""
    memory_kib = 1 << 20
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            memory_kib = int(line.split()[1])
    root = Path(config.root_dir)
    while not root.exists():
        root = root.parent
    disk = os.statvfs(root)
    capacity = {
        "cpu": str(os.cpu_count() or 1),
        "ephemeral-storage": f"{disk.f_blocks * disk.f_frsize // 1024}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "memory": f"{memory_kib}Ki",
        "pods": str(config.max_pods),
    }
    return capacity, memory_kib * 1024


def node_addresses(config: KubeletConfig) -> list[str]:
    """The node's own IP: configured, or that of the interface a packet to elsewhere would leave by (none is sent)."""
    if config.node_ip:
        return [config.node_ip]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return [probe.getsockname()[0]]
        except OSError:
            return ["127.0.0.1"]


def node_info(config: KubeletConfig, runtime: str) -> Obj:
    machine = _ARCH.get(platform.machine(), platform.machine())
    os_name = "Linux"
    for line in _read("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            os_name = line.partition("=")[2].strip('"')
    return {
        "machineID": _read("/etc/machine-id"), "systemUUID": _read("/sys/class/dmi/id/product_uuid"), "bootID": _read("/proc/sys/kernel/random/boot_id"),
        "kernelVersion": platform.release(), "osImage": os_name, "containerRuntimeVersion": runtime, "kubeletVersion": config.version,
        "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": machine,
    }


class Node:
    def __init__(self, node: NodeContext, pod_count: Callable[[], int]) -> None:
        self._node = node
        self._pod_count = pod_count
        self.kubelet_port = node.config.port
        self._runtime_version = ""
        self._written_at = float("-inf")
        self._lease: Obj | None = None
        self.registered = False
        self.ready = asyncio.Event()  #: set once the API has been told that this node is Ready

    # -- what is said --------------------------------------------------------------------------------------------------

    def _labels(self) -> dict[str, str]:
        name = self._node.config.node_name
        machine = _ARCH.get(platform.machine(), platform.machine())
        own = {
            "beta.kubernetes.io/arch": machine, "beta.kubernetes.io/os": "linux", "kubernetes.io/arch": machine,
            "kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
        }
        return {**own, **self._node.config.node_labels}

    async def _status(self, old: Obj) -> Obj:
        """The whole status, condition times carried over from `old`."""
        node, config = self._node, self._node.config
        now = rfc3339(node.clock.now())
        ready, reason, message = await self._readiness()
        known = {c["type"]: c for c in old.get("conditions") or []}
        conditions = []
        for kind, why, text in _CONDITIONS:
            conditions.append({"type": kind, "status": "False", "reason": why, "message": text})
        conditions.append({"type": "Ready", "status": "True" if ready else "False", "reason": reason, "message": message})
        for condition in conditions:
            before = known.get(condition["type"]) or {}
            same = before.get("status") == condition["status"]
            condition["lastHeartbeatTime"] = now
            condition["lastTransitionTime"] = before.get("lastTransitionTime", now) if same else now
        extended = {k: v for k, v in (old.get("capacity") or {}).items() if k not in node.capacity}
        return {
            "capacity": {**node.capacity, **extended},
            "allocatable": {**node.allocatable, **extended},
            "conditions": conditions,
            "addresses": [{"type": "InternalIP", "address": ip} for ip in node.host_ips] + [{"type": "Hostname", "address": config.node_name}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.kubelet_port}},
            "nodeInfo": node_info(config, self._runtime_version),
            "images": await self._images(),
        }

    async def _readiness(self) -> tuple[bool, str, str]:
        try:
            if not self._runtime_version:
                version = await self._node.runtime.version()
                self._runtime_version = f"{version.runtime_name}://{version.runtime_version}"
            status = await self._node.runtime.status()
        except CriError as error:
            return False, "KubeletNotReady", f"container runtime is down: {error.message}"
        bad = [c for c in status.conditions if not c.status and c.type in ("RuntimeReady", "NetworkReady")]
        if bad:
            words = {"RuntimeReady": "container runtime not ready", "NetworkReady": "container runtime network not ready"}
            text = ", ".join(f"{words[c.type]}: {c.type}=false reason:{c.reason} message:{c.message}" for c in bad)
            return False, "KubeletNotReady", text
        return True, "KubeletReady", "kubelet is posting ready status"

    async def _images(self) -> list[Obj]:
        try:
            images = await self._node.images.list_images()
        except CriError as error:
            log.debug("listing images: %s", error.message)
            return []
        images.sort(key=lambda i: i.size, reverse=True)
        return [{"names": i.repo_digests + i.repo_tags, "sizeBytes": i.size} for i in images[:MAX_IMAGES]]

    # -- how it is said ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled: register, then heartbeats and status; every failure is retried."""
        backoff = Backoff(0.1, 5.0, jitter=0.3)
        while True:
            try:
                if not self.registered:
                    await self._register()
                else:
                    await self._sync_status(await self._node.client.get(NODES, self._node.config.node_name))
                await self._heartbeat()
                backoff.reset()
            except StatusError as error:
                if error.code == 404:
                    self.registered = False
                log.log(logging.DEBUG if error.code in (403, 404) else logging.WARNING, "node status: %s", error.message)
                await self._node.clock.sleep(backoff.next())
                continue
            except (OSError, TimeoutError) as error:
                log.debug("node status: %s", error)
                await self._node.clock.sleep(backoff.next())
                continue
            await self._node.clock.sleep(self._node.config.heartbeat_s)

    async def _register(self) -> None:
        config = self._node.config
        first = not self._written_at > 0
        try:
            node = await self._node.client.get(NODES, config.node_name)
        except StatusError as error:
            if error.code != 404 or not config.register_node:
                raise
            body: Obj = {
                "apiVersion": "v1", "kind": "Node",
                "metadata": {
                    "name": config.node_name, "labels": self._labels(),
                    "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
                },
                "spec": {},
            }
            if config.pod_cidr:
                body["spec"] |= {"podCIDR": config.pod_cidr, "podCIDRs": [config.pod_cidr]}
            if config.node_taints:
                body["spec"]["taints"] = list(config.node_taints)
            body["status"] = await self._status({})
            node = await self._node.client.create(NODES, body)
        labels = (node["metadata"].get("labels") or {})
        missing = {k: v for k, v in self._labels().items() if labels.get(k) != v}
        if missing:
            node = await self._node.client.patch(NODES, config.node_name, {"metadata": {"labels": missing}})
        self.registered = True
        self._written_at = float("-inf")
        if first:
            reference = {"kind": "Node", "name": config.node_name, "uid": config.node_name}
            self._node.recorder.event(reference, "Normal", "Starting", "Starting kubelet.")
            self._node.recorder.event(reference, "Normal", "RegisteredNode", f"Node {config.node_name} is registered by its kubelet")
        await self._sync_status(node)

    async def _sync_status(self, live: Obj) -> None:
        """Write the status if it differs from that of `live`, the Node the API holds, in anything but heartbeat times, or if it is old."""
        clock, config = self._node.clock, self._node.config
        old = live.get("status") or {}
        status = await self._status(old)
        fresh = clock.monotonic() - self._written_at < config.status_s
        if fresh and _essence(status) == _essence(old):
            return
        body = {"status": {k: v for k, v in status.items() if k != "addresses"}}
        body["status"]["addresses"] = [*status["addresses"], {"$patch": "replace"}]
        await self._node.client.patch(NODES, config.node_name, body, kind="strategic", subresource="status")
        self._written_at = clock.monotonic()
        ready = _ready(status)
        if not self.ready.is_set() or _ready(old) != ready:
            reason = "NodeReady" if ready == "True" else "NodeNotReady"
            reference = {"kind": "Node", "name": config.node_name, "uid": config.node_name}
            self._node.recorder.event(reference, "Normal", reason, f"Node {config.node_name} status is now: {reason}")
        if ready == "True":
            self.ready.set()

    async def _heartbeat(self) -> None:
        config = self._node.config
        now = rfc3339_micro(self._node.clock.now())
        if self._lease is not None:
            try:
                body = {**self._lease, "spec": {**self._lease["spec"], "renewTime": now}}
                self._lease = await self._node.client.update(LEASES, body)
                return
            except StatusError as error:
                if error.code not in (404, 409):
                    raise
                self._lease = None
        try:
            lease = await self._node.client.get(LEASES, config.node_name, LEASE_NAMESPACE)
            body = {**lease, "spec": {**(lease.get("spec") or {}), "holderIdentity": config.node_name, "renewTime": now}}
            self._lease = await self._node.client.update(LEASES, body)
        except StatusError as error:
            if error.code != 404:
                raise
            node = await self._node.client.get(NODES, config.node_name)
            owner = {"apiVersion": "v1", "kind": "Node", "name": config.node_name, "uid": node["metadata"]["uid"]}
            spec = {"holderIdentity": config.node_name, "leaseDurationSeconds": config.lease_s, "renewTime": now}
            metadata = {"name": config.node_name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]}
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
            self._lease = await self._node.client.create(LEASES, body, LEASE_NAMESPACE)


def _ready(status: Obj) -> str:
    return next((str(c.get("status")) for c in status.get("conditions") or [] if c["type"] == "Ready"), "")


def _essence(status: Obj) -> Obj:
    """Without heartbeat times, empty values and others' conditions: only what the kubelet itself says."""
    own = {kind for kind, _, _ in _CONDITIONS} | {"Ready"}
    conditions = [
        {k: v for k, v in c.items() if k in ("type", "status", "reason", "message")} for c in status.get("conditions") or [] if c["type"] in own
    ]
    return {
        **{k: status.get(k) for k in ("capacity", "allocatable", "addresses", "daemonEndpoints")},
        "nodeInfo": {k: v for k, v in (status.get("nodeInfo") or {}).items() if v},
        "images": status.get("images") or [],
        "conditions": sorted(conditions, key=lambda c: str(c["type"])),
    }
