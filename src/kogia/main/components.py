"""One component in the foreground: `kogia server`, `node`, `apiserver`, `controller-manager`, `scheduler`, `kubelet`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from kogia.base import log as logs
from kogia.base.cluster import ClusterConfig
from kogia.base.memory import MemoryKeeper
from kogia.main import settings

log = logging.getLogger("kogia.main")

Run = Callable[[ClusterConfig, asyncio.Event, argparse.Namespace], Awaitable[None]]


async def _server(config: ClusterConfig, stop: asyncio.Event, options: argparse.Namespace) -> None:
    from kogia.main import server

    await server.run(config, stop)


async def _apiserver(config: ClusterConfig, stop: asyncio.Event, options: argparse.Namespace) -> None:
    from kogia.main import server

    await server.run(config, stop, controllers=False, scheduler=False)


async def _node(config: ClusterConfig, stop: asyncio.Event, options: argparse.Namespace) -> None:
    from kogia.main import node

    await node.run(config, stop, endpoint=options.container_runtime_endpoint)


def _kubeconfig(config: ClusterConfig, options: argparse.Namespace, component: str) -> Path:
    return Path(options.kubeconfig) if options.kubeconfig else config.paths.kubeconfig(component)


async def _controller_manager(config: ClusterConfig, stop: asyncio.Event, options: argparse.Namespace) -> None:
    from kogia.client import http, kubeconfig
    from kogia.client.service_account import service_account_clients
    from kogia.controllers.run import start_controllers
    from kogia.main.pki import PkiPaths

    target = kubeconfig.load(_kubeconfig(config, options, "controller-manager"))
    client = http.from_target(target, user_agent="kube-controller-manager")
    anonymous = http.from_target(target.without_credentials()).transport  # each controller shows a token of its own on it
    running = await start_controllers(
        client, root_ca_pem=Path(PkiPaths(config.paths.pki).ca_cert).read_bytes(), client_for=service_account_clients(anonymous, client),
        leader_elect=options.leader_elect,
    )
    await stop.wait()
    await running.close()
    await anonymous.close()
    await client.close()


async def _scheduler(config: ClusterConfig, stop: asyncio.Event, options: argparse.Namespace) -> None:
    from kogia.client.http import from_kubeconfig
    from kogia.scheduler.scheduler import start_scheduler

    client = from_kubeconfig(_kubeconfig(config, options, "scheduler"), user_agent="kube-scheduler")
    running = await start_scheduler(client, leader_elect=options.leader_elect)
    await stop.wait()
    await running.close()
    await client.close()


COMPONENTS: dict[str, Run] = {
    "server": _server, "node": _node, "apiserver": _apiserver, "controller-manager": _controller_manager, "scheduler": _scheduler, "kubelet": _node,
}  # fmt: skip


def run(name: str, words: list[str]) -> int:
    """Run one component until SIGINT or SIGTERM; returns the exit status."""
    parser = settings.Parser(prog=f"kogia {name}", allow_abbrev=False)
    settings.add_cluster_options(parser)
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    parser.add_argument("--log-format", default="text", choices=("text", "json"))
    if name in ("controller-manager", "scheduler"):
        parser.add_argument("--kubeconfig", default="", help="how to reach the API server (default: the cluster's own)")
        parser.add_argument("--leader-elect", action="store_true", help="run only while holding the Lease")
    if name in ("node", "kubelet"):
        parser.add_argument("--container-runtime-endpoint", default="", help="unix:// socket of a foreign CRI runtime instead of the embedded one")
    options = parser.parse_args(words)
    config = settings.for_component(options)
    if name in ("node", "kubelet"):
        from kogia.main import claim

        claim.take(config)
    logs.setup(options.log_level, options.log_format)
    sys.setswitchinterval(0.001)
    try:
        with _runner() as runner:
            return runner.run(_until_stopped(COMPONENTS[name], config, options))
    except OSError as error:
        if error.errno == 98:
            print(f"kogia {name}: {error.strerror}: choose another port or stop what listens there", file=sys.stderr)
            return 1
        raise


def _runner() -> asyncio.Runner:
    try:
        import uvloop
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


async def _until_stopped(component: Run, config: ClusterConfig, options: argparse.Namespace) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    memory = MemoryKeeper()
    memory.start()
    try:
        await component(config, stop, options)
    finally:
        memory.close()
    return 0
