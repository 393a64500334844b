"""inotify(7) by ctypes: wakes a log follower when its file grows. One instance per follower, closed with it."""

from __future__ import annotations

import asyncio
import ctypes
import os

MODIFY, CREATE, MOVED = 0x2, 0x100, 0xC0
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC


class Watch:
    """`await changed(timeout)` returns when something happened below the watched directory, or after the time."""

    def __init__(self, directory: str) -> None:
        """Errors: OSError (also when the user's limit of instances is reached)."""
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(_FLAGS)
        if self._fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        if libc.inotify_add_watch(self._fd, directory.encode(), MODIFY | CREATE | MOVED) < 0:
            code = ctypes.get_errno()
            os.close(self._fd)
            raise OSError(code, os.strerror(code), directory)
        self._wake = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._fd, self._readable)

    def _readable(self) -> None:
        try:
            os.read(self._fd, 65536)
        except BlockingIOError:
            return
        self._wake.set()

    async def changed(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    def close(self) -> None:
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
