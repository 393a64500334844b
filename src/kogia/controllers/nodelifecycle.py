"""node-controller: notices nodes that fell silent, and keeps the taints that say what a node's conditions mean.

A renewed Lease or status counts as a sign of life, by our own monotonic clock from when we saw it change. Each node has one timer that
runs out when its grace period would; renewals only move the moment, so a healthy node costs one wake-up per grace period.
Decisions are in `node_health.py`. Source: pkg/controller/nodelifecycle.
"""

from __future__ import annotations

import logging

from kogia.api import nodes as api_nodes
from kogia.api import pods as api_pods
from kogia.api.status import StatusError
from kogia.base.clock import rfc3339
from kogia.client.cache import by_field
from kogia.client.controller import Controller
from kogia.client.interface import Obj
from kogia.controllers.context import BY_NODE, LEASES, NODES, PODS, ControllerContext
from kogia.controllers.node_health import GRACE_S, desired_taints, heartbeat, silent_conditions

log = logging.getLogger("kogia.controllers.nodelifecycle")

NAME = "node-controller"
LEASE_NAMESPACE = "kube-node-lease"


class NodeLifecycle:
    def __init__(self, context: ControllerContext, grace_s: float = GRACE_S) -> None:
        self._client = context.client_for(NAME)
        self._clock = context.clock
        self._events = context.recorder(NAME)
        self._nodes = context.informers.get(NODES)
        self._leases = context.informers.get(LEASES, LEASE_NAMESPACE)
        self._pods = context.informers.get(PODS, indexers={BY_NODE: by_field("spec", "nodeName")})
        self._grace_s = grace_s
        self._seen: dict[str, tuple[tuple[str, ...], float]] = {}  # node → (its last sign of life, when we saw it)
        self.controller = context.controller(NAME, self.reconcile, self._nodes, self._leases, self._pods)
        self.controller.watch(self._nodes)
        self._leases.on_change(self._on_lease)

    def _on_lease(self, old: Obj | None, new: Obj | None) -> None:
        """A renewal costs nothing but noting it; only a node taken for dead needs work (its own status will follow)."""
        if new is not None:
            node = self._nodes.get(new["metadata"]["name"])
            if node is not None:
                self._note(node)

    def _note(self, node: Obj) -> float:
        """Remember the newest sign of life; returns when it was seen, monotonic."""
        name = node["metadata"]["name"]
        beat = heartbeat(node, self._leases.get(f"{LEASE_NAMESPACE}/{name}"))
        known = self._seen.get(name)
        if known is None or known[0] != beat:
            known = self._seen[name] = (beat, self._clock.monotonic())
        return known[1]

    async def reconcile(self, key: str) -> None:
        node = self._nodes.get(key)
        if node is None:
            self._seen.pop(key, None)
            return
        left = self._note(node) + self._grace_s - self._clock.monotonic()
        if left > 0:
            self.controller.enqueue(key, after_s=left)
        else:
            node = await self._mark_silent(node)
        await self._taint(node)
        ready = api_nodes.condition(node, "Ready")
        if ready is not None and ready.get("status") != "True":
            await self._mark_pods(node)

    async def _mark_silent(self, node: Obj) -> Obj:
        name = node["metadata"]["name"]
        changed = silent_conditions(node, rfc3339(self._clock.now()))
        if changed is None:
            return node
        log.warning("node %s is silent for more than %.0f s", name, self._grace_s)
        self._events.event(
            {"kind": "Node", "apiVersion": "v1", "name": name, "uid": node["metadata"].get("uid", name)}, "Normal", "NodeNotReady",
            f"Node {name} status is now: NodeNotReady",
        )
        body = {"status": {"conditions": changed}}
        written = await self._client.patch(NODES, name, body, kind="strategic", subresource="status")
        # Our own writing is no sign of life.
        self._seen[name] = (heartbeat(written, self._leases.get(f"{LEASE_NAMESPACE}/{name}")), self._seen[name][1])
        return written

    async def _taint(self, node: Obj) -> None:
        """Errors: StatusError Conflict when the node changed meanwhile (retried)."""
        taints = desired_taints(node, rfc3339(self._clock.now()))
        if taints is not None:
            metadata = node["metadata"]
            body = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "spec": {"taints": taints or None}}
            await self._client.patch(NODES, metadata["name"], body, kind="merge")

    async def _mark_pods(self, node: Obj) -> None:
        """Pods of a node that is not ready are not ready either: their Services must stop sending there."""
        now = rfc3339(self._clock.now())
        for pod in self._pods.by_index(BY_NODE, node["metadata"]["name"]):
            ready = api_pods.condition(pod, "Ready")
            if ready is None or ready.get("status") != "True":
                continue
            metadata = pod["metadata"]
            body = {"metadata": {"uid": metadata["uid"]}, "status": {"conditions": [{**ready, "status": "False", "lastTransitionTime": now}]}}
            self._events.event(pod, "Warning", "NodeNotReady", "Node is not ready")
            try:
                await self._client.patch(PODS, metadata["name"], body, metadata["namespace"], kind="strategic", subresource="status")
            except StatusError as error:
                if error.code not in (404, 409):
                    raise


def node_lifecycle_controller(context: ControllerContext, grace_s: float = GRACE_S) -> Controller:
    return NodeLifecycle(context, grace_s).controller
