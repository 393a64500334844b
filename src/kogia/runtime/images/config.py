"""Where images are fetched from and with which credentials: `registries.yaml`, `~/.docker/config.json`, the caller's AuthConfig.

registries.yaml has the shape k3s made common:

    mirrors:
      docker.io:
        endpoint: ["https://mirror.example:5000"]       # tried in order, the registry itself last; "*" is for every registry
        rewrite: {"^library/(.*)": "hub/$1"}            # of the repository's path, on the mirrors only
    configs:
      "mirror.example:5000":
        auth: {username: u, password: p}                # or auth (base64 of u:p), identity_token, registry_token
        tls: {ca_file: …, cert_file: …, key_file: …, insecure_skip_verify: true}

Files are read again when they change. Invariant: credentials meant for one host are given to no other. Secrets are kept out of reprs and logs.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import logging
import os
import re
import ssl
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kogia.cri import types as t

log = logging.getLogger("kogia.runtime.images")

HUB = "docker.io"
HUB_HOST = "registry-1.docker.io"
HUB_KEYS = ("https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io")


class BadConfig(ValueError):
    """registries.yaml or a docker configuration cannot be used; the text says where."""


@dataclass(frozen=True, slots=True)
class Credentials:
    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)  #: an OAuth2 refresh token
    registry_token: str = field(default="", repr=False)  #: a bearer token, sent as it is

    def __bool__(self) -> bool:
        return bool(self.username or self.identity_token or self.registry_token)


@dataclass(frozen=True, slots=True)
class Tls:
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    insecure_skip_verify: bool = False

    def context(self) -> ssl.SSLContext:
        """Errors: OSError, ssl.SSLError for files that cannot be read."""
        context = ssl.create_default_context()
        if self.ca_file:
            context.load_verify_locations(self.ca_file)
        if self.cert_file:
            context.load_cert_chain(self.cert_file, self.key_file or None)
        if self.insecure_skip_verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place a repository may be fetched from."""

    base: str  #: "https://registry-1.docker.io/v2"
    host: str  #: "registry-1.docker.io", with the port if one was written
    repository: str  #: the path there
    namespace: str = ""  #: for mirrors: the registry it stands for, sent as `?ns=`
    tls: Tls | None = None
    credentials: Credentials = Credentials()


def is_local(host: str) -> bool:
    """Loopback names and addresses, which are spoken to in plain HTTP unless told otherwise."""
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def from_auth_config(auth: t.AuthConfig | None) -> Credentials:
    """CRI's AuthConfig; `auth` is base64 of `user:password`. Errors: BadConfig."""
    if auth is None:
        return Credentials()
    username, password = auth.username, auth.password
    if not username and auth.auth:
        username, password = _decode(auth.auth)
    return Credentials(username, password, auth.identity_token, auth.registry_token)


def _decode(auth: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(auth, validate=False).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise BadConfig("invalid base64 in registry credentials") from None
    username, colon, password = text.partition(":")
    if not colon:
        raise BadConfig("invalid decoded auth in registry credentials")
    return username, password.rstrip("\0")


class _Watched:
    """A file's parsed content, read again when it changes."""

    def __init__(self, path: Path, parse: Callable[[bytes], Any], empty: Any) -> None:
        self.path, self._parse, self._empty = path, parse, empty
        self._stamp: tuple[int, int, int] | None = None
        self._value = empty

    def get(self) -> Any:
        """Errors: BadConfig when the file is there and wrong."""
        try:
            info = os.stat(self.path)
            stamp = (info.st_mtime_ns, info.st_size, info.st_ino)
            if stamp != self._stamp:
                self._value = self._parse(self.path.read_bytes())
                self._stamp = stamp
        except FileNotFoundError:
            self._stamp, self._value = None, self._empty
        except OSError as error:
            raise BadConfig(f"{self.path}: {error.strerror}") from None
        except BadConfig as error:
            raise BadConfig(f"{self.path}: {error}") from None
        return self._value


def parse_registries(data: bytes) -> dict[str, dict[str, Any]]:
    """{"mirrors": …, "configs": …} of a registries.yaml. Errors: BadConfig."""
    import yaml

    try:
        document = yaml.safe_load(data) or {}
    except yaml.YAMLError as error:
        raise BadConfig(f"not YAML: {error}") from None
    if not isinstance(document, dict):
        raise BadConfig("not a mapping")
    found: dict[str, dict[str, Any]] = {}
    for section in ("mirrors", "configs"):
        entries = document.get(section) or {}
        if not isinstance(entries, dict) or not all(isinstance(v, dict | None.__class__) for v in entries.values()):
            raise BadConfig(f"{section} is not a mapping of mappings")
        found[section] = {str(key): value or {} for key, value in entries.items()}
    for name, mirror in found["mirrors"].items():
        for url in mirror.get("endpoint") or ():
            if urlsplit(str(url)).scheme not in ("http", "https") or not urlsplit(str(url)).netloc:
                raise BadConfig(f"mirrors.{name}: endpoint {url!r} is not an http or https URL")
        for pattern in mirror.get("rewrite") or ():
            try:
                re.compile(pattern)
            except re.error as error:
                raise BadConfig(f"mirrors.{name}: rewrite {pattern!r}: {error}") from None
    return found


def parse_docker(data: bytes) -> dict[str, Any]:
    """A docker configuration's object. Errors: BadConfig."""
    try:
        document = json.loads(data)
    except ValueError as error:
        raise BadConfig(f"not JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadConfig("not an object")
    return document


class Registries:
    """Answers: from where, how, and as whom. Reads files at need; cheap when they did not change."""

    def __init__(self, registries_file: str | Path | None = None, docker_config: str | Path | None = None) -> None:
        default = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
        self._registries = _Watched(Path(registries_file or "/etc/kogia/registries.yaml"), parse_registries, {"mirrors": {}, "configs": {}})
        self._docker = _Watched(Path(docker_config or default), parse_docker, {})

    def endpoints(self, domain: str, repository: str, auth: t.AuthConfig | None = None) -> list[Endpoint]:
        """Where to look for `domain/repository`, best first. Errors: BadConfig. May run a credential helper: call it in a thread."""
        document = self._registries.get()
        mirror = document["mirrors"].get(domain) or document["mirrors"].get("*") or {}
        own_host = HUB_HOST if domain == HUB else domain
        found = []
        for url in mirror.get("endpoint") or ():
            parts = urlsplit(str(url).rstrip("/"))
            if parts.netloc == own_host:  # naming the registry itself only says how to reach it
                found.append(self._endpoint(parts.scheme, own_host, parts.path, repository, domain, "", auth))
                continue
            path = _rewrite(repository, mirror.get("rewrite") or {})
            found.append(self._endpoint(parts.scheme, parts.netloc, parts.path, path, parts.netloc, domain, auth))
        if not any(endpoint.host == own_host for endpoint in found):
            plain = is_local(own_host) and not document["configs"].get(own_host, {}).get("tls") and not own_host.endswith(":443")
            found.append(self._endpoint("http" if plain else "https", own_host, "", repository, domain, "", auth))
        return found

    def _endpoint(
        self, scheme: str, host: str, path: str, repository: str, domain: str, namespace: str, auth: t.AuthConfig | None
    ) -> Endpoint:
        config = self._registries.get()["configs"].get(host) or self._registries.get()["configs"].get(domain) or {}
        tls = config.get("tls")
        return Endpoint(
            base=f"{scheme}://{host}{path or '/v2'}",
            host=host,
            repository=repository,
            namespace=namespace,
            tls=Tls(**{k: v for k, v in tls.items() if k in Tls.__slots__}) if tls else None,
            credentials=self._credentials(host, domain, config, None if namespace and not _meant_for(auth, host) else auth),
        )

    def _credentials(self, host: str, domain: str, config: dict[str, Any], auth: t.AuthConfig | None) -> Credentials:
        if auth is not None and (not auth.server_address or _meant_for(auth, host) or _meant_for(auth, domain)):
            if given := from_auth_config(auth):
                return given
        section = config.get("auth")
        if section:
            fields = {k: str(section.get(k) or "") for k in ("username", "password", "auth", "identity_token", "registry_token")}
            return from_auth_config(t.AuthConfig(**fields))
        return self._from_docker(host, domain)

    def _from_docker(self, host: str, domain: str) -> Credentials:
        document = self._docker.get()
        keys = HUB_KEYS if domain == HUB else (host, f"https://{host}", f"http://{host}", f"https://{host}/v1/", f"https://{host}/v2/")
        helper = next((h for k in keys if (h := (document.get("credHelpers") or {}).get(k))), document.get("credsStore"))
        if helper and (found := _ask_helper(str(helper), keys[0])):
            return found
        for key in keys:
            entry = (document.get("auths") or {}).get(key)
            if isinstance(entry, dict) and entry:
                return from_auth_config(
                    t.AuthConfig(
                        username=entry.get("username", ""),
                        password=entry.get("password", ""),
                        auth=entry.get("auth", ""),
                        identity_token=entry.get("identitytoken", ""),
                        registry_token=entry.get("registrytoken", ""),
                    )
                )
        return Credentials()


def _meant_for(auth: t.AuthConfig | None, host: str) -> bool:
    if auth is None or not auth.server_address:
        return False
    address = auth.server_address if "://" in auth.server_address else f"//{auth.server_address}"
    named = urlsplit(address).netloc
    return named == host or (named in ("index.docker.io", HUB, HUB_HOST) and host in (HUB, HUB_HOST))


def _rewrite(repository: str, rules: dict[str, str]) -> str:
    for pattern, replacement in rules.items():
        if re.search(pattern, repository):
            return re.sub(pattern, re.sub(r"\$\{?(\d+)\}?", r"\\\1", str(replacement)), repository, count=1)
    return repository


def _ask_helper(name: str, server: str, timeout_s: float = 10) -> Credentials | None:
    """`docker-credential-<name> get`, the protocol of docker's credential helpers; None when it knows nothing."""
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        return None
    try:
        done = subprocess.run([f"docker-credential-{name}", "get"], input=server.encode(), capture_output=True, timeout=timeout_s)
        answer = json.loads(done.stdout) if done.returncode == 0 else {}
    except (OSError, ValueError, subprocess.TimeoutExpired):
        log.warning("credential helper %s does not answer", name)
        return None
    username, secret = str(answer.get("Username") or ""), str(answer.get("Secret") or "")
    if username == "<token>":
        return Credentials(identity_token=secret)
    return Credentials(username, secret) if username else None
