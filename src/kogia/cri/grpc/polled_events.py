"""Events of a runtime that has no GetContainerEvents (containerd before 1.7): seen by comparing listings, once a second.

`changes` is pure. Neighbours: client.py switches to this when the call is unimplemented. Invariants: what one listing hides between two looks (started and
ended at once) still gives all its events, in order; a listing that fails is tried again, and nothing is concluded from it.
Source: the kubelet's generic PLEG, pkg/kubelet/pleg/generic.go, for what may be concluded.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

from kogia.cri import types as t
from kogia.cri.errors import CriError

log = logging.getLogger("kogia.cri.grpc")

INTERVAL_S = 1.0
_CREATED, _STARTED = t.ContainerEventType.CONTAINER_CREATED_EVENT, t.ContainerEventType.CONTAINER_STARTED_EVENT
_STOPPED, _DELETED = t.ContainerEventType.CONTAINER_STOPPED_EVENT, t.ContainerEventType.CONTAINER_DELETED_EVENT
#: how far a life has come, in events
_STEPS = (_CREATED, _STARTED, _STOPPED, _DELETED)


class Lister(Protocol):
    async def list_containers(self, filter: t.ContainerFilter | None = None) -> list[t.Container]: ...

    async def list_pod_sandbox(self, filter: t.PodSandboxFilter | None = None) -> list[t.PodSandbox]: ...


@dataclass(frozen=True, slots=True)
class Seen:
    """One container or sandbox: how many of `_STEPS` lie behind it, and whose it is."""

    steps: int
    sandbox_id: str
    pod_uid: str


@dataclass(frozen=True, slots=True)
class View:
    """One look at the runtime, by id."""

    objects: dict[str, Seen] = field(default_factory=dict)


def view(containers: list[t.Container], sandboxes: list[t.PodSandbox], before: View | None = None) -> View:
    """A container whose state the runtime itself does not know stays as it was `before`."""
    uids = {sandbox.id: sandbox.metadata.uid for sandbox in sandboxes}
    steps = {t.ContainerState.CONTAINER_CREATED: 1, t.ContainerState.CONTAINER_RUNNING: 2, t.ContainerState.CONTAINER_EXITED: 3}
    found = {s.id: Seen(2 if s.state == t.PodSandboxState.SANDBOX_READY else 3, s.id, s.metadata.uid) for s in sandboxes}
    for c in containers:
        if c.state not in steps:
            if before is not None and c.id in before.objects:
                found[c.id] = before.objects[c.id]
        else:
            found[c.id] = Seen(steps[c.state], c.pod_sandbox_id, uids.get(c.pod_sandbox_id, ""))
    return View(found)


def changes(before: View, after: View, now_ns: int) -> list[t.ContainerEvent]:
    """What must have happened between two looks, per object in the order of its life; sandboxes begin before and end after their containers."""

    def order(item: tuple[str, Seen]) -> bool:
        return item[0] != item[1].sandbox_id

    events = []

    def tell(identity: str, seen: Seen, first: int, last: int) -> None:
        for step in _STEPS[first:last]:
            events.append(
                t.ContainerEvent(
                    container_id=identity,
                    container_event_type=step,
                    created_at=now_ns,
                    pod_sandbox_id=seen.sandbox_id,
                    pod_uid=seen.pod_uid,
                )
            )

    for identity, seen in sorted(after.objects.items(), key=order):
        old = before.objects.get(identity)
        tell(identity, seen, old.steps if old else 0, seen.steps)
    for identity, seen in sorted(before.objects.items(), key=order, reverse=True):
        if identity not in after.objects:
            tell(identity, seen, seen.steps, len(_STEPS))
    return events


async def poll(runtime: Lister, interval_s: float = INTERVAL_S) -> AsyncIterator[t.ContainerEvent]:
    """Events from now on. Cancel: safe."""
    known = await _look(runtime, View())
    while True:
        await asyncio.sleep(interval_s)
        try:
            current = await _look(runtime, known)
        except CriError as error:
            log.warning("listing the runtime for events: %s", error.message)
            continue
        for event in changes(known, current, time.time_ns()):
            yield event
        known = current


async def _look(runtime: Lister, before: View) -> View:
    return view(await runtime.list_containers(), await runtime.list_pod_sandbox(), before)
