import asyncio

from kogia.base.clock import FakeClock
from kogia.client.cache import split_key
from kogia.client.controller import Controller, Permanent, Retry
from kogia.client.fake import FakeApi
from kogia.client.informer import Informers
from kogia.client.interface import Resource

CONFIG_MAPS = Resource("", "v1", "configmaps")


def config_map(name, **metadata):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "x", **metadata}}


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


def test_changes_are_reconciled_and_a_stopped_controller_resumes():
    async def main():
        api = FakeApi()
        informers = Informers(api.client())
        calls = []

        async def reconcile(key):
            calls.append(split_key(key))

        informer = informers.get(CONFIG_MAPS)
        controller = Controller("test", reconcile)
        controller.watch(informer)
        api.put(config_map("a"))
        controller.start()
        await until(lambda: calls == [("x", "a")])
        api.put(config_map("b"))
        await until(lambda: len(calls) == 2)
        await controller.stop()
        controller.start()
        await until(lambda: len(calls) == 4)
        assert controller.metrics.reconciled == 4
        await controller.stop()
        await informers.close()

    asyncio.run(main())


def test_outcomes():
    async def main():
        clock = FakeClock()
        calls = []

        async def reconcile(key):
            calls.append((key, clock.monotonic() - start))
            if key == "later" and len(calls) < 4:
                raise Retry("not yet", after_s=3)
            if key == "never":
                raise Permanent("no")
            if key == "broken" and calls.count != 0 and sum(k == "broken" for k, _ in calls) < 3:
                raise OSError("away")

        start = clock.monotonic()
        controller = Controller("test", reconcile, clock=clock, workers=1)
        controller.start()
        for key in ("later", "never", "broken"):
            controller.enqueue(key)
        await clock.advance(10)
        assert [k for k, _ in calls].count("never") == 1
        assert [k for k, _ in calls].count("broken") == 3
        assert [t for k, t in calls if k == "later"] == [0, 3]
        assert (controller.metrics.permanent, controller.metrics.retried, controller.metrics.failed) == (1, 1, 2)
        await controller.stop()

    asyncio.run(main())


def test_a_worker_survives_a_programming_mistake():
    async def main():
        calls = []

        async def reconcile(key):
            calls.append(key)
            if len(calls) == 1:
                raise RuntimeError("mistake")

        controller = Controller("test", reconcile, workers=1)
        controller.start()
        controller.enqueue("a")
        await until(lambda: len(calls) == 2)
        await controller.stop()

    asyncio.run(main())
