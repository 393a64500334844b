"""The node process: runtime, images and kubelet wired together, and the CRI socket for `crictl`.

Containers belong to their conmons, not to this process: stopping it stops no Pod, and starting it again adopts them.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import kogia
from kogia.base.cluster import ClusterConfig
from kogia.base.tasks import TaskOwner
from kogia.main.pki import PkiPaths
from kogia.runtime.config import RuntimeConfig

log = logging.getLogger("kogia.main.node")

PKI_PATIENCE_S = 30.0
SERVER_PATIENCE_S = 10.0


def node_cidr(pod_cidr: str) -> str:
    """This node's share of the cluster's Pod network: its first /24 (the whole if it is smaller)."""
    network = ipaddress.IPv4Network(pod_cidr)
    return str(network if network.prefixlen >= 24 else next(network.subnets(new_prefix=24)))


def state_dir(config: ClusterConfig) -> Path:
    """What a reboot may take: namespace pins, sockets, exit files."""
    return Path("/run/kogia") / config.name


def runtime_config(config: ClusterConfig) -> RuntimeConfig:
    return RuntimeConfig(
        root=config.paths.node / "runtime", state_dir=state_dir(config), name=config.name, pod_cidr=node_cidr(config.pod_cidr),
        service_cidr=config.service_cidr, cluster_cidr=config.pod_cidr, default_handler=config.oci_runtime,
    )  # fmt: skip


def image_root(config: ClusterConfig) -> Path:
    return config.paths.node / "images"


async def open_services(stack: AsyncExitStack, config: ClusterConfig, endpoint: str = "") -> tuple[Any, Any]:
    """(RuntimeService, ImageService): the embedded ones, or those behind `endpoint` (`unix://…`)."""
    if endpoint:
        from kogia.cri.grpc.client import connect

        foreign = await connect(endpoint)
        stack.push_async_callback(foreign.close)
        return foreign, foreign
    from kogia.runtime.images.config import Registries
    from kogia.runtime.images.service import Images
    from kogia.runtime.images.store import ImageStore
    from kogia.runtime.service import open_runtime

    store = ImageStore(image_root(config))
    images = Images(store, Registries(config.paths.data_dir / "registries.yaml"))
    stack.push_async_callback(images.close)
    runtime = await open_runtime(runtime_config(config), store)
    stack.push_async_callback(runtime.close)
    return runtime, images


async def run(config: ClusterConfig, stop: asyncio.Event, *, endpoint: str = "", serve_cri: bool = True) -> None:
    """Until `stop` is set. Errors: CriError, OSError for a machine that cannot run Pods."""
    from kogia.client.http import from_files
    from kogia.kubelet.kubelet import start_kubelet

    async with AsyncExitStack() as stack:
        runtime, images = await open_services(stack, config, endpoint)
        if serve_cri and not endpoint:
            from kogia.cri.grpc.server import serve

            server = await serve(runtime, images, config.paths.cri_socket)
            stack.push_async_callback(server.close)
        paths = await wait_for_pki(config, stop)
        if paths is None:
            return
        await wait_for_server(config, stop)
        client = from_files(config.server_url, ca_file=paths.ca_cert, cert_file=paths.node_client_cert, key_file=paths.node_client_key, user_agent="kubelet")
        stack.push_async_callback(client.close)
        kubelet = await start_kubelet(kubelet_config(config, paths), client, runtime, images)
        stack.push_async_callback(kubelet.close)
        tell = TaskOwner("node")
        stack.push_async_callback(tell.close)
        tell.spawn("tell-ready", _tell_ready(config, kubelet.node_object.ready))
        await stop.wait()  # also before the node is Ready: a server that never answers must not hold up the end
        log.info("stopping; Pods go on")


async def _tell_ready(config: ClusterConfig, ready: asyncio.Event) -> None:
    await ready.wait()
    mark_ready(config, "node")
    log.info("node %s is ready", config.node_name)


async def wait_for_pki(config: ClusterConfig, stop: asyncio.Event) -> PkiPaths | None:
    """The server makes the certificates at its first start, perhaps at this very moment; None when `stop` came first.

    Errors: OSError after `PKI_PATIENCE_S`.
    """
    paths = PkiPaths(config.paths.pki)
    deadline = time.monotonic() + PKI_PATIENCE_S
    while not (config.paths.pki / "stamp.json").exists():
        if time.monotonic() > deadline:
            raise FileNotFoundError(2, "no certificates: start the server on this machine first", str(config.paths.pki))
        if stop.is_set():
            return None
        await asyncio.sleep(0.01)
    return paths


async def wait_for_server(config: ClusterConfig, stop: asyncio.Event) -> None:
    """Give a server that is starting beside us the time to listen, rather than meet its closed port and back off; bounded."""
    from kogia.main.up import ready_file

    deadline = time.monotonic() + SERVER_PATIENCE_S
    while not os.path.exists(ready_file(config, "server")) and time.monotonic() < deadline and not stop.is_set():
        await asyncio.sleep(0.01)


def kubelet_config(config: ClusterConfig, paths: Any) -> Any:
    from kogia.kubelet.config import KubeletConfig

    return KubeletConfig(
        node_name=config.node_name, root_dir=str(config.paths.node / "kubelet"), pod_log_dir=str(config.paths.node / "pod-logs"), port=config.kubelet_port,
        tls_cert=paths.node_serving_cert, tls_key=paths.node_serving_key, client_ca=paths.ca_cert, pod_cidr=node_cidr(config.pod_cidr),
        cgroup_root=runtime_config(config).cgroup_root, version=kogia.KUBERNETES_VERSION,
    )  # fmt: skip


def mark_ready(config: ClusterConfig, process: str) -> None:
    from kogia.main.up import ready_file

    path = Path(ready_file(config, process))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{os.getpid()}\n")


async def stop_all_pods(config: ClusterConfig) -> None:
    """Stop and remove every sandbox of this node. The node process must not run."""
    async with AsyncExitStack() as stack:
        runtime, _ = await open_services(stack, config)
        for sandbox in await runtime.list_pod_sandbox():
            await runtime.stop_pod_sandbox(sandbox.id)
            await runtime.remove_pod_sandbox(sandbox.id)


async def remove_everything(config: ClusterConfig) -> None:
    """Every trace of this node's runtime; the data directory itself is the caller's."""
    from kogia.runtime import mounts
    from kogia.runtime.reset import reset

    await reset(runtime_config(config))
    for point in mounts.mounted_below(config.paths.data_dir):
        mounts.detach(point)
