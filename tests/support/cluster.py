"""A real cluster for tests: started by the real command line, removed with `kogia reset`, talked to by the real kubectl."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def kubectls() -> dict[str, str]:
    """Minor version ("1.27") → path, of every real kubectl binary on this machine.

    The `kubectl` on the PATH may be a dispatcher whose real binaries lie beside the file it links to.
    """
    found: dict[str, str] = {}
    first = shutil.which("kubectl")
    if not first:
        return found
    home = Path(os.path.realpath(first)).parent
    for path in sorted(home.glob("kubectl.1.*")):
        match = re.fullmatch(r"kubectl\.(1\.\d+)", path.name)
        if match:
            found[match[1]] = str(path)
    if not found:
        text = subprocess.run([first, "version", "--client", "-o", "json"], capture_output=True, text=True).stdout
        minor = json.loads(text)["clientVersion"]["minor"].rstrip("+")
        found[f"1.{minor}"] = first
    return dict(sorted(found.items(), key=lambda item: int(item[0].split(".")[1])))


def oldest_and_newest() -> list[str]:
    versions = list(kubectls())
    return list(dict.fromkeys([versions[0], versions[-1]])) if versions else []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Result:
    code: int
    out: str
    err: str

    def ok(self) -> str:
        assert self.code == 0, f"exit {self.code}\nstdout: {self.out}\nstderr: {self.err}"
        return self.out


@dataclass
class Cluster:
    """One cluster with its own name, folder and port. `kubectl` and `kogia` run the real commands against it."""

    name: str
    folder: Path
    registry: str = ""
    port: int = field(default_factory=free_port)

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    def environment(self) -> dict[str, str]:
        env = {k: v for k, v in os.environ.items() if not k.startswith("KOGIA_")}
        return {**env, "KUBECONFIG": str(self.kubeconfig), "PYTHONPATH": str(ROOT / "src"), "HOME": str(self.folder), "NO_PROXY": "*", "no_proxy": "*"}

    def kogia(self, *words: str, stdin: str | None = None, timeout_s: float = 60) -> Result:
        """`kogia WORDS…`; node-level commands get this cluster's --data-dir."""
        command = [sys.executable, "-m", "kogia.main", *words]
        return self._run(command, stdin, timeout_s)

    def local(self, command: str, *words: str, timeout_s: float = 90) -> Result:
        return self.kogia(command, "--name", self.name, "--data-dir", str(self.data_dir), *words, timeout_s=timeout_s)

    def kubectl(self, *words: str, version: str = "", stdin: str | None = None, timeout_s: float = 60) -> Result:
        versions = kubectls()
        return self._run([versions[version or list(versions)[-1]], *words], stdin, timeout_s)

    def _run(self, command: list[str], stdin: str | None, timeout_s: float) -> Result:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout_s, env=self.environment(), cwd=self.folder)
        return Result(done.returncode, done.stdout, done.stderr)

    def spawn(self, *words: str, version: str = "", **more: Any) -> subprocess.Popen[str]:
        """kubectl in the background (watches, followed logs); the caller ends it."""
        versions = kubectls()
        return subprocess.Popen([versions[version or list(versions)[-1]], *words], text=True, env=self.environment(), cwd=self.folder,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)  # fmt: skip

    def up(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        if self.registry:
            mirrors = {name: {"endpoint": [f"http://{self.registry}"]} for name in ("docker.io", "registry.example")}
            (self.data_dir / "registries.yaml").write_text(json.dumps({"mirrors": mirrors}))
        runtime = os.environ.get("KOGIA_TEST_OCI_RUNTIME", "")
        self.local("up", "--port", str(self.port), *(["--oci-runtime", runtime] if runtime else [])).ok()

    def down(self) -> None:
        self.local("reset", "--yes").ok()

    def get(self, *words: str) -> Any:
        return json.loads(self.kubectl("get", *words, "-o", "json").ok())

    def wait_for(self, condition: Any, what: str, timeout_s: float = 30, every_s: float = 0.1) -> Any:
        """Poll `condition` until it gives something true; the value. Fails with `what`."""
        deadline = time.monotonic() + timeout_s
        while True:
            value = condition()
            if value:
                return value
            assert time.monotonic() < deadline, f"not reached within {timeout_s} s: {what}"
            time.sleep(every_s)

    def pod(self, name: str, namespace: str = "default") -> Any:
        return self.get("pod", name, "-n", namespace)

    def wait_ready(self, name: str, timeout_s: float = 30) -> None:
        result = self.kubectl("wait", "--for=condition=Ready", f"pod/{name}", f"--timeout={int(timeout_s)}s", timeout_s=timeout_s + 10)
        if result.code:
            told = self.kubectl("describe", "pod", name).out
            logs = "\n".join((self.data_dir / "logs" / f"{p}.log").read_text()[-3000:] for p in ("server", "node"))
            raise AssertionError(f"{name} is not Ready: {result.err}\n{told}\n{logs}")

    def events(self, name: str) -> list[Any]:
        """The events of the Pod that has this name now."""
        return self.get("events", "--field-selector", f"involvedObject.uid={self.pod(name)['metadata']['uid']}")["items"]

    def crictl(self, *words: str) -> Result:
        return self.kogia("crictl", "--data-dir", str(self.data_dir), *words)
