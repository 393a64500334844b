"""One suite of exec behaviours over every protocol: WebSocket v5, v4, v1, base64, and SPDY v4 … v1."""

import asyncio
import base64
import json

import pytest

from kogia.wire import spdy, websocket
from kogia.wire.messages import Connection, Request
from kogia.wire.portforward import WebSocketTunnel, port_forward
from kogia.wire.remotecommand import SPDY_PROTOCOLS, WEBSOCKET_PROTOCOLS, remote_command
from kogia.wire.remotecommand_client import RemoteCommandError, RemoteSession


class Pipe(Connection):
    """One end of an in-memory connection."""

    def __init__(self):
        self.inbox = asyncio.Queue()
        self.other = None
        self.closed = False

    async def read(self, limit=65536):
        return await self.inbox.get() if not self.closed else b""

    def write(self, data):
        if data:
            self.other.inbox.put_nowait(bytes(data))

    async def drain(self):
        if self.other.closed:
            raise ConnectionResetError("gone")
        await asyncio.sleep(0)

    def write_eof(self):
        self.other.inbox.put_nowait(b"")

    def close(self):
        if not self.closed:
            self.closed = True
            self.inbox.put_nowait(b"")
            self.other.inbox.put_nowait(b"")


def pipes():
    a, b = Pipe(), Pipe()
    a.other, b.other = b, a
    return a, b


class Process:
    """`cat` that exits with `code` at the end of its stdin; with `script` it only says that."""

    def __init__(self, code=0, script=None):
        self.code, self.queue, self.sizes, self.closed = code, asyncio.Queue(), [], False
        for item in script or []:
            self.queue.put_nowait(item)
        self.stdin = b""
        if script is not None:
            self.queue.put_nowait(None)

    async def write_stdin(self, data):
        self.stdin += data
        self.queue.put_nowait((1, data))

    async def close_stdin(self):
        self.queue.put_nowait(None)

    async def read(self):
        return await self.queue.get()

    async def resize(self, width, height):
        self.sizes.append((width, height))
        self.queue.put_nowait((1, f"{width}x{height}".encode()))

    async def wait(self):
        return self.code

    async def close(self):
        self.closed = True
        self.queue.put_nowait(None)


def opener(process):
    async def open_session(options):
        if isinstance(process, Exception):
            raise process
        return process

    return open_session


class WsClient:
    def __init__(self, protocol):
        self.protocol, self.framing = protocol, websocket.WebSocket(client=True)
        self.base64 = "base64" in protocol

    def request(self, query):
        headers = websocket.request_headers([self.protocol])
        return Request("GET", "/exec", raw_query=query, headers=headers, upgrade=True)

    def connect(self, pipe, names):
        self.pipe = pipe

    def send(self, name, data):
        channel = ["stdin", "stdout", "stderr", "error", "resize"].index(name)
        if self.base64:
            self.pipe.write(self.framing.message(str(channel).encode() + base64.b64encode(data), websocket.TEXT))
        else:
            self.pipe.write(self.framing.message(bytes([channel]) + data))

    def close_stdin(self):
        assert self.protocol.startswith("v5")
        self.pipe.write(self.framing.message(b"\xff\x00"))

    async def result(self):
        out = {1: b"", 2: b"", 3: b""}
        first = None
        while data := await self.pipe.read():
            for message in self.framing.feed(data):
                if message.opcode == websocket.CLOSE:
                    assert message.close_code == 1000
                    self.pipe.write(self.framing.close())
                    self.pipe.close()
                    return out
                channel, payload = message.data[0], message.data[1:]
                if self.base64:
                    channel, payload = channel - 48, base64.b64decode(payload)
                if first is None:
                    first = (channel, payload)
                    assert payload == b""
                out[channel] += payload
        raise AssertionError("closed without a close frame")


class SpdyClient:
    def __init__(self, protocol):
        self.protocol, self.framing = protocol, spdy.Spdy()

    def request(self, query):
        headers = {"connection": "Upgrade", "upgrade": "SPDY/3.1", "x-stream-protocol-version": "nonsense, " + self.protocol}
        return Request("POST", "/exec", raw_query=query, headers=headers, upgrade=True)

    def connect(self, pipe, names):
        self.pipe, self.ids = pipe, {}
        for index, name in enumerate(names):
            self.ids[name] = 2 * index + 1
            pipe.write(self.framing.syn_stream(2 * index + 1, {"streamType": name}))

    def send(self, name, data):
        self.pipe.write(self.framing.data(self.ids[name], data))

    def close_stdin(self):
        self.pipe.write(self.framing.data(self.ids["stdin"], b"", fin=True))

    async def result(self):
        out = {"stdout": b"", "stderr": b"", "error": b""}
        ended = set()
        names = {v: k for k, v in self.ids.items()}
        while "error" not in ended:
            for event in self.framing.feed(await self.pipe.read()):
                if isinstance(event, spdy.Data):
                    assert names[event.stream_id] not in ended
                    out[names[event.stream_id]] += event.data
                    if event.fin:
                        ended.add(names[event.stream_id])
        assert "stdout" in ended
        self.pipe.close()
        return {1: out["stdout"], 2: out["stderr"], 3: out["error"]}


CLIENTS = [(WsClient, p) for p in WEBSOCKET_PROTOCOLS] + [(SpdyClient, p) for p in SPDY_PROTOCOLS]
every_protocol = pytest.mark.parametrize("kind,protocol", CLIENTS, ids=lambda v: getattr(v, "__name__", v))


def converse(kind, protocol, process, query, talk, **options):
    async def go():
        client = kind(protocol)
        response = remote_command(client.request(query), opener(process), **options)
        assert response.status == 101, response.body
        assert any(v == protocol for _, v in response.headers)
        near, far = pipes()
        names = ["error"] + [n for n in ("stdin", "stdout", "stderr") if f"{n}=" in query] + (["resize"] if "tty=" in query else [])
        client.connect(near, names)
        serving = asyncio.ensure_future(response.takeover(far))
        talk(client)
        out = await asyncio.wait_for(client.result(), 5)
        await asyncio.wait_for(serving, 5)
        return out

    return asyncio.run(go())


@every_protocol
def test_output_then_exit_code(kind, protocol):
    script = [(1, b"out%d\n" % i) for i in range(50)] + [(2, b"err\n"), (1, b"x" * 100_000)]
    process = Process(3, script)
    out = converse(kind, protocol, process, "stdout=true&stderr=true&command=x", lambda c: None)
    assert out[1] == b"".join(d for ch, d in script if ch == 1) and out[2] == b"err\n"
    if protocol.startswith(("v4", "v5")):
        status = json.loads(out[3])
        assert status["reason"] == "NonZeroExitCode" and status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    else:
        assert out[3] == b"command terminated with non-zero exit code: exit status 3"
    assert process.closed


@every_protocol
def test_success(kind, protocol):
    out = converse(kind, protocol, Process(0, [(1, b"ok")]), "stdout=1", lambda c: None)
    assert out[1] == b"ok"
    assert out[3] == (b'{"metadata":{},"status":"Success"}' if protocol.startswith(("v4", "v5")) else b"")


@pytest.mark.parametrize("kind,protocol", [(WsClient, "v5.channel.k8s.io")] + [(SpdyClient, p) for p in SPDY_PROTOCOLS])
def test_stdin_and_its_end(kind, protocol):
    process = Process()

    def talk(client):
        for _ in range(20):
            client.send("stdin", b"y" * 9_000)
        client.close_stdin()

    out = converse(kind, protocol, process, "stdin=true&stdout=true", talk)
    assert out[1] == process.stdin == b"y" * 180_000


@pytest.mark.parametrize("kind,protocol", [(WsClient, p) for p in WEBSOCKET_PROTOCOLS] + [(SpdyClient, p) for p in SPDY_PROTOCOLS[:2]])
def test_resize(kind, protocol):
    class Terminal(Process):
        async def resize(self, width, height):
            await super().resize(width, height)
            await self.close_stdin()

    process = Terminal()
    out = converse(kind, protocol, process, "stdin=1&stdout=1&tty=1", lambda c: c.send("resize", b'{"Width":80,"Height":24}'))
    assert process.sizes == [(80, 24)] and out[1] == b"80x24"


@every_protocol
def test_what_cannot_be_opened_is_told(kind, protocol):
    out = converse(kind, protocol, ValueError("container not running"), "stdout=1", lambda c: None)
    assert b"Internal error occurred: container not running" in out[3]


def test_attach_reports_no_exit_code():
    out = converse(WsClient, "v4.channel.k8s.io", Process(7, [(1, b"x")]), "stdout=1", lambda c: None, exit_status=False)
    assert json.loads(out[3])["status"] == "Success"


@pytest.mark.parametrize("kind,protocol", [(WsClient, "v5.channel.k8s.io"), (SpdyClient, "v4.channel.k8s.io")])
def test_a_client_that_goes_away_ends_the_session(kind, protocol):
    async def go():
        process = Process()
        client = kind(protocol)
        response = remote_command(client.request("stdin=1&stdout=1"), opener(process))
        near, far = pipes()
        client.connect(near, ["error", "stdin", "stdout"])
        serving = asyncio.ensure_future(response.takeover(far))
        await asyncio.sleep(0.01)
        near.close()
        await asyncio.wait_for(serving, 2)
        assert process.closed

    asyncio.run(go())


def test_refusals():
    no_streams = WsClient("v4.channel.k8s.io").request("command=x")
    assert remote_command(no_streams, opener(Process())).body == b"you must specify at least 1 of stdin, stdout, stderr"
    assert remote_command(WsClient("v9.channel.k8s.io").request("stdout=1"), opener(Process())).status == 403
    assert remote_command(Request("GET", "/", raw_query="stdout=1"), opener(Process())).status == 400


def test_our_own_client_against_our_own_server():
    async def go(process, query="stdin=1&stdout=1&stderr=1"):
        request = Request("GET", "/exec", raw_query=query, headers=websocket.request_headers(["v5.channel.k8s.io"]))
        near, far = pipes()
        serving = asyncio.ensure_future(remote_command(request, opener(process)).takeover(far))
        session = RemoteSession(near)
        await session.write_stdin(b"hello")
        await session.close_stdin()
        out = b""
        while (item := await session.read()) is not None:
            out += item[1]
        try:
            return out, await session.wait()
        finally:
            await session.close()
            await serving

    assert asyncio.run(go(Process(42))) == (b"hello", 42)
    with pytest.raises(RemoteCommandError, match="no such container"):
        asyncio.run(go(ValueError("no such container")))


def test_port_forward_spdy_and_tunnelled():
    async def go(tunnelled):
        dialled = []

        async def dial(port):
            dialled.append(port)
            if port == 81:
                raise ConnectionRefusedError("nobody listens")
            return Process()

        headers = {"connection": "Upgrade", "upgrade": "SPDY/3.1", "x-stream-protocol-version": "portforward.k8s.io"}
        if tunnelled:
            headers = websocket.request_headers(["SPDY/3.1+portforward.k8s.io"])
        response = port_forward(Request("POST", "/portforward", headers=headers), dial)
        near, far = pipes()
        serving = asyncio.ensure_future(response.takeover(far))
        stream = WebSocketTunnel(near, client=True) if tunnelled else near
        framing = spdy.Spdy()
        for i in range(3):
            port = "81" if i == 2 else "80"
            for j, kind in enumerate(("error", "data")):
                stream.write(framing.syn_stream(4 * i + 2 * j + 1, {"streamtype": kind, "port": port, "requestid": str(i)}))
            stream.write(framing.data(4 * i + 3, b"hello %d" % i, fin=True))
        got, ended = {}, set()
        while len(ended) < 6:
            for event in framing.feed(await asyncio.wait_for(stream.read(), 2)):
                if isinstance(event, spdy.Data):
                    got[event.stream_id] = got.get(event.stream_id, b"") + event.data
                    if event.fin:
                        ended.add(event.stream_id)
        assert (got[3], got[7]) == (b"hello 0", b"hello 1") and b"nobody listens" in got[9]
        assert sorted(dialled) == [80, 80, 81]
        near.close()
        await asyncio.wait_for(serving, 2)

    asyncio.run(go(False))
    asyncio.run(go(True))


@every_protocol
def test_a_process_that_cannot_start_is_told(kind, protocol):
    class Broken(Process):
        async def wait(self):
            raise ValueError("no such program")

    out = converse(kind, protocol, Broken(0, [(2, b"?")]), "stdout=1&stderr=1", lambda c: None)
    assert b"error executing command in container: no such program" in out[3]
