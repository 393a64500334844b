from typing import Any

import pytest

from kogia.api import resources
from kogia.api.tables import columns, row

PODS = resources.find("", "v1", "pods")
assert PODS is not None
NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z
RUNNING = {"running": {"startedAt": "2025-12-31T23:00:00Z"}}


def container(name: str = "c", state: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "state": state or RUNNING, "ready": state is None, "restartCount": 0, **more}


def cells(status: dict[str, Any], spec: dict[str, Any] | None = None, **metadata: Any) -> list[Any]:
    obj = {
        "metadata": {"name": "p", "creationTimestamp": "2025-12-31T23:59:00Z", **metadata},
        "spec": {"containers": [{"name": "c"}], **(spec or {})}, "status": status,
    }
    assert PODS is not None
    return row(PODS, obj, NOW)


def test_columns() -> None:
    assert PODS is not None
    assert [(c["name"], c["priority"]) for c in columns(PODS)] == [
        ("Name", 0), ("Ready", 0), ("Status", 0), ("Restarts", 0), ("Age", 0), ("IP", 1), ("Node", 1), ("Nominated Node", 1), ("Readiness Gates", 1)]


INIT = {"initContainers": [{"name": "i"}, {"name": "j"}]}
SIDE = {"initContainers": [{"name": "s", "restartPolicy": "Always"}]}


@pytest.mark.parametrize(
    ("status", "spec", "ready", "word"),
    [
        ({"phase": "Pending"}, None, "0/1", "Pending"),
        ({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}, None, "0/1", "SchedulingGated"),
        ({"phase": "Pending", "containerStatuses": [container(state={"waiting": {"reason": "ContainerCreating"}})]}, None, "0/1", "ContainerCreating"),
        ({"phase": "Running", "containerStatuses": [container()]}, None, "1/1", "Running"),
        ({"phase": "Running", "containerStatuses": [container(state={"waiting": {"reason": "CrashLoopBackOff"}})]}, None, "0/1", "CrashLoopBackOff"),
        ({"phase": "Succeeded", "containerStatuses": [container(state={"terminated": {"exitCode": 0, "reason": "Completed"}})]}, None, "0/1", "Completed"),
        ({"phase": "Failed", "containerStatuses": [container(state={"terminated": {"exitCode": 1, "reason": "Error"}})]}, None, "0/1", "Error"),
        ({"phase": "Failed", "containerStatuses": [container(state={"terminated": {"exitCode": 3}})]}, None, "0/1", "ExitCode:3"),
        ({"phase": "Failed", "containerStatuses": [container(state={"terminated": {"exitCode": 137, "signal": 9}})]}, None, "0/1", "Signal:9"),
        ({"phase": "Failed", "reason": "Evicted"}, None, "0/1", "Evicted"),
        ({"phase": "Pending", "initContainerStatuses": [container("i")]}, INIT, "0/1", "Init:0/2"),
        ({"phase": "Pending", "initContainerStatuses": [container("i", {"terminated": {"exitCode": 0}}), container("j", {"waiting": {"reason": "PodInitializing"}})]},
         INIT, "0/1", "Init:1/2"),
        ({"phase": "Pending", "initContainerStatuses": [container("i", {"waiting": {"reason": "CrashLoopBackOff"}})]}, INIT, "0/1", "Init:CrashLoopBackOff"),
        ({"phase": "Pending", "initContainerStatuses": [container("i", {"terminated": {"exitCode": 2, "reason": "Error"}})]}, INIT, "0/1", "Init:Error"),
        ({"phase": "Pending", "initContainerStatuses": [container("i", {"terminated": {"exitCode": 2}})]}, INIT, "0/1", "Init:ExitCode:2"),
        ({"phase": "Pending", "initContainerStatuses": [container("i", {"terminated": {"exitCode": 0}}), container("j", {"terminated": {"exitCode": 0}})],
          "containerStatuses": [container(state={"waiting": {"reason": "PodInitializing"}})]}, INIT, "0/1", "PodInitializing"),
        ({"phase": "Running", "initContainerStatuses": [container("s", started=True)], "containerStatuses": [container()]}, SIDE, "2/2", "Running"),
        ({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}],
          "containerStatuses": [container(state={"terminated": {"exitCode": 0, "reason": "Completed"}}), container("d")]},
         {"containers": [{"name": "c"}, {"name": "d"}]}, "1/2", "NotReady"),
    ],
)
def test_status(status: dict[str, Any], spec: dict[str, Any] | None, ready: str, word: str) -> None:
    found = cells(status, spec)
    assert (found[1], found[2]) == (ready, word)


def test_deletion() -> None:
    gone = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    assert cells({"phase": "Running", "containerStatuses": [container()]}, None, **gone)[2] == "Terminating"
    assert cells({"phase": "Running", "reason": "NodeLost"}, None, **gone)[2] == "Unknown"
    assert cells({"phase": "Succeeded"}, None, **gone)[2] == "Succeeded"


def test_restarts_and_wide_cells() -> None:
    last = {"lastState": {"terminated": {"finishedAt": "2025-12-31T23:59:55Z"}}, "restartCount": 1}
    found = cells(
        {"phase": "Running", "containerStatuses": [container(**last)], "podIPs": [{"ip": "10.0.0.1"}],
         "conditions": [{"type": "x/y", "status": "True"}]},
        {"nodeName": "n", "readinessGates": [{"conditionType": "x/y"}, {"conditionType": "x/z"}]},
    )
    assert found == ["p", "1/1", "Running", "1 (5s ago)", "60s", "10.0.0.1", "n", "<none>", "1/2"]
