"""Reading kubeconfig files: which server, which trust, which credentials.

Light to import (the command line starts with it): YAML and TLS are loaded only when used. `kubeconfig_file.py` writes such files.
Source: client-go tools/clientcmd (loading rules, merge: the first file that sets a value wins) and the kubeconfig (v1) reference.
"""

from __future__ import annotations

import base64
import binascii
import errno
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

Obj = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """One context, resolved: PEM texts and paths are both possible, texts win. Credentials never appear in `repr`."""

    server: str
    context: str = ""
    cluster: str = ""
    user: str = ""
    namespace: str = ""
    ca_file: str = ""
    ca_data: str = ""  #: PEM
    insecure: bool = False
    tls_server_name: str = ""
    cert_file: str = ""
    cert_data: str = ""  #: PEM
    key_file: str = ""
    key_data: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)
    impersonate: str = ""
    impersonate_groups: tuple[str, ...] = ()

    def ssl_context(self) -> ssl.SSLContext | None:
        """None for a plain-HTTP server. Errors: OSError and ssl.SSLError for unusable files."""
        if not self.server.startswith("https:"):
            return None
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.ca_data or self.ca_file:
            context.load_verify_locations(cafile=None if self.ca_data else self.ca_file, cadata=self.ca_data or None)
        else:
            context.load_default_certs()
        if self.cert_data or self.cert_file:
            with _as_file(self.cert_data, self.cert_file) as cert, _as_file(self.key_data, self.key_file or cert) as key:
                context.load_cert_chain(cert, key)
        return context

    def without_credentials(self) -> Target:
        """The same server and trust, as nobody."""
        return replace(
            self, user="", cert_file="", cert_data="", key_file="", key_data="", token="", username="", password="", impersonate="",
            impersonate_groups=(),
        )

    def headers(self) -> dict[str, str]:
        """The headers that carry bearer or basic credentials and impersonation."""
        headers: dict[str, str] = {}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        elif self.username:
            headers["authorization"] = "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        if self.impersonate:
            headers["impersonate-user"] = self.impersonate
            if self.impersonate_groups:
                headers["impersonate-group"] = ", ".join(self.impersonate_groups)
        return headers


@contextmanager
def _as_file(data: str, path: str) -> Iterator[str]:
    """A path that holds `data` while the block runs, without touching a disk where the kernel can; or `path` itself."""
    if not data:
        yield path
        return
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("kogia-credential")
        try:
            os.write(descriptor, data.encode())
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    import tempfile

    with tempfile.NamedTemporaryFile(mode="w") as file:
        file.write(data)
        file.flush()
        yield file.name


def default_paths() -> list[Path]:
    """$KUBECONFIG's files in order (empty entries skipped), else ~/.kube/config."""
    listed = [Path(p) for p in os.environ.get("KUBECONFIG", "").split(os.pathsep) if p]
    return listed or [Path.home() / ".kube" / "config"]


def parse(text: str, origin: str = "kubeconfig") -> Obj:
    """The file's mapping. Errors: ValueError naming `origin`."""
    stripped = text.lstrip()
    try:
        if stripped.startswith("{"):
            loaded = json.loads(stripped)
        else:
            from kogia.client import yaml_plain

            try:
                return yaml_plain.load(text)
            except yaml_plain.NotPlain:
                import yaml

                loaded = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except Exception as error:  # yaml.YAMLError cannot be named before yaml is imported
        raise ValueError(f"error loading config file {origin!r}: {error}") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ValueError(f"error loading config file {origin!r}: not a mapping")
    return loaded


def merge(configs: Sequence[tuple[Obj, Path]]) -> Obj:
    """One configuration of several: the first to name a cluster, user, context or current-context wins; paths become absolute."""
    merged: dict[str, dict[str, Obj]] = {"clusters": {}, "users": {}, "contexts": {}}
    current = ""
    for config, path in configs:
        current = current or config.get("current-context") or ""
        for section, key in (("clusters", "cluster"), ("users", "user"), ("contexts", "context")):
            for entry in config.get(section) or ():
                merged[section].setdefault(str(entry.get("name", "")), _absolute(entry.get(key) or {}, path.parent))
    return {**merged, "current-context": current}


_PATH_FIELDS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


def _absolute(entry: Obj, base: Path) -> Obj:
    return {k: str(base / v) if k in _PATH_FIELDS and v else v for k, v in entry.items()}


def read(path: str | Path | None = None) -> Obj:
    """The merged configuration of one explicit file, or of the default ones (absent ones skipped).

    Shape: {"clusters": {name: …}, "users": {name: …}, "contexts": {name: …}, "current-context": name}.
    Errors: FileNotFoundError if there is no file at all; ValueError for an unreadable one.
    """
    paths = [Path(path)] if path else default_paths()
    found: list[tuple[Obj, Path]] = []
    for candidate in paths:
        try:
            text = candidate.read_text()
        except FileNotFoundError:
            continue
        found.append((parse(text, str(candidate)), candidate.absolute()))
    if not found:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(paths[0]))
    return merge(found)


def load(path: str | Path | None = None, context: str | None = None) -> Target:
    """The target of `context` (default: current-context).

    Errors: FileNotFoundError without any file; ValueError, in kubectl's words, for a broken or incomplete configuration.
    """
    return resolve(read(path), context)


def resolve(config: Obj, context: str | None = None) -> Target:
    """Pick one context out of a merged configuration; credential files named by the user entry are read here (tokens only)."""
    name = context or config.get("current-context") or ""
    if name and name not in config["contexts"]:
        raise ValueError(f'context "{name}" does not exist' if context else f'context was not found for specified context: {name}')
    if not name:
        raise ValueError("no configuration has been provided, try setting KUBERNETES_MASTER environment variable")
    chosen = config["contexts"][name]
    cluster_name, user_name = chosen.get("cluster", ""), chosen.get("user", "")
    cluster = config["clusters"].get(cluster_name)
    if cluster is None:
        raise ValueError(f'cluster "{cluster_name}" does not exist')
    user = config["users"].get(user_name, {}) if user_name else {}
    if user_name and user_name not in config["users"]:
        raise ValueError(f'auth info "{user_name}" does not exist')
    if user.get("exec") or user.get("auth-provider"):
        raise ValueError(f'user "{user_name}" gets its credentials from a plugin, which is not supported; use a token or a client certificate')
    token = user.get("token") or ""
    if not token and user.get("tokenFile"):
        token = Path(user["tokenFile"]).read_text().strip()
    return Target(
        server=(cluster.get("server") or "http://localhost:8080").rstrip("/"), context=name, cluster=cluster_name, user=user_name,
        namespace=chosen.get("namespace") or "",
        ca_file=cluster.get("certificate-authority") or "", ca_data=_pem(cluster, "certificate-authority-data"),
        insecure=bool(cluster.get("insecure-skip-tls-verify")), tls_server_name=cluster.get("tls-server-name") or "",
        cert_file=user.get("client-certificate") or "", cert_data=_pem(user, "client-certificate-data"),
        key_file=user.get("client-key") or "", key_data=_pem(user, "client-key-data"),
        token=token, username=user.get("username") or "", password=user.get("password") or "",
        impersonate=user.get("as") or "", impersonate_groups=tuple(user.get("as-groups") or ()),
    )


def _pem(entry: Obj, name: str) -> str:
    encoded = entry.get(name)
    if not encoded:
        return ""
    try:
        return base64.b64decode(encoded, validate=False).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{name}: not base64 of a PEM text: {error}") from error
