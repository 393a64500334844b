"""What every controller is given: identities, shared informers, a clock. Names of resources that several of them use.

Each controller acts as the service account of its name in kube-system (`client_for(name)`), so that RBAC's per-controller roles hold; the
shared informers read as the controller manager itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from kogia.base.clock import Clock, RealClock
from kogia.client.controller import Controller
from kogia.client.events import EventRecorder
from kogia.client.informer import Informer, Informers
from kogia.client.interface import Client, Resource

PODS = Resource("", "v1", "pods")
NODES = Resource("", "v1", "nodes", namespaced=False)
NAMESPACES = Resource("", "v1", "namespaces", namespaced=False)
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts")
CONFIG_MAPS = Resource("", "v1", "configmaps")
LEASES = Resource("coordination.k8s.io", "v1", "leases")

#: Pods by the node they are on: the index name all users share.
BY_NODE = "node"


def service_account(controller: str) -> str:
    """The user name a controller acts under."""
    return f"system:serviceaccount:kube-system:{controller}"


@dataclass(slots=True)
class ControllerContext:
    client_for: Callable[[str], Client]  #: by controller name, e.g. "namespace-controller"
    informers: Informers
    clock: Clock = field(default_factory=RealClock)
    recorders: list[EventRecorder] = field(default_factory=list)

    def recorder(self, controller: str) -> EventRecorder:
        """An event recorder of that controller; closed with the controllers."""
        recorder = EventRecorder(self.client_for(controller), controller, clock=self.clock)
        self.recorders.append(recorder)
        return recorder

    def controller(
        self, name: str, reconcile: Callable[[str], Awaitable[None]], *needs: Informer, workers: int = 2
    ) -> Controller:
        """`needs`: informers that `reconcile` reads and that must have synced, besides those the controller watches."""
        return Controller(name, reconcile, informers=needs, workers=workers, clock=self.clock)
