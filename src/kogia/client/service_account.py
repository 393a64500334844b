"""Acting as a service account over the network: short-lived tokens by TokenRequest, renewed before they end.

A component that may create tokens (kube-controller-manager) gives each of its parts an identity of its own this way. Tokens live in
memory only. Source: client-go/controller SimpleControllerClientBuilder (dynamic builder), TokenRequest API.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kogia.api.status import StatusError
from kogia.base.clock import Clock, RealClock
from kogia.client.interface import Client, Obj, Resource, Transport
from kogia.client.responses import close_stream
from kogia.client.rest import RestClient
from kogia.wire.messages import Connection, Request, Response

SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts")
LIFETIME_S = 3600
#: Share of its life after which a token is renewed.
RENEW_AT = 0.8


class TokenTransport:
    """Adds a bearer token of `namespace`/`name` to each request on `transport` (which must present no certificate of its own)."""

    def __init__(self, transport: Transport, issuer: Client, name: str, namespace: str, clock: Clock) -> None:
        self._transport = transport
        self._issuer = issuer
        self._name = name
        self._namespace = namespace
        self._clock = clock
        self._token = ""
        self._renew_at = 0.0
        self._lock = asyncio.Lock()

    async def send(self, request: Request) -> Response:
        request.headers["authorization"] = f"Bearer {await self._current()}"
        response = await self._transport.send(request)
        if response.status != 401:
            return response
        await close_stream(response)
        self._renew_at = 0.0  # the account was recreated, or the server's key changed
        request.headers["authorization"] = f"Bearer {await self._current()}"
        return await self._transport.send(request)

    async def open(self, request: Request) -> tuple[Response, Connection | None]:
        request.headers["authorization"] = f"Bearer {await self._current()}"
        return await self._transport.open(request)

    async def close(self) -> None:
        """The transport is shared: its owner closes it."""

    async def _current(self) -> str:
        """Errors: StatusError, OSError."""
        async with self._lock:
            if self._clock.monotonic() >= self._renew_at:
                self._token = await self._request_token()
                self._renew_at = self._clock.monotonic() + LIFETIME_S * RENEW_AT
        return self._token

    async def _request_token(self) -> str:
        wanted: Obj = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": LIFETIME_S}}
        try:
            answer = await self._ask(wanted)
        except StatusError as error:
            if error.code != 404:
                raise
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": self._name, "namespace": self._namespace}}
            try:
                await self._issuer.create(SERVICE_ACCOUNTS, account, self._namespace)
            except StatusError as created:
                if created.reason != "AlreadyExists":
                    raise
            answer = await self._ask(wanted)
        return str(answer["status"]["token"])

    async def _ask(self, wanted: Obj) -> Obj:
        return await self._issuer.create(SERVICE_ACCOUNTS, wanted, self._namespace, name=self._name, subresource="token")


def service_account_clients(
    transport: Transport, issuer: Client, namespace: str = "kube-system", clock: Clock | None = None,
) -> Callable[[str], RestClient]:
    """A function from a service account's name to a client acting as it. `issuer` must be allowed to create accounts and tokens."""

    def client_for(name: str) -> RestClient:
        return RestClient(TokenTransport(transport, issuer, name, namespace, clock or RealClock()), user_agent=name)

    return client_for
