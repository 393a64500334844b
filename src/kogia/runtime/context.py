"""What every operation of the runtime shares: configuration, records, worker threads, locks, events, waiting for exits.

The operations themselves are functions over a `Context`, one module each (`sandbox_run`, `container_start` …), so that the
façade in `service` stays a table of contents. All state is touched on the event loop only; worker threads get values.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from kogia.base.tasks import TaskOwner
from kogia.cri import types as t
from kogia.cri.errors import not_found
from kogia.runtime import cgroups
from kogia.runtime.cgroups import Layout
from kogia.runtime.cni import Cni
from kogia.runtime.config import RuntimeConfig
from kogia.runtime.conmon_watch import ConmonWatch
from kogia.runtime.events import EventHub
from kogia.runtime.hostports import HostPorts
from kogia.runtime.network_default import DefaultNetwork
from kogia.runtime.oci import OciRuntimes
from kogia.runtime.seccomp_cache import SeccompCache
from kogia.runtime.state import ContainerRecord, Records, SandboxRecord

T = TypeVar("T")
CAP_SYS_RESOURCE = 24


class ImageInfo(Protocol):
    """What the runtime needs of an image: `kogia.runtime.images.store.ImageRecord`, or a test's own."""

    @property
    def id(self) -> str: ...
    @property
    def config(self) -> dict[str, Any]: ...
    @property
    def layer_dirs(self) -> list[str]: ...  # top first
    @property
    def repo_digest(self) -> str: ...


class ImageSource(Protocol):
    """What the runtime needs of the image store: `kogia.runtime.images.store.ImageStore`."""

    def resolve(self, ref: str) -> ImageInfo | None: ...
    def hold(self, image_id: str, owner: str) -> None: ...
    def release(self, owner: str) -> None: ...
    def owners(self) -> dict[str, str]: ...


@dataclass(slots=True)
class Machine:
    """What this machine allows, found once."""

    layout: Layout
    capabilities: frozenset[str]
    oom_score_floor: int
    swap_accounting: bool
    procs_file: Path | None = None  #: see `cgroups.warm_up`


@dataclass(slots=True)
class Context:
    config: RuntimeConfig
    executor: ThreadPoolExecutor
    records: Records
    images: ImageSource
    machine: Machine
    network: DefaultNetwork
    hostports: HostPorts
    cni: Cni
    oci: OciRuntimes
    events: EventHub
    tasks: TaskOwner
    starts: asyncio.Semaphore
    seccomp: SeccompCache
    conmons: ConmonWatch
    seccomp_keys: dict[str, str] = field(default_factory=dict)  # containers whose compiled filter is still to be learnt
    exited: dict[str, asyncio.Event] = field(default_factory=dict)
    locks: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Run blocking work on a worker thread. Cancel: takes effect when the work is over, so undoing cannot meet it half way."""
        future = asyncio.get_running_loop().run_in_executor(self.executor, function, *args)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait({future})
            raise

    def lock(self, identity: str) -> asyncio.Lock:
        """The lock of one sandbox or container."""
        return self.locks.setdefault(identity, asyncio.Lock())

    def sandbox(self, sandbox_id: str) -> SandboxRecord:
        """By id or unique prefix. Errors: CriError NOT_FOUND."""
        found = find(self.records.sandboxes, sandbox_id)
        if found is None:
            raise not_found(f'an error occurred when try to find sandbox "{sandbox_id}": not found')
        return found

    def container(self, container_id: str) -> ContainerRecord:
        """By id or unique prefix. Errors: CriError NOT_FOUND."""
        found = find(self.records.containers, container_id)
        if found is None:
            raise not_found(f'an error occurred when try to find container "{container_id}": not found')
        return found

    def bundle(self, container_id: str) -> Path:
        return self.config.containers_dir / container_id

    def emit(self, kind: t.ContainerEventType, record: ContainerRecord | SandboxRecord) -> None:
        if isinstance(record, SandboxRecord):
            self.events.emit(kind, record.id, record.id, record.config.metadata.uid)
            return
        sandbox = self.records.sandboxes.get(record.sandbox_id)
        self.events.emit(kind, record.id, record.sandbox_id, sandbox.config.metadata.uid if sandbox else "")

    async def wait_exit(self, record: ContainerRecord, timeout_s: float | None) -> bool:
        """Wait until the container's end is recorded; False on time-out."""
        event = self.exited.setdefault(record.id, asyncio.Event())
        if record.state != t.ContainerState.CONTAINER_RUNNING:
            return True
        try:
            await asyncio.wait_for(event.wait(), timeout_s)
        except TimeoutError:
            return False
        return True


def find(records: dict[str, T], identity: str) -> T | None:
    """A record by its id or a prefix that only one has."""
    if identity in records:
        return records[identity]
    if not identity:
        return None
    matches = [record for key, record in records.items() if key.startswith(identity)]
    return matches[0] if len(matches) == 1 else None


def inspect_machine(layout: Layout) -> Machine:
    """Read what this process may do and what the kernel accounts."""
    from kogia.runtime.spec import CAPABILITIES

    bits = 0
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            bits = int(line.split()[1], 16)
    capabilities = frozenset(name for number, name in enumerate(CAPABILITIES) if bits >> number & 1)
    floor = -1000 if "CAP_SYS_RESOURCE" in capabilities else int(Path("/proc/self/oom_score_adj").read_text())
    memory = layout.v1.get("memory")
    if memory is not None:
        swap = os.path.exists(memory / "memory.memsw.limit_in_bytes")
    else:
        swap = layout.v2 is not None
    return Machine(layout, capabilities, floor, swap, cgroups.own_procs_file(layout))
