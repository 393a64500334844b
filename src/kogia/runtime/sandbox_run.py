"""Make a Pod sandbox: namespaces, network, cgroup, and the files its containers share.

On the default network all of the slow part stands ready (`network_default`); what is left is a hostname, a tmpfs, a few
small files and the record. The record is written last: without it, everything here is a leftover that recovery removes.
On any failure, also a cancel, every step made is undone.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import time
from contextlib import AsyncExitStack
from pathlib import Path

from kogia.cri import types as t
from kogia.cri.errors import Code, CriError
from kogia.runtime import cgroups, cni, hostports, mounts, namespaces
from kogia.runtime.context import Context
from kogia.runtime.namespaces import NamespaceSet
from kogia.runtime.network_default import ALL
from kogia.runtime.state import SandboxRecord

log = logging.getLogger("kogia.runtime.sandbox")

SHM_BYTES = 64 * 1024 * 1024


async def run(ctx: Context, config: t.PodSandboxConfig, handler: str) -> str:
    """RunPodSandbox. Errors: CriError; nothing is left behind then."""
    ctx.oci.get(handler)
    identity = secrets.token_hex(32)
    meta = config.metadata
    record = SandboxRecord(
        id=identity,
        name=f"k8s_POD_{meta.name}_{meta.namespace}_{meta.uid}_{meta.attempt}",
        config=config,
        handler=handler,
        created_at=time.time_ns(),
        cgroup=pod_cgroup(ctx, config, identity),
    )
    async with AsyncExitStack() as undo:
        try:
            await _namespaces(ctx, record, undo)
            undo.push_async_callback(ctx.in_thread, remove_files, ctx.config.sandboxes_dir / identity)
            undo.push_async_callback(ctx.in_thread, cgroups.remove, ctx.machine.layout, record.cgroup)
            await ctx.in_thread(_prepare, ctx, record)
        except OSError as error:
            raise CriError(Code.INTERNAL, f"failed to create pod sandbox: {error}") from error
        ctx.records.save_sandbox(record)
        undo.pop_all()
    ctx.emit(t.ContainerEventType.CONTAINER_CREATED_EVENT, record)
    ctx.emit(t.ContainerEventType.CONTAINER_STARTED_EVENT, record)
    return identity


def namespace_options(config: t.PodSandboxConfig) -> t.NamespaceOption:
    security = config.linux.security_context if config.linux else None
    return (security and security.namespace_options) or t.NamespaceOption()


def pod_cgroup(ctx: Context, config: t.PodSandboxConfig, identity: str) -> str:
    """The Pod's group: the kubelet's `cgroup_parent` below the runtime's root, or one named after the sandbox."""
    root = ctx.config.cgroup_root
    parent = "/" + (config.linux.cgroup_parent if config.linux else "").strip("/")
    if ".." in parent.split("/"):
        raise CriError(Code.INVALID_ARGUMENT, f"cgroup_parent {parent!r} is not a plain path")
    if parent == "/":
        return f"{root}/pods/{identity}"
    return parent if parent == root or parent.startswith(root + "/") else root + parent


async def _namespaces(ctx: Context, record: SandboxRecord, undo: AsyncExitStack) -> None:
    options = namespace_options(record.config)
    if options.pid == t.NamespaceMode.POD:
        raise CriError(Code.UNIMPLEMENTED, "a PID namespace shared by the Pod is not supported by this runtime")
    if options.network == t.NamespaceMode.POD and ctx.cni.configured():
        held = await _by_plugins(ctx, record, undo)
    elif options.network == t.NamespaceMode.POD:
        held = await ctx.network.take()
        undo.push_async_callback(ctx.network.give_back, held)
        record.ips = [held.ip]
        ports = hostports.wanted(record.config, held.ip)
        undo.push_async_callback(ctx.hostports.remove, record.id)
        await ctx.hostports.add(record.id, ports)
    else:
        identity = secrets.token_hex(8)
        kinds: tuple[str, ...] = ("ipc",) if options.ipc == t.NamespaceMode.POD else ()
        held = NamespaceSet(identity, ctx.config.namespaces_dir / identity, kinds)
        if kinds:
            await ctx.in_thread(namespaces.make, held.directory, kinds)
            undo.push_async_callback(ctx.in_thread, namespaces.unpin, held.directory)
    wanted = held.kinds if options.ipc == t.NamespaceMode.POD else tuple(k for k in held.kinds if k != "ipc")
    record.namespaces_id, record.namespace_kinds = held.id, list(wanted)


async def _by_plugins(ctx: Context, record: SandboxRecord, undo: AsyncExitStack) -> NamespaceSet:
    """A bare set of namespaces, attached by the configured CNI network."""
    identity = secrets.token_hex(8)
    held = NamespaceSet(identity, ctx.config.namespaces_dir / identity, ALL)
    inside = await ctx.in_thread(namespaces.make, held.directory, held.kinds)
    undo.push_async_callback(ctx.in_thread, namespaces.unpin, held.directory)
    if inside is not None:
        inside.close()
    record.from_plugins = True
    try:
        record.ips = await ctx.cni.add(attachment(record, held.path("net")))
    except CriError as error:
        message = f'failed to setup network for sandbox "{record.id}": {error.message}'
        raise CriError(error.code, message) from error
    undo.push_async_callback(ctx.cni.delete, attachment(record, held.path("net")), quiet=True)
    return held


def attachment(record: SandboxRecord, netns: str) -> cni.Attachment:
    """What CNI plugins are told about a sandbox."""
    meta = record.config.metadata
    return cni.Attachment(
        sandbox_id=record.id,
        netns=netns,
        pod_name=meta.name,
        pod_namespace=meta.namespace,
        pod_uid=meta.uid,
        port_mappings=record.config.port_mappings,
    )


def _prepare(ctx: Context, record: SandboxRecord) -> None:
    """The blocking part: hostname, sysctls, cgroup, shared files."""
    config = record.config
    sysctls = config.linux.sysctls if config.linux else {}
    held = record.namespaces(ctx.config.namespaces_dir)
    try:
        namespaces.configure(held, config.hostname, sysctls)
    except OSError as error:
        if sysctls:
            raise CriError(Code.INVALID_ARGUMENT, f"cannot set sysctls {sorted(sysctls)}: {error}") from error
        raise
    resources = config.linux.resources if config.linux else None
    cgroups.make_pod_group(ctx.machine.layout, record.cgroup, resources)
    directory = ctx.config.sandboxes_dir / record.id
    directory.mkdir(parents=True)
    if config.dns_config is not None:
        (directory / "resolv.conf").write_text(resolv_conf(config.dns_config))
    if namespace_options(config).network == t.NamespaceMode.POD:
        (directory / "hostname").write_text(config.hostname + "\n")
    if namespace_options(config).ipc == t.NamespaceMode.POD:
        (directory / "shm").mkdir()
        mounts.tmpfs(directory / "shm", SHM_BYTES)


def resolv_conf(dns: t.DNSConfig) -> str:
    """The text of /etc/resolv.conf. Pure."""
    lines = []
    if dns.searches:
        lines.append("search " + " ".join(dns.searches))
    lines += [f"nameserver {server}" for server in dns.servers]
    if dns.options:
        lines.append("options " + " ".join(dns.options))
    return "".join(line + "\n" for line in lines)


def remove_files(directory: Path) -> None:
    """Take a sandbox's directory away, its tmpfs unmounted. Idempotent."""
    mounts.detach(directory / "shm")
    shutil.rmtree(directory, ignore_errors=True)
