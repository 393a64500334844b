"""Random operations on two stores at once: whatever one answers, the other must answer."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from kogia.base.clock import FakeClock
from kogia.store.interface import Compare, Delete, Put, StoreError
from kogia.store.memory import MemoryStore
from kogia.store.sqlite import SqliteStore

KEYS = [b"k%d" % i for i in range(8)]


async def outcome(call):
    try:
        return await call
    except StoreError as error:
        return type(error).__name__, str(error)


def step(rng: random.Random, revision: int, compacted: int):
    """One random operation as a function of a store."""
    choice = rng.random()
    if choice < 0.6:
        keys = rng.sample(KEYS, rng.randint(1, 3))
        ops = [Delete(k) if rng.random() < 0.35 else Put(k, b"%d" % rng.randrange(1000), rng.choice((0, 0, 0, 1, 2))) for k in keys]
        compares = [Compare(rng.choice(KEYS), rng.choice((0, revision, rng.randint(1, revision)))) for _ in range(rng.choice((0, 0, 0, 1)))]
        return lambda s: s.txn(compares, ops)
    if choice < 0.9:
        start, end = rng.choice(KEYS), rng.choice([*KEYS, b"", b"l"])
        at, limit = rng.choice((0, rng.randint(1, revision + 2))), rng.choice((0, 1, 3))
        return lambda s: s.range(start, end, revision=at, limit=limit)
    if choice < 0.94:
        target = rng.randint(max(1, compacted - 2), revision + 1)
        return lambda s: s.compact(target)
    if choice < 0.97:
        return lambda s: s.lease_grant(1000)
    lease = rng.randint(1, 3)
    return lambda s: s.lease_revoke(lease)


@pytest.mark.parametrize("seed", range(12))
def test_memory_and_sqlite_agree(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)

    async def main() -> None:
        clock = FakeClock()
        memory, sqlite = MemoryStore(clock=clock), SqliteStore(tmp_path / "db", clock=clock)
        started = memory.watch(b"k", b"l", revision=2), sqlite.watch(b"k", b"l", revision=2)
        seen: tuple[list, list] = ([], [])

        async def follow(watch, into):
            try:
                async for batch in watch:
                    into.extend(batch)
            except StoreError as error:
                into.append(type(error).__name__)

        tasks = [asyncio.ensure_future(follow(w, s)) for w, s in zip(started, seen, strict=True)]
        await asyncio.sleep(0.01)
        for number in range(300):
            operation = step(rng, memory.revision, memory.compact_revision)
            left, right = await outcome(operation(memory)), await outcome(operation(sqlite))
            assert left == right, (seed, number)
            assert (memory.revision, memory.compact_revision) == (sqlite.revision, sqlite.compact_revision)
            if number == 150:  # what was written must be there after a restart, seen by reads and by a watch of the past
                await sqlite.close()
                sqlite = SqliteStore(tmp_path / "db", clock=clock)
                assert (memory.revision, memory.compact_revision) == (sqlite.revision, sqlite.compact_revision)
        left_page, right_page = await history(memory), await history(sqlite)
        assert left_page == right_page
        await memory.close()
        await sqlite.close()
        await asyncio.gather(*tasks)
        assert seen[1][:-1] == seen[0][: len(seen[1]) - 1] and len(seen[1]) > 50

    async def history(store):
        watch, events = store.watch(b"k", b"l", revision=store.compact_revision + 1), []
        last = (await store.txn([], [Put(b"kz", b"end")])).revision
        while not events or events[-1].revision < last:
            events += await anext(watch)
        await watch.aclose()
        return events

    asyncio.run(main())
