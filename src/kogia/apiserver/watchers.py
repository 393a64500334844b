"""One client's watch: which changes it sees, as what, and the bounded queue between the cache and the client's connection.

A change is rendered once for all watchers that want the same form of it (`encoded` is shared by one change's watchers). A watcher
whose queue is full is ended, so that a slow client costs nobody else anything; it comes back with the last revision it saw.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Protocol

from kogia.apiserver.encoding import with_revision
from kogia.apiserver.interface import CacheEvent
from kogia.apiserver.kindcache import Entry, Filter

#: events (not yet joined for the connection) a client may be behind
QUEUE_EVENTS = 8192
#: bytes put into one chunk at most, so that one catch-up does not fill the connection's buffers at once
CHUNK_BYTES = 256 * 1024


class Form(Protocol):
    """How objects are shown: equal forms are the same instance."""

    def render(self, entry: Entry) -> bytes:
        """JSON of one object."""

    def bookmark(self, revision: int, *, initial_end: bool = False) -> bytes:
        """JSON of the object a BOOKMARK carries."""


def event_line(kind: str, body: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), body)


class Watcher:
    """Listens to one kind's cache. `take` gives what has queued up as one chunk, or None once the watch has ended."""

    __slots__ = ("namespace", "name", "_filter", "_form", "_queue", "_limit", "_waiter", "_ended", "wants_bookmarks")

    def __init__(self, namespace: str, chosen: Filter, form: Form, *, bookmarks: bool = False, limit: int = QUEUE_EVENTS) -> None:
        self.namespace, self.name = namespace, chosen.name or ""
        self._filter, self._form = chosen, form
        self._queue: deque[bytes] = deque()
        self._limit = limit
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self.wants_bookmarks = bookmarks

    def line(self, event: CacheEvent, encoded: dict[Any, bytes]) -> bytes | None:
        """The event as this watcher sees it, None if it does not.

        An object that stops matching is DELETED with its old state and the new revision; one that begins to match is ADDED.
        """
        chosen, kind = self._filter, event.type
        shown: Any = event.current
        if not chosen.everything:
            before = event.previous is not None and chosen.matches(event.previous)  # type: ignore[arg-type]
            if kind == "DELETED":
                if not before:
                    return None
            elif chosen.matches(shown):
                kind = "MODIFIED" if before else "ADDED"
            elif before:
                kind = "DELETED"
                assert event.previous is not None
                shown = None
            else:
                return None
        key = (self._form, kind)
        line = encoded.get(key)
        if line is None:
            if shown is None:
                previous = event.previous
                assert previous is not None
                shown = Entry(previous.key, event.current.revision, with_revision(previous.data, event.current.revision))
            line = encoded[key] = event_line(kind, self._form.render(shown))
        return line

    def offer(self, event: CacheEvent, encoded: dict[Any, bytes]) -> None:
        line = self.line(event, encoded)
        if line is not None:
            self.push(line)

    def push(self, line: bytes) -> None:
        if self._ended:
            return
        if len(self._queue) >= self._limit:
            self.end()
            return
        self._queue.append(line)
        self._wake()

    def bookmark(self, revision: int) -> None:
        if self.wants_bookmarks:
            self.push(event_line("BOOKMARK", self._form.bookmark(revision)))

    def end(self) -> None:
        """No more events; what is queued is still delivered."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def take(self) -> bytes | None:
        """The next chunk of lines. Cancel: safe."""
        while True:
            queue = self._queue
            if queue:
                if len(queue) == 1:
                    return queue.popleft()
                lines, size = [], 0
                while queue and size < CHUNK_BYTES:
                    line = queue.popleft()
                    lines.append(line)
                    size += len(line)
                return b"".join(lines)
            if self._ended:
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None


class EventQueue:
    """A reader inside the server: like `Watcher`, but it is given the events themselves."""

    __slots__ = ("namespace", "name", "_queue", "_limit", "_waiter", "_ended")

    def __init__(self, limit: int = QUEUE_EVENTS) -> None:
        self.namespace = self.name = ""
        self._queue: deque[CacheEvent] = deque()
        self._limit = limit
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False

    def offer(self, event: CacheEvent, encoded: dict[Any, bytes]) -> None:
        if self._ended:
            return
        if len(self._queue) >= self._limit:
            self.end()
            return
        self._queue.append(event)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def bookmark(self, revision: int) -> None:
        """Readers inside the server have `wait_for`."""

    def end(self) -> None:
        self._ended = True
        self._queue.clear()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def take(self) -> CacheEvent | None:
        """The next event, None once this reader has been dropped."""
        while not self._queue:
            if self._ended:
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._queue.popleft()
