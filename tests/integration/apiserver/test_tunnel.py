"""log, exec and nodes/proxy through the API server to a kubelet that is only an HTTPS handler; certificates are real throughout."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from kogia.apiserver.config import ApiServerConfig
from kogia.apiserver.server import ApiServer, start_apiserver
from kogia.main.pki import PkiPaths, ensure_pki
from kogia.wire.http_client import HttpClient
from kogia.wire.http_server import serve
from kogia.wire.messages import Connection, Request, Response
from kogia.wire.tls import client_context, server_context


class Kubelet:
    """Remembers what it was asked, and answers simply."""

    def __init__(self) -> None:
        self.seen: list[Request] = []

    async def __call__(self, request: Request) -> Response:
        self.seen.append(request)
        subject = dict(pair for part in (request.peer.certificate or {}).get("subject", ()) for pair in part)
        if subject.get("commonName") != "kube-apiserver-kubelet-client":
            return Response(401, body=b"who are you")
        if request.path.startswith("/containerLogs/d/waiting/"):
            return Response(400, body=b'container "c" in pod "waiting" is waiting to start: ContainerCreating\n', content_type="text/plain")
        if request.path.startswith("/containerLogs/"):

            async def lines() -> AsyncIterator[bytes]:
                yield b"one\n"
                if request.param("follow") == "true":
                    await asyncio.sleep(0.05)
                yield b"two\n"

            return Response(stream=lines(), content_type="text/plain")
        if request.upgrade:

            async def take(connection: Connection) -> None:
                while data := await connection.read():
                    connection.write(data.upper())
                    if data.endswith(b"bye"):
                        return

            headers = [("Upgrade", request.headers["upgrade"]), ("Connection", "Upgrade"), ("X-Stream-Protocol-Version", "v4.channel.k8s.io")]
            return Response(101, headers, takeover=take)
        return Response(200, body=b'{"from":"kubelet"}')


def run(tmp_path: Path, scenario: Callable[[ApiServer, Kubelet, HttpClient, PkiPaths], Awaitable[None]]) -> None:
    async def main() -> None:
        pki = ensure_pki(tmp_path / "pki", node_name="n1")
        kubelet = Kubelet()
        node = await serve(kubelet, "127.0.0.1", 0, ssl_context=server_context(pki.node_serving_cert, pki.node_serving_key, pki.ca_cert))
        server = await start_apiserver(ApiServerConfig(
            bind_address="127.0.0.1", port=0, cert=pki.apiserver_cert, key=pki.apiserver_key, client_ca=pki.ca_cert, compact=False,
            kubelet_client_cert=pki.kubelet_client_cert, kubelet_client_key=pki.kubelet_client_key, service_account_key=pki.sa_key,
        ))  # fmt: skip
        client = HttpClient(f"https://127.0.0.1:{server.port}", client_context(pki.ca_cert, pki.admin_cert, pki.admin_key))
        try:
            await post(client, "/api/v1/namespaces", {"metadata": {"name": "d"}})
            await post(client, "/api/v1/namespaces/d/serviceaccounts", {"metadata": {"name": "default"}})
            await post(client, "/api/v1/nodes", {"metadata": {"name": "n1"}, "status": {
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}], "daemonEndpoints": {"kubeletEndpoint": {"Port": node.port}}}})
            for name, containers, where in (("p", ["c"], "n1"), ("two", ["a", "b"], "n1"), ("waiting", ["c"], "n1"), ("unbound", ["c"], "")):
                spec = {"containers": [{"name": n, "image": "i"} for n in containers], **({"nodeName": where} if where else {})}
                await post(client, "/api/v1/namespaces/d/pods", {"metadata": {"name": name}, "spec": spec})
            await scenario(server, kubelet, client, pki)
        finally:
            await client.close()
            await server.close()
            await node.close()

    asyncio.run(main())


async def post(client: HttpClient, path: str, obj: dict[str, Any]) -> dict[str, Any]:
    response = await client.send(Request("POST", path, headers={"content-type": "application/json"}, body=json.dumps(obj).encode()))
    assert response.status == 201, response.body
    return json.loads(response.body)  # type: ignore[no-any-return]


async def get(client: HttpClient, path: str, query: str = "") -> tuple[int, str]:
    response = await client.send(Request("GET", path, query, context={"stream": False}))
    text = response.body.decode()
    return response.status, json.loads(text)["message"] if '"kind":"Status"' in text else text


def test_logs(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, kubelet: Kubelet, client: HttpClient, pki: PkiPaths) -> None:
        base = "/api/v1/namespaces/d/pods"
        assert await get(client, f"{base}/p/log", "tailLines=5&container=c") == (200, "one\ntwo\n")
        assert (kubelet.seen[-1].path, kubelet.seen[-1].raw_query) == ("/containerLogs/d/p/c", "tailLines=5")
        followed = await client.send(Request("GET", f"{base}/p/log", "follow=true"))
        assert followed.stream is not None and followed.content_type == "text/plain"
        assert [c async for c in followed.stream] == [b"one\n", b"two\n"]
        assert await get(client, f"{base}/two/log") == (400, "a container name must be specified for pod two, choose one of: [a b]")
        assert await get(client, f"{base}/p/log", "container=z") == (400, "container z is not valid for pod p")
        assert await get(client, f"{base}/waiting/log") == (400, 'container "c" in pod "waiting" is waiting to start: ContainerCreating')
        assert await get(client, f"{base}/unbound/log") == (200, "")
        assert await get(client, f"{base}/gone/log") == (404, 'pods "gone" not found')
        assert await get(client, "/api/v1/nodes/n1/proxy/stats/summary", "a=b") == (200, '{"from":"kubelet"}')
        assert (kubelet.seen[-1].path, kubelet.seen[-1].raw_query) == ("/stats/summary", "a=b")
        await kubelet_down(client)

    async def kubelet_down(client: HttpClient) -> None:
        await post(client, "/api/v1/nodes", {"metadata": {"name": "dead"}, "status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}], "daemonEndpoints": {"kubeletEndpoint": {"Port": 1}}}})
        status, message = await get(client, "/api/v1/nodes/dead/proxy/x")
        assert status == 500 and "error dialing backend" in message

    run(tmp_path, scenario)


@pytest.mark.parametrize("protocol", ["SPDY/3.1", "websocket"])
def test_exec_is_a_pair_of_pipes(tmp_path: Path, protocol: str) -> None:
    async def scenario(server: ApiServer, kubelet: Kubelet, client: HttpClient, pki: PkiPaths) -> None:
        headers = {"connection": "Upgrade", "upgrade": protocol, "x-stream-protocol-version": "v4.channel.k8s.io, v3.channel.k8s.io"}
        query = "command=sh&command=-c&command=echo+a%26b&stdin=true&stdout=true&tty=true"
        answer, connection = await client.open(Request("POST", "/api/v1/namespaces/d/pods/p/exec", query, dict(headers)))
        assert answer.status == 101 and connection is not None
        assert ("X-Stream-Protocol-Version", "v4.channel.k8s.io") in answer.headers
        seen = kubelet.seen[-1]
        assert seen.path == "/exec/d/p/c" and seen.query == {"command": ["sh", "-c", "echo a&b"], "input": ["1"], "output": ["1"], "tty": ["1"]}
        assert seen.headers["x-stream-protocol-version"] == headers["x-stream-protocol-version"] and "authorization" not in seen.headers
        big = b"x" * 300_000
        connection.write(big + b"bye")
        got = b""
        while data := await asyncio.wait_for(connection.read(), 5):
            got += data
        assert got == big.upper() + b"BYE"
        refused, nothing = await client.open(Request("POST", "/api/v1/namespaces/d/pods/unbound/exec", query, dict(headers)))
        assert (refused.status, nothing) == (400, None) and b"does not have a host assigned" in refused.body
        refused, _ = await client.open(Request("POST", "/api/v1/namespaces/d/pods/p/exec", "stdout=true", dict(headers)))
        assert b"you must specify at least 1 command for the container" in refused.body

    run(tmp_path, scenario)


def test_certificates_decide_who_one_is(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, kubelet: Kubelet, client: HttpClient, pki: PkiPaths) -> None:
        url = f"https://127.0.0.1:{server.port}"
        nobody = HttpClient(url, client_context(pki.ca_cert))
        status, message = await get(nobody, "/api/v1/pods")
        assert status == 403 and message.startswith('pods is forbidden: User "system:anonymous"')
        assert await get(nobody, "/livez") == (200, "ok")
        node = HttpClient(url, client_context(pki.ca_cert, pki.node_client_cert, pki.node_client_key))
        assert (await get(node, "/api/v1/namespaces/d/pods/p"))[0] == 200
        status, message = await get(node, "/api/v1/namespaces/d/pods/unbound")
        assert status == 403 and "no relationship found between node 'n1' and this object" in message
        made = {"metadata": {"name": "n9"}}
        answer = await node.send(Request("POST", "/api/v1/nodes", headers={"content-type": "application/json"}, body=json.dumps(made).encode()))
        assert answer.status == 403 and b'is not allowed to modify node \\"n9\\"' in answer.body
        stranger = ensure_pki(tmp_path / "other", node_name="x")
        evil = HttpClient(url, client_context(pki.ca_cert, stranger.admin_cert, stranger.admin_key))
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await evil.send(Request("GET", "/api/v1/pods"))
        for other in (nobody, node, evil):
            await other.close()

    run(tmp_path, scenario)


def test_eviction_respects_budgets_and_tokens_bind_to_pods(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, kubelet: Kubelet, client: HttpClient, pki: PkiPaths) -> None:
        base = "/api/v1/namespaces/d"
        pod = json.loads((await client.send(Request("GET", f"{base}/pods/p"))).body)
        reference = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": pod["metadata"]["uid"]}
        spec = {"audiences": [], "expirationSeconds": 3607, "boundObjectRef": reference}
        made = await post(client, f"{base}/serviceaccounts/default/token", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec})
        review = await post(client, "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": made["status"]["token"]}})
        assert review["status"]["authenticated"] and review["status"]["user"]["username"] == "system:serviceaccount:d:default"
        assert review["status"]["user"]["extra"]["authentication.kubernetes.io/pod-name"] == ["p"]
        assert review["status"]["user"]["extra"]["authentication.kubernetes.io/node-name"] == ["n1"]
        wrong = {**spec, "boundObjectRef": {**reference, "uid": "other"}}
        answer = await client.send(Request("POST", f"{base}/serviceaccounts/default/token", headers={"content-type": "application/json"}, body=json.dumps({"spec": wrong}).encode()))
        assert answer.status == 409 and b"does not match the UID in record" in answer.body
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "unbound", "namespace": "d"}}
        assert (await post(client, f"{base}/pods/unbound/eviction", eviction))["status"] == "Success"
        assert (await get(client, f"{base}/pods/unbound"))[0] == 404
        review = await post(client, "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": "bad"}})
        assert review["status"] == {"user": {}, "error": "[invalid bearer token]"}

    run(tmp_path, scenario)
