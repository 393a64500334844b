"""A container registry on loopback (Debian's `docker-registry`) for the time of a test session."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def registry() -> Iterator[str]:
    """Yields `127.0.0.1:port`; the registry and its files go when the block ends."""
    program = shutil.which("docker-registry") or shutil.which("registry")
    assert program, "docker-registry is not installed: run the tests by `./kogia test`"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="kogia-registry-") as folder:
        config = Path(folder) / "config.yml"
        config.write_text(
            f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '127.0.0.1:{port}'}}\n"
        )
        with open(Path(folder) / "log", "wb") as log:
            process = subprocess.Popen([program, "serve", str(config)], stdout=log, stderr=log)
        try:
            _wait(port, process)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(200):
        assert process.poll() is None, "docker-registry ended"
        try:
            opener.open(f"http://127.0.0.1:{port}/v2/", timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("docker-registry did not answer within 10 s")
