"""One line of a CRI log: `2026-11-21T08:00:00.123456789Z stdout F text`. Pure. Source: CRI logging.md."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    time: bytes  #: RFC 3339 with nanoseconds, as written
    stream: bytes  #: b"stdout" or b"stderr"
    partial: bool  #: more of the same line follows
    content: bytes  #: without a line end


def parse_line(raw: bytes) -> Line | None:
    """None for what is no whole CRI line."""
    parts = raw.split(b" ", 3)
    if len(parts) < 3 or parts[1] not in (b"stdout", b"stderr"):
        return None
    return Line(parts[0], parts[1], parts[2].split(b":")[0] == b"P", parts[3] if len(parts) > 3 else b"")
