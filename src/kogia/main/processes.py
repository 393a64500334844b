"""Background processes by pid file: start one, find it again, end it, and never mistake another process for it.

A pid file holds the pid and the process's start time in clock ticks (field 22 of /proc/<pid>/stat): a recycled pid has another start time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Collection
from pathlib import Path


def start_ticks(pid: int) -> int | None:
    """When `pid` started, in clock ticks since boot; None if it is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else int(fields[19])


def write_pid_file(path: Path, pid: int) -> None:
    fresh = path.with_suffix(f".{pid}.new")
    fresh.write_text(f"{pid} {start_ticks(pid) or 0}\n")
    fresh.replace(path)


def running(path: Path) -> int | None:
    """The pid named by the pid file at `path` if that very process still runs."""
    try:
        pid, ticks = (int(x) for x in path.read_text().split())
    except (FileNotFoundError, ValueError):
        return None
    return pid if start_ticks(pid) == ticks else None


def spawn(command: list[str], pid_file: Path, log_file: Path, env: dict[str, str] | None = None) -> int:
    """Start `command` detached from this terminal and session, output appended to `log_file`; returns its pid."""
    pid_file.parent.mkdir(parents=True, exist_ok=True)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with open(log_file, "ab") as log, open(os.devnull, "rb") as nothing:
        child = subprocess.Popen(command, stdin=nothing, stdout=log, stderr=log, start_new_session=True, close_fds=True, cwd="/", env=env)
    write_pid_file(pid_file, child.pid)
    child.returncode = 0  # ours to start, not to wait for: no ResourceWarning when this object goes
    return child.pid


def stop(pid_file: Path, timeout_s: float = 15.0) -> bool:
    """SIGTERM, then SIGKILL after `timeout_s`; True if a process was running. The pid file is removed."""
    pid = running(pid_file)
    if pid is None:
        pid_file.unlink(missing_ok=True)
        return False
    ticks = start_ticks(pid)
    _signal(pid, signal.SIGTERM)
    _signal(pid, signal.SIGCONT)  # a stopped process would not hear it
    deadline = time.monotonic() + timeout_s
    killed = False
    while start_ticks(pid) == ticks:
        _reap(pid)
        if not killed and time.monotonic() > deadline:
            _signal(pid, signal.SIGKILL)
            killed = True
        elif time.monotonic() > deadline + 5:
            break
        time.sleep(0.01)
    pid_file.unlink(missing_ok=True)
    return True


def components_of(data_dir: str, names: Collection[str]) -> list[int]:
    """Kogia's own processes on `data_dir` by their command lines, for when their pid files are gone."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            words = Path(f"/proc/{entry}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
        except OSError:
            continue
        pairs = list(zip(words, words[1:], strict=False))
        if ("--data-dir", data_dir) in pairs and any((before == "kogia.main" or before.endswith("/kogia")) and name in names for before, name in pairs):
            found.append(int(entry))
    return found


def end(pid: int) -> None:
    """SIGKILL, and wait until it is gone; bounded."""
    ticks = start_ticks(pid)
    _signal(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while ticks is not None and start_ticks(pid) == ticks and time.monotonic() < deadline:
        _reap(pid)
        time.sleep(0.005)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _reap(pid: int) -> None:
    """If the process was our own child (a test, `--foreground`), collect it so that it does not stay a zombie."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, for an error message."""
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 16384))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""
