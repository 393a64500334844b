"""What each RPC of the CRI does with the in-process services. One coroutine per method, named as in api.proto: (request, response to fill).

Errors: CriError. Fields of a request that the in-process interface does not know are ignored, as a runtime may.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

from kogia.cri import types as t
from kogia.cri.errors import Code, CriError
from kogia.cri.grpc.codec import decode, encode
from kogia.cri.grpc.descriptors import message
from kogia.cri.interface import ImageService, RuntimeService

CGROUPFS = 1  #: CgroupDriver


class StreamUrls(Protocol):
    """Makes one-time URLs for Exec, Attach and PortForward: streaming.StreamingServer."""

    async def exec_url(self, container_id: str, cmd: list[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str: ...

    async def attach_url(self, container_id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str: ...

    async def port_forward_url(self, pod_sandbox_id: str, ports: list[int]) -> str: ...


class Calls:
    """The methods by name; `session` finds them with getattr."""

    def __init__(self, runtime: RuntimeService, images: ImageService, urls: StreamUrls | None) -> None:
        self._runtime, self._images, self._urls = runtime, images, urls

    # -- RuntimeService: the runtime --------------------------------------------------------------------------------

    async def Version(self, request: Any, response: Any) -> None:
        encode(await self._runtime.version(), response)

    async def Status(self, request: Any, response: Any) -> None:
        encode(await self._runtime.status(), response)

    async def RuntimeConfig(self, request: Any, response: Any) -> None:
        response.linux.cgroup_driver = CGROUPFS

    async def UpdateRuntimeConfig(self, request: Any, response: Any) -> None:
        """Tells the node's Pod range; ours came with the configuration."""

    # -- sandboxes --------------------------------------------------------------------------------------------------

    async def RunPodSandbox(self, request: Any, response: Any) -> None:
        config = decode(t.PodSandboxConfig, request.config)
        response.pod_sandbox_id = await self._runtime.run_pod_sandbox(config, request.runtime_handler)

    async def StopPodSandbox(self, request: Any, response: Any) -> None:
        await self._runtime.stop_pod_sandbox(request.pod_sandbox_id)

    async def RemovePodSandbox(self, request: Any, response: Any) -> None:
        await self._runtime.remove_pod_sandbox(request.pod_sandbox_id)

    async def PodSandboxStatus(self, request: Any, response: Any) -> None:
        encode(await self._runtime.pod_sandbox_status(request.pod_sandbox_id), response.status)
        if request.verbose:
            await self._info(request.pod_sandbox_id, response)

    async def ListPodSandbox(self, request: Any, response: Any) -> None:
        wanted = decode(t.PodSandboxFilter, request.filter) if request.HasField("filter") else None
        for sandbox in await self._runtime.list_pod_sandbox(wanted):
            encode(sandbox, response.items.add())

    # -- containers -------------------------------------------------------------------------------------------------

    async def CreateContainer(self, request: Any, response: Any) -> None:
        config, sandbox_config = decode(t.ContainerConfig, request.config), decode(t.PodSandboxConfig, request.sandbox_config)
        response.container_id = await self._runtime.create_container(request.pod_sandbox_id, config, sandbox_config)

    async def StartContainer(self, request: Any, response: Any) -> None:
        await self._runtime.start_container(request.container_id)

    async def StopContainer(self, request: Any, response: Any) -> None:
        await self._runtime.stop_container(request.container_id, float(request.timeout))

    async def RemoveContainer(self, request: Any, response: Any) -> None:
        await self._runtime.remove_container(request.container_id)

    async def ListContainers(self, request: Any, response: Any) -> None:
        wanted = decode(t.ContainerFilter, request.filter) if request.HasField("filter") else None
        for container in await self._runtime.list_containers(wanted):
            encode(container, response.containers.add())

    async def ContainerStatus(self, request: Any, response: Any) -> None:
        encode(await self._runtime.container_status(request.container_id), response.status)
        if request.verbose:
            await self._info(request.container_id, response)

    async def UpdateContainerResources(self, request: Any, response: Any) -> None:
        resources = decode(t.LinuxContainerResources, request.linux)
        await self._runtime.update_container_resources(request.container_id, resources)

    async def ReopenContainerLog(self, request: Any, response: Any) -> None:
        await self._runtime.reopen_container_log(request.container_id)

    async def _info(self, identity: str, response: Any) -> None:
        """What a runtime has to tell beyond the status, if it has a `verbose_info`: {name: text, often JSON}."""
        tell = getattr(self._runtime, "verbose_info", None)
        if tell is not None:
            response.info.update(await tell(identity))

    # -- streams ----------------------------------------------------------------------------------------------------

    async def ExecSync(self, request: Any, response: Any) -> None:
        encode(await self._runtime.exec_sync(request.container_id, list(request.cmd), float(request.timeout)), response)

    async def Exec(self, request: Any, response: Any) -> None:
        response.url = await self._streams().exec_url(
            request.container_id, list(request.cmd), stdin=request.stdin, stdout=request.stdout, stderr=request.stderr, tty=request.tty
        )

    async def Attach(self, request: Any, response: Any) -> None:
        response.url = await self._streams().attach_url(
            request.container_id, stdin=request.stdin, stdout=request.stdout, stderr=request.stderr, tty=request.tty
        )

    async def PortForward(self, request: Any, response: Any) -> None:
        response.url = await self._streams().port_forward_url(request.pod_sandbox_id, list(request.port))

    def _streams(self) -> StreamUrls:
        if self._urls is None:
            raise CriError(Code.UNIMPLEMENTED, "streaming is not served here")
        return self._urls

    # -- statistics -------------------------------------------------------------------------------------------------

    async def ContainerStats(self, request: Any, response: Any) -> None:
        encode(await self._runtime.container_stats(request.container_id), response.stats)

    async def ListContainerStats(self, request: Any, response: Any) -> None:
        wanted = decode(t.ContainerStatsFilter, request.filter) if request.HasField("filter") else None
        for stats in await self._runtime.list_container_stats(wanted):
            encode(stats, response.stats.add())

    async def PodSandboxStats(self, request: Any, response: Any) -> None:
        found = await self._runtime.list_pod_sandbox(t.PodSandboxFilter(id=request.pod_sandbox_id))
        if not found:
            raise CriError(Code.NOT_FOUND, f'could not find sandbox "{request.pod_sandbox_id}": not found')
        await self._sandbox_stats(found[0], response.stats)

    async def ListPodSandboxStats(self, request: Any, response: Any) -> None:
        wanted = t.PodSandboxFilter(id=request.filter.id, label_selector=dict(request.filter.label_selector))
        for sandbox in await self._runtime.list_pod_sandbox(wanted):
            if sandbox.state == t.PodSandboxState.SANDBOX_READY:
                await self._sandbox_stats(sandbox, response.stats.add())

    async def _sandbox_stats(self, sandbox: t.PodSandbox, target: Any) -> None:
        """The sum of its containers."""
        target.attributes.id = sandbox.id
        encode(sandbox.metadata, target.attributes.metadata)
        target.attributes.labels.update(sandbox.labels)
        target.attributes.annotations.update(sandbox.annotations)
        each = await self._runtime.list_container_stats(t.ContainerStatsFilter(pod_sandbox_id=sandbox.id))
        for stats in each:
            encode(stats, target.linux.containers.add())
        cpu, memory = target.linux.cpu, target.linux.memory
        cpu.timestamp = memory.timestamp = max((s.timestamp for s in each), default=0)
        cpu.usage_core_nano_seconds.value = sum(s.cpu_usage_core_nanoseconds for s in each)
        memory.working_set_bytes.value = sum(s.memory_working_set_bytes for s in each)
        memory.usage_bytes.value = sum(s.memory_usage_bytes for s in each)
        memory.rss_bytes.value = sum(s.memory_rss_bytes for s in each)
        target.linux.process.process_count.value = sum(s.pids for s in each)

    async def ListMetricDescriptors(self, request: Any, response: Any) -> None:
        """No metrics of our own yet to describe: an empty list says so."""

    async def ListPodSandboxMetrics(self, request: Any, response: Any) -> None:
        """As `ListMetricDescriptors`."""

    # -- ImageService -----------------------------------------------------------------------------------------------

    async def ListImages(self, request: Any, response: Any) -> None:
        for image in await self._images.list_images(request.filter.image.image):
            encode(image, response.images.add())

    async def ImageStatus(self, request: Any, response: Any) -> None:
        found = await self._images.image_status(decode(t.ImageSpec, request.image))
        if found is not None:
            encode(found, response.image)
            response.image.SetInParent()
            tell = getattr(self._images, "verbose_info", None)
            if request.verbose and tell is not None:
                response.info.update(await tell(found.id))

    async def PullImage(self, request: Any, response: Any) -> None:
        auth = decode(t.AuthConfig, request.auth) if request.HasField("auth") else None
        sandbox = decode(t.PodSandboxConfig, request.sandbox_config) if request.HasField("sandbox_config") else None
        response.image_ref = await self._images.pull_image(decode(t.ImageSpec, request.image), auth, sandbox)

    async def RemoveImage(self, request: Any, response: Any) -> None:
        await self._images.remove_image(decode(t.ImageSpec, request.image))

    async def ImageFsInfo(self, request: Any, response: Any) -> None:
        for usage in await self._images.image_fs_info():
            encode(usage, response.image_filesystems.add())

    # -- the one that streams ---------------------------------------------------------------------------------------

    def events(self) -> AsyncIterator[t.ContainerEvent]:
        """GetContainerEvents' subscription; it stands when this returns."""
        return self._runtime.container_events()

    async def event(self, event: t.ContainerEvent) -> Any:
        """A ContainerEventResponse, with the statuses as they are now where they can still be had."""
        response = message("ContainerEventResponse")()
        if event.pod_sandbox_id:
            try:
                encode(await self._runtime.pod_sandbox_status(event.pod_sandbox_id), response.pod_sandbox_status)
                for container in await self._runtime.list_containers(t.ContainerFilter(pod_sandbox_id=event.pod_sandbox_id)):
                    encode(await self._runtime.container_status(container.id), response.containers_statuses.add())
            except CriError as error:
                if error.code is not Code.NOT_FOUND:
                    raise
        return encode(event, response)
