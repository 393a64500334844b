"""crictl's words: ages, sizes, tables, durations, log lines."""

import argparse
import io
import os

import pytest

from kogia.cli import crictl, crictl_logs
from kogia.cli.crictl_show import ago, human_size, labels_of, short, table


def test_ages_and_sizes():
    expected = {0: "Less than a second", 1: "1 second", 59: "59 seconds", 60: "About a minute", 119: "About a minute", 120: "2 minutes"}
    expected |= {3600: "About an hour", 7200: "2 hours", 86400 * 2: "2 days", 86400 * 14: "2 weeks", 86400 * 90: "3 months", 86400 * 800: "2 years"}
    assert {s: ago(0, now=s).removesuffix(" ago") for s in expected} == expected
    assert [human_size(n) for n in (0, 999, 4_260_000, 1_500, 123_456_789_000)] == ["0B", "999B", "4.26MB", "1.5kB", "123GB"]
    assert short("sha256:0123456789abcdef") == "0123456789abc"


def test_table_columns_are_twenty_wide():
    assert table([["A", "B"], ["1", "2"], ["x" * 20, "y"]]).splitlines() == ["A" + " " * 22 + "B", "1" + " " * 22 + "2", "x" * 20 + "   y"]
    assert table([["A", "B"], ["1", "2"]]).splitlines()[0] == "A" + " " * 19 + "B"


def test_durations_and_labels():
    assert [crictl.duration(d) for d in ("2", "1.5", "2s", "1m30s", "2h", "200ms")] == [2, 1.5, 2, 90, 7200, 0.2]
    with pytest.raises(argparse.ArgumentTypeError):
        crictl.duration("soon")
    assert labels_of(["a=b", "c=d=e"]) == {"a": "b", "c": "d=e"}
    with pytest.raises(ValueError, match="incorrectly specified"):
        labels_of(["a"])


def test_log_lines():
    line = b"2026-11-21T08:00:00.123456789+00:00 stderr F hello world\n"
    assert crictl_logs.split(line) == (b"2026-11-21T08:00:00.123456789+00:00", "stderr", b"hello world\n")
    assert crictl_logs.split(b"2026-11-21T08:00:00Z stdout P half\n")[2] == b"half"
    assert crictl_logs.split(b"2026-11-21T08:00:00Z stdout F \n")[2] == b"\n"
    assert crictl_logs.split(b"garbage\n") is None
    assert crictl_logs.since_time("5m", 1000) == 700 and crictl_logs.since_time("1970-01-01T00:01:00Z", 0) == 60


@pytest.mark.parametrize("count", [-1, 0, 1, 2, 3, 5000, 20000])
def test_the_tail_is_found_from_the_end(count):
    lines = [os.urandom(8).hex().encode() * (n % 7) + b"\n" for n in range(10_000)]
    data = b"".join(lines)
    wanted = data if count < 0 else b"".join(lines[max(0, len(lines) - count) :])
    assert data[crictl_logs.tail_offset(io.BytesIO(data), count) :] == wanted
