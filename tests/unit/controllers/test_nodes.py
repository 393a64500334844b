import asyncio

import pytest

from kogia.base.clock import FakeClock, rfc3339
from kogia.client.fake import FakeApi
from kogia.client.informer import Informers
from kogia.controllers.context import NODES, ControllerContext
from kogia.controllers.node_health import desired_taints, silent_conditions, tolerated_for
from kogia.controllers.podgc import pod_gc_controller

NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"


def node(name="n", ready="True", taints=(), **spec):
    conditions = [{"type": "Ready", "status": ready, "lastHeartbeatTime": "t0", "lastTransitionTime": "t0"}] if ready else []
    if taints:
        spec["taints"] = list(taints)
    return {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "creationTimestamp": "2023-11-14T22:00:00Z"}, "spec": spec,
        "status": {"conditions": conditions},
    }


def pod(name, node_name="n", tolerations=(), ready=True, **status):
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "a"},
        "spec": {"nodeName": node_name, "containers": [], "tolerations": list(tolerations)}, "status": {"phase": "Running", "conditions": conditions, **status},
    }


def lease(clock, name="n"):
    return {
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": {"renewTime": rfc3339(clock.now()), "holderIdentity": name},
    }


def effects(found):
    return None if found is None else {(t["key"].rpartition("/")[2], t["effect"]) for t in found}


FOREIGN = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}


@pytest.mark.parametrize("given,wanted", [
    (node(), None),
    (node(ready="False"), {("not-ready", "NoSchedule"), ("not-ready", "NoExecute")}),
    (node(ready="Unknown"), {("unreachable", "NoSchedule"), ("unreachable", "NoExecute")}),
    (node(ready=""), {("not-ready", "NoSchedule")}),
    (node(ready="", taints=[{"key": NOT_READY, "effect": "NoSchedule"}]), None),
    (node(taints=[{"key": NOT_READY, "effect": "NoSchedule"}, FOREIGN]), {("dedicated", "NoSchedule")}),
    (node(ready="Unknown", taints=[{"key": NOT_READY, "effect": "NoExecute"}]), {("unreachable", "NoSchedule"), ("unreachable", "NoExecute")}),
    (node(unschedulable=True), {("unschedulable", "NoSchedule")}),
    (node(taints=[{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]), set()),
    (node(taints=[FOREIGN]), None),
])
def test_taints_follow_conditions(given, wanted):
    assert effects(desired_taints(given, "now")) == wanted


def test_silence():
    assert [c["type"] for c in silent_conditions(node(), "now")] == ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"]
    ready = silent_conditions(node(), "now")[0]
    assert (ready["status"], ready["reason"], ready["message"]) == ("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
    assert silent_conditions(node(ready=""), "now")[0]["reason"] == "NodeStatusNeverUpdated"


@pytest.mark.parametrize("tolerations,seconds", [
    ([], 0), ([{"operator": "Exists"}], None), ([{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}], 5),
    ([{"key": "k", "operator": "Exists", "tolerationSeconds": 9}, {"key": "k", "value": "v", "tolerationSeconds": 4}], 4),
    ([{"key": "other", "operator": "Exists"}], 0),
    ([{"key": "k", "value": "v", "effect": "NoSchedule"}], 0),
])
def test_toleration_times(tolerations, seconds):
    assert tolerated_for(pod("p", tolerations=tolerations), [{"key": "k", "value": "v", "effect": "NoExecute"}]) == seconds


def test_a_silent_node_becomes_unknown_its_pods_unready_and_in_time_evicted(world):
    tolerant = {"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}

    async def body(w):
        w.api.put(node())
        w.api.put(pod("p", tolerations=[tolerant]))
        w.api.put(pod("hard"))
        w.api.put(pod("daemon", tolerations=[{"operator": "Exists"}]))
        for _ in range(6):
            w.api.put(lease(w.clock))
            await w.clock.advance(10)
        assert w.get("nodes", "n")["status"]["conditions"][0]["status"] == "True"  # the Lease alone keeps it alive
        await w.clock.advance(41)
        await w.until(lambda: w.get("nodes", "n")["spec"].get("taints"))
        assert w.get("nodes", "n")["status"]["conditions"][0]["status"] == "Unknown"
        await w.clock.advance(1)
        await w.until(lambda: w.get("pods", "p", "a")["status"]["conditions"][0]["status"] == "False")
        await w.until(lambda: w.get("pods", "hard", "a") is None)
        await w.clock.advance(280)
        assert w.get("pods", "p", "a")
        await w.clock.advance(30)
        await w.until(lambda: w.get("pods", "p", "a") is None)
        assert w.get("pods", "daemon", "a")
        reasons = {e["reason"] for e in w.api.all("events")}
        assert {"NodeNotReady", "TaintManagerEviction"} <= reasons

    world(body)


def test_a_node_that_becomes_ready_loses_its_taints_at_once(world):
    async def body(w):
        w.api.put(node(ready="", taints=[{"key": NOT_READY, "effect": "NoSchedule"}]))
        await w.clock.advance(1)
        assert w.get("nodes", "n")["spec"]["taints"]
        w.api.put(node(ready="True", taints=[{"key": NOT_READY, "effect": "NoSchedule"}]))
        await w.until(lambda: not w.get("nodes", "n")["spec"].get("taints"))

    world(body)


def test_a_taint_removed_in_time_saves_the_pod(world):
    waits = {"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}

    async def body(w):
        w.api.put(node(taints=[{"key": "k", "effect": "NoExecute"}]))
        w.api.put(pod("p", tolerations=[waits]))
        await w.clock.advance(30)
        w.api.put(lease(w.clock))
        w.api.put(node())
        await w.clock.advance(35)
        assert w.get("pods", "p", "a")

    world(body)


def test_pods_of_a_vanished_node_are_collected_after_quarantine(world):
    async def body(w):
        w.api.put(node())
        w.api.put(pod("p"))
        await w.clock.advance(1)
        await w.client.delete(NODES, "n")
        await w.clock.advance(30)
        assert w.get("pods", "p", "a")
        await w.clock.advance(15)
        await w.until(lambda: w.get("pods", "p", "a") is None)

    world(body)


def test_pods_of_a_node_that_comes_back_stay(world):
    async def body(w):
        w.api.put(node())
        w.api.put(pod("p"))
        await w.client.delete(NODES, "n")
        await w.clock.advance(20)
        w.api.put(node())
        await w.clock.advance(35)
        assert w.get("pods", "p", "a")

    world(body)


def test_only_the_oldest_ended_pods_beyond_the_threshold_go():
    async def main():
        clock = FakeClock()
        api = FakeApi(clock)
        context = ControllerContext(lambda name: api.client(), Informers(api.client(), clock), clock)
        controller = pod_gc_controller(context, threshold=3)
        api.put(node())
        for i in range(5):
            made = pod(f"p{i}", phase="Succeeded")
            made["metadata"]["creationTimestamp"] = f"2023-01-0{i + 1}T00:00:00Z"
            api.put(made)
        api.put(pod("running"))
        context.informers.start()
        controller.start()
        await clock.advance(30)
        assert sorted(p["metadata"]["name"] for p in api.all("pods")) == ["p2", "p3", "p4", "running"]
        await controller.stop()
        await context.informers.close()

    asyncio.run(main())
