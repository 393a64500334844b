"""gRPC probes against a tiny server on h2: only SERVING is healthy, the service's name and the deadline arrive, failures are worded as Kubernetes'."""

import asyncio

import pytest

from kogia.cri.errors import Code, CriError
from kogia.cri.grpc.framing import frame, status_trailers
from kogia.cri.grpc.http2 import Http2
from kogia.kubelet.probe_grpc import check, request, response_status


class Health(Http2):
    """Answers every call by `answers[service]`: a status, an error, or None for silence."""

    def __init__(self, reader, writer, answers, seen):
        super().__init__(reader, writer, client=False)
        self.answers, self.seen, self.path, self.body = answers, seen, {}, b""

    def on_headers(self, stream_id, headers):
        self.path = dict(headers)

    def on_data(self, stream_id, data):
        self.body += data

    def on_end(self, stream_id):
        service = self.body[5:][2:].decode()
        self.seen.append((self.path[":path"], service, self.path["grpc-timeout"]))
        answer = self.answers[service]
        if answer is None:
            return
        head = [(":status", "200"), ("content-type", "application/grpc")]
        if isinstance(answer, CriError):
            self.send_headers(stream_id, head + status_trailers(answer), end=True)
            return
        self.send_headers(stream_id, head)
        self.h2.send_data(stream_id, frame(bytes([8, answer]) if answer else b""))
        self.send_headers(stream_id, status_trailers(), end=True)


def probed(answers, service="", timeout_s=2.0):
    async def go():
        seen, tasks = [], []

        async def serve(reader, writer):
            session = Health(reader, writer, answers, seen)
            session.start()
            tasks.append(asyncio.current_task())
            await session.read()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        try:
            return (*await check("127.0.0.1", server.sockets[0].getsockname()[1], service, timeout_s), seen)
        finally:
            server.close()
            await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(go())


def test_serving_is_success_and_the_service_is_named():
    ok, message, seen = probed({"orders": 1}, "orders", 3)
    assert (ok, message) == (True, "service healthy")
    assert seen == [("/grpc.health.v1.Health/Check", "orders", "3000m")]


@pytest.mark.parametrize("status,name", [(0, "UNKNOWN"), (2, "NOT_SERVING"), (3, "SERVICE_UNKNOWN"), (9, "9")])
def test_every_other_status_is_failure(status, name):
    assert probed({"": status})[:2] == (False, f'service unhealthy (responded with "{name}")')


def test_errors_of_the_server():
    ok, message, _ = probed({"x": CriError(Code.NOT_FOUND, "unknown service")}, "x")
    assert (ok, message) == (False, "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service")
    ok, message, _ = probed({"": CriError(Code.UNIMPLEMENTED, "unknown service grpc.health.v1.Health")})
    assert not ok and message == (
        "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unknown service grpc.health.v1.Health"
    )


def test_silence_ends_with_the_timeout():
    assert probed({"": None}, timeout_s=0.1)[:2] == (False, "timeout: health rpc did not complete within 0.1s")


def test_nobody_listens_and_somebody_else_listens():
    async def go():
        server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        closed = await check("127.0.0.1", port, "", 1)
        server.close()
        await server.wait_closed()
        return port, closed, await check("127.0.0.1", port, "", 1)

    port, closed, refused = asyncio.run(go())
    assert closed == (False, "error: health rpc probe failed: rpc error: code = Unavailable desc = error reading from server: EOF")
    address = f"127.0.0.1:{port}"
    assert refused == (False, f'error: failed to connect service at "{address}": dial tcp {address}: connect: connection refused')


def test_messages_are_protobuf():
    assert request("") == b"" and request("ab") == b"\x0a\x02ab" and request("x" * 200)[:3] == b"\x0a\xc8\x01"
    assert response_status(b"") == 0 and response_status(b"\x12\x01z\x08\x01") == 1
    with pytest.raises((ValueError, IndexError)):
        response_status(b"\x12\x09z")
