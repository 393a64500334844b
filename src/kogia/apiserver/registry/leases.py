"""Store leases for kinds whose objects are not kept for ever: Events live an hour.

One lease serves many objects, so that a storm of Events does not become a storm of leases.
"""

from __future__ import annotations

import asyncio

from kogia.base.clock import Clock
from kogia.store.interface import Store

#: seconds an Event lives, at least
EVENT_TTL_S = 3600
#: seconds and objects one lease is handed out for
_SHARE_S = 60
_SHARE_OBJECTS = 1000


class LeasePool:
    """`take` gives a lease that lasts at least `ttl_s` more seconds."""

    def __init__(self, store: Store, clock: Clock, ttl_s: int = EVENT_TTL_S) -> None:
        self._store, self._clock, self._ttl_s = store, clock, ttl_s
        self._lease = 0
        self._until = 0.0
        self._left = 0
        self._granting = asyncio.Lock()

    async def take(self) -> int:
        """Errors: StoreError."""
        if not self._usable():
            async with self._granting:
                if not self._usable():
                    self._lease = await self._store.lease_grant(self._ttl_s + _SHARE_S)
                    self._until, self._left = self._clock.now() + _SHARE_S, _SHARE_OBJECTS
        self._left -= 1
        return self._lease

    def _usable(self) -> bool:
        return self._left > 0 and self._clock.now() < self._until

    def forget(self) -> None:
        """The current lease turned out to be gone."""
        self._left = 0
