"""A remote command's streams at this terminal: exec and attach over WebSocket, raw mode, window size, exit status.

Neighbours: exec.py and run.py choose Pod and container; wire.remotecommand_client speaks the protocol.
Invariant: the terminal's mode is restored on every way out.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from kogia.cli.connection import failure, target_of
from kogia.cli.flags import Options
from kogia.cli.main import CommandError

if TYPE_CHECKING:
    from kogia.base.tasks import TaskOwner
    from kogia.wire.remotecommand_client import RemoteSession


def stream(options: Options, namespace: str, pod: str, container: str, command: list[str], *, verb: str) -> int:
    """Run exec or attach to its end; returns the exit status of the command. Errors: CommandError."""
    stdin, tty = bool(options.stdin), bool(options.tty)
    if tty and not stdin:
        tty = bool(sys.stdin.isatty())
    elif tty and not sys.stdin.isatty():
        print("Unable to use a TTY - input is not a terminal or the right kind of file", file=sys.stderr)
        tty = False
    query = urlencode([("container", container), *(("command", word) for word in command), ("stdin", str(stdin).lower()),
                       ("stdout", "true"), ("stderr", str(not tty).lower()), ("tty", str(tty).lower())])  # fmt: skip
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/{verb}"
    with _RawTerminal(tty):
        code = asyncio.run(_converse(options, path, query, stdin=stdin, tty=tty))
    if code and verb == "exec":
        print(f"command terminated with exit code {code}", file=sys.stderr)
    return code


class _RawTerminal:
    """Puts the terminal into raw mode for the time of a block."""

    def __init__(self, on: bool) -> None:
        self._on = on

    def __enter__(self) -> None:
        if self._on:
            import termios
            import tty

            self._saved = termios.tcgetattr(0)
            tty.setraw(0, termios.TCSANOW)  # TCSAFLUSH, the default, would drop what was typed already

    def __exit__(self, *_: object) -> None:
        if self._on:
            import termios

            termios.tcsetattr(0, termios.TCSADRAIN, self._saved)


async def _converse(options: Options, path: str, query: str, *, stdin: bool, tty: bool) -> int:
    from kogia.base.tasks import TaskOwner
    from kogia.client.http import from_target
    from kogia.wire.remotecommand_client import PROTOCOLS, RemoteCommandError, RemoteSession

    client = from_target(target_of(options))
    tasks = TaskOwner("exec")
    try:
        connection, protocol = await _open(client, path, query, PROTOCOLS)
        session = RemoteSession(connection, protocol)
        if stdin:
            _send_input(session, tasks)
        if tty:
            _follow_size(session, tasks)
        while (piece := await session.read()) is not None:
            _write_all(2 if piece[0] == 2 else 1, piece[1])
        return await session.wait()
    except RemoteCommandError as error:
        raise CommandError(f"error: {error}") from error
    except OSError as error:
        raise CommandError(f"error: {error}") from error
    finally:
        await tasks.close(0.2)
        await client.close()


async def _open(client: Any, path: str, query: str, protocols: tuple[str, ...]) -> tuple[Any, str]:
    """The upgraded connection and the protocol chosen. Errors: CommandError."""
    from kogia.api.status import StatusError
    from kogia.wire import websocket

    try:
        response, connection = await client.open("GET", path, query=query, headers=websocket.request_headers(protocols))
    except StatusError as error:
        status = error.status if isinstance(error.status, dict) else {"reason": error.reason, "message": error.message}
        raise _refused(status, error.message) from error
    except OSError as error:
        raise CommandError(f"Unable to connect to the server: {error}") from error
    if connection is None:
        raise CommandError("error: unable to upgrade connection: the server did not switch protocols")
    headers = {k.lower(): v for k, v in response.headers}
    return connection, headers.get("sec-websocket-protocol", protocols[0])


def _refused(status: dict[str, Any], message: str) -> CommandError:
    """A Status is told as every other; a plain text (the kubelet's own) as kubectl tells a failed upgrade."""
    import json

    if status.get("kind") == "Status":
        return failure(int(status.get("code") or 500), json.dumps(status).encode())
    return CommandError(f"error: unable to upgrade connection: {message}")


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _send_input(session: RemoteSession, tasks: TaskOwner) -> None:
    """From this process's stdin to the container's until end of file.

    A daemon thread reads: a read that waits for the terminal when the command has ended must not keep this process.
    """
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[bytes](maxsize=0)
    room = threading.Semaphore(8)

    def read() -> None:
        while True:
            room.acquire()
            try:
                data = os.read(0, 32768)
            except OSError:
                data = b""
            try:
                loop.call_soon_threadsafe(queue.put_nowait, data)
            except RuntimeError:  # the loop has ended
                return
            if not data:
                return

    async def forward() -> None:
        while data := await queue.get():
            room.release()
            await session.write_stdin(data)
        await session.close_stdin()

    threading.Thread(target=read, name="stdin", daemon=True).start()
    tasks.spawn("stdin", forward())


def _follow_size(session: RemoteSession, tasks: TaskOwner) -> None:
    """Send the terminal's size now and whenever it changes."""

    def send() -> None:
        try:
            size = os.get_terminal_size(0)
        except OSError:
            return
        if not size.columns or not size.lines:
            return  # a terminal that does not know its size
        tasks.spawn("resize", session.resize(size.columns, size.lines))

    send()
    asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, send)
