"""The store in memory: for tests, and the plain reading of what `interface.py` demands.

Nothing survives the process. Every operation is synchronous inside, so each is atomic on the event loop.
"""

from __future__ import annotations

import bisect
from collections.abc import AsyncIterator, Sequence

from kogia.base.clock import Clock, RealClock
from kogia.store.interface import (
    Compacted,
    Compare,
    Delete,
    EventType,
    FutureRevision,
    KeyValue,
    LeaseNotFound,
    Put,
    RangeResult,
    StoreClosed,
    StoreEvent,
    TxnResult,
)
from kogia.store.leasing import LeaseTable
from kogia.store.watching import WatchHub, check_ops, in_range

#: events given in one batch while a watcher catches up
PAGE = 1000


class MemoryStore:
    """Per key all its states in order of revision (version 0 = deleted), and the log of events."""

    def __init__(self, *, clock: Clock | None = None, watch_limit: int = 20_000) -> None:
        self._clock = clock or RealClock()
        self._keys: list[bytes] = []  #: sorted; every key with any state left
        self._states: dict[bytes, list[KeyValue]] = {}
        self._log: list[StoreEvent] = []
        self._revision = 1
        self._compact_revision = 0
        self._next_lease = 1
        self._lease_keys: dict[int, set[bytes]] = {}
        self._leases = LeaseTable(self._clock, self.lease_revoke)
        self._hub = WatchHub(watch_limit)
        self._closed = False

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def compact_revision(self) -> int:
        return self._compact_revision

    def _open(self) -> None:
        if self._closed:
            raise StoreClosed("store is closed")

    def _at(self, key: bytes, revision: int) -> KeyValue | None:
        """The state of `key` as of `revision`, None if absent then."""
        states = self._states.get(key)
        if not states:
            return None
        if states[-1].mod_revision <= revision:
            kv = states[-1]
        else:
            index = bisect.bisect_right(states, revision, key=lambda s: s.mod_revision)
            if index == 0:
                return None
            kv = states[index - 1]
        return kv if kv.version else None

    async def range(self, start: bytes, end: bytes = b"", *, revision: int = 0, limit: int = 0) -> RangeResult:
        self._open()
        if revision > self._revision:
            raise FutureRevision(revision, self._revision)
        if 0 < revision < self._compact_revision:
            raise Compacted(self._compact_revision)
        at = revision or self._revision
        if not end:
            kv = self._at(start, at)
            return RangeResult([kv] if kv else [], self._revision, False, 1 if kv else 0)
        low, high = bisect.bisect_left(self._keys, start), bisect.bisect_left(self._keys, end)
        kvs = [kv for key in self._keys[low:high] if (kv := self._at(key, at)) is not None]
        count = len(kvs)
        more = bool(limit) and count > limit
        return RangeResult(kvs[:limit] if more else kvs, self._revision, more, count)

    async def txn(self, compares: Sequence[Compare], ops: Sequence[Put | Delete]) -> TxnResult:
        self._open()
        check_ops(ops)
        current = [self._at(c.key, self._revision) for c in compares]
        if any((kv.mod_revision if kv else 0) != c.mod_revision for c, kv in zip(compares, current, strict=True)):
            return TxnResult(False, self._revision, current)
        for op in ops:
            if isinstance(op, Put) and op.lease and op.lease not in self._leases.deadlines:
                raise LeaseNotFound(f"lease {op.lease} not found")
        return TxnResult(True, self._commit(ops))

    def _commit(self, ops: Sequence[Put | Delete]) -> int:
        revision = self._revision + 1
        events = [e for op in ops if (e := self._apply(op, revision)) is not None]
        if not events:
            return self._revision
        self._revision = revision
        self._log.extend(events)
        self._hub.publish(events)
        return revision

    def _apply(self, op: Put | Delete, revision: int) -> StoreEvent | None:
        prev = self._at(op.key, revision)
        if isinstance(op, Delete):
            if prev is None:
                return None
            kv = KeyValue(op.key, b"", prev.create_revision, revision, 0)
        else:
            created, version = (prev.create_revision, prev.version + 1) if prev else (revision, 1)
            kv = KeyValue(op.key, op.value, created, revision, version, op.lease)
        if prev is not None and prev.lease:
            self._lease_keys.get(prev.lease, set()).discard(op.key)
        if kv.lease:
            self._lease_keys.setdefault(kv.lease, set()).add(op.key)
        states = self._states.get(op.key)
        if states is None:
            self._states[op.key] = [kv]
            bisect.insort(self._keys, op.key)
        else:
            states.append(kv)
        return StoreEvent(EventType.PUT if kv.version else EventType.DELETE, kv, prev)

    async def watch(self, start: bytes, end: bytes, *, revision: int) -> AsyncIterator[list[StoreEvent]]:
        self._open()
        subscription = self._hub.subscribe(start, end)
        try:
            last, position = self._revision, revision
            while position <= last:
                if self._compact_revision and position <= self._compact_revision:
                    raise Compacted(self._compact_revision)
                batch, position = self._history(start, end, position, last)
                if batch:
                    yield batch
            while True:
                live = [e for e in await subscription.take() if e.revision >= revision]
                if live:
                    yield live
        finally:
            self._hub.unsubscribe(subscription)

    def _history(self, start: bytes, end: bytes, first: int, last: int) -> tuple[list[StoreEvent], int]:
        """At most about PAGE events of [first, last], whole transactions only, and the revision to go on from."""
        batch: list[StoreEvent] = []
        index = bisect.bisect_left(self._log, first, key=lambda e: e.revision)
        for event in self._log[index:]:
            if event.revision > last:
                break
            if len(batch) >= PAGE and event.revision != batch[-1].revision:
                return batch, event.revision
            if in_range(event.kv.key, start, end):
                batch.append(event)
        return batch, last + 1

    async def compact(self, revision: int) -> None:
        self._open()
        if revision > self._revision:
            raise FutureRevision(revision, self._revision)
        if revision <= self._compact_revision:
            raise Compacted(self._compact_revision)
        self._compact_revision = revision
        del self._log[: bisect.bisect_right(self._log, revision, key=lambda e: e.revision)]
        gone = set()
        for key, states in self._states.items():
            index = bisect.bisect_right(states, revision, key=lambda s: s.mod_revision)
            if index:
                del states[: index if not states[index - 1].version else index - 1]
            if not states:
                gone.add(key)
        for key in gone:
            del self._states[key]
        if gone:
            self._keys = [k for k in self._keys if k not in gone]

    async def lease_grant(self, ttl_s: int) -> int:
        self._open()
        lease, self._next_lease = self._next_lease, self._next_lease + 1
        self._leases.add(lease, self._clock.now() + ttl_s)
        return lease

    async def lease_revoke(self, lease: int) -> None:
        self._open()
        if self._leases.deadlines.pop(lease, None) is None:
            raise LeaseNotFound(f"lease {lease} not found")
        self._commit([Delete(key) for key in sorted(self._lease_keys.pop(lease, set()))])

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._hub.fail(StoreClosed("store is closed"))
            await self._leases.close()
