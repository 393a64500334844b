"""A cluster's name belongs to one data directory at a time: bridge, cgroups, mounts and rules on the machine are named by it.

`/run/kogia/NAME/data-dir` tells whose they are. A reboot takes the file and all it stands for; the next start writes it anew. `reset` reads it to
clear what is left when someone removed the data directory by hand. `lock` keeps two node-level commands from working on one cluster at once.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kogia.base.cluster import ClusterConfig, ConfigError, load
from kogia.main.node import state_dir


def owner(name: str) -> str:
    """The data directory that uses `name` on this machine; "" if none does."""
    try:
        return (state_dir(ClusterConfig(name=name)) / "data-dir").read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def lives(name: str, data_dir: str) -> bool:
    """Whether `data_dir` still holds a cluster of this name. An unreadable one counts as living."""
    try:
        config = load(data_dir)
    except ConfigError:
        return True
    return config is not None and config.name == name


def check(config: ClusterConfig) -> None:
    """Errors: ConfigError if the name is another living cluster's."""
    other = owner(config.name)
    if other and other != config.data_dir and lives(config.name, other):
        raise ConfigError(f"--name {config.name} is the cluster in {other}: choose another name for the one in {config.data_dir}")


def take(config: ClusterConfig) -> None:
    """Say whose the name is. Errors: ConfigError as in `check`."""
    check(config)
    mark = state_dir(config) / "data-dir"
    if owner(config.name) == config.data_dir:
        return
    mark.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
    fresh = mark.with_suffix(f".{os.getpid()}.new")
    fresh.write_text(config.data_dir + "\n")
    fresh.replace(mark)


@contextmanager
def lock(config: ClusterConfig) -> Iterator[None]:
    """Wait for other node-level commands on the same data directory. The lock ends with the process, however it ends."""
    path = config.paths.run / "lock"
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if not _is(path, handle):
                continue  # a reset took the file away while we waited
            yield
            return
        finally:
            os.close(handle)


def _is(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False
