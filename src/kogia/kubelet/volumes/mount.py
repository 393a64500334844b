"""mount(2) and umount2(2) by ctypes, behind a seam so that unit tests need no root."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Protocol

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 4096, 16384, 1 << 18
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8


class Mounts(Protocol):
    def tmpfs(self, target: Path, *, size_bytes: int = 0, mode: str = "0777") -> None: ...

    def bind(self, source: str, target: Path) -> None: ...

    def unmount(self, target: Path) -> None:
        """Idempotent; takes away every mount at that path."""

    def mounted(self, below: Path) -> list[Path]:
        """Mount points at or below `below`, deepest first."""


class KernelMounts:
    """Errors: OSError."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)

    def _mount(self, source: str, target: str, kind: str, flags: int, data: str) -> None:
        if self._libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode() or None):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), target)

    def tmpfs(self, target: Path, *, size_bytes: int = 0, mode: str = "0777") -> None:
        options = f"mode={mode}" + (f",size={size_bytes}" if size_bytes else "")
        self._mount("tmpfs", str(target), "tmpfs", 0, options)

    def bind(self, source: str, target: Path) -> None:
        self._mount(source, str(target), "none", MS_BIND | MS_REC, "")

    def unmount(self, target: Path) -> None:
        while self._libc.umount2(str(target).encode(), _MNT_DETACH | _UMOUNT_NOFOLLOW) == 0:
            pass
        code = ctypes.get_errno()
        if code not in (0, 22, 2):  # EINVAL: no mount point; ENOENT
            raise OSError(code, os.strerror(code), str(target))

    def mounted(self, below: Path) -> list[Path]:
        found = []
        prefix = str(below)
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                point = line.split(" ", 5)[4].replace("\\040", " ")
                if point == prefix or point.startswith(prefix + "/"):
                    found.append(Path(point))
        return sorted(set(found), key=lambda p: len(str(p)), reverse=True)
