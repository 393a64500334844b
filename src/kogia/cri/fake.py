"""A container runtime in memory: behaves as the CRI says, runs nothing.

The kubelet's unit tests and the CRI contract suite run on it. It keeps states, refuses what a runtime refuses, and tells events;
a test is its outside world: `finish` ends a container, `publish` makes an image pullable, `fail` breaks a call, `calls` shows
what was asked. Neighbours: interface.py (what it implements), types.py. Invariants: an event is put into every subscription before
the call that caused it returns; a container moves created → running → exited and never back.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from kogia.base.clock import Clock, RealClock
from kogia.cri import types as t
from kogia.cri.errors import Code, CriError, not_found

MAX_PENDING_EVENTS = 10_000  #: per subscriber, as interface.py promises
EXIT_REASON = {0: "Completed"}


class FakeStream:
    """An exec, attach or port-forward: what is written comes back on channel 1 (`cat`), unless `output` was scripted."""

    def __init__(self, output: list[tuple[int, bytes]] | None = None, exit_code: int = 0) -> None:
        self._queue: deque[tuple[int, bytes]] = deque(output or [])
        self._wake = asyncio.Event()
        self._ended = output is not None
        self.exit_code = exit_code
        self.sizes: list[tuple[int, int]] = []
        self.closed = False

    async def write_stdin(self, data: bytes) -> None:
        if not self._ended and data:
            self._queue.append((1, bytes(data)))
            self._wake.set()

    async def close_stdin(self) -> None:
        self._ended = True
        self._wake.set()

    async def read(self) -> tuple[int, bytes] | None:
        while not self._queue:
            if self._ended:
                return None
            self._wake.clear()
            await self._wake.wait()
        return self._queue.popleft()

    async def resize(self, width: int, height: int) -> None:
        self.sizes.append((width, height))

    async def wait(self) -> int:
        while not self._ended:
            self._wake.clear()
            await self._wake.wait()
        return self.exit_code

    async def close(self) -> None:
        self.closed = True
        await self.close_stdin()


class _Subscription:
    """One subscriber's bounded queue of events; an async iterator."""

    def __init__(self, owner: FakeRuntime) -> None:
        self._owner = owner
        self._events: deque[t.ContainerEvent] = deque()
        self._wake = asyncio.Event()
        self._overflow = False
        self.closed = False

    def put(self, event: t.ContainerEvent) -> None:
        if len(self._events) >= MAX_PENDING_EVENTS:
            self._overflow = True
        else:
            self._events.append(event)
        self._wake.set()

    def close(self) -> None:
        self.closed = True
        self._owner.subscriptions.discard(self)
        self._wake.set()

    def __aiter__(self) -> _Subscription:
        return self

    async def __anext__(self) -> t.ContainerEvent:
        while True:
            if self._overflow:
                self.close()
                raise CriError(Code.RESOURCE_EXHAUSTED, "event subscriber is too slow: relist")
            if self._events:
                return self._events.popleft()
            if self.closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()

    async def aclose(self) -> None:
        self.close()


@dataclass(slots=True)
class FakeSandbox:
    config: t.PodSandboxConfig
    status: t.PodSandboxStatus


@dataclass(slots=True)
class FakeContainer:
    sandbox_id: str
    config: t.ContainerConfig
    status: t.ContainerStatus
    exited: asyncio.Event = field(default_factory=asyncio.Event)
    stop_timeouts: list[float] = field(default_factory=list)


class FakeRuntime:
    """RuntimeService and ImageService in one object.

    Knobs: `on_start` is called with a container just started (call `finish` from it for containers that end by themselves);
    `ignores_stop` holds names of containers that only a SIGKILL ends (their stop costs the whole timeout on `clock`);
    `exec_result` answers exec_sync; `fail[method]` is raised by the next calls of that method until removed (or once, by `fail_once`).
    """

    def __init__(self, clock: Clock | None = None, images: tuple[str, ...] = ()) -> None:
        self.clock: Clock = clock or RealClock()
        self.sandboxes: dict[str, FakeSandbox] = {}
        self.containers: dict[str, FakeContainer] = {}
        self.images: dict[str, t.Image] = {}  #: by id
        self.registry: dict[str, t.Image] = {}  #: what a pull finds, by name
        self.calls: list[tuple[str, object]] = []
        self.fail: dict[str, CriError] = {}
        self.fail_once: dict[str, CriError] = {}
        self.on_start: Callable[[FakeContainer], None] = lambda container: None
        self.ignores_stop: set[str] = set()
        self.exec_result: Callable[[str, list[str]], t.ExecSyncResponse] = lambda cid, cmd: t.ExecSyncResponse(
            stdout=" ".join(cmd[1:]).encode()
        )
        self.exec_stream: Callable[[str, list[str]], FakeStream] = lambda cid, cmd: FakeStream()
        self.conditions = [t.RuntimeCondition(type="RuntimeReady", status=True), t.RuntimeCondition(type="NetworkReady", status=True)]
        self.pull_gate: asyncio.Event | None = None  #: when set to an Event, pulls wait for it
        self.pulling: dict[str, str] = {}  #: answers of pull_progress, by name
        self.auths: list[t.AuthConfig | None] = []
        self.subscriptions: set[_Subscription] = set()
        self._serial = itertools.count(1)
        for name in images:
            image = self.publish(name)
            self.images[image.id] = image

    # -- the outside world ------------------------------------------------------------------------------------------

    def publish(self, name: str, *, size: int = 1_000, username: str = "", uid: int | None = None) -> t.Image:
        """Make `name` (as `docker.io/library/nginx:latest`, or a short name) pullable. Returns the image a pull will give."""
        digest = hashlib.sha256(name.encode()).hexdigest()
        repo = name.split("@")[0].rsplit(":", 1)[0] if ":" in name.rsplit("/", 1)[-1] else name.split("@")[0]
        image = t.Image(
            id=f"sha256:{digest}",
            repo_tags=[] if "@" in name else [name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"],
            repo_digests=[f"{repo}@sha256:{hashlib.sha256(digest.encode()).hexdigest()}"],
            size=size,
            username=username,
            uid=t.Int64Value(value=uid) if uid is not None else None,
        )
        self.registry[name] = image
        return image

    def finish(self, container_id: str, exit_code: int = 0, *, reason: str = "", message: str = "") -> None:
        """The container's process ends by itself."""
        container = self.containers[container_id]
        if container.status.state != t.ContainerState.CONTAINER_RUNNING:
            return
        container.status.state = t.ContainerState.CONTAINER_EXITED
        container.status.exit_code = exit_code
        container.status.reason = reason or EXIT_REASON.get(exit_code, "Error")
        container.status.message = message
        container.status.finished_at = self._now()
        container.exited.set()
        self._tell(t.ContainerEventType.CONTAINER_STOPPED_EVENT, container_id, container.sandbox_id)

    def kill_sandbox(self, pod_sandbox_id: str) -> None:
        """The sandbox dies behind the kubelet's back (a reboot, an OOM kill of its first process)."""
        self.sandboxes[pod_sandbox_id].status.state = t.PodSandboxState.SANDBOX_NOTREADY
        self._tell(t.ContainerEventType.CONTAINER_STOPPED_EVENT, pod_sandbox_id, pod_sandbox_id)

    def called(self, method: str) -> list[object]:
        """The arguments of every call of `method` so far."""
        return [argument for name, argument in self.calls if name == method]

    # -- inside -----------------------------------------------------------------------------------------------------

    def _now(self) -> int:
        return int(self.clock.now() * 1e9)

    def _id(self, kind: str) -> str:
        return hashlib.sha256(f"{kind}{next(self._serial)}".encode()).hexdigest()

    def _enter(self, method: str, argument: object) -> None:
        self.calls.append((method, copy.deepcopy(argument)))
        if method in self.fail_once:
            raise self.fail_once.pop(method)
        if method in self.fail:
            raise self.fail[method]

    def _tell(self, kind: t.ContainerEventType, container_id: str, sandbox_id: str) -> None:
        sandbox = self.sandboxes.get(sandbox_id)
        uid = sandbox.config.metadata.uid if sandbox else ""
        for subscription in list(self.subscriptions):
            subscription.put(
                t.ContainerEvent(
                    container_id=container_id,
                    container_event_type=kind,
                    created_at=self._now(),
                    pod_sandbox_id=sandbox_id,
                    pod_uid=uid,
                )
            )

    def _sandbox(self, pod_sandbox_id: str) -> FakeSandbox:
        if pod_sandbox_id not in self.sandboxes:
            raise not_found(f'could not find sandbox "{pod_sandbox_id}": not found')
        return self.sandboxes[pod_sandbox_id]

    def _container(self, container_id: str) -> FakeContainer:
        if container_id not in self.containers:
            raise not_found(f'could not find container "{container_id}": not found')
        return self.containers[container_id]

    def _running(self, container_id: str) -> FakeContainer:
        container = self._container(container_id)
        if container.status.state != t.ContainerState.CONTAINER_RUNNING:
            raise CriError(Code.FAILED_PRECONDITION, f"container is in {container.status.state.name} state")
        return container

    def _find_image(self, name: str) -> t.Image | None:
        wanted = _names(name)
        bare = name.removeprefix("sha256:")
        for image in self.images.values():
            digest = image.id.removeprefix("sha256:")
            by_id = len(bare) >= 4 and all(c in "0123456789abcdef" for c in bare) and digest.startswith(bare)
            if by_id or wanted & {n for known in image.repo_tags + image.repo_digests for n in _names(known)}:
                return image
        return None

    # -- RuntimeService ---------------------------------------------------------------------------------------------

    async def version(self) -> t.VersionResponse:
        self._enter("version", None)
        return t.VersionResponse(runtime_name="fake", runtime_version="0.1.0")

    async def status(self) -> t.RuntimeStatus:
        self._enter("status", None)
        return t.RuntimeStatus(conditions=copy.deepcopy(self.conditions), runtime_handlers=[t.RuntimeHandler()])

    async def run_pod_sandbox(self, config: t.PodSandboxConfig, runtime_handler: str = "") -> str:
        self._enter("run_pod_sandbox", config)
        for known in self.sandboxes.values():
            if known.config.metadata == config.metadata:
                meta = config.metadata
                name = f"{meta.name}_{meta.namespace}_{meta.uid}_{meta.attempt}"
                raise CriError(Code.ALREADY_EXISTS, f'name "{name}" is reserved for "{known.status.id}"')
        sandbox_id = self._id("sandbox")
        host = bool(
            config.linux
            and config.linux.security_context
            and config.linux.security_context.namespace_options
            and config.linux.security_context.namespace_options.network == t.NamespaceMode.NODE
        )
        number = len(self.sandboxes) + 2
        self.sandboxes[sandbox_id] = FakeSandbox(
            config=copy.deepcopy(config),
            status=t.PodSandboxStatus(
                id=sandbox_id,
                metadata=copy.deepcopy(config.metadata),
                created_at=self._now(),
                network=t.PodSandboxNetworkStatus(ip="" if host else f"10.88.{number // 250}.{number % 250}"),
                labels=dict(config.labels),
                annotations=dict(config.annotations),
                runtime_handler=runtime_handler,
            ),
        )
        self._tell(t.ContainerEventType.CONTAINER_CREATED_EVENT, sandbox_id, sandbox_id)
        self._tell(t.ContainerEventType.CONTAINER_STARTED_EVENT, sandbox_id, sandbox_id)
        return sandbox_id

    async def stop_pod_sandbox(self, pod_sandbox_id: str) -> None:
        self._enter("stop_pod_sandbox", pod_sandbox_id)
        sandbox = self.sandboxes.get(pod_sandbox_id)
        if sandbox is None:
            return
        for container_id, container in list(self.containers.items()):
            if container.sandbox_id == pod_sandbox_id:
                self.finish(container_id, 137)
        if sandbox.status.state == t.PodSandboxState.SANDBOX_READY:
            sandbox.status.state = t.PodSandboxState.SANDBOX_NOTREADY
            self._tell(t.ContainerEventType.CONTAINER_STOPPED_EVENT, pod_sandbox_id, pod_sandbox_id)

    async def remove_pod_sandbox(self, pod_sandbox_id: str) -> None:
        self._enter("remove_pod_sandbox", pod_sandbox_id)
        if pod_sandbox_id not in self.sandboxes:
            return
        await self.stop_pod_sandbox(pod_sandbox_id)
        for container_id, container in list(self.containers.items()):
            if container.sandbox_id == pod_sandbox_id:
                await self.remove_container(container_id)
        self._tell(t.ContainerEventType.CONTAINER_DELETED_EVENT, pod_sandbox_id, pod_sandbox_id)
        self.sandboxes.pop(pod_sandbox_id, None)

    async def pod_sandbox_status(self, pod_sandbox_id: str) -> t.PodSandboxStatus:
        self._enter("pod_sandbox_status", pod_sandbox_id)
        return copy.deepcopy(self._sandbox(pod_sandbox_id).status)

    async def list_pod_sandbox(self, filter: t.PodSandboxFilter | None = None) -> list[t.PodSandbox]:
        self._enter("list_pod_sandbox", filter)
        wanted = filter or t.PodSandboxFilter()
        return [
            t.PodSandbox(
                id=s.status.id,
                metadata=copy.deepcopy(s.status.metadata),
                state=s.status.state,
                created_at=s.status.created_at,
                labels=dict(s.status.labels),
                annotations=dict(s.status.annotations),
                runtime_handler=s.status.runtime_handler,
            )
            for s in self.sandboxes.values()
            if s.status.id.startswith(wanted.id)
            and (wanted.state is None or wanted.state == s.status.state)
            and wanted.label_selector.items() <= s.status.labels.items()
        ]

    async def create_container(self, pod_sandbox_id: str, config: t.ContainerConfig, sandbox_config: t.PodSandboxConfig) -> str:
        self._enter("create_container", config)
        sandbox = self._sandbox(pod_sandbox_id)
        if sandbox.status.state != t.PodSandboxState.SANDBOX_READY:
            raise CriError(Code.FAILED_PRECONDITION, f'sandbox "{pod_sandbox_id}" is not running')
        image = self._find_image(config.image.image)
        if image is None:
            raise not_found(f'failed to resolve image "{config.image.image}": not found')
        for container in self.containers.values():
            if container.sandbox_id == pod_sandbox_id and container.config.metadata == config.metadata:
                raise CriError(Code.ALREADY_EXISTS, f'name "{config.metadata.name}" is reserved for "{container.status.id}"')
        container_id = self._id("container")
        self.containers[container_id] = FakeContainer(
            sandbox_id=pod_sandbox_id,
            config=copy.deepcopy(config),
            status=t.ContainerStatus(
                id=container_id,
                metadata=copy.deepcopy(config.metadata),
                created_at=self._now(),
                image=copy.deepcopy(config.image),
                image_ref=image.repo_digests[0] if image.repo_digests else image.id,
                image_id=image.id,
                labels=dict(config.labels),
                annotations=dict(config.annotations),
                mounts=copy.deepcopy(config.mounts),
                log_path=f"{sandbox_config.log_directory}/{config.log_path}" if config.log_path else "",
            ),
        )
        self._tell(t.ContainerEventType.CONTAINER_CREATED_EVENT, container_id, pod_sandbox_id)
        return container_id

    async def start_container(self, container_id: str) -> None:
        self._enter("start_container", container_id)
        container = self._container(container_id)
        if container.status.state != t.ContainerState.CONTAINER_CREATED:
            raise CriError(Code.FAILED_PRECONDITION, f"container is in {container.status.state.name} state")
        container.status.state = t.ContainerState.CONTAINER_RUNNING
        container.status.started_at = self._now()
        self._tell(t.ContainerEventType.CONTAINER_STARTED_EVENT, container_id, container.sandbox_id)
        self.on_start(container)

    async def stop_container(self, container_id: str, timeout_s: float) -> None:
        self._enter("stop_container", (container_id, timeout_s))
        container = self._container(container_id)
        container.stop_timeouts.append(timeout_s)
        if container.status.state != t.ContainerState.CONTAINER_RUNNING:
            return
        stubborn = container.config.metadata.name in self.ignores_stop
        if stubborn and timeout_s > 0:
            await self.clock.sleep(timeout_s)
        self.finish(container_id, 137 if stubborn or timeout_s <= 0 else 143)

    async def remove_container(self, container_id: str) -> None:
        self._enter("remove_container", container_id)
        container = self.containers.get(container_id)
        if container is None:
            return
        self.finish(container_id, 137)
        del self.containers[container_id]
        self._tell(t.ContainerEventType.CONTAINER_DELETED_EVENT, container_id, container.sandbox_id)

    async def list_containers(self, filter: t.ContainerFilter | None = None) -> list[t.Container]:
        self._enter("list_containers", filter)
        wanted = filter or t.ContainerFilter()
        return [
            t.Container(
                id=c.status.id,
                pod_sandbox_id=c.sandbox_id,
                metadata=copy.deepcopy(c.status.metadata),
                image=copy.deepcopy(c.status.image),
                image_ref=c.status.image_ref,
                state=c.status.state,
                created_at=c.status.created_at,
                labels=dict(c.status.labels),
                annotations=dict(c.status.annotations),
                image_id=c.status.image_id,
            )
            for c in self.containers.values()
            if c.status.id.startswith(wanted.id)
            and c.sandbox_id.startswith(wanted.pod_sandbox_id)
            and (wanted.state is None or wanted.state == c.status.state)
            and wanted.label_selector.items() <= c.status.labels.items()
        ]

    async def container_status(self, container_id: str) -> t.ContainerStatus:
        self._enter("container_status", container_id)
        return copy.deepcopy(self._container(container_id).status)

    async def update_container_resources(self, container_id: str, resources: t.LinuxContainerResources) -> None:
        self._enter("update_container_resources", (container_id, resources))
        container = self._container(container_id)
        if container.config.linux is None:
            container.config.linux = t.LinuxContainerConfig()
        container.config.linux.resources = copy.deepcopy(resources)

    async def reopen_container_log(self, container_id: str) -> None:
        self._enter("reopen_container_log", container_id)
        self._running(container_id)

    async def exec_sync(self, container_id: str, cmd: list[str], timeout_s: float = 0) -> t.ExecSyncResponse:
        self._enter("exec_sync", (container_id, cmd, timeout_s))
        self._running(container_id)
        return self.exec_result(container_id, cmd)

    async def exec(self, container_id: str, cmd: list[str], *, tty: bool, stdin: bool) -> FakeStream:
        self._enter("exec", (container_id, cmd, tty, stdin))
        self._running(container_id)
        return self.exec_stream(container_id, cmd)

    async def attach(self, container_id: str, *, tty: bool, stdin: bool) -> FakeStream:
        self._enter("attach", (container_id, tty, stdin))
        self._running(container_id)
        return FakeStream()

    async def port_forward(self, pod_sandbox_id: str, port: int) -> FakeStream:
        self._enter("port_forward", (pod_sandbox_id, port))
        self._sandbox(pod_sandbox_id)
        return FakeStream()

    def _stats(self, container: FakeContainer) -> t.ContainerStats:
        return t.ContainerStats(
            id=container.status.id,
            metadata=copy.deepcopy(container.status.metadata),
            labels=dict(container.status.labels),
            annotations=dict(container.status.annotations),
            timestamp=self._now(),
            cpu_usage_core_nanoseconds=1_000_000,
            memory_working_set_bytes=4096,
            memory_usage_bytes=8192,
            memory_rss_bytes=2048,
            writable_layer_used_bytes=512,
            writable_layer_inodes_used=3,
        )

    async def container_stats(self, container_id: str) -> t.ContainerStats:
        self._enter("container_stats", container_id)
        return self._stats(self._container(container_id))

    async def list_container_stats(self, filter: t.ContainerStatsFilter | None = None) -> list[t.ContainerStats]:
        self._enter("list_container_stats", filter)
        wanted = filter or t.ContainerStatsFilter()
        return [
            self._stats(c)
            for c in self.containers.values()
            if c.status.state == t.ContainerState.CONTAINER_RUNNING
            and c.status.id.startswith(wanted.id)
            and c.sandbox_id.startswith(wanted.pod_sandbox_id)
            and wanted.label_selector.items() <= c.status.labels.items()
        ]

    def container_events(self) -> AsyncIterator[t.ContainerEvent]:
        self.calls.append(("container_events", None))
        subscription = _Subscription(self)
        self.subscriptions.add(subscription)
        return subscription

    async def close(self) -> None:
        for subscription in list(self.subscriptions):
            subscription.close()

    # -- ImageService -----------------------------------------------------------------------------------------------

    async def list_images(self, image: str = "") -> list[t.Image]:
        self._enter("list_images", image)
        if image:
            found = self._find_image(image)
            return [copy.deepcopy(found)] if found else []
        return copy.deepcopy(list(self.images.values()))

    async def image_status(self, image: t.ImageSpec) -> t.Image | None:
        self._enter("image_status", image)
        return copy.deepcopy(self._find_image(image.image))

    async def pull_image(
        self, image: t.ImageSpec, auth: t.AuthConfig | None = None, sandbox_config: t.PodSandboxConfig | None = None
    ) -> str:
        self._enter("pull_image", image)
        self.auths.append(auth)
        if self.pull_gate is not None:
            await self.pull_gate.wait()
        wanted = _names(image.image)
        for name, published in self.registry.items():
            if wanted & _names(name):
                self.images[published.id] = published
                return published.repo_digests[0]
        raise not_found(
            f'failed to pull and unpack image "{image.image}": failed to resolve reference "{image.image}": {image.image}: not found'
        )

    def pull_progress(self, image: str) -> str | None:
        return self.pulling.get(image)

    async def remove_image(self, image: t.ImageSpec) -> None:
        self._enter("remove_image", image)
        found = self._find_image(image.image)
        if found is not None:
            del self.images[found.id]

    async def image_fs_info(self) -> list[t.FilesystemUsage]:
        self._enter("image_fs_info", None)
        used = sum(image.size for image in self.images.values())
        return [t.FilesystemUsage(timestamp=self._now(), mountpoint="/var/lib/fake", used_bytes=used, inodes_used=len(self.images))]


def _names(name: str) -> set[str]:
    """`name` with and without Docker Hub's prefixes and the default tag: enough likeness for tests, not a parser."""
    short = name.removeprefix("docker.io/").removeprefix("library/")
    if "@" not in short and ":" not in short.rsplit("/", 1)[-1]:
        short += ":latest"
    return {short}
