"""Files that change all at once: a timestamped directory and a `..data` symlink switched by rename.

Invariants: a reader through the user-visible names sees either all old or all new files; nothing is switched when nothing changed.
Source: kubelet volume/util AtomicWriter (the algorithm is its contract; programs watch for the `..data` swap).
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DATA, NEW_DATA = "..data", "..data_tmp"


@dataclass(frozen=True, slots=True)
class File:
    data: bytes
    mode: int
    uid: int = -1  #: -1 = leave


def write(target: Path, payload: Mapping[str, File], *, gid: int = -1) -> bool:
    """Make `target` show exactly `payload` (relative path → file). True if anything changed. Errors: OSError, ValueError for bad paths.

    `gid`: the fsGroup; files become readable for it.
    """
    for path in payload:
        if path.startswith("/") or ".." in path.split("/") or path.startswith(".."):
            raise ValueError(f"invalid path {path!r} in volume")
    current = target / DATA
    if _same(current, payload):
        return False
    old = os.readlink(current) if current.is_symlink() else ""
    stamp = target / f"..{time.strftime('%Y_%m_%d_%H_%M_%S')}.{time.time_ns() % 10**9:09d}"
    stamp.mkdir(mode=0o755)
    os.chmod(stamp, 0o755)
    if gid >= 0:
        os.chown(stamp, -1, gid)
    for path, file in payload.items():
        _write_file(stamp, path, file, gid)
    fresh = target / NEW_DATA
    fresh.unlink(missing_ok=True)
    os.symlink(stamp.name, fresh)
    os.rename(fresh, current)
    _link_names(target, payload)
    if old:
        shutil.rmtree(target / old, ignore_errors=True)
    return True


def _write_file(root: Path, path: str, file: File, gid: int) -> None:
    at = root / path
    for parent in reversed(at.relative_to(root).parents[:-1]):
        (root / parent).mkdir(exist_ok=True)
        os.chmod(root / parent, 0o755)
    mode = file.mode | 0o440 if gid >= 0 else file.mode
    with open(at, "wb") as out:
        out.write(file.data)
        os.fchown(out.fileno(), file.uid, gid)
        os.fchmod(out.fileno(), mode)


def _same(current: Path, payload: Mapping[str, File]) -> bool:
    if not current.is_symlink():
        return False
    found = {str(p.relative_to(current)): p for p in current.rglob("*") if not p.is_dir()}
    if found.keys() != payload.keys():
        return False
    return all(found[path].read_bytes() == file.data for path, file in payload.items())


def _link_names(target: Path, payload: Mapping[str, File]) -> None:
    """User-visible names are links through `..data`; those no longer in the payload go."""
    wanted = {path.split("/")[0] for path in payload}
    for name in wanted:
        link = target / name
        if not link.is_symlink():
            os.symlink(f"{DATA}/{name}", link)
    for entry in os.scandir(target):
        if entry.is_symlink() and not entry.name.startswith("..") and entry.name not in wanted:
            os.unlink(entry.path)
