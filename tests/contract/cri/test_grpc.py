"""gRPC itself: deadlines, cancellation, reconnection, sockets, limits, and that the real grpcio understands us."""

import asyncio
import os
import subprocess
import sys
import time

import pytest

from kogia.cri import types as t
from kogia.cri.errors import Code, CriError
from kogia.cri.fake import FakeRuntime
from kogia.cri.grpc.client import CriClient
from kogia.cri.grpc.codec import decode, encode
from kogia.cri.grpc.descriptors import message, methods
from kogia.cri.grpc.framing import Deframer, format_timeout, frame, parse_timeout, status_error, status_trailers
from kogia.cri.grpc.server import serve


def run(body, tmp_path, **options):
    async def go():
        fake = FakeRuntime(images=("busybox",))
        server = await serve(fake, fake, tmp_path / "cri.sock")
        client = CriClient(str(tmp_path / "cri.sock"), **options)
        try:
            async with asyncio.timeout(20):
                await body(fake, server, client)
        finally:
            await client.close()
            await server.close()

    asyncio.run(go())


async def error_of(awaitable):
    with pytest.raises(CriError) as caught:
        await awaitable
    return caught.value


def test_every_rpc_has_a_handler():
    from kogia.cri.grpc.calls import Calls

    missing = [path for path, (_, _, streams) in methods().items() if not streams and not hasattr(Calls, path.rpartition("/")[2])]
    assert [path.rpartition("/")[2] for path in missing] == ["CheckpointContainer", "UpdatePodSandboxResources"]


def test_deadline_and_cancellation_reach_the_runtime(tmp_path):
    async def body(fake, server, client):
        fake.pull_gate = asyncio.Event()
        ended = []

        async def waiting():
            try:
                await asyncio.sleep(3600)
            finally:
                ended.append(True)

        fake.version = waiting
        assert (await error_of(client.version())).code is Code.DEADLINE_EXCEEDED
        call = asyncio.ensure_future(client.pull_image(t.ImageSpec(image="x")))
        await asyncio.sleep(0.05)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        async with asyncio.timeout(2):
            while not ended or any(s._streams for s in server._sessions):
                await asyncio.sleep(0.01)

    run(body, tmp_path, timeout_s=0.2)


def test_lost_and_found_again(tmp_path):
    async def body(fake, server, client):
        await client.version()
        fake.pull_gate = asyncio.Event()
        pulling = asyncio.ensure_future(client.pull_image(t.ImageSpec(image="x")))
        events = client.container_events()
        await asyncio.sleep(0.05)
        await server.close()
        assert (await error_of(pulling)).code in (Code.UNAVAILABLE, Code.CANCELLED)
        assert (await error_of(anext(events))).code in (Code.UNAVAILABLE, Code.CANCELLED)
        error = await error_of(client.version())
        assert error.code is Code.UNAVAILABLE
        assert error.message == (
            f'connection error: desc = "transport: Error while dialing: dial unix {tmp_path}/cri.sock: connect: no such file or directory"'
        )
        again = await serve(fake, fake, tmp_path / "cri.sock")
        await client.version()
        await again.close()

    run(body, tmp_path)


def test_the_socket(tmp_path):
    async def body(fake, server, client):
        assert os.stat(tmp_path / "cri.sock").st_mode & 0o777 == 0o600
        with pytest.raises(OSError, match="address already in use"):
            await serve(fake, fake, tmp_path / "cri.sock")
        (tmp_path / "file").write_text("")
        with pytest.raises(OSError, match="not a socket"):
            await serve(fake, fake, tmp_path / "file")
        deep = tmp_path / ("d" * 60) / ("e" * 60) / "cri.sock"
        long = await serve(fake, fake, deep)
        other = CriClient(f"unix://{deep}")
        assert (await other.version()).runtime_name == "fake"
        await other.close()
        await long.close()
        assert not deep.exists()

    run(body, tmp_path)
    stale = tmp_path / "cri.sock"
    subprocess.run([sys.executable, "-c", f"import socket; socket.socket(socket.AF_UNIX).bind({str(stale)!r})"], check=True)

    async def nothing(fake, server, client):
        await client.version()

    run(nothing, tmp_path)


def test_garbage_hurts_only_its_sender(tmp_path):
    async def body(fake, server, client):
        for data in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(300), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)):
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "cri.sock"))
            writer.write(data)
            await asyncio.wait_for(reader.read(), 5)
            writer.close()
        assert (await client.version()).runtime_name == "fake"
        error = await error_of(client.run_pod_sandbox(t.PodSandboxConfig(hostname="x" * (17 << 20))))
        assert error.code is Code.RESOURCE_EXHAUSTED and "larger than max" in error.message
        sandbox = await client.run_pod_sandbox(t.PodSandboxConfig(hostname="x" * (9 << 20)))
        assert len(fake.sandboxes[sandbox].config.hostname) == 9 << 20

        def broken(*_):
            raise RuntimeError("a bug")

        fake.pod_sandbox_status = broken
        assert (await error_of(client.pod_sandbox_status("x"))).code is Code.INTERNAL
        await client.version()

    run(body, tmp_path)


def test_a_url_works_once(tmp_path):
    async def body(fake, server, client):
        from kogia.cri.grpc.remote_streams import open_command

        config = t.PodSandboxConfig()
        sandbox = await client.run_pod_sandbox(config)
        container = await client.create_container(sandbox, t.ContainerConfig(image=t.ImageSpec(image="busybox")), config)
        await client.start_container(container)
        url = (await client.call("RuntimeService", "Exec", container_id=container, cmd=["cat"], stdin=True, stdout=True)).url
        assert url.startswith("http://127.0.0.1:")
        session = await open_command(url)
        assert "404" in (await error_of(open_command(url))).message
        await session.close()
        both = client.call("RuntimeService", "Exec", container_id=container, cmd=["cat"], tty=True, stdout=True, stderr=True)
        assert (await error_of(both)).message == "tty and stderr cannot both be true"

    run(body, tmp_path)


GRPCIO = """
import grpc, json, sys
from kogia.cri.grpc.descriptors import methods, message
channel = grpc.insecure_channel("unix://" + sys.argv[1])
def call(service, method, **fields):
    path = f"/runtime.v1.{service}/{method}"
    request, response, streams = methods()[path]
    make = channel.unary_stream if streams else channel.unary_unary
    return make(path, request_serializer=request.SerializeToString, response_deserializer=response.FromString)(request(**fields), timeout=10)
events = call("RuntimeService", "GetContainerEvents")
found = {"version": call("RuntimeService", "Version").runtime_name}
try:
    call("RuntimeService", "ContainerStatus", container_id="n\\u00f6pe%")
except grpc.RpcError as error:
    found["error"] = [error.code().name, error.details()]
try:
    call("RuntimeService", "CheckpointContainer")
except grpc.RpcError as error:
    found["unknown"] = error.code().name
config = message("PodSandboxConfig")(hostname="h" * 3_000_000)
config.metadata.name = "p"
sandbox = call("RuntimeService", "RunPodSandbox", config=config).pod_sandbox_id
found["listed"] = [i.id == sandbox for i in call("RuntimeService", "ListPodSandbox").items]
found["event"] = next(events).pod_sandbox_status.metadata.name
events.cancel()
found["many"] = sum(call("ImageService", "ListImages").images[0].size for _ in range(50))
print(json.dumps(found))
"""


def test_grpcio_as_the_client(tmp_path):
    """Interoperability: Google's own implementation drives our server."""
    pytest.importorskip("grpc", reason="grpcio is a development dependency")
    import json

    async def body(fake, server, client):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", GRPCIO, str(tmp_path / "cri.sock"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        assert json.loads(out) == {
            "version": "fake",
            "error": ["NOT_FOUND", 'could not find container "nöpe%": not found'],
            "unknown": "UNIMPLEMENTED",
            "listed": [True],
            "event": "p",
            "many": 50_000,
        }

    run(body, tmp_path)


def test_grpcio_as_the_server(tmp_path):
    """Interoperability: our client against Google's own implementation."""
    grpc = pytest.importorskip("grpc", reason="grpcio is a development dependency")
    from concurrent.futures import ThreadPoolExecutor

    def unary(name, answer):
        request, response, _ = methods()[f"/runtime.v1.RuntimeService/{name}"]
        return grpc.unary_unary_rpc_method_handler(answer, request_deserializer=request.FromString, response_serializer=response.SerializeToString)

    def version(request, context):
        return message("VersionResponse")(runtime_name="google")

    def exec_sync(request, context):
        if request.cmd[0] == "fail":
            context.abort(grpc.StatusCode.NOT_FOUND, "ünfound: 100%")
        if request.cmd[0] == "slow":
            time.sleep(0.5)
        return message("ExecSyncResponse")(stdout=b"x" * 3_000_000)

    handlers = {"Version": unary("Version", version), "ExecSync": unary("ExecSync", exec_sync)}
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("runtime.v1.RuntimeService", handlers),))
    server.add_insecure_port(f"unix://{tmp_path}/g.sock")
    server.start()

    async def go():
        client = CriClient(f"unix://{tmp_path}/g.sock", timeout_s=0.2)
        assert (await client.version()).runtime_name == "google"
        assert len((await client.exec_sync("c", ["x"], 5)).stdout) == 3_000_000
        error = await error_of(client.exec_sync("c", ["fail"], 5))
        assert (error.code, error.message) == (Code.NOT_FOUND, "ünfound: 100%")
        client._quick = -4.8  # with the call's own second, 0.2 s in all
        assert (await error_of(client.exec_sync("c", ["slow"], 5))).code is Code.DEADLINE_EXCEEDED
        assert (await error_of(client.status())).code in (Code.UNIMPLEMENTED, Code.DEADLINE_EXCEEDED)
        await client.close()

    try:
        asyncio.run(go())
    finally:
        server.stop(None).wait()


# -- pure parts ----------------------------------------------------------------------------------------------------------


def test_timeouts():
    assert [parse_timeout(v) for v in ("", "5S", "100m", "2M", "1H", "7u")] == [None, 5, 0.1, 120, 3600, pytest.approx(7e-6)]
    assert [format_timeout(s) for s in (0.0001, 0.2, 120, 1e6)] == ["1m", "200m", "120000m", "1000000S"]
    for bad in ("5", "S", "-1S", "1.5S", "123456789S", "5X"):
        with pytest.raises(ValueError, match="malformed"):
            parse_timeout(bad)


def test_frames_in_pieces():
    data = frame(b"abc") + frame(b"") + frame(b"x" * 1000)
    deframer = Deframer()
    assert [m for n in range(len(data)) for m in deframer.feed(data[n : n + 1])] == [b"abc", b"", b"x" * 1000]
    assert not deframer.partial
    with pytest.raises(CriError, match="larger than max"):
        Deframer().feed(b"\0\xff\xff\xff\xff")
    with pytest.raises(CriError, match="compressed"):
        Deframer().feed(b"\1\0\0\0\0")


def test_status_words():
    error = CriError(Code.INTERNAL, "100% \n ü")
    assert status_trailers(error) == [("grpc-status", "13"), ("grpc-message", "100%25 %0A %C3%BC")]
    told = status_error(status_trailers(error))
    assert (told.code, told.message) == (error.code, error.message)
    assert status_error([("grpc-status", "0")]) is None
    assert status_error([("grpc-status", "99")]).code is Code.UNKNOWN
    assert status_error([(":status", "503")]).code is Code.UNAVAILABLE


def test_the_codec_loses_nothing():
    """Every dataclass with every field set comes back equal."""
    import dataclasses
    import enum
    import typing

    def full(kind):
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin is list:
            return [full(arguments[0])]
        if origin is dict:
            return {"k": "v"}
        if arguments:
            return full(next(a for a in arguments if a is not type(None)))
        if dataclasses.is_dataclass(kind):
            return kind(**({name: full(hint) for name, hint in typing.get_type_hints(kind).items()} | signal(kind)))
        if issubclass(kind, enum.IntEnum):
            return list(kind)[-1]
        return {str: "s", int: 7, bool: True, bytes: b"b"}[kind]

    def signal(kind):
        return {"stop_signal": "SIGRTMIN+3"} if "stop_signal" in kind.__dataclass_fields__ else {}

    elsewhere = {t.ContainerEvent: "ContainerEventResponse", t.RuntimeStatus: "StatusResponse"}
    checked = 0
    for name, kind in vars(t).items():
        if not dataclasses.is_dataclass(kind):
            continue
        for value in (full(kind), kind()):
            if isinstance(value, t.ContainerStats):
                value.pids = 0  # CRI tells it for whole Pods only
            wire = encode(value, message(elsewhere.get(kind, name))()).SerializeToString()
            assert decode(kind, message(elsewhere.get(kind, name)).FromString(wire)) == value, name
        checked += 1
    assert checked >= 40
