"""One cluster and one registry for all walk-throughs; each test works in a clean default namespace."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, kubectls
from tests.support.debian_images import push, recipes
from tests.support.registry import registry as run_registry


@pytest.fixture(scope="session")
def registry() -> Iterator[str]:
    with run_registry() as address:
        for name, recipe in recipes().items():
            push(address, name, ["latest"], recipe)
        yield address


@pytest.fixture(scope="session")
def shared_cluster(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    assert os.geteuid() == 0, "the walk-throughs need root"
    if not kubectls():
        pytest.skip("no kubectl on the PATH, and this distribution packages none: install one to run the walk-throughs")
    made = Cluster("kogia-wt", Path(tmp_path_factory.mktemp("walkthrough")), registry)
    try:
        made.up()
        yield made
    finally:
        made.down()


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Iterator[Cluster]:
    """The shared cluster; what a test made in `default` is removed after it."""
    yield shared_cluster
    shared_cluster.kubectl("delete", "pods,limitranges", "--all", "--grace-period=0", "--force", "--wait=true", "-n", "default")
