"""The embedded runtime behind its socket: a Pod made, entered, read, measured and removed through gRPC and `kogia crictl`. Needs root."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from kogia.cri import types as t
from kogia.runtime.config import RuntimeConfig

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
NAME = "images-it"
IMAGE = "localhost/images-it:1"


async def crictl(folder, *words, stdin=None):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kogia.main", "crictl", "--data-dir", str(folder), *words,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(stdin), 30)
    return process.returncode, out.decode(), err.decode()


async def scenario(tmp_path, config, body):
    from kogia.cri.grpc.client import connect
    from kogia.cri.grpc.server import serve
    from kogia.runtime.images.build import RunConfig, build_rootfs, busybox
    from kogia.runtime.images.service import open_images
    from kogia.runtime.service import open_runtime

    images = open_images(tmp_path / "node/images", registries_file=tmp_path / "none")
    build_rootfs(images.store, IMAGE, files=busybox(), run=RunConfig(cmd=["sh"]))
    runtime = await open_runtime(config, images.store)
    server = await serve(runtime, images, tmp_path / "cri.sock")
    client = await connect(f"unix://{tmp_path}/cri.sock")
    try:
        await body(client)
    finally:
        for sandbox in await client.list_pod_sandbox():
            await client.remove_pod_sandbox(sandbox.id)
        await client.close()
        await server.close()
        await runtime.close()
        await images.close()


def test_a_pod_through_the_socket(tmp_path):
    from kogia.runtime.reset import reset

    config = RuntimeConfig(
        root=tmp_path / "runtime", state_dir=Path("/run/kogia") / NAME, name=NAME, pod_cidr="10.199.17.0/24", service_cidr="10.198.17.0/24"
    )

    async def body(client):
        meta = t.PodSandboxMetadata(name="web", uid="u1", namespace="default")
        sandbox_config = t.PodSandboxConfig(metadata=meta, hostname="web", log_directory=str(tmp_path / "logs"), linux=t.LinuxPodSandboxConfig())
        sandbox = await client.run_pod_sandbox(sandbox_config)
        made = t.ContainerConfig(
            metadata=t.ContainerMetadata(name="main"), image=t.ImageSpec(image=IMAGE), log_path="main.log",
            command=["sh", "-c", "echo started; exec sleep 1000"],
        )  # fmt: skip
        container = await client.create_container(sandbox, made, sandbox_config)
        await client.start_container(container)
        code, out, err = await crictl(tmp_path, "ps")
        assert code == 0 and out.splitlines()[1].split()[:2] == [container[:13], IMAGE], err
        assert (await crictl(tmp_path, "exec", container[:10], "sh", "-c", "hostname; echo oops >&2; exit 5")) == (5, "web\n", "oops\n")
        assert (await crictl(tmp_path, "exec", "-i", container, "wc", "-c", stdin=b"x" * 300_000))[:2] == (0, "300000\n")
        assert (await crictl(tmp_path, "exec", "-s", container, "cat", "/etc/hostname"))[0] == 0
        code, out, _ = await crictl(tmp_path, "exec", "-t", container, "sh", "-c", "test -t 1 && echo terminal")
        assert (code, out) == (0, "terminal\r\n")
        for _ in range(50):
            if (await crictl(tmp_path, "logs", container))[1] == "started\n":
                break
        else:
            pytest.fail("no log")
        shown = json.loads((await crictl(tmp_path, "inspect", container))[1])
        assert shown["info"]["name"] == "k8s_main_web_default_u1_0" and shown["info"]["pid"] > 1
        assert shown["info"]["runtimeSpec"]["process"]["args"][:2] == ["sh", "-c"]
        assert json.loads((await crictl(tmp_path, "inspectp", sandbox))[1])["info"]["name"] == "k8s_POD_web_default_u1_0"
        code, out, err = await crictl(tmp_path, "stats", "--seconds", "0.1")
        assert code == 0 and out.splitlines()[1].split()[1] == "main", err
        listener = await client.exec(container, ["sh", "-c", "echo pong | nc -l -p 7777 127.0.0.1"], tty=False, stdin=False)
        answer = None
        for _ in range(50):
            forward = await client.port_forward(sandbox, 7777)
            try:
                answer = await forward.read()
            except Exception:
                answer = None
            await forward.close()
            if answer is not None:
                break
            await asyncio.sleep(0.1)
        assert answer == (1, b"pong\n")
        await listener.close()
        assert (await crictl(tmp_path, "rmi", IMAGE))[1] == f"Deleted: {IMAGE}\n"
        assert (await client.exec_sync(container, ["echo", "layers", "stay"], 10)).stdout == b"layers stay\n"
        assert (await crictl(tmp_path, "stop", "--timeout", "1", container[:12]))[0] == 0
        assert (await client.container_status(container)).exit_code in (137, 143)
        assert (await crictl(tmp_path, "rm", container))[0] == 0
        assert os.listdir(tmp_path / "node/images/layers") == [], "the last container let the layers go"
        assert (await crictl(tmp_path, "rmp", "-f", sandbox[:12]))[0] == 0
        assert (await crictl(tmp_path, "pods", "-q"))[1] == ""

    try:
        asyncio.run(scenario(tmp_path, config, body))
    finally:
        asyncio.run(reset(config)) if asyncio.iscoroutinefunction(reset) else reset(config)
