"""A kubelet on a fake API and the real runtime: crun or runc, conmon, overlayfs, the default network. Needs root."""

import asyncio
import contextlib
import os
import time
from pathlib import Path

import pytest

from kogia.client.fake import FakeApi
from kogia.kubelet.config import KubeletConfig
from kogia.kubelet.kubelet import start_kubelet

NAME = "kubelet-it"
IMAGE = "localhost/kubelet-it:1"


def make_pod(name="web", *, containers=None, **spec):
    main = {"name": "main", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["sleep", "1000"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", "generation": 1, "labels": {"app": name}},
        "spec": {
            "nodeName": "node1",
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 1,
            "containers": [{**main, **c} for c in containers or [{}]],
            **spec,
        },
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    }


class RealWorld:
    def __init__(self, tmp_path: Path):
        from kogia.runtime.config import RuntimeConfig

        self.api = FakeApi(graceful_pods=True)
        self.runtime_config = RuntimeConfig(
            root=tmp_path / "runtime", state_dir=Path("/run/kogia") / NAME, name=NAME, pod_cidr="10.199.7.0/24", service_cidr="10.198.7.0/24"
        )
        self.images_dir = tmp_path / "images"
        self.config = KubeletConfig(
            node_name="node1", root_dir=str(tmp_path / "kubelet"), pod_log_dir=str(tmp_path / "logs"), node_ip="127.0.0.1",
            bind_address="127.0.0.1", port=0, cgroup_root=self.runtime_config.cgroup_root,
        )
        self.kubelet = None

    async def start(self):
        from kogia.runtime.images.build import RunConfig, build_rootfs, busybox
        from kogia.runtime.images.config import Registries
        from kogia.runtime.images.service import Images
        from kogia.runtime.images.store import ImageStore
        from kogia.runtime.service import open_runtime

        store = ImageStore(self.images_dir)
        run = RunConfig(cmd=["sh"], env=["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"])
        build_rootfs(store, IMAGE, files=busybox(), run=run)
        self.runtime = await open_runtime(self.runtime_config, store)
        self.images = Images(store, Registries(self.images_dir / "none.yaml"))
        self.kubelet = await start_kubelet(self.config, self.api.client(), self.runtime, self.images)

    async def stop(self):
        if self.kubelet is not None:
            await self.kubelet.close()
            await self.runtime.close()
            self.kubelet = None

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *_):
        await self.stop()

    def pod(self, name="web"):
        return self.api.objects.get(("", "pods"), {}).get(f"default/{name}")

    def status(self, name="web"):
        return (self.pod(name) or {}).get("status") or {}

    def ready(self, name="web"):
        return any(c["type"] == "Ready" and c["status"] == "True" for c in self.status(name).get("conditions") or [])

    def events(self):
        return [(e["reason"], e["message"]) for e in self.api.all("events")]

    async def until(self, condition, timeout_s=20.0):
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end, ("timed out", [p.get("status") for p in self.api.all("pods")], self.events())
            await asyncio.sleep(0.002)


async def _reset(world):
    from kogia.kubelet.volumes import unmount_all
    from kogia.runtime.reset import reset

    await reset(world.runtime_config)
    unmount_all(Path(world.config.root_dir))


@pytest.fixture
def world(tmp_path):
    if os.geteuid() != 0:
        pytest.fail("needs root")
    made = RealWorld(tmp_path)
    yield made
    with contextlib.suppress(FileNotFoundError):
        asyncio.run(_reset(made))
