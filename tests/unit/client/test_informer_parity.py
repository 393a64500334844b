"""Whatever happens between them, an informer ends up with what the server has, and its handlers saw a story that leads there."""

import asyncio
import random

import pytest

from kogia.api.status import status_error
from kogia.base.clock import FakeClock
from kogia.client.fake import FakeApi
from kogia.client.informer import Informer
from kogia.client.interface import Resource

CONFIG_MAPS = Resource("", "v1", "configmaps")


def config_map(name, team, value):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "x", "labels": {"team": team}}, "data": {"v": value}}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("selector", ["", "team=a"])
def test_random_operations_and_faults(seed, selector):
    chance = random.Random(seed)

    async def main():
        clock = FakeClock()
        api = FakeApi(clock)
        client = api.client()
        informer = Informer(client, CONFIG_MAPS, label_selector=selector, clock=clock)
        replayed = {}

        def handler(old, new):
            assert old is not None or new is not None
            name = (new or old)["metadata"]["name"]
            assert (name in replayed) == (old is not None), "an add for what is there, or a change of what is not"
            if new is None:
                del replayed[name]
            else:
                replayed[name] = new["metadata"]["resourceVersion"]

        informer.on_change(handler)
        informer.start()
        down = []

        def fault(request):
            return chance.choice(down) if down and chance.random() < 0.5 else None

        api.faults.append(fault)
        for step in range(300):
            action = chance.randrange(12)
            name = f"c{chance.randrange(8)}"
            if action < 5:
                api.put(config_map(name, chance.choice("ab"), str(step)))
            elif action < 8 and f"x/{name}" in api.objects.get(("", "configmaps"), {}):
                down_before, down[:] = list(down), []
                await client.delete(CONFIG_MAPS, name, "x")
                down[:] = down_before
            elif action == 8:
                api.end_watches(chance.choice([None, ConnectionResetError("cut"), status_error(410, "Expired", "old"), status_error(500, "InternalError", "x")]))
            elif action == 9:
                api.compact()
            elif action == 10:
                down[:] = chance.choice([[], [ConnectionRefusedError("down")], [status_error(503, "ServiceUnavailable", "x"), TimeoutError()]])
            else:
                await clock.advance(chance.random() * 3)
        down.clear()
        await clock.advance(60)
        expected = {
            o["metadata"]["name"]: o["metadata"]["resourceVersion"] for o in api.all("configmaps")
            if not selector or o["metadata"]["labels"]["team"] == "a"
        }
        assert {o["metadata"]["name"]: o["metadata"]["resourceVersion"] for o in informer.list()} == expected
        assert replayed == expected
        await informer.close()

    asyncio.run(main())
