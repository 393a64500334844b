"""The fake runtime behaves: states, refusals, events, knobs. (The full contract is in tests/contract/cri.)"""

import asyncio

import pytest

from kogia.base.clock import FakeClock
from kogia.cri import types as t
from kogia.cri.errors import Code, CriError
from kogia.cri.fake import FakeRuntime


async def started(fake: FakeRuntime, name: str = "main") -> str:
    config = t.PodSandboxConfig(metadata=t.PodSandboxMetadata(name="p", uid="u", namespace="d"), log_directory="/logs")
    sandbox = await fake.run_pod_sandbox(config)
    container = await fake.create_container(
        sandbox, t.ContainerConfig(metadata=t.ContainerMetadata(name=name), image=t.ImageSpec(image="busybox"), log_path="a/0.log"), config
    )
    await fake.start_container(container)
    return container


def test_life_of_a_container_with_events():
    async def go():
        fake = FakeRuntime(FakeClock(), images=("busybox",))
        events = fake.container_events()
        container = await started(fake)
        fake.finish(container, 3)
        status = await fake.container_status(container)
        assert (status.state, status.exit_code, status.reason) == (t.ContainerState.CONTAINER_EXITED, 3, "Error")
        assert status.log_path == "/logs/a/0.log"
        kinds = [(await anext(events)).container_event_type.name.split("_")[1] for _ in range(5)]
        assert kinds == ["CREATED", "STARTED", "CREATED", "STARTED", "STOPPED"]
        await fake.close()
        with pytest.raises(StopAsyncIteration):
            await anext(events)

    asyncio.run(go())


def test_a_stubborn_container_costs_its_grace_period():
    async def go():
        clock = FakeClock()
        fake = FakeRuntime(clock, images=("busybox",))
        fake.ignores_stop.add("main")
        container = await started(fake)
        stopping = asyncio.ensure_future(fake.stop_container(container, 30))
        await clock.advance(29)
        assert not stopping.done()
        await clock.advance(2)
        await stopping
        assert (await fake.container_status(container)).exit_code == 137

    asyncio.run(go())


def test_injected_failures_once_and_for_good():
    async def go():
        fake = FakeRuntime()
        fake.fail_once["version"] = CriError(Code.UNAVAILABLE, "gone")
        with pytest.raises(CriError, match="gone"):
            await fake.version()
        assert (await fake.version()).runtime_api_version == "v1"
        with pytest.raises(CriError) as caught:
            await fake.pull_image(t.ImageSpec(image="nowhere"))
        assert caught.value.code is Code.NOT_FOUND

    asyncio.run(go())


def test_pull_by_short_and_long_names():
    async def go():
        fake = FakeRuntime()
        fake.publish("docker.io/library/nginx:latest")
        ref = await fake.pull_image(t.ImageSpec(image="nginx"))
        assert ref.startswith("docker.io/library/nginx@sha256:")
        image = await fake.image_status(t.ImageSpec(image="nginx:latest"))
        assert image is not None and (await fake.image_status(t.ImageSpec(image=image.id[7:15]))) == image
        assert await fake.image_status(t.ImageSpec(image="nginx:1")) is None

    asyncio.run(go())
