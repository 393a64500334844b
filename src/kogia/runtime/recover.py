"""At start: take over what still runs, write down what ended meanwhile, clear what was half-made.

Containers live under conmon in sessions of their own, so a kill of this process touches none. What a record says is
compared with the exit files and the processes (by pid *and* start time). Everything on the machine that no record names
is removed: namespaces, mounts, bundles, addresses, images' holds. Running this twice does nothing the second time.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from kogia.cri import types as t
from kogia.cri.errors import CriError
from kogia.runtime import cgroups, container_create, container_start, exits, mounts, namespaces, sandbox_run
from kogia.runtime.conmon import conmon_pids, kill_pid
from kogia.runtime.context import Context
from kogia.runtime.oci import OciRuntime
from kogia.runtime.state import ContainerRecord, SandboxRecord, is_alive

log = logging.getLogger("kogia.runtime.recover")


async def recover(ctx: Context) -> set[str]:
    """Bring records and machine together; returns the ids of namespace sets in use."""
    for orphan in ctx.records.load():
        await _remove_orphan(ctx, orphan)
    for record in list(ctx.records.containers.values()):
        if record.sandbox_id not in ctx.records.sandboxes:
            await _drop_container(ctx, record)
        else:
            await _recover_container(ctx, record)
    for sandbox in ctx.records.sandboxes.values():
        await ctx.in_thread(_recover_sandbox, ctx, sandbox)
    for sandbox_id, attachment in ctx.cni.attached().items():
        known = ctx.records.sandboxes.get(sandbox_id)
        if known is None or not known.namespaces_id:
            await ctx.cni.delete(attachment, quiet=True)
    in_use = {s.namespaces_id for s in ctx.records.sandboxes.values() if s.namespaces_id}
    await ctx.in_thread(_remove_namespaces, ctx.config.namespaces_dir, in_use)
    for name in _exit_files(ctx.config.exits_dir):
        if name not in ctx.records.containers:
            (ctx.config.exits_dir / name).unlink(missing_ok=True)
    for owner in ctx.images.owners():
        if owner[:64] not in ctx.records.containers and exits.is_container_id(owner[:64]):
            ctx.images.release(owner)
    return in_use


def _exit_files(directory: Path) -> list[str]:
    try:
        return [name for name in os.listdir(directory) if exits.is_container_id(name)]
    except FileNotFoundError:
        return []


async def _recover_container(ctx: Context, record: ContainerRecord) -> None:
    if record.starting:
        log.info("container %s: its start was cut off", record.id)
        await _kill(ctx, record)
        container_start.finish(ctx, record, container_start.START_FAILED, time.time_ns(), "StartError", "the start was interrupted")
        return
    if record.state != t.ContainerState.CONTAINER_RUNNING:
        return
    container_start.on_exit(ctx, record.id)
    if record.state != t.ContainerState.CONTAINER_RUNNING:
        return
    if is_alive(record.conmon_pid, record.conmon_started):
        ctx.conmons.add(record.id, record.conmon_pid, record.conmon_started)
        log.info("adopted container %s (%s)", record.id[:12], record.name)
        return
    ended = exits.read(ctx.bundle(record.id), "exit")  # conmon's second copy, which survives the loss of the state directory
    await _kill(ctx, record)
    if ended is None:
        container_start.finish(ctx, record, container_start.LOST, time.time_ns(), "Error", container_start.LOST_MESSAGE)
    else:
        container_start.finish(ctx, record, ended[0], ended[1], "Completed" if ended[0] == 0 else "Error", "")


async def _kill(ctx: Context, record: ContainerRecord) -> None:
    """Nothing of a container that is not under control may go on."""
    for pid in await ctx.in_thread(conmon_pids, str(ctx.bundle(record.id))):
        kill_pid(pid)
    await ctx.in_thread(cgroups.kill_all, ctx.machine.layout, record.cgroup)
    try:
        await ctx.oci.get(record.handler).delete(record.id)
    except CriError as error:
        log.warning("container %s: %s", record.id, error.message)


def _recover_sandbox(ctx: Context, sandbox: SandboxRecord) -> None:
    """A sandbox whose namespaces are gone (the machine was restarted) is not ready any more."""
    if not sandbox.ready:
        return
    held = sandbox.namespaces(ctx.config.namespaces_dir)
    pinned = set(mounts.mounted_below(ctx.config.namespaces_dir))
    if any(held.path(kind) not in pinned for kind in held.kinds):
        log.info("sandbox %s has lost its namespaces", sandbox.id)
        sandbox.ready = False
        ctx.records.save_sandbox(sandbox)


def _remove_namespaces(directory: Path, in_use: set[str]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for path in directory.iterdir():
        if path.name not in in_use:
            namespaces.unpin(path)


async def _remove_orphan(ctx: Context, directory: Path) -> None:
    """A directory without a record: creation or removal was cut off."""
    log.info("clearing the half-made %s", directory)
    if directory.parent == ctx.config.sandboxes_dir:
        await ctx.in_thread(sandbox_run.remove_files, directory)
        return
    for pid in await ctx.in_thread(conmon_pids, str(directory)):
        kill_pid(pid)
    for runtime in ctx.oci.by_name.values():
        await _delete_quietly(runtime, directory.name)
    await ctx.in_thread(container_create.remove_bundle, directory)


async def _delete_quietly(runtime: OciRuntime, container_id: str) -> None:
    if not (runtime.root / container_id).exists():
        return
    try:
        await runtime.delete(container_id)
    except CriError as error:
        log.warning("container %s: %s", container_id, error.message)


async def _drop_container(ctx: Context, record: ContainerRecord) -> None:
    """Its sandbox is gone: nobody would ever remove it."""
    await _kill(ctx, record)
    await ctx.in_thread(container_create.remove_bundle, ctx.bundle(record.id))
    container_create.release_images(ctx, record)
    del ctx.records.containers[record.id]
