"""Human ages as kubectl prints them: coarse, at most two units.

Source: k8s.io/apimachinery util/duration HumanDuration.
"""

from __future__ import annotations

from kogia.base.clock import parse_rfc3339


def _two(big: int, big_unit: str, small: int, small_unit: str) -> str:
    return f"{big}{big_unit}{small}{small_unit}" if small else f"{big}{big_unit}"


def duration(seconds: float) -> str:
    """`59s`, `2m5s`, `45m`, `3h12m`, `23h`, `2d3h`, `45d`, `2y3d`, `9y`; less than a second into the past shows as `0s`."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 120:
        return f"{max(whole, 0)}s"
    minutes = whole // 60
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    hours = whole // 3600
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 2 * 365:
        return f"{days}d"
    if days < 8 * 365:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def age(timestamp: str | None, now: float) -> str:
    """Time from an RFC 3339 timestamp to `now` (seconds since the epoch), `<unknown>` if there is none."""
    if not timestamp:
        return "<unknown>"
    return duration(now - parse_rfc3339(timestamp))
