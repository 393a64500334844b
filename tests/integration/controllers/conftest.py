"""Controllers and scheduler against the real registry, chain and RBAC, in one process: only the network is left out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kogia.api.resources import ALL
from kogia.apiserver.auth import policy
from kogia.apiserver.auth.attributes import SystemMasters, Union
from kogia.apiserver.auth.authenticators import Authentication
from kogia.apiserver.auth.rbac import RbacAuthorizer
from kogia.apiserver.chain.chain import Chain
from kogia.apiserver.chain.request_metrics import RequestMetrics
from kogia.apiserver.endpoints.discovery import Discovery
from kogia.apiserver.interface import RequestInfo
from kogia.apiserver.registry import open_registry
from kogia.base.metrics import Registry as Metrics
from kogia.client.informer import Informers
from kogia.client.inproc import InProcTransport
from kogia.client.rest import RestClient
from kogia.controllers.context import service_account
from kogia.controllers.run import start_controllers
from kogia.scheduler import start_scheduler
from kogia.store.memory import MemoryStore
from kogia.wire.messages import Request, Response, UserInfo

ADMIN = UserInfo("admin", groups=("system:masters", "system:authenticated"))
SERVICE_ACCOUNTS = ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated")


class Permissive:
    async def mutate(self, attributes: Any) -> None: ...

    async def validate(self, attributes: Any) -> None: ...


class Cluster:
    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self.client = self.as_user(ADMIN)

    def as_user(self, user: UserInfo) -> RestClient:
        return RestClient(InProcTransport(self._chain, user), user_agent=user.name)

    def controller_client(self, name: str) -> RestClient:
        return self.as_user(UserInfo(service_account(name), groups=SERVICE_ACCOUNTS))

    async def until(self, condition: Callable[[], Awaitable[Any]], timeout_s: float = 10) -> Any:
        async with asyncio.timeout(timeout_s):
            while True:
                found = await condition()
                if found:
                    return found
                await asyncio.sleep(0.005)


async def _bootstrap(registry: Any) -> None:
    for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
        await registry.create_object(ALL.find("", "v1", "namespaces"), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, user=ADMIN)
    group = ("rbac.authorization.k8s.io", "v1")
    for plural, objects in (
        ("clusterroles", policy.cluster_roles()), ("clusterrolebindings", policy.cluster_role_bindings()),
        ("roles", policy.roles()), ("rolebindings", policy.role_bindings()),
    ):
        for obj in objects:
            await registry.create_object(ALL.find(*group, plural), obj, user=ADMIN)


@pytest.fixture
def cluster() -> Callable[[Callable[[Cluster], Awaitable[None]]], None]:
    """Runs `body(cluster)` with controllers and scheduler at work, each under its own identity."""

    def run(body: Callable[[Cluster], Awaitable[None]]) -> None:
        async def main() -> None:
            store = MemoryStore()
            registry = await open_registry(store, admission=Permissive())
            await _bootstrap(registry)
            discovery = Discovery(ALL, "127.0.0.1:6443")

            async def endpoint(request: Request, info: RequestInfo) -> Response:
                if info.is_resource:
                    return await registry.serve(request, info)
                answer = discovery.answer(request)
                assert answer is not None, request.path
                return answer

            authorizer = Union([SystemMasters(), RbacAuthorizer(registry.cache)])
            chain = Chain(
                table=ALL, authentication=Authentication([]), authorizer=authorizer, endpoint=endpoint, metrics=RequestMetrics(Metrics()),
            )
            world = Cluster(chain)
            manager = world.as_user(UserInfo("system:kube-controller-manager", groups=("system:authenticated",)))
            informers = Informers(manager)
            controllers = await start_controllers(manager, root_ca_pem=b"PEM", client_for=world.controller_client, informers=informers)
            scheduler = await start_scheduler(
                world.as_user(UserInfo("system:kube-scheduler", groups=("system:authenticated",))), informers=informers
            )
            try:
                await asyncio.wait_for(body(world), 60)
            finally:
                await scheduler.close()
                await controllers.close()
                await informers.close()
                await registry.close()
                await store.close()

        asyncio.run(main())

    return run
