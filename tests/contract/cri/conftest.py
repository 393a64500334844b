"""The same runtime seen directly and across gRPC: `scenario(body)` runs `body(fake, runtime)` on either."""

import asyncio
import contextlib

import pytest

from kogia.cri.fake import FakeRuntime


@contextlib.asynccontextmanager
async def direct(fake, folder):
    yield fake


@contextlib.asynccontextmanager
async def over_grpc(fake, folder):
    from kogia.cri.grpc.client import CriClient
    from kogia.cri.grpc.server import serve

    server = await serve(fake, fake, folder / "cri.sock")
    client = CriClient(f"unix://{folder}/cri.sock", timeout_s=10, long_s=10)
    try:
        yield client
    finally:
        await client.close()
        await server.close()


@pytest.fixture(params=[direct, over_grpc], ids=["direct", "grpc"])
def scenario(request, tmp_path):
    def run(body, **knobs):
        async def go():
            fake = FakeRuntime(images=("docker.io/library/busybox:latest",), **knobs)
            async with asyncio.timeout(20), request.param(fake, tmp_path) as runtime:
                await body(fake, runtime)

        asyncio.run(go())

    return run
