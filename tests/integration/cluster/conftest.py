"""One real cluster for all tests of this folder that do not need their own; Pods run the demo image, made without a registry."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kogia.base.cluster import load
from kogia.main.demo_image import NAME, make_demo_image
from tests.support.cluster import Cluster
from tests.support.machine import traces

FOREVER = 'trap "exit 0" TERM; while :; do sleep 3600 & wait; done'


def _manifest(name: str, script: str = FOREVER, **spec: Any) -> dict[str, Any]:
    container = {"name": "main", "image": NAME, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script]}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"test": "robust"}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], **spec},
    }  # fmt: skip


class Robust(Cluster):
    """A cluster with the few words these tests use often."""

    def start(self) -> None:
        self.up()
        config = load(self.data_dir)
        assert config is not None
        make_demo_image(config)

    def create(self, *pods: dict[str, Any]) -> None:
        self.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(pods)})).ok()

    def run_pod(self, name: str, script: str = FOREVER, **spec: Any) -> dict[str, Any]:
        """Create it, wait until it is Ready; the Pod."""
        self.create(_manifest(name, script, **spec))
        self.wait_ready(name)
        return self.pod(name)

    def container(self, name: str) -> dict[str, Any]:
        """The status of the Pod's only container."""
        return (self.pod(name)["status"].get("containerStatuses") or [{}])[0]

    def all_pods(self) -> list[dict[str, Any]]:
        return self.get("pods")["items"]

    def ready_pods(self) -> list[str]:
        return [p["metadata"]["name"] for p in self.all_pods() if is_ready(p)]

    def wait_all_ready(self, count: int, timeout_s: float = 60) -> None:
        self.wait_for(lambda: len(self.ready_pods()) == count, f"{count} Pods Ready", timeout_s)

    def clear(self) -> None:
        self.kubectl("delete", "pods", "--all", "--grace-period=0", "--force", "--wait=true")


def is_ready(pod: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions") or [])


@pytest.fixture
def manifest() -> Callable[..., dict[str, Any]]:
    return _manifest


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Robust]:
    assert os.geteuid() == 0, "these tests need root"
    made = Robust("rb-shared", Path(tmp_path_factory.mktemp("robust")))
    try:
        made.start()
        yield made
    finally:
        made.down()


@pytest.fixture
def cluster(shared: Robust) -> Iterator[Robust]:
    """The shared cluster, up again and without Pods after each test."""
    shared.up()
    yield shared
    shared.up()
    shared.clear()


@pytest.fixture
def make_cluster(tmp_path: Path) -> Iterator[Callable[[str], Robust]]:
    """Clusters of a test's own: `make_cluster("rb-x")`; reset at the end, and nothing of them may stay."""
    made: list[Robust] = []

    def make(name: str) -> Robust:
        found = Robust(name, tmp_path / name)
        found.folder.mkdir()
        made.append(found)
        return found

    yield make
    for one in made:
        one.local("reset", "--yes")
    left = [line for one in made for line in traces(one)]
    assert not left
