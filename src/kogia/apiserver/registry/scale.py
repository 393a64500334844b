"""The scale subresource: `spec.replicas` of workload kinds in the shape every autoscaler knows.

Source: kubernetes pkg/registry/apps/*/storage (ScaleREST), autoscaling/v1 Scale.
"""

from __future__ import annotations

from typing import Any

from kogia.api.jsoncopy import deep_copy
from kogia.api.kinds import ResourceInfo
from kogia.api.selectors import label_selector_from_map, label_selector_from_object
from kogia.api.status import bad_request, invalid, invalid_value
from kogia.apiserver.registry.kinds import Kind

Obj = dict[str, Any]

SCALE = ResourceInfo("autoscaling", "v1", "Scale", "scales", "scale", stored=False, storage=("autoscaling", "v1", "Scale"))


def scale_of(kind: Kind, obj: Obj) -> Obj:
    """The Scale of a stored workload."""
    meta, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    selector = spec.get("selector")
    if kind.stored.kind == "ReplicationController":
        text = str(label_selector_from_map(selector))
    else:
        text = str(label_selector_from_object(selector)) if selector is not None else ""
    shown: Obj = {name: meta[name] for name in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp") if name in meta}
    made: Obj = {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": shown, "spec": {}, "status": {"replicas": status.get("replicas", 0)}}
    if spec.get("replicas"):
        made["spec"]["replicas"] = spec["replicas"]
    if text:
        made["status"]["selector"] = text
    return made


def with_scale(kind: Kind, old: Obj, scale: Obj) -> Obj:
    """A private copy of `old` with the replicas of `scale`. Errors: 400 (another object's), 422 (negative)."""
    meta = scale.get("metadata") or {}
    if meta.get("name", old["metadata"]["name"]) != old["metadata"]["name"]:
        raise bad_request(f"the name of the object ({meta['name']}) does not match the name on the URL ({old['metadata']['name']})")
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if replicas < 0:
        error = invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
        raise invalid("Scale", old["metadata"]["name"], [error], "autoscaling")
    made: Obj = deep_copy(old)
    made.setdefault("spec", {})["replicas"] = replicas
    made["metadata"]["resourceVersion"] = meta.get("resourceVersion") or ""
    return made
