"""Stop and remove Pod sandboxes. Both are idempotent, and safe to repeat after being cut off at any point."""

from __future__ import annotations

import asyncio
import logging

from kogia.cri import types as t
from kogia.cri.errors import Code, CriError
from kogia.runtime import cgroups, container_stop, namespaces, sandbox_run
from kogia.runtime.context import Context, find
from kogia.runtime.state import SandboxRecord

log = logging.getLogger("kogia.runtime.sandbox")


async def stop(ctx: Context, sandbox_id: str) -> None:
    """StopPodSandbox: containers are killed at once, then the network goes."""
    record = find(ctx.records.sandboxes, sandbox_id)
    if record is None:
        return
    async with ctx.lock(record.id):
        await _stop_locked(ctx, record)


async def _stop_locked(ctx: Context, record: SandboxRecord) -> None:
    containers = ctx.records.containers_of(record.id)
    await asyncio.gather(*(container_stop.stop(ctx, c.id, 0) for c in containers))
    await release_network(ctx, record)
    if record.ready:
        record.ready = False
        ctx.records.save_sandbox(record)
        ctx.emit(t.ContainerEventType.CONTAINER_STOPPED_EVENT, record)


async def release_network(ctx: Context, record: SandboxRecord) -> None:
    """Network and namespaces of a sandbox without running containers. Idempotent."""
    if not record.namespaces_id:
        return
    held = record.namespaces(ctx.config.namespaces_dir)
    if record.from_plugins:
        await ctx.cni.delete(sandbox_run.attachment(record, held.path("net")))
        await ctx.in_thread(namespaces.unpin, held.directory)
    elif sandbox_run.namespace_options(record.config).network == t.NamespaceMode.POD:
        await ctx.hostports.remove(record.id)
        await ctx.network.give_back(held)
    else:
        await ctx.in_thread(namespaces.unpin, held.directory)
    record.namespaces_id = ""
    ctx.records.save_sandbox(record)


async def remove(ctx: Context, sandbox_id: str) -> None:
    """RemovePodSandbox: stops it if needed, removes its containers and every trace."""
    record = find(ctx.records.sandboxes, sandbox_id)
    if record is None:
        return
    async with ctx.lock(record.id):
        if record.id not in ctx.records.sandboxes:
            return
        await _stop_locked(ctx, record)
        await asyncio.gather(*(container_stop.remove(ctx, c.id) for c in ctx.records.containers_of(record.id)))
        await remove_cgroup(ctx, record.cgroup)
        await ctx.in_thread(sandbox_run.remove_files, ctx.config.sandboxes_dir / record.id)
        del ctx.records.sandboxes[record.id]
    ctx.locks.pop(record.id, None)
    ctx.emit(t.ContainerEventType.CONTAINER_DELETED_EVENT, record)


async def remove_cgroup(ctx: Context, group: str) -> None:
    """A group is busy until the last dead process in it is reaped: try for a second. Another sandbox of the Pod keeps it."""
    if any(other.cgroup == group and other.ready for other in ctx.records.sandboxes.values()):
        return
    try:
        for attempt in range(20):
            if await ctx.in_thread(cgroups.remove, ctx.machine.layout, group):
                return
            await asyncio.sleep(0.005 * (attempt + 1))
    except OSError as error:
        raise CriError(Code.INTERNAL, f"cannot remove cgroup {group}: {error}") from error
    log.warning("cgroup %s is still busy", group)
