"""What containers use: cgroup counters, and the size of the writable layer, which is walked seldom because that costs."""

from __future__ import annotations

import os
import time
from pathlib import Path

from kogia.cri import types as t
from kogia.runtime import cgroups
from kogia.runtime.context import Context
from kogia.runtime.state import ContainerRecord

LAYER_MAX_AGE_S = 30.0
WALK_LIMIT = 200_000  #: entries; a larger layer is reported as far as it was walked


class LayerSizes:
    """Writable layers' (bytes, inodes), at most `LAYER_MAX_AGE_S` old."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, int, int]] = {}

    def of(self, container_id: str, upper: Path) -> tuple[int, int]:
        """Blocks for a walk when the known figure is old."""
        now = time.monotonic()
        known = self._known.get(container_id)
        if known is None or now - known[0] > LAYER_MAX_AGE_S:
            known = (now, *walk(upper))
            self._known[container_id] = known
        return known[1], known[2]

    def forget_all_but(self, container_ids: set[str]) -> None:
        for stale in self._known.keys() - container_ids:
            self._known.pop(stale, None)


def walk(directory: Path) -> tuple[int, int]:
    """(bytes on disk, inodes) below `directory`; files that vanish meanwhile are passed over."""
    used = inodes = 0
    pending = [str(directory)]
    while pending and inodes < WALK_LIMIT:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    try:
                        info = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    used += info.st_blocks * 512
                    inodes += 1
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
        except OSError:
            continue
    return used, inodes


def of(ctx: Context, record: ContainerRecord, layers: LayerSizes) -> t.ContainerStats:
    """Statistics of one container. Blocks; call it on a worker thread."""
    usage = cgroups.usage(ctx.machine.layout, record.cgroup)
    layer_bytes, layer_inodes = layers.of(record.id, ctx.bundle(record.id) / "upper")
    return t.ContainerStats(
        id=record.id,
        metadata=record.config.metadata,
        labels=record.config.labels,
        annotations=record.config.annotations,
        timestamp=time.time_ns(),
        cpu_usage_core_nanoseconds=usage.cpu_ns,
        memory_working_set_bytes=usage.working_set_bytes,
        memory_usage_bytes=usage.memory_bytes,
        memory_rss_bytes=usage.rss_bytes,
        writable_layer_used_bytes=layer_bytes,
        writable_layer_inodes_used=layer_inodes,
        pids=usage.pids,
    )
