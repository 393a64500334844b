"""`kogia exec [-it] POD [-c CONTAINER] -- COMMAND`: a command in a container over WebSocket, with a terminal if asked for."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from typing import Any
from urllib.parse import urlencode

from kogia.cli import names
from kogia.cli.connection import connect
from kogia.cli.main import CommandError

Obj = dict[str, Any]
INTERMIXED = False


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--container", default="")
    parser.add_argument("-i", "--stdin", action="store_true")
    parser.add_argument("-t", "--tty", action="store_true")
    parser.add_argument("-q", "--quiet", action="store_true")
    parser.add_argument("pod", metavar="[pod/]NAME")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="-- COMMAND [ARG…]")


def run(options: argparse.Namespace) -> int:
    api = connect(options)
    command = _command(options)
    name = options.pod.removeprefix("pod/").removeprefix("pods/")
    pod = api.call("GET", names.path_of(names.find(api, "pods"), api.namespace, name))
    container = options.container or _default_container(pod, quiet=options.quiet)
    return stream(options, api.namespace, name, container, command, verb="exec")


def _command(options: argparse.Namespace) -> list[str]:
    """What follows `--`; options of ours that argparse left in the remainder are taken out first."""
    rest = list(options.rest)
    while rest and rest[0] != "--" and rest[0].startswith("-"):
        word = rest.pop(0)
        if word in ("-c", "--container") and rest:
            options.container = rest.pop(0)
        elif word.startswith("--container="):
            options.container = word.partition("=")[2]
        elif word in ("-n", "--namespace") and rest:
            options.namespace = rest.pop(0)
        elif word == "--stdin":
            options.stdin = True
        elif word == "--tty":
            options.tty = True
        elif set(word[1:]) <= set("itq"):
            options.stdin, options.tty = options.stdin or "i" in word, options.tty or "t" in word
        else:
            raise CommandError(f"error: unknown flag: {word}")
    if rest[:1] == ["--"]:
        rest = rest[1:]
    if not rest:
        raise CommandError("error: you must specify at least one command for the container")
    return rest


def _default_container(pod: Obj, *, quiet: bool) -> str:
    everything = [c["name"] for key in ("containers", "initContainers", "ephemeralContainers") for c in pod["spec"].get(key) or []]
    chosen = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    if chosen in everything:
        return str(chosen)
    if len(everything) > 1 and not quiet:
        print(f'Defaulted container "{everything[0]}" out of: {", ".join(everything)}', file=sys.stderr)
    return str(everything[0])


def stream(options: argparse.Namespace, namespace: str, pod: str, container: str, command: list[str], *, verb: str) -> int:
    """Run exec or attach to its end; returns the exit status of the command. Errors: CommandError."""
    tty = bool(options.tty)
    if tty and not sys.stdin.isatty():
        print("Unable to use a TTY - input is not a terminal or the right kind of file", file=sys.stderr)
        tty = False
    query = urlencode([("container", container), *(("command", word) for word in command), ("stdin", str(bool(options.stdin)).lower()),
                       ("stdout", "true"), ("stderr", str(not tty).lower()), ("tty", str(tty).lower())])  # fmt: skip
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/{verb}"
    with _raw_terminal(tty):
        return asyncio.run(_converse(options, path, query, stdin=bool(options.stdin), tty=tty))


class _raw_terminal:
    """Puts the terminal into raw mode for the time of a block."""

    def __init__(self, on: bool) -> None:
        self._on = on

    def __enter__(self) -> None:
        if self._on:
            import termios
            import tty

            self._saved = termios.tcgetattr(0)
            tty.setraw(0)

    def __exit__(self, *_: object) -> None:
        if self._on:
            import termios

            termios.tcsetattr(0, termios.TCSADRAIN, self._saved)


async def _converse(options: argparse.Namespace, path: str, query: str, *, stdin: bool, tty: bool) -> int:
    from kogia.api.status import StatusError
    from kogia.base.tasks import TaskOwner
    from kogia.cli.connection import target_of
    from kogia.client.http import from_target
    from kogia.wire import websocket
    from kogia.wire.remotecommand_client import PROTOCOLS, RemoteCommandError, RemoteSession

    client = from_target(target_of(options))
    tasks = TaskOwner("exec")
    try:
        try:
            response, connection = await client.open("GET", path, query=query, headers=websocket.request_headers(PROTOCOLS))
        except StatusError as error:
            raise CommandError(f"Error from server ({error.reason}): {error.message}" if error.reason else f"error: {error.message}") from error
        except OSError as error:
            raise CommandError(f"Unable to connect to the server: {error}") from error
        if connection is None:
            raise CommandError("error: unable to upgrade connection: the server did not switch protocols")
        protocol = {k.lower(): v for k, v in response.headers}.get("sec-websocket-protocol", PROTOCOLS[0])
        session = RemoteSession(connection, protocol)
        if stdin:
            tasks.spawn("stdin", _send_input(session))
        if tty:
            _follow_size(session, tasks)
        while (piece := await session.read()) is not None:
            channel, data = piece
            os.write(channel, data) if len(data) < 4096 else _write_all(channel, data)
        try:
            code = await session.wait()
        except RemoteCommandError as error:
            raise CommandError(f"error: {error}") from error
        if code and verb_of(path) == "exec" and not tty:
            print(f"command terminated with exit code {code}", file=sys.stderr)
        return code
    finally:
        await tasks.close(0.2)
        await client.close()


def verb_of(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


async def _send_input(session: Any) -> None:
    """From this process's stdin to the container's until end of file; regular files are read too."""
    loop = asyncio.get_running_loop()
    while True:
        data = await loop.run_in_executor(None, os.read, 0, 32768)
        if not data:
            await session.close_stdin()
            return
        await session.write_stdin(data)


def _follow_size(session: Any, tasks: Any) -> None:
    def send() -> None:
        size = os.get_terminal_size(1)
        tasks.spawn("resize", session.resize(size.columns, size.lines))

    send()
    asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, send)
