"""Log reading: options, rotated and compressed files, partial lines, follow over a rotation."""

import asyncio
import gzip
import os

import pytest

from kogia.kubelet.logs import LogOptions, read_logs


def line(i, text, stream="stdout", tag="F"):
    return f"2026-11-21T08:00:{i % 60:02d}.00000000{i % 10}+00:00 {stream} {tag} {text}\n".encode()


async def collect(path, running=lambda: False, **options):
    return b"".join([c async for c in read_logs(path, LogOptions(**options), running)])


def read(path, **options):
    return asyncio.run(collect(path, **options))


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "0.log"
    (tmp_path / "0.log.20261121-070000.000000001.gz").write_bytes(gzip.compress(b"".join(line(i, f"l{i}") for i in range(3))))
    (tmp_path / "0.log.20261121-080000.000000001").write_bytes(b"".join(line(i, f"l{i}") for i in range(3, 6)))
    path.write_bytes(b"".join(line(i, f"l{i}") for i in range(6, 10)))
    return path


def lines(*numbers):
    return b"".join(f"l{i}\n".encode() for i in numbers)


@pytest.mark.parametrize("tail", [0, 1, 3, 4, 5, 7, 8, 10, 50])
def test_tail_counts_over_rotated_files(log, tail):
    assert read(log, tail=tail) == lines(*range(max(0, 10 - tail), 10))


def test_everything_in_order(log):
    assert read(log) == lines(*range(10))


def test_since_timestamps_and_limit(log):
    from kogia.base.clock import parse_rfc3339

    since = parse_rfc3339("2026-11-21T08:00:08Z")
    assert read(log, since=since, timestamps=True) == (
        b"2026-11-21T08:00:08.000000008Z l8\n2026-11-21T08:00:09.000000009Z l9\n"
    )
    assert read(log, tail=2, limit_bytes=4) == b"l8\nl"


def test_partial_lines_are_joined_and_count_once(tmp_path):
    path = tmp_path / "0.log"
    path.write_bytes(line(1, "first") + line(2, "a" * 10, tag="P") + line(2, "b" * 10, tag="F") + line(3, "unfinished")[:-5])
    assert read(path) == b"first\n" + b"a" * 10 + b"b" * 10 + b"\n"
    assert read(path, tail=1, timestamps=True) == b"2026-11-21T08:00:02.000000002Z " + b"a" * 10 + b"b" * 10 + b"\n"


def test_streams(tmp_path):
    path = tmp_path / "0.log"
    path.write_bytes(line(1, "out") + line(2, "err", "stderr"))
    assert read(path, stream="Stderr") == b"err\n" and read(path, stream="Stdout") == b"out\n"


def test_a_big_log_is_read_by_blocks(tmp_path):
    path = tmp_path / "0.log"
    path.write_bytes(b"".join(line(i, "x" * 1000) for i in range(1000)))
    assert len(read(path)) == 1_001_000
    assert len(read(path, tail=300)) == 300 * 1001


def test_follow_over_a_rotation_until_the_end(tmp_path):
    path = tmp_path / "0.log"
    path.write_bytes(line(1, "one"))
    alive = [True]

    async def go():
        task = asyncio.ensure_future(collect(path, running=lambda: alive[0], follow=True))
        await asyncio.sleep(0.02)
        with open(path, "ab") as writer:
            writer.write(line(2, "two"))
            os.rename(path, tmp_path / "0.log.20261121-090000.0")
            writer.write(line(3, "three"))
        path.write_bytes(line(4, "four")[:20])
        await asyncio.sleep(0.02)
        with open(path, "ab") as writer:
            writer.write(line(4, "four")[20:])
        alive[0] = False
        return await asyncio.wait_for(task, 3)

    assert asyncio.run(go()) == b"one\ntwo\nthree\nfour\n"


def test_no_log_at_all(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "0.log")
