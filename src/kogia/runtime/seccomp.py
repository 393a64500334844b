"""The default seccomp profile: the containers project's JSON, resolved for one set of capabilities and this architecture.

The file (package golang-github-containers-common) lists system calls with conditions on capabilities and architectures;
the OCI spec wants them resolved. Pure but for `load`, which reads the file once.
Source: containers/common pkg/seccomp, the profile's own fields `includes`, `excludes`, `archMap`.
"""

from __future__ import annotations

import functools
import json
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_ARCH = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
    "armv7l": ("arm", "SCMP_ARCH_ARM"),
    "ppc64le": ("ppc64le", "SCMP_ARCH_PPC64LE"),
    "s390x": ("s390x", "SCMP_ARCH_S390X"),
    "riscv64": ("riscv64", "SCMP_ARCH_RISCV64"),
}


@functools.lru_cache(maxsize=8)
def load(path: Path) -> dict[str, Any] | None:
    """The unresolved profile, None if the file is not there. Errors: ValueError for broken JSON."""
    try:
        profile: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return profile


def resolve(profile: dict[str, Any], capabilities: Iterable[str], machine: str = "") -> dict[str, Any]:
    """`linux.seccomp` for a container that may have `capabilities` (CAP_…) on `machine` (uname's; "" = this one).

    A profile without conditions (an OCI one, as Localhost profiles often are) comes out as it went in.
    """
    arch, native = _ARCH.get(machine or platform.machine(), ("", ""))
    caps = frozenset(capabilities)
    result: dict[str, Any] = {"defaultAction": profile["defaultAction"]}
    if profile.get("defaultErrnoRet") is not None:
        result["defaultErrnoRet"] = profile["defaultErrnoRet"]
    if profile.get("archMap"):
        for entry in profile["archMap"]:
            if entry["architecture"] == native:
                result["architectures"] = [native, *(entry.get("subArchitectures") or [])]
    elif profile.get("architectures"):
        result["architectures"] = profile["architectures"]
    for key in ("flags", "listenerPath", "listenerMetadata"):
        if profile.get(key):
            result[key] = profile[key]
    result["syscalls"] = [_rule(rule) for rule in profile.get("syscalls") or () if _applies(rule, caps, arch)]
    return result


def _applies(rule: dict[str, Any], caps: frozenset[str], arch: str) -> bool:
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    if includes.get("caps") and not caps.issuperset(includes["caps"]):
        return False
    if includes.get("arches") and arch not in includes["arches"]:
        return False
    if excludes.get("caps") and not caps.isdisjoint(excludes["caps"]):
        return False
    return not (excludes.get("arches") and arch in excludes["arches"])


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {"names": rule.get("names") or [rule["name"]], "action": rule["action"]}
    if rule.get("errnoRet") is not None:
        out["errnoRet"] = rule["errnoRet"]
    if rule.get("args"):
        out["args"] = [{k: v for k, v in arg.items() if k in ("index", "value", "valueTwo", "op")} for arg in rule["args"]]
    return out


@functools.lru_cache(maxsize=32)
def resolved_default(path: Path, capabilities: frozenset[str]) -> dict[str, Any] | None:
    """The default profile for a set of capabilities, computed once. None where the file is missing."""
    profile = load(path)
    return None if profile is None else resolve(profile, capabilities)
