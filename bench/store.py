"""The store alone: durable transactions per second, reads, opening. `python bench/store.py [--writers 16] [--count 20000]`.

Prints one line of JSON. Rates are per second, times in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

from kogia.store.interface import Compare, Put
from kogia.store.sqlite import SqliteStore


async def measure(folder: Path, writers: int, count: int) -> dict[str, float]:
    store = SqliteStore(folder / "db")
    value = b"v" * 850
    took: list[float] = []

    async def write(worker: int) -> None:
        for number in range(count // writers):
            key = b"/registry/core/configmaps/default/%03d-%06d" % (worker, number)
            begun = time.perf_counter()
            await store.txn([Compare(key, 0)], [Put(key, value)])
            took.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    await asyncio.gather(*(write(i) for i in range(writers)))
    results = {"writers": writers, "txn_per_s": len(took) / (time.perf_counter() - begun)}
    took.sort()
    results |= {"txn_p50_ms": took[len(took) // 2] * 1000, "txn_p99_ms": took[len(took) * 99 // 100] * 1000}
    begun = time.perf_counter()
    everything = await store.range(b"/registry/", b"/registry0")
    results |= {"range_all_ms": (time.perf_counter() - begun) * 1000, "keys": len(everything.kvs)}
    begun = time.perf_counter()
    await store.range(b"/registry/", b"/registry0", limit=500)
    results["range_500_ms"] = (time.perf_counter() - begun) * 1000
    begun = time.perf_counter()
    await store.compact(store.revision)
    results["compact_ms"] = (time.perf_counter() - begun) * 1000
    await store.close()
    begun = time.perf_counter()
    store = SqliteStore(folder / "db")
    results["open_ms"] = (time.perf_counter() - begun) * 1000
    await store.close()
    return {k: round(v, 3) for k, v in results.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--count", type=int, default=20_000)
    options = parser.parse_args()
    try:
        from uvloop import run
    except ImportError:
        from asyncio import run
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(run(measure(Path(folder), options.writers, options.count))))


if __name__ == "__main__":
    main()
