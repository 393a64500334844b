"""pod-garbage-collector: deletes Pods nobody else will: those of nodes that are gone, and the oldest ended ones beyond a threshold.

Source: pkg/controller/podgc (40 s quarantine before a missing node is believed; threshold 12,500 in kube-controller-manager).
"""

from __future__ import annotations

from kogia.api import pods as api_pods
from kogia.api.status import StatusError
from kogia.base.clock import rfc3339
from kogia.client.cache import by_field, object_key
from kogia.client.controller import Controller
from kogia.client.interface import Obj
from kogia.controllers.context import BY_NODE, NODES, PODS, ControllerContext

NAME = "pod-garbage-collector"
QUARANTINE_S = 40.0
TERMINATED_THRESHOLD = 12_500
#: The key of "too many ended Pods"; no Pod's key lacks a slash.
ENDED = "ended"
#: Count again at most this often.
ENDED_EVERY_S = 20.0


class PodGarbageCollector:
    def __init__(self, context: ControllerContext, threshold: int = TERMINATED_THRESHOLD) -> None:
        self._client = context.client_for(NAME)
        self._clock = context.clock
        self._nodes = context.informers.get(NODES)
        self._pods = context.informers.get(PODS, indexers={BY_NODE: by_field("spec", "nodeName")})
        self._threshold = threshold
        self._ended: set[str] = set()
        self._missing: dict[str, float] = {}  # node → when it was first missed, monotonic
        self.controller = context.controller(NAME, self.reconcile, self._nodes, self._pods, workers=1)
        self._pods.on_change(self._on_pod)
        self._nodes.on_change(self._on_node)

    def _on_pod(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            if old is not None:
                self._ended.discard(object_key(old))
            return
        key = object_key(new)
        if api_pods.is_terminal(new):
            self._ended.add(key)
            if len(self._ended) > self._threshold:
                self.controller.enqueue(ENDED, after_s=ENDED_EVERY_S)
        node = (new.get("spec") or {}).get("nodeName")
        orphan = old is None and node and self._nodes.get(node) is None
        if orphan or (api_pods.is_terminating(new) and not node):
            self.controller.enqueue(key)

    def _on_node(self, old: Obj | None, new: Obj | None) -> None:
        name = (new or old or {})["metadata"]["name"]
        if new is None:
            for pod in self._pods.by_index(BY_NODE, name):
                self.controller.enqueue(object_key(pod))
        else:
            self._missing.pop(name, None)

    async def reconcile(self, key: str) -> None:
        if key == ENDED:
            await self._trim()
            return
        pod = self._pods.get(key)
        if pod is None:
            return
        node = (pod.get("spec") or {}).get("nodeName")
        if not node:
            if api_pods.is_terminating(pod):
                await self._delete(pod)  # nobody's kubelet will ever finish it
            return
        if self._nodes.get(node) is not None:
            return
        left = self._missing.setdefault(node, self._clock.monotonic()) + QUARANTINE_S - self._clock.monotonic()
        if left > 0:
            self.controller.enqueue(key, after_s=left)
            return
        if not await self._node_exists(node):
            await self._orphaned(pod)

    async def _node_exists(self, name: str) -> bool:
        """Asked of the server itself before anything is deleted."""
        try:
            await self._client.get(NODES, name)
        except StatusError as error:
            if error.code == 404:
                return False
            raise
        return True

    async def _orphaned(self, pod: Obj) -> None:
        if not api_pods.is_terminal(pod):
            condition = {
                "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC", "message": "PodGC: node no longer exists",
                "lastTransitionTime": rfc3339(self._clock.now()),
            }
            metadata = pod["metadata"]
            body = {"metadata": {"uid": metadata["uid"]}, "status": {"phase": "Failed", "conditions": [condition]}}
            try:
                await self._client.patch(PODS, metadata["name"], body, metadata["namespace"], kind="strategic", subresource="status")
            except StatusError as error:
                if error.code not in (404, 409):
                    raise
        await self._delete(pod)

    async def _delete(self, pod: Obj) -> None:
        metadata = pod["metadata"]
        try:
            await self._client.delete(PODS, metadata["name"], metadata["namespace"], grace_period_s=0, uid=metadata["uid"])
        except StatusError as error:
            if error.code not in (404, 409):
                raise

    async def _trim(self) -> None:
        surplus = len(self._ended) - self._threshold
        if surplus <= 0:
            return
        ended = [pod for key in self._ended if (pod := self._pods.get(key)) is not None and not api_pods.is_terminating(pod)]
        ended.sort(key=lambda pod: (pod["metadata"].get("creationTimestamp", ""), pod["metadata"]["name"]))
        for pod in ended[:surplus]:
            await self._delete(pod)


def pod_gc_controller(context: ControllerContext, threshold: int = TERMINATED_THRESHOLD) -> Controller:
    return PodGarbageCollector(context, threshold).controller
