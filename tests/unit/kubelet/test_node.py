"""What the kubelet says of its Node: others' words there are corrected at the next heartbeat, and nothing is written without need."""

import asyncio
import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("kubelet_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)
World = _conftest.World


def node(world):
    return world.api.objects[("", "nodes")]["node1"]


def ready(world):
    return next(c for c in node(world)["status"]["conditions"] if c["type"] == "Ready")


def status_writes(world):
    return [p for m, p in world.api.log if m == "PATCH" and p.endswith("/nodes/node1/status")]


def test_a_kubelet_that_was_given_up_says_that_it_is_ready_at_its_next_heartbeat(tmp_path):
    async def go():
        world = World(tmp_path, heartbeat_s=0.01)
        async with world:
            await world.until(lambda: world.kubelet.node_object.ready.is_set())
            conditions = [
                {**c, "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
                for c in node(world)["status"]["conditions"]
            ]
            world.api.put({**node(world), "status": {**node(world)["status"], "conditions": conditions}})
            assert ready(world)["status"] == "Unknown"
            await world.until(lambda: ready(world)["status"] == "True")
            assert ready(world)["reason"] == "KubeletReady"

    asyncio.run(go())


def test_an_unchanged_node_is_not_written_again_and_others_conditions_stay(tmp_path):
    async def go():
        world = World(tmp_path, heartbeat_s=0.01)
        async with world:
            await world.until(lambda: world.kubelet.node_object.ready.is_set())
            foreign = {"type": "FrobnicatorBroken", "status": "False", "reason": "x", "message": "y"}
            status = node(world)["status"]
            world.api.put({**node(world), "status": {**status, "conditions": [*status["conditions"], foreign]}})
            writes, beats = len(status_writes(world)), len(world.api.log)
            await world.until(lambda: len(world.api.log) > beats + 6)
            assert len(status_writes(world)) == writes
            assert foreign in node(world)["status"]["conditions"]

    asyncio.run(go())


def test_a_deleted_node_is_registered_anew(tmp_path):
    async def go():
        world = World(tmp_path, heartbeat_s=0.01)
        async with world:
            await world.until(lambda: world.kubelet.node_object.ready.is_set())
            await world.api.client().delete(_nodes(), "node1")
            await world.until(lambda: "node1" in world.api.objects[("", "nodes")] and ready(world)["status"] == "True")

    asyncio.run(go())


def _nodes():
    from kogia.kubelet.node import NODES

    return NODES
