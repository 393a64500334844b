"""The heart of the kubelet: one Pod's state on this node, and what to do next. Pure and synchronous.

`handle(event, now)` takes what happened and returns instructions; each event leads to one reconciliation of "what is" with "what the spec
wants", so events may come in any order, and again. Neighbours: pod_events.py (the vocabulary), container_record.py, pod_status.py; pod_worker.py
carries the instructions out. Invariants: nothing is decided before the runtime was listed once; an instruction under way is not given twice;
at most one container start at a time; a terminal phase is never left; a deleted Pod's object is let go only when nothing of it runs.
Over 300 lines because this is one state machine; splitting it would only spread its fields.
Source: kubelet's computePodActions and SyncPod/SyncTerminatingPod.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kogia.api.pods import qos_class
from kogia.api.times import format_time, parse_time
from kogia.base.backoff import Backoff
from kogia.cri import types as t
from kogia.kubelet import pod_events as ev
from kogia.kubelet import pod_status
from kogia.kubelet.container_record import HASH, ContainerRecord, container_hash, go_duration

Obj = dict[str, Any]

DEADLINE = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
SANDBOX_CHANGED = "Pod sandbox changed, it will be killed and re-created."
IMAGE_REASONS = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")
SHOW_EXIT_S = 0.4  #: how long a container's end is shown before its back-off
SHOW_PULL_FAILURE_S = 2.0  #: how long ErrImagePull is shown before ImagePullBackOff
SANDBOX_STABLE_S = 10.0  #: a sandbox that lived so long is replaced at once


class PodState:
    """One Pod, by uid. `host_ips` are the node's addresses."""

    def __init__(self, pod: Obj, host_ips: tuple[str, ...] = ()) -> None:
        self.pod = pod
        self.host_ips = host_ips
        self.listed = False
        self.deleted = False  #: the API has forgotten it
        self.failed: tuple[str, str] | None = None  #: the kubelet ended the Pod: status reason and message
        self.rejected = False  #: it did not fit here, and nothing of it was begun
        self.volumes = ""  #: "", "mounting", "ready"
        self.volumes_retry_at = 0.0
        self._volume_failures = Backoff(0.5, 60.0)
        self.sandbox: t.PodSandboxStatus | None = None  #: the ready one
        self.old_sandbox = ""  #: one to be stopped before the next is made
        self.sandbox_attempt = -1
        self.sandbox_starting = False
        self.sandbox_retry_at = 0.0
        self._sandbox_failures = Backoff(1.0, 60.0)
        self.sandboxes: set[str] = set()  #: all that are known, for removal
        self.ips: tuple[str, ...] = ()
        self.winding: str = ""  #: "", "winding", "wound"; for Pods that ended
        self.cleaning: str = ""  #: "", "cleaning", "clean"; for deleted ones
        self.finishing = False
        self.forgotten = False
        self.status: Obj = dict(pod.get("status") or {})
        self.phase: str = self.status.get("phase", "Pending")
        start = self.status.get("startTime")
        self.start_time: float = parse_time(start).timestamp() if start else 0.0
        self.records: dict[str, ContainerRecord] = {}
        self._dead: list[tuple[str, str]] = []  #: (container, id) superseded attempts to remove
        self._milestone = False
        self._take_spec(pod)
        self._take_history()

    # -- the outside's view --------------------------------------------------------------------------------------------

    @property
    def deleting(self) -> bool:
        return bool(self.pod["metadata"].get("deletionTimestamp"))

    @property
    def terminal(self) -> bool:
        return self.phase in ("Succeeded", "Failed")

    @property
    def idle(self) -> bool:
        """Nothing runs and nothing is under way."""
        return not self.sandbox_starting and not any(r.running or r.starting for r in self.records.values())

    def handle(self, event: ev.Event, now: float) -> list[ev.Instruction]:
        if self.forgotten:
            return []
        self.start_time = self.start_time or now
        out: list[ev.Instruction] = list(self._apply(event, now))
        if not self.listed:
            return out
        out += self._reconcile(now)
        self._note_status(out, now)
        return out

    # -- taking events in ----------------------------------------------------------------------------------------------

    def _apply(self, event: ev.Event, now: float) -> Iterator[ev.Instruction]:
        match event:
            case ev.PodUpdated(pod):
                self._take_spec(pod)
            case ev.PodDeleted():
                self.deleted = True
            case ev.PodRejected(reason, message):
                self.rejected, self.failed = True, (reason, f"Pod was rejected: {message}")
                yield ev.DoEmitEvent("Warning", reason, message)
            case ev.RuntimeListed():
                yield from self._adopt(event, now)
            case ev.VolumesReady():
                self.volumes = "ready"
                self._volume_failures.reset()
            case ev.VolumesFailed(message):
                self.volumes = ""
                self.volumes_retry_at = now + self._volume_failures.next()
                yield ev.DoEmitEvent("Warning", "FailedMount", message)
            case ev.SandboxStarted(status):
                self._take_sandbox(status)
                self._sandbox_failures.reset()
            case ev.SandboxFailed(message):
                self.sandbox_starting = False
                self.sandbox_retry_at = now + self._sandbox_failures.next()
                yield ev.DoEmitEvent("Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {message}")
            case ev.SandboxGone(sandbox_id, removed):
                self._lose_sandbox(sandbox_id, removed, now)
            case ev.ProbeResult():
                yield from self._take_probe(event)
            case ev.WoundDown():
                self.winding = "wound"
                self.sandbox = None
            case ev.CleanedUp():
                self.cleaning = "clean"
            case ev.TimerFired():
                pass
            case _:
                yield from self._apply_container(event, now)

    def _apply_container(self, event: ev.Event, now: float) -> Iterator[ev.Instruction]:
        match event:
            case ev.ImageReady(name, ref) if name in self.records:
                record = self.records[name]
                record.image, record.image_ref = "ready", ref
                if record.waiting is not None and record.waiting[0] in IMAGE_REASONS:
                    record.waiting = None
            case ev.ImageFailed(name, reason, message) if name in self.records:
                yield from self._image_failed(self.records[name], reason, message, now)
            case ev.ContainerStarted(name, sandbox_id, status) if name in self.records:
                record = self.records[name]
                superseded = record.previous_id
                record.begin(status, sandbox_id)
                if superseded and superseded != record.previous_id:
                    self._dead.append((name, superseded))
                yield ev.DoProbe(name, status.id, status.started_at / 1e9, self.ips)
            case ev.ContainerFailed(name) if name in self.records:
                self._container_failed(self.records[name], event, now)
            case ev.ContainerExited(status, message):
                found = self._by_id(status.id)
                if found is not None and not found.exited:
                    found.end(status, message)
                    self._after_exit(found)
            case ev.ContainerRemoved(container_id):
                found = self._by_id(container_id)
                if found is not None and not found.exited:
                    found.lose(now)
                    self._after_exit(found)
                for record in self.records.values():
                    record.forgive(container_id, now)
            case _:
                return

    def _after_exit(self, record: ContainerRecord) -> None:
        """A container that fell with its sandbox is not to blame: no back-off."""
        self._milestone = True
        if self.sandbox is not None and record.sandbox_id == self.sandbox.id:
            record.back_off()

    def _take_spec(self, pod: Obj) -> None:
        self.pod = pod
        spec = pod["spec"]
        for init, specs in ((True, spec.get("initContainers") or []), (False, spec["containers"])):
            for container in specs:
                record = self.records.get(container["name"])
                if record is None:
                    self.records[container["name"]] = ContainerRecord(container, init)
                else:
                    record.spec = container

    def _take_history(self) -> None:
        """Restart counts and last states survive the kubelet in the API."""
        for entry in (self.status.get("initContainerStatuses") or []) + (self.status.get("containerStatuses") or []):
            record = self.records.get(entry.get("name", ""))
            if record is None:
                continue
            if entry.get("containerID"):
                record.attempt = int(entry.get("restartCount") or 0)
            record.last = (entry.get("lastState") or {}).get("terminated")

    def _adopt(self, listed: ev.RuntimeListed, now: float) -> Iterator[ev.Instruction]:
        """Take over what runs without touching it."""
        first, self.listed = not self.listed, True
        self.sandboxes = {s.id for s in listed.sandboxes}
        for sandbox in listed.sandboxes:
            self.sandbox_attempt = max(self.sandbox_attempt, sandbox.metadata.attempt)
        ready = [s for s in listed.sandboxes if s.state == t.PodSandboxState.SANDBOX_READY]
        if ready:
            self._take_sandbox(max(ready, key=lambda s: (s.metadata.attempt, s.created_at)))
        elif self.sandbox is not None:
            self._lose_sandbox(self.sandbox.id, self.sandbox.id not in self.sandboxes, now)
        elif listed.sandboxes:
            self.old_sandbox = max(listed.sandboxes, key=lambda s: s.metadata.attempt).id
        seen = {c.status.id for c in listed.containers}
        for found in sorted(listed.containers, key=lambda c: c.status.metadata.attempt):
            record = self.records.get(found.status.metadata.name)
            if record is None:
                continue
            if record.current is None or record.current.id != found.status.id:
                superseded = record.previous_id
                if record.current is not None and found.status.metadata.attempt < record.current.metadata.attempt:
                    continue
                record.begin(found.status, found.sandbox_id)
                if superseded:
                    self._dead.append((record.name, superseded))
                if record.running:
                    if first:
                        record.believe(self._known_status(record.name))
                    yield ev.DoProbe(record.name, found.status.id, found.status.started_at / 1e9, self.ips, record.started, record.ready)
            if record.current is not None and found.status.state == t.ContainerState.CONTAINER_EXITED:
                record.end(found.status, found.message)
                if self.sandbox is not None and not record.crash_delay_s:
                    record.back_off()
            elif found.status.state == t.ContainerState.CONTAINER_CREATED:
                record.end(found.status, "")  # a start cut short: neither running nor exited, so it is started anew
                self._dead.append((record.name, found.status.id))
                record.current = None
        for record in self.records.values():
            if record.running and record.current is not None and record.current.id not in seen:
                record.lose(now)
        if first:
            self._recall(now)

    def _known_status(self, name: str) -> Obj:
        """What the API says about a container; empty if nothing."""
        entries = (self.status.get("initContainerStatuses") or []) + (self.status.get("containerStatuses") or [])
        return next((e for e in entries if e.get("name") == name), {})

    def _recall(self, now: float) -> None:
        """Containers the API knows and the runtime has lost (a reboot): as they ended, or ended by the loss. They are not run a second time
        unless the restart policy says so."""
        for entry in (self.status.get("initContainerStatuses") or []) + (self.status.get("containerStatuses") or []):
            record = self.records.get(entry.get("name", ""))
            if record is not None and record.current is None:
                record.recall(entry, now)

    def _take_sandbox(self, status: t.PodSandboxStatus) -> None:
        self.sandbox, self.sandbox_starting, self.old_sandbox = status, False, ""
        self.sandboxes.add(status.id)
        self.sandbox_attempt = max(self.sandbox_attempt, status.metadata.attempt)
        network = status.network
        if network is not None and network.ip:
            self.ips = (network.ip, *(extra.ip for extra in network.additional_ips))
        elif self.pod["spec"].get("hostNetwork"):
            self.ips = self.host_ips

    def _lose_sandbox(self, sandbox_id: str, removed: bool, now: float) -> None:
        if removed:
            self.sandboxes.discard(sandbox_id)
        if self.old_sandbox == sandbox_id and removed:
            self.old_sandbox = ""
        if self.sandbox is None or self.sandbox.id != sandbox_id:
            return
        if now - self.sandbox.created_at / 1e9 < SANDBOX_STABLE_S and self.sandbox_attempt > 0:
            self.sandbox_retry_at = now + self._sandbox_failures.next()
        self.sandbox = None
        self.old_sandbox = "" if removed else sandbox_id
        for record in self.records.values():
            if record.sandbox_id != sandbox_id:
                continue
            if record.running:
                record.restart_wanted = True
                if removed:
                    record.lose(now)
                    self._milestone = True
            elif record.current is not None and now - record.current.finished_at / 1e9 < SANDBOX_STABLE_S:
                record.restart_wanted = not record.init and self.pod["spec"].get("restartPolicy") != "Never"
            if record.image != "failed":
                record.retry_at, record.waiting = 0.0, None

    def _take_probe(self, result: ev.ProbeResult) -> Iterator[ev.Instruction]:
        record = self.records.get(result.container)
        if record is None or record.current is None or record.current.id != result.container_id or not record.running:
            return
        if result.probe == "readiness":
            record.ready = result.ok
        elif result.probe == "startup" and result.ok:
            record.started = True
            record.ready = "readinessProbe" not in record.spec
        elif not result.ok and record.stop_grace_s is None:
            probe = record.spec.get(f"{result.probe}Probe") or {}
            grace = float(probe.get("terminationGracePeriodSeconds") or self.grace_s)
            yield self._stop(record, grace, f"Container {record.name} failed {result.probe} probe, will be restarted")

    def _image_failed(self, record: ContainerRecord, reason: str, message: str, now: float) -> Iterator[ev.Instruction]:
        record.image, record.waiting = "failed", (reason, message)
        record.pull_failed_at, record.retry_at = now, now + record.pulls.next()
        self._milestone = True
        yield ev.DoEmitEvent("Warning", "Failed", f"Error: {reason}", record.name)

    def _container_failed(self, record: ContainerRecord, event: ev.ContainerFailed, now: float) -> None:
        record.starting = False
        if event.status is not None:
            record.begin(event.status, event.sandbox_id)
            record.end(event.status, "")
            if self.sandbox is None or self.sandbox.id != event.sandbox_id:
                record.restart_wanted = True  # started in a falling sandbox: no fault of its own
                return
            record.back_off()
        else:
            record.image = ""
            record.retry_at = now + record.failures.next()
        record.waiting = (event.reason, event.message)

    def _by_id(self, container_id: str) -> ContainerRecord | None:
        return next((r for r in self.records.values() if r.current is not None and r.current.id == container_id), None)

    # -- deciding ------------------------------------------------------------------------------------------------------

    @property
    def grace_s(self) -> float:
        metadata = self.pod["metadata"]
        if metadata.get("deletionGracePeriodSeconds") is not None and self.deleting:
            return float(metadata["deletionGracePeriodSeconds"])
        grace = self.pod["spec"].get("terminationGracePeriodSeconds")
        return 30.0 if grace is None else float(grace)

    @property
    def inits(self) -> list[ContainerRecord]:
        return [self.records[c["name"]] for c in self.pod["spec"].get("initContainers") or []]

    @property
    def apps(self) -> list[ContainerRecord]:
        return [self.records[c["name"]] for c in self.pod["spec"]["containers"]]

    def _reconcile(self, now: float) -> Iterator[ev.Instruction]:
        deadline = self.pod["spec"].get("activeDeadlineSeconds")
        if deadline is not None and not self.terminal and self.failed is None and now >= self.start_time + deadline:
            self.failed = DEADLINE
            yield ev.DoEmitEvent("Normal", "DeadlineExceeded", DEADLINE[1])
        if self.deleted or self.deleting:
            yield from self._terminate(now)
        elif self.failed is not None or self.terminal or self._finished():
            yield from self._wind_down()
        else:
            yield from self._run(now)
        yield from self._collect()
        wake = min(self._deadlines(now), default=None)
        if wake is not None and not self.forgotten:
            yield ev.DoSetTimer(wake)

    def _deadlines(self, now: float) -> Iterator[float]:
        if self.deleting or self.deleted or self.terminal or self.failed is not None:
            return
        deadline = self.pod["spec"].get("activeDeadlineSeconds")
        if deadline is not None:
            yield self.start_time + deadline
        for record in self.records.values():
            if record.exited and record.waiting is None and record.current is not None and record.retry_at > now:
                yield max(now, record.current.finished_at / 1e9 + SHOW_EXIT_S)
            if record.image == "failed" and record.waiting is not None and record.waiting[0] == "ErrImagePull" and not record.running:
                yield max(now, record.pull_failed_at + SHOW_PULL_FAILURE_S)
        for at in (self.volumes_retry_at, self.sandbox_retry_at, *(r.retry_at for r in self.records.values() if not r.running)):
            if at > now:
                yield at

    def _wants_restart(self, record: ContainerRecord) -> bool:
        """Whether an exited container is to run again."""
        if record.restart_wanted or record.sidecar:
            return True
        policy = self.pod["spec"].get("restartPolicy", "Always")
        if record.init:
            return not record.succeeded and policy != "Never"
        return policy == "Always" or (policy == "OnFailure" and not record.succeeded)

    def _finished(self) -> bool:
        """All app containers have ended for good, or an init container has failed for good."""
        if any(r.exited and not r.sidecar and not r.succeeded and not self._wants_restart(r) for r in self.inits):
            return True
        return all(r.exited and not self._wants_restart(r) for r in self.apps)

    def _stop(self, record: ContainerRecord, grace_s: float, message: str) -> ev.Instruction:
        assert record.current is not None
        record.stop_grace_s = grace_s
        return ev.DoStopContainer(record.name, record.current.id, grace_s, message)

    def _stop_all(self, grace_s: float) -> Iterator[ev.Instruction]:
        """App containers together, then sidecars from the last to the first."""
        running = [r for r in self.records.values() if r.running and not r.sidecar]
        if not running:
            running = [r for r in reversed(self.inits) if r.sidecar and r.running][:1]
        for record in running:
            if record.stop_grace_s is None or grace_s < record.stop_grace_s:
                yield self._stop(record, grace_s, f"Stopping container {record.name}" if record.stop_grace_s is None else "")

    def _terminate(self, now: float) -> Iterator[ev.Instruction]:
        yield from self._stop_all(min(self.grace_s, 1.0) if self.deleted else self.grace_s)
        if not self.idle:
            return
        if not self.cleaning:
            self.cleaning = "cleaning"
            yield ev.DoCleanUp()
        elif self.cleaning == "clean" and self.deleted:
            self.forgotten = True
            yield ev.DoForget()
        elif self.cleaning == "clean" and not self.finishing:
            self.finishing = True
            yield ev.DoFinishDeletion()

    def _wind_down(self) -> Iterator[ev.Instruction]:
        yield from self._stop_all(self.grace_s)
        if self.idle and not self.winding:
            self.winding = "winding"
            yield ev.DoWindDown(self.sandbox.id if self.sandbox else "")

    def _run(self, now: float) -> Iterator[ev.Instruction]:
        if not self.volumes and now >= self.volumes_retry_at:
            self.volumes = "mounting"
            yield ev.DoMountVolumes()
        yield from self._keep_sandbox(now)
        yield from self._restart_changed()
        for record in self._startable():
            yield from self._advance(record, now)

    def _keep_sandbox(self, now: float) -> Iterator[ev.Instruction]:
        if self.sandbox is not None or self.sandbox_starting or now < self.sandbox_retry_at:
            return
        if self.sandbox_attempt >= 0 and (self.old_sandbox or any(r.current for r in self.records.values())):
            if self._sandbox_failures.steps == 0 or self.old_sandbox:
                yield ev.DoEmitEvent("Normal", "SandboxChanged", SANDBOX_CHANGED)
            for record in self.records.values():
                if record.running and record.current is not None:
                    record.restart_wanted = True
        self.sandbox_attempt += 1
        self.sandbox_starting = True
        yield ev.DoRunSandbox(self.sandbox_attempt, self.old_sandbox)
        self.old_sandbox = ""

    def _restart_changed(self) -> Iterator[ev.Instruction]:
        for record in self.apps:
            if not record.running or record.stop_grace_s is not None or record.current is None:
                continue
            if record.current.annotations.get(HASH, container_hash(record.spec)) != container_hash(record.spec):
                record.restart_wanted = True
                yield self._stop(record, self.grace_s, f"Container {record.name} definition changed, will be restarted")

    def _startable(self) -> list[ContainerRecord]:
        """Containers that should run now and do not, in order."""
        apps_begun = self.sandbox is not None and any(r.current and r.sandbox_id == self.sandbox.id for r in self.apps)
        wanted: list[ContainerRecord] = []
        for record in self.inits:
            here = self.sandbox is not None and record.sandbox_id == self.sandbox.id
            if record.sidecar:
                if not record.running:
                    wanted.append(record)
                if apps_begun or (record.running and record.started):
                    continue
                return wanted
            if apps_begun or (here and record.succeeded):
                continue
            if not record.running:
                wanted.append(record)
            return wanted
        return wanted + [r for r in self.apps if not r.running and (not r.exited or self._wants_restart(r))]

    def _advance(self, record: ContainerRecord, now: float) -> Iterator[ev.Instruction]:
        """One step towards running: back-off, image, start."""
        if now < record.retry_at:
            yield from self._show_waiting(record, now)
            return
        if record.image in ("", "failed"):
            record.image = "ensuring"
            yield ev.DoEnsureImage(record.name)
        elif record.image == "ready" and self.sandbox is not None and self.volumes == "ready":
            if not record.starting and not any(r.starting for r in self.records.values()):
                record.starting = True
                if record.current is not None and record.sandbox_id == self.sandbox.id and not record.restart_wanted:
                    record.restarted(now)
                yield ev.DoStartContainer(record.name, record.attempt + 1, self.sandbox.id, self.ips)

    def _show_waiting(self, record: ContainerRecord, now: float) -> Iterator[ev.Instruction]:
        """In back-off: say so, once per wait."""
        metadata = self.pod["metadata"]
        if record.image == "failed" and record.waiting is not None:
            image = record.spec.get("image", "")
            if record.waiting[0] == "ErrImagePull" and now >= record.pull_failed_at + SHOW_PULL_FAILURE_S:
                self._milestone = True
                why = f"Back-off pulling image \"{image}\": {record.waiting[0]}: {record.waiting[1]}"
                record.waiting = ("ImagePullBackOff", why)
                yield ev.DoEmitEvent("Normal", "BackOff", f'Back-off pulling image "{image}"', record.name)
                yield ev.DoEmitEvent("Warning", "Failed", "Error: ImagePullBackOff", record.name)
        elif record.exited and (record.waiting is None or record.waiting[0] == "RunContainerError"):
            if record.current is not None and now < record.current.finished_at / 1e9 + SHOW_EXIT_S:
                return  # its end is shown first; and perhaps its sandbox is falling, which is no crash
            name = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
            message = f"back-off {go_duration(record.crash_delay_s)} restarting failed container={record.name} pod={name}"
            record.waiting = ("CrashLoopBackOff", message)
            yield ev.DoEmitEvent("Warning", "BackOff", f"Back-off restarting failed container {record.name} in pod {name}", record.name)

    def _collect(self) -> Iterator[ev.Instruction]:
        """Remove attempts and sandboxes that nothing refers to any more; a container's last dead attempt stays."""
        if self.cleaning:
            return
        for name, container_id in self._dead:
            yield ev.DoRemoveContainer(name, container_id)
        self._dead.clear()
        if self.sandbox is not None and len(self.sandboxes) > 1:
            kept = {self.sandbox.id} | {r.sandbox_id for r in self.records.values() if r.current is not None}
            for sandbox_id in sorted(self.sandboxes - kept):
                self.sandboxes.discard(sandbox_id)
                yield ev.DoRemoveSandbox(sandbox_id)

    # -- telling -------------------------------------------------------------------------------------------------------

    def _note_status(self, out: list[ev.Instruction], now: float) -> None:
        """Put a DoWriteStatus in front of what follows from it, if anything changed."""
        status = self.build_status(now)
        milestone, self._milestone = self._milestone, False
        if status != self.status:
            self.status = status
            self.phase = status["phase"]
            at = next((i for i, do in enumerate(out) if isinstance(do, ev.DoFinishDeletion)), len(out))
            lazy = self.phase == "Pending" and any(r.starting for r in self.records.values())
            out.insert(at, ev.DoWriteStatus(status, milestone, lazy))

    def build_status(self, now: float) -> Obj:
        """The whole status the kubelet stands for, keys in Kubernetes' order."""
        waiting = "PodInitializing" if self.inits else "ContainerCreating"
        inits = [pod_status.container_status(r, "PodInitializing" if i else "ContainerCreating") for i, r in enumerate(self.inits)]
        if inits and not self.inits[0].current:
            inits = [pod_status.container_status(r, "PodInitializing") for r in self.inits]
        apps = [pod_status.container_status(r, waiting) for r in self.apps]
        phase = self._next_phase(inits, apps)
        status: Obj = {}
        if self.pod["metadata"].get("generation"):
            status["observedGeneration"] = self.pod["metadata"]["generation"]
        status["phase"] = phase
        sandbox_ready = self.sandbox is not None and bool(self.ips)
        pod = {**self.pod, "status": {**(self.pod.get("status") or {}), "conditions": self._known_conditions()}}
        status["conditions"] = pod_status.conditions(pod, phase, inits, apps, sandbox_ready=sandbox_ready, now=now)
        if self.failed is not None:
            status["reason"], status["message"] = self.failed
        if self.host_ips:
            status |= {"hostIP": self.host_ips[0], "hostIPs": [{"ip": ip} for ip in self.host_ips]}
        ips = self.ips or tuple(e["ip"] for e in self.status.get("podIPs") or [])
        if ips:
            status |= {"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]}
        status["startTime"] = format_time(self.start_time)
        if inits and not self.rejected:
            status["initContainerStatuses"] = inits
        if not self.rejected:
            status["containerStatuses"] = apps
        status["qosClass"] = (self.pod.get("status") or {}).get("qosClass") or qos_class(self.pod)
        return status

    def _known_conditions(self) -> list[Obj]:
        """The API's, with ours as last built: newer transition times than what the watch has shown."""
        known = {c["type"]: c for c in (self.pod.get("status") or {}).get("conditions") or []}
        known |= {c["type"]: c for c in self.status.get("conditions") or []}
        return list(known.values())

    def _next_phase(self, inits: list[Obj], apps: list[Obj]) -> str:
        if self.terminal:
            return self.phase
        if self.failed is not None:
            return "Failed"
        policy = self.pod["spec"].get("restartPolicy", "Always")
        if (self.deleting or self.deleted) and self.idle and (self.cleaning == "clean" or not self.cleaning):
            ends = [a["state"].get("terminated") or a["lastState"].get("terminated") for a in inits + apps]
            return "Failed" if any(e is None or e["exitCode"] != 0 for e in ends) else "Succeeded"
        if self._finished() and not self.idle:
            return self.phase
        phase = pod_status.phase(policy, inits, apps, self.pod["spec"].get("initContainers") or [])
        if phase in ("Succeeded", "Failed") and not self._finished():
            return self.phase  # it is to run again whatever the policy
        return "Running" if self.phase == "Running" and phase == "Pending" else phase

