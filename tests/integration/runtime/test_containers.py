"""Containers on the real OCI runtimes: running, ending, streams, limits."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from kogia.cri import types as t
from kogia.cri.errors import Code, CriError

from .conftest import Lab, ended, started


def test_environment_files_and_identity(lab: Lab) -> None:
    security = t.LinuxContainerSecurityContext(run_as_user=t.Int64Value(value=1000), supplemental_groups=[7], no_new_privs=True)
    config = lab.script(
        "echo $FROM_IMAGE $MINE $HOME; id -u; id -g; id -G; hostname; cat /etc/resolv.conf /etc/hostname; pwd;"
        "grep -E 'Seccomp:|NoNewPrivs' /proc/self/status; df /dev/shm | grep -c 65536",
        envs=[t.KeyValue(key="MINE", value="1")],
        working_dir="/made/on/demand",
        linux=t.LinuxContainerConfig(security_context=security),
    )

    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        _, (first,) = await started(runtime, lab.pod(), config)
        status = await ended(runtime, first)
        assert (status.exit_code, status.reason) == (0, "Completed")
        assert lab.log().split("\n") == [
            "yes 1 /home/ann",
            "1000",
            "1000",
            "1000 7 50",
            "pod",
            "search default.svc.cluster.local",
            "nameserver 10.78.0.10",
            "options ndots:5",
            "pod",
            "/made/on/demand",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
            "1",
            "",
        ]

    lab.run(test)


def test_the_second_container_has_seccomp_too(lab: Lab) -> None:
    """The first compiles the filter, the second is given the compiled one."""

    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        script = "grep Seccomp: /proc/self/status; mount -t tmpfs x /tmp 2>&1 | grep -c denied; unshare 2>&1; true"
        for name in ("one", "two"):
            _, (container,) = await started(runtime, lab.pod(name), lab.script(script))
            await ended(runtime, container)
        assert lab.log("one") == lab.log("two")
        assert lab.log("two").startswith("Seccomp:\t2\n")

    lab.run(test)


@pytest.mark.parametrize(
    ("command", "code", "reason"), [("exit 0", 0, "Completed"), ("exit 3", 3, "Error"), ("kill -9 $$; sleep 1", 137, "Error")]
)
def test_exit_codes(lab: Lab, command: str, code: int, reason: str) -> None:
    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        script = command if "kill" not in command else "sleep 60"
        sandbox, (container,) = await started(runtime, lab.pod(), lab.script(script))
        if code == 137:
            os.kill(runtime.ctx.container(container).pid, 9)
        status = await ended(runtime, container)
        assert (status.state, status.exit_code, status.reason) == (t.ContainerState.CONTAINER_EXITED, code, reason)
        assert status.created_at <= status.started_at <= status.finished_at

    lab.run(test)


@pytest.mark.parametrize(("program", "words"), [("nope", "executable file not found in $PATH"), ("/nope", "no such file or directory")])
def test_what_cannot_be_executed(lab: Lab, program: str, words: str) -> None:
    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        pod = lab.pod()
        sandbox = await runtime.run_pod_sandbox(pod)
        container = await runtime.create_container(sandbox, lab.container(program), pod)
        with pytest.raises(CriError, match=f'exec: "{program}": '):
            await runtime.start_container(container)
        status = await runtime.container_status(container)
        assert (status.state, status.exit_code, status.reason) == (t.ContainerState.CONTAINER_EXITED, 128, "StartError")
        assert words in status.message

    lab.run(test)


def test_a_missing_image(lab: Lab) -> None:
    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        pod = lab.pod()
        sandbox = await runtime.run_pod_sandbox(pod)
        with pytest.raises(CriError) as caught:
            await runtime.create_container(sandbox, lab.container("true", image=t.ImageSpec(image="missing")), pod)
        assert caught.value.code is Code.NOT_FOUND
        assert not lab.images.held
        assert not list(lab.config.containers_dir.iterdir())

    lab.run(test)


def test_memory_limit_kills(lab: Lab) -> None:
    limits = t.LinuxContainerResources(
        memory_limit_in_bytes=32 << 20, oom_score_adj=1000, cpu_shares=512, cpu_quota=50_000, cpu_period=100_000
    )

    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        config = lab.script("dd if=/dev/zero of=/dev/null bs=300M count=1", linux=t.LinuxContainerConfig(resources=limits))
        _, (container,) = await started(runtime, lab.pod(), config)
        status = await ended(runtime, container)
        assert (status.exit_code, status.reason) == (137, "OOMKilled")

    lab.run(test)


def test_limits_are_written_and_changed(lab: Lab) -> None:
    limits = t.LinuxContainerResources(memory_limit_in_bytes=64 << 20, cpu_shares=512, cpu_quota=50_000, cpu_period=100_000)
    pod_limits = t.LinuxContainerResources(memory_limit_in_bytes=96 << 20, cpu_shares=600)

    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        pod = lab.pod(linux=t.LinuxPodSandboxConfig(cgroup_parent="/pods/burstable/poduid-pod", resources=pod_limits))
        _, (container,) = await started(runtime, pod, lab.container("sleep", "60", linux=t.LinuxContainerConfig(resources=limits)))
        record = runtime.ctx.container(container)
        assert record.cgroup == f"{lab.config.cgroup_root}/pods/burstable/poduid-pod/{container}"
        memory = runtime.ctx.machine.layout.v1.get("memory")
        if memory is not None:
            group = memory / record.cgroup.lstrip("/")
            assert (group / "memory.limit_in_bytes").read_text() == f"{64 << 20}\n"
            assert (group.parent / "memory.limit_in_bytes").read_text() == f"{96 << 20}\n"
        await runtime.update_container_resources(container, t.LinuxContainerResources(memory_limit_in_bytes=48 << 20, cpu_shares=100))
        if memory is not None:
            assert (group / "memory.limit_in_bytes").read_text() == f"{48 << 20}\n"
        (stats,) = await runtime.list_container_stats()
        assert stats.id == container and stats.memory_working_set_bytes > 0 and stats.pids == 1

    lab.run(test)


def test_stop_signal_and_grace(lab: Lab) -> None:
    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        obedient = lab.script("trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done", name="a")
        deaf = lab.script("trap '' TERM; echo up; while :; do sleep 0.05; done", name="b")
        _, (first, second) = await started(runtime, lab.pod(), obedient, deaf)
        await asyncio.sleep(0.2)
        await runtime.stop_container(first, 10)
        assert (await runtime.container_status(first)).exit_code == 5
        await runtime.stop_container(second, 0.3)
        assert (await runtime.container_status(second)).exit_code == 137
        await runtime.stop_container(second, 10)  # idempotent

    lab.run(test)


def test_mounts_read_only_and_root_read_only(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").write_text("content\n")
    security = t.LinuxContainerSecurityContext(readonly_rootfs=True)

    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        mounts = [
            t.Mount(container_path="/ro", host_path=str(tmp_path / "data"), readonly=True),
            t.Mount(container_path="/rw", host_path=str(tmp_path / "data")),
        ]
        script = "cat /ro/file; touch /ro/x && echo bad; touch /rw/y && echo good; touch /z && echo bad; true"
        config = lab.script(script, mounts=mounts, linux=t.LinuxContainerConfig(security_context=security))
        _, (container,) = await started(runtime, lab.pod(), config)
        assert (await ended(runtime, container)).exit_code == 0
        out = [line for line in lab.log().splitlines() if "Read-only" not in line]
        assert out == ["content", "good"]
        assert (tmp_path / "data/y").exists()

    lab.run(test)


def test_privileged_and_dropped_capabilities(lab: Lab) -> None:
    dropped = t.LinuxContainerSecurityContext(capabilities=t.Capability(add_capabilities=["NET_ADMIN"], drop_capabilities=["ALL"]))

    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        script = "grep CapEff /proc/self/status; ls /dev/null /dev/kmsg 2>/dev/null; true"
        plain = lab.script(script, name="plain", linux=t.LinuxContainerConfig(security_context=dropped))
        privileged = t.LinuxContainerSecurityContext(privileged=True)
        mighty = lab.script(script, name="mighty", linux=t.LinuxContainerConfig(security_context=privileged))
        _, ids = await started(runtime, lab.pod(), plain, mighty)
        for container in ids:
            await ended(runtime, container)
        assert lab.log(name="plain").splitlines() == ["CapEff:\t0000000000001000", "/dev/null"]
        assert "/dev/kmsg" in lab.log(name="mighty") or not os.path.exists("/dev/kmsg")

    lab.run(test)


def test_log_is_reopened(lab: Lab) -> None:
    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        _, (container,) = await started(runtime, lab.pod(), lab.script("echo one; sleep 0.6; echo two; sleep 60"))
        path = lab.base / "logs/pod/main.log"
        for _ in range(100):
            if path.exists() and "one" in path.read_text():
                break
            await asyncio.sleep(0.01)
        path.rename(path.with_suffix(".1"))
        await runtime.reopen_container_log(container)
        for _ in range(200):
            if path.exists() and "two" in path.read_text():
                break
            await asyncio.sleep(0.01)
        assert lab.log() == "two\n"

    lab.run(test)


def test_events(lab: Lab) -> None:
    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        events = runtime.container_events()
        sandbox, (container,) = await started(runtime, lab.pod(), lab.script("exit 1"))
        await ended(runtime, container)
        await runtime.remove_pod_sandbox(sandbox)
        seen = []
        while len(seen) < 8:
            event = await asyncio.wait_for(anext(events), 5)
            assert event.pod_uid == "uid-pod" and event.pod_sandbox_id == sandbox
            seen.append(("sandbox" if event.container_id == sandbox else "container", event.container_event_type.name.split("_")[1]))
        words = ("CREATED", "STARTED", "STOPPED", "DELETED")
        assert sorted(seen) == sorted((who, what) for who in ("sandbox", "container") for what in words)
        assert seen[-1] == ("sandbox", "DELETED")

    lab.run(test)
