import asyncio

import pytest

from kogia.base.clock import FakeClock
from kogia.client.fake import FakeApi
from kogia.controllers.run import start_controllers


class World:
    """A fake server and clock with the controllers running on them."""

    def __init__(self, api, clock, controllers):
        self.api, self.clock, self.controllers = api, clock, controllers
        self.client = api.client()

    async def until(self, condition):
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0)

    def get(self, plural, name, namespace="", group=""):
        key = f"{namespace}/{name}" if namespace else name
        return self.api.objects.get((group, plural), {}).get(key)

    def namespace(self, name, **metadata):
        return self.api.put({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, **metadata}, "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        })


@pytest.fixture
def world():
    """Runs `body(world)` in a loop of its own."""

    def run(body, **options):
        async def main():
            clock = FakeClock()
            api = FakeApi(clock, **options)
            controllers = await start_controllers(api.client(), root_ca_pem=b"PEM", clock=clock)
            try:
                await World(api, clock, controllers).until(lambda: api.watches == len(list(controllers.informers.all())))
                await body(World(api, clock, controllers))
            finally:
                await controllers.close()

        asyncio.run(main())

    return run
