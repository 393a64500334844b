"""Strategies of the small core kinds: Namespace, Node, ConfigMap, Secret, ServiceAccount, Endpoints, LimitRange, ResourceQuota, Binding.

Source: kubernetes pkg/apis/core/v1/defaults.go, pkg/apis/core/validation/validation.go, pkg/registry/core/*.
"""

from __future__ import annotations

import base64
import ipaddress
import json
from typing import Any

from kogia.api import names
from kogia.api.quantity import QuantityError, parse
from kogia.api.status import FieldError, duplicate, forbidden_field, invalid_value, not_supported, required, too_long
from kogia.api.strategies.base import KindStrategy, keep
from kogia.api.strategies.pod_resources import resource_amount, resource_name
from kogia.api.strategies.pod_scheduling import TAINT_EFFECTS
from kogia.api.strategies.rules import IMMUTABLE, Errors, immutable, invalid_each, ip_address, label_key, one_of, port_or_name

Obj = dict[str, Any]

MAX_DATA_BYTES = 1024 * 1024
NAME_LABEL = "kubernetes.io/metadata.name"
_WHEN_IMMUTABLE = "field is immutable when `immutable` is set"


class NamespaceStrategy(KindStrategy):
    """Born Active, with the `kubernetes` finalizer, and labelled with its own name."""

    name_check = staticmethod(names.dns1123_label)
    field_labels = frozenset(("status.phase",))

    def default(self, obj: Obj) -> None:
        name = obj["metadata"].get("name")
        if name:
            labels = obj["metadata"].setdefault("labels", {})
            labels[NAME_LABEL] = name

    def on_create(self, obj: Obj) -> None:
        self.default(obj)
        obj["status"] = {"phase": "Active"}
        spec = obj.setdefault("spec", {})
        finalizers = spec.setdefault("finalizers", [])
        if "kubernetes" not in finalizers:
            finalizers.append("kubernetes")

    def on_update(self, obj: Obj, old: Obj, subresource: str) -> None:
        if subresource == "":
            keep(obj, old, "spec")

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        for finalizer in (obj.get("spec") or {}).get("finalizers") or ():
            invalid_each(errors, "spec.finalizers", finalizer, names.qualified_name(finalizer))
            if "/" not in finalizer and finalizer != "kubernetes":
                errors.append(invalid_value("spec.finalizers", finalizer, "name is neither a standard finalizer name nor is it fully qualified"))
        return errors

    def check_status(self, obj: Obj, old: Obj) -> list[FieldError]:
        phase = (obj.get("status") or {}).get("phase")
        deleting = bool(obj["metadata"].get("deletionTimestamp"))
        if not deleting and phase not in (None, "Active"):
            return [invalid_value("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")]
        if deleting and phase != "Terminating":
            return [invalid_value("status.Phase", phase or "", "may only be 'Terminating' if `deletionTimestamp` is not empty")]
        return []

    def fields(self, obj: Obj) -> dict[str, str]:
        return {"status.phase": (obj.get("status") or {}).get("phase") or ""}


class NodeStrategy(KindStrategy):
    """A kubelet may create its Node with a status; `allocatable` is the capacity until said otherwise."""

    field_labels = frozenset(("spec.unschedulable",))
    drops_status_on_create = False

    def default(self, obj: Obj) -> None:
        status = obj.get("status")
        if status and status.get("capacity") and status.get("allocatable") is None:
            status["allocatable"] = dict(status["capacity"])

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        spec = obj.get("spec") or {}
        seen: set[tuple[Any, Any]] = set()
        for i, taint in enumerate(spec.get("taints") or ()):
            here = f"spec.taints[{i}]"
            label_key(errors, f"{here}.key", taint.get("key") or "")
            messages = names.label_value(taint.get("value") or "")
            if messages:
                errors.append(invalid_value(f"{here}.value", taint["value"], ";".join(messages)))
            one_of(errors, f"{here}.effect", taint.get("effect"), TAINT_EFFECTS)
            key = (taint.get("key"), taint.get("effect"))
            if key in seen:
                errors.append(duplicate(here, taint))
            seen.add(key)
        for i, cidr in enumerate(spec.get("podCIDRs") or ()):
            try:
                ipaddress.ip_network(cidr)
            except ValueError:
                errors.append(invalid_value(f"spec.podCIDRs[{i}]", cidr, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"))
        return errors

    def check_change(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        errors: Errors = []
        new, before = obj.get("spec") or {}, old.get("spec") or {}
        if before.get("podCIDRs") and new.get("podCIDRs") != before["podCIDRs"]:
            errors.append(forbidden_field("spec.podCIDRs", "node updates may not change podCIDR except from \"\" to valid"))
        if before.get("providerID") and new.get("providerID") != before["providerID"]:
            errors.append(forbidden_field("spec.providerID", "node updates may not change providerID except from \"\" to valid"))
        return errors

    def fields(self, obj: Obj) -> dict[str, str]:
        return {"spec.unschedulable": "true" if (obj.get("spec") or {}).get("unschedulable") else "false"}


def _check_immutable(errors: Errors, obj: Obj, old: Obj, *fields: str) -> None:
    """ConfigMaps and Secrets: once `immutable` is true, it and the data stay."""
    if not old.get("immutable"):
        return
    if not obj.get("immutable"):
        errors.append(forbidden_field("immutable", _WHEN_IMMUTABLE))
    for field in fields:
        if (obj.get(field) or {}) != (old.get(field) or {}):
            errors.append(forbidden_field(field, _WHEN_IMMUTABLE))


class ConfigMapStrategy(KindStrategy):
    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        total = 0
        data = obj.get("data") or {}
        for key, value in data.items():
            invalid_each(errors, f"data[{key}]", key, names.config_map_key(key))
            total += len(value) if value.isascii() else len(value.encode())
        for key, value in (obj.get("binaryData") or {}).items():
            invalid_each(errors, f"binaryData[{key}]", key, names.config_map_key(key))
            if key in data:
                errors.append(invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData"))
            total += _decoded_length(value)
        if total > MAX_DATA_BYTES:
            errors.append(too_long("", MAX_DATA_BYTES))
        return errors

    def check_change(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        errors: Errors = []
        _check_immutable(errors, obj, old, "data", "binaryData")
        return errors


def _decoded_length(text: str) -> int:
    return len(text) * 3 // 4 - text.count("=", -2)


class SecretStrategy(KindStrategy):
    """`stringData` is write-only and folded into `data`; some types need certain keys."""

    field_labels = frozenset(("type",))

    def default(self, obj: Obj) -> None:
        if not obj.get("type"):
            obj["type"] = "Opaque"
        texts = obj.pop("stringData", None)
        if texts:
            data = obj.setdefault("data", {})
            for key, text in texts.items():
                data[key] = base64.b64encode(text.encode()).decode()

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        data = obj.get("data") or {}
        for key in data:
            invalid_each(errors, f"data[{key}]", key, names.config_map_key(key))
        if sum(_decoded_length(value or "") for value in data.values()) > MAX_DATA_BYTES:
            errors.append(too_long("data", MAX_DATA_BYTES))
        kind = obj.get("type")
        if kind == "kubernetes.io/service-account-token":
            if not ((obj.get("metadata") or {}).get("annotations") or {}).get("kubernetes.io/service-account.name"):
                errors.append(required("metadata.annotations[kubernetes.io/service-account.name]"))
        elif kind in ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson"):
            key = ".dockercfg" if kind.endswith("dockercfg") else ".dockerconfigjson"
            if key not in data:
                errors.append(required(f"data[{key}]"))
            else:
                _check_json(errors, f"data[{key}]", data[key] or "")
        elif kind == "kubernetes.io/basic-auth":
            if "username" not in data and "password" not in data:
                errors += [required("data[username]"), required("data[password]")]
        else:
            for key in {"kubernetes.io/ssh-auth": ("ssh-privatekey",), "kubernetes.io/tls": ("tls.crt", "tls.key")}.get(kind or "", ()):
                if key not in data:
                    errors.append(required(f"data[{key}]"))
        return errors

    def check_change(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        errors: Errors = []
        immutable(errors, "type", obj.get("type"), old.get("type"))
        _check_immutable(errors, obj, old, "data")
        return errors

    def fields(self, obj: Obj) -> dict[str, str]:
        return {"type": obj.get("type") or ""}


def _check_json(errors: Errors, path: str, encoded: str) -> None:
    try:
        json.loads(base64.b64decode(encoded))
    except ValueError as problem:
        errors.append(invalid_value(path, "<secret contents redacted>", str(problem)))


class EndpointsStrategy(KindStrategy):
    create_on_update = True

    def default(self, obj: Obj) -> None:
        for subset in obj.get("subsets") or ():
            for port in subset.get("ports") or ():
                if not port.get("protocol"):
                    port["protocol"] = "TCP"

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        for i, subset in enumerate(obj.get("subsets") or ()):
            here = f"subsets[{i}]"
            ready, not_ready, ports = subset.get("addresses") or (), subset.get("notReadyAddresses") or (), subset.get("ports") or ()
            if not ready and not not_ready:
                errors.append(required(here, "must specify `addresses` or `notReadyAddresses`"))
            for field, addresses in (("addresses", ready), ("notReadyAddresses", not_ready)):
                for j, address in enumerate(addresses):
                    ip_address(errors, f"{here}.{field}[{j}].ip", address.get("ip") or "")
            for j, port in enumerate(ports):
                if len(ports) > 1 and not port.get("name"):
                    errors.append(required(f"{here}.ports[{j}].name"))
                elif port.get("name"):
                    invalid_each(errors, f"{here}.ports[{j}].name", port["name"], names.dns1123_label(port["name"]))
                port_or_name(errors, f"{here}.ports[{j}].port", port.get("port"))
                one_of(errors, f"{here}.ports[{j}].protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))
        return errors


class LimitRangeStrategy(KindStrategy):
    create_on_update = True

    def default(self, obj: Obj) -> None:
        for item in (obj.get("spec") or {}).get("limits") or ():
            if item.get("type") != "Container":
                continue
            for target, sources in (("default", ("max",)), ("defaultRequest", ("default", "min"))):
                filled = dict(item.get(target) or {})
                for source in sources:
                    for name, amount in (item.get(source) or {}).items():
                        filled.setdefault(name, amount)
                if filled:
                    item[target] = filled

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        for i, item in enumerate((obj.get("spec") or {}).get("limits") or ()):
            here, kind = f"spec.limits[{i}]", item.get("type") or ""
            if not kind:
                errors.append(required(f"{here}.type"))
            if kind == "Pod":
                for field in ("default", "defaultRequest"):
                    if item.get(field):
                        errors.append(forbidden_field(f"{here}.{field}", "may not be specified when `type` is 'Pod'"))
            for field in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio"):
                for name in item.get(field) or ():
                    resource_name(errors, f"{here}.{field}[{name}]", name)
            _limit_order(errors, here, item)
        return errors


def _limit_order(errors: Errors, path: str, item: Obj) -> None:
    for low, high in (("min", "max"), ("min", "defaultRequest"), ("defaultRequest", "max"), ("defaultRequest", "default"), ("default", "max")):
        for name, text in (item.get(low) or {}).items():
            other = (item.get(high) or {}).get(name)
            if other is None:
                continue
            try:
                wrong = parse(other) < parse(text)
            except QuantityError:
                continue
            if wrong:
                first = {"min": "min", "default": "default", "defaultRequest": "default request"}[low]
                second = {"max": "max", "default": "default limit", "defaultRequest": "default request"}[high]
                errors.append(invalid_value(f"{path}.{low}[{name}]", text, f"{first} value {text} is greater than {second} value {other}"))


class ResourceQuotaStrategy(KindStrategy):
    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        spec = obj.get("spec") or {}
        for name, amount in (spec.get("hard") or {}).items():
            here = f"spec.hard[{name}]"
            if not name.startswith(("count/", "requests.", "limits.")) and ".storageclass.storage.k8s.io/" not in name:
                resource_name(errors, here, name)
            resource_amount(errors, here, name, amount)
        scopes = ("BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating", "VolumeAttributesClass")
        for scope in spec.get("scopes") or ():
            if scope not in scopes:
                errors.append(invalid_value("spec.scopes", spec["scopes"], "unsupported scope"))
        chosen = set(spec.get("scopes") or ())
        if {"BestEffort", "NotBestEffort"} <= chosen or {"Terminating", "NotTerminating"} <= chosen:
            errors.append(invalid_value("spec.scopes", spec["scopes"], "conflicting scopes"))
        return errors

    def check_change(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        new, before = (obj.get("spec") or {}).get("scopes") or [], (old.get("spec") or {}).get("scopes") or []
        return [] if sorted(new) == sorted(before) else [invalid_value("spec.scopes", new, IMMUTABLE)]


class BindingStrategy(KindStrategy):
    """What the scheduler posts: the Pod's name, and the node as target."""

    def check(self, obj: Obj) -> list[FieldError]:
        target = obj.get("target") or {}
        errors: Errors = []
        if target.get("kind") not in (None, "", "Node"):
            errors.append(not_supported("target.kind", target["kind"], ("Node", "<empty>")))
        if not target.get("name"):
            errors.append(required("target.name"))
        return errors
