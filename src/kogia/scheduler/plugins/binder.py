"""DefaultBinder: writes the decision by POST pods/binding. Source: kube-scheduler plugins/defaultbinder."""

from __future__ import annotations

from kogia.client.interface import Client, Resource
from kogia.scheduler.framework import ClusterEvent
from kogia.scheduler.snapshot import PodInfo

PODS = Resource("", "v1", "pods")


class DefaultBinder:
    name = "DefaultBinder"
    events = ClusterEvent(0)

    def __init__(self, client: Client) -> None:
        self._client = client

    async def bind(self, pod: PodInfo, node_name: str) -> None:
        """The UID makes sure that a Pod recreated under the name is not bound by mistake. Errors: StatusError, OSError."""
        binding = {
            "kind": "Binding", "apiVersion": "v1", "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"kind": "Node", "name": node_name},
        }
        await self._client.create(PODS, binding, pod.namespace, name=pod.name, subresource="binding")
