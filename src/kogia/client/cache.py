"""The pure half of an informer: objects by key, and indexes that follow every change.

No clocks, no I/O. Objects are kept as they come and never copied; whoever reads them treats them as frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kogia.client.interface import Obj

Objs = list[Obj]
Keys = list[str]

#: The index values an object is filed under.
Indexer = Callable[[Obj], Iterable[str]]


def object_key(obj: Obj) -> str:
    """"namespace/name", or "name" for cluster-scoped objects."""
    metadata = obj["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else metadata["name"]


def split_key(key: str) -> tuple[str, str]:
    """(namespace, name); the namespace is "" for cluster-scoped objects."""
    namespace, _, name = key.rpartition("/")
    return namespace, name


def strip_managed_fields(obj: Obj) -> Obj:
    """Drop what no component reads and what makes up half of an object's memory."""
    obj["metadata"].pop("managedFields", None)
    return obj


def by_field(*path: str) -> Indexer:
    """Index by one string field, e.g. by_field("spec", "nodeName"); objects without it are not filed."""

    def values(obj: Obj) -> Iterable[str]:
        at: Any = obj
        for step in path:
            if not isinstance(at, dict):
                return ()
            at = at.get(step)
        return (at,) if isinstance(at, str) and at else ()

    return values


def by_label(name: str) -> Indexer:
    """Index by the value of one label."""

    def values(obj: Obj) -> Iterable[str]:
        labels = obj["metadata"].get("labels") or {}
        return (labels[name],) if name in labels else ()

    return values


def by_owner(obj: Obj) -> Iterable[str]:
    """Index by the UIDs of all owners."""
    return [reference["uid"] for reference in obj["metadata"].get("ownerReferences") or ()]


def by_namespace(obj: Obj) -> Iterable[str]:
    return (obj["metadata"].get("namespace", ""),)


NAMESPACE = "namespace"


class Cache:
    """Always indexed by namespace; other indexes by name."""

    def __init__(self, indexers: Mapping[str, Indexer]) -> None:
        self._objects: dict[str, Obj] = {}
        self._indexers: dict[str, Indexer] = {NAMESPACE: by_namespace}
        self._indexes: dict[str, dict[str, dict[str, Obj]]] = {NAMESPACE: {}}
        self.add_indexers(indexers)

    def add_indexers(self, indexers: Mapping[str, Indexer]) -> None:
        for name, indexer in indexers.items():
            if name in self._indexers:
                continue
            self._indexers[name] = indexer
            index: dict[str, dict[str, Obj]] = {}
            self._indexes[name] = index
            for key, obj in self._objects.items():
                for value in indexer(obj):
                    index.setdefault(value, {})[key] = obj

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: str) -> Obj | None:
        return self._objects.get(key)

    def keys(self) -> Keys:
        return list(self._objects)

    def list(self, namespace: str = "") -> Objs:
        return self.by_index(NAMESPACE, namespace) if namespace else list(self._objects.values())

    def by_index(self, index: str, value: str) -> Objs:
        """Errors: KeyError for an index nobody added."""
        return list(self._indexes[index].get(value, {}).values())

    def put(self, obj: Obj) -> Obj | None:
        """Keep `obj`; returns what it replaces."""
        key = object_key(obj)
        old = self._objects.get(key)
        if old is not None:
            self._unfile(key, old)
        self._objects[key] = obj
        for name, indexer in self._indexers.items():
            index = self._indexes[name]
            for value in indexer(obj):
                index.setdefault(value, {})[key] = obj
        return old

    def remove(self, obj: Obj) -> Obj | None:
        """Forget the object of this key; returns what was kept."""
        key = object_key(obj)
        old = self._objects.pop(key, None)
        if old is not None:
            self._unfile(key, old)
        return old

    def _unfile(self, key: str, obj: Obj) -> None:
        for name, indexer in self._indexers.items():
            index = self._indexes[name]
            for value in indexer(obj):
                entries = index.get(value)
                if entries is not None:
                    entries.pop(key, None)
                    if not entries:
                        del index[value]

    def replace(self, objects: Iterable[Obj]) -> Iterable[tuple[Obj | None, Obj | None]]:
        """Become exactly `objects`; yields (old, new) for every difference, one step at a time as it is applied.

        An object recreated under the same name (another UID) comes as a delete and an add.
        """
        seen: set[str] = set()
        for obj in objects:
            key = object_key(obj)
            seen.add(key)
            old = self._objects.get(key)
            if old is not None and old["metadata"].get("resourceVersion") == obj["metadata"].get("resourceVersion"):
                continue
            if old is not None and old["metadata"].get("uid") != obj["metadata"].get("uid"):
                self.remove(old)
                yield old, None
                old = None
            self.put(obj)
            yield old, obj
        for key in [k for k in self._objects if k not in seen]:
            gone = self._objects[key]
            self.remove(gone)
            yield gone, None
