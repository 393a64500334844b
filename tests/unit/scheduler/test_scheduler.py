"""The whole scheduler against a fake API server."""

import asyncio
import time

from kogia.api.status import status_error
from kogia.base.clock import FakeClock
from kogia.client.fake import FakeApi
from kogia.scheduler.framework import ClusterEvent
from kogia.scheduler.scheduler import node_event, start_scheduler


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


def running(body, **objects):
    async def main():
        clock = FakeClock()
        api = FakeApi(clock)
        scheduler = await start_scheduler(api.client("system:kube-scheduler"), clock=clock)
        try:
            await until(lambda: api.watches == 2)
            await body(api, scheduler, clock)
        finally:
            await scheduler.close()

    asyncio.run(main())


def node_of(api, name):
    return next((p["spec"].get("nodeName") for p in api.all("pods") if p["metadata"]["name"] == name), None)


def test_a_pod_is_bound_and_an_event_says_so(make_node, make_pod):
    async def body(api, scheduler, clock):
        api.put(make_node("n"))
        api.put(make_pod("p"))
        await until(lambda: node_of(api, "p") == "n")
        await until(lambda: api.all("events"))
        (event,) = api.all("events")
        assert (event["type"], event["reason"], event["message"]) == ("Normal", "Scheduled", "Successfully assigned default/p to n")
        assert event["reportingComponent"] == "default-scheduler"
        await until(lambda: not scheduler.snapshot.assumed)
        assert list(scheduler.snapshot.node("n").pods) == ["uid-p"]

    running(body)


def test_an_unschedulable_pod_says_why_and_is_scheduled_once_it_fits(make_node, make_pod):
    async def body(api, scheduler, clock):
        api.put(make_pod("p", cpu="3"))
        await until(lambda: api.all("events"))
        assert api.all("events")[0]["message"] == "no nodes available to schedule pods"
        api.put(make_node("n"))
        await clock.advance(1.5)
        await until(lambda: any("Insufficient cpu" in e["message"] for e in api.all("events")))
        (condition,) = api.all("pods")[0]["status"]["conditions"]
        assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "Unschedulable")
        assert condition["message"].startswith("0/1 nodes are available: 1 Insufficient cpu.")
        before = len(api.log)
        await clock.advance(100)
        assert len(api.log) == before  # nothing changes: nothing is asked
        api.put(make_node("n", cpu="4"))
        await clock.advance(10)
        await until(lambda: node_of(api, "p") == "n")

    running(body)


def test_room_made_by_a_finished_pod_is_used(make_node, make_pod):
    async def body(api, scheduler, clock):
        api.put(make_node("n"))
        api.put(make_pod("a", cpu="2"))
        await until(lambda: node_of(api, "a") == "n")
        api.put(make_pod("b", cpu="2"))
        await until(lambda: scheduler.metrics.unschedulable == 1)
        done = dict(next(p for p in api.all("pods") if p["metadata"]["name"] == "a"))
        api.put({**done, "status": {"phase": "Succeeded"}})
        await clock.advance(2)
        await until(lambda: node_of(api, "b") == "n")

    running(body)


def test_other_schedulers_pods_and_gated_pods_are_left_alone(make_node, make_pod):
    async def body(api, scheduler, clock):
        api.put(make_node("n"))
        api.put(make_pod("theirs", schedulerName="other"))
        api.put(make_pod("gated", schedulingGates=[{"name": "wait"}]))
        api.put(make_pod("mine", schedulerName="default-scheduler"))
        await until(lambda: node_of(api, "mine") == "n")
        await clock.advance(20)
        assert node_of(api, "theirs") is None and node_of(api, "gated") is None

    running(body)


def test_a_failed_binding_is_taken_back_and_tried_again(make_node, make_pod):
    async def body(api, scheduler, clock):
        refused = []

        def fault(request):
            if request.path.endswith("/binding") and len(refused) < 2:
                refused.append(request.path)
                return status_error(500, "InternalError", "not now")
            return None

        api.faults.append(fault)
        api.put(make_node("n", pods="1"))
        api.put(make_pod("p"))
        await until(lambda: len(refused) == 1)
        await until(lambda: not scheduler.snapshot.node("n").pods)
        await clock.advance(1.5)
        await clock.advance(3)
        await until(lambda: node_of(api, "p") == "n")
        assert scheduler.metrics.errors == 2

    running(body)


def test_a_burst_never_overcommits(make_node, make_pod):
    async def body(api, scheduler, clock):
        for name in "abc":
            api.put(make_node(name, cpu="1"))
        for i in range(40):
            api.put(make_pod(f"p{i}", cpu="100m"))
        await until(lambda: scheduler.metrics.scheduled == 30 and scheduler.metrics.unschedulable >= 10)
        counts = {name: sum(node_of(api, f"p{i}") == name for i in range(40)) for name in "abc"}
        assert counts == {"a": 10, "b": 10, "c": 10}

    running(body)


def test_of_two_schedulers_one_leads_and_the_other_follows(make_node, make_pod):
    async def main():
        clock = FakeClock()
        api = FakeApi(clock)
        first = await start_scheduler(api.client(), leader_elect=True, clock=clock)
        await clock.advance(1)
        second = await start_scheduler(api.client(), leader_elect=True, clock=clock)
        await clock.advance(5)
        assert api.watches == 2  # one of them watches Nodes and Pods
        await first.close()
        api.put(make_node("n"))
        api.put(make_pod("p"))
        await clock.advance(5)
        await until(lambda: node_of(api, "p") == "n")
        await second.close()

    asyncio.run(main())


def test_heartbeats_are_no_event(make_node):
    old = make_node("n")
    assert node_event(old, {**old, "status": {**old["status"], "conditions": [{"type": "Ready"}]}}) == ClusterEvent(0)
    assert node_event(old, make_node("n", cpu="3")) == ClusterEvent.NODE_ALLOCATABLE
    assert node_event(old, make_node("n", unschedulable=True)) == ClusterEvent.NODE_TAINTS
    assert node_event(None, old) == ClusterEvent.NODE_ADD


def test_pod_to_bound_takes_milliseconds(make_node, make_pod):
    async def body(api, scheduler, clock):
        api.put(make_node("n", pods="1000", cpu="64"))
        times = []
        for i in range(50):
            started = time.perf_counter()
            api.put(make_pod(f"p{i}"))
            while node_of(api, f"p{i}") is None:
                await asyncio.sleep(0)
            times.append(time.perf_counter() - started)
        assert sorted(times)[25] < 0.003

    running(body)
