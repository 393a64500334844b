"""Real kubectl of several versions against the kubelet's streams: exec, logs, attach, port-forward, cp, over SPDY and WebSocket.

The API server in front is a few lines: objects from the fake API, streaming subresources handed straight to the kubelet's server.
"""

import asyncio
import importlib.util
import os
import re
import shutil
from pathlib import Path
from urllib.parse import urlencode

import pytest

from kogia.kubelet.server import KubeletServer
from kogia.wire.http_server import serve

_spec = importlib.util.spec_from_file_location("kubelet_it_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)
make_pod = _conftest.make_pod

_STREAM = re.compile(r"^/api/v1/namespaces/([^/]+)/pods/([^/]+)/(exec|attach|log|portforward)$")


def kubectls():
    """The oldest and the newest kubectl beside the one on the PATH."""
    found = shutil.which("kubectl")
    assert found, "kubectl is not installed"
    near = sorted(Path(os.path.realpath(found)).parent.glob("kubectl.1.*"), key=lambda p: int(p.suffix[1:]))
    return [str(near[0]), str(near[-1])] if near else [found]


def front(world):
    kubelet = KubeletServer(world.kubelet)

    async def handler(request):
        match = _STREAM.match(request.path)
        if match is None:
            return await world.api(request)
        namespace, name, what = match.groups()
        container = request.param("container") or "main"
        if what == "log":
            request.path = f"/containerLogs/{namespace}/{name}/{container}"
        elif what == "portforward":
            request.path = f"/portForward/{namespace}/{name}"
        else:
            pairs = [("command", c) for c in request.query.get("command", [])]
            for theirs, ours in (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")):
                if request.param(theirs) in ("true", "1"):
                    pairs.append((ours, "1"))
            request.path, request.raw_query, request._query = f"/{what}/{namespace}/{name}/{container}", urlencode(pairs), None
        return await kubelet(request)

    return handler


class Kubectl:
    def __init__(self, program, port, home, env):
        self.program, self.port, self.home, self.env = program, port, home, env

    async def spawn(self, *words):
        (self.home / "config").write_text("apiVersion: v1\nkind: Config\n")
        env = {**os.environ, "HOME": str(self.home), "KUBECONFIG": str(self.home / "config"), **self.env}
        return await asyncio.create_subprocess_exec(
            self.program, "-s", f"http://127.0.0.1:{self.port}", *words, env=env,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )

    async def __call__(self, *words, stdin=b""):
        process = await self.spawn(*words)
        out, err = await asyncio.wait_for(process.communicate(stdin), 30)
        return process.returncode, out, err.decode()


CASES = [(k, {}) for k in kubectls()]
CASES.append((kubectls()[-1], {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}))


@pytest.mark.parametrize("program,env", CASES, ids=lambda v: Path(v).name if isinstance(v, str) else ("spdy" if v else "default"))
def test_streams(world, tmp_path, program, env):
    async def go():
        async with world:
            web = {"command": ["sh", "-c", "mkdir -p /w; echo page > /w/index.html; echo log line; exec httpd -f -p 8080 -h /w"]}
            world.api.put(make_pod(containers=[web, {"name": "reader", "command": ["cat"], "stdin": True}]))
            await world.until(world.ready)
            server = await serve(front(world), "127.0.0.1", 0)
            kubectl = Kubectl(program, server.port, tmp_path, env)
            try:
                assert await kubectl("exec", "web", "-c", "main", "--", "echo", "hi") == (0, b"hi\n", "")
                code, out, err = await kubectl("exec", "web", "-c", "main", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
                assert (code, out) == (3, b"out\n") and "err\n" in err and "command terminated with exit code 3" in err
                code, out, err = await kubectl("exec", "-i", "web", "-c", "main", "--", "cat", stdin=b"x" * 1_000_000)
                assert (code, len(out)) == (0, 1_000_000), err
                code, out, err = await kubectl("exec", "web", "-c", "main", "--", "sh", "-c", "head -c 3000000 /dev/zero")
                assert (code, len(out)) == (0, 3_000_000), err
                code, out, err = await kubectl("exec", "web", "-c", "main", "--", "/no/such/program")
                assert code != 0 and "no such file" in err.lower(), err
                assert (await kubectl("logs", "web", "-c", "main"))[1] == b"log line\n"
                await forward(kubectl)
            finally:
                await server.close()

    asyncio.run(go())


async def forward(kubectl):
    process = await kubectl.spawn("port-forward", "pod/web", ":8080")
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 10)
        port = int(re.search(rb"127.0.0.1:(\d+)", line).group(1))

        async def fetch():
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /index.html HTTP/1.0\r\n\r\n")
            answer = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            return answer

        for answer in await asyncio.gather(*(fetch() for _ in range(8))):
            assert answer.endswith(b"page\n"), answer
    finally:
        process.terminate()
        await process.wait()
