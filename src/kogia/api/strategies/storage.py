"""Strategies of PersistentVolume, PersistentVolumeClaim, StorageClass and the CSI kinds.

Source: kubernetes pkg/apis/core (persistent volumes), pkg/apis/storage/{v1,validation}, pkg/registry/storage.
"""

from __future__ import annotations

from typing import Any

from kogia.api import names
from kogia.api.quantity import QuantityError, parse
from kogia.api.status import FieldError, forbidden_field, invalid_value, not_supported, required
from kogia.api.strategies.base import KindStrategy
from kogia.api.strategies.pod_defaults import VOLUME_DEFAULTS
from kogia.api.strategies.pod_scheduling import validate_node_selector
from kogia.api.strategies.rules import Errors, immutable, invalid_each, label_selector, quantity
from kogia.api.strategies.workloads import fill

Obj = dict[str, Any]

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_VOLUME_MODES = ("Block", "Filesystem")
#: fields of a PersistentVolume's spec that are no volume source
_NOT_SOURCES = frozenset((
    "capacity", "accessModes", "claimRef", "persistentVolumeReclaimPolicy", "storageClassName", "mountOptions", "volumeMode", "nodeAffinity",
    "volumeAttributesClassName",
))


def _access_modes(errors: Errors, spec: Obj) -> None:
    modes = spec.get("accessModes") or []
    if not modes:
        errors.append(required("spec.accessModes", "at least 1 access mode is required"))
    for mode in modes:
        if mode not in ACCESS_MODES:
            errors.append(not_supported("spec.accessModes", mode, ACCESS_MODES))
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        errors.append(forbidden_field("spec.accessModes", "may not use ReadWriteOncePod with other access modes"))


def _positive(errors: Errors, path: str, text: Any) -> None:
    amount = quantity(errors, path, text)
    if amount is not None and amount.is_zero():
        errors.append(invalid_value(path, str(amount), "must be greater than zero"))


class PersistentVolumeStrategy(KindStrategy):
    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        if not spec.get("persistentVolumeReclaimPolicy"):
            spec["persistentVolumeReclaimPolicy"] = "Retain"
        fill(spec, volumeMode="Filesystem")
        for kind in ("hostPath", "iscsi", "rbd", "azureDisk", "scaleIO"):
            if spec.get(kind) is not None:
                VOLUME_DEFAULTS[kind](spec[kind])

    def on_create(self, obj: Obj) -> None:
        obj["status"] = {"phase": "Pending"}

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        spec = obj.get("spec") or {}
        _access_modes(errors, spec)
        if not spec.get("capacity"):
            errors.append(required("spec.capacity"))
        elif set(spec["capacity"]) != {"storage"}:
            errors.append(not_supported("spec.capacity", spec["capacity"], ("storage",)))
        else:
            _positive(errors, "spec.capacity[storage]", spec["capacity"]["storage"])
        policy = spec.get("persistentVolumeReclaimPolicy")
        if policy not in ("Delete", "Recycle", "Retain"):
            errors.append(not_supported("spec.persistentVolumeReclaimPolicy", policy, ("Delete", "Recycle", "Retain")))
        if spec.get("volumeMode") not in _VOLUME_MODES:
            errors.append(not_supported("spec.volumeMode", spec.get("volumeMode"), _VOLUME_MODES))
        sources = [key for key in spec if key not in _NOT_SOURCES and spec[key] is not None]
        if not sources:
            errors.append(required("spec", "must specify a volume type"))
        for kind in sources[1:]:
            errors.append(forbidden_field(f"spec.{kind}", "may not specify more than 1 volume type"))
        if "local" in sources and not (spec.get("nodeAffinity") or {}).get("required"):
            errors.append(required("spec.nodeAffinity", "Local volume requires node affinity"))
        if (spec.get("nodeAffinity") or {}).get("required") is not None:
            validate_node_selector(errors, "spec.nodeAffinity.required", spec["nodeAffinity"]["required"])
        return errors

    def check_change(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        errors: Errors = []
        new, before = obj.get("spec") or {}, old.get("spec") or {}
        if {k: v for k, v in new.items() if k not in _NOT_SOURCES} != {k: v for k, v in before.items() if k not in _NOT_SOURCES}:
            errors.append(forbidden_field("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation"))
        immutable(errors, "spec.volumeMode", new.get("volumeMode"), before.get("volumeMode"))
        if before.get("nodeAffinity") is not None:
            immutable(errors, "spec.nodeAffinity", new.get("nodeAffinity"), before["nodeAffinity"])
        return errors


class PersistentVolumeClaimStrategy(KindStrategy):
    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        fill(spec, volumeMode="Filesystem")
        source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
        if source is not None and reference is None:
            spec["dataSourceRef"] = dict(source)
        elif reference is not None and source is None and not reference.get("namespace"):
            spec["dataSource"] = dict(reference)

    def on_create(self, obj: Obj) -> None:
        obj["status"] = {"phase": "Pending"}

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        spec = obj.get("spec") or {}
        _access_modes(errors, spec)
        label_selector(errors, "spec.selector", spec.get("selector"))
        amount = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
        if amount is None:
            errors.append(required("spec.resources[storage]"))
        else:
            _positive(errors, "spec.resources[storage]", amount)
        if spec.get("storageClassName"):
            invalid_each(errors, "spec.storageClassName", spec["storageClassName"], names.dns1123_subdomain(spec["storageClassName"]))
        if spec.get("volumeMode") is not None and spec["volumeMode"] not in _VOLUME_MODES:
            errors.append(not_supported("spec.volumeMode", spec["volumeMode"], _VOLUME_MODES))
        return errors

    def check_change(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        new, before = obj.get("spec") or {}, old.get("spec") or {}
        bound = (old.get("status") or {}).get("phase") == "Bound"
        free = {"resources", "volumeAttributesClassName"} if bound else set()
        if not before.get("volumeName"):
            free.add("volumeName")
        if before.get("storageClassName") is None:
            free.add("storageClassName")
        changed = [key for key in set(new) | set(before) if key not in free and new.get(key) != before.get(key)]
        if changed:
            listed = ", ".join(f"spec.{key}" for key in sorted(changed))
            return [forbidden_field(
                "spec", "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n"
                f"changed: {listed}")]
        return _check_shrink(new, before, (old.get("status") or {}).get("capacity") or {})


def _check_shrink(new: Obj, before: Obj, capacity: Obj) -> Errors:
    wanted = ((new.get("resources") or {}).get("requests") or {}).get("storage")
    had = ((before.get("resources") or {}).get("requests") or {}).get("storage")
    try:
        shrinks = wanted is not None and had is not None and parse(wanted) < parse(had) and not parse(capacity.get("storage", "0")) < parse(wanted)
    except QuantityError:
        return []
    return [forbidden_field("spec.resources.requests.storage", "field can not be less than status.capacity")] if shrinks else []


class StorageClassStrategy(KindStrategy):
    def default(self, obj: Obj) -> None:
        fill(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        provisioner = obj.get("provisioner") or ""
        if not provisioner:
            errors.append(required("provisioner"))
        else:
            invalid_each(errors, "provisioner", provisioner, names.qualified_name(provisioner.lower()))
        if obj.get("reclaimPolicy") not in ("Delete", "Retain"):
            errors.append(not_supported("reclaimPolicy", obj.get("reclaimPolicy"), ("Delete", "Retain")))
        if obj.get("volumeBindingMode") not in ("Immediate", "WaitForFirstConsumer"):
            errors.append(not_supported("volumeBindingMode", obj.get("volumeBindingMode"), ("Immediate", "WaitForFirstConsumer")))
        return errors

    def check_change(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        errors: Errors = []
        for field in ("parameters", "provisioner"):
            if (obj.get(field) or None) != (old.get(field) or None):
                errors.append(forbidden_field(field, f"updates to {field} are forbidden."))
        for field in ("reclaimPolicy", "volumeBindingMode"):
            immutable(errors, field, obj.get(field), old.get(field))
        return errors


class CSIDriverStrategy(KindStrategy):
    has_generation = True
    unconditional_update = False

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        fill(spec, attachRequired=True, podInfoOnMount=False, storageCapacity=False, requiresRepublish=False, seLinuxMount=False)
        fill(spec, fsGroupPolicy="ReadWriteOnceWithFSType")
        if not spec.get("volumeLifecycleModes"):
            spec["volumeLifecycleModes"] = ["Persistent"]


class CSINodeStrategy(KindStrategy):
    unconditional_update = False


class VolumeAttachmentStrategy(KindStrategy):
    unconditional_update = False

    def check(self, obj: Obj) -> list[FieldError]:
        spec = obj.get("spec") or {}
        return [required(f"spec.{field}") for field in ("attacher", "nodeName") if not spec.get(field)]

    def check_change(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        return [] if obj.get("spec") == old.get("spec") else [invalid_value("spec", obj.get("spec"), "field is immutable")]
