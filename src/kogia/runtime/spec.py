"""ContainerConfig + image config + sandbox → the OCI runtime spec (a dict, written as the bundle's config.json). Pure.

The defaults are those containers expect everywhere: capabilities, devices, masked paths, mounts. Limits that the machine
would refuse are not asked for: no rlimits (raising a hard limit needs CAP_SYS_RESOURCE), `oom_score_adj` never below
`oom_score_floor`, capabilities only from `allowed_capabilities`.
Neighbours: `container_create` gathers the inputs; `seccomp`, `users` and `spec_mounts` resolve their parts.
Source: opencontainers/runtime-spec config.md and config-linux.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kogia.cri import types as t
from kogia.cri.errors import Code, CriError
from kogia.runtime.spec_mounts import MASKED_PATHS, READONLY_PATHS, mounts, propagation
from kogia.runtime.users import Identity

OCI_VERSION = "1.0.2"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_ALL = (
    "CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID CAP_SETPCAP "
    "CAP_LINUX_IMMUTABLE CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_NET_ADMIN CAP_NET_RAW CAP_IPC_LOCK CAP_IPC_OWNER "
    "CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_CHROOT CAP_SYS_PTRACE CAP_SYS_PACCT CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_NICE "
    "CAP_SYS_RESOURCE CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_MKNOD CAP_LEASE CAP_AUDIT_WRITE CAP_AUDIT_CONTROL CAP_SETFCAP "
    "CAP_MAC_OVERRIDE CAP_MAC_ADMIN CAP_SYSLOG CAP_WAKE_ALARM CAP_BLOCK_SUSPEND CAP_AUDIT_READ CAP_PERFMON CAP_BPF "
    "CAP_CHECKPOINT_RESTORE"
)
CAPABILITIES = tuple(_ALL.split())  #: by number, as in linux/capability.h

_DEFAULT = (
    "CAP_CHOWN CAP_DAC_OVERRIDE CAP_FSETID CAP_FOWNER CAP_MKNOD CAP_NET_RAW CAP_SETGID CAP_SETUID CAP_SETFCAP CAP_SETPCAP "
    "CAP_NET_BIND_SERVICE CAP_SYS_CHROOT CAP_KILL CAP_AUDIT_WRITE"
)
DEFAULT_CAPABILITIES = frozenset(_DEFAULT.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecInput:
    """Everything the spec depends on, resolved. Paths are the host's; "" for a namespace path = a new or the host's one."""

    container_id: str
    config: t.ContainerConfig
    sandbox_config: t.PodSandboxConfig
    image_config: Mapping[str, Any]  #: the `config` object of the OCI image config
    identity: Identity
    cgroup: str
    hostname: str
    net_path: str = ""
    ipc_path: str = ""
    uts_path: str = ""
    pid_path: str = ""
    resolv_conf: str = ""
    hostname_file: str = ""
    shm_dir: str = ""
    seccomp: Mapping[str, Any] | None = None
    allowed_capabilities: frozenset[str] = frozenset(CAPABILITIES)
    oom_score_floor: int = -1000
    cgroup_v2: bool = True
    swap_accounting: bool = False
    pids_limit: int = 0
    host_devices: list[dict[str, Any]] = field(default_factory=list)  #: for privileged containers and `config.devices`
    annotations: Mapping[str, str] = field(default_factory=dict)
    image_mounts: Mapping[str, str] = field(default_factory=dict)  #: container path → mounted image directory


def build(given: SpecInput) -> dict[str, Any]:
    """The OCI runtime spec. Errors: CriError INVALID_ARGUMENT for what cannot be expressed."""
    security = security_of(given.config)
    capabilities = capability_names(security, given.allowed_capabilities)
    return {
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": given.config.tty,
            "user": _user(given.identity),
            "args": arguments(given.config, given.image_config),
            "env": environment(given),
            "cwd": given.config.working_dir or given.image_config.get("WorkingDir") or "/",
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
                **_ambient(security, capabilities),
            },
            "noNewPrivileges": security.no_new_privs,
            "oomScoreAdj": max(_resources(given).oom_score_adj, given.oom_score_floor),
        },
        "root": {"path": "rootfs", "readonly": security.readonly_rootfs},
        "hostname": given.hostname if not given.uts_path and _own_uts(given) else "",
        "mounts": mounts(given),
        "annotations": dict(given.annotations),
        "linux": _linux(given, security),
    }


def security_of(config: t.ContainerConfig) -> t.LinuxContainerSecurityContext:
    return (config.linux and config.linux.security_context) or t.LinuxContainerSecurityContext()


def _resources(given: SpecInput) -> t.LinuxContainerResources:
    return (given.config.linux and given.config.linux.resources) or t.LinuxContainerResources()


def _user(identity: Identity) -> dict[str, Any]:
    return {"uid": identity.uid, "gid": identity.gid, "additionalGids": list(identity.groups)}


def arguments(config: t.ContainerConfig, image: Mapping[str, Any]) -> list[str]:
    """Kubernetes' rule: `command` replaces entrypoint *and* cmd of the image, `args` replaces cmd only."""
    entrypoint, cmd = list(image.get("Entrypoint") or ()), list(image.get("Cmd") or ())
    if config.command:
        entrypoint, cmd = list(config.command), []
    if config.args:
        cmd = list(config.args)
    if not entrypoint + cmd:
        raise CriError(Code.INVALID_ARGUMENT, "no command specified")
    return entrypoint + cmd


def environment(given: SpecInput) -> list[str]:
    """Image first, then the container's; PATH, HOSTNAME, HOME and (with a terminal) TERM where nobody set them."""
    values: dict[str, str] = {"PATH": DEFAULT_PATH, "HOSTNAME": given.hostname}
    if given.config.tty:
        values["TERM"] = "xterm"
    for entry in given.image_config.get("Env") or ():
        key, _, value = entry.partition("=")
        values[key] = value
    for env in given.config.envs:
        values[env.key] = env.value
    values.setdefault("HOME", given.identity.home)
    return [f"{key}={value}" for key, value in values.items()]


def capability_names(security: t.LinuxContainerSecurityContext, allowed: frozenset[str]) -> list[str]:
    """In the order of their numbers. Errors: CriError INVALID_ARGUMENT for a name Linux does not have."""
    if security.privileged:
        return [name for name in CAPABILITIES if name in allowed]
    asked = security.capabilities or t.Capability()
    add, drop = _full_names(asked.add_capabilities), _full_names(asked.drop_capabilities)
    caps = set(CAPABILITIES) if "ALL" in add else set(DEFAULT_CAPABILITIES)
    if "ALL" in drop:
        caps = set(CAPABILITIES) if "ALL" in add else set()
    caps = (caps - drop) | (add - {"ALL"})
    return [name for name in CAPABILITIES if name in caps and name in allowed]


def _full_names(names: list[str]) -> set[str]:
    full = {"ALL" if n.upper() == "ALL" else n.upper() if n.upper().startswith("CAP_") else "CAP_" + n.upper() for n in names}
    for name in full - set(CAPABILITIES) - {"ALL"}:
        raise CriError(Code.INVALID_ARGUMENT, f"unknown capability {name!r}")
    return full


def _ambient(security: t.LinuxContainerSecurityContext, capabilities: list[str]) -> dict[str, list[str]]:
    asked = _full_names(security.capabilities.add_ambient_capabilities) if security.capabilities else set()
    if not asked:
        return {}
    names = [name for name in capabilities if name in asked]
    return {"ambient": names, "inheritable": names}


def _namespace_mode(given: SpecInput) -> t.NamespaceOption:
    security = security_of(given.config)
    if security.namespace_options is not None:
        return security.namespace_options
    linux = given.sandbox_config.linux
    sandbox = linux.security_context if linux else None
    return (sandbox and sandbox.namespace_options) or t.NamespaceOption()


def _own_uts(given: SpecInput) -> bool:
    return _namespace_mode(given).network != t.NamespaceMode.NODE


def _namespaces(given: SpecInput) -> list[dict[str, str]]:
    modes = _namespace_mode(given)
    found: list[dict[str, str]] = [{"type": "mount"}]
    for kind, path, mode in (
        ("network", given.net_path, modes.network),
        ("ipc", given.ipc_path, modes.ipc),
        ("uts", given.uts_path, modes.network),
    ):
        if path:
            found.append({"type": kind, "path": path})
        elif mode != t.NamespaceMode.NODE:
            found.append({"type": kind})
    if given.pid_path:
        found.append({"type": "pid", "path": given.pid_path})
    elif modes.pid != t.NamespaceMode.NODE:
        found.append({"type": "pid"})
    if given.cgroup_v2 and not security_of(given.config).privileged:
        found.append({"type": "cgroup"})
    return found


def _linux(given: SpecInput, security: t.LinuxContainerSecurityContext) -> dict[str, Any]:
    linux: dict[str, Any] = {
        "namespaces": _namespaces(given),
        "cgroupsPath": given.cgroup,
        "resources": resources(given),
        "rootfsPropagation": propagation(given.config),
    }
    if not security.privileged:
        linux["maskedPaths"] = security.masked_paths or list(MASKED_PATHS)
        linux["readonlyPaths"] = security.readonly_paths or list(READONLY_PATHS)
    if given.host_devices:
        linux["devices"] = [{k: v for k, v in device.items() if k != "access"} for device in given.host_devices]
    if given.seccomp is not None:
        linux["seccomp"] = given.seccomp
    return linux


def resources(given: SpecInput) -> dict[str, Any]:
    """`linux.resources`: devices, memory, cpu, pids."""
    out = limits(_resources(given), swap_accounting=given.swap_accounting, cgroup_v2=given.cgroup_v2)
    if security_of(given.config).privileged:
        out["devices"] = [{"allow": True, "access": "rwm"}]
    else:
        rules = [
            {"allow": True, "type": d["type"], "major": d["major"], "minor": d["minor"], "access": d.get("access") or "rwm"}
            for d in given.host_devices
        ]
        out["devices"] = [{"allow": False, "access": "rwm"}, *rules]
    if given.pids_limit > 0:
        out["pids"] = {"limit": given.pids_limit}
    return out


def limits(asked: t.LinuxContainerResources, *, swap_accounting: bool, cgroup_v2: bool) -> dict[str, Any]:
    """CRI's resources as the OCI's; swap is off for a container with a memory limit where the kernel accounts it."""
    cpu: dict[str, Any] = {}
    if asked.cpu_shares:
        cpu["shares"] = asked.cpu_shares
    if asked.cpu_quota:
        cpu["quota"], cpu["period"] = asked.cpu_quota, asked.cpu_period or 100_000
    if asked.cpuset_cpus:
        cpu["cpus"] = asked.cpuset_cpus
    if asked.cpuset_mems:
        cpu["mems"] = asked.cpuset_mems
    out: dict[str, Any] = {}
    if cpu:
        out["cpu"] = cpu
    if asked.memory_limit_in_bytes:
        out["memory"] = {"limit": asked.memory_limit_in_bytes}
        if swap_accounting:
            out["memory"]["swap"] = max(asked.memory_swap_limit_in_bytes, asked.memory_limit_in_bytes)
    if cgroup_v2 and asked.unified:
        out["unified"] = dict(asked.unified)
    return out
