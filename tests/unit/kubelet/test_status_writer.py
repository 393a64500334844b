"""The status writer: what is sent, in which order, and through which troubles."""

import asyncio

from kogia.base.clock import RealClock
from kogia.client.fake import FakeApi
from kogia.kubelet.status_writer import PODS, StatusWriter, status_patch

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default", "uid": "u1"}, "spec": {"nodeName": "n"}, "status": {}}


def condition(kind, status, reason=""):
    return {"type": kind, "status": status, "lastProbeTime": None, **({"reason": reason} if reason else {})}


def test_only_what_changed_is_sent():
    old = {"phase": "Pending", "conditions": [condition("Ready", "False", "x"), condition("Other", "True")], "podIPs": [{"ip": "1"}], "reason": "r"}
    new = {"phase": "Pending", "conditions": [condition("Ready", "True"), condition("Other", "True")], "podIPs": [{"ip": "2"}]}
    assert status_patch(old, new) == {
        "conditions": [{"type": "Ready", "status": "True", "reason": None, }], "podIPs": [{"ip": "2"}, {"$patch": "replace"}], "reason": None,
    }  # fmt: skip
    assert status_patch(new, new) == {}


def run(work):
    async def go():
        api = FakeApi()
        api.put(POD)
        writer = StatusWriter(api.client(), RealClock())
        try:
            return await work(api, writer)
        finally:
            await writer.close()

    return asyncio.run(go())


def stored(api):
    return api.objects[("", "pods")]["default/p"]["status"]


def test_newest_wins_but_milestones_are_seen():
    async def work(api, writer):
        seen = []
        stream = api.client().watch(PODS, "default", resource_version=str(api.revision))
        for i in range(10):
            writer.put(POD, {"phase": "Running", "message": str(i)}, milestone=i == 5)
        assert await writer.flush("u1", 2)
        async for event in stream:
            seen.append(event.object["status"]["message"])
            if seen[-1] == "9":
                break
        return seen, writer.writes

    seen, writes = run(work)
    assert "5" in seen and seen[-1] == "9" and writes <= 4


def test_an_outage_is_waited_out():
    async def work(api, writer):
        failures = [3]

        def fault(request):
            if request.method == "PATCH" and failures[0]:
                failures[0] -= 1
                return OSError("down")
            return None

        api.faults.append(fault)
        writer.put(POD, {"phase": "Running"})
        assert await writer.flush("u1", 5)
        assert stored(api) == {"phase": "Running"} and failures == [0]

    run(work)


def test_a_pod_that_is_gone_is_let_go():
    async def work(api, writer):
        del api.objects[("", "pods")]["default/p"]
        writer.put(POD, {"phase": "Running"})
        assert await writer.flush("u1", 2)
        assert not writer._lanes

    run(work)


def test_a_lazy_status_waits_for_a_fuller_one_but_not_for_ever():
    async def work(api, writer):
        writer.put(POD, {"phase": "Pending", "podIP": "1"}, lazy=True)
        await asyncio.sleep(0.01)
        assert stored(api) == {}
        writer.put(POD, {"phase": "Running", "podIP": "1"})
        assert await writer.flush("u1", 0.1)
        assert stored(api) == {"phase": "Running", "podIP": "1"} and writer.writes == 1
        writer.put(POD, {"phase": "Running", "podIP": "2"}, lazy=True)
        assert await writer.flush("u1", 2)
        assert stored(api)["podIP"] == "2"

    run(work)
