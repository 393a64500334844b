from typing import Any

import pytest

from kogia.api import pods
from kogia.api.quantity import parse


def container(requests: dict[str, str] | None = None, limits: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    return {"name": "c", "resources": {"requests": requests or {}, "limits": limits or {}}, **more}


def pod(*app: dict[str, Any], init: list[dict[str, Any]] | None = None, **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(app), "initContainers": init or [], **spec}}


BOTH = {"cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (pod(container()), "BestEffort"),
        (pod(container({"example.com/gpu": "1"})), "BestEffort"),
        (pod(container(BOTH, BOTH)), "Guaranteed"),
        (pod(container({}, BOTH)), "Guaranteed"),
        (pod(container({"cpu": "1000m", "memory": "1024Mi"}, BOTH)), "Guaranteed"),
        (pod(container(BOTH, BOTH), container()), "Burstable"),
        (pod(container({"cpu": "500m", "memory": "1Gi"}, BOTH)), "Burstable"),
        (pod(container({"cpu": "1"}, {"cpu": "1"})), "Burstable"),
        (pod(container(BOTH, BOTH), init=[container({"cpu": "1"})]), "Burstable"),
        (pod(container(), resources={"requests": BOTH, "limits": BOTH}), "Guaranteed"),
    ],
)
def test_qos(obj: dict[str, Any], expected: str) -> None:
    assert pods.qos_class(obj) == expected


def asked(obj: dict[str, Any]) -> dict[str, str]:
    return {name: str(amount) for name, amount in pods.requests(obj).items()}


def test_requests_are_the_sum_or_the_hungriest_init_step() -> None:
    assert asked(pod(container({"cpu": "100m"}), container({"cpu": "200m", "memory": "1Mi"}))) == {"cpu": "300m", "memory": "1Mi"}
    assert asked(pod(container({"cpu": "100m"}), init=[container({"cpu": "1"}), container({"cpu": "500m"})])) == {"cpu": "1"}


def test_sidecars_count_with_the_app_and_with_later_init_steps() -> None:
    sidecar = container({"cpu": "300m"}, restartPolicy="Always")
    assert asked(pod(container({"cpu": "100m"}), init=[sidecar, container({"cpu": "1"})])) == {"cpu": "1300m"}
    assert asked(pod(container({"cpu": "2"}), init=[sidecar, container({"cpu": "1"})])) == {"cpu": "2300m"}
    assert asked(pod(container({"cpu": "1"}), init=[container({"cpu": "1200m"}), sidecar])) == {"cpu": "1300m"}


def test_overhead_and_pod_level_requests() -> None:
    assert asked(pod(container({"cpu": "1"}), overhead={"cpu": "250m", "memory": "1Mi"})) == {"cpu": "1250m", "memory": "1Mi"}
    assert asked(pod(container({"cpu": "1"}), resources={"requests": {"cpu": "3"}})) == {"cpu": "3"}
    assert pods.limits(pod(container({}, {"cpu": "1"}), overhead={"cpu": "1", "memory": "1Mi"})) == {"cpu": parse("2")}


def test_states() -> None:
    ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    assert pods.is_ready(ready) and not pods.is_ready({}) and pods.is_active(ready)
    assert pods.is_terminal({"status": {"phase": "Failed"}}) and not pods.is_terminal(ready)
    deleting = {"metadata": {"deletionTimestamp": "x"}}
    assert pods.is_terminating(deleting) and not pods.is_active(deleting)
    assert pods.is_mirror({"metadata": {"annotations": {"kubernetes.io/config.mirror": "h"}}})
