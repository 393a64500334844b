"""One try of an httpGet, tcpSocket or exec probe against small servers on loopback: ports by name, headers, redirects, TLS, and failures' words."""

import asyncio

import pytest

from kogia.cri import types as t
from kogia.cri.errors import Code, CriError
from kogia.cri.fake import FakeRuntime
from kogia.kubelet import hooks
from kogia.kubelet import pod_events as ev
from kogia.kubelet.http_get import headers_of
from kogia.kubelet.probe_checks import Outcome, check

DO = ev.DoProbe("main", "id1", 0.0, ("127.0.0.1",))


class Server:
    """Answers GETs by path from `answers`; remembers what it was asked."""

    def __init__(self, answers):
        self.answers, self.asked = answers, []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        self.container = {"name": "main", "ports": [{"name": "web", "containerPort": self.port}]}
        return self

    async def __aexit__(self, *_):
        self.server.close()

    async def serve(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head)
        answer = self.answers.get(head.split()[1], "404 Not Found")
        if answer is not None:
            writer.write(answer if isinstance(answer, bytes) else f"HTTP/1.1 {answer}\r\n\r\n".replace("PORT", str(self.port)).encode())
            writer.close()

    async def http(self, path, **get):
        return await check({"httpGet": {"path": path, "port": "web", **get}, "timeoutSeconds": 0.2}, self.container, DO, FakeRuntime())


def serving(answers, work):
    async def go():
        async with Server(answers) as server:
            return await work(server)

    return asyncio.run(go())


@pytest.mark.parametrize("status,ok", [(200, True), (204, True), (304, True), (399, True), (400, False), (503, False)])
def test_from_200_to_399_is_success(status, ok):
    async def work(server):
        return await server.http("/healthz")

    assert serving({"/healthz": f"{status} X"}, work) == Outcome(ok, "" if ok else f"HTTP probe failed with statuscode: {status}")


def test_redirects_are_followed_on_the_same_host_only():
    async def work(server):
        assert (await server.http("/here")).ok is True
        assert (await server.http("/gone")).message == "HTTP probe failed with statuscode: 500"
        away = await server.http("/away")
        assert away.ok and away.warning and away.message == "Probe terminated redirects, Location: http://elsewhere.invalid/x"
        assert (await server.http("/loop")).message.endswith('stopped after 10 redirects')

    answers = {
        "/here": "302 Found\r\nLocation: /ok", "/ok": "200 OK", "/gone": "301 Moved\r\nLocation: http://127.0.0.1:PORT/bad", "/bad": "500 Oops",
        "/away": "302 Found\r\nLocation: http://elsewhere.invalid/x", "/loop": "302 Found\r\nLocation: /loop",
    }
    serving(answers, work)


def test_headers_queries_and_hosts():
    async def work(server):
        headers = [{"name": "host", "value": "shop.example"}, {"name": "X-A", "value": "1"}, {"name": "X-A", "value": "2"}]
        assert (await server.http("/a b?q=1", httpHeaders=headers)).ok
        (asked,) = server.asked
        assert asked.startswith("GET /a%20b?q=1 HTTP/1.1\r\n") and "host: shop.example\r\nX-A: 1\r\nX-A: 2\r\n" in asked
        assert "Host:" not in asked and "User-Agent: kube-probe/" in asked
        assert (await server.http("/a b?q=1", host="localhost")).ok and f"Host: localhost:{server.port}\r\n" in server.asked[1]

    serving({"/a%20b?q=1": "100 Continue\r\n\r\nHTTP/1.1 200 OK"}, work)
    names = [n for n, _ in headers_of({"httpHeaders": [{"name": "User-Agent", "value": ""}, {"name": "accept", "value": ""}]}, "h", 1)]
    assert names == ["Host", "Connection"]


def test_failures_are_worded_as_kubernetes_does():
    async def work(server):
        url = f"http://127.0.0.1:{server.port}"
        slow = await server.http("/slow")
        assert slow.message == f'Get "{url}/slow": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
        assert (await server.http("/junk")).message == f'Get "{url}/junk": malformed HTTP response'
        assert (await server.http("/eof")).message == f'Get "{url}/eof": EOF'
        assert (await server.http("/x", scheme="HTTPS")).message.startswith(f'Get "https://127.0.0.1:{server.port}/x": ')
        unknown = await server.http("/x", port="metrics")
        assert unknown.ok is None and "metrics" in unknown.message

    serving({"/slow": None, "/junk": b"nonsense\r\n\r\n", "/eof": b""}, work)


def test_tcp_by_name_and_refused():
    async def go():
        async with Server({}) as server:
            probe = {"tcpSocket": {"port": "web"}}
            assert await check(probe, server.container, DO, FakeRuntime()) == Outcome(True)
        await server.server.wait_closed()
        refused = await check(probe, server.container, DO, FakeRuntime())
        assert refused == Outcome(False, f"dial tcp 127.0.0.1:{server.port}: connect: connection refused")

    asyncio.run(go())


def test_exec_answers_timeouts_and_a_failing_runtime():
    async def one(result):
        runtime = FakeRuntime()

        async def exec_sync(container_id, cmd, timeout_s=0):
            if isinstance(result, CriError):
                raise result
            return result

        runtime.exec_sync = exec_sync
        return await check({"exec": {"command": ["sh", "-c", "x"]}, "timeoutSeconds": 2}, {"name": "main"}, DO, runtime)

    run = lambda result: asyncio.run(one(result))  # noqa: E731
    assert run(t.ExecSyncResponse(stdout=b"fine")).ok is True
    assert run(t.ExecSyncResponse(stderr=b"bad", exit_code=1)) == Outcome(False, "bad")
    assert run(CriError(Code.DEADLINE_EXCEEDED, "")) == Outcome(False, 'command timed out: "sh -c x" timed out after 2s')
    assert run(CriError(Code.UNKNOWN, "runtime is gone")) == Outcome(None, "runtime is gone")


def test_a_hook_takes_any_answer_but_needs_one():
    async def work(server):
        hook = {"httpGet": {"path": "/", "port": "web"}}
        await hooks.run(hook, FakeRuntime(), "id1", server.container, ["127.0.0.1"])
        server.server.close()
        await server.server.wait_closed()
        with pytest.raises(hooks.HookError, match="connection refused"):
            await hooks.run(hook, FakeRuntime(), "id1", server.container, ["127.0.0.1"])

    serving({"/": "500 Oops"}, work)
