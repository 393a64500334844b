"""The server's side of exec and attach: WebSocket channels and SPDY streams, in every version clients ask for.

`remote_command` answers an upgrading request with a `Response` whose takeover joins the connection to a `Session` (CRI's StreamSession has
its shape). Who uses it: the kubelet's server, the CRI's streaming server. Neighbours: websocket.py, spdy_connection.py, channels.py.
Invariants: all output is sent before the status, the status before the close, and then the server waits for the client to close first, so
that nothing is lost at the tail; input waits in a bounded buffer when the process does not read; a client that goes away closes the session.
Source: k8s.io/kubelet pkg/cri/streaming/remotecommand, KEP-4006.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from kogia.base.tasks import TaskOwner
from kogia.wire import websocket
from kogia.wire.channels import Channels, Gone, Resize, SpdyChannels, Stdin, StdinClosed, WebSocketChannels
from kogia.wire.messages import Connection, Request, Response

log = logging.getLogger("kogia.wire.remotecommand")

WEBSOCKET_PROTOCOLS = (
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
)
SPDY_PROTOCOLS = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
LINGER_S = 3600.0  #: how long the client may take to read what is under way and close; closing first could cut it short
START_S = 30.0  #: how long a SPDY client may take to open its streams
MAX_STDIN_BYTES = 1 << 20


class Session(Protocol):
    """As `kogia.cri.interface.StreamSession`."""

    async def write_stdin(self, data: bytes) -> None: ...

    async def close_stdin(self) -> None: ...

    async def read(self) -> tuple[int, bytes] | None: ...

    async def resize(self, width: int, height: int) -> None: ...

    async def wait(self) -> int: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class StreamOptions:
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


Opener = Callable[[StreamOptions], Awaitable[Session]]


def stream_options(request: Request) -> StreamOptions:
    """From the query, in PodExecOptions' words (`stdin=true`) or the kubelet's own (`input=1`). A terminal has no stderr.

    Errors: ValueError when no stream is asked for.
    """

    def on(*names: str) -> bool:
        return any(request.param(n).lower() in ("1", "true", "t") for n in names)

    tty = on("tty")
    options = StreamOptions(on("stdin", "input"), on("stdout", "output"), on("stderr", "error") and not tty, tty)
    if not (options.stdin or options.stdout or options.stderr):
        raise ValueError("you must specify at least 1 of stdin, stdout, stderr")
    return options


def remote_command(request: Request, opener: Opener, *, exit_status: bool = True, options: StreamOptions | None = None) -> Response:
    """Negotiate and answer 101 with a takeover, or 400/403 when the client's wishes cannot be met.

    `opener` is called once the client's streams stand; what it raises goes to the client as a Status of reason InternalError.
    `exit_status`: report a non-zero exit (exec does, attach does not).
    """
    if options is None:
        try:
            options = stream_options(request)
        except ValueError as error:
            return plain(400, str(error))
    wanted = options
    if websocket.is_websocket(request.headers):
        offered = websocket.offered_protocols(request.headers)
        protocol = next((p for p in offered if p in WEBSOCKET_PROTOCOLS), "")
        if offered and not protocol:
            return _refused(offered, WEBSOCKET_PROTOCOLS)
        try:
            headers = websocket.accept_headers(request.headers, protocol)
        except websocket.WebSocketError as error:
            return plain(400, str(error))

        def open_channels(connection: Connection) -> Channels:
            return WebSocketChannels(connection, protocol, stdout=wanted.stdout, stderr=wanted.stderr)

    elif request.headers.get("upgrade", "").lower() == "spdy/3.1":
        offered = [p.strip() for p in request.headers.get("x-stream-protocol-version", "").split(",") if p.strip()]
        protocol = next((p for p in offered if p in SPDY_PROTOCOLS), "")
        if offered and not protocol:
            return _refused(offered, SPDY_PROTOCOLS)
        headers = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]
        if protocol:
            headers.append(("X-Stream-Protocol-Version", protocol))

        def open_channels(connection: Connection) -> Channels:
            return SpdyChannels(
                connection, protocol, stdin=wanted.stdin, stdout=wanted.stdout, stderr=wanted.stderr, tty=wanted.tty, start_s=START_S
            )

    else:
        return plain(400, "Upgrade request required")

    async def takeover(connection: Connection) -> None:
        await _converse(open_channels(connection), opener, wanted, exit_status)

    return Response(status=101, headers=headers, takeover=takeover)


def plain(status: int, text: str) -> Response:
    return Response(status=status, body=text.encode(), content_type="text/plain; charset=utf-8")


def _refused(offered: list[str], accepted: tuple[str, ...]) -> Response:
    answer = plain(403, f"unable to upgrade: unable to negotiate protocol: client supports {offered}, server accepts {list(accepted)}")
    answer.headers += [("X-Accepted-Stream-Protocol-Versions", p) for p in accepted]
    return answer


async def _converse(channels: Channels, opener: Opener, options: StreamOptions, exit_status: bool) -> None:
    tasks = TaskOwner("remotecommand")
    session: Session | None = None
    try:
        await channels.start()
        try:
            session = await opener(options)
        except Exception as error:
            log.info("cannot open a session: %s", error)
            await channels.finish(internal_error(str(error)))
            await _linger(channels)
            return
        reader = tasks.spawn("input", _Input(channels, session, options.stdin, tasks).run())
        await _send_output(channels, session, options)
        if not channels.gone:
            await channels.finish(await _end(session, exit_status))
            await asyncio.wait({reader}, timeout=LINGER_S)
    except (OSError, TimeoutError, websocket.WebSocketError) as error:
        log.debug("stream ended early: %s", error)
    finally:
        await tasks.close()
        if session is not None:
            await session.close()
        await channels.close()


async def _end(session: Session, exit_status: bool) -> dict[str, Any]:
    """The Status of a session whose output has ended; a process that could not even start is told as such."""
    try:
        code = await session.wait()
    except OSError:
        raise
    except Exception as error:
        log.info("the session failed: %s", error)
        return internal_error(f"error executing command in container: {error}")
    return exit_code_status(code) if exit_status else SUCCESS


async def _send_output(channels: Channels, session: Session, options: StreamOptions) -> None:
    while (item := await session.read()) is not None:
        channel, data = item
        if options.stdout if channel == 1 else options.stderr:
            await channels.output(channel, data)


async def _linger(channels: Channels) -> None:
    try:
        async with asyncio.timeout(LINGER_S):
            while not isinstance(await channels.receive(), Gone):
                pass
    except (OSError, TimeoutError):
        pass


class _Input:
    """Reads the client for as long as it is there. Stdin goes through a buffer, so that a resize passes a process that does not read."""

    def __init__(self, channels: Channels, session: Session, stdin: bool, tasks: TaskOwner) -> None:
        self._channels, self._session, self._stdin, self._tasks = channels, session, stdin, tasks
        self._chunks: deque[bytes | None] = deque()
        self._size = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()

    async def run(self) -> None:
        if self._stdin:
            self._tasks.spawn("stdin", self._write())
        else:
            await self._session.close_stdin()
        while True:
            try:
                event = await self._channels.receive()
            except (OSError, websocket.WebSocketError):
                event = Gone()
            if isinstance(event, Gone):
                self._channels.gone = True
                await self._session.close()
                return
            if isinstance(event, Resize):
                await self._session.resize(event.width, event.height)
            elif self._stdin and isinstance(event, Stdin):
                await self._put(event.data)
            elif self._stdin and isinstance(event, StdinClosed):
                await self._put(None)

    async def _put(self, chunk: bytes | None) -> None:
        self._chunks.append(chunk)
        self._size += len(chunk or b"")
        self._filled.set()
        while self._size > MAX_STDIN_BYTES:
            self._room.clear()
            await self._room.wait()

    async def _write(self) -> None:
        while True:
            while not self._chunks:
                self._filled.clear()
                await self._filled.wait()
            chunk = self._chunks.popleft()
            if chunk is None:
                await self._session.close_stdin()
                return
            await self._session.write_stdin(chunk)
            self._size -= len(chunk)
            self._room.set()


SUCCESS: dict[str, Any] = {"metadata": {}, "status": "Success"}


def exit_code_status(code: int) -> dict[str, Any]:
    """`metav1.Status` for an exec's end, as clients decode it to `command terminated with exit code 3`."""
    if code == 0:
        return SUCCESS
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def internal_error(message: str) -> dict[str, Any]:
    text = f"Internal error occurred: {message}"
    return {
        "metadata": {},
        "status": "Failure",
        "message": text,
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }
