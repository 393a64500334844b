"""taint-eviction-controller: deletes Pods from nodes with NoExecute taints they do not (or no longer) tolerate.

Keys are Pods. A toleration with `tolerationSeconds` buys time from when the taint appeared (`timeAdded`, else when we first saw it),
so a restart of this process neither extends nor forgets it. Source: pkg/controller/tainteviction.
"""

from __future__ import annotations

from kogia.api import pods as api_pods
from kogia.api.status import StatusError
from kogia.base.clock import parse_rfc3339, rfc3339
from kogia.client.cache import by_field, object_key
from kogia.client.controller import Controller
from kogia.client.interface import Obj
from kogia.controllers.context import BY_NODE, NODES, PODS, ControllerContext
from kogia.controllers.node_health import no_execute_taints, tolerated_for

NAME = "taint-eviction-controller"


class TaintEviction:
    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for(NAME)
        self._clock = context.clock
        self._events = context.recorder(NAME)
        self._nodes = context.informers.get(NODES)
        self._pods = context.informers.get(PODS, indexers={BY_NODE: by_field("spec", "nodeName")})
        self._since: dict[str, float] = {}  # Pod key → when its node's taints were first seen, epoch seconds
        self.controller = context.controller(NAME, self.reconcile, self._nodes, self._pods)
        self._pods.on_change(self._on_pod)
        self._nodes.on_change(self._on_node)

    def _on_pod(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            if old is not None:
                self._since.pop(object_key(old), None)
            return
        node = (new.get("spec") or {}).get("nodeName")
        if node and no_execute_taints(self._nodes.get(node)):
            self.controller.enqueue(object_key(new))

    def _on_node(self, old: Obj | None, new: Obj | None) -> None:
        if new is None or no_execute_taints(old) == no_execute_taints(new):
            return
        for pod in self._pods.by_index(BY_NODE, new["metadata"]["name"]):
            self.controller.enqueue(object_key(pod))

    async def reconcile(self, key: str) -> None:
        pod = self._pods.get(key)
        taints = no_execute_taints(self._nodes.get(pod["spec"].get("nodeName", ""))) if pod is not None else []
        if pod is None or not taints or api_pods.is_terminating(pod):
            self._since.pop(key, None)
            return
        stay_s = tolerated_for(pod, taints)
        if stay_s is None:
            self._since.pop(key, None)
            return
        left = self._started(key, taints) + stay_s - self._clock.now()
        if left > 0:
            self.controller.enqueue(key, after_s=left)
            return
        await self._evict(pod)

    def _started(self, key: str, taints: list[Obj]) -> float:
        """When the Pod's time began to run."""
        times = [parse_rfc3339(t["timeAdded"]) for t in taints if t.get("timeAdded")]
        if len(times) == len(taints):
            return min(times)
        return self._since.setdefault(key, self._clock.now())

    async def _evict(self, pod: Obj) -> None:
        metadata = pod["metadata"]
        name, namespace = metadata["name"], metadata["namespace"]
        self._events.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {namespace}/{name}")
        condition = {
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint", "lastTransitionTime": rfc3339(self._clock.now()),
        }
        body = {"metadata": {"uid": metadata["uid"]}, "status": {"conditions": [condition]}}
        try:
            await self._client.patch(PODS, name, body, namespace, kind="strategic", subresource="status")
            await self._client.delete(PODS, name, namespace, uid=metadata["uid"])
        except StatusError as error:
            if error.code not in (404, 409):
                raise


def taint_eviction_controller(context: ControllerContext) -> Controller:
    return TaintEviction(context).controller
