"""The watch cache: what the store holds, kept in memory and kept current by one watch, so that reading never asks the disk.

One task reads the store's changes in order of revision and applies them kind by kind (`kindcache`); `revision` is how far it got. A
reader that wants the newest state compares that with the store's revision and waits for the gap to close, microseconds as a rule.
Keys are `/registry/<group or "core">/<plural>/[<namespace>/]<name>`; anything else in the store is not ours and ignored.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

from kogia.api.status import expired
from kogia.apiserver.interface import CachedObject, CacheEvent
from kogia.apiserver.kindcache import Entry, KindCache
from kogia.apiserver.watchers import EventQueue
from kogia.base.backoff import Backoff
from kogia.base.clock import Clock
from kogia.base.tasks import TaskOwner
from kogia.store.interface import KeyValue, Store, StoreClosed, StoreError

log = logging.getLogger("kogia.apiserver")

ROOT = "/registry/"
_LAST = b"\xff" * 8
#: seconds a reader waits for the cache to reach a revision
WAIT_S = 3.0
#: seconds between bookmarks
BOOKMARK_S = 60.0

Obj = dict[str, Any]


def kind_prefix(group: str, plural: str) -> str:
    """Where a kind's keys begin."""
    return f"{ROOT}{group or 'core'}/{plural}/"


def split_key(key: bytes) -> tuple[str, str] | None:
    """(`group/plural`, the rest) of a stored key, None if it is not one of ours."""
    parts = key.decode("utf-8", "replace").split("/", 4)
    if len(parts) < 5 or parts[1] != "registry":
        return None
    return f"{parts[2]}/{parts[3]}", parts[4]


class WatchCache:
    """Implements `ReadCache`. `start` before use, `close` after."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._kinds: dict[str, KindCache] = {}
        self.revision = 0  #: everything up to here has been applied
        self._loaded = 0  #: revision at which the store was last read as a whole
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._tasks = TaskOwner("watchcache")

    async def start(self) -> None:
        """Load what the store holds and follow it from there. Errors: StoreError."""
        await self._load()
        self._tasks.spawn("feed", self._feed())
        self._tasks.spawn("bookmarks", self._bookmarks())

    async def close(self) -> None:
        await self._tasks.close()
        self._drop_listeners()

    async def _load(self) -> None:
        result = await self._store.range(ROOT.encode(), ROOT[:-1].encode() + b"0")
        found: dict[str, list[tuple[str, KeyValue]]] = {}
        for kv in result.kvs:
            place = split_key(kv.key)
            if place is not None:
                found.setdefault(place[0], []).append((place[1], kv))
        self._loaded = result.revision
        for kind, cache in self._kinds.items():
            cache.reload(found.pop(kind, []), result.revision)
        for kind, kvs in found.items():
            self._kind(kind).load(kvs)
        self._advance(result.revision)

    def _kind(self, kind: str) -> KindCache:
        cache = self._kinds.get(kind)
        if cache is None:
            cache = self._kinds[kind] = KindCache(self._loaded)
        return cache

    def kind(self, group: str, plural: str) -> KindCache:
        """The cache of one stored kind; made empty if nothing of it was ever stored."""
        return self._kind(f"{group or 'core'}/{plural}")

    async def _feed(self) -> None:
        backoff = Backoff(0.05, 5.0)
        while True:
            try:
                async for batch in self._store.watch(b"\x00", _LAST, revision=self.revision + 1):
                    self._apply(batch)
                    backoff.reset()
            except StoreClosed:
                self._drop_listeners()
                return
            except StoreError as error:
                log.warning("the store's watch broke, loading anew: %s", error)
                await self._clock.sleep(backoff.next())
                await self._reload()

    async def _reload(self) -> None:
        """After a gap: nobody can be told what happened in it, so every watcher has to start anew."""
        self._drop_listeners()
        try:
            await self._load()
        except StoreError as error:
            log.error("the store cannot be read: %s", error)

    def _drop_listeners(self) -> None:
        for cache in self._kinds.values():
            for listener in cache.listeners():
                listener.end()

    def _apply(self, batch: list[Any]) -> None:
        for event in batch:
            place = split_key(event.kv.key)
            if place is not None:
                self._kind(place[0]).apply(place[1], event)
        self._advance(batch[-1].kv.mod_revision)

    def _advance(self, revision: int) -> None:
        self.revision = revision
        if self._waiting:
            still = []
            for wanted, future in self._waiting:
                if wanted > revision:
                    still.append((wanted, future))
                elif not future.done():
                    future.set_result(None)
            self._waiting = still

    async def _bookmarks(self) -> None:
        while True:
            await self._clock.sleep(BOOKMARK_S)
            for cache in self._kinds.values():
                for listener in cache.listeners():
                    listener.bookmark(self.revision)

    # ReadCache

    def get(self, resource: tuple[str, str], name: str, namespace: str = "") -> CachedObject | None:
        return self.kind(*resource).entries.get(f"{namespace}/{name}" if namespace else name)

    def list(self, resource: tuple[str, str], namespace: str = "") -> list[CachedObject]:
        found: list[Any] = self.kind(*resource).select(namespace)
        return found

    async def events(self, resource: tuple[str, str]) -> AsyncIterator[CacheEvent]:
        cache = self.kind(*resource)
        queue = EventQueue()
        cache.subscribe(queue)
        try:
            existing: list[Entry] = cache.select("")
            for entry in existing:
                yield CacheEvent("ADDED", entry, None)
            while (event := await queue.take()) is not None:
                yield event
            raise expired("too slow a reader, or the cache was loaded anew")
        finally:
            cache.unsubscribe(queue)

    def on_change(self, resource: tuple[str, str], callback: Callable[[CacheEvent], None]) -> None:
        self.kind(*resource).on_change(callback)

    async def wait_for(self, revision: int) -> None:
        if self.revision >= revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((revision, future))
        async with asyncio.timeout(WAIT_S):
            await future

    async def fresh(self) -> None:
        """Return once everything acknowledged before this call is visible. Errors: TimeoutError."""
        if self.revision < self._store.revision:
            await self.wait_for(self._store.revision)

    def sizes(self) -> dict[str, int]:
        """Objects per kind (`group/plural`), for metrics and quick looks."""
        return {kind: len(cache.entries) for kind, cache in sorted(self._kinds.items()) if cache.entries}
