"""What the unit tests show against the fake holds against the real registry, with real authorization."""

import asyncio
import time

from kogia.api.status import StatusError
from kogia.base.clock import rfc3339
from kogia.client.interface import Resource
from kogia.controllers.context import CONFIG_MAPS, NAMESPACES, NODES, PODS, SERVICE_ACCOUNTS

EVENTS = Resource("", "v1", "events")
DEPLOYMENTS = Resource("apps", "v1", "deployments")
CONTAINER = {"name": "c", "image": "busybox"}


def node(name, *, ready="True", cpu="4"):
    return {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {
            "capacity": {"cpu": cpu, "memory": "8Gi", "pods": "110"}, "allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": ready, "lastHeartbeatTime": rfc3339(time.time()), "lastTransitionTime": rfc3339(time.time())}],
        },
    }


def pod(name, cpu="100m", **spec):
    container = {**CONTAINER, "resources": {"requests": {"cpu": cpu}}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": {"containers": [container], **spec}}


async def gone(client, name):
    try:
        await client.get(NAMESPACES, name)
    except StatusError as error:
        return error.code == 404
    return False


async def exists(client, resource, name, namespace=""):
    try:
        return await client.get(resource, name, namespace)
    except StatusError as error:
        assert error.code == 404
        return None


def test_default_objects(cluster):
    async def body(c):
        await c.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
        await c.until(lambda: exists(c.client, SERVICE_ACCOUNTS, "default", "team"))
        bundle = await c.until(lambda: exists(c.client, CONFIG_MAPS, "kube-root-ca.crt", "team"))
        assert bundle["data"] == {"ca.crt": "PEM"}
        await c.client.patch(CONFIG_MAPS, "kube-root-ca.crt", {"data": {"ca.crt": "forged"}}, "team")

        async def mended():
            return (await c.client.get(CONFIG_MAPS, "kube-root-ca.crt", "team"))["data"] == {"ca.crt": "PEM"}

        await c.until(mended)

    cluster(body)


def test_a_namespace_of_a_thousand_objects_is_gone_within_three_seconds(cluster):
    async def body(c):
        await c.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "big"}})
        for i in range(0, 980, 20):
            await asyncio.gather(*(
                c.client.create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c{n}"}}, "big") for n in range(i, i + 20)
            ))
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [CONTAINER]}}
        for n in range(20):
            await c.client.create(DEPLOYMENTS, {
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": f"d{n}"},
                "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
            }, "big")
        started = time.perf_counter()
        await c.client.delete(NAMESPACES, "big")
        await c.until(lambda: gone(c.client, "big"))
        took = time.perf_counter() - started
        print(f"namespace of 1,000 objects gone in {took:.2f} s")
        assert took < 3
        assert not (await c.client.list(CONFIG_MAPS, "big"))["items"]
        await c.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "big"}})

    cluster(body)


def test_pods_are_scheduled_and_told_so(cluster):
    async def body(c):
        await c.client.create(PODS, pod("early", cpu="3"))
        await asyncio.sleep(0.05)
        await c.client.create(NODES, node("n1"))

        async def bound(name):
            return (await c.client.get(PODS, name, "default"))["spec"].get("nodeName")

        assert await c.until(lambda: bound("early")) == "n1"
        await c.client.create(PODS, pod("large", cpu="3"))

        async def told(name, reason):
            events = await c.client.list(EVENTS, "default", field_selector=f"involvedObject.name={name},reason={reason}")
            return events["items"]

        (event,) = await c.until(lambda: told("large", "FailedScheduling"))
        assert event["message"].startswith("0/1 nodes are available: 1 Insufficient cpu. preemption: ")
        assert (await c.until(lambda: told("early", "Scheduled")))[0]["message"] == "Successfully assigned default/early to n1"

        async def condition():
            conditions = (await c.client.get(PODS, "large", "default"))["status"].get("conditions") or []
            return next((x for x in conditions if x["type"] == "PodScheduled"), None)

        assert (await c.until(condition))["reason"] == "Unschedulable"
        await c.client.delete(PODS, "early", "default", grace_period_s=0)
        assert await c.until(lambda: bound("large")) == "n1"
        times = []
        for i in range(30):
            started = time.perf_counter()
            await c.client.create(PODS, pod(f"p{i}", cpu="10m"))
            while not await bound(f"p{i}"):
                await asyncio.sleep(0)
            times.append(time.perf_counter() - started)
        print(f"create to bound: p50 {sorted(times)[15] * 1000:.2f} ms")

    cluster(body)


def test_a_not_ready_node_is_tainted_and_freed(cluster):
    async def body(c):
        await c.client.create(NODES, node("n1", ready="False"))

        async def taints():
            found = (await c.client.get(NODES, "n1")).get("spec", {}).get("taints") or []
            return sorted((t["key"], t["effect"]) for t in found)

        async def tainted():
            return len(await taints()) == 2

        await c.until(tainted)
        assert await taints() == [("node.kubernetes.io/not-ready", "NoExecute"), ("node.kubernetes.io/not-ready", "NoSchedule")]
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": rfc3339(time.time())}
        await c.client.patch(NODES, "n1", {"status": {"conditions": [ready]}}, kind="strategic", subresource="status")

        async def free():
            return not await taints()

        await c.until(free)

    cluster(body)
