"""The system calls Python does not offer, by ctypes: mount, umount2, unshare, setns, openat2, inotify.

Every function raises OSError with the path it concerned. Nothing here knows containers; `mounts`, `namespaces`, `users`
and `exits` build on it. ctypes releases the GIL during a call, so slow ones belong on a worker thread.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import struct

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 0x2
UMOUNT_NOFOLLOW = 0x8

CLONE_FS = 0x200
CLONE_NEWNS = 0x20000
CLONE_NEWUTS = 0x4000000
CLONE_NEWIPC = 0x8000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

IN_CLOSE_WRITE = 0x8
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_Q_OVERFLOW = 0x4000
IN_NONBLOCK = 0o4000
IN_CLOEXEC = 0o2000000

_SYS_OPENAT2 = 437  # the same number on every architecture
RESOLVE_IN_ROOT = 0x10
_AT_FDCWD = -100

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def mount(source: str, target: str, fstype: str | None, flags: int = 0, data: str | None = None) -> None:
    """mount(2); `data` is the file system's own option string."""
    _check(
        _libc.mount(
            os.fsencode(source),
            os.fsencode(target),
            None if fstype is None else fstype.encode(),
            ctypes.c_ulong(flags),
            None if data is None else os.fsencode(data),
        ),
        target,
    )


def umount(target: str, flags: int = 0) -> None:
    """umount2(2), never following a symbolic link at `target`."""
    _check(_libc.umount2(os.fsencode(target), flags | UMOUNT_NOFOLLOW), target)


def unshare(flags: int) -> None:
    """Give the *calling thread* new namespaces. Call it only on a thread that is put back or thrown away."""
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, kind: int = 0) -> None:
    """Move the calling thread into the namespace behind `fd`."""
    _check(_libc.setns(fd, kind), "setns")


def sethostname(name: str) -> None:
    raw = name.encode()
    _check(_libc.sethostname(raw, ctypes.c_size_t(len(raw))), "sethostname")


def open_in_root(root: str, path: str, flags: int = os.O_RDONLY) -> int:
    """A descriptor of `path` resolved as if `root` were `/`: no symbolic link leads out of it. Errors: OSError."""
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        how = struct.pack("=QQQ", flags | os.O_CLOEXEC, 0, RESOLVE_IN_ROOT)
        return _check(_libc.syscall(_SYS_OPENAT2, root_fd, path.encode(), how, ctypes.c_size_t(len(how))), path)
    finally:
        os.close(root_fd)


def inotify_init() -> int:
    return _check(_libc.inotify_init1(IN_NONBLOCK | IN_CLOEXEC), "inotify")


def inotify_add_watch(fd: int, path: str, mask: int) -> int:
    return _check(_libc.inotify_add_watch(fd, os.fsencode(path), ctypes.c_uint32(mask)), path)


def inotify_parse(buffer: bytes) -> list[tuple[int, int, str]]:
    """(watch, mask, name) of each event in what was read from an inotify descriptor."""
    events = []
    at = 0
    while at + 16 <= len(buffer):
        watch, mask, _cookie, length = struct.unpack_from("=iIII", buffer, at)
        name = buffer[at + 16 : at + 16 + length].rstrip(b"\0")
        events.append((watch, mask, os.fsdecode(name)))
        at += 16 + length
    return events
