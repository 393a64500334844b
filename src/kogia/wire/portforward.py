"""The server's side of port-forward: SPDY streams, SPDY tunnelled in WebSocket, and plain WebSocket channels.

For each TCP connection the client opens two streams with one `requestid`: `error` (text of what went wrong) and `data`. kubectl from 1.31 on
sends the same SPDY bytes in WebSocket messages (`SPDY/3.1+portforward.k8s.io`); the Python client uses channels 2n (data) and 2n+1 (error) of
`v4.channel.k8s.io` for the n-th port of the query.
Neighbours: spdy_connection.py, websocket.py. Invariants: each forwarded connection fails by itself; half-closes travel both ways.
Source: k8s.io/kubelet pkg/cri/streaming/portforward, KEP-4006.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable

from kogia.base.tasks import TaskOwner
from kogia.wire import websocket
from kogia.wire.messages import Connection, Request, Response
from kogia.wire.remotecommand import Session, plain
from kogia.wire.spdy import SpdyError
from kogia.wire.spdy_connection import ByteStream, SpdyConnection, SpdyStream

log = logging.getLogger("kogia.wire.portforward")

PROTOCOL = "portforward.k8s.io"
TUNNEL_PROTOCOL = "SPDY/3.1+portforward.k8s.io"
CHANNEL_PROTOCOLS = ("v4.channel.k8s.io", "v4.base64.channel.k8s.io")
PAIR_S = 30.0  #: how long the second stream of a pair may be missing

Dialer = Callable[[int], Awaitable[Session]]


def port_forward(request: Request, dial: Dialer) -> Response:
    """`dial(port)` opens a connection to that port of the Pod; what it raises becomes text on the error stream."""
    headers = request.headers
    if websocket.is_websocket(headers):
        offered = websocket.offered_protocols(headers)
        protocol = next((p for p in offered if p == TUNNEL_PROTOCOL or p == CHANNEL_PROTOCOLS[0]), "")
        if offered and not protocol:
            return plain(403, f"unable to upgrade: unable to negotiate protocol: client supports {offered}")
        try:
            answer = websocket.accept_headers(headers, protocol)
            ports = [int(p) for value in request.query.get("ports", []) for p in value.split(",") if p]
        except (websocket.WebSocketError, ValueError) as error:
            return plain(400, str(error))

        async def websocket_takeover(connection: Connection) -> None:
            if protocol == TUNNEL_PROTOCOL:
                await _serve_spdy(WebSocketTunnel(connection), dial)
            else:
                await _serve_channels(WebSocketTunnel(connection), ports, dial)

        return Response(status=101, headers=answer, takeover=websocket_takeover)
    if headers.get("upgrade", "").lower() != "spdy/3.1":
        return plain(400, "Upgrade request required")
    answer = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]
    if headers.get("x-stream-protocol-version"):
        answer.append(("X-Stream-Protocol-Version", PROTOCOL))

    async def takeover(connection: Connection) -> None:
        await _serve_spdy(connection, dial)

    return Response(status=101, headers=answer, takeover=takeover)


class WebSocketTunnel:
    """The payloads of binary messages as one byte stream. `client=True` for the dialling side."""

    def __init__(self, connection: Connection, *, client: bool = False) -> None:
        self._connection = connection
        self._framing = websocket.WebSocket(client=client)
        self._messages: list[bytes] = []
        self._ended = False

    async def read(self, limit: int = 65536) -> bytes:
        """One message's payload (whole, whatever `limit`); b"" at the end. Errors: ConnectionError for broken framing."""
        while not self._messages and not self._ended:
            data = await self._connection.read(limit)
            if not data:
                self._ended = True
                break
            try:
                messages = self._framing.feed(data)
            except websocket.WebSocketError as error:
                self._connection.write(self._framing.close(error.code, str(error)))
                raise ConnectionError(str(error)) from error
            for message in messages:
                if message.opcode == websocket.PING:
                    self._connection.write(self._framing.pong(message.data))
                elif message.opcode == websocket.CLOSE:
                    self._connection.write(self._framing.close())
                    self._ended = True
                elif message.opcode != websocket.PONG and message.data:
                    self._messages.append(message.data)
        return self._messages.pop(0) if self._messages else b""

    def write(self, data: bytes) -> None:
        if not self._framing.close_sent:
            self._connection.write(self._framing.message(data))

    async def drain(self) -> None:
        await self._connection.drain()

    def close(self) -> None:
        if not self._framing.close_sent:
            self._connection.write(self._framing.close())
        self._connection.close()


async def _serve_spdy(connection: ByteStream, dial: Dialer) -> None:
    spdy = SpdyConnection(connection)
    tasks = TaskOwner("portforward")
    pairs: dict[str, dict[str, SpdyStream]] = {}
    try:
        async for stream in spdy.streams():
            key = stream.headers.get("requestid") or str(stream.id - stream.id // 2 % 2 * 2)
            pair = pairs.setdefault(key, {})
            pair[stream.headers.get("streamtype", "")] = stream
            if "data" in pair and "error" in pair:
                del pairs[key]
                tasks.spawn(f"connection-{key}", _forward_spdy(spdy, pair["data"], pair["error"], dial))
    except SpdyError as error:
        log.info("port-forward: %s", error)
    finally:
        await tasks.close()
        spdy.close()


async def _forward_spdy(spdy: SpdyConnection, data: SpdyStream, error: SpdyStream, dial: Dialer) -> None:
    port = data.headers.get("port", "")
    try:
        try:
            session = await dial(int(port))
        except Exception as problem:
            await error.write(f"error forwarding port {port} to pod: {problem}".encode())
            await error.close_write()
            await data.close_write()
            return
        await error.close_write()
        await splice(session, data.read, data.write, data.close_write)
    except OSError as problem:
        log.debug("port-forward of %s ended: %s", port, problem)
    finally:
        spdy.forget(data)
        spdy.forget(error)


async def splice(
    session: Session,
    read: Callable[[], Awaitable[bytes]],
    write: Callable[[bytes], Awaitable[None]],
    close_write: Callable[[], Awaitable[None]],
) -> None:
    """Bytes both ways until the Pod's side has ended; the session is closed at the end, whatever happens."""
    tasks = TaskOwner("splice")

    async def send() -> None:
        while chunk := await read():
            await session.write_stdin(chunk)
        await session.close_stdin()

    tasks.spawn("send", send())
    try:
        while (item := await session.read()) is not None:
            await write(item[1])
        await close_write()
    finally:
        await tasks.close()
        await session.close()


async def _serve_channels(tunnel: WebSocketTunnel, ports: list[int], dial: Dialer) -> None:
    tasks = TaskOwner("portforward")
    inboxes: list[asyncio.Queue[bytes]] = [asyncio.Queue(maxsize=64) for _ in ports]
    try:
        for index, port in enumerate(ports):
            for channel in (2 * index, 2 * index + 1):
                tunnel.write(bytes((channel,)) + struct.pack("<H", port))
            tasks.spawn(f"port-{port}", _forward_channel(tunnel, index, port, inboxes[index], dial))
        while message := await tunnel.read():
            if message[0] % 2 == 0 and message[0] // 2 < len(ports) and len(message) > 1:
                await inboxes[message[0] // 2].put(message[1:])
    except OSError as error:
        log.debug("port-forward ended: %s", error)
    finally:
        await tasks.close()
        tunnel.close()


async def _forward_channel(tunnel: WebSocketTunnel, index: int, port: int, inbox: asyncio.Queue[bytes], dial: Dialer) -> None:
    async def write(chunk: bytes) -> None:
        tunnel.write(bytes((2 * index,)) + chunk)
        await tunnel.drain()

    async def nothing() -> None:
        """These channels know no half-close."""

    try:
        session = await dial(port)
    except Exception as problem:
        tunnel.write(bytes((2 * index + 1,)) + f"error forwarding port {port} to pod: {problem}".encode())
        await tunnel.drain()
        return
    try:
        await splice(session, inbox.get, write, nothing)
    except OSError as problem:
        log.debug("port-forward of %s ended: %s", port, problem)
