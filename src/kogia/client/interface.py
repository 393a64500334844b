"""The one way components speak to the API, whatever carries it.

A `Transport` sends a `Request` and gives the `Response`; `Client` adds paths, encoding, errors and watch decoding on top and is the same for both
transports. Objects are plain dicts; those handed out by informers are shared and must be treated as frozen.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

from kogia.wire.messages import Connection, Request, Response

Obj = dict[str, Any]


class Transport(Protocol):
    async def send(self, request: Request) -> Response:
        """One exchange. `Response.stream` is set for watches, followed logs and other unbounded answers.

        Errors: OSError and its children when the server cannot be reached or the connection breaks; TimeoutError.
        """

    async def open(self, request: Request) -> tuple[Response, Connection | None]:
        """An upgrading exchange (exec, attach, port-forward): the head's Response, and the raw connection if it was 101."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Resource:
    """Names one collection type: `Resource("", "v1", "pods")`, `Resource("apps", "v1", "deployments")`."""

    group: str
    version: str
    plural: str
    namespaced: bool = True


@dataclass(frozen=True, slots=True)
class WatchEvent:
    type: str  #: ADDED, MODIFIED, DELETED, BOOKMARK (ERROR is raised as StatusError instead)
    object: Obj


class Client(Protocol):
    """Errors of every method: `kogia.api.status.StatusError` for what the server refused, OSError/TimeoutError for transport."""

    async def get(self, resource: Resource, name: str, namespace: str = "", *, subresource: str = "") -> Obj: ...

    async def list(
        self, resource: Resource, namespace: str = "", *, label_selector: str = "", field_selector: str = "",
        resource_version: str = "", limit: int = 0, continue_: str = "",
    ) -> Obj:
        """The List object as the server gives it (`metadata.resourceVersion`, `metadata.continue`, `items`)."""

    def watch(
        self, resource: Resource, namespace: str = "", *, resource_version: str = "", label_selector: str = "",
        field_selector: str = "", bookmarks: bool = True, send_initial_events: bool = False, timeout_s: int = 0,
    ) -> AsyncIterator[WatchEvent]: ...

    async def create(self, resource: Resource, obj: Obj, namespace: str = "", *, name: str = "", subresource: str = "") -> Obj: ...

    async def update(self, resource: Resource, obj: Obj, *, subresource: str = "") -> Obj:
        """PUT; name and namespace are taken from the object."""

    async def patch(
        self, resource: Resource, name: str, body: Any, namespace: str = "", *, kind: str = "merge", subresource: str = "",
        field_manager: str = "", force: bool = False,
    ) -> Obj:
        """`kind`: json, merge, strategic or apply."""

    async def delete(
        self, resource: Resource, name: str, namespace: str = "", *, grace_period_s: int | None = None, uid: str = "",
        resource_version: str = "", propagation_policy: str = "",
    ) -> Obj: ...

    async def delete_collection(self, resource: Resource, namespace: str = "", *, label_selector: str = "", field_selector: str = "") -> Obj: ...

    async def request(self, method: str, path: str, *, query: str = "", body: Any = None, headers: dict[str, str] | None = None) -> Response:
        """Anything else; raises StatusError for a status of 400 or more."""

    async def close(self) -> None: ...
