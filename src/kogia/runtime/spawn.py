"""Run helper programs (OCI runtime, conmon, CNI plugins, nft) without blocking the event loop.

`subprocess.Popen` without a preexec function uses vfork, which is what makes a fork cheap here; the end of a child
arrives through a pidfd, so there is no waiting thread per child. Output is bounded.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_OUTPUT = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Result:
    returncode: int  #: negative = died by that signal, as in `subprocess`
    stdout: bytes
    stderr: bytes

    def error_text(self) -> str:
        """What the program said went wrong: stderr, else stdout, in one stripped string."""
        return (self.stderr or self.stdout).decode("utf-8", "replace").strip()


def popen(argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own. Takes about a millisecond, on the caller's thread, until the exec."""
    return subprocess.Popen(argv, start_new_session=True, **options)


async def wait_child(child: subprocess.Popen[bytes], timeout_s: float | None = None) -> int:
    """Wait for `child` by pidfd. Errors: TimeoutError (the child goes on). Cancel: safe, the child goes on."""
    if child.poll() is not None:
        return child.returncode
    loop = asyncio.get_running_loop()
    fd = os.pidfd_open(child.pid)
    ended = asyncio.Event()
    try:
        loop.add_reader(fd, ended.set)
        await asyncio.wait_for(ended.wait(), timeout_s)
    finally:
        loop.remove_reader(fd)
        os.close(fd)
    return child.wait()


async def run(
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    timeout_s: float = 60.0,
    cwd: str | None = None,
) -> Result:
    """Run `argv` to its end with small input and output.

    Output goes to unnamed files rather than pipes: no reader tasks, and a grandchild holding the descriptor cannot
    make us wait. Errors: FileNotFoundError, TimeoutError (the child is then killed).
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with tempfile.TemporaryFile() if stdin else open(os.devnull, "rb") as source:
            if stdin:
                source.write(stdin)
                source.seek(0)
            child = popen(argv, stdin=source, stdout=out, stderr=err, env=env, cwd=cwd)
        try:
            code = await wait_child(child, timeout_s)
        except BaseException:
            kill_child(child)
            raise
        return Result(code, _read(out), _read(err))


def kill_child(child: subprocess.Popen[bytes]) -> None:
    """SIGKILL and reap; the wait is short because SIGKILL is not refused."""
    if child.poll() is None:
        child.send_signal(signal.SIGKILL)
        child.wait()


def _read(handle: object) -> bytes:
    handle.seek(0)  # type: ignore[attr-defined]
    return handle.read(MAX_OUTPUT)  # type: ignore[attr-defined, no-any-return]
