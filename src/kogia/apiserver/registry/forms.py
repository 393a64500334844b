"""The shapes objects are sent in: as stored, in another version, as metadata only, as rows of a Table.

A `Form` renders one entry of the watch cache and whole lists of them. The plain form never decodes: its list is a join of stored
bytes. Forms are interned (`form_for`), so that watchers of equal forms share what is rendered.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from kogia.api.conversion import convert
from kogia.api.kinds import ResourceInfo
from kogia.api.tables import columns, row
from kogia.apiserver.encoding import dump
from kogia.apiserver.kindcache import Entry
from kogia.base.clock import Clock, RealClock

Obj = dict[str, Any]

INITIAL_END = "k8s.io/initial-events-end"


class PlainForm:
    """Objects in the version they are stored in: bytes as they are."""

    def __init__(self, resource: ResourceInfo) -> None:
        self.resource = resource
        self._head = b'{"kind":%b,"apiVersion":%b,"metadata":' % (dump(resource.list_kind), dump(resource.api_version))

    def render(self, entry: Entry) -> bytes:
        return entry.data

    def object(self, entry: Entry) -> Obj:
        """The decoded object in this form's version; treat as frozen."""
        return entry.peek()

    def list(self, entries: Sequence[Entry], meta: Obj) -> bytes:
        """A whole List; `meta` is its metadata."""
        return b'%b%b,"items":[%b]}' % (self._head, dump(meta), b",".join([self.render(e) for e in entries]))

    def bookmark(self, revision: int, *, initial_end: bool = False) -> bytes:
        meta: Obj = {"resourceVersion": str(revision), "creationTimestamp": None}
        if initial_end:
            meta["annotations"] = {INITIAL_END: "true"}
        return dump({"kind": self.resource.kind, "apiVersion": self.resource.api_version, "metadata": meta})


class StoredForm(PlainForm):
    """`PlainForm` with the list's join taken straight from the entries."""

    def list(self, entries: Sequence[Entry], meta: Obj) -> bytes:
        head = b'%b%b,"items":[' % (self._head, dump(meta))
        parts = [e.data for e in entries]
        if not parts:
            return head + b"]}"
        parts[0] = head + parts[0]  # so that one join, the only copy of it all, makes the whole answer
        parts[-1] += b"]}"
        return b",".join(parts)


class ConvertedForm(PlainForm):
    """Objects in another version than the stored one."""

    def object(self, entry: Entry) -> Obj:
        return convert(entry.peek(), self.resource)

    def render(self, entry: Entry) -> bytes:
        return dump(self.object(entry))


class MetadataForm(PlainForm):
    """PartialObjectMetadata: nothing but metadata."""

    def __init__(self, resource: ResourceInfo) -> None:
        super().__init__(resource)
        self._head = b'{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":'

    def object(self, entry: Entry) -> Obj:
        return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": entry.peek()["metadata"]}

    def render(self, entry: Entry) -> bytes:
        return dump(self.object(entry))

    def bookmark(self, revision: int, *, initial_end: bool = False) -> bytes:
        meta: Obj = {"resourceVersion": str(revision), "creationTimestamp": None}
        if initial_end:
            meta["annotations"] = {INITIAL_END: "true"}
        return dump({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta})


class TableForm(PlainForm):
    """Rows with the kind's columns. `include`: what each row carries along: Metadata, Object or None."""

    def __init__(self, resource: ResourceInfo, include: str, clock: Clock) -> None:
        super().__init__(resource)
        self._include, self._clock = include, clock
        self._columns = columns(resource)

    def _row(self, entry: Entry, now: float) -> Obj:
        obj = entry.peek()
        if self.resource.storage != (self.resource.group, self.resource.version, self.resource.kind):
            obj = convert(obj, self.resource)
        shown: Obj | None = None
        if self._include == "Object":
            shown = obj
        elif self._include == "Metadata":
            shown = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
        return {"cells": row(self.resource, obj, now), "object": shown}

    def _table(self, entries: Sequence[Entry], meta: Obj) -> bytes:
        now = self._clock.now()
        return dump({
            "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "columnDefinitions": self._columns,
            "rows": [self._row(e, now) for e in entries],
        })

    def render(self, entry: Entry) -> bytes:
        return self._table([entry], {"resourceVersion": str(entry.revision)})

    def list(self, entries: Sequence[Entry], meta: Obj) -> bytes:
        return self._table(entries, meta)

    def bookmark(self, revision: int, *, initial_end: bool = False) -> bytes:
        meta: Obj = {"resourceVersion": str(revision)}
        row_meta: Obj = {"resourceVersion": str(revision), "creationTimestamp": None}
        if initial_end:
            row_meta["annotations"] = {INITIAL_END: "true"}
        shown = {"kind": self.resource.kind, "apiVersion": self.resource.api_version, "metadata": row_meta}
        return dump({
            "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "columnDefinitions": self._columns,
            "rows": [{"cells": [], "object": shown}],
        })


@lru_cache(maxsize=2048)
def form_for(resource: ResourceInfo, shape: str = "object", include: str = "Metadata", clock: Any = None) -> PlainForm:
    """The one instance of a form. shape: object, metadata, table; include: see `TableForm`."""
    if shape == "table":
        return TableForm(resource, include, clock or RealClock())
    if shape == "metadata":
        return MetadataForm(resource)
    if resource.storage == (resource.group, resource.version, resource.kind):
        return StoredForm(resource)
    return ConvertedForm(resource)
