"""kill -9 of the node's process: containers go on and are adopted; nothing half-made stays."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kogia.cri import types as t

from .conftest import Lab, ended, started


def launch(lab: Lab, rootfs: Path, how: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    program = Path(__file__).with_name("node_process.py")
    argv = [sys.executable, str(program), str(lab.base), str(rootfs), lab.config.default_handler, how]
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    return child, json.loads(child.stdout.readline())


def kill(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert child.stdout is not None
    child.stdout.close()


def test_containers_survive_and_are_adopted(lab: Lab, rootfs: Path) -> None:
    child, told = launch(lab, rootfs, "run")
    long, short = told["ids"]
    kill(child)
    os.kill(told["pids"][0], 0)  # still there

    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        status = await runtime.container_status(long)
        assert status.state == t.ContainerState.CONTAINER_RUNNING
        assert runtime.ctx.container(long).pid == told["pids"][0]
        assert (await runtime.exec_sync(long, ["echo", "hi"])).stdout == b"hi\n"
        assert (await runtime.pod_sandbox_status(told["sandbox"])).state == t.PodSandboxState.SANDBOX_READY
        assert (await ended(runtime, short)).exit_code == 4  # its end is noticed by the new process
        await runtime.stop_container(long, 5)
        assert (await runtime.container_status(long)).exit_code == 9
        assert lab.log(name="long") == "up\n"

    lab.run(test)


def test_an_end_while_nobody_looked(lab: Lab, rootfs: Path) -> None:
    child, told = launch(lab, rootfs, "run")
    kill(child)
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{told['pids'][1]}") and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)

    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        status = await runtime.container_status(told["ids"][1])
        assert (status.state, status.exit_code, status.reason) == (t.ContainerState.CONTAINER_EXITED, 4, "Error")

    lab.run(test)


def test_a_container_whose_conmon_was_killed(lab: Lab, rootfs: Path) -> None:
    child, told = launch(lab, rootfs, "run")
    kill(child)
    record = json.loads((lab.config.containers_dir / told["ids"][0] / "state.json").read_text())
    os.kill(record["conmon_pid"], signal.SIGKILL)

    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        status = await ended(runtime, told["ids"][0])
        assert (status.state, status.exit_code) == (t.ContainerState.CONTAINER_EXITED, 137)
        assert not os.path.exists(f"/proc/{told['pids'][0]}/root/bin")

    lab.run(test)


def test_a_conmon_killed_meanwhile(lab: Lab) -> None:
    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        _, (container,) = await started(runtime, lab.pod(), lab.container("sleep", "60"))
        record = runtime.ctx.container(container)
        os.kill(record.conmon_pid, signal.SIGKILL)
        status = await asyncio.wait_for(ended(runtime, container), 5)
        assert (status.exit_code, status.reason) == (137, "Error")
        assert not os.path.exists(f"/proc/{record.pid}/root/bin")

    lab.run(test)


@pytest.mark.parametrize("moment", [0.11, 0.23, 0.37, 0.52])
def test_killed_in_the_middle_of_work(lab: Lab, rootfs: Path, moment: float) -> None:
    """Whatever was half done is gone or whole; addresses are unique; new Pods work."""
    child, _ = launch(lab, rootfs, "churn")
    time.sleep(moment)
    kill(child)

    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        await asyncio.sleep(0.3)
        sandboxes = await runtime.list_pod_sandbox()
        ips = [(await runtime.pod_sandbox_status(s.id)).network.ip for s in sandboxes if s.state == t.PodSandboxState.SANDBOX_READY]
        assert len(set(ips)) == len(ips)
        for container in await runtime.list_containers():
            assert container.pod_sandbox_id in {s.id for s in sandboxes}
            if container.state == t.ContainerState.CONTAINER_RUNNING:
                assert (await runtime.exec_sync(container.id, ["true"])).exit_code == 0
        sandbox, (fresh,) = await started(runtime, lab.pod("fresh"), lab.script("exit 0"))
        assert (await ended(runtime, fresh)).exit_code == 0
        assert (await runtime.pod_sandbox_status(sandbox)).network.ip not in ips
        for item in await runtime.list_pod_sandbox():
            await runtime.remove_pod_sandbox(item.id)
        assert not list(lab.config.containers_dir.iterdir()) and not list(lab.config.sandboxes_dir.iterdir())
        held = {p.name for p in lab.config.namespaces_dir.iterdir()}
        assert len(held) <= lab.config.ready_namespaces + 1  # only the ready ones

    lab.run(test)


def test_addresses_in_use_stay_taken_over_a_restart(lab: Lab) -> None:
    async def first(runtime) -> None:  # type: ignore[no-untyped-def]
        await runtime.run_pod_sandbox(lab.pod())

    async def second(runtime) -> None:  # type: ignore[no-untyped-def]
        (sandbox,) = await runtime.list_pod_sandbox()
        ip = (await runtime.pod_sandbox_status(sandbox.id)).network.ip
        assert (lab.config.cni_dir / "networks" / lab.config.bridge / ip).exists()

    lab.run(first)
    lab.run(second)


@pytest.mark.parametrize("delay_ms", [0, 1, 2, 3, 5, 8, 13, 21])
def test_cancelled_at_any_moment(lab: Lab, delay_ms: int) -> None:
    """What is given up leaves nothing, and does not hinder the next."""

    async def one(runtime, name: str) -> None:  # type: ignore[no-untyped-def]
        await started(runtime, lab.pod(name), lab.container("sleep", "60"))

    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        tasks = [asyncio.ensure_future(one(runtime, f"p{n}")) for n in range(6)]
        for task in tasks:
            await asyncio.sleep(delay_ms / 1000)
            task.cancel()
        await asyncio.wait(tasks)
        for sandbox in await runtime.list_pod_sandbox():
            await runtime.remove_pod_sandbox(sandbox.id)
        await one(runtime, "after")
        (sandbox,) = await runtime.list_pod_sandbox()
        assert {p.name for p in lab.config.sandboxes_dir.iterdir()} == {sandbox.id}
        assert len(list(lab.config.containers_dir.iterdir())) == 1 == len(lab.images.held)
        while runtime.ctx.network._filling is not None:
            await asyncio.sleep(0.02)
        ready = {held.id for held in runtime.ctx.network._ready}
        pinned = {p.name for p in lab.config.namespaces_dir.iterdir()}
        assert pinned == ready | {runtime.ctx.sandbox(sandbox.id).namespaces_id}

    lab.run(test)
