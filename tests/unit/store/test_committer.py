"""Group commit when the disk says no: who fails, what stays, and that the store goes on."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from kogia.base.clock import FakeClock
from kogia.store.compaction import compact_periodically
from kogia.store.interface import Compare, Delete, Put, StoreError
from kogia.store.memory import MemoryStore
from kogia.store.sqlite import SqliteStore


def on_store(tmp_path: Path, scenario) -> None:
    async def main() -> None:
        store = SqliteStore(tmp_path / "db")
        try:
            await scenario(store)
        finally:
            await store.close()

    asyncio.run(main())


def test_a_value_the_engine_refuses_fails_alone(tmp_path):
    async def scenario(store):
        store._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 5000)
        results = await asyncio.gather(
            store.txn([], [Put(b"a", b"1")]), store.txn([], [Put(b"b", b"x" * 9000), Put(b"c", b"1")]), store.txn([Compare(b"a", 2)], [Put(b"a", b"2")]),
            return_exceptions=True,
        )
        assert isinstance(results[1], StoreError) and "too big" in str(results[1])
        assert results[0].revision == 2 and results[2].succeeded and results[2].revision == 3
        assert [(kv.key, kv.value) for kv in (await store.range(b"a", b"z")).kvs] == [(b"a", b"2")]

    on_store(tmp_path, scenario)


def test_a_full_disk_refuses_writes_and_loses_nothing(tmp_path):
    async def scenario(store):
        await store.txn([], [Put(b"a", b"1")])
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StoreError):
            for i in range(100):
                await store.txn([], [Put(b"k%d" % i, b"x" * 3000)])
        revision = store.revision
        assert [kv.key for kv in (await store.range(b"a")).kvs] == [b"a"]
        store._db.execute("PRAGMA max_page_count = 1000000")
        assert (await store.txn([], [Put(b"b", b"1")])).revision == revision + 1

    on_store(tmp_path, scenario)


def test_a_commit_that_fails_fails_its_group_and_tells_no_watcher(tmp_path):
    async def scenario(store):
        real = store._committer._db

        class Failing:
            """Passes everything on but the first COMMIT."""

            failed = False

            def __getattr__(self, name):
                return getattr(real, name)

            def execute(self, statement, *more):
                if statement == "COMMIT" and not self.failed:
                    self.failed = True
                    raise sqlite3.OperationalError("disk I/O error")
                return real.execute(statement, *more)

        await store.txn([], [Put(b"a", b"1")])
        watch = store.watch(b"a", b"z", revision=3)
        pending = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        store._committer._db = Failing()
        results = await asyncio.gather(store.txn([], [Put(b"b", b"1")]), store.txn([], [Put(b"c", b"1")]), return_exceptions=True)
        assert all(isinstance(r, StoreError) and "commit failed" in str(r) for r in results)
        assert store.revision == 2 and not pending.done()
        assert (await store.txn([], [Put(b"d", b"1")])).revision == 3
        assert [e.kv.key for e in await pending] == [b"d"]
        assert [kv.key for kv in (await store.range(b"a", b"z")).kvs] == [b"a", b"d"]
        await watch.aclose()

    on_store(tmp_path, scenario)


def test_a_caller_that_leaves_takes_nobody_along(tmp_path):
    async def scenario(store):
        first = asyncio.ensure_future(store.txn([], [Put(b"a", b"1")]))
        second = asyncio.ensure_future(store.txn([], [Put(b"b", b"1")]))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).succeeded
        assert (await store.txn([], [Delete(b"b")])).succeeded

    on_store(tmp_path, scenario)


def test_writers_share_commits(tmp_path):
    async def scenario(store):
        commits = 0
        original = store._committer._committed_group

        def count(outcomes, error):
            nonlocal commits
            commits += 1
            original(outcomes, error)

        store._committer._committed_group = count
        await asyncio.gather(*(store.txn([], [Put(b"k%d" % i, b"v")]) for i in range(200)))
        assert commits <= 2 and store.revision == 201

    on_store(tmp_path, scenario)


def test_compaction_keeps_minutes_and_revisions():
    async def main() -> None:
        clock = FakeClock()
        store = MemoryStore(clock=clock)
        task = asyncio.ensure_future(compact_periodically(store, clock, keep_s=300, keep_revisions=10))
        await clock.advance(0)

        async def put(count):
            for _ in range(count):
                await store.txn([], [Put(b"k", b"v")])

        await put(100)
        await clock.advance(301)
        assert store.compact_revision <= 1  # none of it is old enough
        await put(5)
        await clock.advance(300)
        assert store.compact_revision == 96  # old enough, but the last ten stay
        await put(50)
        await clock.advance(300)
        assert store.compact_revision == 106
        await clock.advance(3000)
        assert store.compact_revision == store.revision - 10
        task.cancel()
        await store.close()

    asyncio.run(main())
