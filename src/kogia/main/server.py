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


def api_config(config: ClusterConfig, paths: Any, *, with_controllers: bool) -> Any:
    from kogia.apiserver.config import ApiServerConfig

    config.paths.store.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return ApiServerConfig(
        store=str(config.paths.store), port=config.port, cert=paths.apiserver_cert, key=paths.apiserver_key, client_ca=paths.ca_cert,
        kubelet_client_cert=paths.kubelet_client_cert, kubelet_client_key=paths.kubelet_client_key, front_proxy_ca=paths.front_proxy_ca_cert,
        service_account_key=paths.sa_key, service_cidr=config.service_cidr, taint_new_nodes=with_controllers,
    )  # fmt: skip


async def run(config: ClusterConfig, stop: asyncio.Event, *, controllers: bool = True, scheduler: bool = True) -> None:
    """Until `stop` is set. Errors: OSError for a port or file that cannot be used."""
    from kogia.apiserver.server import start_apiserver
    from kogia.client.inproc import InProcTransport
    from kogia.client.rest import RestClient

    paths = prepare(config)
    async with AsyncExitStack() as stack:
        server = await start_apiserver(api_config(config, paths, with_controllers=controllers))
        stack.push_async_callback(server.close)

        def client(user: UserInfo) -> RestClient:
            return RestClient(InProcTransport(server.handler, user), user_agent=user.name.rpartition(":")[2])

        informers = None  # one copy of Pods and Nodes for controllers and scheduler
        if controllers:
            from kogia.controllers.context import service_account
            from kogia.controllers.run import start_controllers

            running = await start_controllers(
                client(component("kube-controller-manager")), root_ca_pem=Path(paths.ca_cert).read_bytes(),
                client_for=lambda name: client(controller(service_account(name))),
            )  # fmt: skip
            stack.push_async_callback(running.close)
            informers = running.informers
        if scheduler:
            from kogia.scheduler.scheduler import start_scheduler

            scheduling = await start_scheduler(client(component("kube-scheduler")), informers=informers)
            stack.push_async_callback(scheduling.close)
        mark_ready(config, "server")
        log.info("API server listens on port %d", config.port)
        await stop.wait()
        log.info("stopping")


def component(name: str) -> UserInfo:
    """The identity a control-plane component has by its certificate, for the in-process transport."""
    return UserInfo(f"system:{name}", groups=("system:authenticated",))


def controller(service_account: str) -> UserInfo:
    """A controller acts as its service account in kube-system, so that RBAC's role for it holds."""
    return UserInfo(service_account, groups=("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"))
