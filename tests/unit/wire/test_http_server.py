"""The HTTP server against hand-written bytes: framing, order, limits, streams, take-over. Unix sockets and loopback only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from kogia.wire.http_server import Limits, Server, serve
from kogia.wire.messages import Connection, Request, Response


async def echo(request: Request) -> Response:
    if request.path == "/slow":
        await asyncio.sleep(0.05)
    if request.path == "/stream":

        async def chunks() -> AsyncIterator[bytes]:
            for part in (b"one\n", b"", b"two\n"):
                yield part

        return Response(stream=chunks())
    if request.path == "/boom":
        raise RuntimeError("secret detail")
    if request.path == "/up":

        async def take(connection: Connection) -> None:
            while data := await connection.read():
                connection.write(data.upper())
                await connection.drain()
                if b"quit" in data:
                    break

        return Response(101, [("Upgrade", "websocket"), ("Connection", "Upgrade")], takeover=take)
    return Response(body=f"{request.method} {request.path} {request.raw_query} {len(request.body)}".encode(), content_type="text/plain")


def run(data: bytes | list[bytes], *, limits: Limits | None = None, until_close: bool = True) -> bytes:
    """What the server answers to `data` (sent in pieces) until it closes or nothing more comes for a moment."""

    async def main() -> bytes:
        server = await serve(echo, "127.0.0.1", 0, limits=limits)
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            for piece in [data] if isinstance(data, bytes) else data:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.005)
            got = b""
            try:
                while chunk := await asyncio.wait_for(reader.read(65536), 0.2):
                    got += chunk
            except TimeoutError:
                assert not until_close, got
            writer.close()
            return got
        finally:
            await server.close(grace_s=0.2)
            assert not server.connections

    return asyncio.run(main())


CLOSE = b"Connection: close\r\n\r\n"


def test_get_in_small_pieces() -> None:
    whole = b"GET /a%20b?x=1&y=%2F HTTP/1.1\r\nHost: h\r\n" + CLOSE
    answer = run([whole[i : i + 7] for i in range(0, len(whole), 7)])
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"GET /a b x=1&y=%2F 0")


def test_pipelined_answers_keep_their_order() -> None:
    answer = run(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\nPOST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /c HTTP/1.1\r\nHost: h\r\n" + CLOSE)
    assert [answer.find(x) > 0 for x in (b"GET /slow", b"POST /b  3", b"GET /c")] == [True] * 3
    assert answer.find(b"GET /slow") < answer.find(b"POST /b") < answer.find(b"GET /c")


def test_many_pipelined_requests_are_all_answered() -> None:
    answer = run(b"GET /n HTTP/1.1\r\nHost: h\r\n\r\n" * 200 + b"GET /last HTTP/1.1\r\nHost: h\r\n" + CLOSE)
    assert answer.count(b"GET /n") == 200 and answer.endswith(b"GET /last  0")


def test_chunked_request_body() -> None:
    answer = run(b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")
    assert answer.endswith(b"POST /c  7")


def test_expect_continue() -> None:
    answer = run([b"POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n" + CLOSE, b"ab"])
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")


def test_stream_is_chunked_and_skips_empty_parts() -> None:
    answer = run(b"GET /stream HTTP/1.1\r\nHost: h\r\n" + CLOSE)
    assert answer.endswith(b"4\r\none\n\r\n4\r\ntwo\n\r\n0\r\n\r\n")


def test_stream_to_http_1_0_ends_by_closing() -> None:
    answer = run(b"GET /stream HTTP/1.0\r\nHost: h\r\n\r\n")
    assert answer.endswith(b"\r\n\r\none\ntwo\n") and b"chunked" not in answer


def test_handler_failure_is_500_without_details() -> None:
    answer = run(b"GET /boom HTTP/1.1\r\nHost: h\r\n" + CLOSE)
    assert answer.startswith(b"HTTP/1.1 500 ") and b"secret" not in answer


def test_head_has_no_body() -> None:
    answer = run(b"HEAD /x HTTP/1.1\r\nHost: h\r\n" + CLOSE)
    assert b"Content-Length: 10\r\n" in answer and answer.endswith(b"\r\n\r\n")


def test_take_over_keeps_early_bytes() -> None:
    head = b"GET /up HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    answer = run([head + b"early ", b"late ", b"quit"])
    assert answer.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert answer.partition(b"\r\n\r\n")[2] == b"EARLY LATE QUIT"
    assert b"Content-Length" not in answer


def test_h2c_upgrade_is_ignored() -> None:
    answer = run(b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n" + CLOSE)
    assert answer.count(b"200 OK") == 2


def test_half_close_still_gets_the_answer() -> None:
    async def main() -> bytes:
        server = await serve(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        writer.write_eof()
        got = await asyncio.wait_for(reader.read(), 2)
        writer.close()
        await server.close()
        return got

    assert asyncio.run(main()).endswith(b"GET /slow  0")


SMUGGLING = [
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\nabc",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\nabc",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\nGET /evil HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n",
    b"GET / HTTP/1.1\r\n Host: h\r\n\r\n",
    b"GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: h\r\n\r\n",
    b"NONSENSE\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]


@pytest.mark.parametrize("attack", SMUGGLING)
def test_ambiguous_requests_are_refused_and_the_connection_ends(attack: bytes) -> None:
    answer = run(attack, until_close=True)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert answer.count(b"HTTP/1.1 ") == 1 and b"evil" not in answer


def test_body_limit_by_length_and_by_chunks() -> None:
    limits = Limits(body_bytes=10)
    by_length = run(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n", limits=limits)
    by_chunks = run(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n", limits=limits)
    for answer in (by_length, by_chunks):
        assert answer.startswith(b"HTTP/1.1 413 ") and b'"reason":"RequestEntityTooLarge"' in answer


def test_head_limits() -> None:
    limits = Limits(head_bytes=4096)
    endless = run([b"GET / HTTP/1.1\r\nHost: h\r\nX: ", b"y" * 5000], limits=limits)
    many = run(b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 300 + b"\r\n")
    assert endless.startswith(b"HTTP/1.1 431 ") and many.startswith(b"HTTP/1.1 431 ")


def test_garbage_never_breaks_the_server() -> None:
    import random

    random.seed(7)
    seeds = [*SMUGGLING, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab"]

    async def main() -> None:
        server = await serve(echo, "127.0.0.1", 0)
        for _ in range(300):
            data = bytearray(random.choice(seeds) + random.choice(seeds))
            for _ in range(random.randrange(4)):
                data[random.randrange(len(data))] = random.randrange(256)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(bytes(data))
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 5)
            writer.close()
        await _works(server)
        await server.close(grace_s=0.5)
        assert not server.connections

    asyncio.run(main())


async def _works(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /ok HTTP/1.1\r\nHost: h\r\n" + CLOSE)
    assert (await reader.read()).endswith(b"GET /ok  0")
    writer.close()


def test_stuck_reader_is_dropped_and_others_go_on() -> None:
    ended = []

    async def flood(request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x" * 65536
                    await asyncio.sleep(0)
            finally:
                ended.append(True)

        return Response(stream=chunks()) if request.path == "/flood" else Response(body=b"ok")

    async def main() -> None:
        server = await serve(flood, "127.0.0.1", 0, limits=Limits(stuck_s=0.1))
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(b"GET /flood HTTP/1.1\r\nHost: h\r\n\r\n")
        await asyncio.sleep(0.02)
        reader2, writer2 = await asyncio.open_connection("127.0.0.1", server.port)
        writer2.write(b"GET /ok HTTP/1.1\r\nHost: h\r\n" + CLOSE)
        assert (await asyncio.wait_for(reader2.read(), 1)).endswith(b"ok")
        for _ in range(200):
            if ended:
                break
            await asyncio.sleep(0.02)
        assert ended == [True]
        writer.close()
        writer2.close()
        await server.close()

    asyncio.run(main())


def test_client_leaving_ends_its_stream_and_sets_closed() -> None:
    seen: dict[str, object] = {}

    async def forever(request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            try:
                yield b"first\n"
                await asyncio.Event().wait()
            finally:
                seen["ended"] = True

        seen["closed"] = request.closed
        return Response(stream=chunks())

    async def main() -> None:
        server = await serve(forever, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await reader.readuntil(b"first\n")
        writer.close()
        closed = seen["closed"]
        assert isinstance(closed, asyncio.Event)
        await asyncio.wait_for(closed.wait(), 1)
        await asyncio.sleep(0.01)
        assert seen["ended"]
        await server.close()

    asyncio.run(main())


def test_shutdown_ends_streams_cleanly() -> None:
    async def forever(request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"first\n"
            await asyncio.Event().wait()

        return Response(stream=chunks())

    async def main() -> bytes:
        server = await serve(forever, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        head = await reader.readuntil(b"first\n\r\n")
        await server.close()
        rest = await asyncio.wait_for(reader.read(), 1)
        writer.close()
        return head + rest

    assert asyncio.run(main()).endswith(b"first\n\r\n0\r\n\r\n")
