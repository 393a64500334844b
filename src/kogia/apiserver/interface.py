"""The seams inside the API server: between the handler chain, admission, the registry and the watch cache."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from kogia.api.kinds import ResourceInfo
from kogia.wire.messages import Request, Response, UserInfo

Obj = dict[str, Any]


@dataclass(slots=True)
class RequestInfo:
    """What a request is about. Kept in `Request.context["info"]` by the chain.

    verb: create, get, list, watch, update, patch, delete, deletecollection, connect, proxy (resources); get, post … (others).
    Source: k8s.io/apiserver endpoints/request RequestInfo.
    """

    is_resource: bool
    verb: str
    path: str
    group: str = ""
    version: str = ""
    plural: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    parts: tuple[str, ...] = ()  #: path segments after the subresource (proxy paths)
    resource: ResourceInfo | None = None  #: the row of (group, version, plural), if served


@dataclass(slots=True)
class AdmissionAttributes:
    """One write as admission sees it. `obj` may be changed in place by mutating plugins; None for delete and connect."""

    operation: str  #: CREATE, UPDATE, DELETE, CONNECT
    resource: ResourceInfo
    subresource: str
    namespace: str
    name: str
    user: UserInfo
    obj: Obj | None
    old: Obj | None
    dry_run: bool = False
    options: Obj = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class AdmissionChain(Protocol):
    """Errors: StatusError (403 Forbidden as a rule)."""

    async def mutate(self, attributes: AdmissionAttributes) -> None: ...

    async def validate(self, attributes: AdmissionAttributes) -> None: ...


class CachedObject(Protocol):
    """One object in the watch cache: bytes to send as they are, and a dict made on demand, to be treated as frozen."""

    key: str  #: "namespace/name", or "name" for cluster-scoped kinds
    revision: int
    data: bytes  #: JSON in the storage version with metadata.resourceVersion filled in

    def object(self) -> Obj: ...


@dataclass(slots=True)
class CacheEvent:
    """One change of one object; treat as frozen (left unfrozen because one is made per write)."""

    type: str  #: ADDED, MODIFIED, DELETED
    current: CachedObject  #: for DELETED: the last state, with the deleting revision as resourceVersion
    previous: CachedObject | None


class ReadCache(Protocol):
    """In-process reading for the server's own needs (admission, RBAC, allocators, controllers of bootstrap objects).

    `resource` is (group, plural). Answers are as fresh as the newest watch batch applied; `wait_for` closes the gap.
    """

    def get(self, resource: tuple[str, str], name: str, namespace: str = "") -> CachedObject | None: ...

    def list(self, resource: tuple[str, str], namespace: str = "") -> list[CachedObject]: ...

    def events(self, resource: tuple[str, str]) -> AsyncIterator[CacheEvent]:
        """What exists as ADDED, then every change. Bounded; a reader too slow gets StatusError 410 and starts anew."""

    def on_change(self, resource: tuple[str, str], callback: Callable[[CacheEvent], None]) -> None:
        """Call `callback` synchronously for every object that exists and every later change (cheap callbacks only)."""

    async def wait_for(self, revision: int) -> None:
        """Return once the cache has applied `revision`. Errors: TimeoutError after 3 s."""


class Registry(Protocol):
    """All verbs on stored kinds, and the internal calls the server's other parts need.

    `serve` answers a request whose `context["info"]` names a stored resource with subresource "", "status", "scale" or "binding";
    it decodes, admits, validates, stores, and encodes by content negotiation. Errors: StatusError.
    """

    async def serve(self, request: Request, info: RequestInfo) -> Response: ...

    async def create_object(self, resource: ResourceInfo, obj: Obj, *, user: UserInfo, dry_run: bool = False) -> Obj:
        """As a POST by `user`, without authorization. For bootstrap objects and allocators' repair."""

    async def update_object(self, resource: ResourceInfo, obj: Obj, *, user: UserInfo, subresource: str = "") -> Obj: ...

    @property
    def cache(self) -> ReadCache: ...


#: Answers one (group, plural, subresource) that is not plain storage: log, exec, token, eviction, tokenreviews …
SubresourceHandler = Callable[[Request, RequestInfo], Any]


@dataclass(slots=True)
class WriteHook:
    """Work tied to writes of one kind, e.g. allocating and freeing a Service's addresses (registered by (group, plural)).

    before: called with a private object after admission and before validation; returns an undo to call if the write fails or was a dry run.
    after_delete: called with the last state once an object has really gone.
    """

    before: Callable[[Obj, Obj | None], Any] | None = None
    after_delete: Callable[[Obj], None] | None = None
