"""Probes and lifecycle hooks of real containers: what they gate, what they end, what the events say."""

import asyncio
import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("kubelet_probes_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)
make_pod = _conftest.make_pod

QUICK = {"periodSeconds": 1, "failureThreshold": 1}
HTTPD = {"command": ["sh", "-c", "mkdir /www; touch /www/up; exec httpd -f -p 8080 -h /www"], "ports": [{"name": "web", "containerPort": 8080}]}


def pods():
    from kogia.kubelet.status_writer import PODS

    return PODS


def entry(world, pod):
    return world.status(pod)["containerStatuses"][0]


def reasons(world, reason):
    return [message for found, message in world.events() if found == reason]


async def execute(world, pod, *command):
    container_id = entry(world, pod)["containerID"].rpartition("//")[2]
    return await world.runtime.exec_sync(container_id, list(command), 5)


def test_probes_gate_and_restart_real_containers(world):
    async def go():
        async with world:
            http = {"httpGet": {"path": "/up", "port": "web"}, **QUICK}
            world.api.put(make_pod("web", containers=[{**HTTPD, "readinessProbe": http, "livenessProbe": {"tcpSocket": {"port": "web"}, "periodSeconds": 1}}]))
            startup = {"exec": {"command": ["test", "-e", "/tmp/started"]}, "periodSeconds": 1, "failureThreshold": 30}
            never = {"exec": {"command": ["false"]}, **QUICK}
            world.api.put(make_pod("slow", containers=[{"startupProbe": startup, "livenessProbe": never}]))
            await world.until(lambda: world.ready("web"))
            await execute(world, "web", "rm", "/www/up")
            await world.until(lambda: not world.ready("web"))
            await world.until(lambda: "Readiness probe failed: HTTP probe failed with statuscode: 404" in reasons(world, "Unhealthy"))
            assert entry(world, "web")["restartCount"] == 0
            await execute(world, "web", "touch", "/www/up")
            await world.until(lambda: world.ready("web"))
            await world.until(lambda: any(m.startswith("Startup probe failed") for m in reasons(world, "Unhealthy")))
            slow = entry(world, "slow")
            assert not slow["started"] and not slow["ready"] and slow["restartCount"] == 0
            assert "Liveness probe failed: " not in reasons(world, "Unhealthy"), "of `false`, which waits for the startup probe"
            await execute(world, "slow", "touch", "/tmp/started")
            await world.until(lambda: "Container main failed liveness probe, will be restarted" in reasons(world, "Killing"))
            await world.until(lambda: entry(world, "slow")["restartCount"] >= 1)
            await world.stop()  # a new kubelet believes what the old one had found: nothing flaps
            await world.start()
            await asyncio.sleep(0.3)
            assert world.ready("web")
            for name in ("web", "slow"):
                await world.kubelet.client.delete(pods(), name, "default")
            await world.until(lambda: not world.kubelet.workers)

    asyncio.run(go())


def test_hooks_of_real_containers(world):
    async def go():
        async with world:
            data = [{"name": "out", "hostPath": {"path": str(Path(world.config.root_dir).parent / "out"), "type": "DirectoryOrCreate"}}]
            mount = [{"name": "out", "mountPath": "/out"}]
            write = lambda word: {"exec": {"command": ["sh", "-c", f"echo {word} >> /out/log"]}}  # noqa: E731
            main = {"volumeMounts": mount, "command": ["sh", "-c", "trap 'echo signal >> /out/log; exit 0' TERM; while :; do sleep 0.1; done"]}
            world.api.put(make_pod("good", volumes=data, terminationGracePeriodSeconds=5, containers=[
                {**main, "lifecycle": {"postStart": write("started"), "preStop": write("stopping")}}]))
            world.api.put(make_pod("http", terminationGracePeriodSeconds=1, containers=[
                {**HTTPD, "lifecycle": {"postStart": {"exec": {"command": ["sleep", "0.3"]}}, "preStop": {"httpGet": {"path": "/bye", "port": "web"}}}}]))
            world.api.put(make_pod("bad", containers=[{"lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", "echo pa55word; exit 3"]}}}}]))
            world.api.put(make_pod("stuck", containers=[{"lifecycle": {"postStart": {"exec": {"command": ["sleep", "1000"]}}}}]))
            world.api.put(make_pod("broken", containers=[{"lifecycle": {"preStop": {"httpGet": {"path": "/", "port": 1}}}}]))
            await world.until(lambda: all(world.ready(name) for name in ("good", "http", "broken")))
            await world.until(lambda: reasons(world, "FailedPostStartHook") == ["PostStartHook failed"])
            await world.until(lambda: entry(world, "bad")["restartCount"] >= 1 or "terminated" in str(entry(world, "bad")))
            assert "FailedPostStartHook" in reasons(world, "Killing") and "pa55word" not in str(world.events())
            for name in ("good", "http", "broken", "bad", "stuck"):
                await world.kubelet.client.delete(pods(), name, "default")
            await world.until(lambda: not world.kubelet.workers, 15)
            log = (Path(world.config.root_dir).parent / "out/log").read_text().split()
            assert log == ["started", "stopping", "signal"]
            assert reasons(world, "FailedPreStopHook") == ["PreStopHook failed"], "only of the one that nobody answers"

    asyncio.run(go())
