"""All objects of one kind as the server last saw them, their recent history, and who watches them.

Synchronous and without I/O: `WatchCache` feeds `apply` in order of revision, readers look at any time between. An `Entry` holds the
bytes to send; its dict, labels and fields are made when first asked for. Invariants: `keys` is sorted as the store sorts; history is in
order of revision; every watch from a revision at or after `oldest` can be served without a gap; entries never change.
"""

from __future__ import annotations

import bisect
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from kogia.api.selectors import FieldSelector, LabelSelector
from kogia.apiserver.encoding import decode, with_revision
from kogia.apiserver.interface import CacheEvent
from kogia.store.interface import EventType, KeyValue, StoreEvent

log = logging.getLogger("kogia.apiserver")

Obj = dict[str, Any]

#: events of one kind kept for watches from the past
HISTORY_EVENTS = 5000
#: bytes of replaced and deleted objects one kind's history may hold on to
HISTORY_BYTES = 8 << 20

_NONE: dict[str, str] = {}


class Entry:
    """One object at one revision. `key` is `namespace/name` or `name`; `data` has the resource version in it."""

    __slots__ = ("key", "revision", "data", "_object", "_labels", "_fields")

    def __init__(self, key: str, revision: int, data: bytes) -> None:
        self.key, self.revision, self.data = key, revision, data
        self._object: Obj | None = None
        self._labels: dict[str, str] | None = None
        self._fields: dict[str, str] | None = None

    @property
    def namespace(self) -> str:
        return self.key.partition("/")[0] if "/" in self.key else ""

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    def object(self) -> Obj:
        """The decoded object, kept; treat as frozen."""
        if self._object is None:
            self._object = decode(self.data)
        return self._object

    def forget(self) -> None:
        """Let go of the decoded object: callbacks look once at every object there is, which must not keep them all in memory."""
        self._object = None

    def peek(self) -> Obj:
        """The decoded object, kept only if it was kept before: for passing looks at many objects. Treat as frozen."""
        return self._object if self._object is not None else decode(self.data)

    def labels(self) -> Mapping[str, str]:
        found = self._labels
        if found is None:
            has_any = b'"labels":{' in self.data  # most objects have none: no need to decode to see that
            found = self._labels = (self.peek()["metadata"].get("labels") or _NONE) if has_any else _NONE
        return found

    def fields(self, fields_of: Callable[[Obj], dict[str, str]]) -> Mapping[str, str]:
        found = self._fields
        if found is None:
            found = self._fields = fields_of(self.peek())
        return found


class Filter:
    """What a list or watch selects beyond its namespace. `name` is an exact metadata.name, answered without decoding.

    `keep` False: `fields_of` is not the kind's own way to name fields, so entries must not remember its answers.
    """

    __slots__ = ("labels", "fields", "name", "everything", "_fields_of", "_keep")

    def __init__(
        self, labels: LabelSelector, fields: FieldSelector, fields_of: Callable[[Obj], dict[str, str]], *, keep: bool = True,
    ) -> None:
        self.name = fields.exact("metadata.name")
        if self.name is not None and len(fields.requirements) == 1:
            fields = FieldSelector()
        self.labels, self.fields, self._fields_of, self._keep = labels, fields, fields_of, keep
        self.everything = labels.empty and fields.empty

    @property
    def selective(self) -> bool:
        """True when not everything in the namespace passes."""
        return not self.everything or self.name is not None

    def matches(self, entry: Entry) -> bool:
        """Namespace and exact name aside."""
        if self.everything:
            return True
        if not self.labels.empty and not self.labels.matches(entry.labels()):
            return False
        if self.fields.empty:
            return True
        return self.fields.matches(entry.fields(self._fields_of) if self._keep else self._fields_of(entry.peek()))


class Listener(Protocol):
    """A live watcher: `namespace` and `name` ("" = any) choose its events, `offer` must not block."""

    namespace: str
    name: str

    def offer(self, event: CacheEvent, encoded: dict[Any, bytes]) -> None: ...

    def end(self) -> None: ...

    def bookmark(self, revision: int) -> None: ...


class KindCache:
    """Begins empty at `revision`: everything before is out of its reach."""

    def __init__(self, revision: int) -> None:
        self.entries: dict[str, Entry] = {}
        self.keys: list[str] = []
        self.changed = revision  #: revision of the newest change applied
        self.oldest = revision  #: watches from here on can be served
        self.history: deque[CacheEvent] = deque()
        self._history_bytes = 0
        self._listeners: dict[tuple[str, str], set[Listener]] = {}
        self._callbacks: list[Callable[[CacheEvent], None]] = []

    # contents

    def load(self, kvs: Iterable[tuple[str, KeyValue]]) -> None:
        """Fill an empty cache, in key order."""
        for key, kv in kvs:
            self.entries[key] = Entry(key, kv.mod_revision, with_revision(kv.value, kv.mod_revision))
            self.keys.append(key)

    def reload(self, kvs: list[tuple[str, KeyValue]], revision: int) -> None:
        """Replace everything after a gap in the feed. History is gone; callbacks are told the differences."""
        before = self.entries
        self.entries, self.keys = {}, []
        self.history.clear()
        self._history_bytes = 0
        self.changed = self.oldest = revision
        self.load(kvs)
        for key, entry in self.entries.items():
            old = before.pop(key, None)
            if old is None or old.revision != entry.revision:
                self._call_back(CacheEvent("ADDED" if old is None else "MODIFIED", entry, old))
        for key, old in before.items():
            self._call_back(CacheEvent("DELETED", Entry(key, revision, with_revision(old.data, revision)), old))

    def span(self, namespace: str) -> tuple[int, int]:
        """The part of `keys` that lies in `namespace` ("" = all)."""
        if not namespace:
            return 0, len(self.keys)
        return bisect.bisect_left(self.keys, namespace + "/"), bisect.bisect_left(self.keys, namespace + "0")

    def select(self, namespace: str, chosen: Filter | None = None) -> list[Entry]:
        """The entries of a namespace that pass, sorted by key."""
        entries = self.entries
        if chosen is not None and chosen.name is not None and namespace:
            entry = entries.get(f"{namespace}/{chosen.name}")
            return [entry] if entry is not None and chosen.matches(entry) else []
        low, high = self.span(namespace)
        found = [entries[k] for k in (self.keys[low:high] if namespace else self.keys)]
        if chosen is None or not chosen.selective:
            return found
        if chosen.name is not None:
            found = [e for e in found if e.name == chosen.name]
        return [e for e in found if chosen.matches(e)]

    # changes

    def apply(self, key: str, event: StoreEvent) -> None:
        """Take over one change and tell everyone who wants it."""
        revision = event.kv.mod_revision
        previous = self.entries.get(key)
        if event.type is EventType.PUT:
            current = Entry(key, revision, with_revision(event.kv.value, revision))
            if previous is None:
                bisect.insort(self.keys, key)
            self.entries[key] = current
            change = CacheEvent("ADDED" if previous is None else "MODIFIED", current, previous)
        elif previous is not None:
            del self.entries[key]
            del self.keys[bisect.bisect_left(self.keys, key)]
            change = CacheEvent("DELETED", Entry(key, revision, with_revision(previous.data, revision)), previous)
        else:
            return
        self.changed = revision
        self._remember(change)
        self._tell(change)

    def _remember(self, change: CacheEvent) -> None:
        history = self.history
        history.append(change)
        self._history_bytes += _held(change)
        while len(history) > HISTORY_EVENTS or self._history_bytes > HISTORY_BYTES:
            gone = history.popleft()
            self._history_bytes -= _held(gone)
            self.oldest = gone.current.revision

    def since(self, revision: int) -> list[CacheEvent]:
        """The changes after `revision`, which must not be before `oldest`."""
        found: list[CacheEvent] = []
        for change in reversed(self.history):
            if change.current.revision <= revision:
                break
            found.append(change)
        found.reverse()
        return found

    # listeners

    def subscribe(self, listener: Listener) -> None:
        self._listeners.setdefault((listener.namespace, listener.name), set()).add(listener)

    def unsubscribe(self, listener: Listener) -> None:
        bucket = self._listeners.get((listener.namespace, listener.name))
        if bucket is not None:
            bucket.discard(listener)
            if not bucket:
                del self._listeners[listener.namespace, listener.name]

    def listeners(self) -> list[Listener]:
        return [listener for bucket in self._listeners.values() for listener in bucket]

    def on_change(self, callback: Callable[[CacheEvent], None]) -> None:
        for entry in self.entries.values():
            callback(CacheEvent("ADDED", entry, None))
            entry.forget()
        self._callbacks.append(callback)

    def _call_back(self, change: CacheEvent) -> None:
        for callback in self._callbacks:
            try:
                callback(change)
            except Exception:  # one faulty reader must not stop the feed of all others
                log.exception("a reader of the watch cache failed on %s", change.current.key)
        for entry in (change.current, change.previous):
            if entry is not None:
                entry.forget()  # type: ignore[attr-defined]

    def _tell(self, change: CacheEvent) -> None:
        if self._callbacks:
            self._call_back(change)
        if not self._listeners:
            return
        namespace, _, name = change.current.key.rpartition("/")
        encoded: dict[Any, bytes] = {}
        for bucket in {("", ""), (namespace, ""), (namespace, name), ("", name)}:
            for listener in list(self._listeners.get(bucket, ())):
                listener.offer(change, encoded)


def _held(change: CacheEvent) -> int:
    """Bytes an event keeps alive that the live entries do not."""
    previous = len(change.previous.data) if change.previous is not None else 0
    return previous + (len(change.current.data) if change.type == "DELETED" else 0) + 200
