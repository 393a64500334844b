"""Who a container runs as: names and groups looked up in the image's own /etc/passwd and /etc/group.

The files are read through `open_in_root`, so an image's symbolic links cannot point them at the host. The parsing and
the decision are pure (`decide`). Source: OCI image-spec config `User`; CRI LinuxContainerSecurityContext.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from kogia.cri.errors import Code, CriError
from kogia.runtime import libc

_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Identity:
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def read_in_root(root: str, path: str) -> str:
    """The text of a file of the image, "" if it cannot be read; at most 1 MiB."""
    try:
        fd = libc.open_in_root(root, path)
    except OSError:
        return ""
    with os.fdopen(fd, "rb") as handle:
        return handle.read(_LIMIT).decode("utf-8", "replace")


def resolve(root: str, user: str, *, uid: int | None, username: str, gid: int | None, extra: list[int], strict: bool) -> Identity:
    """See `decide`; reads the two files only when they can matter."""
    return decide(
        read_in_root(root, "/etc/passwd"),
        read_in_root(root, "/etc/group"),
        user,
        uid=uid,
        username=username,
        gid=gid,
        extra=extra,
        strict=strict,
    )


def decide(
    passwd: str, group: str, user: str, *, uid: int | None, username: str, gid: int | None, extra: list[int], strict: bool
) -> Identity:
    """`user` is the image's `User` (`name|uid[:group|gid]`); `uid`, `username` and `gid` are the Pod's and win.

    Groups: the Pod's `extra`, and unless `strict` those the image's /etc/group gives the user.
    Errors: CriError INVALID_ARGUMENT for a name that the image does not know.
    """
    wanted, _, wanted_group = user.partition(":")
    if uid is not None:
        wanted, wanted_group = str(uid), "" if gid is not None else wanted_group if wanted == str(uid) else ""
    elif username:
        wanted = username
    name, found_uid, found_gid, home = _find_user(passwd, wanted or "0")
    if gid is not None:
        found_gid = gid
    elif wanted_group:
        found_gid = _find_group(group, wanted_group)
    groups = list(extra)
    if not strict and name:
        groups += _groups_of(group, name)
    return Identity(found_uid, found_gid, tuple(sorted({*groups, found_gid} if groups else {found_gid})), home)


def _rows(text: str, least: int) -> list[list[str]]:
    return [row for row in (line.split(":") for line in text.splitlines()) if len(row) >= least]


def _find_user(passwd: str, wanted: str) -> tuple[str, int, int, str]:
    for row in _rows(passwd, 6):
        if (row[0] == wanted or row[2] == wanted) and row[2].isdigit() and row[3].isdigit():
            return row[0], int(row[2]), int(row[3]), row[5] or "/"
    if wanted.isdigit():
        return ("root" if wanted == "0" else ""), int(wanted), 0, "/root" if wanted == "0" else "/"
    if wanted == "root":
        return "root", 0, 0, "/root"
    raise CriError(Code.INVALID_ARGUMENT, f"unable to find user {wanted}: no matching entries in passwd file")


def _find_group(group: str, wanted: str) -> int:
    for row in _rows(group, 3):
        if row[0] == wanted and row[2].isdigit():
            return int(row[2])
    if wanted.isdigit():
        return int(wanted)
    raise CriError(Code.INVALID_ARGUMENT, f"unable to find group {wanted}: no matching entries in group file")


def _groups_of(group: str, name: str) -> list[int]:
    return [int(row[2]) for row in _rows(group, 4) if name in row[3].split(",") and row[2].isdigit()]
