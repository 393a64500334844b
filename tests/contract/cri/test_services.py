"""What a kubelet may rely on, in-process or across the socket."""

import asyncio

import pytest

from kogia.cri import types as t
from kogia.cri.errors import Code, CriError
from kogia.cri.fake import FakeStream


def sandbox_config(name="p", **fields):
    return t.PodSandboxConfig(metadata=t.PodSandboxMetadata(name=name, uid=f"uid-{name}", namespace="ns", attempt=1), log_directory="/logs", **fields)


def container_config(name="c", **fields):
    return t.ContainerConfig(metadata=t.ContainerMetadata(name=name), image=t.ImageSpec(image="busybox"), **fields)


async def made(runtime, *names, start=True, labels=None):
    config = sandbox_config(labels=labels or {})
    sandbox = await runtime.run_pod_sandbox(config)
    found = [sandbox]
    for name in names:
        container = await runtime.create_container(sandbox, container_config(name, labels={"name": name}), config)
        if start:
            await runtime.start_container(container)
        found.append(container)
    return found


async def fails(code, text, awaitable):
    with pytest.raises(CriError) as caught:
        await awaitable
    assert caught.value.code is code
    assert text in caught.value.message


def test_a_pod_from_run_to_remove(scenario):
    async def body(fake, runtime):
        sandbox, one, two = await made(runtime, "one", "two")
        status = await runtime.pod_sandbox_status(sandbox)
        assert status.state is t.PodSandboxState.SANDBOX_READY and status.network.ip.startswith("10.88.")
        assert status.metadata == t.PodSandboxMetadata(name="p", uid="uid-p", namespace="ns", attempt=1)
        assert (await runtime.container_status(one)).state is t.ContainerState.CONTAINER_RUNNING
        await runtime.stop_container(one, 2.5)
        stopped = await runtime.container_status(one)
        assert (stopped.state, stopped.exit_code) == (t.ContainerState.CONTAINER_EXITED, 143)
        assert stopped.finished_at >= stopped.started_at >= stopped.created_at > 1_600_000_000_000_000_000
        await runtime.stop_container(one, 0)
        await runtime.stop_pod_sandbox(sandbox)
        assert (await runtime.container_status(two)).exit_code == 137
        assert (await runtime.pod_sandbox_status(sandbox)).state is t.PodSandboxState.SANDBOX_NOTREADY
        await runtime.remove_container(one)
        await runtime.remove_pod_sandbox(sandbox)
        assert await runtime.list_containers() == [] and await runtime.list_pod_sandbox() == []
        for again in (runtime.stop_pod_sandbox(sandbox), runtime.remove_pod_sandbox(sandbox), runtime.remove_container(one)):
            await again

    scenario(body)


def test_a_config_arrives_whole(scenario):
    config = sandbox_config(
        hostname="h",
        dns_config=t.DNSConfig(servers=["10.0.0.10"], searches=["a.b"], options=["ndots:5"]),
        port_mappings=[t.PortMapping(protocol=t.Protocol.UDP, container_port=53, host_port=5353, host_ip="127.0.0.1")],
        labels={"a": "b"},
        annotations={"c": "d"},
        linux=t.LinuxPodSandboxConfig(
            cgroup_parent="/kubepods/pod1",
            security_context=t.LinuxSandboxSecurityContext(
                namespace_options=t.NamespaceOption(network=t.NamespaceMode.NODE, pid=t.NamespaceMode.POD),
                run_as_user=t.Int64Value(value=0),
                supplemental_groups=[1, 2],
                seccomp=t.SecurityProfile(profile_type=t.SecurityProfileType.Unconfined),
            ),
            sysctls={"net.x": "1"},
        ),
    )
    container = container_config(
        command=["/bin/sh"],
        args=["-c", "ünïcode"],
        envs=[t.KeyValue(key="A", value="b=c"), t.KeyValue(key="EMPTY")],
        mounts=[
            t.Mount(container_path="/x", host_path="/y", readonly=True, propagation=t.MountPropagation.PROPAGATION_HOST_TO_CONTAINER),
            t.Mount(container_path="/i", image=t.ImageSpec(image="busybox"), image_sub_path="etc"),
        ],
        devices=[t.Device(container_path="/dev/a", host_path="/dev/b", permissions="rw")],
        log_path="c/0.log",
        stdin=True,
        tty=True,
        linux=t.LinuxContainerConfig(
            resources=t.LinuxContainerResources(cpu_shares=2, memory_limit_in_bytes=1 << 40, oom_score_adj=-998, unified={"memory.high": "1"}),
            security_context=t.LinuxContainerSecurityContext(
                capabilities=t.Capability(add_capabilities=["NET_ADMIN"], drop_capabilities=["ALL"]),
                run_as_username="www",
                no_new_privs=True,
                masked_paths=["/proc/kcore"],
                apparmor=t.SecurityProfile(profile_type=t.SecurityProfileType.Localhost, localhost_ref="p"),
            ),
        ),
    )

    async def body(fake, runtime):
        sandbox = await runtime.run_pod_sandbox(config, "runc")
        await runtime.create_container(sandbox, container, config)
        assert fake.called("run_pod_sandbox") == [config]
        assert fake.called("create_container") == [container]
        assert (await runtime.pod_sandbox_status(sandbox)).runtime_handler == "runc"
        listed = (await runtime.list_containers())[0]
        assert (listed.pod_sandbox_id, listed.image.image, listed.image_ref[:26]) == (sandbox, "busybox", "docker.io/library/busybox@")
        assert (await runtime.container_status(listed.id)).mounts == container.mounts

    scenario(body)


def test_filters(scenario):
    async def body(fake, runtime):
        sandbox, one, two = await made(runtime, "one", "two", labels={"app": "x"})
        fake.finish(two, 1)

        async def ids(**fields):
            return [c.id for c in await runtime.list_containers(t.ContainerFilter(**fields))]

        assert await ids() == [one, two]
        assert await ids(state=t.ContainerState.CONTAINER_RUNNING) == [one]
        assert await ids(state=t.ContainerState.CONTAINER_CREATED) == []  # enum value 0 is a filter too
        assert await ids(label_selector={"name": "two"}) == [two]
        assert await ids(id=one[:10], pod_sandbox_id=sandbox) == [one]
        ready = t.PodSandboxFilter(state=t.PodSandboxState.SANDBOX_READY, label_selector={"app": "x"})
        assert [s.id for s in await runtime.list_pod_sandbox(ready)] == [sandbox]
        assert await runtime.list_pod_sandbox(t.PodSandboxFilter(state=t.PodSandboxState.SANDBOX_NOTREADY)) == []

    scenario(body)


def test_refusals_keep_code_and_text(scenario):
    async def body(fake, runtime):
        sandbox, one = await made(runtime, "one")
        await fails(Code.NOT_FOUND, 'could not find container "nope": not found', runtime.container_status("nope"))
        await fails(Code.NOT_FOUND, "not found", runtime.start_container("nope"))
        await fails(Code.NOT_FOUND, "not found", runtime.exec_sync("nope", ["x"]))
        await fails(Code.ALREADY_EXISTS, "is reserved for", runtime.run_pod_sandbox(sandbox_config()))
        await fails(Code.FAILED_PRECONDITION, "CONTAINER_RUNNING", runtime.start_container(one))
        config = t.ContainerConfig(metadata=t.ContainerMetadata(name="x"), image=t.ImageSpec(image="absent"))
        await fails(Code.NOT_FOUND, 'failed to resolve image "absent"', runtime.create_container(sandbox, config, sandbox_config()))
        fake.fail["version"] = CriError(Code.UNAVAILABLE, 'odd text: 100% "ünïcode"\n\tnext line')
        await fails(Code.UNAVAILABLE, 'odd text: 100% "ünïcode"\n\tnext line', runtime.version())

    scenario(body)


def test_version_status_stats(scenario):
    async def body(fake, runtime):
        sandbox, one = await made(runtime, "one")
        assert await runtime.version() == t.VersionResponse(runtime_name="fake", runtime_version="0.1.0")
        status = await runtime.status()
        assert [(c.type, c.status) for c in status.conditions] == [("RuntimeReady", True), ("NetworkReady", True)]
        assert status.runtime_handlers == [t.RuntimeHandler()]
        stats = await runtime.container_stats(one)
        assert (stats.id, stats.metadata.name, stats.memory_working_set_bytes, stats.writable_layer_inodes_used) == (one, "one", 4096, 3)
        assert [s.id for s in await runtime.list_container_stats(t.ContainerStatsFilter(pod_sandbox_id=sandbox))] == [one]
        await runtime.update_container_resources(one, t.LinuxContainerResources(memory_limit_in_bytes=5))
        assert fake.containers[one].config.linux.resources.memory_limit_in_bytes == 5
        await runtime.reopen_container_log(one)

    scenario(body)


def test_images(scenario):
    async def body(fake, runtime):
        fake.publish("quay.io/x/y:z", username="www")
        fake.publish("quay.io/x/n:1", uid=0)
        auth = t.AuthConfig(username="u", password="p", server_address="quay.io")
        ref = await runtime.pull_image(t.ImageSpec(image="quay.io/x/y:z"), auth, sandbox_config())
        assert ref.startswith("quay.io/x/y@sha256:") and fake.auths == [auth]
        image = await runtime.image_status(t.ImageSpec(image="quay.io/x/y:z"))
        assert (image.repo_tags, image.repo_digests, image.username, image.uid) == (["quay.io/x/y:z"], [ref], "www", None)
        await runtime.pull_image(t.ImageSpec(image="quay.io/x/n:1"))
        assert (await runtime.image_status(t.ImageSpec(image="quay.io/x/n:1"))).uid == t.Int64Value(value=0)
        assert len(await runtime.list_images()) == 3
        assert [i.id for i in await runtime.list_images("quay.io/x/y:z")] == [image.id]
        await runtime.remove_image(t.ImageSpec(image=image.id))
        await runtime.remove_image(t.ImageSpec(image=image.id))
        assert await runtime.image_status(t.ImageSpec(image="quay.io/x/y:z")) is None
        assert (await runtime.image_fs_info())[0].mountpoint == "/var/lib/fake"
        await fails(Code.NOT_FOUND, "failed to pull and unpack image", runtime.pull_image(t.ImageSpec(image="absent")))

    scenario(body)


def test_events_in_order_and_only_new_ones(scenario):
    async def body(fake, runtime):
        await made(runtime, "before")
        events = runtime.container_events()
        await runtime.version()  # across the socket: the subscription was sent ahead of this
        config = sandbox_config("q")
        sandbox = await runtime.run_pod_sandbox(config)
        container = await runtime.create_container(sandbox, container_config(), config)
        await runtime.start_container(container)
        fake.finish(container, 3)
        await runtime.remove_pod_sandbox(sandbox)
        seen = [await anext(events) for _ in range(8)]
        kinds = [(e.container_event_type.name.split("_")[1], e.container_id == sandbox) for e in seen]
        assert kinds == [
            ("CREATED", True), ("STARTED", True), ("CREATED", False), ("STARTED", False),
            ("STOPPED", False), ("STOPPED", True), ("DELETED", False), ("DELETED", True),
        ]  # fmt: skip
        assert {(e.pod_sandbox_id, e.pod_uid) for e in seen} == {(sandbox, "uid-q")}
        await events.aclose()

    scenario(body)


def test_many_calls_at_once_and_large_answers(scenario):
    async def body(fake, runtime):
        _, one = await made(runtime, "one")
        blob = bytes(range(256)) * 4096 * 8  # 8 MiB, more than any flow-control window
        fake.exec_result = lambda cid, cmd: t.ExecSyncResponse(stdout=blob if cmd == ["big"] else b"small", stderr=b"e", exit_code=7)
        big, *small = await asyncio.gather(runtime.exec_sync(one, ["big"]), *[runtime.exec_sync(one, ["s"], 5) for _ in range(50)])
        assert big == t.ExecSyncResponse(stdout=blob, stderr=b"e", exit_code=7)
        assert {s.stdout for s in small} == {b"small"}

    scenario(body)


def test_exec_attach_and_port_forward_streams(scenario):
    async def body(fake, runtime):
        sandbox, one = await made(runtime, "one")
        fake.exec_stream = lambda cid, cmd: FakeStream([(1, b"out"), (2, b"err"), (1, b"x" * 100_000)], exit_code=3)
        session = await runtime.exec(one, ["ls", "-l"], tty=False, stdin=False)
        out = {1: b"", 2: b""}
        while (item := await session.read()) is not None:
            out[item[0]] += item[1]
        assert out == {1: b"out" + b"x" * 100_000, 2: b"err"} and await session.wait() == 3
        await session.close()
        fake.exec_stream = lambda cid, cmd: FakeStream()
        cat = await runtime.exec(one, ["cat"], tty=False, stdin=True)
        await cat.write_stdin(b"hello")
        assert await cat.read() == (1, b"hello")
        await cat.close_stdin()
        assert await cat.read() is None and await cat.wait() == 0
        await cat.close()
        forward = await runtime.port_forward(sandbox, 80)
        await forward.write_stdin(b"GET /")
        assert await forward.read() == (1, b"GET /")
        await forward.close()
        await fails(Code.NOT_FOUND, "not found", runtime.exec("nope", ["x"], tty=False, stdin=False))
        assert fake.called("exec")[0] == (one, ["ls", "-l"], False, False)

    scenario(body)
