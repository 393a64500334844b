"""Binding: how the scheduler gives a Pod its node, once and for all.

Source: kubernetes pkg/registry/core/pod/storage (BindingREST, assignPod), core/validation ValidatePodBinding.
"""

from __future__ import annotations

from typing import Any

from kogia.api.status import FieldError, conflict, invalid, not_supported, required
from kogia.base.clock import rfc3339

Obj = dict[str, Any]


def check_binding(binding: Obj) -> None:
    """Errors: 422 for a target that is no node."""
    target = binding.get("target") or {}
    errors: list[FieldError] = []
    if target.get("kind") not in (None, "", "Node"):
        errors.append(not_supported("target.kind", target["kind"], ["Node", "<empty>"]))
    if not target.get("name"):
        errors.append(required("target.name"))
    if errors:
        raise invalid("Binding", (binding.get("metadata") or {}).get("name", ""), errors)


def bound(pod: Obj, binding: Obj, now: float) -> Obj:
    """The Pod with its node; shares what did not change. Errors: 409 when it has one, is gated, going, or another Pod."""
    meta, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    wanted = binding.get("metadata") or {}
    name = meta["name"]
    if wanted.get("uid") and wanted["uid"] != meta["uid"]:
        raise conflict("pods/binding", name, f"Precondition failed: UID in precondition: {wanted['uid']}, UID in object meta: {meta['uid']}")
    if meta.get("deletionTimestamp"):
        raise conflict("pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise conflict("pods/binding", name, f'pod {name} is already assigned to node "{spec["nodeName"]}"')
    if spec.get("schedulingGates"):
        raise conflict("pods/binding", name, f"pod {name} has non-empty .spec.schedulingGates")
    annotations = wanted.get("annotations")
    new_meta = {**meta, "annotations": {**(meta.get("annotations") or {}), **annotations}} if annotations else dict(meta)
    labels = wanted.get("labels")
    if labels:
        new_meta["labels"] = {**(meta.get("labels") or {}), **labels}
    conditions = [c for c in status.get("conditions") or () if c.get("type") != "PodScheduled"]
    known = next((c for c in status.get("conditions") or () if c.get("type") == "PodScheduled"), None)
    since = known.get("lastTransitionTime") if known is not None and known.get("status") == "True" else None
    scheduled: Obj = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": since or rfc3339(now)}
    if "observedGeneration" in (known or {}):
        scheduled["observedGeneration"] = (known or {})["observedGeneration"]
    return {
        **pod, "metadata": new_meta, "spec": {**spec, "nodeName": binding["target"]["name"]},
        "status": {**status, "conditions": [*conditions, scheduled]},
    }
