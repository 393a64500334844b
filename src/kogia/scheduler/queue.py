"""Which Pod is next: the active heap, those backing off, and those that nothing new could make fit.

Ordered by priority, then by age. A Pod that did not fit waits in `unschedulable` until an event one of its rejecting plugins listens to;
then it goes to `active`, behind all others while its back-off (1 s doubling to 10 s, per attempt) lasts: a scheduler with nothing else to
do need not wait (SchedulerPopFromBackoffQ). After an error of the server's the back-off is waited out, in `backoff`. As a safety net
whatever has waited for five minutes is tried again. Pure but for one timer and one waiter; idle, it costs nothing.
Source: kube-scheduler backend/queue.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from dataclasses import dataclass, field

from kogia.base.clock import Clock
from kogia.base.tasks import TaskOwner
from kogia.client.interface import Obj
from kogia.scheduler.framework import ClusterEvent, Plugins
from kogia.scheduler.snapshot import PodInfo

BACKOFF_INITIAL_S = 1.0
BACKOFF_MAX_S = 10.0
UNSCHEDULABLE_MAX_S = 300.0


@dataclass(slots=True)
class QueuedPod:
    info: PodInfo
    since: float  #: monotonic, when it was first queued
    attempts: int = 0
    plugins: frozenset[str] = frozenset()  #: who rejected it last; empty: anything may help
    last_try: float = 0.0
    backoff_until: float = 0.0
    errored: bool = False  #: its last try failed by an error, not by a lack of room
    gated: bool = False


@dataclass(slots=True)
class _Heaps:
    """active: (backing off until, or 0; -priority; since; order; uid). timed: (due, order, uid). Entries of Pods that have left are stale."""

    active: list[tuple[float, int, float, int, str]] = field(default_factory=list)
    timed: list[tuple[float, int, str]] = field(default_factory=list)


class SchedulingQueue:
    def __init__(self, plugins: Plugins, clock: Clock) -> None:
        self._plugins = plugins
        self._clock = clock
        self._pods: dict[str, QueuedPod] = {}  # every Pod that is pending, by UID, wherever it waits
        self._active: set[str] = set()
        self._backoff: set[str] = set()
        self._unschedulable: set[str] = set()
        self._heaps = _Heaps()
        self._order = itertools.count()
        self._ready = asyncio.Event()
        self._tasks = TaskOwner("scheduling-queue")
        self._timer: asyncio.Task[None] | None = None
        self._timer_due = float("inf")

    # -- reading -------------------------------------------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """Pods by place: active, backoff, unschedulable, gated."""
        gated = sum(self._pods[uid].gated for uid in self._unschedulable)
        return {
            "active": len(self._active), "backoff": len(self._backoff), "unschedulable": len(self._unschedulable) - gated, "gated": gated,
        }

    def current(self, uid: str) -> QueuedPod | None:
        return self._pods.get(uid)

    # -- changes from the server ---------------------------------------------------------------------------------------

    def add(self, pod: Obj) -> None:
        """A Pod without a node has appeared."""
        queued = QueuedPod(PodInfo.of(pod), self._clock.monotonic())
        uid = queued.info.uid
        self._take_out(uid)
        self._pods[uid] = queued
        self._enqueue(uid, queued)

    def update(self, pod: Obj) -> None:
        """A pending Pod has changed; a change of anything but its status may have made it schedulable."""
        uid = pod["metadata"]["uid"]
        queued = self._pods.get(uid)
        if queued is None:
            self.add(pod)
            return
        old = queued.info.pod
        queued.info = PodInfo.of(pod)
        if uid in self._unschedulable and _may_matter(old, pod):
            queued.plugins = frozenset()
            self._take_out(uid)
            self._enqueue(uid, queued)

    def remove(self, uid: str) -> None:
        """The Pod is gone, or has a node."""
        self._take_out(uid)
        self._pods.pop(uid, None)

    def move(self, event: ClusterEvent) -> None:
        """Something happened in the cluster: try again whom it may help."""
        for uid in [u for u in self._unschedulable if self._helps(event, self._pods[u])]:
            self._take_out(uid)
            self._requeue(uid, self._pods[uid])

    def _helps(self, event: ClusterEvent, queued: QueuedPod) -> bool:
        if queued.gated:
            return False
        if not queued.plugins:
            return True
        return any(name not in self._plugins.by_name or self._plugins.by_name[name].events & event for name in queued.plugins)

    # -- the scheduling loop's side ------------------------------------------------------------------------------------

    async def pop(self) -> QueuedPod:
        """The next Pod to schedule; it stays known (`current`) until `remove`. Cancel: safe."""
        while True:
            while self._heaps.active:
                uid = heapq.heappop(self._heaps.active)[4]
                if uid in self._active:
                    self._active.discard(uid)
                    queued = self._pods[uid]
                    queued.attempts += 1
                    queued.last_try = self._clock.monotonic()
                    return queued
            self._ready.clear()
            await self._ready.wait()

    def park(self, queued: QueuedPod, plugins: frozenset[str]) -> None:
        """It fitted nowhere: wait for an event that `plugins` listen to."""
        uid = queued.info.uid
        if self._pods.get(uid) is not queued:
            return
        queued.plugins = plugins
        queued.errored = False
        queued.backoff_until = self._clock.monotonic() + _backoff_s(queued.attempts)
        self._unschedulable.add(uid)
        self._arm(queued.last_try + UNSCHEDULABLE_MAX_S, uid)

    def retry(self, queued: QueuedPod) -> None:
        """Something went wrong that is not the Pod's fault (binding failed): try again after its back-off."""
        uid = queued.info.uid
        if self._pods.get(uid) is not queued:
            return
        queued.errored = True
        queued.backoff_until = self._clock.monotonic() + _backoff_s(queued.attempts)
        self._requeue(uid, queued)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _take_out(self, uid: str) -> None:
        self._active.discard(uid)
        self._backoff.discard(uid)
        self._unschedulable.discard(uid)

    def _enqueue(self, uid: str, queued: QueuedPod) -> None:
        queued.gated = any(plugin.pre_enqueue(queued.info.pod) is not None for plugin in self._plugins.pre_enqueue)
        if queued.gated:
            self._unschedulable.add(uid)
        else:
            self._requeue(uid, queued)

    def _requeue(self, uid: str, queued: QueuedPod) -> None:
        backing_off = queued.backoff_until > self._clock.monotonic()
        if backing_off and queued.errored:
            self._backoff.add(uid)
            self._arm(queued.backoff_until, uid)
            return
        self._active.add(uid)
        turn = queued.backoff_until if backing_off else 0.0
        heapq.heappush(self._heaps.active, (turn, -queued.info.priority, queued.since, next(self._order), uid))
        self._ready.set()

    def _arm(self, due: float, uid: str) -> None:
        heapq.heappush(self._heaps.timed, (due, next(self._order), uid))
        if due < self._timer_due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_due = due
            self._timer = self._tasks.spawn("timer", self._sleep(due))

    async def _sleep(self, due: float) -> None:
        await self._clock.sleep(max(0.0, due - self._clock.monotonic()))
        self._timer, self._timer_due = None, float("inf")
        now = max(due, self._clock.monotonic())
        timed = self._heaps.timed
        while timed and timed[0][0] <= now:
            uid = heapq.heappop(timed)[2]
            queued = self._pods.get(uid)
            if queued is None or queued.gated:
                continue
            waited_enough = uid in self._unschedulable and queued.last_try + UNSCHEDULABLE_MAX_S <= now
            if waited_enough or (uid in self._backoff and queued.backoff_until <= now):
                self._take_out(uid)
                queued.backoff_until = min(queued.backoff_until, self._clock.monotonic())
                self._requeue(uid, queued)
        while timed and timed[0][2] not in self._backoff and timed[0][2] not in self._unschedulable:
            heapq.heappop(timed)
        if timed:
            due = timed[0][0]
            self._timer_due = due
            self._timer = self._tasks.spawn("timer", self._sleep(due))

    async def close(self) -> None:
        await self._tasks.close()


def _backoff_s(attempts: int) -> float:
    return min(BACKOFF_MAX_S, BACKOFF_INITIAL_S * 2 ** max(0, min(attempts, 30) - 1))


def _may_matter(old: Obj, new: Obj) -> bool:
    """Whether anything but status and bookkeeping differs. Source: isPodUpdated."""
    ours = ("labels", "annotations", "ownerReferences", "deletionTimestamp")
    metadata_old, metadata_new = old["metadata"], new["metadata"]
    return old.get("spec") != new.get("spec") or any(metadata_old.get(k) != metadata_new.get(k) for k in ours)
