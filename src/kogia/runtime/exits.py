"""Exit files of containers, noticed by inotify: conmon renames `<exits>/<container id>` into place when one ended.

No polling on this road; `missed` is for the slow safety net and for recovery. An overflow of the queue means "look at all".
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from kogia.runtime import libc


class ExitWatcher:
    """Calls `on_exit(container id)` on the event loop for every exit file that appears."""

    def __init__(self, directory: Path, on_exit: Callable[[str], None]) -> None:
        self._directory = directory
        self._on_exit = on_exit
        self._fd = -1

    def start(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._fd = libc.inotify_init()
        libc.inotify_add_watch(self._fd, str(self._directory), libc.IN_MOVED_TO | libc.IN_CLOSE_WRITE)
        asyncio.get_running_loop().add_reader(self._fd, self._ready)

    def _ready(self) -> None:
        try:
            buffer = os.read(self._fd, 65536)
        except BlockingIOError:
            return
        for _watch, mask, name in libc.inotify_parse(buffer):
            if mask & libc.IN_Q_OVERFLOW:
                for missed in self.present():
                    self._on_exit(missed)
            elif is_container_id(name):
                self._on_exit(name)

    def present(self) -> list[str]:
        """Ids with an exit file now."""
        return [name for name in os.listdir(self._directory) if is_container_id(name)]

    def close(self) -> None:
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1


def is_container_id(name: str) -> bool:
    return len(name) == 64 and all(c in "0123456789abcdef" for c in name)


def read(directory: Path, container_id: str) -> tuple[int, int] | None:
    """(exit code, nanoseconds since the epoch at which it ended); None without a complete exit file."""
    try:
        with open(directory / container_id, "rb") as handle:
            text = handle.read(32)
            return int(text), os.fstat(handle.fileno()).st_mtime_ns
    except (OSError, ValueError):
        return None
