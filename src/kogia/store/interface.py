"""The store's seam: a small MVCC interface that memory, SQLite and (later) etcd implement alike.

One counter, the *revision*, numbers every committed transaction; each key remembers the revision that created it and the one
that last changed it. Old revisions stay readable until compacted. The contract suite in `tests/contract/store` is the
definition of everything here; etcd's `Range`, `Txn`, `Watch`, `Compact` and `LeaseGrant` are the model.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol


class StoreError(Exception):
    """Root of what a store raises on purpose."""


class Compacted(StoreError):
    """The asked-for revision is older than `compact_revision` and no longer readable."""

    def __init__(self, compact_revision: int) -> None:
        super().__init__(f"required revision has been compacted (compact revision {compact_revision})")
        self.compact_revision = compact_revision


class FutureRevision(StoreError):
    """The asked-for revision has not been written yet."""

    def __init__(self, revision: int, current: int) -> None:
        super().__init__(f"revision {revision} is in the future (current {current})")
        self.revision, self.current = revision, current


class LeaseNotFound(StoreError):
    pass


class StoreClosed(StoreError):
    """The store is closing or closed; the operation's outcome is unknown only if it had been submitted before."""


class WatchOverflow(StoreError):
    """This watcher fell so far behind that it was dropped; relist and watch anew."""


@dataclass(frozen=True, slots=True)
class KeyValue:
    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int  #: 1 at creation, +1 per put; restarts at 1 after a delete
    lease: int = 0


@dataclass(frozen=True, slots=True)
class RangeResult:
    kvs: list[KeyValue]  #: sorted by key
    revision: int  #: the store's revision the answer is true for, not the last kv's
    more: bool = False  #: keys beyond `limit` exist
    count: int = 0  #: number of keys in the whole range, whatever `limit` was


@dataclass(frozen=True, slots=True)
class Compare:
    """Holds when the key's `mod_revision` equals `mod_revision`; 0 means "the key does not exist"."""

    key: bytes
    mod_revision: int


@dataclass(frozen=True, slots=True)
class Put:
    key: bytes
    value: bytes
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    key: bytes


@dataclass(frozen=True, slots=True)
class TxnResult:
    succeeded: bool
    revision: int  #: the revision of this transaction's writes if it succeeded and wrote, else the store's current one
    #: when a compare failed: the current state of each compared key (None = absent), in order of `compares`
    current: list[KeyValue | None] = field(default_factory=list)


class EventType(Enum):
    PUT = "PUT"
    DELETE = "DELETE"


@dataclass(frozen=True, slots=True)
class StoreEvent:
    type: EventType
    kv: KeyValue  #: for DELETE: the key, an empty value and the deleting revision as mod_revision
    prev: KeyValue | None  #: the state before, None when the key was created by this event

    @property
    def revision(self) -> int:
        return self.kv.mod_revision


class Store(Protocol):
    """Everything is durable when the awaited call returns."""

    async def range(self, start: bytes, end: bytes = b"", *, revision: int = 0, limit: int = 0) -> RangeResult:
        """Read the keys of [start, end) at one revision; an empty `end` reads the single key `start`.

        Units: revision 0 = newest; limit in keys, 0 = unlimited.
        Errors: Compacted, FutureRevision, StoreClosed.
        Cancel: safe, read-only.
        Source: etcd RangeRequest.
        """

    async def txn(self, compares: Sequence[Compare], ops: Sequence[Put | Delete]) -> TxnResult:
        """Apply all of `ops` atomically if every compare holds, else nothing. Durable (fsynced) on return.

        Shape: all ops of one transaction share one revision; a key may be touched once per transaction. Deleting an absent key
        writes nothing; a transaction that writes nothing uses up no revision.
        Errors: LeaseNotFound, StoreClosed; ValueError for a key touched twice.
        Cancel: the transaction may commit all the same.
        Source: etcd TxnRequest.
        """

    def watch(self, start: bytes, end: bytes, *, revision: int) -> AsyncIterator[list[StoreEvent]]:
        """Every change to [start, end) from `revision` on (inclusive), in order, batched; never splits one transaction.

        Shape: batches are non-empty; after the last historic one the iterator goes on with live changes without a gap.
        Errors (raised by the iterator): Compacted (also later, if the watcher is still behind when a compaction passes it),
        WatchOverflow, StoreClosed. A revision in the future simply waits.
        Cancel: `aclose()` or cancelling the consumer unsubscribes.
        Source: etcd WatchCreateRequest.
        """

    async def compact(self, revision: int) -> None:
        """Forget history before `revision`: reads at older ones raise Compacted. Errors: Compacted, FutureRevision."""

    async def lease_grant(self, ttl_s: int) -> int:
        """A lease id; keys put under it are deleted (as ordinary delete events) once it expires. Durable."""

    async def lease_revoke(self, lease: int) -> None:
        """End a lease at once and delete its keys. Errors: LeaseNotFound."""

    @property
    def revision(self) -> int:
        """The newest committed revision; a fresh store starts at 1."""

    @property
    def compact_revision(self) -> int:
        """0 if nothing was ever compacted."""

    async def close(self) -> None:
        """Finish what was submitted, end watches with StoreClosed, release files. Idempotent."""
