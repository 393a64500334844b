"""The scheduler at work: informers feed snapshot and queue, one loop decides, bindings run beside it.

The decision itself is `core.schedule`; this shell applies it. Binding is asynchronous: the Pod is *assumed* on its node at once, so the
loop goes on with the next. Invariants: a Pod is either queued, assumed or bound; a failed binding puts it back; nothing is stored
outside the API, so a scheduler may be killed at any moment. Source: kube-scheduler schedule_one.go, eventhandlers.go.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass

from kogia.api import pods as api_pods
from kogia.api.status import StatusError
from kogia.base.clock import Clock, RealClock, rfc3339
from kogia.base.tasks import TaskOwner
from kogia.client.events import EventRecorder
from kogia.client.informer import Informers
from kogia.client.interface import Client, Obj, Resource
from kogia.client.leader import LeaderConfig, LeaderElector, new_identity
from kogia.scheduler import core
from kogia.scheduler.framework import ClusterEvent, Plugins
from kogia.scheduler.plugins import default_profile
from kogia.scheduler.queue import QueuedPod, SchedulingQueue
from kogia.scheduler.snapshot import PodInfo, Snapshot

log = logging.getLogger("kogia.scheduler")

PODS = Resource("", "v1", "pods")
NODES = Resource("", "v1", "nodes", namespaced=False)
NAME = "default-scheduler"
#: The loop gives way to others after this long without an await.
SLICE_S = 0.005


@dataclass(slots=True)
class SchedulerMetrics:
    scheduled: int = 0
    unschedulable: int = 0
    errors: int = 0
    decide_seconds: float = 0.0


class Scheduler:
    """Serves Pods whose schedulerName is `name`. `informers` may be shared with the controllers of the same process."""

    def __init__(
        self, client: Client, *, informers: Informers | None = None, clock: Clock | None = None, name: str = NAME,
        plugins: Plugins | None = None,
    ) -> None:
        self._client = client
        self._clock = clock or RealClock()
        self._name = name
        self._plugins = plugins or default_profile(client)
        self._own_informers = informers is None
        self._informers = informers or Informers(client, self._clock)
        self._events = EventRecorder(client, name, clock=self._clock)
        self._tasks = TaskOwner("scheduler")
        self.snapshot = Snapshot()
        self.queue = SchedulingQueue(self._plugins, self._clock)
        self.metrics = SchedulerMetrics()
        self._nodes = self._informers.get(NODES)
        self._pods = self._informers.get(PODS)

    def start(self) -> None:
        self._nodes.on_change(self._on_node)
        self._pods.on_change(self._on_pod)
        self._nodes.start()
        self._pods.start()
        self._tasks.spawn("loop", self._loop())

    # -- what the server says ------------------------------------------------------------------------------------------

    def _on_node(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            assert old is not None
            self.snapshot.remove_node(old["metadata"]["name"])
            return
        event = node_event(old, new)
        if event:
            self.snapshot.set_node(new)
            self.queue.move(event)

    def _on_pod(self, old: Obj | None, new: Obj | None) -> None:
        if new is None or api_pods.is_terminal(new):
            gone = new or old
            assert gone is not None
            uid = gone["metadata"]["uid"]
            self.queue.remove(uid)
            if self.snapshot.remove_pod(uid):
                self.queue.move(ClusterEvent.ASSIGNED_POD_DELETE)
            return
        if (new.get("spec") or {}).get("nodeName"):
            self._on_assigned(old, new)
        elif (new["spec"].get("schedulerName") or NAME) != self._name or api_pods.is_terminating(new):
            self.queue.remove(new["metadata"]["uid"])
        elif new["metadata"]["uid"] not in self.snapshot.assumed:
            self.queue.update(new)

    def _on_assigned(self, old: Obj | None, new: Obj) -> None:
        node_name = new["spec"]["nodeName"]
        same = old is not None and old["spec"] == new["spec"] and old["metadata"].get("labels") == new["metadata"].get("labels")
        if same:
            return
        uid = new["metadata"]["uid"]
        fresh = old is None or not old["spec"].get("nodeName")
        self.queue.remove(uid)
        self.snapshot.set_pod(PodInfo.of(new), node_name)
        self.queue.move(ClusterEvent.ASSIGNED_POD_ADD if fresh else ClusterEvent.ASSIGNED_POD_UPDATE)

    # -- the loop ------------------------------------------------------------------------------------------------------

    async def _loop(self) -> None:
        await self._nodes.wait_synced()
        await self._pods.wait_synced()
        slice_end = time.monotonic() + SLICE_S
        while True:
            queued = await self.queue.pop()
            self._schedule(queued)
            if time.monotonic() > slice_end:
                await asyncio.sleep(0)
                slice_end = time.monotonic() + SLICE_S

    def _schedule(self, queued: QueuedPod) -> None:
        """Decide for one Pod and start what follows from it. Never awaits: the snapshot cannot change meanwhile."""
        started = time.perf_counter()
        pod = queued.info
        try:
            decision = core.schedule(pod, self.snapshot, self._plugins)
        except Exception:  # one Pod's oddity must not stop scheduling for all; it is logged and retried with back-off
            log.exception("scheduling %s failed", pod.key)
            self.metrics.errors += 1
            self.queue.retry(queued)
            return
        self.metrics.decide_seconds += time.perf_counter() - started
        if not decision.node:
            self.metrics.unschedulable += 1
            log.info("%s is unschedulable: %s", pod.key, decision.message)
            self.queue.park(queued, decision.plugins)
            self._report(pod, "Unschedulable", decision.message)
            return
        self.snapshot.assume(pod, decision.node)
        for plugin in self._plugins.reserves:
            rejection = plugin.reserve(pod, decision.node)
            if rejection is not None:
                self._undo(queued, decision.node)
                self._report(pod, "SchedulerError", ", ".join(rejection.reasons))
                return
        self._tasks.spawn(f"bind {pod.key}", self._bind(queued, decision.node))

    async def _bind(self, queued: QueuedPod, node_name: str) -> None:
        pod = queued.info
        try:
            for plugin in self._plugins.pre_binds:
                await plugin.pre_bind(pod, node_name)
            for binder in self._plugins.binds[:1]:
                await binder.bind(pod, node_name)
        except (StatusError, OSError, TimeoutError) as error:
            self._bind_failed(queued, node_name, error)
            return
        self.metrics.scheduled += 1
        if self.queue.current(pod.uid) is queued:
            self.queue.remove(pod.uid)
        message = f"Successfully assigned {pod.key} to {node_name}"
        self._events.event(pod.pod, "Normal", "Scheduled", message, action="Binding")

    def _bind_failed(self, queued: QueuedPod, node_name: str, error: Exception) -> None:
        self.metrics.errors += 1
        pod = queued.info
        if isinstance(error, StatusError) and error.code in (404, 409):
            # Gone, replaced or bound by another: the watch brings what is true; until then a slow retry is harmless.
            log.debug("binding %s to %s: %s", pod.key, node_name, error)
        else:
            log.warning("binding %s to %s failed: %s", pod.key, node_name, error)
            self._report(pod, "SchedulerError", f"binding rejected: {error}")
        self._undo(queued, node_name)

    def _undo(self, queued: QueuedPod, node_name: str) -> None:
        for plugin in reversed(self._plugins.reserves):
            plugin.unreserve(queued.info, node_name)
        self.snapshot.forget(queued.info.uid)
        latest = self._pods.get(queued.info.key)
        if latest is not None and latest["metadata"]["uid"] == queued.info.uid:
            queued.info = PodInfo.of(latest)  # changes were not looked at while the Pod was assumed
        self.queue.retry(queued)
        self.queue.move(ClusterEvent.ASSIGNED_POD_DELETE)

    # -- telling why ---------------------------------------------------------------------------------------------------

    def _report(self, pod: PodInfo, reason: str, message: str) -> None:
        """The FailedScheduling event, and the PodScheduled condition where it says something new."""
        self._events.event(pod.pod, "Warning", "FailedScheduling", message, action="Scheduling")
        known = api_pods.condition(pod.pod, "PodScheduled")
        if known is None or (known.get("status"), known.get("reason"), known.get("message")) != ("False", reason, message):
            self._tasks.spawn(f"report {pod.key}", self._write_condition(pod, known, reason, message))

    async def _write_condition(self, pod: PodInfo, known: Obj | None, reason: str, message: str) -> None:
        since = known.get("lastTransitionTime") if known is not None and known.get("status") == "False" else None
        condition = {
            "type": "PodScheduled", "status": "False", "reason": reason, "message": message, "lastProbeTime": None,
            "lastTransitionTime": since or rfc3339(self._clock.now()),
        }
        body = {"metadata": {"uid": pod.uid}, "status": {"conditions": [condition]}}
        try:
            await self._client.patch(PODS, pod.name, body, pod.namespace, kind="strategic", subresource="status")
        except (StatusError, OSError, TimeoutError) as error:
            log.debug("condition of %s: %s", pod.key, error)  # it is written with the next attempt

    async def close(self) -> None:
        """Stop deciding; bindings under way may or may not have reached the server. Idempotent."""
        await self._tasks.close()
        await self.queue.close()
        await self._events.close()
        if self._own_informers:
            await self._informers.close()


def node_event(old: Obj | None, new: Obj) -> ClusterEvent:
    """What of a node's change matters for scheduling; an empty flag for heartbeats and the like."""
    if old is None:
        return ClusterEvent.NODE_ADD
    event = ClusterEvent(0)
    if old["metadata"].get("labels") != new["metadata"].get("labels"):
        event |= ClusterEvent.NODE_LABELS
    if old.get("spec") != new.get("spec"):
        event |= ClusterEvent.NODE_TAINTS
    if (old.get("status") or {}).get("allocatable") != (new.get("status") or {}).get("allocatable"):
        event |= ClusterEvent.NODE_ALLOCATABLE
    return event


class ElectedScheduler:
    """Schedules only while this process holds the Lease `kube-scheduler`; starts from scratch each time it wins it."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._current: Scheduler | None = None
        config = LeaderConfig("kube-scheduler", new_identity())
        self._elector = LeaderElector(client, config, self._begin, self._end, clock)

    def start(self) -> None:
        self._elector.start()

    async def _begin(self) -> None:
        self._current = Scheduler(self._client, clock=self._clock)
        self._current.start()

    async def _end(self) -> None:
        if self._current is not None:
            await self._current.close()
            self._current = None

    async def close(self) -> None:
        await self._elector.close()


async def start_scheduler(
    client: Client, *, informers: Informers | None = None, leader_elect: bool = False, clock: Clock | None = None,
) -> Scheduler | ElectedScheduler:
    """Begin scheduling; returns at once. `client` should act as system:kube-scheduler. `close` ends it."""
    if leader_elect:
        elected = ElectedScheduler(client, clock or RealClock())
        elected.start()
        return elected
    scheduler = Scheduler(client, informers=informers, clock=clock)
    scheduler.start()
    return scheduler
