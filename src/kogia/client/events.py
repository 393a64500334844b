"""Recording Events: what a component did or could not do, for people to read with `kubectl describe`.

`event` never blocks and never fails: it puts the Event into a bounded queue and returns; one sender per lane writes them, so that the
Events about one object keep their order. When the server is away they wait; when the queue is full the newest are dropped and counted.
`correlator.py` decides what is written. Source: client-go tools/record.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from zlib import crc32

from kogia.api.status import StatusError
from kogia.base.backoff import Backoff
from kogia.base.clock import Clock, RealClock, rfc3339
from kogia.base.tasks import TaskOwner
from kogia.client.correlator import Correlator, Decision
from kogia.client.interface import Client, Obj, Resource

log = logging.getLogger("kogia.client.events")

EVENTS = Resource("", "v1", "events")

NORMAL = "Normal"
WARNING = "Warning"

QUEUE_LIMIT = 1000
LANES = 4
TRIES = 12


def reference(obj: Obj, field_path: str = "") -> Obj:
    """The ObjectReference to `obj` (which must carry kind and apiVersion)."""
    metadata = obj.get("metadata") or {}
    found = {
        "kind": obj.get("kind", ""), "namespace": metadata.get("namespace", ""), "name": metadata.get("name", ""),
        "uid": metadata.get("uid", ""), "apiVersion": obj.get("apiVersion", ""), "resourceVersion": metadata.get("resourceVersion", ""),
        "fieldPath": field_path,
    }
    return {k: v for k, v in found.items() if v}


class EventRecorder:
    """`component` and `host` are the Event's source, e.g. ("kubelet", node name)."""

    def __init__(self, client: Client, component: str, host: str = "", clock: Clock | None = None) -> None:
        self._client = client
        self._component = component
        self._host = host
        self._clock = clock or RealClock()
        self._correlator = Correlator()
        self._tasks = TaskOwner(f"events/{component}")
        self._lanes: list[deque[Decision]] = [deque() for _ in range(LANES)]
        self._senders: list[asyncio.Task[None] | None] = [None] * LANES
        self._last_ns = 0
        self._closed = False
        self.dropped = 0  #: lost to a full queue
        self.filtered = 0  #: lost to the spam filter

    def event(
        self, obj: Obj, type: str, reason: str, message: str, *, field_path: str = "", related: Obj | None = None, action: str = "",
    ) -> None:
        """Record that `reason` happened to `obj` (an object, or an ObjectReference already). `type` is Normal or Warning.

        Needs a running event loop. The message is cut to the 1024 characters Kubernetes allows.
        """
        if self._closed:
            return
        about = reference(obj, field_path) if "metadata" in obj else {**obj, **({"fieldPath": field_path} if field_path else {})}
        decision = self._correlator.decide(self._make(about, type, reason, message, related, action), self._clock.now())
        if decision is None:
            self.filtered += 1
            return
        if sum(map(len, self._lanes)) >= QUEUE_LIMIT:
            self.dropped += 1
            self._correlator.forget(decision.key)
            return
        lane = crc32(f"{about.get('namespace')}/{about.get('name')}".encode()) % LANES
        self._lanes[lane].append(decision)
        sender = self._senders[lane]
        if sender is None or sender.done():
            self._senders[lane] = self._tasks.spawn(f"lane-{lane}", self._send_all(lane))

    def _make(self, about: Obj, type: str, reason: str, message: str, related: Obj | None, action: str) -> Obj:
        now = self._clock.now()
        stamp = rfc3339(now)
        self._last_ns = max(int(now * 1e9), self._last_ns + 1)
        namespace = about.get("namespace") or "default"
        source = {"component": self._component, **({"host": self._host} if self._host else {})}
        event: Obj = {
            "kind": "Event", "apiVersion": "v1",
            "metadata": {"name": f"{about.get('name', '')}.{self._last_ns:x}", "namespace": namespace},
            "involvedObject": about, "reason": reason, "message": message if len(message) <= 1024 else message[:1020] + " ...",
            "source": source, "firstTimestamp": stamp, "lastTimestamp": stamp, "count": 1, "type": type, "eventTime": None,
            "reportingComponent": self._component, "reportingInstance": self._host,
        }
        if related is not None:
            event["related"] = reference(related) if "metadata" in related else related
        if action:
            event["action"] = action
        return event

    async def _send_all(self, lane: int) -> None:
        """Empty one lane, then end: an idle recorder has no task."""
        queue = self._lanes[lane]
        while queue:
            await self._send(queue[0])
            queue.popleft()

    async def _send(self, decision: Decision) -> None:
        backoff = Backoff(0.2, 10.0, jitter=0.5)
        for _ in range(TRIES):
            try:
                await self._write(decision)
                return
            except StatusError as error:
                if error.code < 500 and error.code != 429:
                    self._correlator.forget(decision.key)
                    level = logging.DEBUG if error.code in (403, 404, 409) else logging.WARNING
                    log.log(level, "event %s refused: %s", decision.name, error.message)
                    return
            except (OSError, TimeoutError) as error:
                log.debug("event %s: %s", decision.name, error)
            await self._clock.sleep(backoff.next())
        self.dropped += 1
        self._correlator.forget(decision.key)

    async def _write(self, decision: Decision) -> None:
        if decision.patch is not None:
            try:
                await self._client.patch(EVENTS, decision.name, decision.patch, decision.namespace, kind="strategic")
                return
            except StatusError as error:
                if error.code != 404:
                    raise  # gone meanwhile (Events expire): written anew below
        await self._client.create(EVENTS, decision.event, decision.namespace)

    async def flush(self, timeout_s: float = 5.0) -> None:
        """Wait until everything recorded so far was written or given up. Errors: TimeoutError."""
        async with asyncio.timeout(timeout_s):
            for sender in self._senders:
                if sender is not None and not sender.done():
                    await asyncio.shield(asyncio.gather(sender, return_exceptions=True))

    async def close(self, timeout_s: float = 1.0) -> None:
        """Write what is pending, for at most `timeout_s`, then stop."""
        self._closed = True
        try:
            await self.flush(timeout_s)
        except TimeoutError:
            log.debug("%d events were not written", sum(map(len, self._lanes)))
        await self._tasks.close()
