"""What the registry keeps at hand per served row: its storage form, strategy, cache, keys and write hook."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kogia.api.kinds import ResourceInfo
from kogia.api.resources import ResourceTable
from kogia.api.status import StatusError, not_found
from kogia.api.strategies import KindStrategy, strategy_for
from kogia.apiserver.interface import WriteHook
from kogia.apiserver.kindcache import KindCache
from kogia.apiserver.watchcache import WatchCache, kind_prefix

Obj = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """`row` is what the request named, `stored` the row it is kept as; `strategy` works on objects in the stored version."""

    row: ResourceInfo
    stored: ResourceInfo
    strategy: KindStrategy
    cache: KindCache
    prefix: str  #: of its keys in the store
    hook: WriteHook
    same: bool  #: row and stored are one version

    def key(self, namespace: str, name: str) -> str:
        return f"{namespace}/{name}" if self.row.namespaced else name

    def store_key(self, key: str) -> bytes:
        return (self.prefix + key).encode()

    def not_found(self, name: str) -> StatusError:
        return not_found(self.row.plural, name, self.row.group)


class Kinds:
    """Makes and remembers `Kind`s. Rows come from `table`, which may grow while the server runs."""

    def __init__(self, table: ResourceTable, hooks: Mapping[tuple[str, str], WriteHook]) -> None:
        self.table = table
        self._hooks = hooks
        self._known: dict[tuple[str, str, str], Kind] = {}
        self._cache: WatchCache | None = None

    def attach(self, cache: WatchCache) -> None:
        self._cache = cache

    def fields_of(self, group: str, plural: str) -> Callable[[Obj], dict[str, str]]:
        """The selectable-fields function of a stored kind, found by group and plural; that of an unknown kind gives its name."""
        for row in self.table.storages():
            if row.group == group and row.plural == plural:
                return strategy_for(row).selectable_fields
        return _plain_fields

    def of(self, row: ResourceInfo) -> Kind:
        known = self._known.get((row.group, row.version, row.plural))
        if known is not None and known.row is row:
            return known
        stored = self.table.storage_row(row)
        assert self._cache is not None
        made = Kind(
            row, stored, strategy_for(stored), self._cache.kind(stored.group, stored.plural), kind_prefix(stored.group, stored.plural),
            self._hooks.get((stored.group, stored.plural)) or WriteHook(),
            (row.group, row.version, row.kind) == (stored.group, stored.version, stored.kind),
        )
        self._known[row.group, row.version, row.plural] = made
        return made


def _plain_fields(obj: Obj) -> dict[str, str]:
    meta = obj.get("metadata") or {}
    return {"metadata.name": meta.get("name", ""), "metadata.namespace": meta.get("namespace", "")}
