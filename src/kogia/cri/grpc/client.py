"""RuntimeService and ImageService of a runtime in another process: containerd, CRI-O, or Kogia's own node seen from the command line.

`CriClient` implements both Protocols. It connects at the first call and again after the connection was lost; a call in flight then fails with
UNAVAILABLE and is the caller's to repeat. Streams (exec, attach, port_forward) follow the URL the runtime gives.
Neighbours: channel.py carries the calls, codec.py the messages, remote_streams.py the streams.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import Any

from kogia.cri import types as t
from kogia.cri.errors import Code, CriError
from kogia.cri.grpc.channel import Channel
from kogia.cri.grpc.codec import decode, encode
from kogia.cri.grpc.descriptors import message
from kogia.cri.interface import StreamSession

_R, _I = "RuntimeService", "ImageService"


class CriClient:
    """`endpoint` is `unix:///run/containerd/containerd.sock` or a path. `timeout_s` bounds calls that should be quick; the others
    (pulls, creations, stops) get `long_s`."""

    def __init__(self, endpoint: str, *, timeout_s: float = 120, long_s: float = 900, image_endpoint: str = "") -> None:
        self._runtime = Channel(endpoint)
        self._images = Channel(image_endpoint) if image_endpoint and image_endpoint != endpoint else self._runtime
        self._quick, self._long = timeout_s, long_s

    async def call(self, service: str, method: str, timeout_s: float | None = None, /, **fields: Any) -> Any:
        """One unary call; dataclasses among `fields` are encoded into the request's messages, None ones left out."""
        request = message(f"{method}Request")()
        for name, value in fields.items():
            if value is None:
                continue
            if isinstance(value, list):
                getattr(request, name).extend(value)
            elif isinstance(value, str | bool | int):
                setattr(request, name, value)
            else:
                inner = getattr(request, name)
                inner.SetInParent()
                encode(value, inner)
        channel = self._runtime if service == _R else self._images
        return await channel.unary(service, method, request, self._quick if timeout_s is None else timeout_s)

    # -- RuntimeService ---------------------------------------------------------------------------------------------

    async def version(self) -> t.VersionResponse:
        return decode(t.VersionResponse, await self.call(_R, "Version", version="v1"))

    async def status(self) -> t.RuntimeStatus:
        return decode(t.RuntimeStatus, await self.call(_R, "Status"))

    async def run_pod_sandbox(self, config: t.PodSandboxConfig, runtime_handler: str = "") -> str:
        answer = await self.call(_R, "RunPodSandbox", self._long, config=config, runtime_handler=runtime_handler)
        return str(answer.pod_sandbox_id)

    async def stop_pod_sandbox(self, pod_sandbox_id: str) -> None:
        await self.call(_R, "StopPodSandbox", self._long, pod_sandbox_id=pod_sandbox_id)

    async def remove_pod_sandbox(self, pod_sandbox_id: str) -> None:
        await self.call(_R, "RemovePodSandbox", self._long, pod_sandbox_id=pod_sandbox_id)

    async def pod_sandbox_status(self, pod_sandbox_id: str) -> t.PodSandboxStatus:
        return decode(t.PodSandboxStatus, (await self.call(_R, "PodSandboxStatus", pod_sandbox_id=pod_sandbox_id)).status)

    async def list_pod_sandbox(self, filter: t.PodSandboxFilter | None = None) -> list[t.PodSandbox]:
        return [decode(t.PodSandbox, item) for item in (await self.call(_R, "ListPodSandbox", filter=filter)).items]

    async def create_container(self, pod_sandbox_id: str, config: t.ContainerConfig, sandbox_config: t.PodSandboxConfig) -> str:
        fields = {"pod_sandbox_id": pod_sandbox_id, "config": config, "sandbox_config": sandbox_config}
        return str((await self.call(_R, "CreateContainer", self._long, **fields)).container_id)

    async def start_container(self, container_id: str) -> None:
        await self.call(_R, "StartContainer", self._long, container_id=container_id)

    async def stop_container(self, container_id: str, timeout_s: float) -> None:
        seconds = math.ceil(timeout_s)
        await self.call(_R, "StopContainer", self._quick + seconds, container_id=container_id, timeout=seconds)

    async def remove_container(self, container_id: str) -> None:
        await self.call(_R, "RemoveContainer", self._long, container_id=container_id)

    async def list_containers(self, filter: t.ContainerFilter | None = None) -> list[t.Container]:
        return [decode(t.Container, item) for item in (await self.call(_R, "ListContainers", filter=filter)).containers]

    async def container_status(self, container_id: str) -> t.ContainerStatus:
        return decode(t.ContainerStatus, (await self.call(_R, "ContainerStatus", container_id=container_id)).status)

    async def verbose_info(self, identity: str) -> dict[str, str]:
        """What the runtime tells of a container or sandbox beyond its status. Errors: CriError NOT_FOUND."""
        try:
            answer = await self.call(_R, "ContainerStatus", container_id=identity, verbose=True)
        except CriError as error:
            if error.code is not Code.NOT_FOUND:
                raise
            answer = await self.call(_R, "PodSandboxStatus", pod_sandbox_id=identity, verbose=True)
        return dict(answer.info)

    async def update_container_resources(self, container_id: str, resources: t.LinuxContainerResources) -> None:
        await self.call(_R, "UpdateContainerResources", container_id=container_id, linux=resources)

    async def reopen_container_log(self, container_id: str) -> None:
        await self.call(_R, "ReopenContainerLog", container_id=container_id)

    async def exec_sync(self, container_id: str, cmd: list[str], timeout_s: float = 0) -> t.ExecSyncResponse:
        seconds = math.ceil(timeout_s)
        limit = self._quick + seconds if seconds else 0
        return decode(t.ExecSyncResponse, await self.call(_R, "ExecSync", limit, container_id=container_id, cmd=list(cmd), timeout=seconds))

    async def exec(self, container_id: str, cmd: list[str], *, tty: bool, stdin: bool) -> StreamSession:
        from kogia.cri.grpc.remote_streams import open_command

        fields = {"container_id": container_id, "cmd": list(cmd), "tty": tty, "stdin": stdin, "stdout": True, "stderr": not tty}
        return await open_command((await self.call(_R, "Exec", **fields)).url)

    async def attach(self, container_id: str, *, tty: bool, stdin: bool) -> StreamSession:
        from kogia.cri.grpc.remote_streams import open_command

        fields = {"container_id": container_id, "tty": tty, "stdin": stdin, "stdout": True, "stderr": not tty}
        return await open_command((await self.call(_R, "Attach", **fields)).url)

    async def port_forward(self, pod_sandbox_id: str, port: int) -> StreamSession:
        from kogia.cri.grpc.remote_streams import open_port

        answer = await self.call(_R, "PortForward", pod_sandbox_id=pod_sandbox_id, port=[port])
        return await open_port(answer.url, port)

    async def container_stats(self, container_id: str) -> t.ContainerStats:
        return decode(t.ContainerStats, (await self.call(_R, "ContainerStats", container_id=container_id)).stats)

    async def list_container_stats(self, filter: t.ContainerStatsFilter | None = None) -> list[t.ContainerStats]:
        return [decode(t.ContainerStats, item) for item in (await self.call(_R, "ListContainerStats", filter=filter)).stats]

    def container_events(self) -> AsyncIterator[t.ContainerEvent]:
        """As interface.py; the subscription is sent ahead of any later call, but a runtime that is not there is noticed at `anext`."""
        stream = self._runtime.stream(_R, "GetContainerEvents", message("GetEventsRequest")())
        return _Events(stream, self)

    async def close(self) -> None:
        await self._runtime.close()
        if self._images is not self._runtime:
            await self._images.close()

    # -- ImageService -----------------------------------------------------------------------------------------------

    async def list_images(self, image: str = "") -> list[t.Image]:
        wanted = None
        if image:
            wanted = message("ImageFilter")()
            wanted.image.image = image
        request = message("ListImagesRequest")(filter=wanted)
        return [decode(t.Image, item) for item in (await self._images.unary(_I, "ListImages", request, self._quick)).images]

    async def image_status(self, image: t.ImageSpec) -> t.Image | None:
        answer = await self.call(_I, "ImageStatus", image=image)
        return decode(t.Image, answer.image) if answer.HasField("image") else None

    async def image_info(self, image: t.ImageSpec) -> dict[str, str]:
        """What the runtime tells of an image beyond its status."""
        return dict((await self.call(_I, "ImageStatus", image=image, verbose=True)).info)

    async def pull_image(
        self, image: t.ImageSpec, auth: t.AuthConfig | None = None, sandbox_config: t.PodSandboxConfig | None = None
    ) -> str:
        return str((await self.call(_I, "PullImage", 0, image=image, auth=auth, sandbox_config=sandbox_config)).image_ref)

    def pull_progress(self, image: str) -> str | None:
        return None

    async def remove_image(self, image: t.ImageSpec) -> None:
        await self.call(_I, "RemoveImage", self._long, image=image)

    async def image_fs_info(self) -> list[t.FilesystemUsage]:
        return [decode(t.FilesystemUsage, item) for item in (await self.call(_I, "ImageFsInfo")).image_filesystems]


async def connect(endpoint: str) -> CriClient:
    """A client of the runtime at `endpoint`, which has answered once. Errors: CriError when it does not, ValueError for a bad endpoint."""
    client = CriClient(endpoint)
    try:
        await client.version()
    except BaseException:
        await client.close()
        raise
    return client


class _Events:
    """The subscription as an async iterator; by comparing listings where the runtime has no such call."""

    def __init__(self, stream: AsyncIterator[Any], client: CriClient) -> None:
        self._stream, self._client = stream, client
        self._polled: AsyncIterator[t.ContainerEvent] | None = None

    def __aiter__(self) -> _Events:
        return self

    async def __anext__(self) -> t.ContainerEvent:
        if self._polled is None:
            try:
                return decode(t.ContainerEvent, await anext(self._stream))
            except CriError as error:
                if error.code is not Code.UNIMPLEMENTED:
                    raise
            from kogia.cri.grpc.polled_events import poll

            self._polled = poll(self._client)
        return await anext(self._polled)

    async def aclose(self) -> None:
        await self._stream.aclose()  # type: ignore[attr-defined]
        if self._polled is not None:
            await self._polled.aclose()  # type: ignore[attr-defined]
