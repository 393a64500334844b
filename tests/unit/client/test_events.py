import asyncio

from kogia.base.clock import FakeClock
from kogia.client.events import QUEUE_LIMIT, EventRecorder
from kogia.client.fake import FakeApi

POD = {
    "apiVersion": "v1", "kind": "Pod",
    "metadata": {"name": "p", "namespace": "x", "uid": "u-1", "resourceVersion": "7"},
}


def recorded(actions, **more):
    """Events in the fake server after `actions(recorder, clock)`."""
    api = FakeApi(FakeClock())

    async def main():
        clock = FakeClock()
        recorder = EventRecorder(api.client(), "kubelet", "n1", clock)
        await actions(recorder, clock)
        await recorder.flush()
        await recorder.close()
        return recorder

    recorder = asyncio.run(main())
    return api.all("events"), recorder


def test_fields():
    async def actions(recorder, clock):
        recorder.event(POD, "Normal", "Started", "Started container c", field_path="spec.containers{c}")

    (event,), _ = recorded(actions)
    assert event["metadata"]["name"].startswith("p.") and int(event["metadata"]["name"][2:], 16) > 0
    assert event["metadata"]["namespace"] == "x"
    assert event["involvedObject"] == {
        "kind": "Pod", "namespace": "x", "name": "p", "uid": "u-1", "apiVersion": "v1", "resourceVersion": "7", "fieldPath": "spec.containers{c}",
    }
    assert event["source"] == {"component": "kubelet", "host": "n1"}
    assert event["reportingComponent"] == "kubelet" and event["reportingInstance"] == "n1"
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2023-11-14T22:13:20Z"
    assert (event["type"], event["reason"], event["message"], event["count"], event["eventTime"]) == (
        "Normal", "Started", "Started container c", 1, None,
    )


def test_events_about_a_node_go_to_default():
    async def actions(recorder, clock):
        recorder.event({"kind": "Node", "name": "n1", "uid": "n1", "apiVersion": "v1"}, "Normal", "Starting", "Starting kubelet.")

    (event,), _ = recorded(actions)
    assert event["metadata"]["namespace"] == "default"


def test_repeats_raise_the_count():
    async def actions(recorder, clock):
        for _ in range(3):
            recorder.event(POD, "Warning", "BackOff", "Back-off")
            await clock.advance(10)
        recorder.event(POD, "Warning", "Failed", "other")

    events, _ = recorded(actions)
    assert [(e["reason"], e["count"]) for e in events] == [("BackOff", 3), ("Failed", 1)]
    assert events[0]["lastTimestamp"] == "2023-11-14T22:13:40Z"
    assert events[0]["firstTimestamp"] == "2023-11-14T22:13:20Z"


def test_many_alike_are_combined():
    async def actions(recorder, clock):
        for n in range(15):
            recorder.event(POD, "Warning", "Odd", f"message {n}")

    events, _ = recorded(actions)
    assert len(events) == 10
    assert events[-1]["message"] == "(combined from similar events): message 14"
    assert events[-1]["count"] == 6


def test_floods_are_cut_and_refill_slowly():
    async def actions(recorder, clock):
        for _ in range(40):
            recorder.event(POD, "Warning", "BackOff", "Back-off")
        await clock.advance(301)
        recorder.event(POD, "Warning", "BackOff", "Back-off")

    (event,), recorder = recorded(actions)
    assert event["count"] == 26
    assert recorder.filtered == 15


def test_an_event_that_expired_is_written_anew():
    api = FakeApi()

    async def main():
        recorder = EventRecorder(api.client(), "kubelet")
        recorder.event(POD, "Warning", "BackOff", "Back-off")
        await recorder.flush()
        api.objects[("", "events")].clear()
        recorder.event(POD, "Warning", "BackOff", "Back-off")
        await recorder.close()

    asyncio.run(main())
    (event,) = api.all("events")
    assert event["count"] == 2


def test_a_server_away_neither_blocks_nor_grows_without_bound():
    async def main():
        clock = FakeClock()
        api = FakeApi(clock)
        api.faults.append(lambda request: ConnectionRefusedError("down"))
        recorder = EventRecorder(api.client(), "kubelet", clock=clock)
        for n in range(QUEUE_LIMIT + 50):
            recorder.event({**POD, "metadata": {**POD["metadata"], "name": f"p{n}"}}, "Normal", "R", "m")
        assert recorder.dropped == 50
        await clock.advance(1)
        api.faults.clear()
        for _ in range(30):
            await clock.advance(10)
        assert len(api.all("events")) == QUEUE_LIMIT
        await recorder.close()

    asyncio.run(main())
