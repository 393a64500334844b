import asyncio

import pytest

from kogia.base.clock import FakeClock
from kogia.client.queue import QueueShutDown, RateLimiter, WorkQueue


def test_a_key_queued_twice_comes_once_and_again_if_added_while_worked_on():
    async def main():
        queue = WorkQueue()
        queue.add("a")
        queue.add("a")
        queue.add("b")
        assert await queue.get() == "a"
        queue.add("a")
        assert await queue.get() == "b"
        assert len(queue) == 0  # "a" waits for its worker
        queue.done("a")
        assert await queue.get() == "a"

    asyncio.run(main())


def test_delays_keep_the_earliest():
    async def main():
        clock = FakeClock()
        queue = WorkQueue(clock=clock)
        queue.add_after("a", 10)
        queue.add_after("b", 5)
        queue.add_after("a", 2)
        queue.add_after("a", 20)
        await clock.advance(1.9)
        assert len(queue) == 0
        await clock.advance(0.2)
        assert [await queue.get()] == ["a"]
        queue.done("a")
        await clock.advance(30)
        assert len(queue) == 1 and await queue.get() == "b"
        assert queue.delayed == 0
        await queue.shut_down()

    asyncio.run(main())


def test_rate_limits_grow_and_are_forgotten():
    limiter = RateLimiter(0.005, 1.0)
    assert [limiter.when("a") for _ in range(3)] == [0.005, 0.01, 0.02]
    for _ in range(2000):
        last = limiter.when("a")
    assert last == 1.0
    limiter.forget("a")
    assert limiter.when("a") == 0.005


def test_shut_down_wakes_getters_and_lets_the_rest_be_taken():
    async def main():
        queue = WorkQueue()
        getter = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        await queue.shut_down()
        with pytest.raises(QueueShutDown):
            await getter

    asyncio.run(main())


def test_a_cancelled_getter_loses_no_key():
    async def main():
        queue = WorkQueue()
        first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.add("a")
        first.cancel()
        assert await asyncio.wait_for(second, 1) == "a"

    asyncio.run(main())


def test_no_key_is_worked_on_twice_at_once():
    async def main():
        queue = WorkQueue()
        active, most, done = {}, 0, 0

        async def worker():
            nonlocal most, done
            while True:
                key = await queue.get()
                active[key] = active.get(key, 0) + 1
                most = max(most, active[key])
                await asyncio.sleep(0)
                active[key] -= 1
                done += 1
                queue.done(key)

        workers = [asyncio.create_task(worker()) for _ in range(5)]
        for n in range(200):
            queue.add(f"k{n % 3}")
            if n % 5 == 0:
                await asyncio.sleep(0)
        while not queue.idle:
            await asyncio.sleep(0)
        assert most == 1
        assert done >= 3
        for worker_task in workers:
            worker_task.cancel()

    asyncio.run(main())
