"""What can happen to a Pod on this node (`…Event`-like facts in) and what is to be done about it (`Do…` out).

The vocabulary between pod_state.py, which decides, and pod_worker.py, which acts. All values are frozen; times are epoch seconds.
Invariant: every long instruction is answered by exactly one of the events named in its comment, also when it fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kogia.cri import types as t

Obj = dict[str, Any]


# -- events ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PodUpdated:
    """The API's newest state of the Pod (also the first)."""

    pod: Obj


@dataclass(frozen=True, slots=True)
class PodDeleted:
    """The API has forgotten the Pod: nothing may be left, and nobody needs to be told."""


@dataclass(frozen=True, slots=True)
class PodRejected:
    """It does not fit on this node. Comes before everything else, so that nothing of the Pod is ever begun."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class FoundContainer:
    status: t.ContainerStatus
    sandbox_id: str
    message: str = ""  #: termination message of an exited one


@dataclass(frozen=True, slots=True)
class RuntimeListed:
    """What the runtime has of this Pod: the first event after a start of the kubelet, and after lost events."""

    sandboxes: list[t.PodSandboxStatus]
    containers: list[FoundContainer]


@dataclass(frozen=True, slots=True)
class VolumesReady:
    pass


@dataclass(frozen=True, slots=True)
class VolumesFailed:
    message: str


@dataclass(frozen=True, slots=True)
class SandboxStarted:
    status: t.PodSandboxStatus


@dataclass(frozen=True, slots=True)
class SandboxFailed:
    message: str


@dataclass(frozen=True, slots=True)
class SandboxGone:
    """The sandbox stopped, or was removed, and not by us."""

    sandbox_id: str
    removed: bool = False


@dataclass(frozen=True, slots=True)
class ImageReady:
    container: str
    image_ref: str


@dataclass(frozen=True, slots=True)
class ImageFailed:
    container: str
    reason: str  #: ErrImagePull, ErrImageNeverPull, InvalidImageName
    message: str


@dataclass(frozen=True, slots=True)
class ContainerStarted:
    container: str
    sandbox_id: str
    status: t.ContainerStatus


@dataclass(frozen=True, slots=True)
class ContainerFailed:
    """It could not be made or started; `status` is set when a dead container is left of the try."""

    container: str
    reason: str  #: CreateContainerConfigError, CreateContainerError, RunContainerError, PostStartHookError
    message: str
    sandbox_id: str = ""
    status: t.ContainerStatus | None = None


@dataclass(frozen=True, slots=True)
class ContainerExited:
    status: t.ContainerStatus
    message: str = ""  #: the termination message


@dataclass(frozen=True, slots=True)
class ContainerRemoved:
    """Gone from the runtime, whoever did it."""

    container_id: str


@dataclass(frozen=True, slots=True)
class ProbeResult:
    container: str
    container_id: str
    probe: str  #: startup, readiness, liveness
    ok: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class TimerFired:
    pass


@dataclass(frozen=True, slots=True)
class WoundDown:
    """Answers DoWindDown: the sandbox is stopped, volumes are unmounted."""


@dataclass(frozen=True, slots=True)
class CleanedUp:
    """Answers DoCleanUp: nothing of the Pod is left on the node."""


Event = (
    PodUpdated | PodDeleted | PodRejected | RuntimeListed | VolumesReady | VolumesFailed | SandboxStarted | SandboxFailed | SandboxGone | ImageReady
    | ImageFailed | ContainerStarted | ContainerFailed | ContainerExited | ContainerRemoved | ProbeResult | TimerFired | WoundDown | CleanedUp
)


# -- instructions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DoMountVolumes:
    """→ VolumesReady | VolumesFailed"""


@dataclass(frozen=True, slots=True)
class DoRunSandbox:
    """→ SandboxStarted | SandboxFailed. `stop` names an old sandbox to stop first."""

    attempt: int
    stop: str = ""


@dataclass(frozen=True, slots=True)
class DoEnsureImage:
    """→ ImageReady | ImageFailed"""

    container: str


@dataclass(frozen=True, slots=True)
class DoStartContainer:
    """→ ContainerStarted | ContainerFailed"""

    container: str
    attempt: int
    sandbox_id: str
    pod_ips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DoStopContainer:
    """→ ContainerExited (the runtime's event). May be given again with a shorter grace."""

    container: str
    container_id: str
    grace_s: float
    message: str  #: for the Killing event


@dataclass(frozen=True, slots=True)
class DoRemoveContainer:
    container: str
    container_id: str


@dataclass(frozen=True, slots=True)
class DoRemoveSandbox:
    sandbox_id: str


@dataclass(frozen=True, slots=True)
class DoWindDown:
    """→ WoundDown. For Pods that ended: containers stay for their logs."""

    sandbox_id: str


@dataclass(frozen=True, slots=True)
class DoCleanUp:
    """→ CleanedUp. For Pods that are deleted."""


@dataclass(frozen=True, slots=True)
class DoFinishDeletion:
    """DELETE with grace 0 once the last status is written; → PodDeleted by the watch."""


@dataclass(frozen=True, slots=True)
class DoForget:
    """The worker is done."""


@dataclass(frozen=True, slots=True)
class DoWriteStatus:
    """`milestone`: must be seen by watchers, not merged with a later one (a container that ended and restarts at once).
    `lazy`: a fuller one is about to follow; it may wait a moment to be merged with that."""

    status: Obj
    milestone: bool = False
    lazy: bool = False


@dataclass(frozen=True, slots=True)
class DoEmitEvent:
    type: str
    reason: str
    message: str
    container: str = ""  #: for the involved object's fieldPath


@dataclass(frozen=True, slots=True)
class DoSetTimer:
    """→ TimerFired at `at`; replaces the one before."""

    at: float


@dataclass(frozen=True, slots=True)
class DoProbe:
    """Start probing a running container; the worker stops when it is no longer running."""

    container: str
    container_id: str
    started_at: float
    pod_ips: tuple[str, ...] = field(default=())
    started: bool = False  #: it is adopted, and its startup probe has succeeded before
    ready: bool = False  #: it is adopted, and was ready


Instruction = (
    DoMountVolumes | DoRunSandbox | DoEnsureImage | DoStartContainer | DoStopContainer | DoRemoveContainer | DoRemoveSandbox | DoWindDown
    | DoCleanUp | DoFinishDeletion | DoForget | DoWriteStatus | DoEmitEvent | DoSetTimer | DoProbe
)
