"""Image references: `nginx` → `docker.io/library/nginx:latest`. Pure; shared by kubelet, runtime and command line.

Grammar and error texts are those of the reference library every runtime uses, because the kubelet's `InvalidImageName` event quotes them.
Source: github.com/distribution/reference, reference.go and normalize.go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

DEFAULT_DOMAIN = "docker.io"
OFFICIAL = "library/"
NAME_LIMIT = 255

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[(?:[a-fA-F0-9:]+)\])(?::[0-9]+)?"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_DOMAIN_RE = re.compile(_DOMAIN)
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")
_ID = re.compile(r"[a-f0-9]{64}")
_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}


class InvalidReference(ValueError):
    """Not an image reference; the text is the runtime's own (`invalid reference format` …)."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed, normalised name. `tag` and `digest` may both be set, or neither."""

    domain: str  #: "docker.io", "localhost:5000"
    path: str  #: "library/nginx"
    tag: str = ""
    digest: str = ""  #: "sha256:…"

    @property
    def repository(self) -> str:
        """`docker.io/library/nginx`."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar(self) -> str:
        """The short form people write: `nginx:1.2`, `quay.io/x/y:z`."""
        path = self.path.removeprefix(OFFICIAL) if self.domain == DEFAULT_DOMAIN and self.path.count("/") == 1 else self.path
        name = path if self.domain == DEFAULT_DOMAIN else f"{self.domain}/{path}"
        return name + self._suffix()

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.repository + self._suffix()

    def with_default_tag(self) -> Reference:
        """`:latest` when there is neither tag nor digest."""
        return self if self.tag or self.digest else Reference(self.domain, self.path, "latest")

    def with_digest(self, digest: str) -> Reference:
        """`repository@digest`, without a tag."""
        return Reference(self.domain, self.path, "", digest)


def parse(text: str) -> Reference:
    """The reference as written, with Docker Hub's domain and `library/` filled in; no default tag (`with_default_tag` does that).

    Errors: InvalidReference.
    """
    if _ID.fullmatch(text):
        raise InvalidReference(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    rest, at, digest = text.partition("@")
    name, tag = _split_tag(rest)
    domain, path = _split_domain(name)
    if not path and not text:
        raise InvalidReference("invalid reference format")
    if path.lower() != path:
        if _PATH.fullmatch(path.lower()):
            raise InvalidReference(f"invalid reference format: repository name ({path}) must be lowercase")
        raise InvalidReference("invalid reference format")
    if not _PATH.fullmatch(path) or not _DOMAIN_RE.fullmatch(domain):
        raise InvalidReference("invalid reference format")
    if tag is not None and not _TAG.fullmatch(tag):
        raise InvalidReference("invalid reference format")
    if len(domain) + 1 + len(path) > NAME_LIMIT:
        raise InvalidReference(f"repository name must not be more than {NAME_LIMIT} characters")
    if at:
        check_digest(digest)
    return Reference(domain, path, tag or "", digest)


def check_digest(digest: str) -> str:
    """`digest` itself if it is well formed and of a known algorithm. Errors: InvalidReference."""
    if not _DIGEST.fullmatch(digest):
        raise InvalidReference("invalid reference format")
    algorithm, _, value = digest.partition(":")
    if algorithm not in _LENGTHS:
        raise InvalidReference("unsupported digest algorithm")
    if len(value) != _LENGTHS[algorithm]:
        raise InvalidReference("invalid checksum digest length")
    if value != value.lower():
        raise InvalidReference("invalid checksum digest format")
    return digest


def _split_tag(rest: str) -> tuple[str, str | None]:
    slash, colon = rest.rfind("/"), rest.rfind(":")
    return (rest[:colon], rest[colon + 1 :]) if colon > slash else (rest, None)


def _split_domain(name: str) -> tuple[str, str]:
    """The first component is a host only if it looks like one: has a dot, a colon or capitals, or is `localhost`."""
    first, slash, remainder = name.partition("/")
    if not slash or not (any(c in first for c in ".:[") or first == "localhost" or first.lower() != first):
        domain, path = DEFAULT_DOMAIN, name
    else:
        domain, path = first, remainder
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and path and "/" not in path:
        path = OFFICIAL + path
    return domain, path
