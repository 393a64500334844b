"""A real API server over TLS on loopback, in a process of its own, as kubectl sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]

_PROGRAM = """
import asyncio, sys
from kogia.apiserver.config import ApiServerConfig
from kogia.apiserver.server import start_apiserver
from kogia.main.kubeconfig import write_kubeconfig
from kogia.main.pki import ensure_pki

async def main(root):
    p = ensure_pki(root + "/pki", node_name="test-node")
    server = await start_apiserver(ApiServerConfig(
        store=root + "/store.db", bind_address="127.0.0.1", port=0, cert=p.apiserver_cert, key=p.apiserver_key, client_ca=p.ca_cert,
        kubelet_client_cert=p.kubelet_client_cert, kubelet_client_key=p.kubelet_client_key, front_proxy_ca=p.front_proxy_ca_cert,
        service_account_key=p.sa_key))
    write_kubeconfig(root + "/kubeconfig", f"https://127.0.0.1:{server.port}", p.ca_cert, p.admin_cert, p.admin_key, "test")
    print("ready", server.port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.close()

asyncio.run(main(sys.argv[1]))
"""


@dataclass
class Running:
    root: Path
    port: int

    def kubectl(self, binary: str, *arguments: str, ok: bool = True, stdin: str = "") -> str:
        """stdout and stderr together."""
        environment = {**os.environ, "KUBECONFIG": str(self.root / "kubeconfig"), "HOME": str(self.root / "home")}
        done = subprocess.run(
            [binary, *arguments], input=stdin, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, timeout=30, check=False,
        )
        assert (done.returncode == 0) is ok, f"{arguments}: {done.stdout}"
        return done.stdout


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("apiserver")
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("ready "), line
        yield Running(root, int(line.split()[1]))
    finally:
        process.communicate(timeout=10)
        assert process.returncode == 0
