"""The command line's own HTTP client against a server that sends exactly these bytes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kogia.cli.connection import Api, ApiFailure, encode_query, split_authority
from kogia.cli.main import CommandError


@contextmanager
def canned(*answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives each request the next answer and closes a connection after one that says so; the requests' heads."""
    listener, seen = socket.create_server(("127.0.0.1", 0)), []
    waiting = list(answers)

    def serve() -> None:
        while waiting:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                while waiting:
                    data = b""
                    while b"\r\n\r\n" not in data:
                        piece = connection.recv(65536)
                        if not piece:
                            break
                        data += piece
                    if not data:
                        break
                    seen.append(data)
                    answer = waiting.pop(0)
                    connection.sendall(answer)
                    if b"Content-Length" not in answer and b"chunked" not in answer or b"Connection: close" in answer:
                        break

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/base", seen
    finally:
        listener.close()
        thread.join(2)


def api(server: str) -> Api:
    return Api(server, None, {"User-Agent": "t"}, "default", 5.0)


def plain(body: bytes, status: str = "200 OK", more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


def test_one_connection_serves_many_requests() -> None:
    with canned(plain(b'{"a":1}'), plain(b'{"a":2}')) as (server, seen):
        one = api(server)
        assert one.call("GET", "/x", query={"limit": 5, "watch": True, "none": "", "many": ["a", "b"]}) == {"a": 1}
        assert one.call("POST", "/y", body={"b": 1, "a": "é"}) == {"a": 2}
    assert seen[0].startswith(b"GET /base/x?limit=5&watch=true&many=a&many=b HTTP/1.1\r\n")
    assert b"Content-Type: application/json" in seen[1] and b'{"a": "\\u00e9", "b": 1}' in seen[1]


def test_a_kept_connection_that_the_server_closed_is_renewed() -> None:
    with canned(plain(b"{}", more="Keep-Alive: x\r\n"), plain(b"{}")) as (server, _):
        one = api(server)
        one.call("GET", "/x")
        assert one._kept is not None
        one._kept._socket.shutdown(socket.SHUT_RDWR)
        assert one.call("GET", "/y") == {}


def test_chunks_and_lines_that_cross_them() -> None:
    body = b"5\r\nab\ncd\r\n3;x=y\r\ne\nf\r\n1\r\n\n\r\n0\r\nTrailer: x\r\n\r\n"
    with canned(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body) as (server, _):
        assert list(api(server).lines("/log", {})) == [b"ab", b"cde", b"f"]


def test_a_watch_that_breaks_off_ends_quietly_and_a_short_answer_is_an_error() -> None:
    with canned(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nab\n\r\n") as (server, _):
        assert list(api(server).lines("/watch", {})) == [b"ab"]
    with canned(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nabc") as (server, _):
        with pytest.raises(CommandError, match="unexpected EOF"):
            api(server).call("GET", "/x")


def test_informational_answers_are_passed_over_and_an_answer_may_end_with_the_connection() -> None:
    with canned(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{}") as (server, _):
        assert api(server).call("GET", "/x") == {}


@pytest.mark.parametrize(("answer", "text"), [
    (plain(b'{"kind":"Status","reason":"NotFound","message":"pods \\"x\\" not found","code":404}', "404 Not Found"), 'Error from server (NotFound): pods "x" not found'),
    (plain(b"404 page not found\n", "404 Not Found"), "Error from server (NotFound): the server could not find the requested resource"),
    (plain(b"", "401 Unauthorized"), "Error from server (Unauthorized): the server has asked for the client to provide credentials"),
    (plain(b'{"kind":"Status","reason":"Invalid","message":"m","details":{"kind":"Pod","name":"p","causes":[{"field":"a","message":"x"},{"field":"b","message":"y"}]}}', "422 x"),
     'The Pod "p" is invalid: \n* a: x\n* b: y'),
    (b"SSH-2.0-x\r\n", "Unable to connect to the server: malformed HTTP response"),
])  # fmt: skip
def test_refusals_in_kubectls_words(answer: bytes, text: str) -> None:
    with canned(answer) as (server, _):
        with pytest.raises(CommandError) as caught:
            api(server).call("GET", "/x")
    assert str(caught.value) == text


def test_what_was_being_done_is_told_between_reason_and_message() -> None:
    failure = ApiFailure({"reason": "AlreadyExists", "message": "m"}, 409)
    assert failure.worded('error when creating "x": ') == 'Error from server (AlreadyExists): error when creating "x": m'


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(CommandError, match=f"The connection to the server 127.0.0.1:{port} was refused"):
        api(f"http://127.0.0.1:{port}").call("GET", "/x")


def test_small_things() -> None:
    assert encode_query({"a": "x y", "b": None, "c": False}) == "a=x+y&c=false"
    assert split_authority("[::1]:6443") == ("::1", 6443) and split_authority("h") == ("h", 0)
    with pytest.raises(ValueError, match="line break"):
        with canned(plain(b"")) as (server, _):
            Api(server, None, {"X": "a\r\nb"}, "default", 2.0).raw("GET", "/x")
