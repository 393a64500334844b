"""Following the URL that a foreign runtime gave for Exec, Attach or PortForward, over WebSocket.

Every runtime serves these with Kubernetes' streaming library, which speaks the channel protocols of WebSocket (v5 where it is new, else v4, where stdin
cannot be half-closed). Neighbours: client.py; kogia.wire.remotecommand_client. Errors: CriError UNAVAILABLE or what the server said.
"""

from __future__ import annotations

import struct
from urllib.parse import urlsplit

from kogia.cri.errors import Code, CriError
from kogia.cri.interface import StreamSession
from kogia.wire import websocket
from kogia.wire.http_client import HttpClient
from kogia.wire.messages import Connection, Request
from kogia.wire.portforward import CHANNEL_PROTOCOLS, WebSocketTunnel
from kogia.wire.remotecommand_client import PROTOCOLS, RemoteCommandError, RemoteSession


async def _open(url: str, protocols: tuple[str, ...]) -> tuple[Connection, str]:
    parts = urlsplit(url)
    client = HttpClient(f"{parts.scheme}://{parts.netloc}")
    request = Request("GET", parts.path, raw_query=parts.query, headers=websocket.request_headers(protocols), raw_path=parts.path)
    try:
        response, connection = await client.open(request)
    except OSError as error:
        raise CriError(Code.UNAVAILABLE, f"error dialing backend: {error}") from None
    if connection is None:
        raise CriError(Code.UNKNOWN, f"unable to upgrade connection: {response.body.decode('utf-8', 'replace').strip()}")
    chosen = next((value for name, value in response.headers if name.lower() == "sec-websocket-protocol"), protocols[-1])
    return connection, chosen


class _Command(RemoteSession):
    """A remote session whose failures are the CRI's."""

    async def wait(self) -> int:
        """The exit code; reads to the end first. Errors: CriError."""
        while await self.read() is not None:
            pass
        try:
            return await super().wait()
        except RemoteCommandError as error:
            raise CriError(Code.UNKNOWN, str(error)) from None
        except ConnectionError as error:
            raise CriError(Code.UNAVAILABLE, str(error)) from None


async def open_command(url: str) -> StreamSession:
    """An exec or attach."""
    connection, protocol = await _open(url, PROTOCOLS)
    return _Command(connection, protocol)


class _Port:
    """One forwarded TCP connection."""

    def __init__(self, tunnel: WebSocketTunnel) -> None:
        self._tunnel = tunnel
        self._announced = {0: False, 1: False}  #: each channel begins with its port's number

    async def write_stdin(self, data: bytes) -> None:
        for start in range(0, len(data), 32768):
            self._tunnel.write(b"\0" + data[start : start + 32768])
            await self._tunnel.drain()

    async def close_stdin(self) -> None:
        """These channels know no half-close."""

    async def read(self) -> tuple[int, bytes] | None:
        while message := await self._tunnel.read():
            channel, data = message[0], message[1:]
            if not self._announced.get(channel, True):
                self._announced[channel] = True
                data = data[struct.calcsize("<H") :]
            if not data:
                continue
            if channel == 1:
                raise CriError(Code.UNKNOWN, data.decode("utf-8", "replace"))
            return 1, data
        return None

    async def resize(self, width: int, height: int) -> None:
        """No terminal here."""

    async def wait(self) -> int:
        return 0

    async def close(self) -> None:
        self._tunnel.close()


async def open_port(url: str, port: int) -> StreamSession:
    """A connection to `port` of the sandbox the URL stands for."""
    separator = "&" if urlsplit(url).query else "?"
    connection, _ = await _open(f"{url}{separator}ports={port}", CHANNEL_PROTOCOLS[:1])
    return _Port(WebSocketTunnel(connection, client=True))
