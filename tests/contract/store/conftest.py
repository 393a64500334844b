"""One suite, every store: the fixture `suite` runs a scenario on a fresh store with a clock that moves only when told to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from kogia.base.clock import FakeClock
from kogia.store.memory import MemoryStore
from kogia.store.sqlite import SqliteStore

KINDS = ("memory", "sqlite")


def make(kind: str, folder: Path, clock: FakeClock, **options: Any) -> Any:
    if kind == "memory":
        return MemoryStore(clock=clock, **options)
    return SqliteStore(folder / "store.db", clock=clock, **options)


@pytest.fixture(params=KINDS)
def suite(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., None]:
    """`suite(scenario, **options)` awaits `scenario(store, clock)`."""

    def run(scenario: Callable[[Any, FakeClock], Awaitable[None]], **options: Any) -> None:
        async def main() -> None:
            clock = FakeClock()
            store = make(request.param, tmp_path, clock, **options)
            try:
                async with asyncio.timeout(30):
                    await scenario(store, clock)
            finally:
                await store.close()

        asyncio.run(main())

    return run
