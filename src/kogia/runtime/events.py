"""Container events for subscribers: each has a bounded queue of its own, so a slow one harms nobody else."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections import deque

from kogia.cri import types as t
from kogia.cri.errors import Code, CriError

LIMIT = 10_000


class Subscription:
    """Iterates over events since it was made. Errors: CriError RESOURCE_EXHAUSTED after `LIMIT` pending ones."""

    def __init__(self, hub: EventHub) -> None:
        self._hub = hub
        self._queue: deque[t.ContainerEvent] = deque()
        self._wake = asyncio.Event()
        self._overflow = False
        self._closed = False

    def push(self, event: t.ContainerEvent) -> None:
        if len(self._queue) >= LIMIT:
            self._overflow = True
            self._hub.drop(self)
        else:
            self._queue.append(event)
        self._wake.set()

    def end(self) -> None:
        self._closed = True
        self._wake.set()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> t.ContainerEvent:
        while not self._queue:
            if self._overflow:
                raise CriError(Code.RESOURCE_EXHAUSTED, "too many pending container events; list anew")
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        if self._overflow:
            self._queue.clear()
            return await self.__anext__()
        return self._queue.popleft()

    async def aclose(self) -> None:
        """Stop subscribing."""
        self._hub.drop(self)
        self.end()


class EventHub:
    def __init__(self) -> None:
        self._subscribers: weakref.WeakSet[Subscription] = weakref.WeakSet()  # one given up without aclose just goes

    def subscribe(self) -> Subscription:
        subscription = Subscription(self)
        self._subscribers.add(subscription)
        return subscription

    def drop(self, subscription: Subscription) -> None:
        self._subscribers.discard(subscription)

    def emit(self, kind: t.ContainerEventType, container_id: str, sandbox_id: str, pod_uid: str) -> None:
        event = t.ContainerEvent(
            container_id=container_id,
            container_event_type=kind,
            created_at=time.time_ns(),
            pod_sandbox_id=sandbox_id,
            pod_uid=pod_uid,
        )
        for subscription in list(self._subscribers):
            subscription.push(event)

    def close(self) -> None:
        for subscription in list(self._subscribers):
            subscription.end()
        self._subscribers.clear()
