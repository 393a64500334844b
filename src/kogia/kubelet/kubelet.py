"""The node agent: joins the Pods the API binds to this node with what the runtime has, one worker per Pod.

Neighbours: pod_worker.py (a Pod), node.py (the Node object), server.py (the kubelet's API), kogia.client (informers), kogia.cri (the runtime).
Invariants: the runtime is listed before any Pod is acted on, so that what runs is adopted; what runs without a Pod in the API is ended, but only after
the API has been heard; lost runtime events lead to a relist; closing leaves containers alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kogia.api.pods import is_active, is_terminal
from kogia.base.backoff import Backoff
from kogia.base.clock import Clock, RealClock
from kogia.base.tasks import TaskOwner
from kogia.client.events import EventRecorder
from kogia.client.informer import Informer
from kogia.client.interface import Client, Resource
from kogia.cri import types as t
from kogia.cri.errors import CriError
from kogia.cri.interface import ImageService, RuntimeService
from kogia.kubelet import pod_events as ev
from kogia.kubelet.admission import refusal
from kogia.kubelet.config import KubeletConfig
from kogia.kubelet.logrotate import LogRotator
from kogia.kubelet.node import Node, machine_capacity, node_addresses
from kogia.kubelet.node_context import NodeContext
from kogia.kubelet.pod_worker import PodWorker
from kogia.kubelet.runtime_config import POD_NAME, POD_NAMESPACE, POD_UID, TERMINATION_POLICY
from kogia.kubelet.status_writer import PODS, StatusWriter
from kogia.kubelet.termination import termination_message
from kogia.kubelet.volumes.api_data import ApiData
from kogia.kubelet.volumes.mount import KernelMounts, Mounts

log = logging.getLogger("kogia.kubelet")

Obj = dict[str, Any]

SERVICES = Resource("", "v1", "services")
RUNTIME_CLASSES = Resource("node.k8s.io", "v1", "runtimeclasses", namespaced=False)


class Kubelet:
    """Made by `start_kubelet`. `workers` is keyed by Pod uid."""

    def __init__(
        self, config: KubeletConfig, client: Client, runtime: RuntimeService, images: ImageService, clock: Clock, mounts: Mounts
    ) -> None:
        self.config = config
        self.client = client
        self.workers: dict[str, PodWorker] = {}
        self._found: dict[str, ev.RuntimeListed] = {}
        self._tasks = TaskOwner("kubelet")
        self._ready = False
        selector = f"spec.nodeName={config.node_name}"
        self.pods = Informer(client, PODS, field_selector=selector, clock=clock)
        self._services = Informer(client, SERVICES, clock=clock)
        self._runtime_classes = Informer(client, RUNTIME_CLASSES, clock=clock)
        capacity, memory = machine_capacity(config)
        self.node = NodeContext(
            config=config, client=client, runtime=runtime, images=images,
            recorder=EventRecorder(client, "kubelet", config.node_name, clock),
            statuses=StatusWriter(client, clock), data=ApiData(client, clock), mounts=mounts, clock=clock,
            services=self._services.list, wait_services=self._wait_services, host_ips=tuple(node_addresses(config)), capacity=capacity, allocatable=dict(capacity),
            memory_bytes=memory, runtime_handlers=self._handler,
        )
        self.node_object = Node(self.node, lambda: len(self.workers))
        self.rotator = LogRotator(self.node, self._running_logs)
        self.server: Any = None

    @property
    def port(self) -> int:
        """Of the kubelet's API; 0 without one."""
        return self.server.port if self.server is not None else 0

    async def start(self) -> None:
        """Returns once the runtime is adopted and the watches are under way; the Node registers itself meanwhile.

        Errors: CriError when the runtime cannot be listed; OSError when the port is taken.
        """
        events = self.node.runtime.container_events()
        await self._list_runtime()
        self._tasks.spawn("runtime-events", self._follow_runtime(events))
        if self.config.serve:
            from kogia.kubelet.server import serve_kubelet

            self.server = await serve_kubelet(self)
            self.node_object.kubelet_port = self.port
        self.pods.on_change(self._pod_changed)
        for informer in (self.pods, self._services, self._runtime_classes):
            informer.start()
        self._tasks.spawn("node", self.node_object.run())
        self._tasks.spawn("sync", self._settle())
        self._tasks.spawn("relist", self._relist_loop())
        self._tasks.spawn("refresh", self._refresh_loop())
        self._tasks.spawn("log-rotation", self.rotator.run())

    async def wait_ready(self, timeout_s: float | None = None) -> None:
        """Until the API's Pods are known and the Node was written as Ready. Errors: TimeoutError."""
        async with asyncio.timeout(timeout_s):
            await self.pods.wait_synced()
            await self.node_object.ready.wait()

    async def close(self) -> None:
        """Stop this agent; Pods keep running."""
        for informer in (self.pods, self._services, self._runtime_classes):
            await informer.close()
        if self.server is not None:
            await self.server.close()
        await self._tasks.close()
        for worker in list(self.workers.values()):
            await worker.close()
        await self.node.statuses.close()
        await self.node.recorder.close()

    # -- Pods from the API ---------------------------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Once the API's Pods are known, whatever else runs here is an orphan."""
        await self.pods.wait_synced()
        self._ready = True
        for uid, found in list(self._found.items()):
            log.info("pod %s is not in the API any more: ending it", uid)
            pod = _orphan(uid, found)
            worker = self._add(pod)
            worker.post(ev.PodDeleted())
        self._found.clear()

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and (new is None or old["metadata"]["uid"] != new["metadata"]["uid"]):
            worker = self.workers.get(old["metadata"]["uid"])
            if worker is not None:
                worker.post(ev.PodDeleted())
        if new is None:
            if old is None:
                return
            worker = self.workers.get(old["metadata"]["uid"])
            if worker is not None:
                worker.post(ev.PodDeleted())
            return
        worker = self.workers.get(new["metadata"]["uid"])
        if worker is not None:
            worker.post(ev.PodUpdated(new))
        else:
            self._add(new, None if self._taken(new) else refusal(new, self._holders(), self.node.allocatable))

    def _taken(self, pod: Obj) -> bool:
        """Whether a Pod is none to be asked about: this node has begun with it before, or it is at its end."""
        return bool(pod["metadata"]["uid"] in self._found or (pod.get("status") or {}).get("startTime") or not is_active(pod))

    def _holders(self) -> Iterator[Obj]:
        """The Pods that hold a place on this node. One that the API has forgotten holds none, as for the scheduler: its worker may
        still tidy up when the next one comes. One whose worker has yet to be made (after a restart) counts when it was taken before."""
        for pod in self.pods.list():
            worker = self.workers.get(pod["metadata"]["uid"])
            if worker is None:
                if not is_terminal(pod) and self._taken(pod):
                    yield pod
            elif not (worker.state.terminal or worker.state.failed or worker.state.rejected):
                yield pod

    def _add(self, pod: Obj, refused: tuple[str, str] | None = None) -> PodWorker:
        uid = pod["metadata"]["uid"]
        worker = self.workers[uid] = PodWorker(pod, self.node, self._forget)
        worker.start()
        if refused is not None:
            worker.state.rejected = True  # at once, for the next Pod's reckoning
            worker.post(ev.PodRejected(*refused))
        worker.post(self._found.pop(uid) if uid in self._found else ev.RuntimeListed([], []))
        return worker

    def _forget(self, uid: str) -> None:
        worker = self.workers.pop(uid, None)
        if worker is not None:
            self._tasks.spawn(f"forget-{uid}", worker.close())

    def _handler(self, name: str) -> str | None:
        if not name:
            return ""
        found = self._runtime_classes.get(name)
        return None if found is None else str(found.get("handler", ""))

    async def _wait_services(self) -> None:
        if not self._services.has_synced:
            await self._services.wait_synced(10)

    def find(self, namespace: str, name: str) -> PodWorker | None:
        """By name, for the kubelet's API."""
        pod = self.pods.get(f"{namespace}/{name}")
        return self.workers.get(pod["metadata"]["uid"]) if pod is not None else None

    # -- the runtime ---------------------------------------------------------------------------------------------------

    async def _list_runtime(self) -> None:
        """Everything the runtime has, by Pod; into workers that exist, else kept for those to come. Errors: CriError."""
        runtime = self.node.runtime
        sandboxes: dict[str, list[t.PodSandboxStatus]] = defaultdict(list)
        for sandbox in await runtime.list_pod_sandbox():
            try:
                sandboxes[sandbox.metadata.uid].append(await runtime.pod_sandbox_status(sandbox.id))
            except CriError as error:
                log.debug("sandbox %s went while listing: %s", sandbox.id, error.message)
        containers: dict[str, list[ev.FoundContainer]] = defaultdict(list)
        for container in await runtime.list_containers():
            uid = container.labels.get(POD_UID, "")
            try:
                status = await runtime.container_status(container.id)
            except CriError as error:
                log.debug("container %s went while listing: %s", container.id, error.message)
                continue
            worker = self.workers.get(uid)
            message = worker.actions.message(status) if worker and status.finished_at else self._message(status)
            containers[uid].append(ev.FoundContainer(status, container.pod_sandbox_id, message))
        for uid in sandboxes.keys() | containers.keys() | self.workers.keys():
            if not uid:
                continue
            listed = ev.RuntimeListed(sandboxes.get(uid, []), containers.get(uid, []))
            if uid in self.workers:
                self.workers[uid].post(listed)
            elif not self._ready:
                self._found[uid] = listed

    def _message(self, status: t.ContainerStatus) -> str:
        if not status.finished_at:
            return ""
        own = self.config.pod_dir(status.labels.get(POD_UID, "")) / "containers" / status.metadata.name / str(status.metadata.attempt)
        return termination_message(own, Path(status.log_path), status.annotations.get(TERMINATION_POLICY, "File"), status.exit_code)

    async def _follow_runtime(self, events: Any) -> None:
        """Pass events to workers; when the stream breaks, subscribe anew and list what was missed."""
        backoff = Backoff(0.2, 30.0)
        while True:
            try:
                async for event in events:
                    backoff.reset()
                    worker = self.workers.get(event.pod_uid)
                    if worker is not None:
                        worker.runtime_event(event)
            except CriError as error:
                log.warning("runtime events: %s", error.message)
            await self.node.clock.sleep(backoff.next())
            try:
                events = self.node.runtime.container_events()
                await self._list_runtime()
            except CriError as error:
                log.warning("listing the runtime: %s", error.message)

    async def _relist_loop(self) -> None:
        """The safety net under the events: two cheap calls, and a full listing only if they show something unknown."""
        while True:
            await self.node.clock.sleep(self.config.relist_s)
            try:
                running = {c.id for c in await self.node.runtime.list_containers() if c.state == t.ContainerState.CONTAINER_RUNNING}
            except CriError as error:
                log.warning("relist: %s", error.message)
                continue
            believed = {
                r.current.id for w in self.workers.values() for r in w.state.records.values() if r.running and r.current is not None
            }
            busy = any(not w.state.listed or any(r.starting for r in w.state.records.values()) for w in self.workers.values())
            if running != believed and not busy:
                await self._list_runtime()

    async def _refresh_loop(self) -> None:
        while True:
            await self.node.clock.sleep(self.config.refresh_s)
            for worker in list(self.workers.values()):
                worker.refresh()
                await asyncio.sleep(0)

    def _running_logs(self) -> list[tuple[str, str]]:
        """(container id, log path) of everything that runs."""
        found = []
        for worker in self.workers.values():
            for record in worker.state.records.values():
                if record.running and record.current is not None and record.current.log_path:
                    found.append((record.current.id, record.current.log_path))
        return found

    def active_pods(self) -> list[Obj]:
        return [w.pod for w in self.workers.values() if not is_terminal(w.pod)]


def _orphan(uid: str, found: ev.RuntimeListed) -> Obj:
    """As much of a Pod as is needed to end what is left of it."""
    names = sorted({c.status.metadata.name for c in found.containers})
    labels: dict[str, str] = {}
    for sandbox in found.sandboxes:
        labels = {POD_NAME: sandbox.metadata.name, POD_NAMESPACE: sandbox.metadata.namespace}
    for container in found.containers:
        labels = labels or container.status.labels
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": labels.get(POD_NAME, "unknown"), "namespace": labels.get(POD_NAMESPACE, "default"), "uid": uid},
        "spec": {"containers": [{"name": n, "image": ""} for n in names], "terminationGracePeriodSeconds": 30},
        "status": {},
    }


async def start_kubelet(
    config: KubeletConfig, client: Client, runtime: RuntimeService, images: ImageService, *, clock: Clock | None = None,
    mounts: Mounts | None = None,
) -> Kubelet:
    """Start the node agent. `close()` ends it and leaves Pods running. Errors: CriError, OSError (see `Kubelet.start`)."""
    kubelet = Kubelet(config, client, runtime, images, clock or RealClock(), mounts or KernelMounts())
    try:
        await kubelet.start()
    except BaseException:
        await kubelet.close()
        raise
    return kubelet
