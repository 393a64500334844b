"""The API server put together: store, registry, admission, the chain, its endpoints, and the listening socket.

`start_apiserver` returns once the server can answer: the cache is loaded, the bootstrap objects are there, the port is bound. Order matters:
RBAC must have seen the bootstrap roles before the first request, and nothing listens before that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from kogia.api import resources
from kogia.apiserver.admission.chain import Chain as AdmissionChain
from kogia.apiserver.admission.escalation import EscalationCheck
from kogia.apiserver.admission.plugins import built_in
from kogia.apiserver.auth.attributes import SystemMasters, Union
from kogia.apiserver.auth.authenticators import Authentication, StaticTokens, TokenAuthenticator
from kogia.apiserver.auth.node import NodeAuthorizer
from kogia.apiserver.auth.rbac import RbacAuthorizer
from kogia.apiserver.auth.service_accounts import ServiceAccountTokens, TokenKeys
from kogia.apiserver.bootstrap import bootstrap
from kogia.apiserver.chain.chain import Chain, answer
from kogia.apiserver.chain.request_metrics import RequestMetrics
from kogia.apiserver.config import ApiServerConfig
from kogia.apiserver.endpoints.address_proxy import AddressProxy
from kogia.apiserver.endpoints.discovery import Discovery
from kogia.apiserver.endpoints.eviction import Evictions
from kogia.apiserver.endpoints.health import Check, Health
from kogia.apiserver.endpoints.kubelet_tunnel import KubeletTunnel
from kogia.apiserver.endpoints.reviews import Reviews
from kogia.apiserver.endpoints.router import PathEndpoint, Router, Special
from kogia.apiserver.endpoints.token_request import TokenRequests, key_set, openid_configuration
from kogia.apiserver.endpoints.version import version_info
from kogia.apiserver.interface import Registry, WriteHook
from kogia.apiserver.services.allocator import ServiceAllocator
from kogia.apiserver.services.kubernetes_service import KubernetesService
from kogia.base.metrics import Registry as MetricsRegistry
from kogia.base.metrics import add_process_metrics
from kogia.base.tasks import TaskOwner
from kogia.store.interface import Store
from kogia.wire.http_server import Server, serve
from kogia.wire.messages import Handler, Request, Response
from kogia.wire.tls import client_context, server_context

log = logging.getLogger("kogia.apiserver")


class ApiServer:
    """A running API server. `handler` takes requests from inside (with `Request.user` set) and from the network alike."""

    def __init__(self, config: ApiServerConfig, table: resources.ResourceTable) -> None:
        self.config = config
        self.table = table
        self.metrics = MetricsRegistry()
        self.http: Server | None = None
        self.store: Store = None  # type: ignore[assignment]
        self.registry: Registry = None  # type: ignore[assignment]
        self.tokens: ServiceAccountTokens = None  # type: ignore[assignment]
        self.handler: Handler = None  # type: ignore[assignment]
        self._tasks = TaskOwner("apiserver")
        self._stack = AsyncExitStack()
        self._ready = False

    @property
    def port(self) -> int:
        """The bound port; without a listener the one configured (6443 when that was left open), which is what Endpoints then say."""
        return self.http.port if self.http is not None else self.config.port or 6443

    async def start(self) -> None:
        """Errors: OSError, ssl.SSLError, StoreError, ValueError for a configuration that cannot be; nothing is left open then."""
        async with self._stack:
            await self._open()
            self._stack = self._stack.pop_all()

    async def _open(self) -> None:
        config, table = self.config, self.table
        add_process_metrics(self.metrics)
        self.store = await self._open_store()
        admission = AdmissionChain((), ())
        allocator = ServiceAllocator(config.service_cidr, config.node_port_range)
        hooks: dict[tuple[str, str], WriteHook] = {("", "services"): allocator.hook()}
        from kogia.apiserver.registry import open_registry

        registry = await open_registry(self.store, admission=admission, hooks=hooks, table=table, compact=config.compact)
        self._stack.push_async_callback(registry.close)
        self.registry = registry
        cache = registry.cache
        allocator.follow(cache)
        self.tokens = ServiceAccountTokens(self._token_keys(), config.issuer, cache, config.api_audiences)
        rbac = RbacAuthorizer(cache)
        authorizer = Union([SystemMasters(), NodeAuthorizer(cache), rbac])
        check = EscalationCheck(rbac, authorizer)
        admission.install(built_in(cache, registry.watch_cache.fresh, taint_new_nodes=config.taint_new_nodes, escalation=check))
        authenticators: list[TokenAuthenticator] = [self.tokens]
        if config.token_file:
            authenticators.insert(0, StaticTokens.from_file(config.token_file))
        authentication = Authentication(authenticators, anonymous=config.anonymous)
        tunnel = KubeletTunnel(cache, self._kubelet_context)
        self._stack.push_async_callback(tunnel.close)
        reviews = Reviews(authentication, authorizer, rbac, self.tokens.audiences)
        router = Router(registry, self._special(tunnel, reviews, admission), self._paths())
        self.handler = Chain(
            table=table, authentication=authentication, authorizer=authorizer, endpoint=router, metrics=RequestMetrics(self.metrics),
            limits=config.in_flight, audit=config.audit,
        )
        self._add_metrics(registry)
        written = await bootstrap(registry, table, config)
        await registry.watch_cache.fresh()
        self._stack.push_async_callback(self._tasks.close)
        if config.cert:
            context = server_context(config.cert, config.key, config.client_ca)
            self.http = await serve(self._on_network, config.bind_address, config.port, ssl_context=context, limits=config.limits)
            self._stack.push_async_callback(self.http.close)
        address = config.advertise_address or default_address()
        keeper = KubernetesService(registry, table, allocator.kubernetes_ip, address, self.port)
        await keeper.ensure()
        self._tasks.spawn("kubernetes-service", keeper.keep())
        self._ready = True
        log.info("API server is ready, %d bootstrap objects written", written)

    async def _on_network(self, request: Request) -> Response:
        return await self.handler(request)

    async def _open_store(self) -> Store:
        where = self.config.store
        if not isinstance(where, str):
            return where
        if where == "memory://":
            from kogia.store.memory import MemoryStore

            store: Any = MemoryStore()
        else:
            from kogia.store.sqlite import SqliteStore

            Path(where).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            store = SqliteStore(where)
        self._stack.push_async_callback(store.close)
        return store  # type: ignore[no-any-return]

    def _token_keys(self) -> TokenKeys:
        config = self.config
        if config.service_account_key:
            private = Path(config.service_account_key).read_bytes()
        else:
            from cryptography.hazmat.primitives.asymmetric import ec
            from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

            private = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return TokenKeys(private, [Path(p).read_bytes() for p in config.service_account_public_keys])

    def _kubelet_context(self) -> ssl.SSLContext:
        config = self.config
        return client_context(config.kubelet_ca or config.client_ca, config.kubelet_client_cert, config.kubelet_client_key)

    def _special(self, tunnel: KubeletTunnel, reviews: Reviews, admission: AdmissionChain) -> dict[tuple[str, str, str], Special]:
        authentication, authorization = "authentication.k8s.io", "authorization.k8s.io"
        proxy = AddressProxy(self.registry.cache, tunnel.tasks)
        return {
            ("", "pods", "log"): tunnel.pod_log,
            ("", "pods", "exec"): tunnel.pod_stream,
            ("", "pods", "attach"): tunnel.pod_stream,
            ("", "pods", "portforward"): tunnel.pod_stream,
            ("", "nodes", "proxy"): tunnel.node_proxy,
            ("", "pods", "proxy"): proxy,
            ("", "services", "proxy"): proxy,
            ("", "pods", "eviction"): Evictions(self.registry, admission),
            ("", "serviceaccounts", "token"): TokenRequests(self.tokens, self.registry.cache, admission),
            (authentication, "tokenreviews", ""): reviews.token_review,
            (authentication, "selfsubjectreviews", ""): reviews.self_subject_review,
            (authorization, "subjectaccessreviews", ""): reviews.subject_access_review,
            (authorization, "localsubjectaccessreviews", ""): reviews.subject_access_review,
            (authorization, "selfsubjectaccessreviews", ""): reviews.self_subject_access_review,
            (authorization, "selfsubjectrulesreviews", ""): reviews.self_subject_rules_review,
        }

    def _paths(self) -> dict[str, PathEndpoint]:
        discovery = Discovery(self.table, f"{self.config.advertise_address or default_address()}:{self.config.port}")
        health = Health(self._checks())
        openapi: list[Any] = []

        def open_api(request: Request) -> Response | None:
            if not openapi:
                from kogia.apiserver.endpoints.openapi import OpenApi

                openapi.append(OpenApi(self.table))
            found: Response | None = openapi[0].answer(request)
            return found

        def version(request: Request) -> Response | None:
            return answer(version_info()) if request.path.rstrip("/") == "/version" else None

        def well_known(request: Request) -> Response | None:
            if request.path.rstrip("/") != "/.well-known/openid-configuration":
                return None
            return openid_configuration(self.tokens, self.config.issuer)

        def openid(request: Request) -> Response | None:
            return key_set(self.tokens) if request.path.rstrip("/") == "/openid/v1/jwks" else None

        def metrics(request: Request) -> Response | None:
            if request.path != "/metrics":
                return None
            return Response(200, [], self.metrics.render(), "text/plain; version=0.0.4; charset=utf-8")

        def root(request: Request) -> Response | None:
            paths = ["/.well-known/openid-configuration", "/api", "/api/v1", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3",
                     "/openid/v1/jwks", "/readyz", "/version"]
            for group in self.table.groups():
                if group.name:
                    paths += [f"/apis/{group.name}", *(f"/apis/{group.name}/{v}" for v in group.versions)]
            return answer({"paths": sorted(paths)})

        return {
            "": root, "api": discovery.answer, "apis": discovery.answer, "openapi": open_api, "version": version, "healthz": health.answer,
            "livez": health.answer, "readyz": health.answer, "metrics": metrics, ".well-known": well_known, "openid": openid,
        }

    def _checks(self) -> list[Check]:
        return [
            Check("ping", lambda: ""),
            Check("etcd", lambda: "" if self.store is not None else "no store"),
            Check("poststarthook/rbac/bootstrap-roles", lambda: "" if self._ready else "not finished"),
            Check("informer-sync", lambda: "" if self._ready else "not started yet", readiness=True),
            Check("shutdown", lambda: "process is shutting down" if self.http is not None and self.http.closing else "", readiness=True),
        ]

    def _add_metrics(self, registry: Any) -> None:
        def sizes() -> dict[tuple[str, ...], float]:
            made: dict[tuple[str, ...], float] = {}
            for kind, count in registry.watch_cache.sizes().items():
                group, _, plural = kind.partition("/")
                made[(plural if group == "core" else f"{plural}.{group}",)] = float(count)
            return made

        self.metrics.computed("apiserver_storage_objects", "Number of stored objects at the time of last check split by kind.", sizes, ("resource",))
        self.metrics.computed(
            "apiserver_registered_http_connections", "Open connections.", lambda: {(): float(len(self.http.connections) if self.http else 0)},
        )
        self.metrics.computed("kogia_store_revision", "The store's newest revision.", lambda: {(): float(self.store.revision)})

    async def close(self) -> None:
        """Stop listening, finish what is under way, close the store. Idempotent."""
        self._ready = False
        await self._stack.aclose()


def default_address() -> str:
    """The address of the default route's interface; nothing is sent. Loopback if there is none."""
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with contextlib.suppress(OSError), probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
    return "127.0.0.1"


async def start_apiserver(config: ApiServerConfig, table: resources.ResourceTable | None = None) -> ApiServer:
    """A server that answers. `table`: which kinds to serve (default: all built-in ones, in a copy of its own)."""
    server = ApiServer(config, table if table is not None else resources.ALL.copy())
    await asyncio.shield(server.start())
    return server
