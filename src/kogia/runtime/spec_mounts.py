"""The `mounts` of an OCI spec: the kernel's file systems, what the sandbox shares, and what the Pod asks for. Pure.

Order matters: a mount below another comes after it, so the Pod's own are sorted by depth behind the defaults.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kogia.cri import types as t

if TYPE_CHECKING:
    from kogia.runtime.spec import SpecInput

MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_PROPAGATION = {
    t.MountPropagation.PROPAGATION_PRIVATE: "rprivate",
    t.MountPropagation.PROPAGATION_HOST_TO_CONTAINER: "rslave",
    t.MountPropagation.PROPAGATION_BIDIRECTIONAL: "rshared",
}


def mounts(given: SpecInput) -> list[dict[str, Any]]:
    """All mounts in the order to be made; a Pod's mount replaces a default at the same place."""
    asked = sorted(given.config.mounts, key=lambda m: m.container_path.rstrip("/").count("/"))
    taken = {m.container_path.rstrip("/") for m in asked}
    found = [mount for mount in _defaults(given) if mount["destination"] not in taken]
    return found + [_asked(mount, given) for mount in asked]


def _defaults(given: SpecInput) -> list[dict[str, Any]]:
    security = given.config.linux and given.config.linux.security_context
    privileged = bool(security and security.privileged)
    read_only = "rw" if privileged else "ro"
    found = [
        _fs("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
        _fs("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _fs("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        _fs("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        _fs("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", read_only),
        _fs("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", read_only),
    ]
    if given.shm_dir:
        found.append(_bind("/dev/shm", given.shm_dir, "rw"))
    if given.resolv_conf:
        found.append(_bind("/etc/resolv.conf", given.resolv_conf, "rw"))
    if given.hostname_file:
        found.append(_bind("/etc/hostname", given.hostname_file, "rw"))
    return found


def _fs(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def _bind(destination: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": "bind", "source": source, "options": ["rbind", "rprivate", *options]}


def _asked(mount: t.Mount, given: SpecInput) -> dict[str, Any]:
    options = ["rbind", _PROPAGATION[mount.propagation]]
    if mount.readonly or mount.image is not None:
        options.append("ro")
    if mount.recursive_read_only:
        options.append("rro")
    source = given.image_mounts.get(mount.container_path, mount.host_path)
    return {"destination": mount.container_path, "type": "bind", "source": source, "options": options}


def propagation(config: t.ContainerConfig) -> str:
    """`linux.rootfsPropagation`: as open as the most open mount needs."""
    modes = {mount.propagation for mount in config.mounts}
    if t.MountPropagation.PROPAGATION_BIDIRECTIONAL in modes:
        return "rshared"
    if t.MountPropagation.PROPAGATION_HOST_TO_CONTAINER in modes:
        return "rslave"
    return "rprivate"
