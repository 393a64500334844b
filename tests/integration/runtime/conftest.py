"""A runtime of one's own per test: its directories, a busybox root file system as its only image, and a leak check at the end."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kogia.cri import types as t
from kogia.runtime.config import RuntimeConfig
from kogia.runtime.reset import reset
from kogia.runtime.service import EmbeddedRuntime, open_runtime

sys.path.insert(0, str(Path(__file__).parents[1]))
from support import leaks

APPLETS = (
    "sh sleep echo cat ls id env ip ps kill head dd seq hostname mount df nc stty true false grep touch wc readlink stat pwd test rm mkdir"
)


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rootfs")
    for name in ("bin", "etc", "proc", "sys", "dev", "tmp", "root", "home/ann"):
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for name in APPLETS.split():
        os.symlink("busybox", root / "bin" / name)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nann:x:1000:\nstaff:x:50:ann\n")
    return root


class FakeImage:
    id = "sha256:" + "b" * 64
    repo_digest = "registry.example/busybox@sha256:" + "c" * 64

    def __init__(self, rootfs: Path, config: dict[str, Any]) -> None:
        self.layer_dirs, self.config = [str(rootfs)], config


class FakeImages:
    """An image store with one image under any name but `missing`."""

    def __init__(self, rootfs: Path, config: dict[str, Any] | None = None) -> None:
        self.image = FakeImage(rootfs, config or {"Cmd": ["sh"], "Env": ["FROM_IMAGE=yes"]})
        self.held: dict[str, str] = {}

    def resolve(self, ref: str) -> FakeImage | None:
        return None if ref == "missing" else self.image

    def hold(self, image_id: str, owner: str) -> None:
        self.held[owner] = image_id

    def release(self, owner: str) -> None:
        self.held.pop(owner, None)

    def owners(self) -> dict[str, str]:
        return dict(self.held)


class Lab:
    """Configuration, images and short words for the tests."""

    def __init__(self, base: Path, rootfs: Path, handler: str) -> None:
        self.base, self.images = base, FakeImages(rootfs)
        self.config = RuntimeConfig(
            root=base / "root",
            state_dir=base / "run",
            name="ctestcontainers",
            pod_cidr="10.77.9.0/24",
            service_cidr="10.78.0.0/16",
            default_handler=handler,
            ready_namespaces=2,
        )

    def pod(self, name: str = "pod", **more: Any) -> t.PodSandboxConfig:
        return t.PodSandboxConfig(
            metadata=t.PodSandboxMetadata(name=name, uid=f"uid-{name}", namespace="default"),
            hostname=name,
            log_directory=str(self.base / "logs" / name),
            dns_config=t.DNSConfig(servers=["10.78.0.10"], searches=["default.svc.cluster.local"], options=["ndots:5"]),
            **more,
        )

    def container(self, *command: str, name: str = "main", **more: Any) -> t.ContainerConfig:
        fields: dict[str, Any] = {"image": t.ImageSpec(image="busybox"), "log_path": f"{name}.log", **more}
        return t.ContainerConfig(metadata=t.ContainerMetadata(name=name), command=list(command), **fields)

    def script(self, text: str, **more: Any) -> t.ContainerConfig:
        return self.container("sh", "-c", text, **more)

    def log(self, pod: str = "pod", name: str = "main") -> str:
        """The log's text without time stamps and tags."""
        lines = (self.base / "logs" / pod / f"{name}.log").read_text().splitlines()
        return "".join(line.split(" ", 3)[3] + "\n" for line in lines)

    @asynccontextmanager
    async def open(self) -> Any:
        runtime = await open_runtime(self.config, self.images)
        try:
            yield runtime
        finally:
            await runtime.close()

    def run(self, test: Callable[[EmbeddedRuntime], Awaitable[None]]) -> None:
        """Open a runtime, run `test` on it, close it."""

        async def main() -> None:
            async with asyncio.timeout(60):
                async with self.open() as runtime:
                    await test(runtime)

        asyncio.run(main())


async def started(runtime: EmbeddedRuntime, pod: t.PodSandboxConfig, *containers: t.ContainerConfig) -> tuple[str, list[str]]:
    """A running sandbox with running containers: (sandbox id, container ids)."""
    sandbox = await runtime.run_pod_sandbox(pod)
    ids = []
    for config in containers:
        ids.append(await runtime.create_container(sandbox, config, pod))
        await runtime.start_container(ids[-1])
    return sandbox, ids


async def ended(runtime: EmbeddedRuntime, container_id: str) -> t.ContainerStatus:
    """The status once the container has exited."""
    await runtime.ctx.wait_exit(runtime.ctx.container(container_id), 20)
    return await runtime.container_status(container_id)


def crun_works() -> bool:
    from kogia.runtime import cgroups
    from kogia.runtime.oci import crun_refuses

    return shutil.which("crun") is not None and not crun_refuses(cgroups.current())


@pytest.fixture(params=["crun", "runc"])
def handler(request: pytest.FixtureRequest) -> str:
    if request.param == "crun" and not crun_works():
        pytest.skip("crun refuses this machine's cgroup layout (kogia doctor tells more)")
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


@pytest.fixture
def lab(tmp_path: Path, rootfs: Path, handler: str) -> Iterator[Lab]:
    """Both OCI runtimes in turn; leaves no trace, or the test fails."""
    lab = Lab(tmp_path, rootfs, handler)
    leaks.check(lab.config)
    try:
        yield lab
    finally:
        asyncio.run(reset(lab.config))
        leaks.check(lab.config)
        subprocess.run(["nft", "list", "tables"], check=True, stdout=subprocess.DEVNULL)
