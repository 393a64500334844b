"""One cluster on this machine: its name, where its files are, its addresses. Written by `kogia up`, read by every process.

Paths are functions of `data_dir` alone, so that a process needs only that to find everything else.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

DEFAULT_NAME = "kogia"
DEFAULT_PORT = 6443
DEFAULT_KUBELET_PORT = 10250
DEFAULT_SERVICE_CIDR = "10.96.0.0/12"
DEFAULT_POD_CIDR = "10.244.0.0/16"
#: Interface names hold 15 characters, and ours append up to 5 of their own.
NAME_PATTERN = re.compile(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?")


#: RFC 1123 subdomain, what a Node may be called.
NODE_NAME_PATTERN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


class ConfigError(ValueError):
    """A setting that cannot be used; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class ClusterPaths:
    data_dir: Path

    @property
    def config(self) -> Path:
        return self.data_dir / "cluster.json"

    @property
    def pki(self) -> Path:
        return self.data_dir / "pki"

    @property
    def store(self) -> Path:
        return self.data_dir / "server" / "store.db"

    @property
    def run(self) -> Path:
        """Pid files and sockets."""
        return self.data_dir / "run"

    @property
    def logs(self) -> Path:
        return self.data_dir / "logs"

    @property
    def node(self) -> Path:
        """Kubelet's and runtime's files."""
        return self.data_dir / "node"

    @property
    def cri_socket(self) -> Path:
        return self.data_dir / "cri.sock"

    @property
    def admin_kubeconfig(self) -> Path:
        return self.data_dir / "admin.kubeconfig"

    def kubeconfig(self, component: str) -> Path:
        return self.pki / f"{component}.kubeconfig"

    def pid_file(self, process: str) -> Path:
        return self.run / f"{process}.pid"

    def log_file(self, process: str) -> Path:
        return self.logs / f"{process}.log"


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    name: str = DEFAULT_NAME
    data_dir: str = ""
    port: int = DEFAULT_PORT
    kubelet_port: int = DEFAULT_KUBELET_PORT
    node_name: str = ""
    service_cidr: str = DEFAULT_SERVICE_CIDR
    pod_cidr: str = DEFAULT_POD_CIDR
    oci_runtime: str = ""  #: the default handler; "" = crun, or runc where crun cannot run

    @property
    def paths(self) -> ClusterPaths:
        return ClusterPaths(Path(self.data_dir))

    @property
    def server_url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def context(self) -> str:
        """The kubeconfig context's name."""
        return self.name

    def check(self) -> None:
        """Errors: ConfigError naming the option that cannot be used."""
        if not NAME_PATTERN.fullmatch(self.name):
            raise ConfigError(f"--name {self.name}: use 1 to 10 lower-case letters, digits and '-', starting with a letter")
        if self.node_name and (len(self.node_name) > 253 or not NODE_NAME_PATTERN.fullmatch(self.node_name)):
            raise ConfigError(f"--node-name {self.node_name}: use lower-case letters, digits, '-' and '.', starting and ending with a letter or digit")
        for option, port in (("--port", self.port), ("--kubelet-port", self.kubelet_port)):
            if not 0 < port < 65536:
                raise ConfigError(f"{option} {port}: use a number from 1 to 65535")
        networks = []
        for option, text, longest in (("--service-cidr", self.service_cidr, 28), ("--pod-cidr", self.pod_cidr, 26)):
            try:
                network = ipaddress.IPv4Network(text)
            except ValueError as error:
                raise ConfigError(f"{option} {text}: {error}; use an IPv4 network such as 10.96.0.0/12") from error
            if not 8 <= network.prefixlen <= longest:
                raise ConfigError(f"{option} {text}: use a prefix length from 8 to {longest}")
            networks.append(network)
        if networks[0].overlaps(networks[1]):
            raise ConfigError(f"--service-cidr {self.service_cidr} and --pod-cidr {self.pod_cidr} overlap: choose separate networks")

    def save(self) -> None:
        path = self.paths.config
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        with open(fresh, "w") as file:
            json.dump(asdict(self), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)


def default_data_dir(name: str) -> str:
    return "/var/lib/kogia" if name == DEFAULT_NAME else f"/var/lib/kogia-{name}"


def load(data_dir: str | Path) -> ClusterConfig | None:
    """The saved configuration below `data_dir`; None if there is none. Errors: ConfigError for an unreadable one."""
    path = ClusterPaths(Path(data_dir)).config
    try:
        raw = json.loads(path.read_text())
        return ClusterConfig(**{k: v for k, v in raw.items() if k in ClusterConfig.__slots__})
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise ConfigError(f"cannot read {path}: run as root") from error
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path} is damaged ({error}): run `kogia reset --yes --data-dir {data_dir}` or restore it") from error
