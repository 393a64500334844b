"""Make a container ready to start: overlay root, identity, OCI spec, bundle, record. Nothing runs yet.

The OCI runtime's `create` belongs to starting (`container_start`), as with containerd: what cannot be executed is then
a container that failed to start, with a status that says so, not a container that does not exist.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import stat
import time
from pathlib import Path
from typing import Any

import orjson

from kogia.cri import types as t
from kogia.cri.errors import Code, CriError, not_found
from kogia.runtime import cgroups, mounts, seccomp, spec, users
from kogia.runtime.context import Context, ImageInfo
from kogia.runtime.sandbox_run import namespace_options
from kogia.runtime.seccomp_cache import ANNOTATION
from kogia.runtime.state import ContainerRecord, SandboxRecord, is_alive, write_atomically


async def create(ctx: Context, sandbox_id: str, config: t.ContainerConfig, sandbox_config: t.PodSandboxConfig) -> str:
    """CreateContainer. Errors: CriError NOT_FOUND for sandbox or image; nothing is left behind."""
    sandbox = ctx.sandbox(sandbox_id)
    ctx.executor.submit(cgroups.warm_up, ctx.machine.procs_file)
    async with ctx.lock(sandbox.id):  # so that stopping or removing the sandbox sees this container, or this sees that
        return await _create_locked(ctx, sandbox, config, sandbox_config)


async def _create_locked(ctx: Context, sandbox: SandboxRecord, config: t.ContainerConfig, sandbox_config: t.PodSandboxConfig) -> str:
    if not sandbox.ready or sandbox.id not in ctx.records.sandboxes:
        raise CriError(Code.FAILED_PRECONDITION, f"sandbox container {sandbox.id!r} is not running")
    image = ctx.images.resolve(config.image.image)
    if image is None:
        raise not_found(f'failed to resolve image "{config.image.image}": not found')
    identity = secrets.token_hex(32)
    record = _record(ctx, identity, config, sandbox, image)
    bundle = ctx.bundle(identity)
    try:
        await ctx.in_thread(_prepare, ctx, record, sandbox, sandbox_config, image, bundle)
        ctx.records.save_container(record)
    except BaseException as error:
        await asyncio.shield(ctx.in_thread(remove_bundle, bundle))
        await asyncio.shield(ctx.in_thread(release_images, ctx, record))
        if isinstance(error, KeyError):
            raise not_found(f'image "{config.image.image}" was removed meanwhile') from error
        if isinstance(error, OSError):
            raise CriError(Code.INTERNAL, f"failed to create container: {error}") from error
        raise
    ctx.emit(t.ContainerEventType.CONTAINER_CREATED_EVENT, record)
    return identity


def _record(ctx: Context, identity: str, config: t.ContainerConfig, sandbox: SandboxRecord, image: ImageInfo) -> ContainerRecord:
    pod = sandbox.config.metadata
    log_path = ""
    if config.log_path and sandbox.config.log_directory:
        log_path = os.path.join(sandbox.config.log_directory, config.log_path)
    return ContainerRecord(
        id=identity,
        sandbox_id=sandbox.id,
        name=f"k8s_{config.metadata.name}_{pod.name}_{pod.namespace}_{pod.uid}_{config.metadata.attempt}",
        config=config,
        image_id=image.id,
        image_ref=image.repo_digest,
        handler=sandbox.handler or ctx.oci.default,
        cgroup=f"{sandbox.cgroup}/{identity}",
        log_path=log_path,
        stop_signal=config.stop_signal or image.config.get("StopSignal") or "SIGTERM",
        created_at=time.time_ns(),
    )


def _prepare(
    ctx: Context, record: ContainerRecord, sandbox: SandboxRecord, sandbox_config: t.PodSandboxConfig, image: ImageInfo, bundle: Path
) -> None:
    """The blocking part of creating. The image is held first, so that its layers stay."""
    ctx.images.hold(image.id, record.id)
    rootfs = bundle / "rootfs"
    rootfs.mkdir(parents=True)
    (bundle / "upper").mkdir()
    (bundle / "work").mkdir()
    mounts.overlay([Path(p) for p in image.layer_dirs], bundle / "upper", bundle / "work", rootfs)
    image_mounts = _mount_images(ctx, record, bundle)
    if record.log_path:
        Path(record.log_path).parent.mkdir(parents=True, exist_ok=True)
    for mount in record.config.mounts:
        if mount.image is None and not os.path.lexists(mount.host_path):
            raise CriError(Code.INTERNAL, f'failed to mount "{mount.host_path}" to "{mount.container_path}": no such file or directory')
    given = _inputs(ctx, record, sandbox, sandbox_config, image, rootfs, image_mounts)
    write_atomically(bundle / "config.json", orjson.dumps(spec.build(given)))


def _mount_images(ctx: Context, record: ContainerRecord, bundle: Path) -> dict[str, str]:
    """Image volumes: each one's layers as a read-only overlay in the bundle."""
    found: dict[str, str] = {}
    for number, mount in enumerate(m for m in record.config.mounts if m.image is not None):
        assert mount.image is not None
        image = ctx.images.resolve(mount.image.image)
        if image is None:
            raise not_found(f'failed to resolve image "{mount.image.image}": not found')
        base = bundle / "images" / str(number)
        for name in ("root", "upper", "work"):
            (base / name).mkdir(parents=True)
        ctx.images.hold(image.id, f"{record.id}-{number}")
        mounts.overlay([Path(p) for p in image.layer_dirs], base / "upper", base / "work", base / "root")
        inside = os.path.normpath("/" + mount.image_sub_path).lstrip("/")
        found[mount.container_path] = str(base / "root" / inside)
    return found


def _inputs(
    ctx: Context,
    record: ContainerRecord,
    sandbox: SandboxRecord,
    sandbox_config: t.PodSandboxConfig,
    image: ImageInfo,
    rootfs: Path,
    image_mounts: dict[str, str],
) -> spec.SpecInput:
    config = record.config
    security = spec.security_of(config)
    held = sandbox.namespaces(ctx.config.namespaces_dir)
    identity = users.resolve(
        str(rootfs),
        str(image.config.get("User") or ""),
        uid=security.run_as_user.value if security.run_as_user else None,
        username=security.run_as_username,
        gid=security.run_as_group.value if security.run_as_group else None,
        extra=security.supplemental_groups,
        strict=security.supplemental_groups_policy == t.SupplementalGroupsPolicy.Strict,
    )
    allowed = ctx.machine.capabilities
    profile = _seccomp(ctx, security, frozenset(spec.capability_names(security, allowed)))
    directory = ctx.config.sandboxes_dir / sandbox.id
    host_net = namespace_options(sandbox.config).network == t.NamespaceMode.NODE
    return spec.SpecInput(
        container_id=record.id,
        config=config,
        sandbox_config=sandbox.config,
        image_config=image.config,
        identity=identity,
        cgroup=record.cgroup,
        hostname=sandbox.config.hostname or os.uname().nodename,
        net_path=held.path("net"),
        ipc_path=held.path("ipc"),
        uts_path=held.path("uts"),
        pid_path=_pid_path(ctx, sandbox, security),
        resolv_conf=_if_there(directory / "resolv.conf"),
        hostname_file="/etc/hostname" if host_net and os.path.exists("/etc/hostname") else _if_there(directory / "hostname"),
        shm_dir=_if_there(directory / "shm") or "/dev/shm",
        seccomp=profile,
        allowed_capabilities=allowed,
        oom_score_floor=ctx.machine.oom_score_floor,
        cgroup_v2=ctx.machine.layout.is_v2,
        swap_accounting=ctx.machine.swap_accounting,
        pids_limit=ctx.config.pids_limit,
        host_devices=_devices(config, security.privileged),
        annotations={
            "io.kubernetes.cri-o.ContainerType": "container",
            "io.kubernetes.cri.container-name": config.metadata.name,
            "io.kubernetes.cri.sandbox-id": sandbox.id,
            "io.kubernetes.cri.sandbox-name": sandbox.config.metadata.name,
            "io.kubernetes.cri.sandbox-namespace": sandbox.config.metadata.namespace,
            "io.kubernetes.cri.sandbox-uid": sandbox.config.metadata.uid,
            **_compiled_seccomp(ctx, record, profile),
        },
        image_mounts=image_mounts,
    )


def _if_there(path: Path) -> str:
    return str(path) if path.exists() else ""


def _pid_path(ctx: Context, sandbox: SandboxRecord, security: t.LinuxContainerSecurityContext) -> str:
    """The PID namespace to join: another container's (kubectl debug --target) or the Pod's."""
    options = security.namespace_options or namespace_options(sandbox.config)
    if options.pid == t.NamespaceMode.TARGET:
        target = ctx.container(options.target_id)
        if not is_alive(target.pid, target.pid_started):
            raise CriError(Code.FAILED_PRECONDITION, f"target container {options.target_id!r} is not running")
        return f"/proc/{target.pid}/ns/pid"
    if options.pid == t.NamespaceMode.POD and sandbox.holder_pid:
        return f"/proc/{sandbox.holder_pid}/ns/pid"
    return ""


def _seccomp(ctx: Context, security: t.LinuxContainerSecurityContext, caps: frozenset[str]) -> dict[str, Any] | None:
    """Nothing asked for means the default profile; privileged containers have none."""
    profile = security.seccomp or t.SecurityProfile()
    if security.privileged or profile.profile_type == t.SecurityProfileType.Unconfined:
        return None
    if profile.profile_type == t.SecurityProfileType.Localhost:
        path = ctx.config.seccomp_localhost_dir / profile.localhost_ref
        loaded = seccomp.load(path)
        if loaded is None:
            raise CriError(Code.INVALID_ARGUMENT, f"failed to load seccomp profile {path}: no such file")
        return seccomp.resolve(loaded, caps)
    return seccomp.resolved_default(ctx.config.seccomp_profile, caps)


def _compiled_seccomp(ctx: Context, record: ContainerRecord, profile: dict[str, Any] | None) -> dict[str, str]:
    """The annotation that spares crun the compiling; without one yet, the container is noted to learn it from."""
    runtime = ctx.oci.get(record.handler)
    if profile is None or not runtime.is_crun:
        return {}
    key = ctx.seccomp.key(profile, runtime.program)
    compiled = ctx.seccomp.annotation(key)
    if not compiled:
        ctx.seccomp_keys[record.id] = key
        return {}
    return {ANNOTATION: compiled}


def _devices(config: t.ContainerConfig, privileged: bool) -> list[dict[str, Any]]:
    """The devices asked for; for privileged containers all of the host's."""
    found = [_device(d.host_path, d.container_path or d.host_path, d.permissions or "rwm") for d in config.devices]
    if privileged:
        known = {device["path"] for device in found}
        for folder, folders, names in os.walk("/dev"):
            folders[:] = [f for f in folders if f not in ("pts", "shm", "mqueue", "fd", ".lxc", ".udev")]
            for name in names:
                path = os.path.join(folder, name)
                if path in known or path in ("/dev/console", "/dev/ptmx"):
                    continue
                mode = os.lstat(path).st_mode
                if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                    found.append(_device(path, path, "rwm"))
    return found


def _device(host_path: str, path: str, access: str) -> dict[str, Any]:
    try:
        info = os.stat(host_path)
    except OSError as error:
        raise CriError(Code.INVALID_ARGUMENT, f"error gathering device information while adding device {host_path!r}: {error}") from error
    if not (stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode)):
        raise CriError(Code.INVALID_ARGUMENT, f"{host_path!r} is not a device node")
    return {
        "path": path,
        "type": "c" if stat.S_ISCHR(info.st_mode) else "b",
        "major": os.major(info.st_rdev),
        "minor": os.minor(info.st_rdev),
        "fileMode": stat.S_IMODE(info.st_mode),
        "uid": info.st_uid,
        "gid": info.st_gid,
        "access": access,
    }


def remove_bundle(bundle: Path) -> None:
    """Unmount what is mounted in a bundle and remove it. Idempotent."""
    for point in [bundle / "rootfs", *(p / "root" for p in sorted((bundle / "images").glob("*")))]:
        mounts.detach(point)
    shutil.rmtree(bundle, ignore_errors=True)


def release_images(ctx: Context, record: ContainerRecord) -> None:
    """Let go of the images a container held: its own, and those mounted as volumes. Idempotent."""
    ctx.images.release(record.id)
    for number in range(sum(1 for mount in record.config.mounts if mount.image is not None)):
        ctx.images.release(f"{record.id}-{number}")
