"""Strategies of what makes Pods continuously: Deployment, ReplicaSet, StatefulSet, DaemonSet, ReplicationController, ControllerRevision.

Source: kubernetes pkg/apis/apps/{v1,validation}, pkg/apis/core/v1/defaults.go, pkg/registry/apps/*.
"""

from __future__ import annotations

from typing import Any

from kogia.api import names
from kogia.api.selectors import SelectorError, label_selector_from_object
from kogia.api.status import FieldError, forbidden_field, invalid_value, not_supported, required
from kogia.api.strategies.base import KindStrategy
from kogia.api.strategies.pod_defaults import default_template
from kogia.api.strategies.pod_validation import validate_pod_spec
from kogia.api.strategies.pod_warnings import warn_template
from kogia.api.strategies.rules import Errors, immutable, invalid_each, label_selector, labels, not_negative, one_of

Obj = dict[str, Any]


class TemplateStrategy(KindStrategy):
    """What the kinds with a pod template in `spec.template` share."""

    has_generation = True

    def warnings(self, obj: Obj) -> list[str]:
        return warn_template("spec.template", (obj.get("spec") or {}).get("template"))


def fill(obj: Obj, **values: Any) -> None:
    """Set each field that is absent (or null)."""
    for key, value in values.items():
        if obj.get(key) is None:
            obj[key] = value


def check_template(
    errors: Errors, path: str, template: Obj | None, *, restart_policies: tuple[str, ...] = ("Always",),
) -> None:
    """A PodTemplateSpec: metadata's labels and annotations, the Pod, and which restart policies its owner allows."""
    template = template or {}
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    labels(errors, f"{path}.labels", metadata.get("labels"))
    for key in metadata.get("annotations") or ():
        invalid_each(errors, f"{path}.annotations", key, names.qualified_name(key.lower()))
    validate_pod_spec(errors, f"{path}.spec", spec)
    policy = spec.get("restartPolicy")
    if policy in ("Always", "OnFailure", "Never") and policy not in restart_policies:
        errors.append(not_supported(f"{path}.spec.restartPolicy", policy, restart_policies))
    if restart_policies == ("Always",) and spec.get("activeDeadlineSeconds") is not None:
        errors.append(forbidden_field(f"{path}.spec.activeDeadlineSeconds", "activeDeadlineSeconds in ReplicaSet is not Supported"))
    if spec.get("ephemeralContainers"):
        errors.append(forbidden_field(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template"))


def check_selector(errors: Errors, spec: Obj, kind: str) -> None:
    """`spec.selector` is there, not empty, and matches the template's labels."""
    selector = spec.get("selector")
    if selector is None:
        errors.append(required("spec.selector"))
        return
    label_selector(errors, "spec.selector", selector)
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        errors.append(invalid_value("spec.selector", selector, f"empty selector is invalid for {kind}"))
        return
    have = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    try:
        matches = label_selector_from_object(selector).matches(have)
    except SelectorError:
        errors.append(invalid_value("spec.selector", selector, "invalid label selector"))
        return
    if not matches:
        errors.append(invalid_value("spec.template.metadata.labels", have, "`selector` does not match template `labels`"))


def share(errors: Errors, path: str, value: Any, *, limit_percent: bool = True) -> None:
    """A number or percentage that is not negative (and at most 100 %)."""
    if isinstance(value, str):
        messages = names.percent(value)
        invalid_each(errors, path, value, messages)
        if not messages and limit_percent and int(value[:-1]) > 100:
            errors.append(invalid_value(path, value, "must not be greater than 100%"))
    else:
        not_negative(errors, path, value)


def _is_zero(value: Any) -> bool:
    return value in (0, None) or (isinstance(value, str) and value.rstrip("%").strip("0") == "" and value != "")


class DeploymentStrategy(TemplateStrategy):
    status_keeps_labels = True

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        default_template(spec.get("template"))
        fill(spec, replicas=1, strategy={}, revisionHistoryLimit=10, progressDeadlineSeconds=600)
        strategy = spec["strategy"]
        if not strategy.get("type"):
            strategy["type"] = "RollingUpdate"
        if strategy["type"] == "RollingUpdate":
            fill(strategy, rollingUpdate={})
            fill(strategy["rollingUpdate"], maxUnavailable="25%", maxSurge="25%")

    def counts_as_change(self, obj: Obj, old: Obj) -> bool:
        annotations = obj["metadata"].get("annotations") or {}
        return annotations != (old["metadata"].get("annotations") or {}) or super().counts_as_change(obj, old)

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        spec = obj.get("spec") or {}
        not_negative(errors, "spec.replicas", spec.get("replicas"))
        check_selector(errors, spec, "deployment")
        check_template(errors, "spec.template", spec.get("template"))
        strategy = spec.get("strategy") or {}
        kind = strategy.get("type")
        if kind == "Recreate":
            if strategy.get("rollingUpdate") is not None:
                errors.append(forbidden_field("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'"))
        elif kind == "RollingUpdate":
            rolling = strategy.get("rollingUpdate") or {}
            share(errors, "spec.strategy.rollingUpdate.maxUnavailable", rolling.get("maxUnavailable"))
            share(errors, "spec.strategy.rollingUpdate.maxSurge", rolling.get("maxSurge"), limit_percent=False)
            if _is_zero(rolling.get("maxUnavailable")) and _is_zero(rolling.get("maxSurge")):
                errors.append(invalid_value(
                    "spec.strategy.rollingUpdate.maxUnavailable", rolling.get("maxUnavailable"), "may not be 0 when `maxSurge` is 0"))
        else:
            errors.append(not_supported("spec.strategy.type", kind, ("Recreate", "RollingUpdate")))
        for field in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
            not_negative(errors, f"spec.{field}", spec.get(field))
        deadline = spec.get("progressDeadlineSeconds")
        if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
            errors.append(invalid_value("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
        return errors

    def check_change(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        errors: Errors = []
        immutable(errors, "spec.selector", (obj.get("spec") or {}).get("selector"), (old.get("spec") or {}).get("selector"))
        return errors


class ReplicaSetStrategy(TemplateStrategy):
    field_labels = frozenset(("status.replicas",))

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        default_template(spec.get("template"))
        fill(spec, replicas=1)

    def on_create(self, obj: Obj) -> None:
        obj["status"] = {"replicas": 0}

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        spec = obj.get("spec") or {}
        for field in ("replicas", "minReadySeconds"):
            not_negative(errors, f"spec.{field}", spec.get(field))
        check_selector(errors, spec, "deployment")
        if spec.get("template") is None:
            errors.append(required("spec.template"))
        else:
            check_template(errors, "spec.template", spec["template"])
        return errors

    def check_change(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        errors: Errors = []
        immutable(errors, "spec.selector", (obj.get("spec") or {}).get("selector"), (old.get("spec") or {}).get("selector"))
        return errors

    def fields(self, obj: Obj) -> dict[str, str]:
        return {"status.replicas": str((obj.get("status") or {}).get("replicas") or 0)}


class ReplicationControllerStrategy(TemplateStrategy):
    field_labels = frozenset(("status.replicas",))

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        default_template(spec.get("template"))
        template_labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
        if template_labels:
            if not spec.get("selector"):
                spec["selector"] = dict(template_labels)
            if not obj["metadata"].get("labels"):
                obj["metadata"]["labels"] = dict(template_labels)
        fill(spec, replicas=1)

    def on_create(self, obj: Obj) -> None:
        obj["status"] = {"replicas": 0}

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        spec = obj.get("spec") or {}
        for field in ("replicas", "minReadySeconds"):
            not_negative(errors, f"spec.{field}", spec.get(field))
        selector = spec.get("selector") or {}
        if not selector:
            errors.append(required("spec.selector"))
        if spec.get("template") is None:
            errors.append(required("spec.template"))
            return errors
        have = (spec["template"].get("metadata") or {}).get("labels") or {}
        if selector and any(have.get(key) != value for key, value in selector.items()):
            errors.append(invalid_value("spec.template.metadata.labels", have, "`selector` does not match template `labels`"))
        check_template(errors, "spec.template", spec["template"])
        return errors

    def fields(self, obj: Obj) -> dict[str, str]:
        return {"status.replicas": str((obj.get("status") or {}).get("replicas") or 0)}


TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


class DaemonSetStrategy(TemplateStrategy):
    """Counts changes of its template in an annotation, as the API once did in a field."""

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        default_template(spec.get("template"))
        fill(spec, updateStrategy={}, revisionHistoryLimit=10)
        update = spec["updateStrategy"]
        if not update.get("type"):
            update["type"] = "RollingUpdate"
        if update["type"] == "RollingUpdate":
            fill(update, rollingUpdate={})
            fill(update["rollingUpdate"], maxUnavailable=1, maxSurge=0)

    def on_create(self, obj: Obj) -> None:
        obj["status"] = {"currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0}
        annotations = obj["metadata"].setdefault("annotations", {})
        annotations.setdefault(TEMPLATE_GENERATION, "1")

    def on_update(self, obj: Obj, old: Obj, subresource: str) -> None:
        if subresource == "status":
            return
        counted = (old["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION) or "1"
        if (obj.get("spec") or {}).get("template") != (old.get("spec") or {}).get("template") and counted.isdecimal():
            counted = str(int(counted) + 1)
        obj["metadata"]["annotations"] = {**(obj["metadata"].get("annotations") or {}), TEMPLATE_GENERATION: counted}

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        spec = obj.get("spec") or {}
        check_selector(errors, spec, "daemonset")
        check_template(errors, "spec.template", spec.get("template"))
        for field in ("minReadySeconds", "revisionHistoryLimit"):
            not_negative(errors, f"spec.{field}", spec.get(field))
        update = spec.get("updateStrategy") or {}
        if update.get("type") == "RollingUpdate":
            rolling = update.get("rollingUpdate") or {}
            here = "spec.updateStrategy.rollingUpdate"
            share(errors, f"{here}.maxUnavailable", rolling.get("maxUnavailable"))
            share(errors, f"{here}.maxSurge", rolling.get("maxSurge"))
            if _is_zero(rolling.get("maxUnavailable")) and _is_zero(rolling.get("maxSurge")):
                errors.append(required(f"{here}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
            elif not _is_zero(rolling.get("maxUnavailable")) and not _is_zero(rolling.get("maxSurge")):
                errors.append(invalid_value(f"{here}.maxSurge", rolling.get("maxSurge"), "may not be set when maxUnavailable is non-zero"))
        else:
            one_of(errors, "spec.updateStrategy.type", update.get("type"), ("OnDelete", "RollingUpdate"))
        return errors

    def check_change(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        errors: Errors = []
        immutable(errors, "spec.selector", (obj.get("spec") or {}).get("selector"), (old.get("spec") or {}).get("selector"))
        return errors


_STATEFUL_MUTABLE = ("replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy", "minReadySeconds")


class StatefulSetStrategy(TemplateStrategy):

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        default_template(spec.get("template"))
        if not spec.get("podManagementPolicy"):
            spec["podManagementPolicy"] = "OrderedReady"
        fill(spec, updateStrategy={}, replicas=1, revisionHistoryLimit=10, persistentVolumeClaimRetentionPolicy={})
        update = spec["updateStrategy"]
        if not update.get("type"):
            update["type"] = "RollingUpdate"
        if update["type"] == "RollingUpdate":
            fill(update, rollingUpdate={})
            fill(update["rollingUpdate"], partition=0)
        fill(spec["persistentVolumeClaimRetentionPolicy"], whenDeleted="Retain", whenScaled="Retain")
        for claim in spec.get("volumeClaimTemplates") or ():
            fill(claim, apiVersion="v1", kind="PersistentVolumeClaim", status={}, spec={})
            fill(claim["spec"], volumeMode="Filesystem")
            if not claim["status"].get("phase"):
                claim["status"]["phase"] = "Pending"

    def on_create(self, obj: Obj) -> None:
        obj["status"] = {"replicas": 0, "availableReplicas": 0}

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        spec = obj.get("spec") or {}
        one_of(errors, "spec.podManagementPolicy", spec.get("podManagementPolicy"), ("OrderedReady", "Parallel"))
        update = spec.get("updateStrategy") or {}
        one_of(errors, "spec.updateStrategy", update.get("type"), ("RollingUpdate", "OnDelete"))
        rolling = update.get("rollingUpdate") or {}
        not_negative(errors, "spec.updateStrategy.rollingUpdate.partition", rolling.get("partition"))
        if rolling.get("maxUnavailable") is not None:
            share(errors, "spec.updateStrategy.rollingUpdate.maxUnavailable", rolling["maxUnavailable"])
        policy = spec.get("persistentVolumeClaimRetentionPolicy") or {}
        for field in ("whenDeleted", "whenScaled"):
            one_of(errors, f"spec.persistentVolumeClaimRetentionPolicy.{field}", policy.get(field), ("Retain", "Delete"))
        for field in ("replicas", "minReadySeconds"):
            not_negative(errors, f"spec.{field}", spec.get(field))
        not_negative(errors, "spec.ordinals.start", (spec.get("ordinals") or {}).get("start"))
        if spec.get("serviceName"):
            invalid_each(errors, "spec.serviceName", spec["serviceName"], names.dns1123_subdomain(spec["serviceName"]))
        check_selector(errors, spec, "statefulset")
        if spec.get("template") is not None:
            # Volumes that claims will fill are mounted by name: let the template see them.
            check_template(errors, "spec.template", with_claim_volumes(spec))
        return errors

    def check_change(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        new, before = obj.get("spec") or {}, old.get("spec") or {}
        if any(new.get(key) != before.get(key) for key in set(new) | set(before) if key not in _STATEFUL_MUTABLE):
            listed = ", ".join(f"'{name}'" for name in _STATEFUL_MUTABLE[:-1]) + f" and '{_STATEFUL_MUTABLE[-1]}'"
            return [forbidden_field("spec", f"updates to statefulset spec for fields other than {listed} are forbidden")]
        return []


def with_claim_volumes(spec: Obj) -> Obj:
    """The template with a volume for every claim template that has none, as the controller will add them."""
    template = spec.get("template") or {}
    inner = template.get("spec") or {}
    have = {volume.get("name") for volume in inner.get("volumes") or ()}
    added = []
    for claim in spec.get("volumeClaimTemplates") or ():
        name = (claim.get("metadata") or {}).get("name")
        if name and name not in have:
            added.append({"name": name, "persistentVolumeClaim": {"claimName": name}})
    return {**template, "spec": {**inner, "volumes": [*(inner.get("volumes") or ()), *added]}} if added else template


class ControllerRevisionStrategy(KindStrategy):
    unconditional_update = False

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        if obj.get("data") is None:
            errors.append(required("data", "data is mandatory"))
        not_negative(errors, "revision", obj.get("revision"))
        return errors

    def check_change(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        errors: Errors = []
        immutable(errors, "data", obj.get("data"), old.get("data"))
        return errors
