"""The client's side of exec and attach over WebSocket, versions 5 and 4: what `kogia exec` and a proxying component use.

Open the request with `request_headers(PROTOCOLS)` through a transport that gives the raw connection, then wrap it in `RemoteSession`,
which has the shape of `remotecommand.Session`. Neighbours: channels.py is the other side.
Invariants: `read` gives all output before it gives None; the Status is known from then on.
"""

from __future__ import annotations

import json
from typing import Any

from kogia.wire import websocket
from kogia.wire.channels import CLOSE_SIGNAL, ERROR, RESIZE, STDERR, STDIN, STDOUT
from kogia.wire.messages import Connection

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")


class RemoteCommandError(Exception):
    """The other side could not run or finish the command; `status` is its `metav1.Status`."""

    def __init__(self, status: dict[str, Any]) -> None:
        super().__init__(str(status.get("message") or "error executing remote command"))
        self.status = status


class RemoteSession:
    """A remote exec or attach. `protocol` is what the server chose (its `Sec-WebSocket-Protocol`)."""

    def __init__(self, connection: Connection, protocol: str = PROTOCOLS[0]) -> None:
        self._connection = connection
        self._framing = websocket.WebSocket(client=True)
        self._half_close = protocol.startswith("v5")
        self._output: list[tuple[int, bytes]] = []
        self._status: dict[str, Any] | None = None
        self._ended = False

    async def _send(self, channel: int, data: bytes) -> None:
        if not self._ended:
            self._connection.write(self._framing.message(bytes((channel,)) + data))
            await self._connection.drain()

    async def write_stdin(self, data: bytes) -> None:
        for start in range(0, len(data), 32768):
            await self._send(STDIN, data[start : start + 32768])

    async def close_stdin(self) -> None:
        """Needs v5; with v4 the other side cannot be told."""
        if self._half_close:
            await self._send(CLOSE_SIGNAL, bytes((STDIN,)))

    async def resize(self, width: int, height: int) -> None:
        await self._send(RESIZE, json.dumps({"Width": width, "Height": height}).encode())

    async def read(self) -> tuple[int, bytes] | None:
        """(1 stdout | 2 stderr, data) in order, None at the end. Errors: OSError when the connection breaks."""
        while not self._output and not self._ended:
            data = await self._connection.read()
            if not data:
                self._ended = True
                break
            for message in self._framing.feed(data):
                self._take(message)
        return self._output.pop(0) if self._output else None

    def _take(self, message: websocket.Message) -> None:
        if message.opcode == websocket.PING:
            self._connection.write(self._framing.pong(message.data))
        elif message.opcode == websocket.CLOSE:
            self._ended = True
            self._connection.write(self._framing.close())
        elif message.opcode in (websocket.BINARY, websocket.TEXT) and len(message.data) > 1:
            channel, data = message.data[0], message.data[1:]
            if channel in (STDOUT, STDERR):
                self._output.append((channel, data))
            elif channel == ERROR:
                self._status = json.loads(data)

    async def wait(self) -> int:
        """The exit code; call when `read` has given None. Errors: RemoteCommandError; ConnectionError if it broke before the end."""
        if self._status is None:
            raise ConnectionError("the connection closed before the command's end was known")
        return exit_code(self._status)

    async def close(self) -> None:
        self._ended = True
        self._connection.close()


def exit_code(status: dict[str, Any]) -> int:
    """0 for success, the ExitCode cause for a command's own failure. Errors: RemoteCommandError for every other failure."""
    if status.get("status") == "Success":
        return 0
    if status.get("reason") == "NonZeroExitCode":
        for cause in (status.get("details") or {}).get("causes") or []:
            if cause.get("reason") == "ExitCode" and str(cause.get("message", "")).isdigit():
                return int(cause["message"])
    raise RemoteCommandError(status)
