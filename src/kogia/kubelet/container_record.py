"""What the kubelet remembers of one container of a Pod across its attempts: pure data and the rules that need nothing else.

Neighbours: pod_state.py owns the records, pod_status.py shows them. Invariants: `attempt` only rises; `last` is the newest terminated attempt
before `current`; the crash back-off starts with the first restart and is forgotten after ten minutes of running.
Source: kubelet's doBackOff (kuberuntime), client-go flowcontrol.Backoff.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from kogia.api.times import format_time, parse_time
from kogia.base.backoff import Backoff
from kogia.cri import types as t

Obj = dict[str, Any]

CRASH_INITIAL_S, CRASH_MAX_S, CRASH_RESET_S = 10.0, 300.0, 600.0
PULL_INITIAL_S, PULL_MAX_S = 10.0, 300.0
FORGIVE_S = 5.0
FIRST_RESTART_S = 0.1
HASH = "io.kubernetes.container.hash"
LOST_MESSAGE = "The container could not be located when the pod was terminated"


def container_hash(spec: Obj) -> str:
    """Over what may change in a running Pod and calls for a restart: name and image."""
    text = json.dumps({"name": spec.get("name"), "image": spec.get("image")}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def go_duration(seconds: float) -> str:
    """Whole seconds as Go prints a Duration: `10s`, `1m20s`, `5m0s`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


@dataclass(slots=True)
class ContainerRecord:
    spec: Obj
    init: bool = False
    current: t.ContainerStatus | None = None  #: newest attempt as the runtime has it
    sandbox_id: str = ""  #: where `current` lives
    message: str = ""  #: termination message of `current`
    previous_id: str = ""  #: the attempt before, kept for `logs --previous`
    last: Obj | None = None  #: lastState.terminated
    attempt: int = -1  #: newest attempt ever made; -1 none
    waiting: tuple[str, str] | None = None  #: reason and message while nothing runs
    image: str = ""  #: "", "ensuring", "ready", "failed"
    image_ref: str = ""
    starting: bool = False
    stop_grace_s: float | None = None  #: set while a stop is under way
    pull_failed_at: float = 0.0
    retry_at: float = 0.0  #: not to be started, or its image tried, before
    crash_delay_s: float = 0.0  #: back-off in force for the next crash
    crash_delay_before_s: float = 0.0  #: what `crash_delay_s` was before the last restart
    restarted_at: float = 0.0  #: when the last restart was made
    ready: bool = False  #: as the readiness probe says (True without one)
    started: bool = False  #: as the startup probe says (True without one)
    restart_wanted: bool = False  #: whatever the policy: a changed image, a failed liveness probe, a lost sandbox
    pulls: Backoff = field(default_factory=lambda: Backoff(PULL_INITIAL_S, PULL_MAX_S))
    failures: Backoff = field(default_factory=lambda: Backoff(2.0, 60.0))

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def sidecar(self) -> bool:
        return self.init and self.spec.get("restartPolicy") == "Always"

    @property
    def running(self) -> bool:
        return self.current is not None and self.current.state == t.ContainerState.CONTAINER_RUNNING

    @property
    def exited(self) -> bool:
        return self.current is not None and self.current.state == t.ContainerState.CONTAINER_EXITED

    @property
    def succeeded(self) -> bool:
        return self.exited and self.current is not None and self.current.exit_code == 0

    def begin(self, status: t.ContainerStatus, sandbox_id: str) -> None:
        """A new attempt exists."""
        if self.current is not None and self.current.id != status.id:
            if self.exited:
                self.last = self.terminated()
            self.previous_id = self.current.id
        self.current, self.sandbox_id, self.message = status, sandbox_id, ""
        self.attempt = max(self.attempt, status.metadata.attempt)
        self.waiting, self.image, self.starting, self.stop_grace_s, self.restart_wanted = None, "", False, None, False
        self.started = "startupProbe" not in self.spec
        self.ready = self.started and "readinessProbe" not in self.spec
        self.failures.reset()
        self.pulls.reset()

    def believe(self, entry: Obj) -> None:
        """Take over what probes had found before the kubelet was restarted, so that nothing flaps; `entry` is the API's container status."""
        if self.current is not None and str(entry.get("containerID", "")).rpartition("//")[2] == self.current.id:
            self.started = self.started or bool(entry.get("started"))
            self.ready = self.ready or (self.started and bool(entry.get("ready")))

    def end(self, status: t.ContainerStatus, message: str) -> None:
        self.current, self.message = status, message
        self.stop_grace_s, self.ready, self.started = None, False, False

    def lose(self, now: float) -> None:
        """The runtime no longer knows the running container: as Kubernetes, exit code 137."""
        assert self.current is not None
        gone = self.current
        self.end(
            t.ContainerStatus(
                id=gone.id, metadata=gone.metadata, state=t.ContainerState.CONTAINER_EXITED, created_at=gone.created_at,
                started_at=gone.started_at, finished_at=int(now * 1e9), exit_code=137, image=gone.image, image_ref=gone.image_ref,
                reason="ContainerStatusUnknown", labels=gone.labels, annotations=gone.annotations, image_id=gone.image_id,
            ),
            LOST_MESSAGE,
        )

    def recall(self, entry: Obj, now: float) -> None:
        """Make `current` from the API's container status, when it says that an attempt existed."""
        container_id = str(entry.get("containerID", "")).rpartition("//")[2]
        if not container_id:
            return
        state = entry.get("state") or {}
        ended = state.get("terminated") or {}
        if "waiting" in state:
            ended = (entry.get("lastState") or {}).get("terminated") or {}
            self.last = None
        began = ended.get("startedAt") or (state.get("running") or {}).get("startedAt")
        finished = ended.get("finishedAt")
        self.current = t.ContainerStatus(
            id=container_id, metadata=t.ContainerMetadata(name=self.name, attempt=int(entry.get("restartCount") or 0)),
            state=t.ContainerState.CONTAINER_EXITED, exit_code=int(ended.get("exitCode", 137)), reason=ended.get("reason", "ContainerStatusUnknown"),
            started_at=int(parse_time(began).timestamp() * 1e9) if began else 0,
            finished_at=int((parse_time(finished).timestamp() if finished else now) * 1e9), image_ref=entry.get("imageID", ""),
        )
        self.message = ended.get("message", "") if ended else LOST_MESSAGE

    def back_off(self) -> None:
        """After a crash: when it may run again. The first restart is immediate, but for the moment in which its sandbox may turn out to fall."""
        assert self.current is not None
        finished = self.current.finished_at / 1e9
        if not self.crash_delay_s or finished - self.restarted_at > CRASH_RESET_S:
            self.crash_delay_s, self.retry_at = 0.0, finished + FIRST_RESTART_S
        else:
            self.retry_at = finished + self.crash_delay_s

    def restarted(self, now: float) -> None:
        self.crash_delay_before_s = self.crash_delay_s
        self.crash_delay_s = min(CRASH_MAX_S, self.crash_delay_s * 2 or CRASH_INITIAL_S)
        self.restarted_at = now

    def forgive(self, container_id: str, now: float) -> None:
        """Somebody removed the attempt that ended: its end was no crash, as for a kubelet that never sees it."""
        ended = self.current is not None and self.current.id == container_id and self.exited
        if (ended or self.previous_id == container_id) and now - self.restarted_at < FORGIVE_S:
            self.crash_delay_s = self.crash_delay_before_s
        if ended and not self.starting:
            self.retry_at, self.waiting, self.restart_wanted = 0.0, None, True

    def terminated(self) -> Obj:
        """`state.terminated` of the exited attempt."""
        status = self.current
        assert status is not None
        state: Obj = {"exitCode": status.exit_code}
        state["reason"] = status.reason or ("Completed" if status.exit_code == 0 else "Error")
        message = self.message or status.message
        if message:
            state["message"] = message
        state["startedAt"] = format_time(status.started_at / 1e9) if status.started_at else None
        state["finishedAt"] = format_time(status.finished_at / 1e9) if status.finished_at else None
        state["containerID"] = f"{RUNTIME}://{status.id}"
        return state


RUNTIME = "kogia"
"""The scheme of container ids in statuses, as `containerd://…` is elsewhere."""
