"""Our CRI client against a runtime of another make: containerd, with everything in private directories and Pods on the host's network."""

import asyncio
import os
import shutil
import subprocess
import time

import pytest

from kogia.cri import types as t
from kogia.cri.errors import Code, CriError

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(shutil.which("containerd") is None, reason="containerd is not installed; it is optional on a machine"),
]


@pytest.fixture
def containerd(tmp_path_factory, start_registry):
    """(endpoint, image name) of a private containerd whose images come from a private registry."""
    from kogia.runtime.images.build import RunConfig, build_rootfs, busybox
    from kogia.runtime.images.store import ImageStore

    folder = tmp_path_factory.mktemp("containerd")
    host = start_registry()
    record = build_rootfs(ImageStore(folder / "store"), "localhost/demo", files=busybox(), run=RunConfig(cmd=["sleep", "1000"]))
    layout = _layout(folder / "layout", record.layer_dirs[0])
    image = f"{host}/demo:v1"
    subprocess.run(["skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", layout, f"docker://{image}"], check=True, capture_output=True)
    (folder / "config.toml").write_text(f"""
version = 2
root = "{folder}/root"
state = "{folder}/state"
[grpc]
  address = "{folder}/c.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    conf_dir = "{folder}/cni"
""")
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(["containerd", "--config", str(folder / "config.toml")], stdout=log, stderr=log)
    deadline = time.monotonic() + 30
    while not (folder / "c.sock").exists():
        assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()[-2000:]
        time.sleep(0.05)
    yield f"unix://{folder}/c.sock", image
    process.terminate()
    process.wait(10)
    subprocess.run("find /sys/fs/cgroup/*/k8s.io -depth -type d -exec rmdir {} + 2>/dev/null", shell=True, check=False)
    subprocess.run(f"grep ' {folder}' /proc/mounts | cut -d' ' -f2 | sort -r | xargs -r umount", shell=True, check=False)


def _layout(folder, rootfs):
    image = f"{folder}:v1"
    for command in (["init", "--layout", folder], ["new", "--image", image], ["unpack", "--image", image, f"{folder}-bundle"]):
        subprocess.run(["umoci", *map(str, command)], check=True, capture_output=True)
    subprocess.run(["cp", "-a", f"{rootfs}/.", f"{folder}-bundle/rootfs/"], check=True)
    subprocess.run(["umoci", "repack", "--image", image, f"{folder}-bundle"], check=True, capture_output=True)
    subprocess.run(["umoci", "config", "--image", image, "--config.entrypoint", "/bin/sleep", "--config.cmd", "1000"], check=True, capture_output=True)
    return f"oci:{image}"


def test_a_pod_on_containerd(containerd, tmp_path):
    endpoint, image = containerd

    async def go():
        from kogia.cri.grpc.client import connect

        client = await connect(endpoint)
        try:
            await body(client)
        finally:
            for sandbox in await client.list_pod_sandbox():
                await client.stop_pod_sandbox(sandbox.id)
                await client.remove_pod_sandbox(sandbox.id)
            await client.close()

    async def body(client):
        assert (await client.version()).runtime_name == "containerd"
        assert {c.type for c in (await client.status()).conditions} == {"RuntimeReady", "NetworkReady"}
        ref = await client.pull_image(t.ImageSpec(image=image))
        found = await client.image_status(t.ImageSpec(image=image))
        assert found.id == ref and found.repo_tags == [image] and found.size > 100_000
        assert await client.image_status(t.ImageSpec(image="absent:1")) is None
        options = t.NamespaceOption(network=t.NamespaceMode.NODE)
        config = t.PodSandboxConfig(
            metadata=t.PodSandboxMetadata(name="web", uid="u1", namespace="default"), log_directory=str(tmp_path), labels={"a": "b"},
            linux=t.LinuxPodSandboxConfig(security_context=t.LinuxSandboxSecurityContext(namespace_options=options)),
        )  # fmt: skip
        sandbox = await client.run_pod_sandbox(config)
        assert (await client.pod_sandbox_status(sandbox)).labels == {"a": "b"}
        made = t.ContainerConfig(
            metadata=t.ContainerMetadata(name="main"), image=t.ImageSpec(image=image), command=["sh", "-c", "echo hi; exec sleep 1000"],
            log_path="main.log", envs=[t.KeyValue(key="A", value="b")],
            linux=t.LinuxContainerConfig(security_context=t.LinuxContainerSecurityContext(namespace_options=options)),
        )  # fmt: skip
        container = await client.create_container(sandbox, made, config)
        await client.start_container(container)
        assert (await client.container_status(container)).state is t.ContainerState.CONTAINER_RUNNING
        assert [c.id for c in await client.list_containers(t.ContainerFilter(pod_sandbox_id=sandbox))] == [container]
        answer = await client.exec_sync(container, ["sh", "-c", "echo $A; echo e >&2; exit 3"], 5)
        assert (answer.stdout, answer.stderr, answer.exit_code) == (b"b\n", b"e\n", 3)
        session = await client.exec(container, ["sh", "-c", "read line; echo got $line; exit 4"], tty=False, stdin=True)
        await session.write_stdin(b"something\n")
        assert await session.read() == (1, b"got something\n")
        assert await session.wait() == 4
        await session.close()
        try:
            assert (await client.container_stats(container)).memory_usage_bytes > 0
        except CriError as error:  # containerd's own trouble where a cgroup controller is missing
            assert "unexpected metrics response" in error.message
        assert "runtimeSpec" in (await client.verbose_info(container))["info"]
        with pytest.raises(CriError) as caught:
            await client.container_status("nope")
        assert caught.value.code is Code.NOT_FOUND
        events = client.container_events()  # a containerd older than 1.7 does not have the call: then by comparing listings
        first = asyncio.ensure_future(anext(events))
        await asyncio.sleep(1.5)
        assert (tmp_path / "main.log").read_text().endswith("stdout F hi\n")
        await client.stop_container(container, 0)
        assert (await client.container_status(container)).exit_code == 137
        event = await asyncio.wait_for(first, 10)
        assert (event.container_event_type, event.container_id, event.pod_uid) == (t.ContainerEventType.CONTAINER_STOPPED_EVENT, container, "u1")
        await events.aclose()
        await client.remove_container(container)

    asyncio.run(go())
