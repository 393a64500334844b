"""A registry on a memory store, driven by URLs as the chain would drive it, with admission that lets everything pass."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from kogia.api.resources import ALL
from kogia.api.status import StatusError
from kogia.apiserver.interface import AdmissionAttributes, RequestInfo
from kogia.apiserver.registry import StoreRegistry, open_registry
from kogia.base.clock import FakeClock
from kogia.store.memory import MemoryStore
from kogia.wire.messages import Request, Response, UserInfo

ADMIN = UserInfo("admin", groups=("system:masters",))


class Permissive:
    """Lets everything pass and remembers what it saw."""

    def __init__(self) -> None:
        self.seen: list[AdmissionAttributes] = []
        self.mutator: Callable[[AdmissionAttributes], None] | None = None

    async def mutate(self, attributes: AdmissionAttributes) -> None:
        self.seen.append(attributes)
        if self.mutator is not None:
            self.mutator(attributes)

    async def validate(self, attributes: AdmissionAttributes) -> None:
        pass


def info_of(method: str, path: str, query: str) -> RequestInfo:
    parts = path.strip("/").split("/")
    group, version, rest = ("", parts[1], parts[2:]) if parts[0] == "api" else (parts[1], parts[2], parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource = (*rest, "", "")[:3]
    verb = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}[method]
    if not name:
        verb = {"get": "watch" if "watch=" in query else "list", "delete": "deletecollection"}.get(verb, verb)
    return RequestInfo(
        True, verb, path, group, version, plural, subresource, namespace, name, tuple(rest[3:]), ALL.find(group, version, plural))


class Api:
    def __init__(self, registry: StoreRegistry, store: MemoryStore, clock: FakeClock, admission: Permissive) -> None:
        self.registry, self.store, self.clock, self.admission = registry, store, clock, admission

    async def raw(self, method: str, url: str, body: Any = None, headers: dict[str, str] | None = None) -> Response:
        parts = urlsplit(url)
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        given = {"content-type": "application/json", "user-agent": "tester/v1", **(headers or {})}
        request = Request(method, parts.path, parts.query, given, data, user=ADMIN)
        info = info_of(method, parts.path, parts.query)
        request.context["info"] = info
        return await self.registry.serve(request, info)

    async def call(self, method: str, url: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        return json.loads((await self.raw(method, url, body, headers)).body)

    async def get(self, url: str, **headers: str) -> Any:
        return await self.call("GET", url, headers=headers)

    async def post(self, url: str, body: Any) -> Any:
        return await self.call("POST", url, body)

    async def put(self, url: str, body: Any) -> Any:
        return await self.call("PUT", url, body)

    async def delete(self, url: str, body: Any = None) -> Any:
        return await self.call("DELETE", url, body)

    async def patch(self, url: str, body: Any, kind: str = "merge", **more: str) -> Any:
        media = {"apply": "application/apply-patch+yaml"}.get(kind, {"strategic": "application/strategic-merge-patch+json"}.get(
            kind, f"application/{kind}-patch+json"))
        return await self.call("PATCH", url, body, {"content-type": media, **more})

    async def refused(self, method: str, url: str, body: Any = None, headers: dict[str, str] | None = None) -> StatusError:
        with pytest.raises(StatusError) as caught:
            await self.raw(method, url, body, headers)
        return caught.value

    async def watch(self, url: str, **headers: str) -> Watch:
        response = await self.raw("GET", url + ("&" if "?" in url else "?") + "watch=1", headers=headers)
        return Watch(response)


class Watch:
    """Events of a watch as (type, object), one at a time."""

    def __init__(self, response: Response) -> None:
        assert response.stream is not None
        self._stream = response.stream
        self._lines: list[bytes] = []

    async def next(self) -> tuple[str, Any]:
        while not self._lines:
            async with asyncio.timeout(5):
                self._lines = (await anext(self._stream)).splitlines()
        event = json.loads(self._lines.pop(0))
        return event["type"], event["object"]

    async def brief(self, count: int) -> list[tuple[str, str]]:
        return [(kind, obj["metadata"].get("name", "")) for kind, obj in [await self.next() for _ in range(count)]]

    async def ended(self) -> bool:
        try:
            async with asyncio.timeout(5):
                await anext(self._stream)
        except StopAsyncIteration:
            return True
        return False

    async def close(self) -> None:
        await self._stream.aclose()  # type: ignore[attr-defined]


@pytest.fixture
def api_on() -> Callable[..., Awaitable[Api]]:
    """Make an Api on a given store."""

    async def make(store: Any, clock: FakeClock, hooks: Any = None) -> Api:
        admission = Permissive()
        registry = await open_registry(store, admission=admission, hooks=hooks or {}, clock=clock, compact=False)
        return Api(registry, store, clock, admission)

    return make


@pytest.fixture
def run(api_on: Callable[..., Awaitable[Api]]) -> Callable[[Callable[[Api], Awaitable[None]]], None]:
    """`run(scenario)` awaits `scenario(api)` on a fresh registry."""

    def start(scenario: Callable[[Api], Awaitable[None]], hooks: Any = None) -> None:
        async def main() -> None:
            clock = FakeClock()
            store = MemoryStore(clock=clock)
            api = await api_on(store, clock, hooks)
            try:
                async with asyncio.timeout(30):
                    await scenario(api)
            finally:
                await api.registry.close()
                await store.close()

        asyncio.run(main())

    return start
