"""Start a container: conmon, the OCI runtime's `create` and `start`; and record its end when the exit file appears.

A start that fails leaves a container that exited with 128 and reason StartError (or ContainerCannotRun), as Kubernetes
shows it. How many start at one moment is bounded, because each costs a few forks on the machine's cores.
"""

from __future__ import annotations

import asyncio
import logging
import time

from kogia.cri import types as t
from kogia.cri.errors import Code, CriError
from kogia.runtime import cgroups, conmon, exits
from kogia.runtime.context import Context
from kogia.runtime.state import ContainerRecord, process_started

log = logging.getLogger("kogia.runtime.container")

START_FAILED = 128
LOST_MESSAGE = "the container's end was not seen"
LOST = 137  #: exit code of a container whose end nobody saw


async def start(ctx: Context, container_id: str) -> None:
    """StartContainer. Errors: CriError; the container is then EXITED with the same message.

    Cancel: the caller leaves at once, the start comes to its end by itself, good or bad.
    """
    record = ctx.container(container_id)
    work = ctx.tasks.spawn(f"start-{record.id[:12]}", _attempt(ctx, record))
    error = await asyncio.shield(work)
    if error is not None:
        raise error


async def _attempt(ctx: Context, record: ContainerRecord) -> CriError | None:
    """The start as a task of the runtime's own; its error is a value, as nobody may be waiting."""
    try:
        async with ctx.lock(record.id):
            if record.state != t.ContainerState.CONTAINER_CREATED or record.id not in ctx.records.containers:
                raise CriError(Code.FAILED_PRECONDITION, f"container {record.id!r} is in {record.state.name} state")
            sandbox = ctx.records.sandboxes.get(record.sandbox_id)
            if sandbox is None or not sandbox.ready:
                raise CriError(Code.FAILED_PRECONDITION, f"sandbox container {record.sandbox_id!r} is not running")
            async with ctx.starts:
                await _start_locked(ctx, record)
    except CriError as error:
        return error
    return None


async def _start_locked(ctx: Context, record: ContainerRecord) -> None:
    record.starting = True
    ctx.records.save_container(record)
    runtime = ctx.oci.get(record.handler)
    try:
        record.pid, record.conmon_pid = await conmon.start(_launch(ctx, record))
        record.pid_started = process_started(record.pid)
        record.conmon_started = process_started(record.conmon_pid)
        ctx.executor.submit(cgroups.keep_apart, ctx.machine.layout, f"{ctx.config.cgroup_root}/conmon", record.conmon_pid)
        if (key := ctx.seccomp_keys.pop(record.id, "")) and runtime.is_crun:
            ctx.seccomp.learn(key, runtime.root / record.id / "seccomp.bpf")
        record.started_at = time.time_ns()  # before: what is short-lived may have ended when `start` returns
        await runtime.start(record.id)
    except CriError as error:
        record.started_at = 0
        await asyncio.shield(_failed(ctx, record, error.message))
        raise
    except (Exception, asyncio.CancelledError):
        await asyncio.shield(_failed(ctx, record, "the start was interrupted"))
        raise
    record.starting = False
    record.state = t.ContainerState.CONTAINER_RUNNING
    ctx.exited.setdefault(record.id, asyncio.Event())
    ctx.records.save_container(record)
    ctx.emit(t.ContainerEventType.CONTAINER_STARTED_EVENT, record)
    if exits.read(ctx.config.exits_dir, record.id) is not None:
        on_exit(ctx, record.id)  # it was over before its start was recorded
    if record.state == t.ContainerState.CONTAINER_RUNNING:
        ctx.conmons.add(record.id, record.conmon_pid, record.conmon_started)


def _launch(ctx: Context, record: ContainerRecord) -> conmon.Launch:
    runtime = ctx.oci.get(record.handler)
    return conmon.Launch(
        conmon=ctx.config.conmon,
        container_id=record.id,
        name=record.name,
        bundle=ctx.bundle(record.id),
        exits_dir=ctx.config.exits_dir,
        oci_program=runtime.program,
        oci_args=runtime.args(),
        log_path=record.log_path,
        tty=record.config.tty,
        stdin=record.config.stdin,
        stdin_once=record.config.stdin_once,
    )


async def _failed(ctx: Context, record: ContainerRecord, message: str) -> None:
    """Take down what a failed start left and write down why."""
    for pid in await ctx.in_thread(conmon.conmon_pids, str(ctx.bundle(record.id))):
        conmon.kill_pid(pid)
    try:
        await ctx.in_thread(cgroups.kill_all, ctx.machine.layout, record.cgroup)
        await ctx.oci.get(record.handler).delete(record.id)
    except (CriError, OSError) as error:
        log.warning("after the failed start of %s: %s", record.id, error)
    finish(ctx, record, START_FAILED, time.time_ns(), "StartError", message)


def on_exit(ctx: Context, container_id: str) -> None:
    """An exit file appeared. Unknown or not (yet) running containers: the file is found again by `start`."""
    record = ctx.records.containers.get(container_id)
    if record is None or record.state != t.ContainerState.CONTAINER_RUNNING:
        return
    ended = exits.read(ctx.config.exits_dir, container_id)
    if ended is None:
        return
    code, finished_at = ended
    reason = "Completed" if code == 0 else "Error"
    if code and was_oom_killed(ctx, record):
        reason = "OOMKilled"
    finish(ctx, record, code, finished_at, reason, "")


def was_oom_killed(ctx: Context, record: ContainerRecord) -> bool:
    """By the kernel's counter, or by the file conmon leaves when it saw it."""
    return cgroups.oom_kills(ctx.machine.layout, record.cgroup) > 0 or (ctx.bundle(record.id) / "oom").exists()


def finish(ctx: Context, record: ContainerRecord, code: int, finished_at: int, reason: str, message: str) -> None:
    """Record the end, tell everyone, kill what the container left running beside its init."""
    record.state = t.ContainerState.CONTAINER_EXITED
    record.starting = False
    record.exit_code, record.reason, record.message = code, reason, message
    record.finished_at = max(finished_at, record.started_at)  # file times are as coarse as the kernel's tick
    ctx.records.save_container(record)
    ctx.exited.setdefault(record.id, asyncio.Event()).set()
    ctx.conmons.remove(record.id)
    cgroups.kill_all(ctx.machine.layout, record.cgroup)
    ctx.emit(t.ContainerEventType.CONTAINER_STOPPED_EVENT, record)
