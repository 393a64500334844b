"""kill -9 in the middle of writing: what was acknowledged is there, what was half-written is not."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kogia.store.interface import StoreError
from kogia.store.sqlite import SqliteStore

WRITER = """
import asyncio, os, sys
from kogia.store.interface import Put
from kogia.store.sqlite import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1])
    async def write(worker):
        n = 0
        while True:
            value = b"%d" % n
            # two keys in one transaction: they must never be seen apart
            result = await store.txn([], [Put(b"a/%d" % worker, value), Put(b"b/%d" % worker, value * 500), Put(b"n/%d/%d" % (worker, n), value)])
            os.write(1, b"%d %d %d\\n" % (worker, n, result.revision))
            n += 1
    async def tidy():
        while True:
            await asyncio.sleep(0.05)
            if store.revision - 200 > store.compact_revision:
                await store.compact(store.revision - 200)
    await asyncio.gather(tidy(), *(write(i) for i in range(8)))

asyncio.run(main())
"""


@pytest.mark.parametrize("after_s", [0.15, 0.3, 0.45])
def test_nothing_acknowledged_is_lost(tmp_path: Path, after_s: float) -> None:
    database = tmp_path / "db"
    root = Path(__file__).resolve().parents[3] / "src"
    acknowledged: dict[int, tuple[int, int]] = {}
    for _ in range(2):  # the second child goes on with the file the first was killed over
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(database)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(root)})
        assert child.stdout is not None
        first = child.stdout.readline()
        assert first, "the child wrote nothing"
        time.sleep(after_s)
        child.send_signal(signal.SIGKILL)
        lines = first + child.stdout.read()
        child.wait()
        acknowledged = {}
        for line in lines.split(b"\n")[:-1]:
            worker, n, revision = map(int, line.split())
            acknowledged[worker] = (n, revision)
        assert acknowledged
        asyncio.run(check(database, acknowledged))


async def check(database: Path, acknowledged: dict[int, tuple[int, int]]) -> None:
    store = SqliteStore(database)
    try:
        assert store.revision >= max(revision for _, revision in acknowledged.values())
        kvs = {kv.key: kv for kv in (await store.range(b"a", b"z")).kvs}
        for worker, (n, _) in acknowledged.items():
            left, right = kvs[b"a/%d" % worker], kvs[b"b/%d" % worker]
            assert int(left.value) >= n
            assert right.value == left.value * 500 and left.mod_revision == right.mod_revision
            assert all(b"n/%d/%d" % (worker, i) in kvs for i in range(n + 1))
    finally:
        await store.close()


def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    async def main() -> None:
        store = SqliteStore(tmp_path / "db")
        with pytest.raises(StoreError, match="in use"):
            SqliteStore(tmp_path / "db")
        await store.close()
        again = SqliteStore(tmp_path / "db")
        await again.close()

    asyncio.run(main())


def test_leases_outlive_a_restart(tmp_path: Path) -> None:
    from kogia.base.clock import FakeClock
    from kogia.store.interface import Put

    async def main() -> None:
        clock = FakeClock()
        store = SqliteStore(tmp_path / "db", clock=clock)
        lease = await store.lease_grant(100)
        await store.txn([], [Put(b"a", b"1", lease)])
        await store.close()
        await clock.advance(50)
        store = SqliteStore(tmp_path / "db", clock=clock)
        watch = store.watch(b"a", b"b", revision=store.revision + 1)
        pending = asyncio.ensure_future(anext(watch))
        await clock.advance(49)
        assert (await store.range(b"a")).kvs
        await clock.advance(2)
        (event,) = await asyncio.wait_for(pending, 5)
        assert event.kv.key == b"a"
        await watch.aclose()
        await store.close()

    asyncio.run(main())


def test_the_file_is_private(tmp_path: Path) -> None:
    async def main() -> None:
        store = SqliteStore(tmp_path / "db")
        await store.close()

    asyncio.run(main())
    assert (tmp_path / "db").stat().st_mode & 0o077 == 0


def test_what_is_no_store_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreError, match="cannot open"):
        SqliteStore(tmp_path / "text")
    newer = sqlite3.connect(tmp_path / "newer")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(StoreError, match="newer version"):
        SqliteStore(tmp_path / "newer")
    with pytest.raises(StoreError, match="newer version"):
        SqliteStore(tmp_path / "newer")  # the lock was given back
