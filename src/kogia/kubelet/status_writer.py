"""Sends Pods' statuses to the API: one patch per change, in order, whatever the server does meanwhile.

Neighbours: pod_worker.py puts statuses here and goes on at once. Invariants: the newest status of a Pod always gets through in the end
(level-triggered); statuses that wait are merged unless one is a milestone, which watchers must see; only what changed is sent; a Pod that is gone
is let go of; nothing is sent for another uid of the same name.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from kogia.api.status import StatusError
from kogia.base.backoff import Backoff
from kogia.base.clock import Clock
from kogia.base.tasks import TaskOwner
from kogia.client.interface import Client, Resource

log = logging.getLogger("kogia.kubelet.status")

Obj = dict[str, Any]

PODS = Resource("", "v1", "pods")
MAX_WAITING = 4
LAZY_S = 0.25  #: how long a status that may wait does


def status_patch(old: Obj, new: Obj) -> Obj:
    """The strategic merge patch from `old` to `new`: changed top-level fields whole, vanished ones null. {} when nothing changed."""
    patch: Obj = {}
    for key, value in new.items():
        if old.get(key) == value:
            continue
        if key in ("podIPs", "hostIPs"):
            patch[key] = [*value, {"$patch": "replace"}]
        elif key == "conditions":
            known = {c["type"]: _bare(c) for c in old.get(key) or []}
            changed = [c for c in map(_bare, value) if known.get(c["type"]) != c]
            if changed:
                patch[key] = [_explicit(c, known.get(c["type"])) for c in changed]
        else:
            patch[key] = _without_nulls(value)
    for key in ("reason", "message"):
        if key in old and key not in new:
            patch[key] = None
    return patch


def _bare(condition: Obj) -> Obj:
    return {k: v for k, v in condition.items() if v is not None}


def _explicit(condition: Obj, old: Obj | None) -> Obj:
    """Strategic patches merge: what a condition no longer has must be said."""
    return condition | {k: None for k in ("reason", "message") if old and k in old and k not in condition}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_nulls(v) for v in value]
    return value


class _Lane:
    """One Pod's statuses on their way."""

    def __init__(self, pod: Obj) -> None:
        self.pod = pod
        self.sent: Obj = pod.get("status") or {}
        self.waiting: deque[tuple[Obj, bool]] = deque()
        self.idle = asyncio.Event()
        self.idle.set()
        self.sending = False
        self.lazy = False  #: what waits may wait
        self.hurry = asyncio.Event()


class StatusWriter:
    def __init__(self, client: Client, clock: Clock, on_written: Callable[[str, Obj], None] | None = None) -> None:
        """`on_written(uid, pod)` is told the server's answer, newer than what the watch has shown."""
        self._client = client
        self._clock = clock
        self._lanes: dict[str, _Lane] = {}
        self._tasks = TaskOwner("status-writer")
        self._on_written = on_written
        self.writes = 0

    def put(self, pod: Obj, status: Obj, *, milestone: bool = False, lazy: bool = False) -> None:
        uid = pod["metadata"]["uid"]
        lane = self._lanes.get(uid)
        if lane is None:
            lane = self._lanes[uid] = _Lane(pod)
        waiting = lane.waiting
        if waiting and not waiting[-1][1]:
            waiting.pop()
        elif len(waiting) >= MAX_WAITING:
            waiting.popleft()
        waiting.append((status, milestone))
        lane.lazy = lazy and len(waiting) == 1
        if not lazy:
            lane.hurry.set()
        lane.idle.clear()
        if not lane.sending:
            lane.sending = True
            self._tasks.spawn(uid, self._send_all(uid, lane))

    async def flush(self, uid: str, timeout_s: float) -> bool:
        """Wait until everything of that Pod is written. False if it took too long."""
        lane = self._lanes.get(uid)
        if lane is None:
            return True
        lane.lazy = False
        lane.hurry.set()
        try:
            async with asyncio.timeout(timeout_s):
                await lane.idle.wait()
            return True
        except TimeoutError:
            return False

    def forget(self, uid: str) -> None:
        lane = self._lanes.pop(uid, None)
        if lane is not None:
            lane.waiting.clear()
            lane.idle.set()

    async def _send_all(self, uid: str, lane: _Lane) -> None:
        backoff = Backoff(0.05, 10.0, jitter=0.3)
        try:
            while lane.waiting:
                if lane.lazy:
                    await self._linger(lane)
                    continue
                status, _ = lane.waiting[0]
                patch = status_patch(lane.sent, status)
                if not patch or await self._send(uid, lane, patch, backoff):
                    lane.sent = status
                    if lane.waiting and lane.waiting[0][0] is status:
                        lane.waiting.popleft()
        finally:
            lane.sending = False
            lane.idle.set()

    async def _linger(self, lane: _Lane) -> None:
        lane.hurry.clear()
        try:
            async with asyncio.timeout(LAZY_S):
                await lane.hurry.wait()
        except TimeoutError:
            pass
        lane.lazy = False

    async def _send(self, uid: str, lane: _Lane, patch: Obj, backoff: Backoff) -> bool:
        """True when it is settled (written, or not wanted any more); False to try again, perhaps with something newer."""
        metadata = lane.pod["metadata"]
        body = {"metadata": {"uid": uid}, "status": patch}
        try:
            written = await self._client.patch(
                PODS, metadata["name"], body, metadata["namespace"], kind="strategic", subresource="status",
            )
            self.writes += 1
            backoff.reset()
            if self._on_written is not None:
                self._on_written(uid, written)
            return True
        except StatusError as error:
            if error.code == 404 or (error.code == 409 and "uid" in error.message.lower()):
                self.forget(uid)
                return True
            if error.code in (400, 403, 422):
                log.warning("status of pod %s/%s refused: %s", metadata["namespace"], metadata["name"], error.message)
        except (OSError, TimeoutError) as error:
            log.debug("status of pod %s/%s: %s", metadata["namespace"], metadata["name"], error)
        await self._clock.sleep(backoff.next())
        return False

    async def close(self) -> None:
        await self._tasks.close()
