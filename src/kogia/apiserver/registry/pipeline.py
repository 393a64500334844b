"""The road of every write: admission, defaults, preparation, validation, then one compare-and-set in the store.

`create` and `update` take objects in the stored version and give back the committed `Entry`. An update works on the newest state it
knows (the cache's) and starts over with what the store says when somebody was faster; conflicts only reach the client when it named a
resourceVersion. Nothing here knows HTTP.
Source: k8s.io/apiserver registry/generic/registry Store.Create, Store.Update, storage GuaranteedUpdate.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from kogia.api.apply import record
from kogia.api.jsoncopy import deep_copy
from kogia.api.meta import generate_name
from kogia.api.status import (
    MODIFIED,
    FieldError,
    StatusError,
    already_exists,
    conflict,
    internal_error,
    invalid,
    invalid_value,
    server_timeout,
)
from kogia.apiserver.encoding import decode, encode, with_revision, without_revision
from kogia.apiserver.interface import AdmissionAttributes, AdmissionChain
from kogia.apiserver.kindcache import Entry
from kogia.apiserver.registry import metadata
from kogia.apiserver.registry.kinds import Kind
from kogia.apiserver.registry.leases import LeasePool
from kogia.apiserver.registry.options import WriteContext
from kogia.apiserver.watchcache import WatchCache
from kogia.base.clock import Clock
from kogia.base.tasks import TaskOwner
from kogia.store.interface import Compare, Delete, KeyValue, LeaseNotFound, Put, Store, StoreError

log = logging.getLogger("kogia.apiserver")

Obj = dict[str, Any]
T = TypeVar("T")

#: how often an update without a resourceVersion is tried again when others are faster
ATTEMPTS = 100
#: how many generated names are tried before the collision is reported
NAME_ATTEMPTS = 8


@dataclass(slots=True)
class State:
    """A stored object as an update finds it: `obj` is frozen."""

    obj: Obj
    data: bytes  #: with the resource version in it
    revision: int
    key: str

    def entry(self) -> Entry:
        return entry_of(self.key, self.revision, self.data, self.obj)


def _log_failure(name: str, error: BaseException) -> None:
    """A guarded write's error has gone to its caller as well, if there still is one."""
    if not isinstance(error, StatusError):
        log.error("%s failed", name, exc_info=error)


def entry_of(key: str, revision: int, data: bytes, obj: Obj | None = None) -> Entry:
    entry = Entry(key, revision, data)
    entry._object = obj
    return entry


async def undo(work: Any) -> None:
    """Call a hook's undo, if there is one."""
    if work is not None:
        result = work()
        if inspect.isawaitable(result):
            await result


class Pipeline:
    def __init__(self, store: Store, cache: WatchCache, admission: AdmissionChain, clock: Clock) -> None:
        self.store, self.cache, self.admission, self.clock = store, cache, admission, clock
        self._events = LeasePool(store, clock)
        self._tasks = TaskOwner("registry-writes", on_failure=_log_failure)

    async def close(self) -> None:
        """Let guarded writes end."""
        await self._tasks.close()

    # the store

    async def current(self, kind: Kind, key: str) -> State | None:
        """The newest acknowledged state. Errors: 500 ServerTimeout if the cache does not follow."""
        if self.cache.revision < self.store.revision:
            try:
                await self.cache.fresh()
            except TimeoutError:
                raise server_timeout(kind.row.plural, "get", group=kind.row.group) from None
        entry = kind.cache.entries.get(key)
        return State(decode(entry.data), entry.data, entry.revision, key) if entry is not None else None

    async def commit(self, kind: Kind, key: str, expected: int, data: bytes | None) -> tuple[int, KeyValue | None, bool]:
        """Put `data` (None = delete) if the key is at `expected`: (revision, state found otherwise, whether it was done)."""
        raw = kind.store_key(key)
        while True:
            lease = await self._events.take() if data is not None and kind.stored.kind == "Event" and not kind.stored.group else 0
            op: Put | Delete = Put(raw, data, lease) if data is not None else Delete(raw)
            try:
                result = await self.store.txn((Compare(raw, expected),), (op,))
            except LeaseNotFound:
                self._events.forget()
                continue
            except StoreError as error:
                raise internal_error(str(error)) from error
            return result.revision, None if result.succeeded else result.current[0], result.succeeded

    def _state(self, key: str, kv: KeyValue | None) -> State | None:
        if kv is None:
            return None
        data = with_revision(kv.value, kv.mod_revision)
        return State(decode(data), data, kv.mod_revision, key)

    # creating

    async def create(self, kind: Kind, obj: Obj, context: WriteContext, namespace: str, *, managed: bool = True) -> Entry:
        """Store a new object; `obj` is private and in the stored version. managed: note who set which field. Errors: StatusError."""
        strategy = kind.strategy
        metadata.fill_new(obj, kind.row, namespace, context.now)
        strategy.default(obj)
        if strategy.has_status and strategy.drops_status_on_create:
            obj.pop("status", None)
        if managed:  # before admission: what that adds belongs to nobody
            record(obj, None, kind.stored, context.manager, context.now)
        attributes = self._attributes("CREATE", kind, "", namespace, obj, None, context)
        await self.admission.mutate(attributes)
        strategy.default(obj)
        strategy.prepare_create(obj)
        return await self._guarded(kind, self._create_admitted(kind, obj, attributes, context))

    async def _create_admitted(self, kind: Kind, obj: Obj, attributes: AdmissionAttributes, context: WriteContext) -> Entry:
        revert = await self._before(kind, obj, None)
        try:
            self._refuse(kind, obj, kind.errors_of_new(obj))
            await self.admission.validate(attributes)
            context.warnings.extend(attributes.warnings)
            context.warnings.extend(kind.strategy.warnings(obj))
            metadata.strip_empty(obj)
            entry = await self._insert(kind, obj, context)
        except BaseException:
            await undo(revert)
            raise
        if context.dry_run:
            await undo(revert)
        return entry

    async def _guarded(self, kind: Kind, work: Coroutine[Any, Any, T]) -> T:
        """Run the part of a write that allocates and commits. Where the kind has a hook, a client that goes away does not cut it short:
        what was allocated must be given back exactly if the write did not happen."""
        if kind.hook.before is None and kind.hook.after_delete is None:
            return await work
        return await asyncio.shield(self._tasks.spawn("write", work))  # type: ignore[no-any-return]

    async def _insert(self, kind: Kind, obj: Obj, context: WriteContext) -> Entry:
        meta = obj["metadata"]
        generated = meta.get("generateName") and meta["name"].startswith(meta["generateName"][:58])
        for attempt in range(NAME_ATTEMPTS):
            key = kind.key(meta.get("namespace", ""), meta["name"])
            data = encode(obj)
            if context.dry_run:
                if await self.current(kind, key) is None:
                    return entry_of(key, 0, without_revision(data), obj)
            else:
                revision, _, done = await self.commit(kind, key, 0, data)
                if done:
                    meta["resourceVersion"] = str(revision)
                    return entry_of(key, revision, with_revision(data, revision), obj)
            if not generated or attempt + 1 == NAME_ATTEMPTS:
                break
            meta["name"] = generate_name(meta["generateName"])
        raise already_exists(kind.row.plural, meta["name"], kind.row.group)

    # updating

    async def update(
        self, kind: Kind, key: str, context: WriteContext, change: Callable[[Obj], Obj], *, subresource: str = "", managed: bool = True,
        unconditional: bool | None = None,
    ) -> tuple[Entry, bool]:
        """Replace an object by `change(old)`, which gets the frozen old object and returns a private new one, both in the stored version.

        Shape: (what is stored now, whether the write deleted the object by taking its last finalizer). managed False: `change` has seen
        to managedFields itself. unconditional overrides the strategy on writes without a resourceVersion.
        Errors: StatusError (404, 409, 422 …).
        """
        state = await self.current(kind, key)
        for _ in range(ATTEMPTS):
            if state is None:
                raise kind.not_found(key.rpartition("/")[2])
            obj = change(state.obj)
            outcome = await self._attempt(kind, state, obj, context, subresource, managed, unconditional)
            if isinstance(outcome, tuple):
                return outcome
            state = self._state(key, outcome.found)
        raise conflict(kind.row.plural, key.rpartition("/")[2], MODIFIED, kind.row.group)

    async def _attempt(
        self, kind: Kind, state: State, obj: Obj, context: WriteContext, subresource: str, managed: bool, unconditional: bool | None,
    ) -> tuple[Entry, bool] | _Overtaken:
        strategy, old = kind.strategy, state.obj
        self._check_version(kind, obj, state, strategy.unconditional_update if unconditional is None else unconditional)
        metadata.carry_over(obj["metadata"], old["metadata"], kind.row.plural, kind.row.group)
        strategy.default(obj)
        strategy.prepare_update(obj, old, subresource)
        if managed:
            record(obj, old, kind.stored, context.manager, context.now, subresource)
        attributes = self._attributes("UPDATE", kind, subresource, old["metadata"].get("namespace", ""), obj, old, context)
        await self.admission.mutate(attributes)
        strategy.default(obj)
        strategy.prepare_update(obj, old, subresource)  # again, for what admission did
        metadata.strip_empty(obj)
        if metadata.is_unchanged(obj, old) and not _finished(obj):
            await self.admission.validate(attributes)
            return state.entry(), False
        return await self._guarded(kind, self._update_admitted(kind, state, obj, attributes, context))

    async def _update_admitted(
        self, kind: Kind, state: State, obj: Obj, attributes: AdmissionAttributes, context: WriteContext,
    ) -> tuple[Entry, bool] | _Overtaken:
        strategy = kind.strategy
        revert = await self._before(kind, obj, state.obj)
        try:
            self._refuse(kind, obj, kind.errors_of_change(obj, state.obj, attributes.subresource))
            await self.admission.validate(attributes)
            warnings = [*attributes.warnings, *strategy.warnings(obj)]
            outcome = await self._replace(kind, state, obj, context)
        except BaseException:
            await undo(revert)
            raise
        if context.dry_run or isinstance(outcome, _Overtaken):
            await undo(revert)
        if not isinstance(outcome, _Overtaken):
            context.warnings.extend(warnings)
        return outcome

    def _check_version(self, kind: Kind, obj: Obj, state: State, unconditional: bool) -> None:
        """Errors: 409 for a stale resourceVersion, 422 for none where the kind wants one."""
        meta = obj["metadata"]
        wanted = meta.get("resourceVersion")
        if not wanted or wanted == "0":
            if not unconditional:
                name = state.obj["metadata"]["name"]
                raise invalid(kind.row.kind, name, [_must_be_specified()], kind.row.group)
            return
        if wanted != str(state.revision):
            raise conflict(kind.row.plural, state.obj["metadata"]["name"], MODIFIED, kind.row.group)

    async def _replace(self, kind: Kind, state: State, obj: Obj, context: WriteContext) -> tuple[Entry, bool] | _Overtaken:
        finished = _finished(obj)
        obj["metadata"]["resourceVersion"] = ""
        data = encode(obj)
        if context.dry_run:
            obj["metadata"]["resourceVersion"] = str(state.revision)
            return entry_of(state.key, state.revision, with_revision(data, state.revision), obj), finished
        revision, found, done = await self.commit(kind, state.key, state.revision, None if finished else data)
        if not done:
            return _Overtaken(found)
        obj["metadata"]["resourceVersion"] = str(revision)
        if finished and kind.hook.after_delete is not None:
            kind.hook.after_delete(obj)
        return entry_of(state.key, revision, with_revision(data, revision), obj), finished

    # deleting

    async def erase(self, kind: Kind, state: State, context: WriteContext) -> tuple[Entry, KeyValue | None, bool]:
        """Remove `state` if it is still the newest: (its last state, what was found instead, whether it was done)."""
        if context.dry_run:
            return state.entry(), None, True
        return await self._guarded(kind, self._erase(kind, state))

    async def _erase(self, kind: Kind, state: State) -> tuple[Entry, KeyValue | None, bool]:
        revision, found, done = await self.commit(kind, state.key, state.revision, None)
        if done and kind.hook.after_delete is not None:
            kind.hook.after_delete(deep_copy(state.obj))
        return entry_of(state.key, revision, with_revision(state.data, revision)), found, done

    async def mark(self, kind: Kind, state: State, obj: Obj, context: WriteContext) -> tuple[Entry, KeyValue | None, bool]:
        """Store `obj`, a changed copy of `state` (deletion marks, finalizers), without the rules of an update."""
        metadata.strip_empty(obj)
        obj["metadata"]["resourceVersion"] = ""
        data = encode(obj)
        if context.dry_run:
            return entry_of(state.key, state.revision, with_revision(data, state.revision), obj), None, True
        revision, found, done = await self.commit(kind, state.key, state.revision, data)
        obj["metadata"]["resourceVersion"] = str(revision)
        return entry_of(state.key, revision, with_revision(data, revision), obj), found, done

    def state_of(self, key: str, kv: KeyValue | None) -> State | None:
        return self._state(key, kv)

    async def admit_delete(self, kind: Kind, state: State, context: WriteContext) -> None:
        """Errors: StatusError, 403 as a rule."""
        attributes = self._attributes("DELETE", kind, "", state.obj["metadata"].get("namespace", ""), None, state.obj, context)
        await self.admission.mutate(attributes)
        await self.admission.validate(attributes)
        context.warnings.extend(attributes.warnings)

    # parts

    def _attributes(
        self, operation: str, kind: Kind, subresource: str, namespace: str, obj: Obj | None, old: Obj | None, context: WriteContext,
    ) -> AdmissionAttributes:
        shown = obj if obj is not None else old
        name = shown["metadata"].get("name", "") if shown is not None else ""
        return AdmissionAttributes(
            operation, kind.stored, subresource, namespace, name, context.user, obj, old, context.dry_run, context.options)

    async def _before(self, kind: Kind, obj: Obj, old: Obj | None) -> Any:
        """Run the kind's write hook; its undo, if it gave one."""
        if kind.hook.before is None:
            return None
        result = kind.hook.before(obj, old)
        return await result if inspect.isawaitable(result) else result

    def _refuse(self, kind: Kind, obj: Obj, errors: list[FieldError]) -> None:
        if errors:
            raise invalid(kind.row.kind, obj["metadata"].get("name", ""), errors, kind.row.group)


@dataclass(frozen=True, slots=True)
class _Overtaken:
    """Somebody else wrote first; `found` is what is there now."""

    found: KeyValue | None


def _finished(obj: Obj) -> bool:
    """Whether a write leaves an object that was only waiting for its finalizers. Source: ShouldDeleteDuringUpdate."""
    meta = obj["metadata"]
    if not meta.get("deletionTimestamp") or meta.get("finalizers") or meta.get("deletionGracePeriodSeconds"):
        return False
    return obj.get("kind") != "Namespace" or obj.get("apiVersion") != "v1" or not (obj.get("spec") or {}).get("finalizers")


def _must_be_specified() -> FieldError:
    error = invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
    return FieldError(error.type, error.field, error.detail.replace("0", "0x0", 1))
