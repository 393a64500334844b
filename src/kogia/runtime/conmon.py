"""One conmon per container: it holds the container's streams, writes its log and its exit file, and outlives us.

conmon is started in a session of its own with a pipe on which it says whether the OCI runtime's `create` worked. From
then on it is spoken to by files in the bundle: `ctl` (a FIFO: terminal size, log reopening) and `attach` (a socket,
see `streams`). Source: containers/conmon, its options and src/ctrl.c.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kogia.cri.errors import Code, CriError
from kogia.runtime.spawn import kill_child, popen, wait_child

_RESIZE, _REOPEN = 1, 2
CREATE_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What conmon is started with. `log_path` "" = no log."""

    conmon: str
    container_id: str
    name: str
    bundle: Path
    exits_dir: Path
    oci_program: str
    oci_args: Sequence[str]
    log_path: str
    tty: bool
    stdin: bool
    stdin_once: bool


def command(launch: Launch) -> list[str]:
    """conmon's argument list. Pure."""
    bundle = str(launch.bundle)
    argv = [launch.conmon, "-c", launch.container_id, "-u", launch.container_id, "-n", launch.name]
    argv += ["-r", launch.oci_program, "-b", bundle, "--persist-dir", bundle]
    argv += ["-p", f"{bundle}/pidfile", "-P", f"{bundle}/conmon.pid", "--exit-dir", str(launch.exits_dir)]
    argv += ["-l", f"k8s-file:{launch.log_path}" if launch.log_path else "none"]
    argv += ["--log-level", "error", "--full-attach", "--no-sync-log"]
    argv += [f"--runtime-arg={arg}" for arg in launch.oci_args]
    if launch.tty:
        argv.append("-t")
    if launch.stdin:
        argv.append("-i")
        if not launch.stdin_once:
            argv.append("--leave-stdin-open")
    return argv


async def start(launch: Launch) -> tuple[int, int]:
    """Start conmon and let it create the container; returns (container's pid, conmon's pid).

    Errors: CriError with the OCI runtime's own words. On failure or cancel the caller cleans up by `delete --force`.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        env = {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "_OCI_SYNCPIPE": str(writer)}
        if "XDG_RUNTIME_DIR" in os.environ:
            env["XDG_RUNTIME_DIR"] = os.environ["XDG_RUNTIME_DIR"]
        try:
            child = popen(
                command(launch),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=env,
                cwd=launch.bundle,
                pass_fds=(writer,),
            )
        except FileNotFoundError as error:
            raise CriError(Code.UNAVAILABLE, f"{launch.conmon} is not installed") from error
        os.close(writer)
        writer = -1
        try:
            line = await _read_line(reader, CREATE_TIMEOUT_S)
            await wait_child(child, 10)
        except BaseException:
            kill_child(child)
            raise
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    return _outcome(line, launch)


def _outcome(line: bytes, launch: Launch) -> tuple[int, int]:
    if not line:
        raise CriError(Code.INTERNAL, "conmon ended before the container was created")
    answer = json.loads(line)
    pid = int(answer.get("pid", answer.get("data", -1)))
    if pid <= 0:
        raise CriError(Code.UNKNOWN, shorten(str(answer.get("message") or "container create failed")))
    return pid, int((launch.bundle / "conmon.pid").read_text())


async def _read_line(fd: int, timeout_s: float) -> bytes:
    """Read up to a newline or the end. Errors: CriError DEADLINE_EXCEEDED."""
    loop = asyncio.get_running_loop()
    os.set_blocking(fd, False)
    done: asyncio.Future[None] = loop.create_future()
    data = bytearray()

    def ready() -> None:
        try:
            chunk = os.read(fd, 65536)
        except BlockingIOError:
            return
        data.extend(chunk)
        if (not chunk or b"\n" in chunk) and not done.done():
            done.set_result(None)

    loop.add_reader(fd, ready)
    try:
        await asyncio.wait_for(done, timeout_s)
    except TimeoutError as error:
        raise CriError(Code.DEADLINE_EXCEEDED, f"container create took longer than {timeout_s:.0f} s") from error
    finally:
        loop.remove_reader(fd)
    return bytes(data)


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_DECORATION = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z: |ERRO\[\d+\] ")  #: time stamps and levels


def kill_pid(pid: int) -> None:
    """SIGKILL; no such process is fine."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def conmon_pids(mark: str) -> list[int]:
    """conmon processes with `mark` (a bundle's path, or a directory above) in their command line."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            argv = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        paths = [a.decode("utf-8", "replace") for a in argv[1:]]
        if argv[0].endswith(b"conmon") and any(p == mark or p.startswith(mark + "/") for p in paths):
            found.append(int(name))
    return found


def shorten(text: str) -> str:
    """The OCI runtime's words as Kubernetes shows them: without time stamps and wrapping, not-found ones in Go's form."""
    lines = [line.strip() for line in _DECORATION.sub("", _COLOUR.sub("", text)).splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    for mark in ('level=error msg="', 'error msg="'):
        if mark in last:
            last = last.split(mark, 1)[1].rstrip('"').replace('\\"', '"')
    program, _, rest = last.partition(": ")
    if program.endswith(("crun", "runc")) and rest:
        last = rest
    if last.startswith("executable file `"):
        name = last.split("`")[1].split("'")[0] if "'" in last.split("`")[1] else last.split("`")[1]
        if "/" in name:
            return f'exec: "{name}": stat {name}: no such file or directory'
        return f'exec: "{name}": executable file not found in $PATH'
    for prefix in ("runc create failed: ", "exec failed: ", "unable to start container process: "):
        last = last.removeprefix(prefix)
    return last[:1024]


def _control(bundle: Path, line: str) -> None:
    """Write to conmon's FIFO without ever waiting for a reader. Errors: CriError FAILED_PRECONDITION if conmon is gone."""
    try:
        fd = os.open(bundle / "ctl", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENOENT):
            raise CriError(Code.FAILED_PRECONDITION, "container is not running") from error
        raise CriError(Code.INTERNAL, f"conmon's control file: {error}") from error
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


def resize(bundle: Path, width: int, height: int) -> None:
    """Set the terminal's size in character cells."""
    _control(bundle, f"{_RESIZE} {height} {width}\n")


def reopen_log(bundle: Path) -> None:
    """Ask for the log path to be opened anew; conmon does it asynchronously."""
    _control(bundle, f"{_REOPEN} 0 0\n")
