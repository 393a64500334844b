"""Keeps container logs bounded: at 10 MiB a log is renamed, the runtime opens it anew, and at most five files stay.

Invariant: nothing is lost; the rename comes before the reopen, and the writer goes on in the renamed file until then.
Source: kubelet pkg/kubelet/logs container_log_manager.go (file names `<n>.log.<timestamp>`, compressed ones end in .gz).
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from kogia.cri.errors import CriError
from kogia.kubelet.node_context import NodeContext

log = logging.getLogger("kogia.kubelet.logrotate")

PERIOD_S = 10.0


def rotated_files(path: Path) -> list[Path]:
    """Older parts of a log, oldest first."""
    return sorted(p for p in path.parent.glob(path.name + ".*") if not p.name.endswith(".tmp"))


class LogRotator:
    """`running()` gives (container id, log path) pairs."""

    def __init__(self, node: NodeContext, running: Callable[[], list[tuple[str, str]]]) -> None:
        self._node = node
        self._running = running

    async def run(self) -> None:
        while True:
            await self._node.clock.sleep(PERIOD_S)
            for container_id, path in self._running():
                try:
                    if os.stat(path).st_size > self._node.config.log_max_bytes:
                        await self.rotate(container_id, Path(path))
                except FileNotFoundError:
                    continue
                except (OSError, CriError) as error:
                    log.warning("rotating %s: %s", path, error)

    async def rotate(self, container_id: str, path: Path) -> None:
        """Errors: OSError, CriError."""
        keep = max(0, self._node.config.log_max_files - 2)
        old = rotated_files(path)
        for extra in old[: max(0, len(old) - keep)]:
            extra.unlink(missing_ok=True)
        for plain in [p for p in rotated_files(path) if p.suffix != ".gz"]:
            await asyncio.to_thread(_compress, plain)
        renamed = path.with_name(f"{path.name}.{time.strftime('%Y%m%d-%H%M%S')}.{time.time_ns() % 10**9:09d}")
        os.rename(path, renamed)
        try:
            await self._node.runtime.reopen_container_log(container_id)
        except CriError:
            if not path.exists():
                os.rename(renamed, path)
            raise


def _compress(path: Path) -> None:
    partial = path.with_name(path.name + ".tmp")
    with open(path, "rb") as source, gzip.open(partial, "wb", compresslevel=1) as target:
        shutil.copyfileobj(source, target)
    os.rename(partial, path.with_name(path.name + ".gz"))
    path.unlink()
