"""Notice the death of a conmon at once, by a pidfd per running container.

A conmon that ends as it should has written its exit file first, and `exits` has seen it. One that was killed leaves a
container nobody watches: it is stopped and recorded as lost. Works for adopted ones too, as pidfds need no parentage.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

from kogia.runtime.state import is_alive

log = logging.getLogger("kogia.runtime.conmon")


class ConmonWatch:
    """Calls `on_gone(container id)` on the event loop once that container's conmon has ended."""

    def __init__(self, on_gone: Callable[[str], None]) -> None:
        self._on_gone = on_gone
        self._fds: dict[str, int] = {}

    def add(self, container_id: str, pid: int, started: int) -> None:
        """Watch the process `pid` that began at `started`; if it is gone already, that is told soon."""
        loop = asyncio.get_running_loop()
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            loop.call_soon(self._on_gone, container_id)
            return
        if not is_alive(pid, started):
            os.close(fd)
            loop.call_soon(self._on_gone, container_id)
            return
        self.remove(container_id)
        self._fds[container_id] = fd
        loop.add_reader(fd, self._gone, container_id)

    def _gone(self, container_id: str) -> None:
        self.remove(container_id)
        self._on_gone(container_id)

    def remove(self, container_id: str) -> None:
        """Idempotent."""
        fd = self._fds.pop(container_id, -1)
        if fd >= 0:
            asyncio.get_running_loop().remove_reader(fd)
            os.close(fd)

    def close(self) -> None:
        for container_id in list(self._fds):
            self.remove(container_id)
