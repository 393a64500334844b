"""GET, LIST and WATCH, all from the watch cache; the store is asked only for a list at a revision the cache has moved past.

What a resourceVersion means: unset = the newest acknowledged state; "0" = whatever the cache has; N = not older than N, or exactly N
(resourceVersionMatch=Exact, or a limit, or a continue token, which pins the first page's revision).
Source: Kubernetes API concepts, "Resource versions"; apiserver storage/cacher.
"""

from __future__ import annotations

import asyncio
import bisect
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

from kogia.api.status import Cause, StatusError, bad_request, expired, internal_error, status_error
from kogia.apiserver.encoding import with_revision
from kogia.apiserver.interface import RequestInfo
from kogia.apiserver.kindcache import Entry, Filter
from kogia.apiserver.registry.forms import PlainForm, form_for
from kogia.apiserver.registry.kinds import Kind
from kogia.apiserver.registry.negotiation import Accepted, negotiate, read_error, respond
from kogia.apiserver.registry.options import ListOptions, decode_token, encode_token, list_options
from kogia.apiserver.watchcache import WatchCache
from kogia.apiserver.watchers import Watcher, event_line
from kogia.base.clock import Clock
from kogia.store.interface import Compacted, FutureRevision, Store, StoreError
from kogia.wire.messages import Request, Response

Obj = dict[str, Any]

#: seconds a watch without timeoutSeconds lasts, drawn between these
WATCH_S = (1800.0, 3600.0)
#: initial events rendered before the loop gets its turn
INITIAL_BATCH = 500

_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue "
    "parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token "
    "results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and "
    "now may show up in the list."
)


def too_large(revision: int, current: int) -> StatusError:
    """504: a revision that has not been written yet. Source: storage.NewTooLargeResourceVersionError."""
    message = f"Too large resource version: {revision}, current: {current}"
    return status_error(504, "Timeout", message, causes=[Cause("ResourceVersionTooLarge", "Too large resource version")], retry_after_s=1)


class Reader:
    def __init__(self, store: Store, cache: WatchCache, clock: Clock) -> None:
        self._store, self._cache = store, cache
        self._clock: Any = clock  # hashable, as `form_for` wants it

    # one object

    async def get(self, request: Request, info: RequestInfo, kind: Kind) -> Response:
        accepted = negotiate(request.headers.get("accept", ""))
        cache = self._cache
        if request.raw_query and (wanted := request.param("resourceVersion")):
            if wanted != "0":
                await self._reach(int(wanted) if wanted.isdecimal() else 0)
        elif cache.revision < self._store.revision:
            await self.catch_up()
        entry = kind.cache.entries.get(kind.key(info.namespace, info.name))
        if entry is None:
            raise kind.not_found(info.name)
        return respond(request, accepted, self.form(kind, accepted, request).render(entry))

    async def catch_up(self) -> None:
        """Wait until all that was acknowledged is visible. Errors: 504."""
        try:
            await self._cache.fresh()
        except TimeoutError:
            raise too_large(self._store.revision, self._cache.revision) from None

    async def _reach(self, revision: int) -> None:
        if self._cache.revision < revision:
            try:
                await self._cache.wait_for(revision)
            except TimeoutError:
                raise too_large(revision, self._cache.revision) from None

    def form(self, kind: Kind, accepted: Accepted, request: Request) -> PlainForm:
        if accepted.shape == "table":
            include = request.param("includeObject") or "Metadata"
            if include not in ("None", "Metadata", "Object"):
                raise bad_request(f"unrecognized includeObject value: {include!r}")
            return form_for(kind.row, "table", include, self._clock)
        return form_for(kind.row, accepted.shape)

    # lists

    async def list(self, request: Request, info: RequestInfo, kind: Kind) -> Response:
        accepted = negotiate(request.headers.get("accept", ""), "list")
        options = list_options(request)
        entries, meta = await self.entries(kind, info.namespace, options)
        return respond(request, accepted, self.form(kind, accepted, request).list(entries, meta))

    async def entries(self, kind: Kind, namespace: str, options: ListOptions) -> tuple[Sequence[Entry], Obj]:
        """What a list answers: entries sorted by key, and the list's metadata. Errors: 400, 410, 504."""
        chosen = self.filter(kind, options)
        revision, start = options.revision, ""
        exact = options.match == "Exact" or (not options.match and options.limit > 0 and bool(revision))
        if options.token:
            revision, start = decode_token(options.token)
            exact = revision > 0
        if exact:
            assert revision is not None
            return await self._at(kind, namespace, chosen, revision, start, options)
        if revision is None or revision < 0:
            await self.catch_up()
        elif revision:
            await self._reach(revision)
        return self._page(kind, namespace, chosen, self._cache.revision, start, options.limit)

    def filter(self, kind: Kind, options: ListOptions) -> Filter:
        """Errors: 400 for a field the kind cannot be selected by."""
        for requirement in options.fields.requirements:
            if not kind.shown.supports_field(requirement.name):
                raise bad_request(_unsupported_field(kind, requirement.name))
        return Filter(options.labels, options.fields, kind.fields_of, keep=kind.same)

    def _page(self, kind: Kind, namespace: str, chosen: Filter, revision: int, start: str, limit: int) -> tuple[Sequence[Entry], Obj]:
        """A page out of the cache as it stands."""
        cache = kind.cache
        if not limit and not start:
            return cache.select(namespace, chosen), {"resourceVersion": str(revision)}
        low, high = cache.span(namespace)
        keys = cache.keys[max(low, bisect.bisect_left(cache.keys, start)):high]
        entries = cache.entries
        if not chosen.selective:
            page = [entries[k] for k in (keys[:limit] if limit else keys)]
            return page, _page_meta(revision, page, len(keys) - len(page), False)
        found: list[Entry] = []
        for key in keys:
            entry = entries[key]
            if (chosen.name is None or entry.name == chosen.name) and chosen.matches(entry):
                if limit and len(found) == limit:
                    return found, _page_meta(revision, found, 1, True)
                found.append(entry)
        return found, _page_meta(revision, found, 0, True)

    async def _at(self, kind: Kind, namespace: str, chosen: Filter, revision: int, start: str, options: ListOptions) -> tuple[Sequence[Entry], Obj]:
        """A page at exactly `revision`: from the cache if the kind has not changed since, else from the store's history."""
        if kind.cache.changed <= revision <= self._cache.revision:
            return self._page(kind, namespace, chosen, revision, start, options.limit)
        inside = f"{namespace}/" if namespace else ""
        first = kind.store_key(max(start, inside))
        end = kind.store_key(namespace + "0") if namespace else kind.prefix[:-1].encode() + b"0"
        limit = 0 if chosen.selective else options.limit
        try:
            result = await self._store.range(first, end, revision=revision, limit=limit)
        except FutureRevision as error:
            raise too_large(revision, error.current) from None
        except Compacted:
            raise _expired_list(options.token, start) from None
        except StoreError as error:
            raise internal_error(str(error)) from error
        cut = len(kind.prefix)
        found = [Entry(kv.key.decode()[cut:], kv.mod_revision, with_revision(kv.value, kv.mod_revision)) for kv in result.kvs]
        if not chosen.selective:
            return found, _page_meta(revision, found, result.count - len(found), False)
        found = [e for e in found if (chosen.name is None or e.name == chosen.name) and chosen.matches(e)]
        page = found[:options.limit] if options.limit else found
        return page, _page_meta(revision, page, len(found) - len(page), True)

    # watches

    async def watch(self, request: Request, info: RequestInfo, kind: Kind) -> Response:
        accepted = negotiate(request.headers.get("accept", ""))
        options = list_options(request, watch=True)
        form = self.form(kind, accepted, request)
        chosen = self.filter(kind, options)
        if info.name:
            chosen.name = info.name
        if options.revision:
            await self._reach(options.revision)
        else:
            await self.catch_up()
        watcher = Watcher(info.namespace, chosen, form, bookmarks=options.bookmarks)
        return Response(stream=self._follow(kind, watcher, chosen, form, options))

    async def _follow(self, kind: Kind, watcher: Watcher, chosen: Filter, form: PlainForm, options: ListOptions) -> AsyncIterator[bytes]:
        """The watch's lines. Subscribes only now, so that a stream nobody ever reads leaves nothing behind."""
        revision = options.revision or 0
        if revision and revision < kind.cache.oldest:
            yield event_line("ERROR", read_error(expired(f"too old resource version: {revision} ({kind.cache.oldest})")))
            return
        cache = kind.cache
        started = self._cache.revision
        initial = options.initial_events if options.initial_events is not None else not revision
        existing: list[Entry] = cache.select(watcher.namespace, chosen) if initial else []
        if not initial and revision:
            self._replay(kind, watcher, revision)
        cache.subscribe(watcher)
        timeout = options.timeout_s or random.uniform(*WATCH_S)
        timer = asyncio.get_running_loop().call_later(timeout, self._time_out, watcher)
        try:
            for at in range(0, len(existing), INITIAL_BATCH):
                yield b"".join([event_line("ADDED", form.render(e)) for e in existing[at:at + INITIAL_BATCH]])
            existing.clear()
            if options.initial_events:
                yield event_line("BOOKMARK", form.bookmark(max(started, revision), initial_end=True))
            while (chunk := await watcher.take()) is not None:
                yield chunk
        finally:
            timer.cancel()
            cache.unsubscribe(watcher)

    def _time_out(self, watcher: Watcher) -> None:
        watcher.bookmark(self._cache.revision)
        watcher.end()

    def _replay(self, kind: Kind, watcher: Watcher, revision: int) -> None:
        """Queue the changes after `revision` that this watcher would have seen; history is bounded by the queue's own limit."""
        for change in kind.cache.since(revision):
            namespace, _, name = change.current.key.rpartition("/")
            if watcher.namespace in ("", namespace) and watcher.name in ("", name):
                watcher.offer(change, {})


def _page_meta(revision: int, page: Sequence[Entry], remaining: int, selective: bool) -> Obj:
    """A page's list metadata; `remaining` keys follow it (with selectors only whether there are any is known)."""
    meta: Obj = {"resourceVersion": str(revision)}
    if remaining > 0 and page:
        meta["continue"] = encode_token(revision, page[-1].key)
        if not selective:
            meta["remainingItemCount"] = remaining
    return meta


def _expired_list(token: str, start: str) -> StatusError:
    if not token:
        return expired("The resourceVersion for the provided list is too old.")
    error = expired(_TOO_OLD)
    error.status["metadata"] = {"continue": encode_token(-1, start.removesuffix("\x00"))}
    return error


def _unsupported_field(kind: Kind, name: str) -> str:
    if kind.shown.field_labels:
        return f"field label not supported: {name}"
    return f'"{name}" is not a known field selector: only "metadata.name", "metadata.namespace"'
