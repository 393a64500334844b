"""A Pod bound directly to a node it does not fit on is refused, in Kubernetes' words; one the node has taken never is."""

import asyncio
import importlib.util
from pathlib import Path

import pytest

from kogia.kubelet.admission import PORTS, refusal

_spec = importlib.util.spec_from_file_location("kubelet_admission_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)
make_pod = _conftest.make_pod

NODE = {"cpu": "4", "memory": "8Gi", "pods": "3", "ephemeral-storage": "10Gi"}


def pod(name="a", *, ports=(), init=(), **amounts):
    asked = {"requests": {n.replace("_", "-"): v for n, v in amounts.items()}}
    main = {"name": "main", "image": "nginx:1", "imagePullPolicy": "IfNotPresent", "resources": asked, "ports": list(ports)}
    return make_pod(name, containers=[main], initContainers=list(init))


@pytest.mark.parametrize(
    "asks,others,reason,message",
    [
        ({"cpu": "5"}, [], "OutOfcpu", "cpu, requested: 5000, used: 0, capacity: 4000"),
        ({"cpu": "150m"}, [{"cpu": "3900m"}], "OutOfcpu", "cpu, requested: 150, used: 3900, capacity: 4000"),
        ({"memory": "5Gi"}, [{"memory": "4Gi"}], "OutOfmemory", "memory, requested: 5368709120, used: 4294967296, capacity: 8589934592"),
        ({"ephemeral_storage": "11Gi"}, [], "OutOfephemeral-storage", "ephemeral-storage, requested: 11811160064, used: 0, capacity: 10737418240"),
        ({}, [{}, {}, {}], "OutOfpods", "pods, requested: 1, used: 3, capacity: 3"),
        ({"cpu": "9"}, [{}, {}, {}], "OutOfpods", "pods, requested: 1, used: 3, capacity: 3"),
        ({"cpu": "9", "memory": "9Gi"}, [], "OutOfcpu", "cpu, requested: 9000, used: 0, capacity: 4000"),
    ],
)
def test_what_does_not_fit_is_told(asks, others, reason, message):
    assert refusal(pod(**asks), [pod(**o) for o in others], NODE) == (reason, f"Node didn't have enough resource: {message}")


@pytest.mark.parametrize("asks,others", [({"cpu": "4"}, []), ({"cpu": "100m"}, [{"cpu": "3900m"}]), ({}, [{"cpu": "9", "memory": "99Gi"}])])
def test_what_fits_is_taken(asks, others):
    assert refusal(pod(**asks), [pod(**o) for o in others], NODE) is None


@pytest.mark.parametrize(
    "mine,other,clash",
    [
        ({}, {}, True), ({"hostIP": "127.0.0.1"}, {}, True), ({"hostIP": "127.0.0.1"}, {"hostIP": "127.0.0.2"}, False),
        ({"protocol": "UDP"}, {}, False), ({"hostPort": 81}, {}, False), ({"hostPort": 0}, {"hostPort": 0}, False),
    ],
)
def test_ports_of_the_host(mine, other, clash):
    base = {"containerPort": 80, "hostPort": 80, "protocol": "TCP"}
    found = refusal(pod(ports=[{**base, **mine}]), [pod(ports=[{**base, **other}])], NODE)
    assert found == (("NodePorts", PORTS) if clash else None)


def test_only_sidecars_among_init_containers_hold_ports():
    port = [{"containerPort": 80, "hostPort": 80}]
    other = pod(ports=port)
    assert refusal(pod(init=[{"name": "i", "ports": port}]), [other], NODE) is None
    assert refusal(pod(init=[{"name": "i", "ports": port, "restartPolicy": "Always"}]), [other], NODE) == ("NodePorts", PORTS)


def test_a_refused_pod_fails_and_costs_nothing(tmp_path):
    async def go():
        world = _conftest.World(tmp_path, max_pods=2)
        async with world:
            world.api.put(pod("big", cpu="10000"))
            await world.until(lambda: world.status("big").get("phase") == "Failed")
            status = world.status("big")
            assert status["reason"] == "OutOfcpu" and not status.get("containerStatuses")
            assert status["message"].startswith("Pod was rejected: Node didn't have enough resource: cpu, requested: 10000000, used: 0, capacity: ")
            await world.until(lambda: ("OutOfcpu", status["message"].removeprefix("Pod was rejected: ")) in world.events())
            world.api.put(pod("one"))
            world.api.put(pod("two"))
            await world.until(lambda: world.ready("one") and world.ready("two"))  # the refused one holds no place
            world.api.put(pod("three"))
            await world.until(lambda: world.status("three").get("reason") == "OutOfpods")
            assert len(world.runtime.sandboxes) == 2
            await world.kubelet.client.delete(_pods(), "big", "default")
            await world.until(lambda: world.pod("big") is None)

    asyncio.run(go())


def test_a_pod_that_takes_the_place_of_a_deleted_one_is_not_refused(tmp_path):
    async def go():
        world = _conftest.World(tmp_path, max_pods=1)
        async with world:
            for turn in range(5):
                world.api.put(make_pod("web", uid=f"uid-{turn}"))
                await world.until(world.ready)
                await world.kubelet.client.delete(_pods(), "web", "default")
                await world.until(lambda: world.pod() is None)
            assert not any("OutOf" in reason for reason, _ in world.events())

    asyncio.run(go())


@pytest.mark.parametrize("reboot", [False, True])
def test_a_pod_once_taken_is_never_refused(tmp_path, reboot):
    async def go():
        world = _conftest.World(tmp_path, max_pods=2)
        async with world:
            for name in ("one", "two"):
                world.api.put(pod(name))
            await world.until(lambda: world.ready("one") and world.ready("two"))
        if reboot:
            world.runtime = type(world.runtime)(images=("nginx:1", "busybox:1"))
        object.__setattr__(world.config, "max_pods", 1)
        async with world:
            await world.kubelet.wait_ready(5)
            await world.until(lambda: len(world.running()) == 2)
            await world.until(lambda: world.ready("one") and world.ready("two"))
            assert not any("OutOf" in reason for reason, _ in world.events())

    asyncio.run(go())


def _pods():
    from kogia.kubelet.status_writer import PODS

    return PODS
