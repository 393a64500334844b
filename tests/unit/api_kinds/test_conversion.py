import copy
from typing import Any

from kogia.api import resources
from kogia.api.conversion import convert

OLD, NEW = resources.find("", "v1", "events"), resources.find("events.k8s.io", "v1", "events")
V1, V2 = resources.find("autoscaling", "v1", "horizontalpodautoscalers"), resources.find("autoscaling", "v2", "horizontalpodautoscalers")
assert OLD and NEW and V1 and V2


def test_event_fields_have_two_names() -> None:
    event = {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": {"kind": "Pod"}, "message": "m", "source": {"component": "c"},
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:01Z", "count": 3, "reportingComponent": "k", "reason": "R",
    }
    assert NEW is not None and OLD is not None
    new = convert(event, NEW)
    assert new == {
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "regarding": {"kind": "Pod"}, "note": "m", "deprecatedSource": {"component": "c"},
        "deprecatedFirstTimestamp": "2026-01-01T00:00:00Z", "deprecatedLastTimestamp": "2026-01-01T00:00:01Z", "deprecatedCount": 3, "reportingController": "k", "reason": "R",
    }
    assert convert(new, OLD) == event


CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
PODS = {"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "5"}}}
OBJECT = {"type": "Object", "object": {
    "describedObject": {"kind": "Ingress", "name": "i"}, "metric": {"name": "r", "selector": {"matchLabels": {"a": "b"}}}, "target": {"type": "Value", "value": "2k"}}}


def autoscaler(metrics: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h", "annotations": {"mine": "1"}},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "w"}, "maxReplicas": 3, "metrics": metrics, "behavior": {"scaleDown": {"selectPolicy": "Max"}}},
        "status": {"desiredReplicas": 1, "conditions": [{"type": "AbleToScale", "status": "True"}],
                   "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 40, "averageValue": "10m"}}}]},
    }


def test_autoscaler_v1_shows_the_cpu_target_and_keeps_the_rest() -> None:
    assert V1 is not None and V2 is not None
    hpa = autoscaler([CPU, PODS, OBJECT])
    before = copy.deepcopy(hpa)
    old = convert(hpa, V1)
    assert hpa == before
    assert old["spec"]["targetCPUUtilizationPercentage"] == 80 and "metrics" not in old["spec"] and "behavior" not in old["spec"]
    assert old["status"]["currentCPUUtilizationPercentage"] == 40
    assert '"targetAverageValue":"5"' in old["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"]
    assert convert(old, V2) == hpa


def test_autoscaler_made_in_v1() -> None:
    assert V1 is not None and V2 is not None
    old = {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
           "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "w"}, "maxReplicas": 3, "targetCPUUtilizationPercentage": 50}}
    new = convert(old, V2)
    assert new["spec"]["metrics"] == [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]
    assert "annotations" not in new["metadata"]
    assert convert(new, V1) == old


def test_bad_annotations_are_left_alone() -> None:
    assert V2 is not None
    old = {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "spec": {}, "metadata": {"annotations": {"autoscaling.alpha.kubernetes.io/metrics": "{nope"}}}
    assert convert(old, V2)["metadata"] == old["metadata"]


def test_other_kinds_only_change_their_envelope() -> None:
    pods = resources.find("", "v1", "pods")
    assert pods is not None
    assert convert({"metadata": {"name": "p"}}, pods) == {"metadata": {"name": "p"}, "apiVersion": "v1", "kind": "Pod"}
