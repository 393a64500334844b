"""The whole kubelet on fakes: a Pod's road from the API to Running and away again, restarts, adoption, orphans."""

import asyncio
import importlib.util
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("kubelet_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)
make_pod, World = _conftest.make_pod, _conftest.World


def test_a_pod_becomes_ready_and_its_events_are_kubernetes(world):
    async def go():
        async with world:
            world.api.put(make_pod(volumes=[{"name": "data", "emptyDir": {}}]))
            await world.until(world.ready)
            status = world.status()
            assert status["phase"] == "Running" and status["hostIP"] == "10.0.0.1" and status["podIP"]
            assert [c["type"] for c in status["conditions"]] == [
                "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled",
            ]
            (container,) = status["containerStatuses"]
            assert container["ready"] and container["started"] and container["restartCount"] == 0
            assert container["containerID"].startswith("kogia://") and "running" in container["state"]
            await world.until(lambda: len([e for e in world.events() if e[0] in ("Pulled", "Created", "Started")]) == 3)
            assert ("Created", "Created container: main") in world.events()
            assert ("Started", "Started container main") in world.events()
            assert ("Pulled", 'Container image "nginx:1" already present on machine and can be accessed by the pod') in world.events()
            patches = [p for m, p in world.api.log if m == "PATCH" and "/pods/" in p]
            assert len(patches) <= 4

    asyncio.run(go())


def test_deletion_is_graceful_and_leaves_nothing(world):
    async def go():
        async with world:
            world.api.put(make_pod())
            await world.until(world.ready)
            (running,) = world.running()
            await world.kubelet.client.delete(_conftest_pods(), "web", "default")
            await world.until(lambda: world.pod() is None)
            assert running.stop_timeouts and running.stop_timeouts[0] == 30
            await world.until(lambda: not world.kubelet.workers)
            assert not world.runtime.containers and not world.runtime.sandboxes
            assert not list(Path(world.config.root_dir).glob("pods/*")) and not list(Path(world.config.pod_log_dir).glob("*"))
            assert ("Killing", "Stopping container main") in world.events()

    asyncio.run(go())


def _conftest_pods():
    from kogia.kubelet.status_writer import PODS

    return PODS


def test_force_deletion_kills_at_once(world):
    async def go():
        async with world:
            world.api.put(make_pod())
            await world.until(world.ready)
            await world.kubelet.client.delete(_conftest_pods(), "web", "default", grace_period_s=0)
            await world.until(lambda: not world.runtime.sandboxes and not world.kubelet.workers)

    asyncio.run(go())


def test_an_exit_shows_completed_then_running_with_a_restart(world):
    seen = []

    async def go():
        async with world:
            world.api.put(make_pod())
            await world.until(world.ready)
            stream = world.kubelet.client.watch(_conftest_pods(), "default", resource_version=str(world.api.revision))
            world.runtime.finish(world.running()[0].status.id, 0)
            await world.until(lambda: world.status()["containerStatuses"][0]["restartCount"] == 1 and world.ready())
            async for event in stream:
                state = event.object["status"]["containerStatuses"][0]
                seen.append(next(iter(state["state"])))
                if state["restartCount"] == 1 and state["ready"]:
                    last = state["lastState"]["terminated"]
                    break
            assert "terminated" in seen and seen[-1] == "running" and seen.index("terminated") < len(seen) - 1
            assert last["reason"] == "Completed" and last["exitCode"] == 0 and last["startedAt"] and last["finishedAt"]

    asyncio.run(go())


def test_a_crash_loop_waits_and_says_so(world):
    async def go():
        async with world:
            world.runtime.on_start = lambda c: world.runtime.finish(c.status.id, 1)
            world.api.put(make_pod())
            await world.until(lambda: "CrashLoopBackOff" in str(world.status()))
            (container,) = world.status()["containerStatuses"]
            assert container["restartCount"] == 1
            assert container["state"]["waiting"]["message"] == (
                "back-off 10s restarting failed container=main pod=web_default(uid-web)"
            )
            assert container["lastState"]["terminated"]["exitCode"] == 1
            assert world.status()["phase"] == "Running" and not world.ready()
            await world.until(lambda: any(e[0] == "BackOff" for e in world.events()))

    asyncio.run(go())


@pytest.mark.parametrize("code,phase", [(0, "Succeeded"), (3, "Failed")])
def test_restart_policy_never(world, code, phase):
    async def go():
        async with world:
            world.runtime.on_start = lambda c: world.runtime.finish(c.status.id, code)
            world.api.put(make_pod(restartPolicy="Never"))
            await world.until(lambda: world.status().get("phase") == phase)
            ready = next(c for c in world.status()["conditions"] if c["type"] == "Ready")
            assert ready["reason"] == ("PodCompleted" if code == 0 else "PodFailed")
            await world.until(lambda: all(s.status.state.name == "SANDBOX_NOTREADY" for s in world.runtime.sandboxes.values()))
            assert len(world.runtime.containers) == 1

    asyncio.run(go())


def test_an_image_that_cannot_be_pulled(world):
    async def go():
        async with world:
            world.api.put(make_pod(containers=[{"name": "main", "image": "nowhere:1"}]))
            await world.until(lambda: "ImagePullBackOff" in str(world.status()))
            assert world.status()["phase"] == "Pending"
            await world.until(lambda: ("Failed", "Error: ImagePullBackOff") in world.events())
            reasons = [e[0] for e in world.events()]
            assert "Pulling" in reasons and "BackOff" in reasons
            assert ("Failed", "Error: ErrImagePull") in world.events()

    asyncio.run(go())


def test_init_containers_run_in_order_before_the_others(world):
    async def go():
        started = []

        def on_start(container):
            started.append(container.config.metadata.name)
            if container.config.metadata.name.startswith("init"):
                world.runtime.finish(container.status.id, 0)

        world.runtime.on_start = on_start
        image = {"image": "busybox:1"}
        async with world:
            world.api.put(make_pod(initContainers=[{"name": "init1", **image}, {"name": "init2", **image}]))
            await world.until(world.ready)
            assert started == ["init1", "init2", "main"]
            assert [s["state"]["terminated"]["reason"] for s in world.status()["initContainerStatuses"]] == ["Completed"] * 2

    asyncio.run(go())


@pytest.mark.parametrize("how", ["killed", "removed"])
def test_a_lost_sandbox_comes_back(world, how):
    async def go():
        async with world:
            world.api.put(make_pod())
            await world.until(world.ready)
            (sandbox,) = world.runtime.sandboxes
            if how == "killed":
                await world.runtime.stop_pod_sandbox(sandbox)
            else:
                await world.runtime.remove_pod_sandbox(sandbox)
            await world.until(lambda: world.status()["containerStatuses"][0]["restartCount"] == 1 and world.ready())
            assert world.status()["phase"] == "Running"
            await world.until(lambda: ("SandboxChanged", "Pod sandbox changed, it will be killed and re-created.") in world.events())

    asyncio.run(go())


def test_a_removed_container_comes_back_in_the_same_sandbox(world):
    async def go():
        async with world:
            world.api.put(make_pod())
            await world.until(world.ready)
            before = world.status()
            await world.runtime.remove_container(world.running()[0].status.id)
            await world.until(lambda: world.status()["containerStatuses"][0]["containerID"] != before["containerStatuses"][0]["containerID"] and world.ready())
            assert world.status()["podIP"] == before["podIP"] and len(world.runtime.sandboxes) == 1

    asyncio.run(go())


def test_adoption_after_a_restart_touches_nothing(world):
    async def go():
        async with world:
            world.api.put(make_pod())
            await world.until(world.ready)
        before = {c.status.id for c in world.running()}
        world.runtime.calls.clear()
        async with world:
            await asyncio.sleep(0.1)
            assert {c.status.id for c in world.running()} == before and len(before) == 1
            assert not world.runtime.called("stop_container") and not world.runtime.called("run_pod_sandbox")
            assert world.ready() and world.status()["containerStatuses"][0]["restartCount"] == 0

    asyncio.run(go())


def test_orphans_are_ended_when_the_pod_went_meanwhile(world):
    async def go():
        async with world:
            world.api.put(make_pod())
            await world.until(world.ready)
        world.api.objects[("", "pods")].clear()
        async with world:
            await world.until(lambda: not world.runtime.sandboxes and not world.runtime.containers)

    asyncio.run(go())


def test_a_missing_config_map_holds_the_container_until_it_appears(world):
    async def go():
        async with world:
            env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}}]
            world.api.put(make_pod(containers=[{"name": "main", "image": "nginx:1", "env": env}]))
            await world.until(lambda: "CreateContainerConfigError" in str(world.status()))
            waiting = world.status()["containerStatuses"][0]["state"]["waiting"]
            assert waiting["message"] == 'configmap "settings" not found'
            world.api.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "default"}, "data": {"a": "1"}})
            await world.until(world.ready)
            assert ("A", "1") in [(e.key, e.value) for e in world.running()[0].config.envs]

    asyncio.run(go())


def test_the_node_registers_and_renews_its_lease(world):
    async def go():
        async with world:
            await world.until(lambda: world.api.all("leases", "coordination.k8s.io"))
            (node,) = world.api.all("nodes")
            assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "node1"
            conditions = {c["type"]: c["status"] for c in node["status"]["conditions"]}
            assert conditions == {"MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False", "Ready": "True"}
            assert node["status"]["addresses"][0] == {"type": "InternalIP", "address": "10.0.0.1"}

    asyncio.run(go())
