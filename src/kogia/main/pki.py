"""The cluster's certificates and keys: made on first start, checked on every other, renewed before they end.

All keys are EC P-256. Everything lies in one directory, keys 0600. `stamp.json` remembers what was made for which names and until when,
so that an ordinary start compares a few strings and never loads `cryptography`. Each file is replaced atomically, key before certificate;
a crash between the two is found by the next start (the stamp is written last) and the pair is made again.
A CA about to end is renewed with its own key, so that certificates signed before stay good.
Source: kubeadm's certificate list (phases/certs) for names, organizations and usages.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kogia.main.pki_issue import Authority, issue, new_authority, new_service_account_key

RENEW_BEFORE_S = 30 * 86400
CLUSTER_DOMAIN = "cluster.local"


@dataclass(frozen=True, slots=True)
class PkiPaths:
    """Where each file is. `<x>_cert` and `<x>_key` are PEM; `directory` holds them all."""

    directory: Path

    def _path(self, name: str) -> str:
        return str(self.directory / name)

    def cert(self, name: str) -> str:
        return self._path(f"{name}.crt")

    def key(self, name: str) -> str:
        return self._path(f"{name}.key")

    @property
    def ca_cert(self) -> str:
        return self.cert("ca")

    @property
    def ca_key(self) -> str:
        return self.key("ca")

    @property
    def front_proxy_ca_cert(self) -> str:
        return self.cert("front-proxy-ca")

    @property
    def apiserver_cert(self) -> str:
        return self.cert("apiserver")

    @property
    def apiserver_key(self) -> str:
        return self.key("apiserver")

    @property
    def kubelet_client_cert(self) -> str:
        """What the API server shows to kubelets."""
        return self.cert("apiserver-kubelet-client")

    @property
    def kubelet_client_key(self) -> str:
        return self.key("apiserver-kubelet-client")

    @property
    def front_proxy_client_cert(self) -> str:
        return self.cert("front-proxy-client")

    @property
    def front_proxy_client_key(self) -> str:
        return self.key("front-proxy-client")

    @property
    def admin_cert(self) -> str:
        return self.cert("admin")

    @property
    def admin_key(self) -> str:
        return self.key("admin")

    @property
    def controller_manager_cert(self) -> str:
        return self.cert("controller-manager")

    @property
    def controller_manager_key(self) -> str:
        return self.key("controller-manager")

    @property
    def scheduler_cert(self) -> str:
        return self.cert("scheduler")

    @property
    def scheduler_key(self) -> str:
        return self.key("scheduler")

    @property
    def node_client_cert(self) -> str:
        """The kubelet's identity towards the API server: `system:node:<name>`."""
        return self.cert("kubelet-client")

    @property
    def node_client_key(self) -> str:
        return self.key("kubelet-client")

    @property
    def node_serving_cert(self) -> str:
        """What the kubelet's HTTPS server shows."""
        return self.cert("kubelet-serving")

    @property
    def node_serving_key(self) -> str:
        return self.key("kubelet-serving")

    @property
    def proxy_cert(self) -> str:
        return self.cert("kube-proxy")

    @property
    def proxy_key(self) -> str:
        return self.key("kube-proxy")

    @property
    def sa_key(self) -> str:
        return self._path("sa.key")

    @property
    def sa_pub(self) -> str:
        return self._path("sa.pub")


@dataclass(frozen=True, slots=True)
class Leaf:
    """One certificate to have: subject, usage ("server", "client" or "both") and names."""

    name: str
    common_name: str
    organizations: tuple[str, ...] = ()
    usage: str = "client"
    sans: tuple[str, ...] = ()
    authority: str = "ca"


def service_ip(service_cidr: str) -> str:
    """The `kubernetes` Service's address: the first usable one of the range. Errors: ValueError."""
    return str(ipaddress.ip_network(service_cidr, strict=False)[1])


def local_addresses() -> list[str]:
    """This host's name and its address on the default route, if any; nothing is sent."""
    found = [socket.gethostname()]
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with contextlib.suppress(OSError), probe:
        probe.connect(("192.0.2.1", 9))
        found.append(probe.getsockname()[0])
    return found


def wanted(node_name: str, service_cidr: str, extra_sans: Sequence[str]) -> list[Leaf]:
    """Every leaf certificate of a cluster of this shape."""
    host = [*local_addresses(), *extra_sans]
    server = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{CLUSTER_DOMAIN}", "localhost", node_name,
              "127.0.0.1", "::1", service_ip(service_cidr), *host]
    node = [node_name, "localhost", "127.0.0.1", "::1", *host]
    masters = ("system:masters",)
    return [
        Leaf("apiserver", "kube-apiserver", usage="server", sans=tuple(dict.fromkeys(server))),
        Leaf("apiserver-kubelet-client", "kube-apiserver-kubelet-client", masters),
        Leaf("front-proxy-client", "front-proxy-client", authority="front-proxy-ca"),
        Leaf("admin", "kubernetes-admin", masters),
        Leaf("controller-manager", "system:kube-controller-manager"),
        Leaf("scheduler", "system:kube-scheduler"),
        Leaf("kubelet-client", f"system:node:{node_name}", ("system:nodes",)),
        Leaf("kubelet-serving", f"system:node:{node_name}", ("system:nodes",), "server", tuple(dict.fromkeys(node))),
        Leaf("kube-proxy", "system:kube-proxy"),
    ]


def ensure_pki(
    directory: str | Path, *, node_name: str, service_cidr: str = "10.96.0.0/12", extra_sans: Sequence[str] = (), now: float | None = None,
) -> PkiPaths:
    """Make or renew whatever is missing, ends within 30 days, or was made for other names. Idempotent.

    `extra_sans`: names and addresses people reach the server and the node by. `now` (seconds since the epoch) is for tests.
    Errors: OSError; ValueError for a bad CIDR.
    """
    moment = time.time() if now is None else now
    root = Path(directory)
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    paths = PkiPaths(root)
    stamp = _read_stamp(root)
    made = dict(stamp)
    authorities: dict[str, Authority] = {}

    def authority(name: str) -> Authority:
        if name not in authorities:
            authorities[name] = Authority.load(paths.cert(name), paths.key(name))
        return authorities[name]

    for name, common_name in (("ca", "kubernetes"), ("front-proxy-ca", "front-proxy-ca")):
        if not _good(paths, name, {"cn": common_name}, stamp, moment):
            old_key = Path(paths.key(name))
            pair = new_authority(common_name, old_key.read_bytes() if name in stamp and old_key.exists() else None, moment)
            if name not in stamp or not old_key.exists():
                made = {k: v for k, v in made.items() if v.get("by") != name}
            _write_pair(paths, name, pair.cert_pem, pair.key_pem)
            made[name] = {"cn": common_name, "until": pair.until}
    for leaf in wanted(node_name, service_cidr, extra_sans):
        shape = {"cn": leaf.common_name, "o": list(leaf.organizations), "usage": leaf.usage, "sans": list(leaf.sans), "by": leaf.authority}
        if not _good(paths, leaf.name, shape, made, moment):
            pair = issue(authority(leaf.authority), leaf.common_name, leaf.organizations, leaf.usage, leaf.sans, moment)
            _write_pair(paths, leaf.name, pair.cert_pem, pair.key_pem)
            made[leaf.name] = {**shape, "until": pair.until}
    if not (root / "sa.key").exists() or not (root / "sa.pub").exists():
        private, public = new_service_account_key((root / "sa.key").read_bytes() if (root / "sa.key").exists() else None)
        _write(root / "sa.key", private, 0o600)
        _write(root / "sa.pub", public, 0o644)
    if made != stamp:
        _write(root / "stamp.json", json.dumps(made, indent=1).encode(), 0o600)
    return paths


def _read_stamp(root: Path) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads((root / "stamp.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _good(paths: PkiPaths, name: str, shape: dict[str, Any], stamp: dict[str, dict[str, Any]], moment: float) -> bool:
    known = stamp.get(name)
    if known is None or known.get("until", 0) - moment < RENEW_BEFORE_S:
        return False
    if any(known.get(k) != v for k, v in shape.items() if k != "sans"):
        return False
    if not set(shape.get("sans", ())) <= set(known.get("sans", ())):
        return False
    return os.path.exists(paths.cert(name)) and os.path.exists(paths.key(name))


def _write_pair(paths: PkiPaths, name: str, cert: bytes, key: bytes) -> None:
    _write(Path(paths.key(name)), key, 0o600)
    _write(Path(paths.cert(name)), cert, 0o644)


def _write(path: Path, data: bytes, mode: int) -> None:
    """Replace a file atomically; its content is never seen half-written or with wider permissions than `mode`."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.fchmod(handle, mode)
        os.write(handle, data)
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(scratch, path)
