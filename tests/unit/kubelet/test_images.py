"""Getting an image: a pull that takes long says how far it is, in events, and nothing is asked when nothing is pulled."""

import asyncio

from kogia.base.clock import FakeClock
from kogia.cri.fake import FakeRuntime
from kogia.kubelet.images import ensure_image
from kogia.runtime.images.pull import Progress

CONTAINER = {"name": "main", "image": "nginx:1", "imagePullPolicy": "IfNotPresent"}


class Pull:
    def __init__(self):
        self.clock, self.events = FakeClock(), []
        self.runtime = FakeRuntime(self.clock)
        self.runtime.publish("nginx:1")
        self.runtime.pull_gate = asyncio.Event()
        self.task = asyncio.ensure_future(ensure_image(self.runtime, CONTAINER, [], lambda *event: self.events.append(event), self.clock))

    async def at(self, seconds, progress):
        if progress:
            self.runtime.pulling["nginx:1"] = progress
        await self.clock.advance(seconds)
        return [message for _, reason, message in self.events if reason == "Pulling"]


def test_a_long_pull_tells_its_progress_every_ten_seconds():
    async def go():
        pull = Pull()
        first = ['Pulling image "nginx:1"']
        assert await pull.at(4.9, "0 of 5 layers, 0.0 MiB of 120.0 MiB") == first
        first.append('Pulling image "nginx:1": 2 of 5 layers, 41.3 MiB of 120.0 MiB')
        assert await pull.at(0.2, "2 of 5 layers, 41.3 MiB of 120.0 MiB") == first
        assert await pull.at(9.8, "3 of 5 layers, 60.0 MiB of 120.0 MiB") == first
        first.append('Pulling image "nginx:1": 3 of 5 layers, 60.0 MiB of 120.0 MiB')
        assert await pull.at(0.2, "") == first
        assert await pull.at(30, "") == first, "no news, no event"
        pull.runtime.pull_gate.set()
        assert (await pull.task).repo_tags == ["nginx:1"]
        assert pull.events[-1][1] == "Pulled" and " in 45.1s (45.1s including waiting)" in pull.events[-1][2]
        await pull.clock.advance(100)
        assert len(pull.events) == 4
        assert not [t for t in asyncio.all_tasks() if "pull-progress" in t.get_name()]

    asyncio.run(go())


def test_a_quick_pull_and_a_runtime_that_cannot_tell_stay_silent():
    async def go():
        pull = Pull()
        assert len(await pull.at(60, "")) == 1
        pull.task.cancel()
        await asyncio.wait([pull.task])
        assert not [t for t in asyncio.all_tasks() if "pull-progress" in t.get_name()]

    asyncio.run(go())


def test_the_words_of_progress():
    assert Progress("x").told() == "resolving the reference"
    assert Progress("x", 0.0, 120 << 20, 43_306_189, 5, 2).told() == "2 of 5 layers, 41.3 MiB of 120.0 MiB"
