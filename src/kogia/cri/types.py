"""CRI v1's messages as dataclasses. Field names are the protobuf's, so that one generic codec maps both ways.

Units are the protobuf's: times in nanoseconds since the epoch, memory in bytes, cpu in shares, quota and period in microseconds.
Source: k8s.io/cri-api, runtime/v1 api.proto.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum


class Protocol(IntEnum):
    TCP = 0
    UDP = 1
    SCTP = 2


class MountPropagation(IntEnum):
    PROPAGATION_PRIVATE = 0
    PROPAGATION_HOST_TO_CONTAINER = 1
    PROPAGATION_BIDIRECTIONAL = 2


class NamespaceMode(IntEnum):
    POD = 0
    CONTAINER = 1
    NODE = 2
    TARGET = 3


class PodSandboxState(IntEnum):
    SANDBOX_READY = 0
    SANDBOX_NOTREADY = 1


class ContainerState(IntEnum):
    CONTAINER_CREATED = 0
    CONTAINER_RUNNING = 1
    CONTAINER_EXITED = 2
    CONTAINER_UNKNOWN = 3


class SecurityProfileType(IntEnum):
    RuntimeDefault = 0
    Unconfined = 1
    Localhost = 2


class SupplementalGroupsPolicy(IntEnum):
    Merge = 0
    Strict = 1


class ContainerEventType(IntEnum):
    CONTAINER_CREATED_EVENT = 0
    CONTAINER_STARTED_EVENT = 1
    CONTAINER_STOPPED_EVENT = 2
    CONTAINER_DELETED_EVENT = 3


@dataclass(slots=True, kw_only=True)
class PodSandboxMetadata:
    name: str = ""
    uid: str = ""
    namespace: str = ""
    attempt: int = 0


@dataclass(slots=True, kw_only=True)
class ContainerMetadata:
    name: str = ""
    attempt: int = 0


@dataclass(slots=True, kw_only=True)
class ImageSpec:
    image: str = ""
    annotations: dict[str, str] = field(default_factory=dict)
    user_specified_image: str = ""
    runtime_handler: str = ""


@dataclass(slots=True, kw_only=True)
class KeyValue:
    key: str = ""
    value: str = ""


@dataclass(slots=True, kw_only=True)
class DNSConfig:
    servers: list[str] = field(default_factory=list)
    searches: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class PortMapping:
    protocol: Protocol = Protocol.TCP
    container_port: int = 0
    host_port: int = 0
    host_ip: str = ""


@dataclass(slots=True, kw_only=True)
class IDMapping:
    host_id: int = 0
    container_id: int = 0
    length: int = 0


@dataclass(slots=True, kw_only=True)
class UserNamespace:
    mode: NamespaceMode = NamespaceMode.NODE
    uids: list[IDMapping] = field(default_factory=list)
    gids: list[IDMapping] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class NamespaceOption:
    network: NamespaceMode = NamespaceMode.POD
    pid: NamespaceMode = NamespaceMode.CONTAINER
    ipc: NamespaceMode = NamespaceMode.POD
    target_id: str = ""
    userns_options: UserNamespace | None = None


@dataclass(slots=True, kw_only=True)
class Int64Value:
    value: int = 0


@dataclass(slots=True, kw_only=True)
class SecurityProfile:
    profile_type: SecurityProfileType = SecurityProfileType.RuntimeDefault
    localhost_ref: str = ""


@dataclass(slots=True, kw_only=True)
class Capability:
    add_capabilities: list[str] = field(default_factory=list)
    drop_capabilities: list[str] = field(default_factory=list)
    add_ambient_capabilities: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class LinuxSandboxSecurityContext:
    namespace_options: NamespaceOption | None = None
    run_as_user: Int64Value | None = None
    run_as_group: Int64Value | None = None
    readonly_rootfs: bool = False
    supplemental_groups: list[int] = field(default_factory=list)
    supplemental_groups_policy: SupplementalGroupsPolicy = SupplementalGroupsPolicy.Merge
    privileged: bool = False
    seccomp: SecurityProfile | None = None
    apparmor: SecurityProfile | None = None


@dataclass(slots=True, kw_only=True)
class LinuxContainerResources:
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_shares: int = 0
    memory_limit_in_bytes: int = 0
    oom_score_adj: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    unified: dict[str, str] = field(default_factory=dict)
    memory_swap_limit_in_bytes: int = 0


@dataclass(slots=True, kw_only=True)
class LinuxPodSandboxConfig:
    cgroup_parent: str = ""
    security_context: LinuxSandboxSecurityContext | None = None
    sysctls: dict[str, str] = field(default_factory=dict)
    overhead: LinuxContainerResources | None = None
    resources: LinuxContainerResources | None = None


@dataclass(slots=True, kw_only=True)
class PodSandboxConfig:
    metadata: PodSandboxMetadata = field(default_factory=PodSandboxMetadata)
    hostname: str = ""
    log_directory: str = ""
    dns_config: DNSConfig | None = None
    port_mappings: list[PortMapping] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    linux: LinuxPodSandboxConfig | None = None


@dataclass(slots=True, kw_only=True)
class Mount:
    container_path: str = ""
    host_path: str = ""
    readonly: bool = False
    selinux_relabel: bool = False
    propagation: MountPropagation = MountPropagation.PROPAGATION_PRIVATE
    recursive_read_only: bool = False
    image: ImageSpec | None = None
    image_sub_path: str = ""


@dataclass(slots=True, kw_only=True)
class Device:
    container_path: str = ""
    host_path: str = ""
    permissions: str = ""


@dataclass(slots=True, kw_only=True)
class LinuxContainerSecurityContext:
    capabilities: Capability | None = None
    privileged: bool = False
    namespace_options: NamespaceOption | None = None
    run_as_user: Int64Value | None = None
    run_as_group: Int64Value | None = None
    run_as_username: str = ""
    readonly_rootfs: bool = False
    supplemental_groups: list[int] = field(default_factory=list)
    supplemental_groups_policy: SupplementalGroupsPolicy = SupplementalGroupsPolicy.Merge
    no_new_privs: bool = False
    masked_paths: list[str] = field(default_factory=list)
    readonly_paths: list[str] = field(default_factory=list)
    seccomp: SecurityProfile | None = None
    apparmor: SecurityProfile | None = None


@dataclass(slots=True, kw_only=True)
class LinuxContainerConfig:
    resources: LinuxContainerResources | None = None
    security_context: LinuxContainerSecurityContext | None = None


@dataclass(slots=True, kw_only=True)
class ContainerConfig:
    metadata: ContainerMetadata = field(default_factory=ContainerMetadata)
    image: ImageSpec = field(default_factory=ImageSpec)
    command: list[str] = field(default_factory=list)  #: replaces the image's entrypoint when non-empty
    args: list[str] = field(default_factory=list)  #: replaces the image's cmd when non-empty
    working_dir: str = ""
    envs: list[KeyValue] = field(default_factory=list)
    mounts: list[Mount] = field(default_factory=list)
    devices: list[Device] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    log_path: str = ""  #: relative to the sandbox's log_directory
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    linux: LinuxContainerConfig | None = None
    stop_signal: str = ""


@dataclass(slots=True, kw_only=True)
class PodIP:
    ip: str = ""


@dataclass(slots=True, kw_only=True)
class PodSandboxNetworkStatus:
    ip: str = ""
    additional_ips: list[PodIP] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class PodSandboxStatus:
    id: str = ""
    metadata: PodSandboxMetadata = field(default_factory=PodSandboxMetadata)
    state: PodSandboxState = PodSandboxState.SANDBOX_READY
    created_at: int = 0
    network: PodSandboxNetworkStatus | None = None
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    runtime_handler: str = ""


@dataclass(slots=True, kw_only=True)
class PodSandbox:
    id: str = ""
    metadata: PodSandboxMetadata = field(default_factory=PodSandboxMetadata)
    state: PodSandboxState = PodSandboxState.SANDBOX_READY
    created_at: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    runtime_handler: str = ""


@dataclass(slots=True, kw_only=True)
class PodSandboxFilter:
    id: str = ""
    state: PodSandboxState | None = None
    label_selector: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Container:
    id: str = ""
    pod_sandbox_id: str = ""
    metadata: ContainerMetadata = field(default_factory=ContainerMetadata)
    image: ImageSpec = field(default_factory=ImageSpec)
    image_ref: str = ""
    state: ContainerState = ContainerState.CONTAINER_CREATED
    created_at: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    image_id: str = ""


@dataclass(slots=True, kw_only=True)
class ContainerFilter:
    id: str = ""
    state: ContainerState | None = None
    pod_sandbox_id: str = ""
    label_selector: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class ContainerStatus:
    id: str = ""
    metadata: ContainerMetadata = field(default_factory=ContainerMetadata)
    state: ContainerState = ContainerState.CONTAINER_CREATED
    created_at: int = 0
    started_at: int = 0  #: 0 if never started
    finished_at: int = 0
    exit_code: int = 0
    image: ImageSpec = field(default_factory=ImageSpec)
    image_ref: str = ""  #: repo digest or image id, as status.containerStatuses[].imageID shows it
    reason: str = ""  #: Completed, Error, OOMKilled, StartError, ContainerCannotRun
    message: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    mounts: list[Mount] = field(default_factory=list)
    log_path: str = ""  #: absolute
    image_id: str = ""


@dataclass(slots=True, kw_only=True)
class Image:
    id: str = ""  #: "sha256:…", the config's digest
    repo_tags: list[str] = field(default_factory=list)
    repo_digests: list[str] = field(default_factory=list)
    size: int = 0
    uid: Int64Value | None = None
    username: str = ""
    spec: ImageSpec | None = None
    pinned: bool = False


@dataclass(slots=True, kw_only=True)
class AuthConfig:
    username: str = ""
    password: str = ""
    auth: str = ""
    server_address: str = ""
    identity_token: str = ""
    registry_token: str = ""


@dataclass(slots=True, kw_only=True)
class FilesystemUsage:
    timestamp: int = 0
    mountpoint: str = ""
    used_bytes: int = 0
    inodes_used: int = 0


@dataclass(slots=True, kw_only=True)
class ContainerStats:
    """Flattened from the protobuf's nested UInt64Values; the gRPC face nests them again."""

    id: str = ""
    metadata: ContainerMetadata = field(default_factory=ContainerMetadata)
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    timestamp: int = 0
    cpu_usage_core_nanoseconds: int = 0
    memory_working_set_bytes: int = 0
    memory_usage_bytes: int = 0
    memory_rss_bytes: int = 0
    writable_layer_used_bytes: int = 0
    writable_layer_inodes_used: int = 0
    pids: int = 0


@dataclass(slots=True, kw_only=True)
class ContainerStatsFilter:
    id: str = ""
    pod_sandbox_id: str = ""
    label_selector: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class VersionResponse:
    version: str = "0.1.0"
    runtime_name: str = ""
    runtime_version: str = ""
    runtime_api_version: str = "v1"


@dataclass(slots=True, kw_only=True)
class RuntimeCondition:
    type: str = ""  #: RuntimeReady, NetworkReady
    status: bool = False
    reason: str = ""
    message: str = ""


@dataclass(slots=True, kw_only=True)
class RuntimeHandler:
    name: str = ""


@dataclass(slots=True, kw_only=True)
class RuntimeStatus:
    conditions: list[RuntimeCondition] = field(default_factory=list)
    runtime_handlers: list[RuntimeHandler] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class ExecSyncResponse:
    stdout: bytes = b""
    stderr: bytes = b""
    exit_code: int = 0


@dataclass(slots=True, kw_only=True)
class ContainerEvent:
    """What happened to one container or sandbox. Delivered once per happening, never for what was true before subscribing."""

    container_id: str = ""  #: the sandbox's id for sandbox events
    container_event_type: ContainerEventType = ContainerEventType.CONTAINER_CREATED_EVENT
    created_at: int = 0
    pod_sandbox_id: str = ""
    pod_uid: str = ""  #: from the sandbox's metadata, so that a worker is found without a look-up
