"""What the registry keeps at hand per served row: its storage form, strategy, cache, keys and write hook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kogia.api.conversion import convert
from kogia.api.kinds import ResourceInfo
from kogia.api.resources import ResourceTable
from kogia.api.status import FieldError, StatusError, not_found
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
    shown: KindStrategy  #: of the request's version; validates and selects there
    cache: KindCache
    prefix: str  #: of its keys in the store
    hook: WriteHook
    same: bool  #: row and stored are one version

    def key(self, namespace: str, name: str) -> str:
        return f"{namespace}/{name}" if self.row.namespaced else name

    def store_key(self, key: str) -> bytes:
        return (self.prefix + key).encode()

    def errors_of_new(self, obj: Obj) -> list[FieldError]:
        """What the strategy of the request's version says of a new object in the stored one."""
        return self.strategy.validate_create(obj) if self.same else self.shown.validate_create(convert(obj, self.row))

    def errors_of_change(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        """The same of an update."""
        if self.same:
            return self.strategy.validate_update(obj, old, subresource)
        return self.shown.validate_update(convert(obj, self.row), convert(old, self.row), subresource)

    def fields_of(self, obj: Obj) -> dict[str, str]:
        """A stored object's selectable fields as the request's version names them."""
        return self.strategy.selectable_fields(obj) if self.same else self.shown.selectable_fields(convert(obj, self.row))

    def not_found(self, name: str) -> StatusError:
        return not_found(self.row.plural, name, self.row.group)


class Kinds:
    """Makes and remembers `Kind`s. Rows come from `table`, which may grow while the server runs."""

    def __init__(self, table: ResourceTable, hooks: Mapping[tuple[str, str], WriteHook], cache: WatchCache) -> None:
        self.table = table
        self._hooks, self._cache = hooks, cache
        self._known: dict[tuple[str, str, str], Kind] = {}

    def of(self, row: ResourceInfo) -> Kind:
        known = self._known.get((row.group, row.version, row.plural))
        if known is not None and known.row is row:
            return known
        stored = self.table.storage_row(row)
        made = Kind(
            row, stored, strategy_for(stored), strategy_for(row), self._cache.kind(stored.group, stored.plural), kind_prefix(stored.group, stored.plural),
            self._hooks.get((stored.group, stored.plural)) or WriteHook(),
            (row.group, row.version, row.kind) == (stored.group, stored.version, stored.kind),
        )
        self._known[row.group, row.version, row.plural] = made
        return made
