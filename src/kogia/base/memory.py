"""Python's garbage collection and the C library's free pages, moved to quiet moments.

A full collection walks every decoded object there is: while a server fills with Pods, Python's own schedule spends a sixth of its time
on that, in pauses of up to 200 ms. So full collections by allocation are made rare, and one runs when work has ended; the pages
it frees go back to the system, which malloc alone would keep. Young objects are collected as ever, so cycles of short life do not pile up.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import time

LOOK_S = 10.0
BUSY = 0.10  #: share of one core above which there was work worth tidying after
QUIET = 0.04  #: share below which nobody waits
#: net new containers before a young, middle (× 20) and full (× 400) collection
THRESHOLDS = (5_000, 20, 400)


def give_back() -> None:
    """Collect garbage and return free pages to the system, where the C library can."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class MemoryKeeper:
    """Looks every LOOK_S at this process's CPU time; once a busy stretch is over, `give_back`. Start it inside the running loop."""

    def __init__(self) -> None:
        self._stirred = True  # starting up leaves something to tidy
        self._at, self._cpu = time.monotonic(), time.process_time()
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """From here on the collector's thresholds are ours, and what exists now is never walked again."""
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
        self._handle = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _look(self) -> None:
        now, cpu = time.monotonic(), time.process_time()
        if self.due((cpu - self._cpu) / max(now - self._at, 0.001)):
            give_back()
        self._at, self._cpu = time.monotonic(), time.process_time()
        self._handle = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def due(self, share: float) -> bool:
        """Whether the time has come, `share` of a core having been used since the last look."""
        if share > BUSY:
            self._stirred = True
        elif share < QUIET and self._stirred:
            self._stirred = False
            return True
        return False
