"""A kubelet on a fake API and a fake runtime, in a temporary directory; mounts are remembered, not made."""

import asyncio
import time

import pytest

from kogia.client.fake import FakeApi
from kogia.cri.fake import FakeRuntime
from kogia.kubelet.config import KubeletConfig
from kogia.kubelet.kubelet import start_kubelet


class FakeMounts:
    def __init__(self):
        self.points = {}

    def tmpfs(self, target, *, size_bytes=0, mode="0777"):
        self.points[target] = ("tmpfs", size_bytes)

    def bind(self, source, target):
        self.points[target] = ("bind", source)

    def unmount(self, target):
        self.points.pop(target, None)

    def mounted(self, below):
        return [p for p in self.points if p == below or below in p.parents]


def make_pod(name="web", *, uid=None, containers=None, **spec):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": uid or f"uid-{name}", "generation": 1, "labels": {"app": name}},
        "spec": {
            "nodeName": "node1",
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "containers": containers or [{"name": "main", "image": "nginx:1", "imagePullPolicy": "IfNotPresent"}],
            **spec,
        },
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    }


class World:
    """`async with world:` starts the kubelet; `await until(fn)` waits for something to be true."""

    def __init__(self, tmp_path, **config):
        self.api = FakeApi(graceful_pods=True)
        self.runtime = FakeRuntime(images=("nginx:1", "busybox:1"))
        self.mounts = FakeMounts()
        self.config = KubeletConfig(
            node_name="node1", root_dir=str(tmp_path / "kubelet"), pod_log_dir=str(tmp_path / "logs"), node_ip="10.0.0.1", serve=False,
            host_resolv_conf=str(tmp_path / "none"), **config,
        )
        self.kubelet = None

    async def start(self):
        self.kubelet = await start_kubelet(self.config, self.api.client(), self.runtime, self.runtime, mounts=self.mounts)

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *_):
        await self.kubelet.close()
        leftover = [t.get_name() for t in asyncio.all_tasks() if t is not asyncio.current_task() and "kubelet" in t.get_name()]
        assert not leftover

    def pod(self, name="web"):
        return self.api.objects.get(("", "pods"), {}).get(f"default/{name}")

    def status(self, name="web"):
        return (self.pod(name) or {}).get("status") or {}

    def ready(self, name="web"):
        return any(c["type"] == "Ready" and c["status"] == "True" for c in self.status(name).get("conditions") or [])

    def events(self):
        return [(e["reason"], e["message"]) for e in self.api.all("events")]

    def running(self):
        return [c for c in self.runtime.containers.values() if c.status.state.name == "CONTAINER_RUNNING"]

    async def until(self, condition, timeout_s=5.0):
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end, ("timed out", self.status(), self.events())
            await asyncio.sleep(0.002)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)
