"""The server process: API server, controllers and scheduler in one event loop, meeting only at the API."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from kogia.base.cluster import ClusterConfig
from kogia.main import kubeconfig, pki
from kogia.main.node import mark_ready
from kogia.wire.messages import UserInfo

log = logging.getLogger("kogia.main.server")


def prepare(config: ClusterConfig) -> Any:
    """PKI and kubeconfigs; returns the PKI's paths."""
    paths = pki.ensure_pki(config.paths.pki, node_name=config.node_name, service_cidr=config.service_cidr)
    for component, cert, key in (("controller-manager", paths.controller_manager_cert, paths.controller_manager_key),
                                 ("scheduler", paths.scheduler_cert, paths.scheduler_key),
                                 ("kubelet", paths.node_client_cert, paths.node_client_key)):  # fmt: skip
        kubeconfig.write_kubeconfig(config.paths.kubeconfig(component), config.server_url, paths.ca_cert, cert, key, config.context)
    kubeconfig.write_kubeconfig(config.paths.admin_kubeconfig, config.server_url, paths.ca_cert, paths.admin_cert, paths.admin_key, config.context)
    return paths


def api_config(config: ClusterConfig, paths: Any) -> Any:
    from kogia.apiserver.config import ApiServerConfig

    return ApiServerConfig()


async def run(config: ClusterConfig, stop: asyncio.Event, *, controllers: bool = True, scheduler: bool = True) -> None:
    """Until `stop` is set. Errors: OSError for a port or file that cannot be used."""
    from kogia.apiserver.server import start_apiserver
    from kogia.client.inproc import InProcTransport
    from kogia.client.rest import RestClient

    paths = prepare(config)
    async with AsyncExitStack() as stack:
        server = await start_apiserver(api_config(config, paths))
        stack.push_async_callback(server.close)

        def client(user: str) -> RestClient:
            return RestClient(InProcTransport(server.handler, UserInfo(user, groups=("system:authenticated",))), user_agent=user.removeprefix("system:"))

        if controllers:
            from kogia.controllers.run import start_controllers

            running = await start_controllers(client("system:kube-controller-manager"), root_ca_pem=Path(paths.ca_cert).read_bytes())
            stack.push_async_callback(running.close)
        if scheduler:
            from kogia.scheduler import start_scheduler

            scheduling = await start_scheduler(client("system:kube-scheduler"))
            stack.push_async_callback(scheduling.close)
        mark_ready(config, "server")
        log.info("API server listens on port %d", config.port)
        await stop.wait()
        log.info("stopping")
