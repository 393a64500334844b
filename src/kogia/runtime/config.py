"""What the embedded runtime is told at start, and the names everything it makes is known by.

All names on the machine derive from the cluster's name, so that two clusters never meet, and `reset` finds its own.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeConfig:
    """`root` persists (container layers, records); `state_dir` may be lost at boot (pins, sockets, exit files)."""

    root: Path
    state_dir: Path
    name: str = "kogia"
    pod_cidr: str = "10.42.0.0/24"  #: this node's range
    service_cidr: str = "10.43.0.0/16"
    cluster_cidr: str = ""  #: all nodes' Pod ranges, not masqueraded; "" = pod_cidr
    oci_runtimes: dict[str, str] = field(default_factory=dict)  #: handler → program; {} = crun and runc where installed
    default_handler: str = ""  #: "" = crun, or runc where crun cannot run
    cni_conf_dir: Path | None = None  #: holding a *.conflist → plugins; None or empty → the default network
    cni_bin_dirs: tuple[Path, ...] = (Path("/opt/cni/bin"), Path("/usr/lib/cni"), Path("/usr/libexec/cni"))
    conmon: str = "conmon"
    seccomp_profile: Path = Path("/usr/share/containers/seccomp.json")
    seccomp_localhost_dir: Path = Path("/var/lib/kubelet/seccomp")
    ready_namespaces: int = 6  #: network namespaces kept ready for the default network
    parallel_starts: int = 4
    mtu: int = 0  #: of the pod links; 0 = the kernel's
    pids_limit: int = 0  #: per container; 0 = none

    @property
    def slug(self) -> str:
        """The cluster's name in letters, digits and underscores (nftables tables)."""
        return re.sub(r"[^A-Za-z0-9_]", "_", self.name)

    @property
    def cgroup_root(self) -> str:
        """The runtime's subtree in every hierarchy: `/kogia`, or `/kogia-<name>`."""
        return "/kogia" if self.name == "kogia" else f"/kogia-{self.slug}"

    @property
    def bridge(self) -> str:
        """At most 15 characters, the kernel's limit."""
        if self.name == "kogia":
            return "kogia0"
        return f"kg-{self.slug}" if len(self.slug) <= 12 else "kg-" + self._hash[:10]

    @property
    def link_prefix(self) -> str:
        return "kg" + self._hash[:4]

    @property
    def net_table(self) -> str:
        return f"kogia_{self.slug}_net"

    @property
    def hostports_table(self) -> str:
        return f"kogia_{self.slug}_hostports"

    @property
    def _hash(self) -> str:
        return hashlib.sha256(self.name.encode()).hexdigest()

    @property
    def namespaces_dir(self) -> Path:
        return self.state_dir / "ns"

    @property
    def exits_dir(self) -> Path:
        return self.state_dir / "exits"

    @property
    def sandboxes_dir(self) -> Path:
        return self.root / "sandboxes"

    @property
    def containers_dir(self) -> Path:
        return self.root / "containers"

    @property
    def cni_dir(self) -> Path:
        return self.root / "cni"
