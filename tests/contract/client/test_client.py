"""The client's contract, once per transport: in-process and HTTP must be indistinguishable to a component."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from kogia.api.status import StatusError, status_error
from kogia.client.fake import FakeApi
from kogia.client.informer import Informer
from kogia.client.interface import Client, Resource
from kogia.client.rest import RestClient
from kogia.wire.http_client import HttpClient
from kogia.wire.http_server import serve
from kogia.wire.messages import Connection, Request, Response

PODS = Resource("", "v1", "pods")
NODES = Resource("", "v1", "nodes", namespaced=False)
CONFIG_MAPS = Resource("", "v1", "configmaps")


@contextlib.asynccontextmanager
async def connected(transport: str, api: FakeApi) -> AsyncIterator[RestClient]:
    if transport == "inproc":
        client = api.client()
        try:
            yield client
        finally:
            await client.close()
        return
    server = await serve(api, host="127.0.0.1", port=0)
    client = RestClient(HttpClient(f"http://127.0.0.1:{server.port}"))
    try:
        yield client
    finally:
        await client.close()
        await server.close(0)


@pytest.fixture(params=["inproc", "http"])
def transport(request):
    return request.param


def config_map(name, namespace="default", **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


def run(transport, body, api=None):
    async def main():
        fake = api or FakeApi()
        async with connected(transport, fake) as client:
            await asyncio.wait_for(body(client, fake), 10)

    asyncio.run(main())


def test_verbs(transport):
    async def body(client: Client, api):
        made = await client.create(CONFIG_MAPS, config_map("a", x="1"))
        assert made["metadata"]["uid"]
        assert (await client.get(CONFIG_MAPS, "a", "default"))["data"] == {"x": "1"}
        changed = await client.update(CONFIG_MAPS, {**made, "data": {"x": "2"}})
        assert changed["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
        patched = await client.patch(CONFIG_MAPS, "a", {"data": {"y": "3"}}, "default")
        assert patched["data"] == {"x": "2", "y": "3"}
        patched = await client.patch(CONFIG_MAPS, "a", [{"op": "remove", "path": "/data/x"}], "default", kind="json")
        assert patched["data"] == {"y": "3"}
        await client.create(CONFIG_MAPS, config_map("b", "other"))
        everywhere = await client.list(CONFIG_MAPS)
        assert [i["metadata"]["name"] for i in everywhere["items"]] == ["a", "b"]
        assert len((await client.list(CONFIG_MAPS, "other"))["items"]) == 1
        assert len((await client.list(CONFIG_MAPS, field_selector="metadata.name=b"))["items"]) == 1
        await client.delete(CONFIG_MAPS, "a", "default")
        await client.delete_collection(CONFIG_MAPS, "other")
        assert (await client.list(CONFIG_MAPS))["items"] == []

    run(transport, body)


def test_errors_are_status_errors(transport):
    async def body(client: Client, api):
        with pytest.raises(StatusError) as absent:
            await client.get(CONFIG_MAPS, "a", "default")
        assert (absent.value.code, absent.value.reason) == (404, "NotFound")
        assert absent.value.message == 'configmaps "a" not found'
        made = await client.create(CONFIG_MAPS, config_map("a"))
        await client.update(CONFIG_MAPS, {**made, "data": {"x": "2"}})
        with pytest.raises(StatusError) as stale:
            await client.update(CONFIG_MAPS, {**made, "data": {"x": "3"}})
        assert stale.value.reason == "Conflict"
        with pytest.raises(StatusError) as wrong_uid:
            await client.delete(CONFIG_MAPS, "a", "default", uid="someone-else")
        assert wrong_uid.value.code == 409

    run(transport, body)


def test_no_dict_is_shared_with_the_server(transport):
    async def body(client: Client, api):
        sent = config_map("a", x="1")
        got = await client.create(CONFIG_MAPS, sent)
        sent["data"]["x"] = got["data"]["x"] = "changed"
        assert api.all("configmaps")[0]["data"] == {"x": "1"}

    run(transport, body)


def test_watch_from_a_version_goes_live(transport):
    async def body(client: Client, api):
        await client.create(CONFIG_MAPS, config_map("a"))
        version = (await client.list(CONFIG_MAPS))["metadata"]["resourceVersion"]
        await client.create(CONFIG_MAPS, config_map("b"))
        seen = []
        async with contextlib.aclosing(client.watch(CONFIG_MAPS, resource_version=version)) as events:
            async for event in events:
                seen.append((event.type, event.object["metadata"]["name"]))
                if len(seen) == 1:
                    await client.delete(CONFIG_MAPS, "a", "default")
                if len(seen) == 2:
                    break
        assert seen == [("ADDED", "b"), ("DELETED", "a")]
        for _ in range(100):
            if not api.watches:
                break
            await asyncio.sleep(0.01)
        assert api.watches == 0  # letting go ends the watch at the server too

    run(transport, body)


def test_watch_errors(transport):
    async def body(client: Client, api):
        api.put(config_map("a"))
        api.put(config_map("b"))
        api.compact()
        with pytest.raises(StatusError) as gone:
            async for _ in client.watch(CONFIG_MAPS, resource_version="2"):
                pass
        assert gone.value.code == 410
        events = client.watch(CONFIG_MAPS)
        await anext(events)
        await anext(events)
        api.end_watches(status_error(410, "Expired", "too old"))
        with pytest.raises(StatusError) as inside:
            await anext(events)
        assert inside.value.reason == "Expired"

    run(transport, body)


def test_a_watch_ended_by_the_server_just_ends(transport):
    async def body(client: Client, api):
        api.put(config_map("a"))
        events = client.watch(CONFIG_MAPS)
        assert (await anext(events)).type == "ADDED"
        api.end_watches()
        with pytest.raises(StopAsyncIteration):
            await anext(events)

    run(transport, body)


def test_subresources(transport):
    async def body(client: Client, api):
        api.put({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"}, "spec": {"containers": []}})
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
        await client.create(PODS, binding, "default", name="p", subresource="binding")
        await client.patch(PODS, "p", {"status": {"phase": "Running"}}, "default", subresource="status")
        pod = await client.get(PODS, "p", "default")
        assert (pod["spec"]["nodeName"], pod["status"]["phase"]) == ("n1", "Running")

    run(transport, body)


def test_what_is_not_a_status_becomes_one(transport):
    class Broken(FakeApi):
        async def __call__(self, request: Request) -> Response:
            return Response(status=503, body=b"<html>", content_type="text/html")

    async def body(client: Client, api):
        with pytest.raises(StatusError) as error:
            await client.request("GET", "/readyz")
        assert (error.value.code, error.value.reason) == (503, "ServiceUnavailable")

    run(transport, body, Broken())


def test_upgrades(transport):
    class Echo(FakeApi):
        async def __call__(self, request: Request) -> Response:
            async def takeover(connection: Connection) -> None:
                while data := await connection.read():
                    connection.write(data.upper())
                    await connection.drain()
                connection.write_eof()

            return Response(status=101, headers=[("upgrade", "echo"), ("connection", "upgrade")], takeover=takeover)

    async def body(client: RestClient, api):
        response, connection = await client.open("POST", "/api/v1/exec", headers={"connection": "upgrade", "upgrade": "echo"})
        assert response.status == 101
        assert connection is not None
        connection.write(b"hello")
        assert await connection.read() == b"HELLO"
        connection.close()

    run(transport, body, Echo())


def test_an_informer_survives_everything(transport):
    async def body(client: Client, api):
        api.put(config_map("a"))
        informer = Informer(client, CONFIG_MAPS)
        seen = []
        informer.on_change(lambda old, new: seen.append((old and old["metadata"]["name"], new and new["metadata"]["name"])))
        informer.start()
        await informer.wait_synced(5)

        async def until(condition):
            async with asyncio.timeout(5):
                while not condition():
                    await asyncio.sleep(0.005)

        await until(lambda: api.watches == 1)
        api.put(config_map("b"))
        await until(lambda: informer.get("default/b"))
        api.end_watches()
        api.put(config_map("c"))
        await until(lambda: informer.get("default/c"))
        assert informer.relists == 1  # resumed, not listed anew
        assert sum("watch=true" in path for _, path in api.log) == 2
        api.end_watches(status_error(410, "Expired", "too old resource version"))
        await client.delete(CONFIG_MAPS, "a", "default")
        await until(lambda: informer.get("default/a") is None)
        assert informer.relists == 2
        assert seen == [(None, "a"), (None, "b"), (None, "c"), ("a", None)]
        await informer.close()

    run(transport, body)
