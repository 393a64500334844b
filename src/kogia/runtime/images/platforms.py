"""Which of an index's manifests is for this machine, and what a configuration must say to be usable. Pure.

Source: OCI image-index.md; github.com/containerd/platforms (default order: own variant first, then lesser ones).
"""

from __future__ import annotations

import json
import platform as host
from typing import Any

INDEX_TYPES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFEST_TYPES = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
MAX_LAYERS = 127  #: overlayfs stacks no more
ARCHITECTURES = {
    "x86_64": ("amd64", ""), "aarch64": ("arm64", "v8"), "armv7l": ("arm", "v7"), "armv6l": ("arm", "v6"), "i686": ("386", ""),
    "ppc64le": ("ppc64le", ""), "s390x": ("s390x", ""), "riscv64": ("riscv64", ""),
}  # fmt: skip
_ALIASES = {"x86_64": "amd64", "aarch64": "arm64", "armhf": "arm", "i386": "386"}

Platform = tuple[str, str, str]  #: (os, architecture, variant)


class BadImage(ValueError):
    """The image's documents contradict themselves or ask for what cannot be."""


def machine() -> tuple[str, str]:
    """(architecture, variant) of this machine in Go's words."""
    return ARCHITECTURES.get(host.machine(), (host.machine(), ""))


def here() -> Platform:
    return ("linux", *machine())


def text(platform: Platform) -> str:
    return "/".join(part for part in platform if part)


def _rank(platform: dict[str, Any], wanted: Platform) -> int:
    """0 = no match; larger is better."""
    architecture = _ALIASES.get(platform.get("architecture", ""), platform.get("architecture", ""))
    variant = platform.get("variant") or {"arm64": "v8", "arm": "v7"}.get(architecture, "")
    if platform.get("os") != wanted[0] or architecture != wanted[1]:
        return 0
    own = wanted[2]
    if variant == own:
        return 100
    if architecture == "arm" and own.startswith("v") and variant.startswith("v") and variant[1:].isdigit():
        return int(variant[1:]) if int(variant[1:]) <= int(own[1:]) else 0
    if architecture == "amd64":
        return 50 if variant in ("", "v1") else 0
    return 1


def matches(platform: dict[str, Any], wanted: Platform | None = None) -> bool:
    return _rank(platform, wanted or here()) > 0


def choose(manifests: list[dict[str, Any]], wanted: Platform | None = None) -> dict[str, Any] | None:
    """The best descriptor for `wanted`, the first among equals; None if there is none. One without a platform suits if nothing else does."""
    wanted = wanted or here()
    ranked = [(_rank(m["platform"], wanted), -n, m) for n, m in enumerate(manifests) if isinstance(m.get("platform"), dict)]
    best = max((r for r in ranked if r[0]), default=None, key=lambda r: r[:2])
    if best is not None:
        return best[2]
    return next((m for m in manifests if not m.get("platform")), None)


def diff_ids(config: bytes) -> list[str]:
    """The configuration's `rootfs.diff_ids`, checked. Errors: BadImage."""
    try:
        document = json.loads(config)
        found = document["rootfs"]["diff_ids"] or []
    except (ValueError, KeyError, TypeError):
        raise BadImage("invalid image configuration") from None
    if not isinstance(found, list) or not all(isinstance(d, str) and len(d) == 71 and d.startswith("sha256:") for d in found):
        raise BadImage("invalid image configuration: diff_ids")
    if len(found) > MAX_LAYERS:
        raise BadImage(f"image has {len(found)} layers, more than {MAX_LAYERS}")
    if document.get("os", "linux") != "linux":
        raise BadImage(f"image operating system {document.get('os')!r} cannot be used on this platform")
    return found
