"""Between versions of one stored kind: HorizontalPodAutoscaler v1 and v2, and Event in its two groups.

All other kinds have one version, and then only apiVersion and kind are set. A conversion there and back loses nothing: what
autoscaling/v1 has no field for travels in annotations, as in Kubernetes. Inputs are not changed; results may share parts with them.

Source: kubernetes pkg/apis/autoscaling/v1/conversion.go, pkg/apis/events/v1/conversion.go.
"""

from __future__ import annotations

import json
from typing import Any

from kogia.api.kinds import ResourceInfo

Obj = dict[str, Any]


def convert(obj: Obj, to: ResourceInfo) -> Obj:
    """`obj` as an object of `to`'s version: a new top-level dict that may share parts with `obj`; `obj` itself is not changed.

    Errors: none; an object of another kind only gets `to`'s apiVersion and kind.
    """
    api_version = str(obj.get("apiVersion") or "")
    if api_version != to.api_version:
        step = _STEPS.get((to.kind, api_version, to.api_version))
        if step is not None:
            obj = step(obj)
    return {**obj, "apiVersion": to.api_version, "kind": to.kind}


# -- Event

_EVENT_FIELDS = {
    "involvedObject": "regarding", "message": "note", "source": "deprecatedSource", "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp", "count": "deprecatedCount", "reportingComponent": "reportingController",
}
_EVENT_FIELDS_BACK = {new: old for old, new in _EVENT_FIELDS.items()}


def _event_to_new(obj: Obj) -> Obj:
    return {_EVENT_FIELDS.get(key, key): value for key, value in obj.items()}


def _event_to_core(obj: Obj) -> Obj:
    return {_EVENT_FIELDS_BACK.get(key, key): value for key, value in obj.items()}


# -- HorizontalPodAutoscaler

_PREFIX = "autoscaling.alpha.kubernetes.io/"
_METRICS, _CURRENT, _CONDITIONS, _BEHAVIOR = (_PREFIX + name for name in ("metrics", "current-metrics", "conditions", "behavior"))
#: v1's names for parts of a v2 metric source: (source, path in v2) → field in v1
_NAMES: dict[str, dict[tuple[str, ...], str]] = {
    "resource": {("name",): "name", ("target", "averageUtilization"): "targetAverageUtilization", ("target", "averageValue"): "targetAverageValue"},
    "containerResource": {
        ("name",): "name", ("container",): "container", ("target", "averageUtilization"): "targetAverageUtilization",
        ("target", "averageValue"): "targetAverageValue",
    },
    "pods": {("metric", "name"): "metricName", ("metric", "selector"): "selector", ("target", "averageValue"): "targetAverageValue"},
    "object": {
        ("describedObject",): "target", ("metric", "name"): "metricName", ("metric", "selector"): "selector", ("target", "value"): "targetValue",
        ("target", "averageValue"): "averageValue",
    },
    "external": {
        ("metric", "name"): "metricName", ("metric", "selector"): "metricSelector", ("target", "value"): "targetValue",
        ("target", "averageValue"): "targetAverageValue",
    },
}


def _source_name(kind: str) -> str:
    return kind[:1].lower() + kind[1:]


def _dig(source: Obj, path: tuple[str, ...]) -> Any:
    found: Any = source
    for part in path:
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _names(source: str, *, current: bool) -> dict[tuple[str, ...], str]:
    """The name table of a source; a status says `current` where a specification says `target`."""
    table = _NAMES.get(source, {})
    if not current:
        return table
    swapped = {}
    for path, name in table.items():
        if path[0] == "target":
            path, name = ("current", *path[1:]), name.replace("target", "current", 1) if name.startswith("target") else "currentAverageValue"
        swapped[path] = name
    return swapped


def _metric_to_v1(metric: Obj, *, current: bool) -> Obj:
    source = _source_name(metric.get("type") or "")
    flat = {}
    for path, name in _names(source, current=current).items():
        value = _dig(metric.get(source) or {}, path)
        if value is not None:
            flat[name] = value
    return {"type": metric.get("type"), source: flat}


def _metric_to_v2(metric: Obj, *, current: bool) -> Obj:
    source = _source_name(metric.get("type") or "")
    flat = metric.get(source) or {}
    deep: Obj = {}
    for path, name in _names(source, current=current).items():
        if flat.get(name) is not None:
            place = deep
            for part in path[:-1]:
                place = place.setdefault(part, {})
            place[path[-1]] = flat[name]
    if not current:
        target = deep.setdefault("target", {})
        kinds = {"averageUtilization": "Utilization", "averageValue": "AverageValue", "value": "Value"}
        target["type"] = next((kind for field, kind in kinds.items() if field in target), "Value")
    return {"type": metric.get("type"), source: deep}


def _is_cpu(metric: Obj, side: str) -> bool:
    resource = metric.get("resource") or {}
    return metric.get("type") == "Resource" and resource.get("name") == "cpu" and (resource.get(side) or {}).get("averageUtilization") is not None


def _autoscaler_to_v1(obj: Obj) -> Obj:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    metadata = dict(obj.get("metadata") or {})
    annotations = dict(metadata.get("annotations") or {})
    rest, more = spec.pop("metrics", None) or [], status.pop("currentMetrics", None) or []
    for i, metric in enumerate(rest):
        if _is_cpu(metric, "target"):
            spec["targetCPUUtilizationPercentage"] = metric["resource"]["target"]["averageUtilization"]
            rest = rest[:i] + rest[i + 1 :]
            break
    for i, metric in enumerate(more):
        if _is_cpu(metric, "current"):
            status["currentCPUUtilizationPercentage"] = metric["resource"]["current"]["averageUtilization"]
            if set(metric["resource"]["current"]) == {"averageUtilization"}:
                more = more[:i] + more[i + 1 :]
            break
    for key, value in (
        (_METRICS, [_metric_to_v1(metric, current=False) for metric in rest]),
        (_CURRENT, [_metric_to_v1(metric, current=True) for metric in more]),
        (_CONDITIONS, status.pop("conditions", None)), (_BEHAVIOR, spec.pop("behavior", None)),
    ):
        if value:
            annotations[key] = json.dumps(value, separators=(",", ":"))
    if "status" in obj:
        status = {"currentReplicas": 0, "desiredReplicas": 0, **status}
    return _with(obj, metadata, annotations, spec, status)


def _autoscaler_to_v2(obj: Obj) -> Obj:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    metadata = dict(obj.get("metadata") or {})
    annotations = dict(metadata.get("annotations") or {})
    metrics = [_metric_to_v2(metric, current=False) for metric in _read(annotations, _METRICS, list)]
    current = [_metric_to_v2(metric, current=True) for metric in _read(annotations, _CURRENT, list)]
    conditions, behavior = _read(annotations, _CONDITIONS, list), _read(annotations, _BEHAVIOR, dict)
    target = spec.pop("targetCPUUtilizationPercentage", None)
    if target is not None:
        cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": target}}
        metrics.insert(0, {"type": "Resource", "resource": cpu})
    if status.get("currentReplicas") == 0:  # v2 leaves it out, v1 always shows it
        del status["currentReplicas"]
    used = status.pop("currentCPUUtilizationPercentage", None)
    if used is not None and not any(_is_cpu(metric, "current") for metric in current):
        current.insert(0, {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": used}}})
    for place, key, value in ((spec, "metrics", metrics), (status, "currentMetrics", current), (status, "conditions", conditions), (spec, "behavior", behavior)):
        if value:
            place[key] = value
    return _with(obj, metadata, annotations, spec, status)


def _read(annotations: dict[str, str], key: str, kind: type) -> Any:
    """Take an annotation's JSON; unreadable ones are left where they are and count as absent."""
    try:
        value = json.loads(annotations[key])
    except (KeyError, ValueError):
        return kind()
    if not isinstance(value, kind) or (isinstance(value, list) and not all(isinstance(item, dict) for item in value)):
        return kind()
    del annotations[key]
    return value


def _with(obj: Obj, metadata: Obj, annotations: dict[str, str], spec: Obj, status: Obj) -> Obj:
    if annotations:
        metadata["annotations"] = annotations
    else:
        metadata.pop("annotations", None)
    made = {**obj, "metadata": metadata, "spec": spec}
    if "status" in obj or status:
        made["status"] = status
    return made


_STEPS = {
    ("Event", "v1", "events.k8s.io/v1"): _event_to_new,
    ("Event", "events.k8s.io/v1", "v1"): _event_to_core,
    ("HorizontalPodAutoscaler", "autoscaling/v2", "autoscaling/v1"): _autoscaler_to_v1,
    ("HorizontalPodAutoscaler", "autoscaling/v1", "autoscaling/v2"): _autoscaler_to_v2,
}
