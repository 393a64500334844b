"""Drive an OCI runtime (crun, runc or any other) by its command line, and choose it by handler name.

Handlers come from the configuration, or are crun and runc where installed. crun refuses a hybrid cgroup layout in which
the v2 mount still owns controllers; then the default falls back to runc, with one warning.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from kogia.cri.errors import Code, CriError, not_found
from kogia.runtime.cgroups import Layout
from kogia.runtime.config import RuntimeConfig
from kogia.runtime.conmon import shorten
from kogia.runtime.spawn import Result, run
from kogia.runtime.state import is_alive

log = logging.getLogger("kogia.runtime.oci")

_PLAIN = ("crun", "runc", "youki")  #: runtimes whose container init is an ordinary process of this machine


@dataclass(frozen=True, slots=True)
class OciRuntime:
    """One program with its own state directory."""

    handler: str
    program: str
    root: Path

    @property
    def plain(self) -> bool:
        """Whether signals may go straight to the container's init."""
        return os.path.basename(self.program) in _PLAIN

    @property
    def is_crun(self) -> bool:
        return os.path.basename(self.program) == "crun"

    def args(self) -> list[str]:
        return [f"--root={self.root}"]

    async def _run(self, *argv: str, stdin: bytes = b"", timeout_s: float = 60) -> Result:
        try:
            return await run([self.program, *self.args(), *argv], stdin=stdin, timeout_s=timeout_s)
        except TimeoutError as error:
            raise CriError(Code.DEADLINE_EXCEEDED, f"{self.handler} {argv[0]} took longer than {timeout_s:.0f} s") from error
        except FileNotFoundError as error:
            raise CriError(Code.UNAVAILABLE, f"{self.program} is not installed") from error

    async def start(self, container_id: str) -> None:
        """Errors: CriError with the runtime's own words."""
        if self.is_crun and open_gate(self.root / container_id / "exec.fifo"):
            return
        result = await self._run("start", container_id)
        if result.returncode:
            raise CriError(Code.UNKNOWN, shorten(result.error_text()))

    async def delete(self, container_id: str) -> None:
        """Kill what is left and forget it, cgroups included. Idempotent."""
        if not (self.root / container_id).exists() and self.plain:
            return
        result = await self._run("delete", "--force", container_id)
        if result.returncode and (self.root / container_id).exists():
            raise CriError(Code.INTERNAL, f"{self.handler} delete: {result.error_text()}")

    async def kill(self, container_id: str, pid: int, pid_started: int, name: str) -> None:
        """Send the signal `name` ("SIGTERM" or a number) to the container's init. No process: fine."""
        number = signal_number(name)
        if not self.plain:
            await self._run("kill", container_id, str(number))
            return
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            if is_alive(pid, pid_started):
                signal.pidfd_send_signal(fd, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(fd)

    async def update(self, container_id: str, resources: dict[str, Any]) -> None:
        """Change limits of a running container; `resources` is `linux.resources`."""
        result = await self._run("update", "--resources", "-", container_id, stdin=orjson.dumps(resources))
        if result.returncode:
            raise CriError(Code.INTERNAL, shorten(result.error_text()))


def open_gate(fifo: Path) -> bool:
    """Let a container that crun created run on: its init waits for a byte in a FIFO, and `crun start` does no more than
    write that byte and remove the FIFO when the spec has no hooks, as ours have none. Saves a fork of some 5 ms.

    False, with nothing done, where it does not look exactly like that: then `crun start` has the word.
    """
    try:
        if not stat.S_ISFIFO(os.lstat(fifo).st_mode):
            return False
        fd = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False  # no such file, or nobody reads from it
    try:
        os.unlink(fifo)
        os.write(fd, b"\0")
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def signal_number(name: str) -> int:
    """SIGTERM for what is not a signal's name or number."""
    text = name.strip().upper()
    if text.isdigit():
        return int(text)
    base, _, offset = text.removeprefix("SIG").partition("+")
    try:
        return int(signal.Signals["SIG" + base]) + (int(offset) if offset.isdigit() else 0)
    except KeyError:
        return int(signal.SIGTERM)


class OciRuntimes:
    """Handler name → OciRuntime; "" is the default."""

    def __init__(self, config: RuntimeConfig, layout: Layout) -> None:
        programs = dict(config.oci_runtimes) or {name: path for name in ("crun", "runc") if (path := shutil.which(name))}
        self.by_name = {name: OciRuntime(name, path, config.state_dir / "oci" / name) for name, path in programs.items()}
        self.default = config.default_handler or self._choose(layout)

    def _choose(self, layout: Layout) -> str:
        if not self.by_name:
            return ""
        first = "crun" if "crun" in self.by_name else next(iter(self.by_name))
        if self.by_name[first].is_crun and crun_refuses(layout) and "runc" in self.by_name:
            log.warning("crun cannot run here: the hybrid cgroup v2 mount owns controllers; using runc (kogia doctor tells more)")
            return "runc"
        return first

    def get(self, handler: str) -> OciRuntime:
        """Errors: CriError NOT_FOUND."""
        found = self.by_name.get(handler or self.default)
        if found is None:
            raise not_found(f'no runtime for "{handler or self.default}" is configured')
        return found


def crun_refuses(layout: Layout) -> bool:
    """Whether controllers sit on the v2 half of a hybrid layout, which crun does not accept."""
    if layout.hybrid is None:
        return False
    try:
        return bool((layout.hybrid / "cgroup.controllers").read_text().split())
    except OSError:
        return False
