"""Carries out a Pod's long instructions: volumes, sandbox, images, containers, clean-up. Each gives the event it ends with.

Neighbours: pod_worker.py (calls, one action at a time per kind), pod_events.py (results), runtime_config.py, env.py, images.py, volumes.
Invariants: an action never raises for what the outside does wrong, it answers with the failure's event; removal is repeated until it succeeds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from kogia.api.status import StatusError
from kogia.base.backoff import Backoff
from kogia.base.tasks import TaskOwner
from kogia.cri import types as t
from kogia.cri.errors import Code, CriError
from kogia.kubelet import env as environments
from kogia.kubelet import hooks, runtime_config
from kogia.kubelet import pod_events as ev
from kogia.kubelet.dns import parse_resolv_conf, pod_dns
from kogia.kubelet.downward import FieldError
from kogia.kubelet.hosts import hosts_file
from kogia.kubelet.images import ImageError, credentials, ensure_image
from kogia.kubelet.node_context import NodeContext
from kogia.kubelet.status_writer import PODS
from kogia.kubelet.termination import termination_message
from kogia.kubelet.volumes.directories import VolumeError
from kogia.kubelet.volumes.pod_volumes import PodVolumes

log = logging.getLogger("kogia.kubelet.pod")

Obj = dict[str, Any]


class PodActions:
    """One Pod's. `pod` is kept current by the worker; `emit(type, reason, message, container)` records an event."""

    def __init__(self, pod: Obj, node: NodeContext, emit: Callable[[str, str, str, str], None]) -> None:
        self.pod = pod
        self.node = node
        self.ips: tuple[str, ...] = ()
        self.ending = asyncio.Event()  #: the Pod is being deleted: a postStart hook is not waited for any longer
        self._emit = emit
        self._images: dict[str, t.Image] = {}
        self._sandbox: t.PodSandboxConfig | None = None
        metadata = pod["metadata"]
        self.dir = node.config.pod_dir(metadata["uid"])
        self.log_dir = node.config.log_dir(metadata["namespace"], metadata["name"], metadata["uid"])
        self.volumes = PodVolumes(
            self.dir, node.data, node.mounts, node.clock.now, lambda: (self.ips, node.host_ips, node.allocatable)
        )

    def container(self, name: str) -> Obj:
        """Errors: KeyError."""
        spec = self.pod["spec"]
        for container in spec["containers"] + (spec.get("initContainers") or []):
            if container["name"] == name:
                return dict(container)
        raise KeyError(name)

    # -- volumes, sandbox, images --------------------------------------------------------------------------------------

    async def mount_volumes(self) -> ev.Event:
        try:
            await self.volumes.set_up(self.pod)
            return ev.VolumesReady()
        except VolumeError as error:
            return ev.VolumesFailed(str(error))

    def _sandbox_config(self, attempt: int) -> t.PodSandboxConfig:
        config = self.node.config
        try:
            host = parse_resolv_conf(Path(config.host_resolv_conf).read_text())
        except OSError:
            host = t.DNSConfig()
        dns = pod_dns(self.pod, cluster_dns=config.cluster_dns, cluster_domain=config.cluster_domain, host=host)
        self._sandbox = runtime_config.sandbox_config(
            self.pod, attempt, log_directory=str(self.log_dir), dns=dns, cluster_domain=config.cluster_domain, cgroup_root=config.cgroup_root,
        )
        return self._sandbox

    async def run_sandbox(self, do: ev.DoRunSandbox) -> ev.Event:
        try:
            if do.stop:
                await self.node.runtime.stop_pod_sandbox(do.stop)
            handler = self.node.runtime_handlers(self.pod["spec"].get("runtimeClassName") or "")
            if handler is None:
                name = self.pod["spec"]["runtimeClassName"]
                return ev.SandboxFailed(f'RuntimeClass.node.k8s.io "{name}" not found')
            self.log_dir.mkdir(parents=True, exist_ok=True)
            sandbox_id = await self.node.runtime.run_pod_sandbox(self._sandbox_config(do.attempt), handler)
            status = await self.node.runtime.pod_sandbox_status(sandbox_id)
            return ev.SandboxStarted(status)
        except CriError as error:
            return ev.SandboxFailed(f"rpc error: code = {_grpc_name(error.code)} desc = {error.message}")
        except OSError as error:
            return ev.SandboxFailed(str(error))

    async def ensure_image(self, name: str) -> ev.Event:
        container = self.container(name)
        try:
            secrets = []
            for ref in self.pod["spec"].get("imagePullSecrets") or []:
                secret = await self.node.data.secret_object(self.pod["metadata"]["namespace"], ref.get("name", ""))
                if secret is not None:
                    secrets.append(secret)
            auths = credentials(container.get("image", ""), secrets)
            image = await ensure_image(
                self.node.images, container, auths, lambda kind, reason, message: self._emit(kind, reason, message, name), self.node.clock
            )
        except ImageError as error:
            return ev.ImageFailed(name, error.reason, error.message)
        except (StatusError, OSError, TimeoutError) as error:
            return ev.ImageFailed(name, "ErrImagePull", str(error))
        self._images[name] = image
        return ev.ImageReady(name, image.id)

    # -- containers ----------------------------------------------------------------------------------------------------

    async def start_container(self, do: ev.DoStartContainer) -> ev.Event:
        name = do.container
        try:
            container = self.container(name)
            self.ips = do.pod_ips
            config = await self._container_config(container, do)
        except (environments.EnvError, FieldError, VolumeError) as error:
            self._emit("Warning", "Failed", f"Error: {error}", name)
            return ev.ContainerFailed(name, "CreateContainerConfigError", str(error))
        except (StatusError, OSError, TimeoutError) as error:
            why = str(error) or "services have not yet been read at least once, cannot construct envvars"
            self._emit("Warning", "Failed", f"Error: {why}", name)
            return ev.ContainerFailed(name, "CreateContainerConfigError", why)
        sandbox = self._sandbox or self._sandbox_config(0)
        try:
            container_id = await self.node.runtime.create_container(do.sandbox_id, config, sandbox)
        except CriError as error:
            self._emit("Warning", "Failed", f"Error: {error.message}", name)
            return ev.ContainerFailed(name, "CreateContainerError", error.message)
        self._emit("Normal", "Created", f"Created container: {name}", name)
        return await self._start(container, container_id, do)

    async def _start(self, container: Obj, container_id: str, do: ev.DoStartContainer) -> ev.Event:
        name = do.container
        try:
            await self.node.runtime.start_container(container_id)
        except CriError as error:
            self._emit("Warning", "Failed", f"Error: {error.message}", name)
            status = None
            try:
                status = await self.node.runtime.container_status(container_id)
                if status.state != t.ContainerState.CONTAINER_EXITED:
                    status = None
                    await self.node.runtime.remove_container(container_id)
            except CriError as second:
                log.debug("after a failed start of %s: %s", container_id, second.message)
            return ev.ContainerFailed(name, "RunContainerError", error.message, do.sandbox_id, status)
        self._emit("Normal", "Started", f"Started container {name}", name)
        await self._post_start(container, container_id, do)
        try:
            status = await self.node.runtime.container_status(container_id)
        except CriError as error:
            return ev.ContainerFailed(name, "RunContainerError", error.message)
        return ev.ContainerStarted(name, do.sandbox_id, status)

    async def _post_start(self, container: Obj, container_id: str, do: ev.DoStartContainer) -> None:
        """Run the hook, if there is one; a failure ends the container. What went wrong is logged but no event: it could show secrets."""
        post_start = (container.get("lifecycle") or {}).get("postStart")
        if not post_start:
            return
        hook = TaskOwner("post-start", lambda name, error: None)  # its failure is told below
        run = hook.spawn(do.container, hooks.run(post_start, self.node.runtime, container_id, container, do.pod_ips))
        ending = hook.spawn("ending", self.ending.wait())
        try:
            await asyncio.wait((run, ending), return_when=asyncio.FIRST_COMPLETED)
            if run.done():
                run.result()
        except hooks.HookError as error:
            log.info("postStart hook of container %s failed: %s", do.container, error)
            self._emit("Warning", "FailedPostStartHook", "PostStartHook failed", do.container)
            grace = self.pod["spec"].get("terminationGracePeriodSeconds")
            stop = ev.DoStopContainer(do.container, container_id, 30.0 if grace is None else float(grace), "FailedPostStartHook")
            self._emit("Normal", "Killing", stop.message, do.container)
            await self.stop_container(stop)
        finally:
            await hook.close(1.0)

    async def _quietly(self, work: Awaitable[Any]) -> None:
        try:
            await work
        except CriError as error:
            log.debug("%s: %s", self.pod["metadata"]["name"], error.message)

    async def _container_config(self, container: Obj, do: ev.DoStartContainer) -> t.ContainerConfig:
        pod, node = self.pod, self.node
        namespace = pod["metadata"]["namespace"]
        nonroot = runtime_config.run_as_nonroot_error(container, pod, self._images.get(do.container))
        if nonroot:
            raise environments.EnvError(f'{nonroot} (pod: "{pod["metadata"]["name"]}_{namespace}({pod["metadata"]["uid"]})", container: {do.container})')
        map_names, secret_names = environments.references(container)
        maps = {n: await node.data.config_map(namespace, n) for n in sorted(map_names)}
        await node.wait_services()
        secrets = {n: await node.data.secret(namespace, n) for n in sorted(secret_names)}
        facts = environments.Facts(
            config_maps={n: m for n, m in maps.items() if m is not None},
            secrets={n: s for n, s in secrets.items() if s is not None},
            services=node.services(namespace), master_services=node.services("default"),
            pod_ips=do.pod_ips, host_ips=node.host_ips, allocatable=node.allocatable,
        )
        env = environments.environment(container, pod, facts)
        mounts = self.volumes.mounts(container, env)
        mounts += self._own_mounts(container, do, {m.container_path for m in mounts})
        image = self._images.get(do.container)
        return runtime_config.container_config(
            container, pod, do.attempt, image_ref=image.id if image else "", env=env, mounts=mounts, memory_capacity=node.memory_bytes,
        )

    def _own_mounts(self, container: Obj, do: ev.DoStartContainer, taken: set[str]) -> list[t.Mount]:
        """/etc/hosts and the termination log. Errors: OSError."""
        mounts = []
        own = self.dir / "containers" / do.container
        own.mkdir(parents=True, exist_ok=True)
        if "/etc/hosts" not in taken:
            hosts = self.dir / "etc-hosts"
            node_file = ""
            if self.pod["spec"].get("hostNetwork"):
                with contextlib.suppress(OSError):
                    node_file = Path("/etc/hosts").read_text()
            text = hosts_file(self.pod, do.pod_ips, cluster_domain=self.node.config.cluster_domain, host_file=node_file)
            if not hosts.exists() or hosts.read_text() != text:
                hosts.write_text(text)
            os.chmod(hosts, 0o644)
            mounts.append(t.Mount(container_path="/etc/hosts", host_path=str(hosts)))
        path = container.get("terminationMessagePath") or "/dev/termination-log"
        log_file = own / str(do.attempt)
        log_file.write_bytes(b"")
        os.chmod(log_file, 0o666)
        mounts.append(t.Mount(container_path=path, host_path=str(log_file)))
        return mounts

    async def stop_container(self, do: ev.DoStopContainer) -> ev.Event | None:
        """preStop and the signal share the grace period; at least two seconds are left for the signal."""
        grace = do.grace_s
        try:
            pre_stop = (self.container(do.container).get("lifecycle") or {}).get("preStop")
        except KeyError:
            pre_stop = None
        if pre_stop and grace > 0 and do.message:
            began = self.node.clock.monotonic()
            try:
                await hooks.run(pre_stop, self.node.runtime, do.container_id, self.container(do.container), self.ips, timeout_s=grace)
            except hooks.HookError as error:
                log.info("preStop hook of container %s failed: %s", do.container, error)
                self._emit("Warning", "FailedPreStopHook", "PreStopHook failed", do.container)
            grace = max(2.0, grace - (self.node.clock.monotonic() - began))
        backoff = Backoff(0.5, 10.0)
        while True:
            try:
                await self.node.runtime.stop_container(do.container_id, grace)
                return await self.exited(do.container_id)
            except CriError as error:
                if error.code == Code.NOT_FOUND:
                    return ev.ContainerRemoved(do.container_id)
                log.warning("stopping container %s: %s", do.container_id, error.message)
            await self.node.clock.sleep(backoff.next())

    async def exited(self, container_id: str) -> ev.Event | None:
        """What became of a container that was reported stopped; None when it runs after all."""
        try:
            status = await self.node.runtime.container_status(container_id)
        except CriError as error:
            return ev.ContainerRemoved(container_id) if error.code == Code.NOT_FOUND else None
        if status.state != t.ContainerState.CONTAINER_EXITED:
            return None
        return ev.ContainerExited(status, self.message(status))

    def message(self, status: t.ContainerStatus) -> str:
        own = self.dir / "containers" / status.metadata.name / str(status.metadata.attempt)
        log_path = status.log_path or str(self.log_dir / status.metadata.name / f"{status.metadata.attempt}.log")
        policy = status.annotations.get(runtime_config.TERMINATION_POLICY, "File")
        return termination_message(own, Path(log_path), policy, status.exit_code)

    async def remove_container(self, do: ev.DoRemoveContainer) -> None:
        """An attempt nobody asks for any more, with its log."""
        try:
            status = await self.node.runtime.container_status(do.container_id)
            await self.node.runtime.remove_container(do.container_id)
            if status.log_path:
                path = Path(status.log_path)
                for old in path.parent.glob(path.name + "*"):
                    old.unlink(missing_ok=True)
            (self.dir / "containers" / do.container / str(status.metadata.attempt)).unlink(missing_ok=True)
        except (CriError, OSError) as error:
            log.debug("removing container %s: %s", do.container_id, error)

    async def remove_sandbox(self, do: ev.DoRemoveSandbox) -> None:
        await self._quietly(self.node.runtime.remove_pod_sandbox(do.sandbox_id))

    # -- the end -------------------------------------------------------------------------------------------------------

    async def _until_done(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        backoff = Backoff(0.5, 30.0)
        while True:
            try:
                async with asyncio.timeout(120):
                    await work()
                return
            except (CriError, OSError, TimeoutError) as error:
                log.warning("%s of pod %s: %s", what, self.pod["metadata"]["name"], error)
                self._emit("Warning", "FailedKillPod", f"error killing pod: {error}", "")
            await self.node.clock.sleep(backoff.next())

    async def wind_down(self, do: ev.DoWindDown) -> ev.Event:
        async def work() -> None:
            if do.sandbox_id:
                await self.node.runtime.stop_pod_sandbox(do.sandbox_id)
            await self.volumes.tear_down()

        await self._until_done("winding down", work)
        return ev.WoundDown()

    async def clean_up(self) -> ev.Event:
        async def work() -> None:
            selector = {runtime_config.POD_UID: self.pod["metadata"]["uid"]}
            for sandbox in await self.node.runtime.list_pod_sandbox(t.PodSandboxFilter(label_selector=selector)):
                await self.node.runtime.remove_pod_sandbox(sandbox.id)
            for container in await self.node.runtime.list_containers(t.ContainerFilter(label_selector=selector)):
                await self.node.runtime.remove_container(container.id)
            await self.volumes.tear_down()
            shutil.rmtree(self.dir, ignore_errors=True)
            shutil.rmtree(self.log_dir, ignore_errors=True)

        await self._until_done("cleaning up", work)
        return ev.CleanedUp()

    async def finish_deletion(self) -> None:
        """Tell the API that nothing of the Pod is left; its watch answers with PodDeleted."""
        metadata = self.pod["metadata"]
        backoff = Backoff(0.1, 10.0)
        await self.node.statuses.flush(metadata["uid"], 5.0)
        while True:
            try:
                await self.node.client.delete(PODS, metadata["name"], metadata["namespace"], grace_period_s=0, uid=metadata["uid"])
                return
            except StatusError as error:
                if error.code in (404, 409):
                    return
                log.warning("finishing deletion of pod %s: %s", metadata["name"], error.message)
            except (OSError, TimeoutError) as error:
                log.debug("finishing deletion of pod %s: %s", metadata["name"], error)
            await self.node.clock.sleep(backoff.next())


def _grpc_name(code: Code) -> str:
    """`NOT_FOUND` as gRPC's messages print it: `NotFound`."""
    return "".join(part.capitalize() for part in code.name.split("_"))


def as_running(status: t.ContainerStatus) -> t.ContainerStatus:
    """The status of a container that has already exited, as it was while it ran."""
    return replace(status, state=t.ContainerState.CONTAINER_RUNNING, finished_at=0, exit_code=0, reason="", message="")
