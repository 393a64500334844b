"""A read cache in a dict, for whatever leans on `ReadCache`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from kogia.apiserver.interface import CacheEvent

Obj = dict[str, Any]


@dataclass
class Entry:
    key: str
    value: Obj
    revision: int = 1
    data: bytes = b""

    def object(self) -> Obj:
        return self.value


class FakeCache:
    """`put` and `remove` tell the listeners, as the real one does."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Entry]] = {}
        self.listeners: dict[tuple[str, str], list[Callable[[CacheEvent], None]]] = {}

    def put(self, group: str, plural: str, obj: Obj) -> Obj:
        metadata = obj["metadata"]
        metadata.setdefault("uid", f"uid-{metadata['name']}")
        key = f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else metadata["name"]
        kind = self.objects.setdefault((group, plural), {})
        old = kind.get(key)
        entry = kind[key] = Entry(key, obj)
        for listener in self.listeners.get((group, plural), ()):
            listener(CacheEvent("MODIFIED" if old else "ADDED", entry, old))  # type: ignore[arg-type]
        return obj

    def remove(self, group: str, plural: str, key: str) -> None:
        entry = self.objects[group, plural].pop(key)
        for listener in self.listeners.get((group, plural), ()):
            listener(CacheEvent("DELETED", entry, entry))  # type: ignore[arg-type]

    def get(self, resource: tuple[str, str], name: str, namespace: str = "") -> Entry | None:
        return self.objects.get(resource, {}).get(f"{namespace}/{name}" if namespace else name)

    def list(self, resource: tuple[str, str], namespace: str = "") -> list[Entry]:
        return [e for k, e in self.objects.get(resource, {}).items() if not namespace or k.startswith(namespace + "/")]

    def on_change(self, resource: tuple[str, str], callback: Callable[[CacheEvent], None]) -> None:
        self.listeners.setdefault(resource, []).append(callback)
        for entry in self.objects.get(resource, {}).values():
            callback(CacheEvent("ADDED", entry, None))  # type: ignore[arg-type]

    async def wait_for(self, revision: int) -> None:
        return None


@pytest.fixture
def cache() -> FakeCache:
    return FakeCache()
