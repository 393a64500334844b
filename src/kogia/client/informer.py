"""A local, indexed, always-current copy of one collection: list, then watch, for as long as the component lives.

`Informer` is the thin async shell (the reflector); `cache.py` holds the pure part. Invariants: handlers are called synchronously
and in the order of the server's changes; objects handed out are shared and frozen; whatever the server does (restart, 410, a broken
stream), the informer comes back by itself with bounded, jittered back-off, and no change between is lost: a relist is turned into the
adds, updates and deletes that lead from the old state to the new.
Source: client-go tools/cache Reflector and SharedInformer.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any

from kogia.api.status import StatusError
from kogia.base.backoff import Backoff
from kogia.base.clock import Clock, RealClock
from kogia.base.tasks import TaskOwner
from kogia.client.cache import Cache, Indexer, Keys, Objs, strip_managed_fields
from kogia.client.interface import Client, Obj, Resource

log = logging.getLogger("kogia.client.informer")

#: Called as handler(old, new): (None, new) added, (old, new) changed, (old, None) gone.
EventHandler = Callable[[Obj | None, Obj | None], None]

#: A watch is asked to end after this long, plus up to as much again, as client-go does.
WATCH_S = 300
#: Beyond the time a watch was asked to last, a silent connection is taken for dead.
WATCH_SLACK_S = 30


def is_expired(error: StatusError) -> bool:
    """410: the resourceVersion is gone, only a new list helps."""
    return error.code == 410 or error.reason in ("Expired", "Gone")


class Informer:
    """One collection (`namespace` "" = all). `transform` may shrink an object before it is kept (in place, it is private until then)."""

    def __init__(
        self, client: Client, resource: Resource, namespace: str = "", *, label_selector: str = "", field_selector: str = "",
        indexers: Mapping[str, Indexer] | None = None, clock: Clock | None = None,
        transform: Callable[[Obj], Obj] | None = strip_managed_fields,
    ) -> None:
        self.resource = resource
        self.namespace = namespace
        self._client = client
        self._selectors: dict[str, Any] = {"label_selector": label_selector, "field_selector": field_selector}
        self._clock = clock or RealClock()
        self._transform = transform
        self._cache = Cache(indexers or {})
        self._handlers: list[EventHandler] = []
        self._synced = asyncio.Event()
        self._tasks = TaskOwner(f"informer/{resource.plural}")
        self._running = False
        self._backoff = Backoff(0.1, 10.0, jitter=0.5)
        self.resource_version = ""  #: of the newest state seen; "" before the first list
        self.relists = 0  #: full lists so far, for metrics and tests

    # -- reading -------------------------------------------------------------------------------------------------------

    @property
    def has_synced(self) -> bool:
        """True from the end of the first list on (and for good)."""
        return self._synced.is_set()

    async def wait_synced(self, timeout_s: float | None = None) -> None:
        """Errors: TimeoutError."""
        async with asyncio.timeout(timeout_s):
            await self._synced.wait()

    def get(self, key: str) -> Obj | None:
        """By "namespace/name" ("name" for cluster-scoped kinds)."""
        return self._cache.get(key)

    def list(self, namespace: str = "") -> Objs:
        return self._cache.list(namespace)

    def keys(self) -> Keys:
        return self._cache.keys()

    def by_index(self, index: str, value: str) -> Objs:
        return self._cache.by_index(index, value)

    def __len__(self) -> int:
        return len(self._cache)

    # -- wiring --------------------------------------------------------------------------------------------------------

    def add_indexers(self, indexers: Mapping[str, Indexer]) -> None:
        """More indexes, also on what is already here; a name already in use keeps its function."""
        self._cache.add_indexers(indexers)

    def on_change(self, handler: EventHandler) -> None:
        """From now on call `handler(old, new)`; what is already here comes at once as adds. Cheap callbacks only."""
        self._handlers.append(handler)
        for obj in self._cache.list():
            self._call(handler, None, obj)

    def start(self) -> None:
        """Begin listing and watching. Idempotent."""
        if not self._running:
            self._running = True
            self._tasks.spawn("reflect", self._reflect())

    async def close(self) -> None:
        """Stop; the cache stays readable. `start` may be called again."""
        self._running = False
        await self._tasks.close()

    # -- the reflector -------------------------------------------------------------------------------------------------

    async def _reflect(self) -> None:
        while True:
            try:
                if not self.resource_version:
                    await self._list()
                await self._watch()
            except StatusError as error:
                if is_expired(error):
                    log.info("%s: resourceVersion %s expired, listing anew", self.resource.plural, self.resource_version)
                    self.resource_version = ""
                else:
                    log.warning("%s: %s", self.resource.plural, error.message or error.reason)
                    if error.code not in (429, 502, 503):
                        self.resource_version = ""
            except (OSError, TimeoutError) as error:
                log.debug("%s: %s: %s", self.resource.plural, type(error).__name__, error)
            except (ValueError, KeyError, TypeError):
                log.exception("%s: an answer that cannot be read, listing anew", self.resource.plural)
                self.resource_version = ""
            else:
                continue
            await self._clock.sleep(self._backoff.next())

    async def _list(self) -> None:
        """Errors: StatusError, OSError. The first list may come from the server's cache; after an expiry only the newest state will do."""
        version = "0" if self.relists == 0 else ""
        answer = await self._client.list(self.resource, self.namespace, resource_version=version, **self._selectors)
        self.relists += 1
        group_version = answer.get("apiVersion", "")
        kind = str(answer.get("kind", "")).removesuffix("List")
        items: list[Obj] = answer.get("items") or []
        for item in items:
            item.setdefault("apiVersion", group_version)
            item.setdefault("kind", kind)
        for old, new in self._cache.replace(self._shrunk(item) for item in items):
            self._notify(old, new)
        self.resource_version = answer["metadata"]["resourceVersion"]
        self._synced.set()

    def _shrunk(self, obj: Obj) -> Obj:
        return self._transform(obj) if self._transform is not None else obj

    async def _watch(self) -> None:
        """One watch to its end. A watch that the server ends at once without a word counts as a failure, so that no loop spins."""
        timeout_s = WATCH_S + int(random.random() * WATCH_S)
        started = self._clock.monotonic()
        spoke = False
        events = self._client.watch(
            self.resource, self.namespace, resource_version=self.resource_version, timeout_s=timeout_s, **self._selectors
        )
        async with asyncio.timeout(timeout_s + WATCH_SLACK_S), aclosing(events) as stream:  # type: ignore[type-var]
            async for event in stream:
                if not spoke:
                    spoke = True
                    self._backoff.reset()
                self._apply(event.type, event.object)
        if not spoke and self._clock.monotonic() - started < 1.0:
            raise ConnectionResetError("the watch ended at once")
        self._backoff.reset()

    def _apply(self, kind: str, obj: Obj) -> None:
        version = obj["metadata"]["resourceVersion"]
        if kind == "DELETED":
            old = self._cache.remove(obj)
            if old is not None:
                self._notify(self._shrunk(obj), None)
        elif kind in ("ADDED", "MODIFIED"):
            new = self._shrunk(obj)
            self._notify(self._cache.put(new), new)
        self.resource_version = version

    def _notify(self, old: Obj | None, new: Obj | None) -> None:
        for handler in self._handlers:
            self._call(handler, old, new)

    def _call(self, handler: EventHandler, old: Obj | None, new: Obj | None) -> None:
        try:
            handler(old, new)
        except Exception:  # one listener's mistake must neither stop the others nor the watch
            log.exception("%s: a handler failed", self.resource.plural)


class Informers:
    """One informer per collection and selector, shared by all the controllers of a process."""

    def __init__(self, client: Client, clock: Clock | None = None) -> None:
        self.client = client
        self._clock = clock or RealClock()
        self._known: dict[tuple[Any, ...], Informer] = {}

    def get(
        self, resource: Resource, namespace: str = "", *, label_selector: str = "", field_selector: str = "",
        indexers: Mapping[str, Indexer] | None = None,
    ) -> Informer:
        """The informer of that collection, made on first use (`start` begins it)."""
        key = (resource, namespace, label_selector, field_selector)
        informer = self._known.get(key)
        if informer is None:
            informer = self._known[key] = Informer(
                self.client, resource, namespace, label_selector=label_selector, field_selector=field_selector,
                indexers=indexers, clock=self._clock,
            )
        elif indexers:
            informer.add_indexers(indexers)
        return informer

    def start(self) -> None:
        for informer in self._known.values():
            informer.start()

    async def wait_synced(self, timeout_s: float | None = None) -> None:
        """Errors: TimeoutError."""
        async with asyncio.timeout(timeout_s):
            for informer in list(self._known.values()):
                await informer.wait_synced()

    def all(self) -> Iterable[Informer]:
        return self._known.values()

    async def close(self) -> None:
        for informer in list(self._known.values()):
            await informer.close()
