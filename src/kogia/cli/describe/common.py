"""What all describers share: indented aligned lines, labels, and the table of events."""

from __future__ import annotations

import time
from typing import Any

from kogia.base.clock import parse_rfc3339
from kogia.cli.connection import Api, ApiFailure

Obj = dict[str, Any]


class Writer:
    """Lines of tab-separated cells at a depth; `text` aligns each run of lines as Go's tabwriter (min width 0, padding 2) does."""

    def __init__(self) -> None:
        self._lines: list[tuple[int, list[str]]] = []

    def line(self, depth: int, *cells: Any) -> None:
        self._lines.append((depth, [str(c) for c in cells]))

    def include(self, other: Writer, *, title_lead: str, lead: str) -> None:
        """The lines of another writer, its first moved right by `title_lead`, those at depth 1 by `lead`."""
        for i, (depth, cells) in enumerate(other._lines):
            self._lines.append((0, [(title_lead if i == 0 else lead if depth == 1 else "") + "  " * depth + cells[0], *cells[1:]]))

    def text(self) -> str:
        rows = [["  " * depth + cells[0], *cells[1:]] for depth, cells in self._lines]
        return "".join(line.rstrip(" ") + "\n" if len(row) == 1 else line + "\n" for row, line in zip(rows, _align(rows), strict=True))


def _align(rows: list[list[str]]) -> list[str]:
    """A column is a block of consecutive rows that have a cell there followed by another: each block is as wide as its widest cell."""
    out = ["" for _ in rows]
    _column(rows, 0, len(rows), 0, out)
    return out


def _column(rows: list[list[str]], start: int, end: int, column: int, out: list[str]) -> None:
    i = start
    while i < end:
        if len(rows[i]) <= column:
            i += 1
            continue
        if len(rows[i]) == column + 1:
            out[i] += rows[i][column]
            i += 1
            continue
        j = i
        while j < end and len(rows[j]) > column + 1:
            j += 1
        width = max(len(rows[k][column]) for k in range(i, j)) + 2
        for k in range(i, j):
            out[k] += rows[k][column].ljust(width)
        _column(rows, i, j, column + 1, out)
        i = j


def pairs(writer: Writer, title: str, values: Obj | None, depth: int = 0, separator: str = "=", skip: tuple[str, ...] = ()) -> None:
    """`Labels:  a=b` with one pair a line; `<none>` if empty."""
    shown = {k: v for k, v in sorted((values or {}).items()) if k not in skip}
    if not shown:
        writer.line(depth, f"{title}:", "<none>")
        return
    for i, (key, value) in enumerate(shown.items()):
        text = f"{key}{separator}{value}"
        writer.line(depth, f"{title}:" if i == 0 else " ", text.rstrip("\n") if len(text) < 140 else text[:137] + "...")


def annotation_lines(writer: Writer, values: Obj | None, depth: int = 0) -> None:
    pairs(writer, "Annotations", values, depth, ": ", ("kubectl.kubernetes.io/last-applied-configuration",))


def moment(text: str | None) -> str:
    """RFC 1123 with a numeric zone, in local time, as describe shows times."""
    if not text:
        return "<unset>"
    return time.strftime("%a, %d %b %Y %H:%M:%S %z", time.localtime(parse_rfc3339(text)))


def age(text: str | None) -> str:
    from kogia.api.tables.age import duration

    if not text:
        return "<unknown>"
    passed = time.time() - parse_rfc3339(text)
    return duration(max(0.0, passed)) if passed > -2 else "<invalid>"


def events(api: Api, obj: Obj, writer: Writer) -> None:
    meta = obj["metadata"]
    selector = [f"involvedObject.name={meta['name']}", f"involvedObject.kind={obj['kind']}"]
    if meta.get("namespace"):
        selector.append(f"involvedObject.namespace={meta['namespace']}")
    if obj["kind"] != "Node":
        selector.append(f"involvedObject.uid={meta['uid']}")
    try:
        path = f"/api/v1/namespaces/{meta['namespace']}/events" if meta.get("namespace") else "/api/v1/events"
        found = api.call("GET", path, query={"fieldSelector": ",".join(selector)})["items"]
    except ApiFailure as error:
        writer.line(0, "Events:", f"<error: {error}>")
        return
    if not found:
        writer.line(0, "Events:", "<none>")
        return
    writer.line(0, "Events:")
    writer.line(1, "Type", "Reason", "Age", "From", "Message")
    writer.line(1, "----", "------", "----", "----", "-------")
    for event in sorted(found, key=_last):
        source = (event.get("source") or {}).get("component") or event.get("reportingComponent") or ""
        writer.line(1, event.get("type", ""), event.get("reason", ""), _event_age(event), source, (event.get("message") or "").strip())


def _last(event: Obj) -> str:
    series = event.get("series") or {}
    return series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]


def _event_age(event: Obj) -> str:
    first = event.get("firstTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
    count = (event.get("series") or {}).get("count") or event.get("count") or 1
    if count > 1:
        return f"{age(_last(event))} (x{count} over {age(first)})"
    return age(first)
