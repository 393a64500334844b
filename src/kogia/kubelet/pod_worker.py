"""One Pod's worker: a queue of events into the state machine, its instructions out to the actions. One serial loop per Pod.

Neighbours: pod_state.py decides, pod_actions.py acts, kubelet.py feeds events. Invariants: `handle` is called by this loop only, one event at a time;
long actions run beside it and come back as events; when a Pod is let go, everything of its worker has ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from kogia.base.tasks import TaskOwner
from kogia.cri import types as t
from kogia.kubelet import pod_events as ev
from kogia.kubelet.node_context import NodeContext
from kogia.kubelet.pod_actions import PodActions, as_running
from kogia.kubelet.pod_state import PodState
from kogia.kubelet.probes import Prober
from kogia.kubelet.volumes.directories import VolumeError

log = logging.getLogger("kogia.kubelet.worker")

Obj = dict[str, Any]

TRACE = 64  #: transitions remembered per Pod, for /debug and for those who ask where the time went


class PodWorker:
    """`on_forget(uid)` is called when the Pod is gone from API and node."""

    def __init__(self, pod: Obj, node: NodeContext, on_forget: Callable[[str], None]) -> None:
        self.uid: str = pod["metadata"]["uid"]
        self.node = node
        self.state = PodState(pod, node.host_ips)
        self.actions = PodActions(pod, node, self._emit)
        self.prober = Prober(node.runtime, node.clock, self.post, self._emit)
        self._on_forget = on_forget
        self._events: deque[ev.Event] = deque()
        self._wake = asyncio.Event()
        self._tasks = TaskOwner(f"pod-{pod['metadata']['name']}", self._failed)
        self._image_tasks: list[asyncio.Task[Any]] = []
        self.trace: deque[tuple[float, str, tuple[str, ...]]] = deque(maxlen=TRACE)  #: when, which event, which instructions
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    @property
    def pod(self) -> Obj:
        return self.state.pod

    def start(self) -> None:
        self._tasks.spawn("loop", self._run())

    def post(self, event: ev.Event) -> None:
        self._events.append(event)
        self._wake.set()

    async def close(self) -> None:
        """Stop watching over the Pod; its containers go on."""
        if self._timer is not None:
            self._timer.cancel()
        await self.prober.close()
        await self._tasks.close()

    def _failed(self, name: str, error: BaseException) -> None:
        log.error("%s of pod %s failed", name, self.pod["metadata"]["name"], exc_info=error)

    def _emit(self, kind: str, reason: str, message: str, container: str = "") -> None:
        path = ""
        if container:
            init = any(c["name"] == container for c in self.pod["spec"].get("initContainers") or [])
            path = f"spec.{'initContainers' if init else 'containers'}{{{container}}}"
        pod = {"apiVersion": "v1", "kind": "Pod", **self.pod}
        self.node.recorder.event(pod, kind, reason, message, field_path=path)

    async def _run(self) -> None:
        while True:
            while not self._events:
                self._wake.clear()
                await self._wake.wait()
            event = self._events.popleft()
            if isinstance(event, ev.PodUpdated):
                self._updated(event.pod)
            elif isinstance(event, ev.ContainerStarted) and event.status.state == t.ContainerState.CONTAINER_EXITED:
                self._events.appendleft(ev.ContainerExited(event.status, self.actions.message(event.status)))
                event = ev.ContainerStarted(event.container, event.sandbox_id, as_running(event.status))
            now = self.node.clock.now()
            try:
                instructions = self.state.handle(event, now)
                self.trace.append((now, type(event).__name__, tuple(type(i).__name__ for i in instructions)))
                for instruction in instructions:
                    self._carry_out(instruction)
            except Exception:  # one event must not end the Pod's care: the next reconciles from the state as it is
                log.exception("pod %s: cannot handle %s", self.pod["metadata"]["name"], type(event).__name__)
            self.actions.ips = self.state.ips
            self.prober.keep({r.current.id for r in self.state.records.values() if r.running and r.current is not None})
            if self.state.deleting or self.state.deleted:
                self.actions.ending.set()

    def _updated(self, pod: Obj) -> None:
        """Downward volumes follow labels and annotations at once."""
        old = self.pod["metadata"]
        self.actions.pod = pod
        changed = any(old.get(k) != pod["metadata"].get(k) for k in ("labels", "annotations"))
        if changed and self.state.volumes == "ready" and not self.state.deleting:
            self.refresh()

    def refresh(self) -> None:
        """Bring volumes of API data up to date, beside everything else."""
        if self.state.volumes == "ready" and not self.state.cleaning and not self.state.winding and self.actions.volumes.refreshable(self.pod):
            self._tasks.spawn("refresh", self._refresh())

    async def _refresh(self) -> None:
        try:
            await self.actions.volumes.refresh(self.pod)
        except VolumeError as error:
            self._emit("Warning", "FailedMount", str(error))

    def runtime_event(self, event: t.ContainerEvent) -> None:
        """Something happened in the runtime to a container or sandbox of this Pod."""
        kinds = t.ContainerEventType
        kind, found = event.container_event_type, event.container_id
        if found == event.pod_sandbox_id:
            if kind in (kinds.CONTAINER_STOPPED_EVENT, kinds.CONTAINER_DELETED_EVENT):
                self.post(ev.SandboxGone(found, removed=kind == kinds.CONTAINER_DELETED_EVENT))
        elif kind == kinds.CONTAINER_STOPPED_EVENT:
            self._act("exited", self.actions.exited(found))
        elif kind == kinds.CONTAINER_DELETED_EVENT:
            self.post(ev.ContainerRemoved(found))

    def _act(
        self, name: str, work: Awaitable[ev.Event | None], failed: Callable[[str], ev.Event] | None = None
    ) -> asyncio.Task[Any]:
        """Run `work` beside the loop; its result is posted. `failed` answers for what nobody foresaw, so that it is tried again."""

        async def act() -> None:
            try:
                result = await work
            except Exception as error:
                log.exception("%s of pod %s failed", name, self.pod["metadata"]["name"])
                if failed is None:
                    return
                result = failed(f"internal error: {error!r}")
            if result is not None:
                self.post(result)

        return self._tasks.spawn(name, act())

    def _carry_out(self, do: ev.Instruction) -> None:
        actions = self.actions
        match do:
            case ev.DoWriteStatus(status, milestone, lazy):
                self.node.statuses.put(self.pod, status, milestone=milestone, lazy=lazy)
            case ev.DoEmitEvent(kind, reason, message, container):
                self._emit(kind, reason, message, container)
            case ev.DoSetTimer(at):
                self._set_timer(at)
            case ev.DoMountVolumes():
                self._act("volumes", actions.mount_volumes(), ev.VolumesFailed)
            case ev.DoRunSandbox():
                self._act("sandbox", actions.run_sandbox(do), ev.SandboxFailed)
            case ev.DoEnsureImage(container):
                self._image_tasks = [task for task in self._image_tasks if not task.done()]
                work = actions.ensure_image(container)
                self._image_tasks.append(self._act(f"image-{container}", work, lambda why: ev.ImageFailed(container, "ErrImagePull", why)))
            case ev.DoStartContainer():
                name = do.container
                self._act(f"start-{name}", actions.start_container(do), lambda why: ev.ContainerFailed(name, "CreateContainerError", why))
            case ev.DoStopContainer(container, container_id, _, message):
                if message:
                    self._emit("Normal", "Killing", message, container)
                self.prober.stop(container_id)
                self._act(f"stop-{container}", actions.stop_container(do))
            case ev.DoRemoveContainer():
                self._tasks.spawn("remove-container", actions.remove_container(do))
            case ev.DoRemoveSandbox():
                self._tasks.spawn("remove-sandbox", actions.remove_sandbox(do))
            case ev.DoProbe():
                self.prober.start(do, self._spec(do.container))
            case _:
                self._end(do)

    def _end(self, do: ev.Instruction) -> None:
        """The instructions that lead out of a Pod's life."""
        match do:
            case ev.DoWindDown():
                self._cancel_images()
                self._act("wind-down", self.actions.wind_down(do))
            case ev.DoCleanUp():
                self._cancel_images()
                self._act("clean-up", self.actions.clean_up())
            case ev.DoFinishDeletion():
                self._tasks.spawn("finish-deletion", self.actions.finish_deletion())
            case ev.DoForget():
                self.node.statuses.forget(self.uid)
                self._on_forget(self.uid)

    def _cancel_images(self) -> None:
        for task in self._image_tasks:
            task.cancel()
        self._image_tasks.clear()

    def _spec(self, container: str) -> Obj:
        return self.state.records[container].spec

    def _set_timer(self, at: float) -> None:
        if self._timer is not None and not self._timer.cancelled() and self._timer_at == at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        delay = max(0.0, at - self.node.clock.now())
        self._timer = asyncio.get_running_loop().call_later(delay, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self.post(ev.TimerFired())
