"""What `kogia.store.interface` promises, asked of every store."""

from __future__ import annotations

import asyncio

import pytest

from kogia.store.interface import (
    Compacted,
    Compare,
    Delete,
    EventType,
    FutureRevision,
    LeaseNotFound,
    Put,
    StoreClosed,
    WatchOverflow,
)


async def put(store, key, value=b"v", lease=0):
    return (await store.txn([], [Put(key, value, lease)])).revision


async def take(watch, count):
    """The next `count` events of a watch, flattened."""
    events = []
    while len(events) < count:
        events += await asyncio.wait_for(anext(watch), 5)
    return events


def brief(events):
    return [(e.type.value, e.kv.key, e.kv.value, e.revision) for e in events]


def test_a_fresh_store_is_empty_at_revision_one(suite):
    async def scenario(store, clock):
        assert (store.revision, store.compact_revision) == (1, 0)
        result = await store.range(b"a", b"z")
        assert (result.kvs, result.revision, result.more, result.count) == ([], 1, False, 0)

    suite(scenario)


def test_revisions_and_versions_count_up(suite):
    async def scenario(store, clock):
        assert await put(store, b"a", b"1") == 2
        assert await put(store, b"b", b"1") == 3
        assert await put(store, b"a", b"2") == 4
        (kv,) = (await store.range(b"a")).kvs
        assert (kv.value, kv.create_revision, kv.mod_revision, kv.version) == (b"2", 2, 4, 2)
        result = await store.txn([], [Delete(b"a")])
        assert result.revision == 5 == store.revision
        assert (await store.range(b"a")).kvs == []
        assert await put(store, b"a", b"3") == 6
        (kv,) = (await store.range(b"a")).kvs
        assert (kv.create_revision, kv.mod_revision, kv.version) == (6, 6, 1)

    suite(scenario)


def test_range_is_half_open_sorted_limited_and_counts(suite):
    async def scenario(store, clock):
        for name in (b"b", b"a", b"d", b"c", b"aa"):
            await put(store, name)
        keys = [kv.key for kv in (await store.range(b"a", b"d")).kvs]
        assert keys == [b"a", b"aa", b"b", b"c"]
        page = await store.range(b"a", b"z", limit=2)
        assert ([kv.key for kv in page.kvs], page.more, page.count) == ([b"a", b"aa"], True, 5)
        page = await store.range(b"a", b"z", limit=5)
        assert (len(page.kvs), page.more, page.count) == (5, False, 5)
        single = await store.range(b"a")
        assert (len(single.kvs), single.count) == (1, 1)

    suite(scenario)


def test_old_revisions_stay_readable(suite):
    async def scenario(store, clock):
        first = await put(store, b"a", b"1")
        second = await put(store, b"b", b"1")
        third = await put(store, b"a", b"2")
        (await store.txn([], [Delete(b"b")]))
        assert [kv.value for kv in (await store.range(b"a", b"z", revision=first)).kvs] == [b"1"]
        assert [(kv.key, kv.value) for kv in (await store.range(b"a", b"z", revision=second)).kvs] == [(b"a", b"1"), (b"b", b"1")]
        old = await store.range(b"a", b"z", revision=third)
        assert [(kv.key, kv.value) for kv in old.kvs] == [(b"a", b"2"), (b"b", b"1")]
        assert old.revision == store.revision
        assert [kv.value for kv in (await store.range(b"a", revision=second)).kvs] == [b"1"]
        with pytest.raises(FutureRevision):
            await store.range(b"a", revision=store.revision + 1)

    suite(scenario)


def test_txn_applies_all_or_nothing(suite):
    async def scenario(store, clock):
        first = await put(store, b"a", b"1")
        done = await store.txn([Compare(b"a", first), Compare(b"b", 0)], [Put(b"a", b"2"), Put(b"b", b"2")])
        assert done.succeeded and done.revision == first + 1
        kvs = (await store.range(b"a", b"z")).kvs
        assert {kv.mod_revision for kv in kvs} == {done.revision}
        refused = await store.txn([Compare(b"a", first), Compare(b"c", 0)], [Put(b"a", b"3"), Put(b"c", b"3")])
        assert not refused.succeeded and refused.revision == done.revision
        assert refused.current[0].value == b"2" and refused.current[0].mod_revision == done.revision
        assert refused.current[1] is None
        assert (await store.range(b"c")).kvs == []

    suite(scenario)


def test_a_transaction_that_writes_nothing_uses_no_revision(suite):
    async def scenario(store, clock):
        before = await put(store, b"a")
        result = await store.txn([], [Delete(b"nothing")])
        assert result.succeeded and result.revision == before == store.revision
        result = await store.txn([Compare(b"a", before)], [])
        assert result.succeeded and result.revision == before

    suite(scenario)


def test_a_key_may_be_touched_once(suite):
    async def scenario(store, clock):
        with pytest.raises(ValueError):
            await store.txn([], [Put(b"a", b"1"), Delete(b"a")])
        assert store.revision == 1

    suite(scenario)


def test_concurrent_writers_of_one_key_one_wins(suite):
    async def scenario(store, clock):
        results = await asyncio.gather(*(store.txn([Compare(b"k", 0)], [Put(b"k", b"%d" % i)]) for i in range(50)))
        winners = [i for i, r in enumerate(results) if r.succeeded]
        assert len(winners) == 1
        (kv,) = (await store.range(b"k")).kvs
        assert kv.value == b"%d" % winners[0]
        assert all(r.current[0].value == kv.value for r in results if not r.succeeded)

    suite(scenario)


def test_one_that_fails_in_a_group_fails_alone(suite):
    async def scenario(store, clock):
        results = await asyncio.gather(
            store.txn([], [Put(b"a", b"1")]), store.txn([], [Put(b"b", b"1", 999)]), store.txn([], [Put(b"c", b"1")]),
            return_exceptions=True,
        )
        assert results[0].succeeded and results[2].succeeded and isinstance(results[1], LeaseNotFound)
        assert [kv.key for kv in (await store.range(b"a", b"z")).kvs] == [b"a", b"c"]
        assert sorted(r.revision for r in (results[0], results[2])) == [2, 3]

    suite(scenario)


def test_watch_gives_history_then_live_without_a_gap(suite):
    async def scenario(store, clock):
        await put(store, b"a", b"1")
        start = await put(store, b"b", b"1")
        await put(store, b"z", b"outside")
        await put(store, b"b", b"2")
        watch = store.watch(b"a", b"c", revision=start)
        events = await take(watch, 2)
        assert brief(events) == [("PUT", b"b", b"1", start), ("PUT", b"b", b"2", start + 2)]
        assert events[0].prev is None and events[1].prev.value == b"1"
        await store.txn([], [Delete(b"b")])
        (gone,) = await take(watch, 1)
        assert gone.type is EventType.DELETE and gone.kv.value == b"" and gone.prev.value == b"2"
        assert gone.revision == store.revision and gone.prev.mod_revision == start + 2
        await watch.aclose()

    suite(scenario)


def test_a_watch_never_splits_a_transaction(suite):
    async def scenario(store, clock):
        keys = [b"k%04d" % i for i in range(1500)]
        await store.txn([], [Put(k, b"1") for k in keys])
        await store.txn([], [Put(k, b"2") for k in keys])
        watch = store.watch(b"k", b"l", revision=2)
        batches = []
        while sum(map(len, batches)) < 3000:
            batches.append(await anext(watch))
        for batch in batches:
            for revision in {e.revision for e in batch}:
                assert sum(e.revision == revision for e in batch) == 1500
        await watch.aclose()

    suite(scenario)


def test_a_watch_from_the_future_waits(suite):
    async def scenario(store, clock):
        watch = store.watch(b"a", b"z", revision=4)
        task = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        for value in (b"2", b"3", b"4"):
            await put(store, b"a", value)
        assert brief(await asyncio.wait_for(task, 5)) == [("PUT", b"a", b"4", 4)]
        await watch.aclose()

    suite(scenario)


def test_many_watchers_see_the_same_order(suite):
    async def scenario(store, clock):
        watches = [store.watch(b"a", b"z", revision=2) for _ in range(20)]
        tasks = [asyncio.ensure_future(take(w, 60)) for w in watches]
        await asyncio.gather(*(put(store, b"k%d" % (i % 7), b"%d" % i) for i in range(60)))
        seen = [brief(events) for events in await asyncio.gather(*tasks)]
        assert all(s == seen[0] for s in seen)
        assert [e[3] for e in seen[0]] == list(range(2, 62))
        for watch in watches:
            await watch.aclose()

    suite(scenario)


def test_a_slow_watcher_is_dropped_and_holds_nobody_up(suite):
    async def scenario(store, clock):
        watch = store.watch(b"a", b"z", revision=2)
        first = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        await put(store, b"k", b"first")
        assert await first
        for i in range(100):
            await put(store, b"k", b"%d" % i)
        with pytest.raises(WatchOverflow):
            while True:
                await anext(watch)

    suite(scenario, watch_limit=50)


def test_compaction_forgets_history_and_nothing_else(suite):
    async def scenario(store, clock):
        for i in range(5):
            await put(store, b"a", b"%d" % i)
            await put(store, b"b", b"%d" % i)
        await store.txn([], [Delete(b"b")])
        target = store.revision
        last = await put(store, b"c", b"1")
        await store.compact(target)
        assert (store.revision, store.compact_revision) == (last, target)
        with pytest.raises(Compacted) as error:
            await store.range(b"a", b"z", revision=target - 1)
        assert error.value.compact_revision == target
        at = await store.range(b"a", b"z", revision=target)
        assert [(kv.key, kv.value) for kv in at.kvs] == [(b"a", b"4")]
        assert [kv.key for kv in (await store.range(b"a", b"z")).kvs] == [b"a", b"c"]
        for wrong in (target - 3, target):
            with pytest.raises(Compacted):
                await store.compact(wrong)
        with pytest.raises(FutureRevision):
            await store.compact(store.revision + 1)

    suite(scenario)


def test_a_watch_from_compacted_history_is_refused(suite):
    async def scenario(store, clock):
        for i in range(5):
            await put(store, b"a", b"%d" % i)
        await store.compact(4)
        with pytest.raises(Compacted):
            await anext(store.watch(b"a", b"b", revision=3))
        watch = store.watch(b"a", b"b", revision=5)
        events = await take(watch, 2)
        assert brief(events) == [("PUT", b"a", b"3", 5), ("PUT", b"a", b"4", 6)]
        assert events[0].prev.value == b"2"
        await watch.aclose()

    suite(scenario)


def test_a_watcher_caught_by_compaction_while_behind_is_told(suite):
    async def scenario(store, clock):
        for start in range(0, 3000, 500):
            await asyncio.gather(*(put(store, b"k%d" % i) for i in range(start, start + 500)))
        watch = store.watch(b"k", b"l", revision=2)
        assert await anext(watch)
        await store.compact(store.revision)
        with pytest.raises(Compacted):
            while True:
                await anext(watch)

    suite(scenario)


def test_a_deleted_key_may_come_back_after_compaction(suite):
    async def scenario(store, clock):
        await put(store, b"a", b"1")
        await store.txn([], [Delete(b"a")])
        await store.compact(store.revision)
        assert (await store.range(b"a")).kvs == []
        revision = await put(store, b"a", b"2")
        (kv,) = (await store.range(b"a")).kvs
        assert (kv.create_revision, kv.version) == (revision, 1)

    suite(scenario)


def test_leases_end_with_their_keys(suite):
    async def scenario(store, clock):
        lease = await store.lease_grant(60)
        await put(store, b"a", b"1", lease)
        await put(store, b"b", b"1", lease)
        await put(store, b"b", b"2")  # put again without the lease: stays
        assert (await store.range(b"a")).kvs[0].lease == lease
        watch = store.watch(b"a", b"z", revision=store.revision + 1)
        pending = asyncio.ensure_future(anext(watch))
        await clock.advance(59)
        assert not pending.done()
        await clock.advance(2)
        (event,) = await asyncio.wait_for(pending, 5)
        assert event.type is EventType.DELETE and event.kv.key == b"a" and event.prev.value == b"1"
        assert [kv.key for kv in (await store.range(b"a", b"z")).kvs] == [b"b"]
        with pytest.raises(LeaseNotFound):
            await put(store, b"c", b"1", lease)
        await watch.aclose()

    suite(scenario)


def test_a_lease_may_be_revoked(suite):
    async def scenario(store, clock):
        lease, other = await store.lease_grant(60), await store.lease_grant(60)
        assert lease != other
        await store.txn([], [Put(b"a", b"1", lease), Put(b"b", b"1", lease), Put(b"c", b"1", other)])
        before = store.revision
        await store.lease_revoke(lease)
        assert store.revision == before + 1  # both keys in one transaction
        assert [kv.key for kv in (await store.range(b"a", b"z")).kvs] == [b"c"]
        with pytest.raises(LeaseNotFound):
            await store.lease_revoke(lease)

    suite(scenario)


def test_close_ends_watches_and_refuses_work(suite):
    async def scenario(store, clock):
        watch = store.watch(b"a", b"z", revision=2)
        pending = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        writing = asyncio.ensure_future(store.txn([], [Put(b"zz", b"1")]))
        await asyncio.sleep(0)
        await store.close()
        assert (await writing).succeeded
        with pytest.raises(StoreClosed):
            await asyncio.wait_for(pending, 5)
        for call in (store.range(b"a"), store.txn([], []), store.compact(1), store.lease_grant(5)):
            with pytest.raises(StoreClosed):
                await call
        await store.close()

    suite(scenario)
