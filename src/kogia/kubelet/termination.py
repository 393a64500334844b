"""Termination messages: what a container left behind to be read in its status. Source: kubelet getTerminationMessage."""

from __future__ import annotations

from pathlib import Path

from kogia.kubelet.log_lines import parse_line

MAX_MESSAGE_BYTES = 4096
MAX_LOG_BYTES, MAX_LOG_LINES = 2048, 80


def termination_message(file: Path, log: Path, policy: str, exit_code: int) -> str:
    """The file wins; its log's tail stands in for it after a failure, when the policy says so. "" when there is nothing."""
    try:
        with open(file, "rb") as source:
            text = source.read(MAX_MESSAGE_BYTES)
    except OSError:
        text = b""
    if not text and policy == "FallbackToLogsOnError" and exit_code != 0:
        text = log_tail(log)
    return text.decode("utf-8", "replace")


def log_tail(log: Path) -> bytes:
    """The last 80 lines, at most 2048 bytes, of a CRI log without its prefixes."""
    try:
        with open(log, "rb") as source:
            source.seek(0, 2)
            size = source.tell()
            source.seek(max(0, size - 64 * 1024))
            raw = source.read()
    except OSError:
        return b""
    lines = raw.split(b"\n")
    if size > 64 * 1024:
        lines = lines[1:]
    parts: list[bytes] = []
    for line in lines:
        parsed = parse_line(line)
        if parsed is not None:
            parts.append(parsed.content + (b"" if parsed.partial else b"\n"))
    whole = b"".join(parts)
    tail = b"".join(whole.splitlines(keepends=True)[-MAX_LOG_LINES:])
    return tail[-MAX_LOG_BYTES:]
