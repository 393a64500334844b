"""Reading a container's log file as CRI writes it: `TIME stdout|stderr P|F TEXT` per line, P for a line that goes on.

Follows across rotation (the file under the name is another one). Source: k8s.io/cri-client pkg/logs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import IO

from kogia.base.clock import parse_rfc3339
from kogia.cli.crictl import duration

POLL_S = 0.2
CHUNK = 64 * 1024


def split(line: bytes) -> tuple[bytes, str, bytes] | None:
    """(time, stream, text with its newline unless it goes on); None for a line of another shape."""
    parts = line.rstrip(b"\n").split(b" ", 3)
    if len(parts) < 3 or parts[1] not in (b"stdout", b"stderr"):
        return None
    text = parts[3] if len(parts) == 4 else b""
    partial = parts[2].split(b":")[0] == b"P"
    return parts[0], parts[1].decode(), text if partial else text + b"\n"


def tail_offset(file: IO[bytes], lines: int) -> int:
    """Where the last `lines` lines begin; negative = all. Reads from the end, only as far as needed."""
    end = file.seek(0, os.SEEK_END)
    if lines < 0:
        return 0
    if lines == 0:
        return end
    position, count = end, 0
    while position > 0:
        start = max(0, position - CHUNK)
        file.seek(start)
        block = file.read(position - start)
        at = len(block)
        while (at := block.rfind(b"\n", 0, at)) != -1:
            if start + at == end - 1:
                continue
            count += 1
            if count == lines:
                return start + at + 1
        position = start
    return 0


def since_time(text: str, now: float) -> float:
    """Seconds since the epoch. Errors: ValueError."""
    if not text:
        return 0.0
    try:
        return parse_rfc3339(text)
    except ValueError:
        pass
    try:
        return now - duration(text)
    except argparse.ArgumentTypeError:
        raise ValueError(f"failed parsing since time {text!r}") from None


class _Printer:
    def __init__(self, options: argparse.Namespace) -> None:
        self._since = since_time(options.since, time.time())
        self._left = options.limit_bytes
        self._timestamps = options.timestamps
        self._fresh = {"stdout": True, "stderr": True}
        self.done = options.limit_bytes == 0

    def line(self, raw: bytes) -> None:
        parsed = split(raw)
        if parsed is None or self.done:
            return
        moment, stream, text = parsed
        if self._since and parse_rfc3339(_micros(moment.decode())) < self._since:
            return
        if self._timestamps and self._fresh[stream]:
            text = moment + b" " + text
        self._fresh[stream] = text.endswith(b"\n")
        if self._left >= 0:
            text = text[: self._left]
            self._left -= len(text)
            self.done = self._left == 0
        target = sys.stderr if stream == "stderr" else sys.stdout
        target.buffer.write(text)
        target.flush()


def _micros(moment: str) -> str:
    """RFC 3339 with at most six digits of fraction, which is all Python reads."""
    head, dot, rest = moment.partition(".")
    if not dot:
        return moment
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return f"{head}.{rest[: min(digits, 6)].ljust(6, '0')}{rest[digits:]}"


async def show(path: str, options: argparse.Namespace, running: Callable[[], Awaitable[bool]]) -> None:
    """Print the file at `path`; with `options.follow` go on until the container ended. Errors: FileNotFoundError, ValueError."""
    printer = _Printer(options)
    file: IO[bytes] = open(path, "rb")  # noqa: SIM115 - replaced on rotation
    try:
        file.seek(tail_offset(file, options.tail))
        rest = b""
        while not printer.done:
            ending = options.follow and not await running()
            while not printer.done and (line := file.readline()):
                rest += line
                if rest.endswith(b"\n"):
                    printer.line(rest)
                    rest = b""
            if printer.done or not options.follow or ending:
                break
            if (fresh := _rotated(path, file)) is not None:
                file.close()
                file = fresh
                continue
            await asyncio.sleep(POLL_S)
    finally:
        file.close()


def _rotated(path: str, file: IO[bytes]) -> IO[bytes] | None:
    try:
        if os.stat(path).st_ino != os.fstat(file.fileno()).st_ino:
            return open(path, "rb")
    except FileNotFoundError:  # between rename and the new file
        pass
    return None
