"""`StoreRegistry`: all verbs on stored kinds. One method per family; the work is in the neighbouring files.

A request comes in with its `RequestInfo` (kind, verb, names) and its user already authorized, and leaves as a Response.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kogia.api.jsoncopy import deep_copy
from kogia.api.kinds import ResourceInfo
from kogia.api.resources import ALL, ResourceTable
from kogia.api.status import StatusError, bad_request, method_not_allowed, not_found
from kogia.apiserver.encoding import dump
from kogia.apiserver.interface import AdmissionAttributes, AdmissionChain, ReadCache, RequestInfo, WriteHook
from kogia.apiserver.registry.binding import bound, check_binding
from kogia.apiserver.registry.bodies import check_kind, note_unknown, read_as, typed
from kogia.apiserver.registry.deleting import Deleter
from kogia.apiserver.registry.kinds import Kind, Kinds
from kogia.apiserver.registry.negotiation import negotiate, respond
from kogia.apiserver.registry.options import DeleteOptions, WriteContext
from kogia.apiserver.registry.pipeline import Pipeline
from kogia.apiserver.registry.reading import Reader
from kogia.apiserver.registry.scale import SCALE, scale_of, with_scale
from kogia.apiserver.registry.writing import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, Writer
from kogia.apiserver.watchcache import WatchCache
from kogia.base.clock import Clock, RealClock
from kogia.base.tasks import TaskOwner
from kogia.store.compaction import compact_periodically
from kogia.store.interface import Store
from kogia.wire.messages import Request, Response, UserInfo

Obj = dict[str, Any]

BINDING = ResourceInfo("", "v1", "Binding", "bindings", "binding", stored=False, storage=("", "v1", "Binding"))


class StoreRegistry:
    """Implements `Registry`. Make it with `open_registry`."""

    def __init__(self, store: Store, admission: AdmissionChain, hooks: Mapping[tuple[str, str], WriteHook], clock: Clock, table: ResourceTable) -> None:
        self.store, self._admission, self._clock = store, admission, clock
        self._cache = WatchCache(store, clock)
        self._kinds = Kinds(table, hooks, self._cache)
        self._pipeline = Pipeline(store, self._cache, admission, clock)
        self._reader = Reader(store, self._cache, clock)
        self._writer = Writer(self._pipeline, self._reader, clock)
        self._deleter = Deleter(self._pipeline, self._reader, clock)
        self._tasks = TaskOwner("registry")

    async def start(self, *, compact: bool = True) -> None:
        """Fill the cache and follow the store; `compact` also keeps its history short. Errors: StoreError."""
        await self._cache.start()
        if compact:
            self._tasks.spawn("compaction", compact_periodically(self.store, self._clock))

    async def close(self) -> None:
        """End watches and background work. The store stays open: it is the caller's."""
        await self._tasks.close()
        await self._pipeline.close()
        await self._cache.close()

    @property
    def cache(self) -> ReadCache:
        return self._cache

    @property
    def watch_cache(self) -> WatchCache:
        """The cache with what only metrics and health checks need."""
        return self._cache

    # requests

    async def serve(self, request: Request, info: RequestInfo) -> Response:
        row = info.resource
        if row is None:
            raise not_found(info.plural, info.name, info.group)
        if row.plural == "bindings" and not row.group:
            return await self._bind(request, info, self._pods())
        kind = self._kinds.of(row)
        if info.subresource:
            return await self._subresource(request, info, kind)
        verb = info.verb
        if verb not in row.verbs:
            raise method_not_allowed(row.plural, verb, row.group)
        if verb == "get":
            return await self._reader.get(request, info, kind)
        if verb == "list":
            return await self._reader.list(request, info, kind)
        if verb == "watch":
            return await self._reader.watch(request, info, kind)
        if verb == "create":
            return await self._writer.create(request, info, kind)
        if verb == "update":
            return await self._writer.update(request, info, kind)
        if verb == "patch":
            return await self._writer.patch(request, info, kind)
        if verb == "delete":
            return await self._deleter.delete(request, info, kind)
        if verb == "deletecollection":
            return await self._deleter.delete_collection(request, info, kind)
        raise method_not_allowed(row.plural, verb, row.group)

    async def _subresource(self, request: Request, info: RequestInfo, kind: Kind) -> Response:
        known = kind.row.subresource(info.subresource)
        if known is None:
            raise not_found(f"{kind.row.plural}/{info.subresource}", info.name, kind.row.group)
        if info.verb not in known.verbs:
            raise method_not_allowed(f"{kind.row.plural}/{info.subresource}", info.verb, kind.row.group)
        if info.subresource == "binding":
            return await self._bind(request, info, kind)
        if info.subresource == "scale":
            return await self._scale(request, info, kind)
        if info.verb == "get":
            return await self._reader.get(request, info, kind)
        if info.verb == "update":
            return await self._writer.update(request, info, kind)
        return await self._writer.patch(request, info, kind)

    def _pods(self) -> Kind:
        row = self._kinds.table.find("", "v1", "pods")
        assert row is not None
        return self._kinds.of(row)

    async def _bind(self, request: Request, info: RequestInfo, kind: Kind) -> Response:
        context = self._writer.context(request, "CreateOptions")
        binding = read_as(request, BINDING, context)
        name = info.name or (binding["metadata"].get("name") or "")
        if binding["metadata"].get("name", name) != name:
            raise bad_request(f"the name of the object ({binding['metadata']['name']}) does not match the name on the URL ({name})")
        if binding["metadata"].get("namespace", info.namespace) != info.namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        await self.bind(kind, info.namespace, name, binding, context)
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
        return respond(request, negotiate(""), dump(status), 201)

    async def bind(self, kind: Kind, namespace: str, name: str, binding: Obj, context: WriteContext) -> None:
        """Give a Pod its node. Errors: 404, 409, 422, and what admission says."""
        check_binding(binding)
        attributes = AdmissionAttributes(
            "CREATE", kind.stored, "binding", namespace, name, context.user, binding, None, context.dry_run, context.options)
        await self._admission.mutate(attributes)
        await self._admission.validate(attributes)
        key = kind.key(namespace, name)
        state = await self._pipeline.current(kind, key)
        while True:
            if state is None:
                raise kind.not_found(name)
            _, found, done = await self._pipeline.mark(kind, state, bound(state.obj, binding, context.now), context)
            if done:
                return
            state = self._pipeline.state_of(key, found)

    async def _scale(self, request: Request, info: RequestInfo, kind: Kind) -> Response:
        key = kind.key(info.namespace, info.name)
        if info.verb == "get":
            await self._reader.catch_up()
            entry = kind.cache.entries.get(key)
            if entry is None:
                raise kind.not_found(info.name)
            return self._answer_scale(request, scale_of(kind, entry.peek()))
        context = self._writer.context(request, "UpdateOptions" if info.verb == "update" else "PatchOptions")
        if info.verb == "update":
            body = read_as(request, SCALE, context)

            def change(old: Obj) -> Obj:
                return with_scale(kind, old, body)
        else:
            change = self._scale_patch(request, kind, context)
        changed, _ = await self._pipeline.update(kind, key, context, change, unconditional=True)
        return self._answer_scale(request, scale_of(kind, changed.peek()))

    def _scale_patch(self, request: Request, kind: Kind, context: WriteContext) -> Any:
        """A patch of the Scale as a change of the workload behind it."""
        import orjson

        from kogia.api.patch.json_patch import json_patch
        from kogia.api.patch.merge import merge_patch
        from kogia.api.patch.strategic import strategic_merge
        from kogia.api.status import unsupported_media_type

        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media not in (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH):
            raise unsupported_media_type((JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH))
        try:
            patch = orjson.loads(request.body)
        except orjson.JSONDecodeError as error:
            raise bad_request(f"error decoding patch: {error}") from None

        def change(old: Obj) -> Obj:
            scale = scale_of(kind, old)
            if media == JSON_PATCH:
                made = json_patch(scale, patch)
            elif media == MERGE_PATCH:
                made = merge_patch(scale, patch)
            else:
                made = strategic_merge(scale, patch, SCALE)
            check_kind(made, SCALE)
            messages = typed(made, SCALE)
            if messages:
                note_unknown(made, messages, context)
            return with_scale(kind, old, made)

        return change

    def _answer_scale(self, request: Request, scale: Obj) -> Response:
        return respond(request, negotiate(request.headers.get("accept", "")), dump(scale))

    # inside the server

    def _context(self, user: UserInfo, dry_run: bool = False) -> WriteContext:
        return WriteContext(user, self._clock.now(), manager="kube-apiserver", dry_run=dry_run, options={"kind": "CreateOptions"})

    async def create_object(self, resource: ResourceInfo, obj: Obj, *, user: UserInfo, dry_run: bool = False) -> Obj:
        """As a POST by `user`, without authorization. Shape: obj in `resource`'s version, left alone; returns the stored object, private."""
        kind = self._kinds.of(resource)
        from kogia.apiserver.registry.bodies import to_requested, to_stored

        made: Obj = deep_copy(obj)
        made.setdefault("metadata", {})
        check_kind(made, resource)
        entry = await self._pipeline.create(kind, to_stored(kind, made), self._context(user, dry_run), made["metadata"].get("namespace", ""))
        return to_requested(kind, entry.object())

    async def update_object(self, resource: ResourceInfo, obj: Obj, *, user: UserInfo, subresource: str = "") -> Obj:
        """As a PUT by `user`, without authorization. Shape: as `create_object`; name and namespace are the object's."""
        from kogia.apiserver.registry.bodies import to_requested, to_stored

        kind = self._kinds.of(resource)
        meta = obj["metadata"]

        def change(old: Obj) -> Obj:
            made: Obj = deep_copy(obj)
            check_kind(made, resource)
            return to_stored(kind, made)

        key = kind.key(meta.get("namespace", ""), meta["name"])
        entry, _ = await self._pipeline.update(kind, key, self._context(user), change, subresource=subresource)
        return deep_copy(to_requested(kind, entry.object()))  # type: ignore[no-any-return]

    async def delete_object(self, resource: ResourceInfo, name: str, namespace: str = "", *, user: UserInfo, uid: str = "", grace_s: int | None = None) -> None:
        """As a DELETE by `user`, without authorization; gone already is fine. Errors: 409 when `uid` is another's."""
        kind = self._kinds.of(resource)
        try:
            await self._deleter.remove(kind, kind.key(namespace, name), DeleteOptions(grace_s=grace_s, uid=uid), self._context(user))
        except StatusError as error:
            if error.code != 404:
                raise


async def open_registry(
    store: Store, *, admission: AdmissionChain, hooks: Mapping[tuple[str, str], WriteHook] | None = None, clock: Clock | None = None,
    table: ResourceTable = ALL, compact: bool = True,
) -> StoreRegistry:
    """A registry whose cache holds what the store holds and follows it. `hooks` is read at each kind's first use, so it may be filled later.

    Errors: StoreError. The caller closes the registry, then the store.
    """
    registry = StoreRegistry(store, admission, hooks if hooks is not None else {}, clock or RealClock(), table)
    await registry.start(compact=compact)
    return registry
