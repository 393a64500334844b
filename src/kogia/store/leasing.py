"""When leases end: an in-memory table of deadlines, and the timer that revokes what has expired.

The stores keep leases durable themselves; this is only the order of their ends. Deadlines are wall-clock seconds, for they must
survive a restart.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from kogia.base.clock import Clock
from kogia.base.tasks import TaskOwner
from kogia.store.interface import LeaseNotFound, StoreClosed, StoreError

log = logging.getLogger("kogia.store")

#: seconds between looks at the clock when a lease's end is far, so that a jump of the wall clock is noticed
LOOK_S = 30.0


class LeaseTable:
    """`deadlines` maps a live lease to its end. `start` runs the timer as long as there are leases."""

    def __init__(self, clock: Clock, revoke: Callable[[int], Awaitable[None]]) -> None:
        self.deadlines: dict[int, float] = {}
        self._clock = clock
        self._revoke = revoke
        self._tasks = TaskOwner("store-leases")
        self._timer: asyncio.Task[None] | None = None

    def add(self, lease: int, deadline: float) -> None:
        self.deadlines[lease] = deadline
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self.start()

    def start(self) -> None:
        """Begin watching deadlines if there are any; needs a running loop."""
        if self.deadlines and (self._timer is None or self._timer.done()):
            self._timer = self._tasks.spawn("expire", self._run())

    async def _run(self) -> None:
        while self.deadlines:
            now = self._clock.now()
            for lease in [i for i, end in self.deadlines.items() if end <= now]:
                await self._expire(lease)
            if not self.deadlines:
                return
            await self._clock.sleep(min(LOOK_S, max(0.01, min(self.deadlines.values()) - self._clock.now())))

    async def _expire(self, lease: int) -> None:
        try:
            await self._revoke(lease)
        except LeaseNotFound:
            self.deadlines.pop(lease, None)
        except StoreClosed:
            self.deadlines.clear()
        except StoreError as error:
            log.error("lease %d could not be revoked, trying again: %s", lease, error)
            self.deadlines[lease] = self._clock.now() + 5

    async def close(self) -> None:
        self.deadlines.clear()
        await self._tasks.close()
