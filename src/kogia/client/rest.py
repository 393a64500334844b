"""`Client` over any `Transport`: the verbs of the Kubernetes API for components.

Building is in `requests.py`, decoding in `responses.py`; this file only joins them. Invariant: what goes in and what comes out
is encoded bytes at the transport, so callers never share a dict with the server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from kogia.client import requests
from kogia.client.interface import Obj, Resource, Transport, WatchEvent
from kogia.client.responses import WatchDecoder, check, close_stream, decode, read_all, watch_error
from kogia.wire.messages import Connection, Request, Response


class RestClient:
    """Implements `kogia.client.interface.Client`.

    headers: sent with every request (user-agent, impersonation). accept: for reads of objects and lists.
    owns_transport: whether `close` closes the transport too; derived clients share it.
    """

    def __init__(
        self, transport: Transport, *, user_agent: str = "kogia", headers: dict[str, str] | None = None,
        accept: str = requests.JSON, accept_list: str = "", owns_transport: bool = True,
    ) -> None:
        self.transport = transport
        self._headers = {"user-agent": user_agent, **(headers or {})}
        self._accept = accept
        self._accept_list = accept_list or accept
        self._owns = owns_transport

    def metadata_only(self) -> RestClient:
        """The same server and identity, but lists, watches and gets give PartialObjectMetadata."""
        return RestClient(
            self.transport, headers=self._headers, accept=requests.METADATA_ONLY, accept_list=requests.METADATA_ONLY_LIST,
            owns_transport=False,
        )

    def with_headers(self, **headers: str) -> RestClient:
        """The same server with more headers; underscores in names become hyphens (`user_agent`, `impersonate_user`)."""
        added = {k.replace("_", "-"): v for k, v in headers.items()}
        return RestClient(
            self.transport, headers={**self._headers, **added}, accept=self._accept, accept_list=self._accept_list, owns_transport=False,
        )

    async def _exchange(self, request: Request) -> Obj:
        response = await check(await self.transport.send(request))
        return decode(await read_all(response))

    def _build(self, method: str, path: str, **more: Any) -> Request:
        return requests.build(method, path, headers=self._headers, **more)

    async def get(self, resource: Resource, name: str, namespace: str = "", *, subresource: str = "") -> Obj:
        path = requests.object_path(resource, name, namespace, subresource)
        return await self._exchange(self._build("GET", path, accept=self._accept))

    async def list(
        self, resource: Resource, namespace: str = "", *, label_selector: str = "", field_selector: str = "",
        resource_version: str = "", limit: int = 0, continue_: str = "",
    ) -> Obj:
        query = requests.list_query(label_selector, field_selector, resource_version, limit, continue_)
        return await self._exchange(self._build("GET", requests.collection_path(resource, namespace), query=query, accept=self._accept_list))

    async def watch(
        self, resource: Resource, namespace: str = "", *, resource_version: str = "", label_selector: str = "",
        field_selector: str = "", bookmarks: bool = True, send_initial_events: bool = False, timeout_s: int = 0,
    ) -> AsyncIterator[WatchEvent]:
        """Ends when the server ends the watch. Errors: StatusError, also for ERROR events; ConnectionError for a line cut short."""
        query = requests.watch_query(resource_version, label_selector, field_selector, bookmarks, send_initial_events, timeout_s)
        request = self._build("GET", requests.collection_path(resource, namespace), query=query, accept=self._accept)
        response = await check(await self.transport.send(request))
        decoder = WatchDecoder()
        try:
            async for chunk in _chunks(response):
                for event in decoder.feed(chunk):
                    if event.type == "ERROR":
                        raise watch_error(event)
                    yield event
            if decoder.incomplete:
                raise ConnectionResetError("the watch broke off in the middle of an event")
        finally:
            await close_stream(response)

    async def create(self, resource: Resource, obj: Obj, namespace: str = "", *, name: str = "", subresource: str = "") -> Obj:
        """POST. The namespace defaults to the object's own. With `subresource`, `name` (or the object's) is the parent's name."""
        metadata = obj.get("metadata") or {}
        namespace = namespace or metadata.get("namespace", "")
        if subresource:
            path = requests.object_path(resource, name or metadata.get("name", ""), namespace, subresource)
        else:
            if resource.namespaced and not namespace:
                raise ValueError(f"creating {resource.plural}: a namespace is required")
            path = requests.collection_path(resource, namespace)
        return await self._exchange(self._build("POST", path, body=obj))

    async def update(self, resource: Resource, obj: Obj, *, subresource: str = "") -> Obj:
        metadata = obj["metadata"]
        path = requests.object_path(resource, metadata["name"], metadata.get("namespace", ""), subresource)
        return await self._exchange(self._build("PUT", path, body=obj))

    async def patch(
        self, resource: Resource, name: str, body: Any, namespace: str = "", *, kind: str = "merge", subresource: str = "",
        field_manager: str = "", force: bool = False,
    ) -> Obj:
        path = requests.object_path(resource, name, namespace, subresource)
        query = requests.query(fieldManager=field_manager, force=force)
        return await self._exchange(self._build("PATCH", path, query=query, body=body, content_type=requests.PATCH_TYPES[kind]))

    async def delete(
        self, resource: Resource, name: str, namespace: str = "", *, grace_period_s: int | None = None, uid: str = "",
        resource_version: str = "", propagation_policy: str = "",
    ) -> Obj:
        options = requests.delete_options(
            grace_period_s=grace_period_s, uid=uid, resource_version=resource_version, propagation_policy=propagation_policy
        )
        return await self._exchange(self._build("DELETE", requests.object_path(resource, name, namespace), body=options))

    async def delete_collection(self, resource: Resource, namespace: str = "", *, label_selector: str = "", field_selector: str = "") -> Obj:
        query = requests.list_query(label_selector, field_selector, "", 0, "")
        return await self._exchange(self._build("DELETE", requests.collection_path(resource, namespace), query=query))

    async def request(self, method: str, path: str, *, query: str = "", body: Any = None, headers: dict[str, str] | None = None) -> Response:
        return await check(await self.transport.send(self._raw(method, path, query, body, headers)))

    async def open(
        self, method: str, path: str, *, query: str = "", headers: dict[str, str] | None = None
    ) -> tuple[Response, Connection | None]:
        """An upgrade (exec, attach, port-forward): the raw connection after a 101. Errors: StatusError when it was refused."""
        request = self._raw(method, path, query, None, headers)
        request.upgrade = True
        response, connection = await self.transport.open(request)
        return await check(response), connection

    def _raw(self, method: str, path: str, query: str, body: Any, headers: dict[str, str] | None) -> Request:
        return requests.build(method, path, query=query, body=body, headers={**self._headers, **(headers or {})})

    async def close(self) -> None:
        if self._owns:
            await self.transport.close()


async def _chunks(response: Response) -> AsyncIterator[bytes]:
    if response.stream is None:
        yield response.body
        return
    async for chunk in response.stream:
        yield chunk
