"""What the machine must offer, checked: `kogia doctor` prints all of it, `kogia up` stops at the first thing that is missing.

Each check is a small function giving a `Finding`; none changes anything.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

CNI_BIN_DIRS = ("/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni")
SECCOMP_PROFILES = ("/usr/share/containers/seccomp.json", "/etc/containers/seccomp.json")
SEARCH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True)
class Finding:
    name: str
    ok: bool
    found: str
    advice: str = ""  #: one line that says what to do, when not ok
    fatal: bool = True  #: whether Pods cannot run without it


def which(program: str) -> str | None:
    return shutil.which(program, path=SEARCH)


def check_system() -> Finding:
    found = f"{platform.system()} {platform.release()} {platform.machine()}"
    if platform.system() != "Linux":
        return Finding("system", False, found, "Kogia runs containers with Linux's namespaces: use a Linux machine")
    numbers = platform.release().split(".")
    old = tuple(int("".join(c for c in n if c.isdigit()) or 0) for n in numbers[:2]) < (5, 4)
    return Finding("system", not old, found, "this kernel is too old: use Linux 5.4 or newer")


def check_python() -> Finding:
    return Finding("python", sys.version_info >= (3, 11), platform.python_version(), "use Python 3.11 or newer")


def check_root() -> Finding:
    return Finding("root", os.geteuid() == 0, f"uid {os.geteuid()}", "containers need root: run this as root (sudo)")


def check_cgroups() -> Finding:
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        have = (root / "cgroup.controllers").read_text().split()
        missing = sorted({"cpu", "memory", "pids"} - set(have))
        return Finding("cgroups", not missing, "v2: " + " ".join(have), f"the cgroup controllers {', '.join(missing)} are off: enable them at boot")
    v1 = [c for c in ("cpu", "memory", "pids") if (root / c).is_dir()]
    advice = "no cgroups are mounted at /sys/fs/cgroup: mount -t cgroup2 none /sys/fs/cgroup"
    return Finding("cgroups", len(v1) == 3, "v1: " + " ".join(v1) if v1 else "none", advice)


def check_filesystems() -> Finding:
    known = {line.split()[-1] for line in Path("/proc/filesystems").read_text().splitlines() if line.strip()}
    ok = "overlay" in known
    return Finding("overlayfs", ok, "there" if ok else "missing", "the kernel lacks overlayfs: modprobe overlay, or use a kernel that has it")


def check_namespaces() -> Finding:
    missing = [n for n in ("net", "ipc", "uts", "pid", "mnt") if not Path(f"/proc/self/ns/{n}").exists()]
    return Finding("namespaces", not missing, "there" if not missing else "missing " + " ".join(missing), "the kernel lacks namespaces: use another kernel")


def check_oci_runtime() -> Finding:
    found = [p for p in ("crun", "runc") if which(p)]
    return Finding("OCI runtime", bool(found), " ".join(found) or "none", "install crun or runc")


def check_seccomp() -> Finding:
    found = next((p for p in SECCOMP_PROFILES if os.path.exists(p)), "")
    return Finding("seccomp profile", bool(found), found or "none", "install golang-github-containers-common (Fedora: containers-common)", fatal=False)


def check_cni() -> Finding:
    folder = next((d for d in CNI_BIN_DIRS if os.path.exists(f"{d}/bridge")), "")
    return Finding("CNI plugins", bool(folder), folder or "none", "install containernetworking-plugins", fatal=False)


def _program(name: str, package: str) -> Callable[[], Finding]:
    def check() -> Finding:
        found = which(name)
        return Finding(name, bool(found), found or "none", f"install {package}")

    return check


def check_forwarding() -> Finding:
    value = Path("/proc/sys/net/ipv4/ip_forward")
    writable = os.access(value, os.W_OK)
    on = value.exists() and value.read_text().strip() == "1"
    return Finding("IP forwarding", on or writable, "on" if on else "off, will be switched on", "switch on net.ipv4.ip_forward", fatal=False)


CHECKS: tuple[Callable[[], Finding], ...] = (
    check_system, check_python, check_root, check_cgroups, check_filesystems, check_namespaces, check_oci_runtime,
    _program("conmon", "conmon"), _program("ip", "iproute2"), _program("nft", "nftables"), _program("tar", "tar"),
    check_cni, check_seccomp, check_forwarding,
)  # fmt: skip


def findings() -> Iterator[Finding]:
    for check in CHECKS:
        yield check()


def first_problem() -> str | None:
    """One line for the first thing that makes running Pods impossible; None if all is there."""
    return next((f"{f.name}: {f.advice}" for f in findings() if not f.ok and f.fatal), None)


def run() -> int:
    """Print every finding; 0 if Pods can run here."""
    good = True
    for finding in findings():
        mark = "ok  " if finding.ok else ("FAIL" if finding.fatal else "warn")
        print(f"{mark}  {finding.name:<16} {finding.found}" + ("" if finding.ok else f"  -> {finding.advice}"))
        good = good and (finding.ok or not finding.fatal)
    print("This machine can run Pods." if good else "This machine cannot run Pods yet.")
    return 0 if good else 1
