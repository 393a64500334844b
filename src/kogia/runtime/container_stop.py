"""Stop and remove containers. Both idempotent."""

from __future__ import annotations

import asyncio
import logging
import time

from kogia.cri import types as t
from kogia.runtime import cgroups, container_create, container_start
from kogia.runtime.context import Context, find
from kogia.runtime.state import ContainerRecord, is_alive

log = logging.getLogger("kogia.runtime.container")

KILL_WAIT_S = 10.0


async def stop(ctx: Context, container_id: str, timeout_s: float) -> None:
    """StopContainer: the stop signal, then SIGKILL after `timeout_s`. Returns when it has exited."""
    record = find(ctx.records.containers, container_id)
    if record is None:
        return  # removed meanwhile
    if record.starting:
        async with ctx.lock(record.id):
            pass  # let the start come to its end, good or bad
    if record.state != t.ContainerState.CONTAINER_RUNNING:
        return
    runtime = ctx.oci.get(record.handler)
    if timeout_s > 0:
        await runtime.kill(record.id, record.pid, record.pid_started, record.stop_signal)
        if await ctx.wait_exit(record, timeout_s):
            return
    await runtime.kill(record.id, record.pid, record.pid_started, "SIGKILL")
    if await ctx.wait_exit(record, KILL_WAIT_S):
        return
    await ctx.in_thread(cgroups.kill_all, ctx.machine.layout, record.cgroup)
    if not is_alive(record.pid, record.pid_started):
        # Killed, but conmon, which would have told, is gone as well.
        container_start.finish(ctx, record, container_start.LOST, time.time_ns(), "Error", "")
        return
    log.warning("container %s does not die", record.id)
    await ctx.wait_exit(record, KILL_WAIT_S)


async def stop_lost(ctx: Context, record: ContainerRecord) -> None:
    """A container without conmon: kill what is left; its exit code will never be known."""
    await ctx.in_thread(cgroups.kill_all, ctx.machine.layout, record.cgroup)
    for _ in range(200):
        if not is_alive(record.pid, record.pid_started):
            break
        await asyncio.sleep(0.01)
    if record.state == t.ContainerState.CONTAINER_RUNNING:
        container_start.finish(ctx, record, container_start.LOST, time.time_ns(), "Error", container_start.LOST_MESSAGE)


async def remove(ctx: Context, container_id: str) -> None:
    """RemoveContainer: kills it first if it runs. The log file stays."""
    record = find(ctx.records.containers, container_id)
    if record is None:
        return
    removed = False
    while not removed:
        await stop(ctx, record.id, 0)
        async with ctx.lock(record.id):
            if record.id not in ctx.records.containers:
                return
            if record.state != t.ContainerState.CONTAINER_RUNNING:  # else it was started in between
                await forget(ctx, record)
                removed = True
    ctx.locks.pop(record.id, None)


async def forget(ctx: Context, record: ContainerRecord) -> None:
    """Every trace of a container that does not run. Under the container's lock."""
    if record.pid or record.starting:
        await ctx.oci.get(record.handler).delete(record.id)
    await ctx.in_thread(container_create.remove_bundle, ctx.bundle(record.id))
    (ctx.config.exits_dir / record.id).unlink(missing_ok=True)
    await ctx.in_thread(container_create.release_images, ctx, record)
    del ctx.records.containers[record.id]
    ctx.exited.pop(record.id, asyncio.Event()).set()
    ctx.emit(t.ContainerEventType.CONTAINER_DELETED_EVENT, record)
