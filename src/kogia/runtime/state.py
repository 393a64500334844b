"""Records of sandboxes and containers: one JSON file each, replaced atomically, loaded once at start.

A record is the commit point of its object: a directory without a readable record is a half-made thing that `recover`
removes. Memory holds the same dataclasses; only this module knows the files. Files survive a kill of the process; they
are not fsynced, because a power cut ends the containers anyway and an unreadable record is cleaned like a missing one.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import types
import typing
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import orjson

from kogia.cri import types as t
from kogia.runtime.namespaces import NamespaceSet

T = TypeVar("T")
RECORD = "state.json"


@dataclass(slots=True, kw_only=True)
class SandboxRecord:
    """One Pod sandbox. `name` is `k8s_POD_<pod>_<namespace>_<uid>_<attempt>`."""

    id: str
    name: str
    config: t.PodSandboxConfig
    handler: str = ""
    created_at: int = 0
    ready: bool = True
    namespaces_id: str = ""
    namespace_kinds: list[str] = field(default_factory=list)
    ips: list[str] = field(default_factory=list)
    from_plugins: bool = False  #: attached by CNI plugins, to be detached by them
    cgroup: str = ""
    holder_pid: int = 0  #: init of a shared PID namespace
    holder_started: int = 0

    def namespaces(self, base: Path) -> NamespaceSet:
        ip = "" if self.from_plugins or not self.ips else self.ips[0]
        return NamespaceSet(self.namespaces_id, base / self.namespaces_id, tuple(self.namespace_kinds), ip)


@dataclass(slots=True, kw_only=True)
class ContainerRecord:
    """One container. `name` is `k8s_<container>_<pod>_<namespace>_<uid>_<attempt>`."""

    id: str
    sandbox_id: str
    name: str
    config: t.ContainerConfig
    image_id: str = ""
    image_ref: str = ""
    handler: str = ""
    cgroup: str = ""
    log_path: str = ""
    stop_signal: str = "SIGTERM"
    created_at: int = 0
    state: t.ContainerState = t.ContainerState.CONTAINER_CREATED
    starting: bool = False  #: set before conmon is started; found set at recovery, the start was cut off
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    pid: int = 0
    pid_started: int = 0  #: /proc start time, so that a reused pid is not taken for ours
    conmon_pid: int = 0
    conmon_started: int = 0


R = TypeVar("R", SandboxRecord, ContainerRecord)


class Records:
    """All sandboxes and containers, in memory and on disk."""

    def __init__(self, sandboxes_dir: Path, containers_dir: Path) -> None:
        self.sandboxes_dir, self.containers_dir = sandboxes_dir, containers_dir
        self.sandboxes: dict[str, SandboxRecord] = {}
        self.containers: dict[str, ContainerRecord] = {}

    def load(self) -> list[Path]:
        """Read everything; returns the directories without a readable record."""
        orphans = _load(self.sandboxes_dir, SandboxRecord, self.sandboxes)
        return orphans + _load(self.containers_dir, ContainerRecord, self.containers)

    def save_sandbox(self, record: SandboxRecord) -> None:
        write_atomically(self.sandboxes_dir / record.id / RECORD, orjson.dumps(record))
        self.sandboxes[record.id] = record

    def save_container(self, record: ContainerRecord) -> None:
        write_atomically(self.containers_dir / record.id / RECORD, orjson.dumps(record))
        self.containers[record.id] = record

    def containers_of(self, sandbox_id: str) -> list[ContainerRecord]:
        return [c for c in self.containers.values() if c.sandbox_id == sandbox_id]


def _load(base: Path, cls: type[R], into: dict[str, R]) -> list[Path]:
    orphans: list[Path] = []
    base.mkdir(parents=True, exist_ok=True)
    for directory in sorted(base.iterdir()):
        try:
            record = decode(cls, orjson.loads((directory / RECORD).read_bytes()))
        except (OSError, ValueError, TypeError, KeyError):
            orphans.append(directory)
            continue
        into[record.id] = record
    return orphans


def write_atomically(path: Path, data: bytes) -> None:
    """Readers see the old content or the new, never a part."""
    temporary = f"{path}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)
    os.rename(temporary, path)


def decode(cls: type[T], data: Any) -> T:
    """A dataclass from what orjson made of it; unknown keys are passed over, so that an older Kogia reads a newer record."""
    result: T = _decode(cls, data)
    return result


def _decode(kind: Any, data: Any) -> Any:
    if data is None:
        return None
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return _decode(next(a for a in typing.get_args(kind) if a is not type(None)), data)
    if origin is list:
        return [_decode(typing.get_args(kind)[0], item) for item in data]
    if origin is dict:
        return {key: _decode(typing.get_args(kind)[1], value) for key, value in data.items()}
    if dataclasses.is_dataclass(kind):
        hints = _hints(kind)  # type: ignore[arg-type]
        return kind(**{key: _decode(hints[key], value) for key, value in data.items() if key in hints})  # type: ignore[operator]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(data)
    return data


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def process_started(pid: int) -> int:
    """The start time of a live process in clock ticks since boot; 0 if there is none or it is a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as handle:
            fields = handle.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def is_alive(pid: int, started: int) -> bool:
    """Whether the very process that was recorded still lives."""
    return pid > 0 and started > 0 and process_started(pid) == started
