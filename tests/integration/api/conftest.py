"""One API server with its controllers and no node, in a process of its own, for all tests of this folder."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.api import Api, Server, eventually
from tests.support.cluster import ROOT, free_port, kubectls


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("api")
    port = free_port()
    with (folder / "log").open("w") as log:
        command = [sys.executable, "-m", "kogia.main", "server", "--data-dir", str(folder / "data"), "--port", str(port), "--name", "api-test"]
        process = subprocess.Popen(command, stdout=log, stderr=log, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT / "src")})
    running = Server(folder, port, process)
    try:
        _wait_ready(running)
        yield running
    finally:
        process.terminate()
        code = process.wait(timeout=15)
    log_text = (folder / "log").read_text()
    assert code == 0, log_text[-2000:]
    assert "Traceback" not in log_text, log_text[log_text.index("Traceback") - 500 :][:4000]


def _wait_ready(running: Server) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and running.process.poll() is None:
        try:
            if running.admin().get("/api/v1/namespaces/default/serviceaccounts/default").code == 200:
                return
        except (OSError, ssl.SSLError):
            pass
        time.sleep(0.1)
    raise AssertionError((running.folder / "log").read_text()[-1500:])


@pytest.fixture
def api(server: Server) -> Api:
    return server.admin()


def _new_namespace(api: Api) -> str:
    name = f"t-{uuid.uuid4().hex[:8]}"
    api.post("/api/v1/namespaces", {"metadata": {"name": name}}).ok()
    eventually(lambda: api.get(f"/api/v1/namespaces/{name}/serviceaccounts/default").code == 200, "default ServiceAccount")
    return name


@pytest.fixture
def namespace(api: Api) -> Iterator[str]:
    """A namespace of the test's own, with its default ServiceAccount."""
    name = _new_namespace(api)
    yield name
    api.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture(scope="module")
def shared_namespace(server: Server) -> str:
    """One namespace for a module's many small tests."""
    return _new_namespace(server.admin())


_KUBECTLS = kubectls()
_PICKED = [v for v in ("1.27", "1.30", "1.33") if v in _KUBECTLS] or list(_KUBECTLS)[:1] + list(_KUBECTLS)[1:][-1:]


@pytest.fixture(params=_PICKED or ["missing"])
def kubectl(request: pytest.FixtureRequest, server: Server) -> Any:
    """`kubectl(*words, stdin=…) -> Result` for an old, a middle and a new kubectl; `.version` says which."""
    if request.param == "missing":
        pytest.fail("these tests need kubectl on the PATH")

    def run(*words: str, stdin: str | None = None) -> Any:
        return server.kubectl(_KUBECTLS[request.param], *words, stdin=stdin)

    run.version = request.param  # type: ignore[attr-defined]
    return run
