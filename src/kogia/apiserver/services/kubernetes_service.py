"""The `kubernetes` Service in `default`, its Endpoints and EndpointSlice: how Pods find this server. Kept true while the server runs.

A change of any of the three wakes the keeper, which compares and repairs at most once a second.
Source: pkg/controlplane/controller/kubernetesservice, pkg/controlplane/reconcilers.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from kogia.api.resources import ResourceTable
from kogia.api.status import StatusError
from kogia.apiserver.bootstrap import SERVER
from kogia.apiserver.interface import CacheEvent, Registry
from kogia.base.backoff import Backoff

log = logging.getLogger("kogia.apiserver.kubernetes-service")
Obj = dict[str, Any]
NAME, NAMESPACE = "kubernetes", "default"


class KubernetesService:
    def __init__(self, registry: Registry, table: ResourceTable, service_ip: str, address: str, port: int) -> None:
        self._registry = registry
        self._table = table
        self._service_ip, self._address, self._port = service_ip, address, port
        self._wake = asyncio.Event()

    def wanted(self) -> list[Obj]:
        metadata: Obj = {"name": NAME, "namespace": NAMESPACE}
        family = "IPv6" if ":" in self._address else "IPv4"
        service = {
            "apiVersion": "v1", "kind": "Service", "metadata": {**metadata, "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {
                "clusterIP": self._service_ip, "clusterIPs": [self._service_ip], "sessionAffinity": "None", "type": "ClusterIP",
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": self._port}],
            },
        }
        endpoints = {
            "apiVersion": "v1", "kind": "Endpoints", "metadata": {**metadata, "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
            "subsets": [{"addresses": [{"ip": self._address}], "ports": [{"name": "https", "port": self._port, "protocol": "TCP"}]}],
        }
        endpoint_slice = {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {**metadata, "labels": {"kubernetes.io/service-name": NAME}},
            "addressType": family, "endpoints": [{"addresses": [self._address], "conditions": {"ready": True}}],
            "ports": [{"name": "https", "port": self._port, "protocol": "TCP"}],
        }
        return [service, endpoints, endpoint_slice]

    async def ensure(self) -> None:
        """Errors: StatusError, StoreError."""
        await asyncio.gather(*(self._ensure_one(obj) for obj in self.wanted()))

    async def _ensure_one(self, wanted: Obj) -> None:
        group, _, version = wanted["apiVersion"].rpartition("/")
        row = self._table.by_kind(group, version, wanted["kind"])
        assert row is not None
        found = self._registry.cache.get((group, row.plural), NAME, NAMESPACE)
        try:
            if found is None:
                await self._registry.create_object(row, wanted, user=SERVER)
                return
            existing = found.object()
            changed = repaired(existing, wanted)
            if changed is not None:
                await self._registry.update_object(row, changed, user=SERVER)
        except StatusError as error:
            if error.reason not in ("AlreadyExists", "Conflict", "NotFound"):
                raise

    async def keep(self) -> None:
        """Repair after every change by others; runs until cancelled."""
        for resource in (("", "services"), ("", "endpoints"), ("discovery.k8s.io", "endpointslices")):
            self._registry.cache.on_change(resource, self._changed)
        backoff = Backoff(1.0, 60.0)
        while True:
            await self._wake.wait()
            await asyncio.sleep(1.0)
            self._wake.clear()
            try:
                await self.ensure()
                backoff.reset()
            except StatusError as error:
                log.warning("the kubernetes service could not be repaired: %s", error)
                await asyncio.sleep(backoff.next())
                self._wake.set()

    def _changed(self, event: CacheEvent) -> None:
        if event.current.key == f"{NAMESPACE}/{NAME}":
            self._wake.set()


def repaired(existing: Obj, wanted: Obj) -> Obj | None:
    """`existing` made to lead where `wanted` does, None if it does. A Service keeps its address and whatever else was added."""
    changed = {**existing}
    if wanted["kind"] == "Service":
        ports = [{k: p.get(k) for k in ("name", "port", "protocol", "targetPort")} for p in existing.get("spec", {}).get("ports") or ()]
        if ports == wanted["spec"]["ports"] and existing["spec"].get("type") == "ClusterIP":
            return None
        changed["spec"] = {**existing["spec"], "ports": wanted["spec"]["ports"], "type": "ClusterIP"}
        return changed
    fields = ("subsets",) if wanted["kind"] == "Endpoints" else ("addressType", "endpoints", "ports")
    if all(existing.get(f) == wanted[f] for f in fields):
        return None
    return changed | {f: wanted[f] for f in fields}
