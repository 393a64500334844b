"""The HTTP client against our own server, and against servers that behave badly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from kogia.wire.http_client import HttpClient
from kogia.wire.http_server import serve
from kogia.wire.messages import Connection, Request, Response


async def handler(request: Request) -> Response:
    if request.path == "/stream":

        async def chunks() -> AsyncIterator[bytes]:
            for n in range(3):
                yield b"%d\n" % n

        return Response(stream=chunks())
    if request.path == "/big":
        return Response(body=b"x" * 2_000_000)
    if request.path == "/none":
        return Response(404, body=b"nope")
    if request.path == "/up" and request.upgrade:

        async def take(connection: Connection) -> None:
            connection.write(b"hello ")
            while data := await connection.read():
                connection.write(data)
                if data.endswith(b"."):
                    return

        return Response(101, [("Upgrade", "SPDY/3.1"), ("Connection", "Upgrade")], takeover=take)
    return Response(body=f"{request.method} {request.path}?{request.raw_query} {request.body.decode()}".encode())


def test_send_reuses_its_connection(tmp_path: object) -> None:
    async def main() -> None:
        server = await serve(handler, path=f"{tmp_path}/s")
        client = HttpClient(f"unix://{tmp_path}/s")
        for n in range(5):
            response = await client.send(Request("POST", "/a b", f"n={n}", body=b"body"))
            assert response.body == f"POST /a b?n={n} body".encode()
        assert len(server.connections) == 1
        assert len((await client.send(Request("GET", "/big"))).body) == 2_000_000
        head = await client.send(Request("HEAD", "/big"))
        assert (head.status, head.body) == (200, b"")
        assert (await client.send(Request("GET", "/none"))).status == 404
        await client.close()
        await server.close()

    asyncio.run(main())


def test_streams_and_upgrades() -> None:
    async def main() -> None:
        server = await serve(handler, "127.0.0.1", 0)
        client = HttpClient(f"http://127.0.0.1:{server.port}")
        response = await client.send(Request("GET", "/stream", context={"stream": True}))
        assert response.stream is not None
        assert b"".join([c async for c in response.stream]) == b"0\n1\n2\n"
        headers = {"connection": "Upgrade", "upgrade": "SPDY/3.1"}
        answer, connection = await client.open(Request("POST", "/up", headers=dict(headers)))
        assert answer.status == 101 and connection is not None
        connection.write(b"there.")
        got = b""
        while data := await connection.read():
            got += data
        assert got == b"hello there."
        refused, nothing = await client.open(Request("POST", "/none", headers=dict(headers)))
        assert (refused.status, refused.body, nothing) == (404, b"nope", None)
        await client.close()
        await server.close()

    asyncio.run(main())


def test_stale_pooled_connection_is_retried_only_if_harmless() -> None:
    seen: list[bytes] = []

    async def fickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one request per connection, promises keep-alive, and hangs up on the second without an answer."""
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        seen.append(await reader.read(4096))
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(fickle, "127.0.0.1", 0)
        client = HttpClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert (await client.send(Request("GET", "/1"))).body == b"ok"
        assert (await client.send(Request("GET", "/2"))).body == b"ok"
        with pytest.raises(ConnectionError):
            await client.send(Request("POST", "/3"))
        assert sum(b"/2 HTTP" in s for s in seen) == 2
        assert sum(b"/3 HTTP" in s for s in seen) == 1
        await client.close()
        server.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n", b"no http at all\r\n\r\n", b""],
)
def test_broken_answers_raise_connection_errors(answer: bytes) -> None:
    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(broken, "127.0.0.1", 0)
        client = HttpClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(ConnectionError):
            await client.send(Request("GET", "/"))
        await client.close()
        server.close()

    asyncio.run(main())


def test_body_until_close() -> None:
    async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nall of it")
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(old, "127.0.0.1", 0)
        client = HttpClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert (await client.send(Request("GET", "/"))).body == b"all of it"
        await client.close()
        server.close()

    asyncio.run(main())


def test_no_header_can_be_smuggled() -> None:
    client = HttpClient("http://127.0.0.1:1")
    with pytest.raises(ValueError):
        from kogia.wire.http_head import request_head

        request_head(Request("GET", "/", headers={"x": "a\r\nEvil: 1"}), "/", "h")
    with pytest.raises(ValueError):
        request_head(Request("GET", "/"), "/a b", "h")
    assert client._target(Request("GET", "/a b%", "x=1")) == "/a%20b%25?x=1"
