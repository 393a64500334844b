"""Reading container logs: tail over rotated files, since, timestamps, limit, follow.

Neighbours: log_lines.py (one line), logrotate.py (names of older files), server.py (who asks). Invariants: memory is bounded by one block and one
tail; a rotation while following loses nothing: the old file is read to its end before the new one; parts of a long line are joined.
Source: kubelet kuberuntime/logs ReadLogs.
"""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from kogia.kubelet.inotify import Watch
from kogia.kubelet.log_lines import Line, parse_line
from kogia.kubelet.logrotate import rotated_files

BLOCK = 64 * 1024
FOLLOW_CHECK_S = 0.25  #: how soon the end of a followed container is noticed


@dataclass(frozen=True, slots=True)
class LogOptions:
    """PodLogOptions. `since` is epoch seconds, 0 = everything; `tail` and `limit_bytes` None = unlimited; `stream` All, Stdout or Stderr."""

    follow: bool = False
    timestamps: bool = False
    since: float = 0.0
    tail: int | None = None
    limit_bytes: int | None = None
    stream: str = "All"


def since_stamp(seconds: float) -> bytes:
    """`seconds` in the form of a log line's first 29 bytes, for comparing without parsing."""
    whole = int(seconds // 1)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)).encode() + b".%09d" % int((seconds - whole) * 1e9)


def _stamp(moment: bytes) -> bytes:
    """A line's time as UTC with exactly nine digits and `Z`."""
    body = moment[:-6] if moment.endswith(b"+00:00") else moment.removesuffix(b"Z")
    whole, _, fraction = body.partition(b".")
    return whole + b"." + fraction.ljust(9, b"0") + b"Z"


class Formatter:
    """Raw CRI lines in, the user's bytes out. Keeps what must be known between lines."""

    def __init__(self, options: LogOptions) -> None:
        self._timestamps = options.timestamps
        self._since = since_stamp(options.since) if options.since else b""
        self._left = options.limit_bytes
        self._stream = {"Stdout": b"stdout", "Stderr": b"stderr"}.get(options.stream, b"")
        self._fresh = {b"stdout": True, b"stderr": True}
        self.full = options.limit_bytes == 0

    def format(self, raw: bytes) -> bytes:
        line = parse_line(raw)
        if line is None or (self._stream and line.stream != self._stream) or self.full:
            return b""
        if self._since and _stamp(line.time)[:29] < self._since:
            return b""
        out = self._text(line)
        if self._left is not None:
            out = out[: self._left]
            self._left -= len(out)
            self.full = self._left <= 0
        return out

    def _text(self, line: Line) -> bytes:
        prefix = _stamp(line.time) + b" " if self._timestamps and self._fresh[line.stream] else b""
        self._fresh[line.stream] = not line.partial
        return prefix + line.content + (b"" if line.partial else b"\n")


def _open(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.suffix == ".gz" else open(path, "rb")


def _lines_backwards(path: Path) -> Iterator[bytes]:
    """Whole lines of a file, last first."""
    if path.suffix == ".gz":
        with _open(path) as source:
            yield from reversed(source.read().split(b"\n")[:-1])
        return
    with open(path, "rb") as source:
        source.seek(0, os.SEEK_END)
        at, rest, first = source.tell(), b"", True
        while at > 0:
            size = min(BLOCK, at)
            at -= size
            source.seek(at)
            parts = (source.read(size) + rest).split(b"\n")
            rest = parts[0]
            lines = parts[1:]
            if first:
                lines, first = lines[:-1], False
            yield from reversed(lines)
        if rest:
            yield rest


def find_tail(files: list[Path], count: int) -> list[tuple[Path, int]]:
    """(file, how many of its last raw lines to take), oldest first: together the last `count` whole lines."""
    found: list[tuple[Path, int]] = []
    ends = 0
    for path in reversed(files):
        taken = 0
        for raw in _lines_backwards(path):
            line = parse_line(raw)
            if line is not None and not line.partial:
                if ends == count:
                    found.insert(0, (path, taken))
                    return found
                ends += 1
            taken += 1
        found.insert(0, (path, taken))
    return found


def _last_offset(path: Path, lines: int) -> int:
    """The byte at which the last `lines` whole lines of a plain file begin."""
    size = 0
    for taken, raw in enumerate(_lines_backwards(path)):
        if taken == lines:
            break
        size += len(raw) + 1
    return max(0, _whole_size(path) - size)


def _whole_size(path: Path) -> int:
    """The size up to the last line end."""
    with open(path, "rb") as source:
        source.seek(0, os.SEEK_END)
        end = source.tell()
        while end > 0:
            start = max(0, end - BLOCK)
            source.seek(start)
            found = source.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0


async def read_logs(path: Path, options: LogOptions, running: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The log as chunks. With `follow` until `running()` is false and everything is read; the caller closes the iterator to stop.

    Errors: FileNotFoundError when there is no log at all.
    """
    formatter = Formatter(options)
    files = [*rotated_files(path), path] if path.exists() else rotated_files(path)
    if not files:
        raise FileNotFoundError(2, "no such log", str(path))
    starts: dict[Path, int] = dict.fromkeys(files, -1)
    if options.tail is not None:
        starts = dict(find_tail(files, options.tail))
    watch = Watch(str(path.parent)) if options.follow else None
    try:
        for old in [f for f in starts if f != path]:
            for chunk in _read_old(old, starts[old], formatter):
                yield chunk
        while watch is not None and not path.exists() and running():
            await watch.changed(FOLLOW_CHECK_S)  # between a rotation's rename and the writer's reopening
        current = open(path, "rb") if path.exists() else None  # noqa: SIM115 (closed by _read_current)
        if current is not None and starts.get(path, -1) >= 0:
            current.seek(_last_offset(path, starts[path]))
        if current is None:
            return
        async for chunk in _read_current(path, current, formatter, running, watch):
            yield chunk
    finally:
        if watch is not None:
            watch.close()


def _read_old(path: Path, take: int, formatter: Formatter) -> Iterator[bytes]:
    with _open(path) as source:
        lines: list[bytes] | Iterator[bytes] = iter(source)
        if take >= 0:
            whole = source.read().split(b"\n")[:-1]
            lines = whole[len(whole) - take :]
        parts: list[bytes] = []
        size = 0
        for raw in lines:
            out = formatter.format(raw.rstrip(b"\n"))
            parts.append(out)
            size += len(out)
            if size >= BLOCK:
                yield b"".join(parts)
                parts, size = [], 0
        if parts:
            yield b"".join(parts)


async def _read_current(
    path: Path, source: IO[bytes], formatter: Formatter, running: Callable[[], bool], watch: Watch | None
) -> AsyncIterator[bytes]:
    rest = b""
    try:
        while not formatter.full:
            alive = running()  # asked before reading: what was written until the end is still read
            block = source.read(BLOCK)
            if block:
                *lines, rest = (rest + block).split(b"\n")
                out = b"".join(formatter.format(raw) for raw in lines)
                if out:
                    yield out
                continue
            if watch is None:
                return
            if _replaced(path, source):
                source.close()
                source, rest = open(path, "rb"), b""  # noqa: SIM115 (closed below)
                continue
            if not alive:
                return
            await watch.changed(FOLLOW_CHECK_S)
    finally:
        source.close()


def _replaced(path: Path, source: IO[bytes]) -> bool:
    """Whether a new file lies at `path`: the open one was rotated away and is read to its end."""
    try:
        return os.stat(path).st_ino != os.fstat(source.fileno()).st_ino
    except FileNotFoundError:
        return False
