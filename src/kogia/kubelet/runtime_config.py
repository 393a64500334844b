"""From a Pod and a container to what CRI is asked for: pure translation.

Neighbours: pod_worker.py (passes mounts, environment and facts in), kogia.cri.types (the result).
Invariants: labels and annotations are those by which any kubelet, crictl and log collector know containers; nothing is invented that the spec
leaves to the runtime. Source: kubelet kuberuntime generatePodSandboxConfig, generateContainerConfig, kuberuntime labels.go, qos/policy.go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from kogia.api import quantity
from kogia.api.pods import qos_class
from kogia.cri import types as t
from kogia.kubelet.container_record import HASH, container_hash
from kogia.kubelet.env import expand
from kogia.kubelet.hosts import hostname_of

Obj = dict[str, Any]

POD_NAME, POD_NAMESPACE, POD_UID, CONTAINER_NAME = (
    "io.kubernetes.pod.name", "io.kubernetes.pod.namespace", "io.kubernetes.pod.uid", "io.kubernetes.container.name",
)
RESTART_COUNT = "io.kubernetes.container.restartCount"
TERMINATION_PATH = "io.kubernetes.container.terminationMessagePath"
TERMINATION_POLICY = "io.kubernetes.container.terminationMessagePolicy"
POD_GRACE = "io.kubernetes.pod.terminationGracePeriod"
PORTS = "io.kubernetes.container.ports"

_MASKED = [
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
]
_READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def pod_labels(pod: Obj) -> dict[str, str]:
    metadata = pod["metadata"]
    own = {POD_NAME: metadata["name"], POD_NAMESPACE: metadata["namespace"], POD_UID: metadata["uid"]}
    return {**(metadata.get("labels") or {}), **own}


def cgroup_parent(pod: Obj, root: str) -> str:
    """As the cgroupfs driver lays it out: by QoS class, then by Pod."""
    level = {"Guaranteed": "", "Burstable": "/burstable", "BestEffort": "/besteffort"}[qos_class(pod)]
    return f"{root}/kubepods{level}/pod{pod['metadata']['uid']}"


def milli_to_shares(milli: int) -> int:
    return max(2, milli * 1024 // 1000) if milli else 2


def milli_to_quota(milli: int, period: int = 100_000) -> int:
    return max(1000, milli * period // 1000) if milli else 0


def resources(container: Obj, pod: Obj, memory_capacity: int) -> t.LinuxContainerResources:
    """CPU shares and quota, memory limit, and the OOM score by QoS class."""
    limits = (container.get("resources") or {}).get("limits") or {}
    requests = (container.get("resources") or {}).get("requests") or {}
    cpu_request = quantity.milli_value(requests.get("cpu", limits.get("cpu", "0")))
    cpu_limit = quantity.milli_value(limits.get("cpu", "0"))
    memory = quantity.int_value(limits.get("memory", "0"))
    return t.LinuxContainerResources(
        cpu_period=100_000,
        cpu_shares=milli_to_shares(cpu_request),
        cpu_quota=milli_to_quota(cpu_limit),
        memory_limit_in_bytes=memory,
        memory_swap_limit_in_bytes=memory,
        oom_score_adj=oom_score_adj(container, pod, memory_capacity),
    )


def oom_score_adj(container: Obj, pod: Obj, memory_capacity: int) -> int:
    qos = qos_class(pod)
    if qos == "Guaranteed" or (pod["spec"].get("priority") or 0) >= 2_000_000_000:
        return -997
    if qos == "BestEffort":
        return 1000
    request = quantity.int_value(((container.get("resources") or {}).get("requests") or {}).get("memory", "0"))
    adjust = 1000 - (1000 * request) // max(1, memory_capacity)
    return min(999, max(3, adjust))


def _namespaces(spec: Obj) -> t.NamespaceOption:
    node, pod = t.NamespaceMode.NODE, t.NamespaceMode.POD
    return t.NamespaceOption(
        network=node if spec.get("hostNetwork") else pod,
        pid=node if spec.get("hostPID") else pod if spec.get("shareProcessNamespace") else t.NamespaceMode.CONTAINER,
        ipc=node if spec.get("hostIPC") else pod,
    )


def _profile(profile: Obj | None) -> t.SecurityProfile | None:
    if not profile:
        return None
    kind = t.SecurityProfileType[profile.get("type", "RuntimeDefault")]
    return t.SecurityProfile(profile_type=kind, localhost_ref=profile.get("localhostProfile") or "")


def _int(value: Any) -> t.Int64Value | None:
    return None if value is None else t.Int64Value(value=int(value))


def _groups(context: Obj) -> list[int]:
    groups = [int(g) for g in context.get("supplementalGroups") or []]
    if context.get("fsGroup") is not None:
        groups.append(int(context["fsGroup"]))
    return list(dict.fromkeys(groups))


def sandbox_config(pod: Obj, attempt: int, *, log_directory: str, dns: t.DNSConfig, cluster_domain: str, cgroup_root: str = "") -> t.PodSandboxConfig:
    spec, metadata = pod["spec"], pod["metadata"]
    context = spec.get("securityContext") or {}
    hostname, domain = hostname_of(pod, cluster_domain)
    if spec.get("setHostnameAsFQDN") and domain:
        hostname = f"{hostname}.{domain}"
    privileged = any((c.get("securityContext") or {}).get("privileged") for c in spec["containers"] + (spec.get("initContainers") or []))
    ports = [
        t.PortMapping(
            protocol=t.Protocol[p.get("protocol", "TCP")], container_port=p["containerPort"], host_port=p["hostPort"], host_ip=p.get("hostIP", "")
        )
        for c in spec["containers"] + (spec.get("initContainers") or [])
        for p in c.get("ports") or []
        if p.get("hostPort")
    ]
    return t.PodSandboxConfig(
        metadata=t.PodSandboxMetadata(name=metadata["name"], uid=metadata["uid"], namespace=metadata["namespace"], attempt=attempt),
        hostname="" if spec.get("hostNetwork") else hostname,
        log_directory=log_directory,
        dns_config=dns,
        port_mappings=[] if spec.get("hostNetwork") else ports,
        labels=pod_labels(pod),
        annotations=dict(metadata.get("annotations") or {}),
        linux=t.LinuxPodSandboxConfig(
            cgroup_parent=cgroup_parent(pod, cgroup_root),
            sysctls={s["name"]: s["value"] for s in context.get("sysctls") or []},
            security_context=t.LinuxSandboxSecurityContext(
                namespace_options=_namespaces(spec),
                run_as_user=_int(context.get("runAsUser")),
                run_as_group=_int(context.get("runAsGroup")) if context.get("runAsUser") is not None else None,
                supplemental_groups=_groups(context),
                privileged=privileged,
                seccomp=t.SecurityProfile(profile_type=t.SecurityProfileType.RuntimeDefault),
            ),
        ),
    )


def _security(container: Obj, pod: Obj) -> t.LinuxContainerSecurityContext:
    pod_context = pod["spec"].get("securityContext") or {}
    own = container.get("securityContext") or {}
    privileged = bool(own.get("privileged"))
    capabilities = own.get("capabilities") or {}
    user = own.get("runAsUser", pod_context.get("runAsUser"))
    group = own.get("runAsGroup", pod_context.get("runAsGroup"))
    unmasked = own.get("procMount") == "Unmasked" or privileged
    seccomp = _profile(own.get("seccompProfile") or pod_context.get("seccompProfile"))
    if seccomp is None:
        seccomp = t.SecurityProfile(profile_type=t.SecurityProfileType.RuntimeDefault)
    if privileged:
        seccomp = t.SecurityProfile(profile_type=t.SecurityProfileType.Unconfined)
    return t.LinuxContainerSecurityContext(
        capabilities=t.Capability(add_capabilities=list(capabilities.get("add") or []), drop_capabilities=list(capabilities.get("drop") or [])),
        privileged=privileged,
        namespace_options=_namespaces(pod["spec"]),
        run_as_user=_int(user),
        run_as_group=_int(group),
        readonly_rootfs=bool(own.get("readOnlyRootFilesystem")),
        supplemental_groups=_groups(pod_context),
        supplemental_groups_policy=t.SupplementalGroupsPolicy[pod_context.get("supplementalGroupsPolicy") or "Merge"],
        no_new_privs=own.get("allowPrivilegeEscalation") is False,
        masked_paths=[] if unmasked else list(_MASKED),
        readonly_paths=[] if unmasked else list(_READONLY),
        seccomp=seccomp,
    )


def container_config(
    container: Obj, pod: Obj, attempt: int, *, image_ref: str, env: Mapping[str, str], mounts: Sequence[t.Mount], memory_capacity: int,
) -> t.ContainerConfig:
    metadata = pod["metadata"]
    annotations = {
        HASH: container_hash(container),
        RESTART_COUNT: str(attempt),
        TERMINATION_PATH: container.get("terminationMessagePath") or "/dev/termination-log",
        TERMINATION_POLICY: container.get("terminationMessagePolicy") or "File",
        POD_GRACE: str(pod["spec"].get("terminationGracePeriodSeconds", 30)),
    }
    if container.get("ports"):
        annotations[PORTS] = json.dumps(container["ports"], separators=(",", ":"))
    return t.ContainerConfig(
        metadata=t.ContainerMetadata(name=container["name"], attempt=attempt),
        image=t.ImageSpec(image=image_ref or container["image"], user_specified_image=container["image"]),
        command=[expand(a, env) for a in container.get("command") or []],
        args=[expand(a, env) for a in container.get("args") or []],
        working_dir=container.get("workingDir") or "",
        envs=[t.KeyValue(key=k, value=v) for k, v in env.items()],
        mounts=list(mounts),
        labels={
            CONTAINER_NAME: container["name"], POD_NAME: metadata["name"], POD_NAMESPACE: metadata["namespace"], POD_UID: metadata["uid"],
        },
        annotations=annotations,
        log_path=f"{container['name']}/{attempt}.log",
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        tty=bool(container.get("tty")),
        linux=t.LinuxContainerConfig(resources=resources(container, pod, memory_capacity), security_context=_security(container, pod)),
        stop_signal=(container.get("lifecycle") or {}).get("stopSignal") or "",
    )


def run_as_nonroot_error(container: Obj, pod: Obj, image: t.Image | None) -> str:
    """Why a container that must not run as root cannot be made, or ""."""
    own = container.get("securityContext") or {}
    pod_context = pod["spec"].get("securityContext") or {}
    if not own.get("runAsNonRoot", pod_context.get("runAsNonRoot")):
        return ""
    user = own.get("runAsUser", pod_context.get("runAsUser"))
    if user is not None:
        return "container's runAsUser breaks non-root policy" if int(user) == 0 else ""
    if image is None:
        return ""
    if image.uid is not None:
        return "container has runAsNonRoot and image will run as root" if image.uid.value == 0 else ""
    if image.username:
        return f"container has runAsNonRoot and image has non-numeric user ({image.username}), cannot verify user is non-root"
    return "container has runAsNonRoot and image will run as root"
