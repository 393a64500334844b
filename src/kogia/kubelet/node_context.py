"""What all of a kubelet's parts share: handed to every worker, so that nothing is global."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from kogia.base.clock import Clock
from kogia.client.events import EventRecorder
from kogia.client.interface import Client
from kogia.cri.interface import ImageService, RuntimeService
from kogia.kubelet.config import KubeletConfig
from kogia.kubelet.status_writer import StatusWriter
from kogia.kubelet.volumes.api_data import ApiData
from kogia.kubelet.volumes.mount import Mounts

Obj = dict[str, Any]


@dataclass(slots=True)
class NodeContext:
    config: KubeletConfig
    client: Client
    runtime: RuntimeService
    images: ImageService
    recorder: EventRecorder
    statuses: StatusWriter
    data: ApiData
    mounts: Mounts
    clock: Clock
    services: Callable[[str], list[Obj]]  #: Services of a namespace, from memory
    wait_services: Callable[[], Awaitable[None]]  #: until Services have been read once; raises TimeoutError
    host_ips: tuple[str, ...] = ()
    capacity: dict[str, str] = field(default_factory=dict)
    allocatable: dict[str, str] = field(default_factory=dict)
    memory_bytes: int = 1 << 30
    runtime_handlers: Callable[[str], str | None] = lambda name: name or ""  #: RuntimeClass name → handler; None unknown
