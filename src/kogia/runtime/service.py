"""The embedded runtime as the CRI's RuntimeService: a table of contents over the operations' modules.

`open_runtime` prepares the machine, takes over what runs, and returns it; `reset.reset` is its opposite.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from kogia import __version__
from kogia.base.tasks import TaskOwner
from kogia.cri import types as t
from kogia.cri.errors import Code, CriError
from kogia.cri.interface import StreamSession
from kogia.runtime import (
    cgroups,
    conmon,
    container_create,
    container_start,
    container_stop,
    exec_attach,
    hostports,
    queries,
    sandbox_run,
    sandbox_stop,
    spec,
    stats,
    verbose,
)
from kogia.runtime.cni import Cni
from kogia.runtime.config import RuntimeConfig
from kogia.runtime.conmon_watch import ConmonWatch
from kogia.runtime.context import Context, ImageSource, inspect_machine
from kogia.runtime.events import EventHub
from kogia.runtime.exits import ExitWatcher
from kogia.runtime.hostports import HostPorts
from kogia.runtime.network_default import DefaultNetwork
from kogia.runtime.oci import OciRuntimes
from kogia.runtime.recover import recover
from kogia.runtime.seccomp_cache import SeccompCache
from kogia.runtime.state import Records, is_alive

log = logging.getLogger("kogia.runtime")

RELIST_S = 60.0  #: the safety net behind inotify
_THREADS = 4


class EmbeddedRuntime:
    """Implements `kogia.cri.interface.RuntimeService`. Made by `open_runtime`."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self._layers = stats.LayerSizes()
        self._watcher = ExitWatcher(ctx.config.exits_dir, lambda cid: container_start.on_exit(ctx, cid))

    async def _open(self) -> None:
        for directory in (self.ctx.config.root, self.ctx.config.state_dir, self.ctx.config.exits_dir):
            directory.mkdir(parents=True, exist_ok=True, mode=0o711)
        self._watcher.start()  # before recovery looks, so that no exit falls between
        in_use = await recover(self.ctx)
        await self.ctx.network.start(in_use)
        await self.ctx.hostports.restore(
            {
                s.id: hostports.wanted(s.config, s.ips[0])
                for s in self.ctx.records.sandboxes.values()
                if s.namespaces_id and s.ips and not s.from_plugins
            }
        )
        self.ctx.tasks.spawn("relist", self._relist())

    async def _relist(self) -> None:
        """A slow look at everything, for the case that a notification or a conmon was lost."""
        while True:
            await asyncio.sleep(RELIST_S)
            for record in list(self.ctx.records.containers.values()):
                if record.state != t.ContainerState.CONTAINER_RUNNING or record.starting:
                    continue
                if not is_alive(record.conmon_pid, record.conmon_started):
                    self.conmon_gone(record.id)

    def conmon_gone(self, container_id: str) -> None:
        """Nobody watches this container any more: it has ended, or it must."""
        container_start.on_exit(self.ctx, container_id)
        record = self.ctx.records.containers.get(container_id)
        if record is not None and record.state == t.ContainerState.CONTAINER_RUNNING:
            log.warning("container %s has lost its conmon; stopping it", record.id)
            self.ctx.tasks.spawn(f"lost-{record.id[:12]}", container_stop.stop_lost(self.ctx, record))

    async def version(self) -> t.VersionResponse:
        return t.VersionResponse(runtime_name="kogia", runtime_version=__version__)

    async def status(self) -> t.RuntimeStatus:
        problem = "" if self.ctx.oci.default else "no OCI runtime is installed (crun or runc)"
        return t.RuntimeStatus(
            conditions=[
                t.RuntimeCondition(type="RuntimeReady", status=not problem, reason="RuntimeMissing" if problem else "", message=problem),
                t.RuntimeCondition(type="NetworkReady", status=True),
            ],
            runtime_handlers=[t.RuntimeHandler(name=name) for name in ["", *self.ctx.oci.by_name]],
        )

    async def run_pod_sandbox(self, config: t.PodSandboxConfig, runtime_handler: str = "") -> str:
        return await sandbox_run.run(self.ctx, config, runtime_handler)

    async def stop_pod_sandbox(self, pod_sandbox_id: str) -> None:
        await sandbox_stop.stop(self.ctx, pod_sandbox_id)

    async def remove_pod_sandbox(self, pod_sandbox_id: str) -> None:
        await sandbox_stop.remove(self.ctx, pod_sandbox_id)

    async def pod_sandbox_status(self, pod_sandbox_id: str) -> t.PodSandboxStatus:
        return queries.sandbox_status(self.ctx.sandbox(pod_sandbox_id))

    async def list_pod_sandbox(self, filter: t.PodSandboxFilter | None = None) -> list[t.PodSandbox]:
        return [queries.sandbox_item(r) for r in self.ctx.records.sandboxes.values() if queries.sandbox_matches(r, filter)]

    async def create_container(self, pod_sandbox_id: str, config: t.ContainerConfig, sandbox_config: t.PodSandboxConfig) -> str:
        return await container_create.create(self.ctx, pod_sandbox_id, config, sandbox_config)

    async def start_container(self, container_id: str) -> None:
        await container_start.start(self.ctx, container_id)

    async def stop_container(self, container_id: str, timeout_s: float) -> None:
        await container_stop.stop(self.ctx, self.ctx.container(container_id).id, timeout_s)

    async def remove_container(self, container_id: str) -> None:
        await container_stop.remove(self.ctx, container_id)

    async def list_containers(self, filter: t.ContainerFilter | None = None) -> list[t.Container]:
        return [queries.container_item(r) for r in self.ctx.records.containers.values() if queries.container_matches(r, filter)]

    async def container_status(self, container_id: str) -> t.ContainerStatus:
        return queries.container_status(self.ctx.container(container_id))

    async def update_container_resources(self, container_id: str, resources: t.LinuxContainerResources) -> None:
        record = self.ctx.container(container_id)
        machine = self.ctx.machine
        limits = spec.limits(resources, swap_accounting=machine.swap_accounting, cgroup_v2=machine.layout.is_v2)
        await self.ctx.oci.get(record.handler).update(record.id, limits)
        if record.config.linux is None:
            record.config.linux = t.LinuxContainerConfig()
        record.config.linux.resources = resources
        self.ctx.records.save_container(record)

    async def reopen_container_log(self, container_id: str) -> None:
        record = self.ctx.container(container_id)
        if record.state != t.ContainerState.CONTAINER_RUNNING:
            raise CriError(Code.FAILED_PRECONDITION, "container is not running")
        conmon.reopen_log(self.ctx.bundle(record.id))

    async def exec_sync(self, container_id: str, cmd: list[str], timeout_s: float = 0) -> t.ExecSyncResponse:
        return await exec_attach.sync(self.ctx, container_id, cmd, timeout_s)

    async def exec(self, container_id: str, cmd: list[str], *, tty: bool, stdin: bool) -> StreamSession:
        return await exec_attach.start(self.ctx, container_id, cmd, tty=tty, stdin=stdin)

    async def attach(self, container_id: str, *, tty: bool, stdin: bool) -> StreamSession:
        return await exec_attach.attach(self.ctx, container_id, tty=tty, stdin=stdin)

    async def port_forward(self, pod_sandbox_id: str, port: int) -> StreamSession:
        return await exec_attach.port_forward(self.ctx, pod_sandbox_id, port)

    async def container_stats(self, container_id: str) -> t.ContainerStats:
        return await self.ctx.in_thread(stats.of, self.ctx, self.ctx.container(container_id), self._layers)

    async def list_container_stats(self, filter: t.ContainerStatsFilter | None = None) -> list[t.ContainerStats]:
        wanted = [r for r in self.ctx.records.containers.values() if queries.stats_matches(r, filter)]
        self._layers.forget_all_but(set(self.ctx.records.containers))
        return await self.ctx.in_thread(lambda: [stats.of(self.ctx, r, self._layers) for r in wanted])

    async def verbose_info(self, identity: str) -> dict[str, str]:
        """What `crictl inspect` shows beyond the status: {key: JSON text}. Errors: CriError NOT_FOUND."""
        return await asyncio.get_running_loop().run_in_executor(self.ctx.executor, verbose.info, self.ctx.records, identity)

    def container_events(self) -> AsyncIterator[t.ContainerEvent]:
        return self.ctx.events.subscribe()

    async def close(self) -> None:
        self._watcher.close()
        self.ctx.conmons.close()
        await self.ctx.tasks.close()
        await self.ctx.network.close()
        self.ctx.events.close()
        self.ctx.executor.shutdown(wait=False)


async def open_runtime(config: RuntimeConfig, images: ImageSource) -> EmbeddedRuntime:
    """Start the runtime: adopt running containers, clear leftovers, bring the pod network up.

    Errors: CriError UNAVAILABLE where the machine lacks something (the message says what); OSError for unusable directories.
    """
    executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="kogia-runtime")
    layout = cgroups.current()
    ctx = Context(
        config=config,
        executor=executor,
        records=Records(config.sandboxes_dir, config.containers_dir),
        images=images,
        machine=inspect_machine(layout),
        network=DefaultNetwork(config, executor),
        hostports=HostPorts(config),
        cni=Cni(config.cni_conf_dir, config.cni_bin_dirs, config.cni_dir / "results"),
        oci=OciRuntimes(config, layout),
        events=EventHub(),
        tasks=TaskOwner("runtime"),
        starts=asyncio.Semaphore(config.parallel_starts),
        conmons=ConmonWatch(lambda container_id: runtime.conmon_gone(container_id)),
        seccomp=SeccompCache(config.root / "seccomp"),
    )
    runtime = EmbeddedRuntime(ctx)
    try:
        await runtime._open()
    except BaseException:
        await runtime.close()
        raise
    return runtime
