"""Resource rows the API tests share: only what the pure machinery reads of them."""

from __future__ import annotations

import pytest

from kogia.api.kinds import ResourceInfo, Subresource

STATUS = (Subresource("status", "", "", "", ("get", "patch", "update")),)


@pytest.fixture
def pods() -> ResourceInfo:
    return ResourceInfo("", "v1", "Pod", "pods", "pod", subresources=STATUS)


@pytest.fixture
def deployments() -> ResourceInfo:
    return ResourceInfo("apps", "v1", "Deployment", "deployments", "deployment", subresources=STATUS)


@pytest.fixture
def services() -> ResourceInfo:
    return ResourceInfo("", "v1", "Service", "services", "service", subresources=STATUS)


@pytest.fixture
def config_maps() -> ResourceInfo:
    return ResourceInfo("", "v1", "ConfigMap", "configmaps", "configmap")


@pytest.fixture
def widgets() -> ResourceInfo:
    """A custom resource: the schema knows nothing of it."""
    return ResourceInfo("example.com", "v1", "Widget", "widgets", "widget")
