"""Mounts the runtime makes: overlay roots, bind mounts, tmpfs; and the reading of /proc/self/mountinfo.

Undoing is always lazy (MNT_DETACH) and idempotent, because it must succeed after any crash and in any order.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from kogia.runtime import libc

PAGE_LIMIT = 4095  #: mount(2) takes one page of options


def overlay(lower: Sequence[Path], upper: Path, work: Path, target: Path) -> None:
    """Mount an overlay; `lower` is ordered from the topmost layer down. Errors: OSError."""
    tail = f",upperdir={_escape(upper)},workdir={_escape(work)}"
    options = "lowerdir=" + ":".join(_escape(path) for path in lower) + tail
    if len(os.fsencode(options)) <= PAGE_LIMIT:
        libc.mount("overlay", str(target), "overlay", 0, options)
        return
    _overlay_relative(lower, tail, target)


def _overlay_relative(lower: Sequence[Path], tail: str, target: Path) -> None:
    """Many layers: name them relative to their common parent, from a thread whose working directory is its own."""
    import threading

    base = os.path.commonpath([str(path.parent) for path in lower])
    options = "lowerdir=" + ":".join(os.path.relpath(path, base) for path in lower) + tail
    if len(os.fsencode(options)) > PAGE_LIMIT:
        raise OSError(errno.E2BIG, f"{len(lower)} layers are too many for one overlay mount", str(target))
    failure: list[OSError] = []

    def work() -> None:
        try:
            libc.unshare(libc.CLONE_FS)
            os.chdir(base)
            libc.mount("overlay", str(target), "overlay", 0, options)
        except OSError as error:
            failure.append(error)

    thread = threading.Thread(target=work, name="overlay")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]


def _escape(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def bind(source: Path | str, target: Path | str) -> None:
    libc.mount(str(source), str(target), None, libc.MS_BIND)


def tmpfs(target: Path, size_bytes: int, mode: str = "1777") -> None:
    flags = libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC
    libc.mount("shm", str(target), "tmpfs", flags, f"mode={mode},size={size_bytes}")


def detach(target: Path | str) -> None:
    """Unmount everything stacked on `target`; not mounted or not there is fine."""
    for _ in range(16):
        try:
            libc.umount(str(target), libc.MNT_DETACH)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return
            raise


def mounted_below(prefix: Path | str) -> list[str]:
    """Mount points at or below `prefix`, deepest first."""
    wanted = str(prefix)
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            point = unescape(line.split(" ", 5)[4])
            if point == wanted or point.startswith(wanted + "/"):
                found.append(point)
    return sorted(found, key=len, reverse=True)


def unescape(text: str) -> str:
    """mountinfo writes space, tab, newline and backslash as \\040-style octal."""
    if "\\" not in text:
        return text
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text
