"""A work queue of keys: deduplicating, delayed, rate-limited; one key is never worked on twice at once.

`add` while a key is queued does nothing; `add` while it is being worked on queues it again for after `done`. All methods but `get`
are synchronous, so informer handlers may call them. An idle queue costs nothing: delays are one sleeping task, not a poll.
Source: client-go util/workqueue (Type, DelayingInterface, RateLimitingInterface).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from typing import Generic, TypeVar

from kogia.base.clock import Clock, RealClock
from kogia.base.tasks import TaskOwner

K = TypeVar("K")


class QueueShutDown(Exception):
    """`get` after `shut_down`, once nothing is left."""


class RateLimiter(Generic[K]):
    """Per-key exponential delays: `base_s`, doubling with each failure, at most `max_s`."""

    def __init__(self, base_s: float = 0.005, max_s: float = 60.0) -> None:
        self._base = base_s
        self._max = max_s
        self._failures: dict[K, int] = {}

    def when(self, key: K) -> float:
        """The delay for one more failure of `key`, in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        return float(min(self._max, self._base * 2 ** min(failures, 40)))

    def forget(self, key: K) -> None:
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        return self._failures.get(key, 0)


class WorkQueue(Generic[K]):
    def __init__(self, name: str = "queue", *, clock: Clock | None = None, limiter: RateLimiter[K] | None = None) -> None:
        self._clock = clock or RealClock()
        self._limiter: RateLimiter[K] = limiter or RateLimiter()
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()  # queued, or to be queued when the work on it is done
        self._working: set[K] = set()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._delayed: dict[K, float] = {}  # key → due, monotonic
        self._heap: list[tuple[float, int, K]] = []
        self._order = itertools.count()
        self._timer: asyncio.Task[None] | None = None
        self._timer_due = 0.0
        self._tasks = TaskOwner(f"queue/{name}")
        self._shut = False

    def __len__(self) -> int:
        """Keys ready to be worked on."""
        return len(self._ready)

    @property
    def idle(self) -> bool:
        """Nothing is ready and nothing is being worked on; keys may be delayed."""
        return not self._ready and not self._working

    @property
    def delayed(self) -> int:
        return len(self._delayed)

    def add(self, key: K) -> None:
        if self._shut or key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._working:
            self._ready.append(key)
            self._wake()

    def add_after(self, key: K, delay_s: float) -> None:
        """Add `key` in `delay_s` seconds; of several delays for one key the earliest counts."""
        if self._shut:
            return
        if delay_s <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + delay_s
        if key in self._delayed and self._delayed[key] <= due:
            return
        self._delayed[key] = due
        heapq.heappush(self._heap, (due, next(self._order), key))
        self._arm()

    def add_rate_limited(self, key: K) -> float:
        """Add `key` after its back-off; returns the delay in seconds."""
        delay_s = self._limiter.when(key)
        self.add_after(key, delay_s)
        return delay_s

    def forget(self, key: K) -> None:
        """The key went well: its back-off starts anew."""
        self._limiter.forget(key)

    def failures(self, key: K) -> int:
        return self._limiter.failures(key)

    async def get(self) -> K:
        """The next key; the caller must call `done` with it. Cancel: safe. Errors: QueueShutDown."""
        while not self._ready:
            if self._shut:
                raise QueueShutDown
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake()  # the wake-up meant for us goes to the next one
                elif waiter in self._waiters:
                    self._waiters.remove(waiter)
                raise
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._working.add(key)
        return key

    def done(self, key: K) -> None:
        self._working.discard(key)
        if key in self._dirty:
            self._ready.append(key)
            self._wake()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _arm(self) -> None:
        """Let one task sleep until the earliest delay is over."""
        while self._heap and self._delayed.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)  # superseded by an earlier delay of the same key
        if not self._heap:
            return
        due = self._heap[0][0]
        if self._timer is not None and not self._timer.done():
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer_due = due
        self._timer = self._tasks.spawn("delay", self._sleep_until(due))

    async def _sleep_until(self, due: float) -> None:
        await self._clock.sleep(max(0.0, due - self._clock.monotonic()))
        now = self._clock.monotonic()
        while self._heap and self._heap[0][0] <= max(now, due):
            at, _, key = heapq.heappop(self._heap)
            if self._delayed.get(key) == at:
                del self._delayed[key]
                self.add(key)
        self._timer = None
        self._arm()

    async def shut_down(self) -> None:
        """Drop what is delayed, let `get` raise once the ready keys are gone. Idempotent."""
        self._shut = True
        self._delayed.clear()
        self._heap.clear()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()
        await self._tasks.close()
