"""ConfigMaps, Secrets and tokens as volumes and environments need them: read from the API when asked, with little remembered.

Invariants: a read is never older than the question, except for `kube-root-ca.crt`, which every Pod mounts and nobody changes by hand (a minute);
Secrets are not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kogia.api.status import StatusError
from kogia.api.times import parse_time
from kogia.base.clock import Clock
from kogia.client.interface import Client, Resource
from kogia.kubelet.volumes.payload import secret_data

Obj = dict[str, Any]

CONFIG_MAPS = Resource("", "v1", "configmaps")
SECRETS = Resource("", "v1", "secrets")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts")

ROOT_CA = "kube-root-ca.crt"
ROOT_CA_S = 60.0


@dataclass(frozen=True, slots=True)
class Token:
    token: str
    refresh_at: float  #: epoch seconds: 80 % of its life, at most a day


class ApiData:
    """Errors of every method: StatusError but for 404, OSError, TimeoutError."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._roots: dict[str, tuple[float, Obj]] = {}

    async def config_map(self, namespace: str, name: str) -> Obj | None:
        if name == ROOT_CA and namespace in self._roots:
            read_at, obj = self._roots[namespace]
            if self._clock.monotonic() - read_at < ROOT_CA_S:
                return obj
        try:
            found = await self._client.get(CONFIG_MAPS, name, namespace)
        except StatusError as error:
            if error.code == 404:
                return None
            raise
        if name == ROOT_CA:
            if len(self._roots) > 1000:
                self._roots.clear()
            self._roots[namespace] = (self._clock.monotonic(), found)
        return found

    async def secret(self, namespace: str, name: str) -> dict[str, bytes] | None:
        try:
            return secret_data(await self._client.get(SECRETS, name, namespace))
        except StatusError as error:
            if error.code == 404:
                return None
            raise

    async def secret_object(self, namespace: str, name: str) -> Obj | None:
        try:
            return await self._client.get(SECRETS, name, namespace)
        except StatusError as error:
            if error.code == 404:
                return None
            raise

    async def token(self, pod: Obj, audiences: Sequence[str], expiration_s: int) -> Token:
        """A token bound to the Pod (TokenRequest)."""
        metadata = pod["metadata"]
        spec: Obj = {
            "audiences": list(audiences),
            "expirationSeconds": expiration_s,
            "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": metadata["name"], "uid": metadata["uid"]},
        }
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        account = pod["spec"].get("serviceAccountName") or "default"
        answer = await self._client.create(SERVICE_ACCOUNTS, body, metadata["namespace"], name=account, subresource="token")
        now = self._clock.now()
        expires = parse_time(answer["status"]["expirationTimestamp"]).timestamp()
        return Token(answer["status"]["token"], min(now + (expires - now) * 0.8, now + 86_400))
