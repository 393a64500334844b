"""Exec, attach and port-forward: open the sessions of `streams` for a container or sandbox."""

from __future__ import annotations

import asyncio
import os
import pty
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson

from kogia.cri import types as t
from kogia.cri.errors import Code, CriError
from kogia.runtime import conmon, namespaces
from kogia.runtime.conmon import shorten
from kogia.runtime.context import Context
from kogia.runtime.sandbox_run import namespace_options
from kogia.runtime.spawn import kill_child, popen
from kogia.runtime.state import ContainerRecord
from kogia.runtime.streams import STDERR, STDOUT, ExecSession, SocketSession, ready

MAX_SYNC_OUTPUT = 16 * 1024 * 1024
CONNECT_TIMEOUT_S = 10.0
CONSOLE_TIMEOUT_S = 30.0


def running(ctx: Context, container_id: str) -> ContainerRecord:
    """Errors: CriError NOT_FOUND, FAILED_PRECONDITION."""
    record = ctx.container(container_id)
    if record.state != t.ContainerState.CONTAINER_RUNNING:
        raise CriError(Code.FAILED_PRECONDITION, f"container is in {record.state.name} state")
    return record


def process_spec(bundle: Path, cmd: list[str], tty: bool) -> dict[str, Any]:
    """The OCI `process` of an exec: the container's own (user, env, capabilities, cwd) with another command."""
    process: dict[str, Any] = orjson.loads((bundle / "config.json").read_bytes())["process"]
    process["args"] = cmd
    process["terminal"] = tty
    if tty and not any(entry.startswith("TERM=") for entry in process["env"]):
        process["env"].append("TERM=xterm")
    process.pop("oomScoreAdj", None)
    return process


async def start(ctx: Context, container_id: str, cmd: list[str], *, tty: bool, stdin: bool) -> ExecSession:
    """Exec. A command that cannot be started shows as CriError from the session's `wait`."""
    record = running(ctx, container_id)
    if not cmd:
        raise CriError(Code.INVALID_ARGUMENT, "exec needs a command")
    runtime = ctx.oci.get(record.handler)
    bundle = ctx.bundle(record.id)
    pid_file = bundle / f"exec-{secrets.token_hex(6)}.pid"
    spec_fd = os.memfd_create("process.json")  # inherited by the runtime, so no file can be left behind
    try:
        os.write(spec_fd, orjson.dumps(process_spec(bundle, cmd, tty)))
        argv = [runtime.program, *runtime.args(), "exec", "--process", f"/proc/self/fd/{spec_fd}", "--pid-file", str(pid_file)]
        try:
            if not tty:
                return _with_pipes([*argv, record.id], spec_fd, pid_file, stdin)
            if runtime.is_crun:
                return await _with_console_socket([*argv, "--tty"], record.id, spec_fd, pid_file, stdin)
            return _with_terminal([*argv, "--tty", record.id], spec_fd, pid_file, stdin)
        except FileNotFoundError as error:
            raise CriError(Code.UNAVAILABLE, f"{error.filename} is not installed") from error
    finally:
        os.close(spec_fd)


def _with_pipes(argv: list[str], spec_fd: int, pid_file: Path, stdin: bool) -> ExecSession:
    source = subprocess.PIPE if stdin else subprocess.DEVNULL
    child = popen(argv, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=(spec_fd,), bufsize=0)
    assert child.stdout is not None and child.stderr is not None
    out, err = os.dup(child.stdout.fileno()), os.dup(child.stderr.fileno())
    into = os.dup(child.stdin.fileno()) if child.stdin is not None else -1
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            pipe.close()
    for fd in (out, err, into):
        if fd >= 0:
            os.set_blocking(fd, False)
    return ExecSession(child, pid_file, {out: STDOUT, err: STDERR}, into, -1)


def _with_terminal(argv: list[str], spec_fd: int, pid_file: Path, stdin: bool) -> ExecSession:
    """For runtimes that proxy between our pseudo terminal and the container's (runc).

    They hear of a new size only from their controlling terminal, which `setsid -c` gives them.
    """
    master, slave = pty.openpty()
    argv = [shutil.which("setsid") or "setsid", "-c", *argv]
    try:
        child = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, pass_fds=(spec_fd,))
    except BaseException:
        os.close(master)
        raise
    finally:
        os.close(slave)
    os.set_blocking(master, False)
    return ExecSession(child, pid_file, {master: STDOUT}, master if stdin else -1, master)


async def _with_console_socket(argv: list[str], container_id: str, spec_fd: int, pid_file: Path, stdin: bool) -> ExecSession:
    """For crun, which hands the container's terminal itself over. Errors: CriError if the command cannot be started."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    with tempfile.TemporaryDirectory(prefix="kogia-tty-") as directory, tempfile.TemporaryFile() as errors, listener:
        path = f"{directory}/s"  # short, whatever the data directory is: an address holds 107 bytes
        listener.bind(path)
        listener.listen(1)
        null = subprocess.DEVNULL
        child = popen([*argv, "--console-socket", path, container_id], stdin=null, stdout=null, stderr=errors, pass_fds=(spec_fd,))
        try:
            pidfd = os.pidfd_open(child.pid)
            try:
                await ready([listener.fileno(), pidfd], timeout_s=CONSOLE_TIMEOUT_S)
            finally:
                os.close(pidfd)
            listener.setblocking(False)
            connection, _ = listener.accept()
            with connection:
                await ready([connection.fileno()], timeout_s=CONSOLE_TIMEOUT_S)
                connection.setblocking(False)
                _, fds, _, _ = socket.recv_fds(connection, 4096, 1)
                master = fds[0]
        except (BlockingIOError, IndexError) as error:
            kill_child(child)
            errors.seek(0)
            text = errors.read(65536).decode("utf-8", "replace")
            raise CriError(Code.UNKNOWN, shorten(text) or "exec failed") from error
        except BaseException:
            kill_child(child)
            raise
    os.set_blocking(master, False)
    os.set_inheritable(master, False)
    return ExecSession(child, pid_file, {master: STDOUT}, master if stdin else -1, master)


async def sync(ctx: Context, container_id: str, cmd: list[str], timeout_s: float) -> t.ExecSyncResponse:
    """ExecSync. Errors: CriError DEADLINE_EXCEEDED (the process is killed), UNKNOWN if it could not be started."""
    session = await start(ctx, container_id, cmd, tty=False, stdin=False)
    collected = {STDOUT: bytearray(), STDERR: bytearray()}
    try:
        async with asyncio.timeout(timeout_s or None):
            while (got := await session.read()) is not None:
                channel, data = got
                collected[channel] += data[: MAX_SYNC_OUTPUT - len(collected[channel])]
            code = await session.wait()
    except TimeoutError as error:
        message = f"failed to exec in container: timeout {timeout_s:g}s exceeded: context deadline exceeded"
        raise CriError(Code.DEADLINE_EXCEEDED, message) from error
    finally:
        await session.close()
    return t.ExecSyncResponse(stdout=bytes(collected[STDOUT]), stderr=bytes(collected[STDERR]), exit_code=code)


async def attach(ctx: Context, container_id: str, *, tty: bool, stdin: bool) -> SocketSession:
    """Attach to the container's own streams. `tty` must be what the container has; its config decides."""
    record = running(ctx, container_id)
    bundle = ctx.bundle(record.id)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    directory = os.open(bundle, os.O_PATH | os.O_CLOEXEC)
    try:
        sock.connect(f"/proc/self/fd/{directory}/attach")  # a socket's own path may be too long for its address
    except OSError as error:
        sock.close()
        raise CriError(Code.UNAVAILABLE, f"cannot attach: {error}") from error
    finally:
        os.close(directory)

    async def wait() -> int:
        await ctx.wait_exit(record, None)
        return record.exit_code

    def resize(width: int, height: int) -> None:
        conmon.resize(bundle, width, height)

    return SocketSession(sock, packets=True, stdin=stdin and record.config.stdin, wait=wait, resize=resize if record.config.tty else None)


async def port_forward(ctx: Context, sandbox_id: str, port: int) -> SocketSession:
    """A TCP connection to the sandbox's loopback, IPv4 first. Errors: CriError UNAVAILABLE when nobody listens."""
    sandbox = ctx.sandbox(sandbox_id)
    if not sandbox.ready:
        raise CriError(Code.FAILED_PRECONDITION, f'sandbox "{sandbox.id}" is not running')
    host = namespace_options(sandbox.config).network == t.NamespaceMode.NODE
    netns = "/proc/self/ns/net" if host else sandbox.namespaces(ctx.config.namespaces_dir).path("net")
    deadline = time.monotonic() + CONNECT_TIMEOUT_S
    failure: OSError | TimeoutError | None = None
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        sock: socket.socket = await ctx.in_thread(namespaces.socket_inside, netns, lambda family=family: socket.socket(family))
        sock.setblocking(False)
        try:
            async with asyncio.timeout(max(0.1, deadline - time.monotonic())):
                await asyncio.get_running_loop().sock_connect(sock, (address, port))
        except (OSError, TimeoutError) as error:
            sock.close()
            failure = failure or error
            continue
        except BaseException:
            sock.close()
            raise
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return SocketSession(sock, packets=False, stdin=True, wait=_zero)
    message = f'failed to connect to localhost:{port} inside namespace "{sandbox.id}": {failure}'
    raise CriError(Code.UNAVAILABLE, message)


async def _zero() -> int:
    return 0
