"""Starting and stopping the controllers of one process, with or without leader election.

They share informers (one watch per kind) and a loop, nothing else; each acts under its own service account's name.
"""

from __future__ import annotations

from collections.abc import Callable

from kogia.base.clock import Clock, RealClock
from kogia.client.controller import Controller
from kogia.client.informer import Informers
from kogia.client.interface import Client
from kogia.client.leader import LeaderConfig, LeaderElector, new_identity
from kogia.controllers.context import ControllerContext
from kogia.controllers.namespace import namespace_controller
from kogia.controllers.nodelifecycle import node_lifecycle_controller
from kogia.controllers.podgc import pod_gc_controller
from kogia.controllers.rootca import root_ca_controller
from kogia.controllers.serviceaccount import service_account_controller
from kogia.controllers.tainteviction import taint_eviction_controller

LOCK = "kube-controller-manager"


class Controllers:
    """The running set. `informers` may be handed to the scheduler of the same process."""

    def __init__(self, client: Client, client_for: Callable[[str], Client], root_ca_pem: bytes, informers: Informers | None, clock: Clock) -> None:
        self._client = client
        self._client_for = client_for
        self._root_ca_pem = root_ca_pem
        self._own_informers = informers is None
        self.informers = informers or Informers(client, clock)
        self._clock = clock
        self._elector: LeaderElector | None = None
        self._context: ControllerContext | None = None
        self.controllers: list[Controller] = []

    async def begin(self) -> None:
        """Build and start all controllers. Also called when leadership is won anew."""
        context = self._context = ControllerContext(self._client_for, self.informers, self._clock)
        self.controllers = [
            service_account_controller(context), root_ca_controller(context, self._root_ca_pem), namespace_controller(context),
            node_lifecycle_controller(context), taint_eviction_controller(context), pod_gc_controller(context),
        ]
        self.informers.start()
        for controller in self.controllers:
            controller.start()

    async def end(self) -> None:
        for controller in self.controllers:
            await controller.stop()
        if self._context is not None:
            for recorder in self._context.recorders:
                await recorder.close()
        self.controllers, self._context = [], None

    async def elect(self, identity: str) -> None:
        self._elector = LeaderElector(self._client, LeaderConfig(LOCK, identity), self.begin, self._lose, self._clock)
        self._elector.start()

    async def _lose(self) -> None:
        """Leadership is lost: stop, and start over with fresh informers should it come back."""
        await self.end()
        if self._own_informers:
            await self.informers.close()
            self.informers = Informers(self._client, self._clock)

    async def close(self) -> None:
        """Idempotent; everything that was under way is taken up again by the next process."""
        if self._elector is not None:
            await self._elector.close()
        await self.end()
        if self._own_informers:
            await self.informers.close()


async def start_controllers(
    client: Client, *, root_ca_pem: bytes, client_for: Callable[[str], Client] | None = None, informers: Informers | None = None,
    leader_elect: bool = False, clock: Clock | None = None,
) -> Controllers:
    """Start everything that reconciles; returns at once (or, with `leader_elect`, while still waiting for the Lease).

    client: reads for all (system:kube-controller-manager). client_for: a client per controller name, acting as its service account
    (`context.service_account(name)`); by default all act as `client`. Needs a running event loop.
    """
    controllers = Controllers(client, client_for or (lambda name: client), root_ca_pem, informers, clock or RealClock())
    if leader_elect:
        await controllers.elect(new_identity())
    else:
        await controllers.begin()
    return controllers
