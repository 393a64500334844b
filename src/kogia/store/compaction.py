"""Keeping history short: the loop a server runs beside its store.

History serves pages of a list that are still being fetched and watchers that catch up; minutes of it are enough.
"""

from __future__ import annotations

import logging

from kogia.base.clock import Clock
from kogia.store.interface import Compacted, Store, StoreError

log = logging.getLogger("kogia.store")


async def compact_periodically(store: Store, clock: Clock, *, keep_s: float = 300.0, keep_revisions: int = 10_000) -> None:
    """Compact every `keep_s` seconds, so that at least the last `keep_s` seconds and the last `keep_revisions` revisions stay.

    Runs until cancelled. A failing compaction is logged and tried again next time.
    """
    seen = store.revision
    while True:
        await clock.sleep(keep_s)
        target = min(seen, store.revision - keep_revisions)
        seen = store.revision
        if target <= max(store.compact_revision, 0):
            continue
        try:
            await store.compact(target)
        except Compacted:
            continue  # another server was first
        except StoreError as error:
            log.warning("compaction to revision %d failed: %s", target, error)
