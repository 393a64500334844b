"""The Pod strategy: defaults, first status, what updates may change, and field selectors.

Neighbours: `pod_defaults` (what is filled in), `pod_validation` (what is refused), `kogia.api.pods` (quality of service). The
subresources binding, ephemeralcontainers and resize reach `prepare_update` and `validate_update` by their names.

Source: kubernetes pkg/registry/core/pod/strategy.go.
"""

from __future__ import annotations

from typing import Any

from kogia.api.pods import qos_class
from kogia.api.status import FieldError, forbidden_field, invalid_value
from kogia.api.strategies.base import KindStrategy
from kogia.api.strategies.pod_containers import PodContext, validate_ephemeral_containers
from kogia.api.strategies.pod_defaults import default_pod, default_template
from kogia.api.strategies.pod_validation import (
    validate_new_pod,
    validate_pod,
    validate_pod_spec,
    validate_pod_status_update,
    validate_pod_update,
)
from kogia.api.strategies.pod_warnings import warn_pod, warn_template
from kogia.api.strategies.rules import Errors

Obj = dict[str, Any]

_GATED = {
    "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
}
#: what PUT …/resize may change in a container
_RESIZABLE = ("resources", "resizePolicy")


class PodStrategy(KindStrategy):
    graceful_deletion = True
    has_generation = True
    field_labels = frozenset((
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork", "status.phase",
        "status.podIP", "status.podIPs", "status.nominatedNodeName",
    ))

    def default(self, obj: Obj) -> None:
        default_pod(obj)

    def on_create(self, obj: Obj) -> None:
        status: Obj = {"phase": "Pending", "qosClass": qos_class(obj)}
        if (obj.get("spec") or {}).get("schedulingGates"):
            status["conditions"] = [dict(_GATED)]
        obj["status"] = status
        _merge_label_keys(obj)

    def on_update(self, obj: Obj, old: Obj, subresource: str) -> None:
        before = old.get("spec") or {}
        if subresource == "status":
            metadata = obj["metadata"]
            for key in ("ownerReferences", "deletionTimestamp", "deletionGracePeriodSeconds"):
                if key in old["metadata"]:
                    metadata[key] = old["metadata"][key]
                else:
                    metadata.pop(key, None)
            status = obj.setdefault("status", {})
            if not status.get("qosClass") and (old.get("status") or {}).get("qosClass"):
                status["qosClass"] = old["status"]["qosClass"]
        elif subresource == "ephemeralcontainers":
            obj["spec"] = {**before, "ephemeralContainers": (obj.get("spec") or {}).get("ephemeralContainers") or []}
        elif subresource == "resize":
            obj["spec"] = _resized(obj.get("spec") or {}, before)
        elif before.get("schedulingGates") and not (obj.get("spec") or {}).get("schedulingGates"):
            status = dict(obj.get("status") or {})
            status["conditions"] = [c for c in status.get("conditions") or () if c.get("reason") != "SchedulingGated"]
            obj["status"] = status

    def check_new(self, obj: Obj) -> list[FieldError]:
        return validate_new_pod(obj)

    def check(self, obj: Obj) -> list[FieldError]:
        return validate_pod(obj)

    def check_change(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        if subresource == "ephemeralcontainers":
            return _validate_ephemeral(obj, old)
        if subresource == "resize":
            return _validate_resize(obj, old)
        return [] if subresource == "binding" else validate_pod_update(obj, old)

    def check_status(self, obj: Obj, old: Obj) -> list[FieldError]:
        return validate_pod_status_update(obj, old)

    def fields(self, obj: Obj) -> dict[str, str]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        ips = status.get("podIPs") or ()
        return {
            "spec.nodeName": spec.get("nodeName") or "",
            "spec.restartPolicy": spec.get("restartPolicy") or "",
            "spec.schedulerName": spec.get("schedulerName") or "",
            "spec.serviceAccountName": spec.get("serviceAccountName") or "",
            "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
            "status.phase": status.get("phase") or "",
            "status.podIP": status.get("podIP") or (ips[0].get("ip") or "" if ips else ""),
            "status.podIPs": ",".join(ip.get("ip") or "" for ip in ips),
            "status.nominatedNodeName": status.get("nominatedNodeName") or "",
        }

    def warnings(self, obj: Obj) -> list[str]:
        return warn_pod(obj)


def _merge_label_keys(pod: Obj) -> None:
    """Turn `matchLabelKeys` (and `mismatchLabelKeys`) into selector expressions over the Pod's own labels, once, at creation."""
    spec, own = pod.get("spec") or {}, (pod.get("metadata") or {}).get("labels") or {}
    terms = list(spec.get("topologySpreadConstraints") or ())
    for kind in ("podAffinity", "podAntiAffinity"):
        affinity = (spec.get("affinity") or {}).get(kind) or {}
        terms += affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        weighted = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [term["podAffinityTerm"] for term in weighted if term.get("podAffinityTerm")]
    for term in terms:
        selector = term.get("labelSelector")
        if selector is None:
            continue
        for field, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")):
            for key in term.get(field) or ():
                if key in own:
                    selector.setdefault("matchExpressions", []).append({"key": key, "operator": operator, "values": [own[key]]})


class PodTemplateStrategy(KindStrategy):
    """core/v1 PodTemplate, the stored kind."""

    has_generation = True

    def default(self, obj: Obj) -> None:
        default_template(obj.get("template"))

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        validate_pod_spec(errors, "template.spec", (obj.get("template") or {}).get("spec") or {})
        return errors

    def warnings(self, obj: Obj) -> list[str]:
        return warn_template("template", obj.get("template"))


def _resized(spec: Obj, before: Obj) -> Obj:
    """`before` with the containers' resources of `spec`."""
    out = dict(before)
    for field in ("containers", "initContainers"):
        wanted = {c.get("name"): c for c in spec.get(field) or ()}
        if field in before:
            out[field] = [
                {**old, **{key: wanted[old.get("name")][key] for key in _RESIZABLE if key in wanted[old.get("name")]}}
                if old.get("name") in wanted else old
                for old in before[field]
            ]
    if "resources" in spec:
        out["resources"] = spec["resources"]
    return out


def _validate_resize(obj: Obj, old: Obj) -> Errors:
    """Resources may change in size, but neither the quality of service nor anything beside cpu and memory."""
    errors: Errors = []
    was = (old.get("status") or {}).get("qosClass") or qos_class(old)
    now = qos_class(obj)
    if now != was:
        errors.append(invalid_value("spec", now, "Pod QOS Class may not change as a result of resizing"))
    for field in ("containers", "initContainers"):
        before = {c.get("name"): c for c in (old.get("spec") or {}).get(field) or ()}
        for container in (obj.get("spec") or {}).get(field) or ():
            if _fixed_resources(container) != _fixed_resources(before.get(container.get("name")) or {}):
                errors.append(forbidden_field("spec", "only cpu and memory resources are mutable"))
                return errors
    return errors


def _fixed_resources(container: Obj) -> dict[tuple[str, str], Any]:
    resources = container.get("resources") or {}
    return {
        (field, name): amount for field in ("requests", "limits") for name, amount in (resources.get(field) or {}).items()
        if name not in ("cpu", "memory")
    }


def _validate_ephemeral(obj: Obj, old: Obj) -> Errors:
    """Ephemeral containers may be added, never changed or removed."""
    errors: Errors = []
    spec = obj.get("spec") or {}
    new, before = spec.get("ephemeralContainers") or [], (old.get("spec") or {}).get("ephemeralContainers") or []
    volumes = {volume.get("name"): volume for volume in spec.get("volumes") or ()}
    context = PodContext(spec, volumes, is_pod=True)
    validate_ephemeral_containers(
        errors, "spec.ephemeralContainers", new, [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())], context)
    by_name = {c.get("name"): c for c in new}
    for container in before:
        found = by_name.get(container.get("name"))
        if found is None:
            errors.append(forbidden_field("spec.ephemeralContainers", f'existing ephemeral containers "{container.get("name")}" may not be removed'))
        elif found != container:
            errors.append(forbidden_field("spec.ephemeralContainers", f'existing ephemeral containers "{container.get("name")}" may not be changed'))
    return errors
