"""Events told from two listings."""

import asyncio

from kogia.cri import types as t
from kogia.cri.fake import FakeRuntime
from kogia.cri.grpc.polled_events import View, changes, poll, view

RUNNING, EXITED, CREATED = t.ContainerState.CONTAINER_RUNNING, t.ContainerState.CONTAINER_EXITED, t.ContainerState.CONTAINER_CREATED


def look(containers=(), ready=("s",), gone=(), before=None):
    sandboxes = [t.PodSandbox(id=s, metadata=t.PodSandboxMetadata(uid=f"uid-{s}")) for s in ready]
    sandboxes += [t.PodSandbox(id=s, metadata=t.PodSandboxMetadata(uid=f"uid-{s}"), state=t.PodSandboxState.SANDBOX_NOTREADY) for s in gone]
    return view([t.Container(id=i, pod_sandbox_id="s", state=state) for i, state in containers], sandboxes, before)


def told(before, after):
    return [(e.container_id, e.container_event_type.name.split("_")[1]) for e in changes(before, after, 1)]


def test_a_life_seen_whole_in_parts_or_not_at_all():
    base = look()
    assert told(base, base) == []
    assert told(base, look([("c", CREATED)])) == [("c", "CREATED")]
    assert told(look([("c", CREATED)]), look([("c", RUNNING)])) == [("c", "STARTED")]
    assert told(base, look([("c", EXITED)])) == [("c", "CREATED"), ("c", "STARTED"), ("c", "STOPPED")]
    assert told(look([("c", RUNNING)]), base) == [("c", "STOPPED"), ("c", "DELETED")]
    assert told(look([("c", EXITED)]), base) == [("c", "DELETED")]
    running = look([("c", RUNNING)])
    assert told(running, look([("c", t.ContainerState.CONTAINER_UNKNOWN)], before=running)) == []
    assert told(View(), look([("c", RUNNING)])) == [("s", "CREATED"), ("s", "STARTED"), ("c", "CREATED"), ("c", "STARTED")]
    assert told(look([("c", RUNNING)]), View()) == [("c", "STOPPED"), ("c", "DELETED"), ("s", "STOPPED"), ("s", "DELETED")]
    assert told(look(), look(ready=(), gone=("s",))) == [("s", "STOPPED")]
    assert {e.pod_uid for e in changes(View(), look([("c", RUNNING)]), 1)} == {"uid-s"}


def test_polling_a_runtime():
    async def go():
        fake = FakeRuntime(images=("busybox",))
        config = t.PodSandboxConfig(metadata=t.PodSandboxMetadata(uid="u"))
        await fake.run_pod_sandbox(config)
        events = poll(fake, interval_s=0)
        first = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        other = await fake.run_pod_sandbox(t.PodSandboxConfig(metadata=t.PodSandboxMetadata(uid="v")))
        event = await asyncio.wait_for(first, 5)
        assert (event.container_id, event.pod_uid) == (other, "v")
        await events.aclose()

    asyncio.run(go())
