"""Strategies of PodDisruptionBudget, HorizontalPodAutoscaler (both versions), PriorityClass and RuntimeClass.

Source: kubernetes pkg/apis/{policy,autoscaling,scheduling,node}/{v1,v2,validation}.
"""

from __future__ import annotations

from typing import Any

from kogia.api import names
from kogia.api.status import FieldError, forbidden_field, invalid_value, not_supported, required
from kogia.api.strategies.base import KindStrategy
from kogia.api.strategies.rules import Errors, immutable, invalid_each, label_selector
from kogia.api.strategies.workloads import fill, share

Obj = dict[str, Any]

USER_PRIORITY_MAX = 1_000_000_000
SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


class DisruptionBudgetStrategy(KindStrategy):
    has_generation = True
    unconditional_update = False

    def on_create(self, obj: Obj) -> None:
        obj["status"] = {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        spec = obj.get("spec") or {}
        if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
            errors.append(invalid_value("spec", spec, "minAvailable and maxUnavailable cannot be both set"))
        for field in ("minAvailable", "maxUnavailable"):
            if spec.get(field) is not None:
                share(errors, f"spec.{field}", spec[field])
        label_selector(errors, "spec.selector", spec.get("selector"))
        policy = spec.get("unhealthyPodEvictionPolicy")
        if policy is not None and policy not in ("AlwaysAllow", "IfHealthyBudget"):
            errors.append(not_supported("spec.unhealthyPodEvictionPolicy", policy, ("AlwaysAllow", "IfHealthyBudget")))
        return errors


class AutoscalerStrategy(KindStrategy):
    """autoscaling/v2, the stored version."""

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        fill(spec, minReplicas=1)
        if not spec.get("metrics"):
            target = {"type": "Utilization", "averageUtilization": 80}
            spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
        behavior = spec.get("behavior")
        if behavior is not None:
            _default_rules(behavior, "scaleUp", [("Pods", 4), ("Percent", 100)], window=0)
            _default_rules(behavior, "scaleDown", [("Percent", 100)], window=None)

    def on_create(self, obj: Obj) -> None:
        obj["status"] = {"desiredReplicas": 0}

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        check_autoscaler(errors, obj.get("spec") or {})
        return errors


class OldAutoscalerStrategy(KindStrategy):
    """autoscaling/v1: the same objects with a cpu target only."""

    def default(self, obj: Obj) -> None:
        fill(obj.setdefault("spec", {}), minReplicas=1)

    def on_create(self, obj: Obj) -> None:
        obj["status"] = {"currentReplicas": 0, "desiredReplicas": 0}

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        check_autoscaler(errors, obj.get("spec") or {})
        return errors


def check_autoscaler(errors: Errors, spec: Obj) -> None:
    """What both versions of an autoscaler must obey."""
    low, high, target = spec.get("minReplicas"), spec.get("maxReplicas") or 0, spec.get("scaleTargetRef") or {}
    if low is not None and low < 1:
        errors.append(invalid_value("spec.minReplicas", low, "must be greater than or equal to 1"))
    if high < 1:
        errors.append(invalid_value("spec.maxReplicas", high, "must be greater than 0"))
    elif low is not None and high < low:
        errors.append(invalid_value("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`"))
    for field in ("kind", "name"):
        if not target.get(field):
            errors.append(required(f"spec.scaleTargetRef.{field}"))
        else:
            invalid_each(errors, f"spec.scaleTargetRef.{field}", target[field], names.path_segment_name(target[field]))
    sources = ("resource", "pods", "object", "external", "containerResource")
    for i, metric in enumerate(spec.get("metrics") or ()):
        kind = metric.get("type") or ""
        if not kind:
            errors.append(required(f"spec.metrics[{i}].type", "must specify a metric source type"))
        elif kind[0].lower() + kind[1:] not in sources:
            errors.append(not_supported(f"spec.metrics[{i}].type", kind, ("ContainerResource", "External", "Object", "Pods", "Resource")))
        elif metric.get(kind[0].lower() + kind[1:]) is None:
            errors.append(required(f"spec.metrics[{i}].{kind[0].lower() + kind[1:]}", "must populate information for the given metric source"))


def _default_rules(behavior: Obj, name: str, policies: list[tuple[str, int]], window: int | None) -> None:
    rules = behavior.get(name)
    if rules is None:
        rules = behavior[name] = {}
    if not rules.get("selectPolicy"):
        rules["selectPolicy"] = "Max"
    if window is not None and rules.get("stabilizationWindowSeconds") is None:
        rules["stabilizationWindowSeconds"] = window
    if not rules.get("policies"):
        rules["policies"] = [{"type": kind, "value": value, "periodSeconds": 15} for kind, value in policies]


class PriorityClassStrategy(KindStrategy):
    has_generation = True

    def default(self, obj: Obj) -> None:
        fill(obj, preemptionPolicy="PreemptLowerPriority")

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        name, value = (obj.get("metadata") or {}).get("name") or "", obj.get("value") or 0
        if name.startswith("system-"):
            if SYSTEM_PRIORITIES.get(name) != value:
                errors.append(forbidden_field(
                    "metadata.name", "priority class names with 'system-' prefix are reserved for system use only. error: "
                    + (f"value of {name} PriorityClass must be {SYSTEM_PRIORITIES[name]}" if name in SYSTEM_PRIORITIES
                       else f"{name} is not a known system priority class")))
        elif value > USER_PRIORITY_MAX:
            errors.append(forbidden_field("value", f"maximum allowed value of a user defined priority is {USER_PRIORITY_MAX}"))
        policy = obj.get("preemptionPolicy")
        if policy is not None and policy not in ("PreemptLowerPriority", "Never"):
            errors.append(not_supported("preemptionPolicy", policy, ("PreemptLowerPriority", "Never")))
        return errors

    def check_change(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        errors: Errors = []
        if (obj.get("value") or 0) != (old.get("value") or 0):
            errors.append(forbidden_field("value", "may not be changed in an update."))
        immutable(errors, "preemptionPolicy", obj.get("preemptionPolicy"), old.get("preemptionPolicy"))
        return errors


class RuntimeClassStrategy(KindStrategy):
    unconditional_update = False

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        handler = obj.get("handler") or ""
        invalid_each(errors, "handler", handler, names.dns1123_label(handler))
        return errors

    def check_change(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        errors: Errors = []
        immutable(errors, "handler", obj.get("handler"), old.get("handler"))
        return errors
