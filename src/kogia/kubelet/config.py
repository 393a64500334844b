"""What a kubelet must be told, and where it keeps things. No logic but paths."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class KubeletConfig:
    """`root_dir` holds `pods/<uid>/…` (volumes, hosts files, termination logs). Sizes in bytes, times in seconds."""

    node_name: str
    root_dir: str | Path = "/var/lib/kogia/kubelet"
    pod_log_dir: str | Path = ""  #: "" = `logs` in root_dir
    bind_address: str = "0.0.0.0"
    port: int = 10250  #: 0 = any free one
    serve: bool = True  #: whether to open the HTTPS API
    tls_cert: str | Path = ""  #: what the HTTPS API shows
    tls_key: str | Path = ""
    client_ca: str | Path = ""  #: who signs those that may use it
    node_ip: str = ""  #: "" = the address of the default route's interface
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    host_resolv_conf: str = "/etc/resolv.conf"
    pod_cidr: str = ""
    max_pods: int = 110
    cgroup_root: str = ""  #: put before /kubepods
    node_labels: dict[str, str] = field(default_factory=dict)
    node_taints: tuple[dict[str, str], ...] = ()
    register_node: bool = True
    lease_s: int = 40
    heartbeat_s: float = 10.0
    status_s: float = 300.0
    relist_s: float = 120.0
    refresh_s: float = 60.0  #: how often volumes of API data are brought up to date
    log_max_bytes: int = 10 << 20
    log_max_files: int = 5
    allowed_users: tuple[str, ...] = ("kube-apiserver-kubelet-client", "system:apiserver", "kubernetes-admin")
    allowed_groups: tuple[str, ...] = ("system:masters", "kubeadm:cluster-admins")
    version: str = "v1.37.0"

    def pod_dir(self, uid: str) -> Path:
        return Path(self.root_dir) / "pods" / uid

    def log_dir(self, namespace: str, name: str, uid: str) -> Path:
        return Path(self.pod_log_dir or Path(self.root_dir) / "logs") / f"{namespace}_{name}_{uid}"
