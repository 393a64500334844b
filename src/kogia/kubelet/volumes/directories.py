"""emptyDir and hostPath, fsGroup ownership, and subPath resolved without following a link out of the volume.

Blocking file operations, all short but `remove_tree`. Source: kubelet volume/emptydir, hostpath, util/subpath.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Any

from kogia.api import quantity
from kogia.kubelet.volumes.mount import Mounts

Obj = dict[str, Any]


class VolumeError(Exception):
    """The volume cannot be given; the message is fit for an event."""


def set_up_empty_dir(target: Path, source: Obj, mounts: Mounts, *, gid: int = -1) -> None:
    """World-writable, on disk or in memory. Idempotent: what is in it stays."""
    fresh = not target.exists()
    target.mkdir(parents=True, exist_ok=True)
    medium = source.get("medium") or ""
    if medium == "Memory":
        if not mounts.mounted(target):
            limit = source.get("sizeLimit")
            mounts.tmpfs(target, size_bytes=quantity.int_value(limit) if limit else 0)
            fresh = True
    elif medium:
        raise VolumeError(f"unknown storage medium {medium!r}")
    if fresh:
        os.chmod(target, 0o777)
        if gid >= 0:
            os.chown(target, -1, gid)
            os.chmod(target, 0o2777)


def check_host_path(source: Obj) -> str:
    """The path, made if its type says so. Errors: VolumeError."""
    path, kind = source["path"], source.get("type") or ""
    if kind == "DirectoryOrCreate" and not os.path.exists(path):
        os.makedirs(path, mode=0o755, exist_ok=True)
    elif kind == "FileOrCreate" and not os.path.exists(path):
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
    tests = {
        "Directory": (stat.S_ISDIR, "a directory"),
        "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
        "File": (stat.S_ISREG, "a file"),
        "FileOrCreate": (stat.S_ISREG, "a file"),
        "Socket": (stat.S_ISSOCK, "a socket file"),
        "CharDevice": (stat.S_ISCHR, "a character device"),
        "BlockDevice": (stat.S_ISBLK, "a block device"),
    }
    if kind in tests:
        test, what = tests[kind]
        try:
            fits = test(os.stat(path).st_mode)
        except OSError:
            fits = False
        if not fits:
            raise VolumeError(f"hostPath type check failed: {path} is not {what}")
    return str(path)


def open_sub_path(volume: str, sub_path: str) -> int:
    """A file descriptor (O_PATH) of `sub_path` in `volume`; missing directories are made. Errors: VolumeError.

    Links are resolved first and must end inside the volume; then every component is opened without following links, so that nothing
    a container does meanwhile can lead outside.
    """
    if sub_path.startswith("/") or ".." in sub_path.split("/"):
        raise VolumeError(f"subPath {sub_path!r} must be a relative path without '..'")
    base = os.path.realpath(volume)
    full = os.path.realpath(os.path.join(base, sub_path))
    if full != base and not full.startswith(base + "/"):
        raise VolumeError(f"subPath {sub_path!r} leads out of its volume")
    fd = os.open(base, os.O_PATH | os.O_DIRECTORY)
    try:
        for part in [p for p in full[len(base) :].split("/") if p]:
            try:
                nested = os.open(part, os.O_PATH | os.O_NOFOLLOW, dir_fd=fd)
            except FileNotFoundError:
                os.mkdir(part, 0o750, dir_fd=fd)
                nested = os.open(part, os.O_PATH | os.O_NOFOLLOW, dir_fd=fd)
                parent = os.stat(fd)
                os.chown(part, parent.st_uid, parent.st_gid, dir_fd=fd, follow_symlinks=False)
                os.chmod(f"/proc/self/fd/{nested}", stat.S_IMODE(parent.st_mode))
            if stat.S_ISLNK(os.fstat(nested).st_mode):
                os.close(nested)
                raise VolumeError(f"subPath {sub_path!r} changed while it was opened")
            os.close(fd)
            fd = nested
    except (OSError, VolumeError) as error:
        os.close(fd)
        raise error if isinstance(error, VolumeError) else VolumeError(f"failed to prepare subPath {sub_path!r}: {error}") from error
    return fd


def remove_tree(root: Path, mounts: Mounts) -> None:
    """Unmount everything below `root`, then delete it; refuses to delete through a mount that would not go. Errors: OSError."""
    for point in mounts.mounted(root):
        mounts.unmount(point)
    if mounts.mounted(root):
        raise OSError(16, "still mounted", str(root))
    shutil.rmtree(root, ignore_errors=True)
