"""Pods in real containers under the kubelet: volumes, logs, exec over the kubelet's API, restart, adoption, deletion."""

import asyncio
import importlib.util
import json
import time
from pathlib import Path

_spec = importlib.util.spec_from_file_location("kubelet_it_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)
make_pod, IMAGE = _conftest.make_pod, _conftest.IMAGE


async def call(world, path):
    reader, writer = await asyncio.open_connection("127.0.0.1", world.kubelet.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"chunked" in head.lower():
        out = b""
        while body:
            size, _, body = body.partition(b"\r\n")
            out += body[: int(size, 16)]
            body = body[int(size, 16) + 2 :]
        body = out
    return int(head.split()[1]), body


async def run_in(world, pod, command, container="main"):
    from urllib.parse import urlencode

    from kogia.wire.http_client import HttpClient
    from kogia.wire.messages import Request
    from kogia.wire.remotecommand_client import PROTOCOLS, RemoteSession
    from kogia.wire.websocket import request_headers

    client = HttpClient(f"http://127.0.0.1:{world.kubelet.port}")
    query = urlencode([("output", "1"), ("error", "1"), *(("command", c) for c in command)])
    path = f"/exec/default/{pod}/{container}"
    response, connection = await client.open(Request("GET", path, query, request_headers(PROTOCOLS), raw_path=path, upgrade=True))
    assert response.status == 101, (response.status, response.body)
    session = RemoteSession(connection)
    out = b""
    while (item := await session.read()) is not None:
        out += item[1]
    code = await session.wait()
    await session.close()
    await client.close()
    return code, out.decode()


def test_a_pod_with_every_kind_of_volume(world):
    volumes = [
        {"name": "data", "emptyDir": {}},
        {"name": "mem", "emptyDir": {"medium": "Memory"}},
        {"name": "conf", "configMap": {"name": "settings", "defaultMode": 0o640}},
        {"name": "sec", "secret": {"secretName": "keys"}},
        {"name": "info", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"name": "all", "projected": {"sources": [{"configMap": {"name": "settings"}}, {"secret": {"name": "keys"}}]}},
    ]
    mounts = [{"name": v["name"], "mountPath": f"/v/{v['name']}"} for v in volumes] + [
        {"name": "conf", "mountPath": "/etc/a.conf", "subPath": "a"},
        {"name": "data", "mountPath": "/sub", "subPath": "x/y"},
    ]
    env = [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}, {"name": "BOTH", "value": "$(IP)-$$(X)"}]

    async def go():
        async with world:
            world.api.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "default"}, "data": {"a": "1"}})
            world.api.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": "default"}, "data": {"k": "czNjcmV0"}})
            world.api.put(make_pod(volumes=volumes, containers=[{"volumeMounts": mounts, "env": env}]))
            await world.until(world.ready)
            ip = world.status()["podIP"]
            script = "cat /v/conf/a /etc/a.conf /v/all/a /v/sec/k /v/all/k /v/info/labels; echo; echo $BOTH; touch /sub/f; ls /v/data/x/y; hostname"
            code, out = await run_in(world, "web", ["sh", "-c", script])
            assert (code, out) == (0, f's3crets3cretapp="web"\n{ip}-$(X)\nf\nweb\n'.join(["111", ""])), out
            code, out = await run_in(world, "web", ["cat", "/etc/hosts"])
            assert out.startswith("# Kubernetes-managed hosts file.\n") and f"{ip}\tweb\n" in out
            code, out = await run_in(world, "web", ["sh", "-c", "stat -f -c %T /v/mem /v/sec; exit 3"])
            assert (code, out) == (3, "tmpfs\ntmpfs\n")
            world.api.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "default"}, "data": {"a": "2"}})
            next(iter(world.kubelet.workers.values())).refresh()
            await asyncio.sleep(0.2)
            assert (await run_in(world, "web", ["cat", "/v/conf/a", "/etc/a.conf"]))[1] == "21"
            await world.kubelet.client.delete(_pods(), "web", "default")
            await world.until(lambda: not world.kubelet.workers)
            assert world.pod() is None and not list(Path(world.config.root_dir).glob("pods/*"))

    asyncio.run(go())


def _pods():
    from kogia.kubelet.status_writer import PODS

    return PODS


def test_logs_restart_and_termination_message(world):
    script = "echo hello; echo oops >&2; echo -n because > /dev/termination-log; sleep 0.3; exit 4"

    async def go():
        async with world:
            world.api.put(make_pod(containers=[{"command": ["sh", "-c", script]}]))
            await world.until(lambda: "CrashLoopBackOff" in str(world.status()))
            (container,) = world.status()["containerStatuses"]
            last = container["lastState"]["terminated"]
            assert (last["exitCode"], last["reason"], last["message"]) == (4, "Error", "because")
            assert container["restartCount"] == 1
            code, body = await call(world, "/containerLogs/default/web/main")
            assert code == 200 and sorted(body.split()) == [b"hello", b"oops"]
            code, body = await call(world, "/containerLogs/default/web/main?previous=true&tailLines=1")
            assert code == 200 and body.count(b"\n") == 1
            assert (await call(world, "/containerLogs/default/nope/main"))[0] == 404
            assert (await call(world, "/healthz"))[1] == b"ok"
            assert json.loads((await call(world, "/pods"))[1])["items"][0]["metadata"]["name"] == "web"

    asyncio.run(go())


def test_adoption_touches_nothing_and_sees_what_ended_meanwhile(world):
    async def go():
        async with world:
            world.api.put(make_pod("stays"))
            world.api.put(make_pod("ends", containers=[{"command": ["sh", "-c", "sleep 0.7; exit 5"]}], restartPolicy="Never"))
            await world.until(lambda: world.ready("stays") and world.ready("ends"))
            before = world.status("stays")["containerStatuses"][0]["containerID"]
        await asyncio.sleep(0.8)
        async with world:
            await world.until(lambda: world.status("ends").get("phase") == "Failed")
            assert world.status("ends")["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 5
            assert world.ready("stays") and world.status("stays")["containerStatuses"][0]["containerID"] == before
            assert (await run_in(world, "stays", ["echo", "hi"])) == (0, "hi\n")
            await world.kubelet.client.delete(_pods(), "stays", "default")
            await world.until(lambda: world.pod("stays") is None)

    asyncio.run(go())


def test_rotation_loses_no_line(world):
    script = "i=0; while [ $i -lt 4000 ]; do echo line-$i; i=$((i+1)); [ $((i % 100)) = 0 ] && sleep 0.02; done; sleep 1000"

    async def go():
        async with world:
            world.api.put(make_pod(containers=[{"command": ["sh", "-c", script]}]))
            await world.until(world.ready)
            ((container_id, path),) = world.kubelet._running_logs()
            for _ in range(3):
                await asyncio.sleep(0.15)
                await world.kubelet.rotator.rotate(container_id, Path(path))
            await world.until(lambda: Path(path).exists() and b"line-3999" in Path(path).read_bytes())
            _, body = await call(world, "/containerLogs/default/web/main")
            assert body.split() == [b"line-%d" % i for i in range(4000)]
            _, body = await call(world, "/containerLogs/default/web/main?tailLines=2500")
            assert body.split() == [b"line-%d" % i for i in range(1500, 4000)]
            code, body = await call(world, "/debug/pods/default/web")
            assert code == 200 and json.loads(body)["transitions"][0]["event"] == "RuntimeListed"

    asyncio.run(go())


def test_how_fast(world):
    async def go():
        took = []
        async with world:
            await asyncio.sleep(0.5)
            for i in range(8):
                began = time.perf_counter()
                world.api.put(make_pod(f"p{i}"))
                await world.until(lambda i=i: world.ready(f"p{i}"))
                took.append(time.perf_counter() - began)
                await asyncio.sleep(0.1)
        took.sort()
        print("pod create to ready, ms:", [round(t * 1000) for t in took])
        assert took[len(took) // 2] < 0.5

    asyncio.run(go())
