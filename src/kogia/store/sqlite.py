"""The store in one SQLite file: WAL, fsync before acknowledgement, group commit (`committer`), reads on their own connection.

Table `kv` is the log of all states. `id` = revision << 20 | position in its transaction, so order of rows is order of events; `prev` is
the row this one replaced (0 on creation), `version` 0 marks a deletion. The newest row of a key is its current state; a compaction
deletes rows that were replaced at or before its revision. Nothing is read at opening but two small tables and the last row.

Crash safety is SQLite's: a transaction is in the log whole or not at all, and `txn` answers only after COMMIT with synchronous=FULL.
A lock on a file beside the database keeps a second process out.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from kogia.base.clock import Clock, RealClock
from kogia.store.committer import Committer, Worker
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
    StoreError,
    StoreEvent,
    TxnResult,
)
from kogia.store.leasing import LeaseTable
from kogia.store.watching import WatchHub, check_ops

#: of the tables below, kept in the file; a file of a newer version is refused
SCHEMA_VERSION = 1
_SHIFT = 20  #: bits of `id` below the revision
#: events read at a time while a watcher catches up
PAGE = 1000
#: revisions whose garbage one compaction step removes before writers get their turn
COMPACT_STEP = 500

_SCHEMA = """
CREATE TABLE IF NOT EXISTS kv (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL, prev INTEGER NOT NULL, created INTEGER NOT NULL,
    version INTEGER NOT NULL, lease INTEGER NOT NULL, value BLOB NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS kv_key ON kv (key, id, version);
CREATE INDEX IF NOT EXISTS kv_lease ON kv (lease) WHERE lease <> 0;
CREATE TABLE IF NOT EXISTS lease (id INTEGER PRIMARY KEY AUTOINCREMENT, ttl INTEGER NOT NULL, deadline REAL NOT NULL);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
_COLUMNS = "id, key, created, version, lease, value"
_NEWEST = f"SELECT {_COLUMNS} FROM kv WHERE key = ? ORDER BY id DESC LIMIT 1"
_AT = f"SELECT {_COLUMNS} FROM kv WHERE key = ? AND id < ? ORDER BY id DESC LIMIT 1"
# The inner query walks the index kv_key alone, in key order; the outer one fetches the newest row of each key in that order.
_RANGE = """
SELECT kv.id, kv.key, created, version, lease, value
FROM (SELECT max(id) AS newest FROM kv WHERE key >= ? AND key < ? AND id < ? GROUP BY key ORDER BY key) CROSS JOIN kv ON kv.id = newest
WHERE version > 0 LIMIT ?"""
_COUNT = """
SELECT count(*) FROM (SELECT max(id), version AS newest FROM kv WHERE key >= ? AND key < ? AND id < ? GROUP BY key) WHERE newest > 0"""
_INSERT = "INSERT INTO kv (id, key, prev, created, version, lease, value) VALUES (?, ?, ?, ?, ?, ?, ?)"
_HISTORY = """
SELECT e.id, e.key, e.created, e.version, e.lease, e.value, p.id, p.key, p.created, p.version, p.lease, p.value
FROM kv e LEFT JOIN kv p ON p.id = e.prev WHERE e.id >= ? AND e.id < ? ORDER BY e.id LIMIT ?"""


def _key_value(row: Sequence[Any]) -> KeyValue:
    return KeyValue(row[1], row[5], row[2], row[0] >> _SHIFT, row[3], row[4])


class SqliteStore:
    """Opening is synchronous and takes milliseconds; `close` must be awaited. Errors: StoreError if the file is in use or unreadable."""

    def __init__(self, path: str | Path, *, clock: Clock | None = None, watch_limit: int = 20_000) -> None:
        self._path = str(path)
        self._clock = clock or RealClock()
        self._lock = self._exclusive(self._path + ".lock")
        try:
            self._db = self._connect()
            found = self._db.execute("PRAGMA user_version").fetchone()[0]
            if found > SCHEMA_VERSION:
                raise sqlite3.DatabaseError(f"made by a newer version (its format is {found}, this one knows {SCHEMA_VERSION})")
            self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" + _SCHEMA)
            if found != SCHEMA_VERSION:
                self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            meta = dict(self._db.execute("SELECT name, value FROM meta"))
            newest = self._db.execute("SELECT max(id) FROM kv").fetchone()[0] or 0
            leases = self._db.execute("SELECT id, deadline FROM lease").fetchall()
        except (sqlite3.Error, OSError) as error:
            os.close(self._lock)
            raise StoreError(f"cannot open {self._path}: {error}") from error
        self._compact_revision: int = meta.get("compact_revision", 0)
        self._compacted_upto: int = meta.get("compacted_upto", 0)
        self._revision: int = max(newest >> _SHIFT, self._compact_revision, 1)  #: newest durable one
        self._prepared = self._revision  #: newest one written into the open transaction
        self._committer = Committer(self._db, self._committed, self._rolled_back)
        self._reader: sqlite3.Connection | None = None
        self._reader_thread: Worker | None = None
        self._hub = WatchHub(watch_limit)
        self._leases = LeaseTable(self._clock, self.lease_revoke)
        self._leases.deadlines.update(leases)
        self._closed = False

    @staticmethod
    def _exclusive(path: str) -> int:
        """A descriptor holding an exclusive lock on `path` for as long as it is open."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise StoreError(f"the database is in use by another process ({path} is locked)") from error
        return descriptor

    def _connect(self) -> sqlite3.Connection:
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # Secrets lie in it: never world-readable
        db = sqlite3.connect(self._path, timeout=5, isolation_level=None, check_same_thread=False, cached_statements=32)
        db.execute("PRAGMA journal_size_limit = 16777216")
        return db

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def compact_revision(self) -> int:
        return self._compact_revision

    def _open(self) -> None:
        if self._closed:
            raise StoreClosed("store is closed")

    def _committed(self, events: list[StoreEvent]) -> None:
        if events:
            self._revision = events[-1].kv.mod_revision
            self._hub.publish(events)

    def _rolled_back(self) -> None:
        self._prepared = self._revision

    # reading

    async def _read(self, work: Any) -> Any:
        """Run `work(connection)` on the reader thread. Errors: StoreError for a failing disk."""
        self._open()
        if self._reader_thread is None:
            self._reader_thread = Worker("kogia-store-reader")
            self._reader = self._connect()
        try:
            return await self._reader_thread.call(lambda: work(self._reader))
        except sqlite3.Error as error:
            raise StoreError(f"read failed: {error}") from error

    async def range(self, start: bytes, end: bytes = b"", *, revision: int = 0, limit: int = 0) -> RangeResult:
        self._open()
        now = self._revision
        if revision > now:
            raise FutureRevision(revision, now)
        if 0 < revision < self._compact_revision:
            raise Compacted(self._compact_revision)
        bound = ((revision or now) + 1) << _SHIFT
        kvs, count = await self._read(lambda db: _range(db, start, end, bound, limit))
        if 0 < revision < self._compact_revision:  # a compaction overtook the reading
            raise Compacted(self._compact_revision)
        if not revision and now < self._compact_revision:
            return await self.range(start, end, limit=limit)
        return RangeResult(kvs, now, count > len(kvs), count)

    async def watch(self, start: bytes, end: bytes, *, revision: int) -> AsyncIterator[list[StoreEvent]]:
        self._open()
        self._leases.start()
        subscription = self._hub.subscribe(start, end)
        try:
            last, position = self._revision, revision
            while position <= last:
                first = position
                events, position = await self._read(lambda db, first=first: _history(db, start, end, first, last))
                if self._compact_revision and first <= self._compact_revision:
                    raise Compacted(self._compact_revision)
                if events:
                    yield events
            while True:
                live = [e for e in await subscription.take() if e.kv.mod_revision >= revision]
                if live:
                    yield live
        finally:
            self._hub.unsubscribe(subscription)

    # writing

    async def txn(self, compares: Sequence[Compare], ops: Sequence[Put | Delete]) -> TxnResult:
        self._open()
        check_ops(ops)
        return await self._committer.submit(lambda: self._apply(compares, ops))

    def _newest(self, key: bytes) -> KeyValue | None:
        """The key's newest row; version 0 if that is a deletion."""
        row = self._db.execute(_NEWEST, (key,)).fetchone()
        return _key_value(row) if row is not None else None

    def _apply(self, compares: Sequence[Compare], ops: Sequence[Put | Delete]) -> tuple[TxnResult, list[StoreEvent]]:
        rows: dict[bytes, Any] = {}
        for key in [*(c.key for c in compares), *(op.key for op in ops)]:
            if key not in rows:
                row = self._db.execute(_NEWEST, (key,)).fetchone()
                rows[key] = row if row is not None and row[3] else None
        if any((rows[c.key][0] >> _SHIFT if rows[c.key] else 0) != c.mod_revision for c in compares):
            return TxnResult(False, self._prepared, [_key_value(rows[c.key]) if rows[c.key] else None for c in compares]), []
        for op in ops:
            if isinstance(op, Put) and op.lease and op.lease not in self._leases.deadlines:
                raise LeaseNotFound(f"lease {op.lease} not found")
        revision = self._prepared + 1
        events: list[StoreEvent] = []
        for op in ops:
            row = rows[op.key]
            if row is not None or isinstance(op, Put):
                events.append(self._write(op, row, revision, len(events)))
        if events:
            self._prepared = revision
        return TxnResult(True, self._prepared), events

    def _write(self, op: Put | Delete, row: Any, revision: int, position: int) -> StoreEvent:
        """Append one row; `row` is the key's live one, if any."""
        prev = _key_value(row) if row is not None else None
        if isinstance(op, Put):
            created, version = (prev.create_revision, prev.version + 1) if prev else (revision, 1)
            kv = KeyValue(op.key, op.value, created, revision, version, op.lease)
        else:
            kv = KeyValue(op.key, b"", prev.create_revision if prev else 0, revision, 0)
        self._db.execute(_INSERT, (
            revision << _SHIFT | position, kv.key, row[0] if row is not None else 0, kv.create_revision, kv.version, kv.lease, kv.value))
        return StoreEvent(EventType.PUT if kv.version else EventType.DELETE, kv, prev)

    # compaction

    async def compact(self, revision: int) -> None:
        self._open()
        if revision > self._revision:
            raise FutureRevision(revision, self._revision)
        if revision <= self._compact_revision:
            raise Compacted(self._compact_revision)
        await self._alone(lambda: self._db.execute("INSERT OR REPLACE INTO meta VALUES ('compact_revision', ?)", (revision,)))
        self._compact_revision = max(self._compact_revision, revision)
        while self._compacted_upto < revision:
            upto = min(revision, self._compacted_upto + COMPACT_STEP)
            first = self._compacted_upto
            await self._alone(lambda first=first, upto=upto: _drop(self._db, first, upto))
            self._compacted_upto = max(self._compacted_upto, upto)

    async def _alone(self, job: Any) -> Any:
        try:
            return await self._committer.submit_alone(job)
        except sqlite3.Error as error:
            raise StoreError(f"write failed: {error}") from error

    # leases

    async def lease_grant(self, ttl_s: int) -> int:
        self._open()
        deadline = self._clock.now() + ttl_s

        def grant() -> tuple[int, list[StoreEvent]]:
            cursor = self._db.execute("INSERT INTO lease (ttl, deadline) VALUES (?, ?)", (ttl_s, deadline))
            return int(cursor.lastrowid or 0), []

        lease = await self._committer.submit(grant)
        self._leases.add(lease, deadline)
        return lease

    async def lease_revoke(self, lease: int) -> None:
        self._open()

        def revoke() -> tuple[None, list[StoreEvent]]:
            if not self._db.execute("DELETE FROM lease WHERE id = ?", (lease,)).rowcount:
                raise LeaseNotFound(f"lease {lease} not found")
            keys = [k for (k,) in self._db.execute("SELECT DISTINCT key FROM kv WHERE lease = ? ORDER BY key", (lease,))]
            live = [k for k in keys if (kv := self._newest(k)) is not None and kv.version and kv.lease == lease]
            return None, self._apply([], [Delete(k) for k in live])[1]

        self._leases.deadlines.pop(lease, None)
        await self._committer.submit(revoke)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._leases.close()
        await self._committer.close()
        self._hub.fail(StoreClosed("store is closed"))
        await asyncio.get_running_loop().run_in_executor(None, self._release)

    def _release(self) -> None:
        if self._reader_thread is not None:
            self._reader_thread.stop()
        if self._reader is not None:
            self._reader.close()
        self._db.close()
        os.close(self._lock)


def _range(db: sqlite3.Connection, start: bytes, end: bytes, bound: int, limit: int) -> tuple[list[KeyValue], int]:
    """The live keys of [start, end) among rows with id < `bound`, at most `limit` of them, and how many there are in all."""
    if not end:
        row = db.execute(_AT, (start, bound)).fetchone()
        kvs = [_key_value(row)] if row is not None and row[3] else []
        return kvs, len(kvs)
    db.execute("BEGIN")  # both statements must see one state
    try:
        kvs = [_key_value(row) for row in db.execute(_RANGE, (start, end, bound, limit or -1))]
        count = len(kvs)
        if limit and count == limit:
            count = db.execute(_COUNT, (start, end, bound)).fetchone()[0]
    finally:
        db.execute("COMMIT")
    return kvs, count


def _history(db: sqlite3.Connection, start: bytes, end: bytes, first: int, last: int) -> tuple[list[StoreEvent], int]:
    """Events of about PAGE rows from revision `first` to at most `last`, whole transactions only, and the revision to go on from."""
    bound = (last + 1) << _SHIFT
    rows = db.execute(_HISTORY, (first << _SHIFT, bound, PAGE)).fetchall()
    following = last + 1
    if len(rows) == PAGE:  # the last transaction may go on beyond the page
        following = (rows[-1][0] >> _SHIFT) + 1
        rows += db.execute(_HISTORY, (rows[-1][0] + 1, following << _SHIFT, -1)).fetchall()
    events = []
    for row in rows:
        if start <= row[1] < end if end else row[1] == start:
            kv = _key_value(row)
            events.append(StoreEvent(EventType.PUT if kv.version else EventType.DELETE, kv, _key_value(row[6:]) if row[6] else None))
    return events, following


def _drop(db: sqlite3.Connection, first: int, upto: int) -> None:
    """Delete what the rows of revisions (first, upto] replaced, and the deletions among them."""
    low, high = (first + 1) << _SHIFT, (upto + 1) << _SHIFT
    db.execute("BEGIN")
    try:
        db.execute("DELETE FROM kv WHERE id IN (SELECT prev FROM kv WHERE id >= ? AND id < ? AND prev <> 0)", (low, high))
        db.execute("DELETE FROM kv WHERE id >= ? AND id < ? AND version = 0", (low, high))
        db.execute("INSERT OR REPLACE INTO meta VALUES ('compacted_upto', ?)", (upto,))
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
