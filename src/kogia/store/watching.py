"""Fan-out of committed changes to bounded watchers; shared by the stores that commit inside this process.

A store calls `WatchHub.publish` on its event loop, in revision order, once per group of commits and before it answers the writers.
A watcher that falls more than `limit` events behind is dropped with `WatchOverflow`; it never holds a writer up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from kogia.store.interface import Delete, Put, StoreError, StoreEvent, WatchOverflow

#: events a watcher may be behind before it is dropped
QUEUE_LIMIT = 20_000


def in_range(key: bytes, start: bytes, end: bytes) -> bool:
    """Whether `key` lies in [start, end), or is `start` when `end` is empty."""
    return start <= key < end if end else key == start


def check_ops(ops: Sequence[Put | Delete]) -> None:
    """Errors: ValueError for a key touched twice or an empty key."""
    seen = set()
    for op in ops:
        if not op.key:
            raise ValueError("empty key")
        if op.key in seen:
            raise ValueError(f"key {op.key!r} touched twice in one transaction")
        seen.add(op.key)


class Subscription:
    """One watcher's queue. `take` waits for events and gives all that are queued, flattened."""

    __slots__ = ("start", "end", "_queue", "_limit", "_error", "_waiter")

    def __init__(self, start: bytes, end: bytes, limit: int) -> None:
        self.start, self.end = start, end
        self._queue: deque[StoreEvent] = deque()
        self._limit = limit
        self._error: StoreError | None = None
        self._waiter: asyncio.Future[None] | None = None

    def offer(self, events: list[StoreEvent]) -> bool:
        """Queue one batch; False when that is too much and the watcher has been dropped. An empty queue takes any batch."""
        if self._queue and len(self._queue) + len(events) > self._limit:
            self.fail(WatchOverflow(f"watcher fell more than {self._limit} events behind"))
            return False
        self._queue.extend(events)
        self._wake()
        return True

    def fail(self, error: StoreError) -> None:
        """End with `error`; what is queued is dropped, for the watcher has to start anew anyway."""
        if self._error is None:
            self._error = error
            self._queue.clear()
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def take(self) -> list[StoreEvent]:
        """Errors: WatchOverflow, StoreClosed. Cancel: safe."""
        while True:
            if self._error is not None:
                raise self._error
            if self._queue:
                batch = list(self._queue)
                self._queue.clear()
                return batch
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None


class WatchHub:
    def __init__(self, limit: int = QUEUE_LIMIT) -> None:
        self._limit = limit
        self._subscriptions: set[Subscription] = set()

    def subscribe(self, start: bytes, end: bytes) -> Subscription:
        subscription = Subscription(start, end, self._limit)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)

    def publish(self, events: list[StoreEvent]) -> None:
        """Hand on the events of whole transactions, in revision order."""
        for subscription in list(self._subscriptions):
            start, end = subscription.start, subscription.end
            wanted = [e for e in events if in_range(e.kv.key, start, end)]
            if wanted and not subscription.offer(wanted):
                self._subscriptions.discard(subscription)

    def fail(self, error: StoreError) -> None:
        """End every watcher with `error`."""
        for subscription in self._subscriptions:
            subscription.fail(error)
        self._subscriptions.clear()
