"""Kubernetes' two time formats: RFC 3339 in UTC to the second (`metav1.Time`), or to the microsecond (`metav1.MicroTime`).

Light, no I/O; "now" comes from the callers' clocks as `datetime` or epoch seconds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)", re.ASCII)


class TimeError(ValueError):
    """The text is no RFC 3339 time; the message is Go's."""


def _parse(text: str, layout: str) -> datetime:
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise TimeError(_go_message(text, layout))
    year, month, day, hour, minute, second = (int(match[i]) for i in range(1, 7))
    micros = int(((match[7] or "") + "000000")[:6])
    try:
        moment = datetime(year, month, day, hour, minute, second, micros, tzinfo=UTC)
        if match[8] != "Z":
            offset = timedelta(hours=int(match[8][1:3]), minutes=int(match[8][4:6]))
            moment = moment - offset if match[8][0] == "+" else moment + offset
    except (ValueError, OverflowError):
        part = "month" if not 1 <= month <= 12 else "day" if not (1 <= day <= 31) or hour < 24 and minute < 60 and second < 60 else "hour"
        raise TimeError(f'parsing time "{text}": {part} out of range') from None
    return moment


def _go_message(text: str, layout: str) -> str:
    steps = (("2006", r"\d{4}"), ("-", "-"), ("01", r"\d\d"), ("-", "-"), ("02", r"\d\d"), ("T", "T"), ("15", r"\d\d"), (":", ":"), ("04", r"\d\d"),
             (":", ":"), ("05", r"\d\d"))
    at = 0
    for name, pattern in steps:
        match = re.compile(pattern, re.ASCII).match(text, at)
        if match is None:
            return f'parsing time "{text}" as "{layout}": cannot parse "{text[at:]}" as "{name}"'
        at = match.end()
    fraction = re.compile(r"[.,]\d+").match(text, at)
    at = fraction.end() if fraction else at
    zone = re.compile(r"Z|[+-]\d\d:\d\d").match(text, at)
    if zone is None:
        return f'parsing time "{text}" as "{layout}": cannot parse "{text[at:]}" as "Z07:00"'
    return f'parsing time "{text}": extra text: "{text[zone.end():]}"'


def parse_time(text: str) -> datetime:
    """Either format as an aware UTC datetime. Errors: TimeError."""
    return _parse(text, "2006-01-02T15:04:05Z07:00")


def normal_time(text: str) -> str:
    """What Kubernetes prints after reading `text` as a Time: UTC, whole seconds. Errors: TimeError."""
    return format_time(parse_time(text))


def normal_microtime(text: str) -> str:
    """The same for MicroTime: UTC, six digits. Errors: TimeError."""
    return format_microtime(_parse(text, "2006-01-02T15:04:05.000000Z07:00"))


def format_time(moment: datetime | float) -> str:
    """`2026-11-21T08:30:00Z` from an aware datetime or epoch seconds."""
    if not isinstance(moment, datetime):
        moment = datetime.fromtimestamp(moment, UTC)
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}".rjust(20, "0")


def format_microtime(moment: datetime | float) -> str:
    """`2026-11-21T08:30:00.000000Z` from an aware datetime or epoch seconds."""
    if not isinstance(moment, datetime):
        moment = datetime.fromtimestamp(moment, UTC)
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}".rjust(27, "0")
