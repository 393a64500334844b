import asyncio

from kogia.base.clock import FakeClock
from kogia.scheduler.framework import ClusterEvent
from kogia.scheduler.plugins import default_profile
from kogia.scheduler.queue import SchedulingQueue


def with_queue(body):
    async def main():
        clock = FakeClock()
        queue = SchedulingQueue(default_profile(None), clock)
        await body(queue, clock)
        await queue.close()

    asyncio.run(main())


FIT = frozenset({"NodeResourcesFit"})


def test_priority_then_age(make_pod):
    async def body(queue, clock):
        queue.add(make_pod("old"))
        await clock.advance(1)
        queue.add(make_pod("new"))
        queue.add(make_pod("vip", priority=1000))
        assert [(await queue.pop()).info.name for _ in range(3)] == ["vip", "old", "new"]

    with_queue(body)


def test_only_events_that_may_help_bring_a_pod_back(make_pod):
    async def body(queue, clock):
        queue.add(make_pod("p"))
        queue.park(await queue.pop(), FIT)
        queue.move(ClusterEvent.NODE_LABELS)
        assert queue.counts()["unschedulable"] == 1
        queue.move(ClusterEvent.ASSIGNED_POD_DELETE)
        assert queue.counts() == {"active": 1, "backoff": 0, "unschedulable": 0, "gated": 0}

    with_queue(body)


def test_who_backs_off_comes_after_all_others_whatever_the_priority(make_pod):
    async def body(queue, clock):
        queue.add(make_pod("again", priority=10))
        queue.park(await queue.pop(), FIT)
        queue.move(ClusterEvent.NODE_ADD)
        queue.add(make_pod("new"))
        assert [(await queue.pop()).info.name for _ in range(2)] == ["new", "again"]

    with_queue(body)


def test_after_an_error_the_back_off_is_waited_out(make_pod):
    async def body(queue, clock):
        queue.add(make_pod("p"))
        for wait in (1, 2, 4, 8, 10, 10):
            queue.retry(await queue.pop())
            await clock.advance(wait - 0.1)
            assert queue.counts()["backoff"] == 1
            await clock.advance(0.2)
            assert queue.counts()["active"] == 1

    with_queue(body)


def test_what_waits_long_is_tried_again(make_pod):
    async def body(queue, clock):
        queue.add(make_pod("p"))
        queue.park(await queue.pop(), FIT)
        await clock.advance(299)
        assert queue.counts()["unschedulable"] == 1
        await clock.advance(2)
        assert queue.counts()["active"] == 1

    with_queue(body)


def test_gates(make_pod):
    async def body(queue, clock):
        gated = make_pod("p", schedulingGates=[{"name": "x.io/wait"}])
        queue.add(gated)
        queue.move(ClusterEvent.ANY)
        await clock.advance(400)
        assert queue.counts() == {"active": 0, "backoff": 0, "unschedulable": 0, "gated": 1}
        queue.update(make_pod("p"))
        assert (await queue.pop()).info.name == "p"

    with_queue(body)


def test_a_status_change_moves_nothing_a_spec_change_does(make_pod):
    async def body(queue, clock):
        queue.add(make_pod("p", cpu="3"))
        queue.park(await queue.pop(), FIT)
        await clock.advance(2)
        queue.update({**make_pod("p", cpu="3"), "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled"}]}})
        assert queue.counts()["unschedulable"] == 1
        queue.update(make_pod("p", cpu="1"))
        assert queue.counts()["active"] == 1

    with_queue(body)


def test_a_removed_pod_never_comes(make_pod):
    async def body(queue, clock):
        queue.add(make_pod("p"))
        queue.add(make_pod("q"))
        queue.remove("uid-p")
        queued = await queue.pop()
        assert queued.info.name == "q"
        queue.remove("uid-q")
        queue.park(queued, FIT)
        queue.retry(queued)
        await clock.advance(400)
        assert sum(queue.counts().values()) == 0

    with_queue(body)
