"""Control groups, v1 and v2: which there are, limits of Pods, reading of usage, killing and removing a subtree.

The layout is found once (`detect`). Limits of containers are the OCI runtime's work; this module makes the Pods' groups
above them, and reads. Everything stays below the runtime's own root (`RuntimeConfig.cgroup_root`). Parsing is pure and
takes a directory, so that v2 is tested on recorded trees.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

from kogia.cri import types as t

log = logging.getLogger("kogia.runtime.cgroups")
_V1_LIMITED = ("cpu", "memory", "pids")
_V2_CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "io")


@dataclass(frozen=True, slots=True)
class Layout:
    """`v2` is the unified mount when it carries the controllers; `v1` maps each v1 controller to its mount."""

    v2: Path | None
    v1: dict[str, Path]
    hybrid: Path | None = None  #: a v2 mount without (most) controllers beside v1

    @property
    def is_v2(self) -> bool:
        return self.v2 is not None

    def hierarchies(self) -> list[Path]:
        """Every mount in which a group of ours may exist."""
        if self.v2 is not None:
            return [self.v2]
        found = list(dict.fromkeys(self.v1.values()))
        return found if self.hybrid is None else [*found, self.hybrid]


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes and nanoseconds; working set is usage without the file cache that is easily given up, as cAdvisor counts it."""

    cpu_ns: int = 0
    memory_bytes: int = 0
    working_set_bytes: int = 0
    rss_bytes: int = 0
    pids: int = 0


def detect(mountinfo: str) -> Layout:
    """Read the layout from the text of /proc/self/mountinfo. Pure."""
    v1: dict[str, Path] = {}
    unified: Path | None = None
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        if "-" not in fields:
            continue
        point = Path(fields[4])
        kind = fields[fields.index("-") + 1]
        if kind == "cgroup2" and unified is None:
            unified = point
        elif kind == "cgroup":
            for option in fields[-1].split(","):
                if option not in ("rw", "ro") and not option.startswith(("release_agent", "xattr", "clone_children")):
                    v1.setdefault(option.removeprefix("name="), point)
    if v1:
        return Layout(None, v1, unified)
    return Layout(unified, {})


def current() -> Layout:
    return detect(Path("/proc/self/mountinfo").read_text())


def group_dir(layout: Layout, controller: str, group: str) -> Path | None:
    """The directory of `group` ("/a/b") for a controller; None where the controller is absent."""
    base = layout.v2 if layout.v2 is not None else layout.v1.get(controller)
    return None if base is None else base / group.lstrip("/")


def make_pod_group(layout: Layout, group: str, resources: t.LinuxContainerResources | None) -> None:
    """Create a Pod's group and set its limits; existing ones get the limits anew. Errors: OSError."""
    if layout.v2 is not None:
        _make_v2(layout.v2, group)
        _write_v2_limits(layout.v2 / group.lstrip("/"), resources)
        return
    for controller in _V1_LIMITED:
        directory = group_dir(layout, controller, group)
        if directory is None:
            continue
        directory.mkdir(parents=True, exist_ok=True)
    if resources is not None:
        _write_v1_limits(layout, group, resources)


def _make_v2(root: Path, group: str) -> None:
    """Make each level and hand the controllers down to it, as far as the level above has them to give."""
    path = root
    for part in ["", *group.strip("/").split("/")]:
        path = path / part
        path.mkdir(exist_ok=True)
        _hand_down(path)


def _hand_down(path: Path) -> None:
    try:
        available = (path / "cgroup.controllers").read_text().split()
    except OSError:
        available = []
    wanted = [f"+{name}" for name in _V2_CONTROLLERS if name in available]
    try:
        _write(path / "cgroup.subtree_control", " ".join(wanted))
    except OSError:
        for one in wanted:  # one that is refused must not keep the others away
            try:
                _write(path / "cgroup.subtree_control", one)
            except OSError as error:
                log.debug("%s is not handed down by %s: %s", one, path, error)


def _write_v2_limits(directory: Path, resources: t.LinuxContainerResources | None) -> None:
    for name, value in v2_limits(resources).items():
        try:
            _write(directory / name, value)
        except FileNotFoundError:
            log.warning("no limit %s for %s: the controller is not available here", name, directory)


def v2_limits(resources: t.LinuxContainerResources | None) -> dict[str, str]:
    """File → content of a Pod's limits on v2. Pure."""
    if resources is None:
        return {}
    files: dict[str, str] = {}
    if resources.cpu_shares:
        files["cpu.weight"] = str(weight_of_shares(resources.cpu_shares))
    if resources.cpu_quota:
        quota = "max" if resources.cpu_quota < 0 else str(resources.cpu_quota)
        files["cpu.max"] = f"{quota} {resources.cpu_period or 100000}"
    if resources.memory_limit_in_bytes:
        files["memory.max"] = "max" if resources.memory_limit_in_bytes < 0 else str(resources.memory_limit_in_bytes)
    files.update(resources.unified)
    return files


def weight_of_shares(shares: int) -> int:
    """cgroup v2's cpu.weight (1–10000) for v1's cpu.shares (2–262144), as the OCI runtimes of Kubernetes 1.x map it."""
    return min(10000, max(1, 1 + (max(2, shares) - 2) * 9999 // 262142))


def _write_v1_limits(layout: Layout, group: str, resources: t.LinuxContainerResources) -> None:
    for controller, name, value in (
        ("cpu", "cpu.shares", resources.cpu_shares),
        ("cpu", "cpu.cfs_period_us", resources.cpu_period if resources.cpu_quota else 0),
        ("cpu", "cpu.cfs_quota_us", resources.cpu_quota),
        ("memory", "memory.limit_in_bytes", resources.memory_limit_in_bytes),
    ):
        directory = group_dir(layout, controller, group)
        if directory is not None and value:
            _write(directory / name, str(value))


def keep_apart(layout: Layout, group: str, pid: int) -> None:
    """Put conmon into a group of its own in the hierarchies an init system kills by, so that it outlives our service."""
    bases = [layout.v2] if layout.v2 is not None else [layout.v1.get("systemd"), layout.hybrid]
    for base in bases:
        if base is None:
            continue
        directory = base / group.lstrip("/")
        try:
            directory.mkdir(parents=True, exist_ok=True)
            _write(directory / "cgroup.procs", str(pid))
        except OSError as error:
            if error.errno != errno.ESRCH:  # it may have ended already
                log.debug("conmon %d stays in our group of %s: %s", pid, base, error)


def own_procs_file(layout: Layout) -> Path | None:
    """The `cgroup.procs` this process is listed in, of a hierarchy that limits nothing of ours; None if there is none."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if layout.v2 is not None and not controllers:
            return layout.v2 / path.lstrip("/") / "cgroup.procs"
        if controllers in ("pids", "freezer") and controllers in layout.v1:
            return layout.v1[controllers] / path.lstrip("/") / "cgroup.procs"
    return None


def warm_up(procs_file: Path | None) -> None:
    """Spare the next process to be put into a group the kernel's wait of 5 to 15 ms.

    Moving a process takes a lock whose first writer waits for an RCU grace period, while writers soon after do not. So
    this process "moves" to where it is, on a worker thread, while conmon and the OCI runtime are still starting up.
    """
    if procs_file is not None:
        try:
            _write(procs_file, "0")
        except OSError:
            return


def _write(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def usage(layout: Layout, group: str) -> Usage:
    """What a group uses now; all zero when it is gone."""
    if layout.v2 is not None:
        return read_v2(layout.v2 / group.lstrip("/"))
    dirs = {name: group_dir(layout, name, group) for name in ("cpuacct", "memory", "pids")}
    return read_v1(dirs["cpuacct"], dirs["memory"], dirs["pids"])


def read_v2(directory: Path) -> Usage:
    """Usage from a v2 group's directory. Pure but for reading it."""
    cpu, memory = _table(directory / "cpu.stat"), _table(directory / "memory.stat")
    used = _number(directory / "memory.current")
    return Usage(
        cpu_ns=cpu.get("usage_usec", 0) * 1000,
        memory_bytes=used,
        working_set_bytes=max(0, used - memory.get("inactive_file", 0)),
        rss_bytes=memory.get("anon", 0),
        pids=_number(directory / "pids.current"),
    )


def read_v1(cpuacct: Path | None, memory: Path | None, pids: Path | None) -> Usage:
    """Usage from a group's directories under v1."""
    table = _table(memory / "memory.stat") if memory else {}
    used = _number(memory / "memory.usage_in_bytes") if memory else 0
    return Usage(
        cpu_ns=_number(cpuacct / "cpuacct.usage") if cpuacct else 0,
        memory_bytes=used,
        working_set_bytes=max(0, used - table.get("total_inactive_file", 0)),
        rss_bytes=table.get("total_rss", 0),
        pids=_number(pids / "pids.current") if pids else 0,
    )


def oom_kills(layout: Layout, group: str) -> int:
    """How often the kernel killed for memory in this group; 0 when it is gone."""
    directory = group_dir(layout, "memory", group)
    if directory is None:
        return 0
    return _table(directory / ("memory.events" if layout.is_v2 else "memory.oom_control")).get("oom_kill", 0)


def _table(path: Path) -> dict[str, int]:
    try:
        rows = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def kill_all(layout: Layout, group: str) -> bool:
    """SIGKILL every process in the subtree; True if there was one."""
    found = False
    if layout.v2 is not None:
        directory = layout.v2 / group.lstrip("/")
        found = bool(_members(directory))
        try:
            _write(directory / "cgroup.kill", "1")
            return found
        except OSError:
            pass  # before Linux 5.14, or the group is gone
    for base in layout.hierarchies():
        for pid in _members(base / group.lstrip("/")):
            found = True
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    return found


def _members(directory: Path) -> list[int]:
    pids: list[int] = []
    for folder, _, _ in os.walk(directory):
        try:
            pids += [int(line) for line in (Path(folder) / "cgroup.procs").read_text().split()]
        except OSError:
            continue
    return pids


def _remove_plain(layout: Layout, group: str) -> None:
    """Where the kernel has a v1 controller that is not mounted, crun makes plain directories and files in its mount's place."""
    for root in {mount.parent for mount in layout.v1.values()}:
        for place in root.iterdir():
            top = place / group.lstrip("/")
            if top.is_dir() and not place.is_symlink() and top.stat().st_dev == root.stat().st_dev:
                shutil.rmtree(top, ignore_errors=True)


def remove(layout: Layout, group: str) -> bool:
    """Remove a subtree in every hierarchy; False while a process keeps a group alive. Idempotent."""
    gone = True
    for base in layout.hierarchies():
        top = base / group.lstrip("/")
        for folder, _, _ in os.walk(top, topdown=False):
            try:
                os.rmdir(folder)
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                gone = False
    _remove_plain(layout, group)
    return gone
