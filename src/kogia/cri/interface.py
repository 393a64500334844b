"""RuntimeService and ImageService: what a kubelet asks of a container runtime.

The embedded runtime (`kogia.runtime`) implements these in-process; a gRPC client implements them for foreign runtimes and a
gRPC server offers the embedded one to `crictl`. Every method raises `CriError`. Creation is not idempotent by name; stop and remove are idempotent.
Source: k8s.io/cri-api runtime/v1, whose method comments are the contract.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from kogia.cri import types as t


class StreamSession(Protocol):
    """A running exec or attach with its streams, in-process. (Across gRPC the same is a streaming URL.)"""

    async def write_stdin(self, data: bytes) -> None:
        """Waits for room. Writes after the process ended or closed its stdin are dropped."""

    async def close_stdin(self) -> None: ...

    async def read(self) -> tuple[int, bytes] | None:
        """The next output as (1 stdout | 2 stderr, data), at most 64 KiB; None when every stream has ended. With a tty all is 1."""

    async def resize(self, width: int, height: int) -> None:
        """Terminal size in character cells; ignored without a tty."""

    async def wait(self) -> int:
        """The exit code, once the process ended (attach: the container's). 128 + n for a death by signal n."""

    async def close(self) -> None:
        """Let go: an exec's process is killed if it still runs; an attached container is left alone. Idempotent."""


class RuntimeService(Protocol):
    async def version(self) -> t.VersionResponse: ...

    async def status(self) -> t.RuntimeStatus: ...

    async def run_pod_sandbox(self, config: t.PodSandboxConfig, runtime_handler: str = "") -> str:
        """Namespaces, network, cgroup; returns the sandbox's id. On failure nothing is left behind."""

    async def stop_pod_sandbox(self, pod_sandbox_id: str) -> None:
        """Kills its containers at once, takes the network down. Idempotent; unknown ids are not an error."""

    async def remove_pod_sandbox(self, pod_sandbox_id: str) -> None:
        """Stops it first if needed, removes its containers and all traces. Idempotent; unknown ids are not an error."""

    async def pod_sandbox_status(self, pod_sandbox_id: str) -> t.PodSandboxStatus: ...

    async def list_pod_sandbox(self, filter: t.PodSandboxFilter | None = None) -> list[t.PodSandbox]: ...

    async def create_container(self, pod_sandbox_id: str, config: t.ContainerConfig, sandbox_config: t.PodSandboxConfig) -> str:
        """Returns the container's id; its image must be present (NOT_FOUND otherwise)."""

    async def start_container(self, container_id: str) -> None: ...

    async def stop_container(self, container_id: str, timeout_s: float) -> None:
        """Stop signal, then SIGKILL after `timeout_s` (0 = at once). Returns when it has exited. Idempotent."""

    async def remove_container(self, container_id: str) -> None:
        """Kills it first if it runs. Its log file stays. Idempotent; unknown ids are not an error."""

    async def list_containers(self, filter: t.ContainerFilter | None = None) -> list[t.Container]: ...

    async def container_status(self, container_id: str) -> t.ContainerStatus: ...

    async def update_container_resources(self, container_id: str, resources: t.LinuxContainerResources) -> None: ...

    async def reopen_container_log(self, container_id: str) -> None:
        """Tell the writer that its log file was renamed: open the path anew."""

    async def exec_sync(self, container_id: str, cmd: list[str], timeout_s: float = 0) -> t.ExecSyncResponse:
        """Run to the end; output is cut at 16 MiB. timeout 0 = none; DEADLINE_EXCEEDED kills the process."""

    async def exec(self, container_id: str, cmd: list[str], *, tty: bool, stdin: bool) -> StreamSession: ...

    async def attach(self, container_id: str, *, tty: bool, stdin: bool) -> StreamSession: ...

    async def port_forward(self, pod_sandbox_id: str, port: int) -> StreamSession:
        """A TCP connection to `port` on the sandbox's loopback: stdin is what is sent, channel 1 what is received; wait() gives 0."""

    async def container_stats(self, container_id: str) -> t.ContainerStats: ...

    async def list_container_stats(self, filter: t.ContainerStatsFilter | None = None) -> list[t.ContainerStats]: ...

    def container_events(self) -> AsyncIterator[t.ContainerEvent]:
        """Subscribe to what happens from now on (the subscription stands when this call returns, before the first `anext`).

        Bounded: a subscriber too slow for 10,000 pending events gets CriError(RESOURCE_EXHAUSTED) and must relist.
        Source: CRI GetContainerEvents.
        """

    async def close(self) -> None:
        """Let go of watchers and files; containers go on."""


class ImageService(Protocol):
    async def list_images(self, image: str = "") -> list[t.Image]: ...

    async def image_status(self, image: t.ImageSpec) -> t.Image | None:
        """By name, tag, digest or id (prefixes of ids of at least 4 hex digits too); None if absent."""

    async def pull_image(
        self, image: t.ImageSpec, auth: t.AuthConfig | None = None, sandbox_config: t.PodSandboxConfig | None = None
    ) -> str:
        """Returns the image reference to use (repo digest or id). Pulls of one name at a time share one download."""

    def pull_progress(self, image: str) -> str | None:
        """How far the pull of `image` that is under way has come, as `2 of 5 layers, 41.3 MiB of 120.0 MiB`; None when none is, or when the
        runtime cannot tell (the CRI has no such call, so foreign runtimes never can). Cheap and without I/O."""

    async def remove_image(self, image: t.ImageSpec) -> None:
        """Idempotent; an image in use by a container keeps its layers until that is gone."""

    async def image_fs_info(self) -> list[t.FilesystemUsage]: ...
