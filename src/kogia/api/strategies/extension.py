"""Strategies of what extends and guards the API: CSRs, webhooks, admission policies, CRDs, APIServices, flow control.

Source: kubernetes pkg/apis/{certificates,admissionregistration,flowcontrol}, k8s.io/apiextensions-apiserver, k8s.io/kube-aggregator.
"""

from __future__ import annotations

from typing import Any

from kogia.api import names
from kogia.api.status import FieldError, duplicate, invalid_value, not_supported, required
from kogia.api.strategies.base import KindStrategy, keep
from kogia.api.strategies.rules import Errors, invalid_each, label_selector
from kogia.api.strategies.workloads import fill

Obj = dict[str, Any]

_USAGES = frozenset((
    "signing", "digital signature", "content commitment", "key encipherment", "key agreement", "data encipherment", "cert sign", "crl sign",
    "encipher only", "decipher only", "any", "server auth", "client auth", "code signing", "email protection", "s/mime", "ipsec end system",
    "ipsec tunnel", "ipsec user", "timestamping", "ocsp signing", "microsoft sgc", "netscape sgc",
))


class CertificateSigningRequestStrategy(KindStrategy):
    """The specification never changes; `approval` writes conditions, `status` writes the certificate."""

    field_labels = frozenset(("spec.signerName",))
    status_subresources = frozenset(("approval",))

    def on_update(self, obj: Obj, old: Obj, subresource: str) -> None:
        if subresource == "approval":
            status = dict(old.get("status") or {})
            wanted = (obj.get("status") or {}).get("conditions")
            if wanted is not None:
                status["conditions"] = wanted
            obj["status"] = status
        elif subresource == "status":
            kept = [c for c in (old.get("status") or {}).get("conditions") or () if c.get("type") in ("Approved", "Denied")]
            status = obj.setdefault("status", {})
            other = [c for c in status.get("conditions") or () if c.get("type") not in ("Approved", "Denied")]
            if kept or other:
                status["conditions"] = [*kept, *other]
        keep(obj, old, "spec")

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        spec = obj.get("spec") or {}
        if not spec.get("request"):
            errors.append(invalid_value("spec.request", spec.get("request") or "", "PEM block type must be CERTIFICATE REQUEST"))
        if not spec.get("usages"):
            errors.append(required("spec.usages", "usages is required"))
        for i, usage in enumerate(spec.get("usages") or ()):
            if usage not in _USAGES:
                errors.append(not_supported(f"spec.usages[{i}]", usage, sorted(_USAGES)))
            elif usage in spec["usages"][:i]:
                errors.append(duplicate(f"spec.usages[{i}]", usage))
        signer = spec.get("signerName") or ""
        if not signer:
            errors.append(required("spec.signerName"))
        elif "/" not in signer:
            errors.append(invalid_value("spec.signerName", signer, "must be a fully qualified domain and path of the form 'example.com/signer-name'"))
        seconds = spec.get("expirationSeconds")
        if seconds is not None and seconds < 600:
            errors.append(invalid_value("spec.expirationSeconds", seconds, "may not specify a duration less than 600 seconds (10 minutes)"))
        return errors + self._check_conditions((obj.get("status") or {}).get("conditions") or ())

    @staticmethod
    def _check_conditions(conditions: Any) -> list[FieldError]:
        """Known conditions are only ever true; a request is not both approved and denied. Source: validateConditions."""
        errors: Errors = []
        types = [condition.get("type") or "" for condition in conditions]
        for i, (kind, condition) in enumerate(zip(types, conditions, strict=True)):
            where = f"status.conditions[{i}]"
            if not kind:
                errors.append(required(f"{where}.type"))
            elif kind in types[:i]:
                errors.append(duplicate(f"{where}.type", kind))
            if kind in ("Approved", "Denied", "Failed") and condition.get("status") != "True":
                errors.append(not_supported(f"{where}.status", condition.get("status") or "", ["True"]))
        if "Approved" in types and "Denied" in types:
            errors.append(invalid_value("status.conditions", "Approved,Denied", "Approved and Denied conditions are mutually exclusive"))
        return errors

    def fields(self, obj: Obj) -> dict[str, str]:
        return {"spec.signerName": (obj.get("spec") or {}).get("signerName") or ""}


class WebhookConfigurationStrategy(KindStrategy):
    has_generation = True
    unconditional_update = False

    def default(self, obj: Obj) -> None:
        for hook in obj.get("webhooks") or ():
            fill(hook, failurePolicy="Fail", matchPolicy="Equivalent", namespaceSelector={}, objectSelector={}, timeoutSeconds=10)
            if self.resource.kind == "MutatingWebhookConfiguration":
                fill(hook, reinvocationPolicy="Never")
            for rule in hook.get("rules") or ():
                fill(rule, scope="*")
            service = (hook.get("clientConfig") or {}).get("service")
            if service is not None:
                fill(service, port=443)

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        seen: set[str] = set()
        for i, hook in enumerate(obj.get("webhooks") or ()):
            here, name = f"webhooks[{i}]", hook.get("name") or ""
            if name.count(".") < 2:
                errors.append(invalid_value(f"{here}.name", name, "should be a domain with at least three segments separated by dots"))
            invalid_each(errors, f"{here}.name", name, names.dns1123_subdomain(name))
            if name in seen:
                errors.append(duplicate(f"{here}.name", name))
            seen.add(name)
            if not hook.get("admissionReviewVersions"):
                errors.append(required(f"{here}.admissionReviewVersions", "must specify one of v1, v1beta1"))
            if hook.get("sideEffects") not in ("None", "NoneOnDryRun"):
                errors.append(not_supported(f"{here}.sideEffects", hook.get("sideEffects") or "", ("None", "NoneOnDryRun"))
                              if hook.get("sideEffects") else required(f"{here}.sideEffects", "must specify one of None, NoneOnDryRun"))
            seconds = hook.get("timeoutSeconds")
            if seconds is not None and not 1 <= seconds <= 30:
                errors.append(invalid_value(f"{here}.timeoutSeconds", seconds, "the timeout value must be between 1 and 30 seconds"))
            for field in ("namespaceSelector", "objectSelector"):
                label_selector(errors, f"{here}.{field}", hook.get(field))
            client = hook.get("clientConfig") or {}
            if (client.get("url") is None) == (client.get("service") is None):
                errors.append(required(f"{here}.clientConfig", "exactly one of url or service is required"))
        return errors


class AdmissionPolicyStrategy(KindStrategy):
    """ValidatingAdmissionPolicy and MutatingAdmissionPolicy."""

    has_generation = True
    unconditional_update = False

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        fill(spec, failurePolicy="Fail")
        constraints = spec.get("matchConstraints")
        if constraints is not None:
            _default_match(constraints)


class AdmissionPolicyBindingStrategy(KindStrategy):
    has_generation = True
    unconditional_update = False

    def default(self, obj: Obj) -> None:
        matches = (obj.get("spec") or {}).get("matchResources")
        if matches is not None:
            _default_match(matches)


def _default_match(match: Obj) -> None:
    fill(match, matchPolicy="Equivalent", namespaceSelector={}, objectSelector={})
    for field in ("resourceRules", "excludeResourceRules"):
        for rule in match.get(field) or ():
            fill(rule, scope="*")


class CustomResourceDefinitionStrategy(KindStrategy):
    has_generation = True
    unconditional_update = False

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        kinds = spec.get("names") or {}
        if kinds.get("kind"):
            if not kinds.get("singular"):
                kinds["singular"] = kinds["kind"].lower()
            if not kinds.get("listKind"):
                kinds["listKind"] = kinds["kind"] + "List"
        fill(spec, conversion={"strategy": "None"})
        service = (((spec["conversion"].get("webhook") or {}).get("clientConfig")) or {}).get("service")
        if service is not None:
            fill(service, port=443)

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        spec = obj.get("spec") or {}
        group, kinds = spec.get("group") or "", spec.get("names") or {}
        wanted = f"{kinds.get('plural') or ''}.{group}"
        if (obj.get("metadata") or {}).get("name") != wanted:
            errors.append(invalid_value("metadata.name", obj["metadata"].get("name") or "", 'must be spec.names.plural+"."+spec.group'))
        if not group:
            errors.append(required("spec.group"))
        elif "." not in group:
            errors.append(invalid_value("spec.group", group, "should be a domain with at least one dot"))
        else:
            invalid_each(errors, "spec.group", group, names.dns1123_subdomain(group))
        if spec.get("scope") not in ("Cluster", "Namespaced"):
            errors.append(not_supported("spec.scope", spec.get("scope") or "", ("Cluster", "Namespaced")) if spec.get("scope") else required("spec.scope"))
        for field in ("plural", "kind"):
            if not kinds.get(field):
                errors.append(required(f"spec.names.{field}"))
        versions = spec.get("versions") or []
        if sum(1 for version in versions if version.get("storage")) != 1:
            errors.append(invalid_value("spec.versions", versions, "must have exactly one version marked as storage version"))
        for i, version in enumerate(versions):
            if not (version.get("schema") or {}).get("openAPIV3Schema"):
                errors.append(required(f"spec.versions[{i}].schema.openAPIV3Schema", "schemas are required"))
        return errors


class APIServiceStrategy(KindStrategy):
    unconditional_update = False
    name_check = staticmethod(names.path_segment_name)

    def default(self, obj: Obj) -> None:
        service = (obj.get("spec") or {}).get("service")
        if service is not None:
            fill(service, port=443)

    def check(self, obj: Obj) -> list[FieldError]:
        spec = obj.get("spec") or {}
        wanted = f"{spec.get('version') or ''}.{spec.get('group') or ''}"
        name = (obj.get("metadata") or {}).get("name")
        return [] if name == wanted else [invalid_value("metadata.name", name or "", f"must be `spec.version+\".\"+spec.group`: \"{wanted}\"")]


class FlowStrategy(KindStrategy):
    """FlowSchema and PriorityLevelConfiguration."""

    has_generation = True
    unconditional_update = False

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        if self.resource.kind == "FlowSchema":
            if not spec.get("matchingPrecedence"):
                spec["matchingPrecedence"] = 1000
            return
        if spec.get("exempt") is not None:
            fill(spec["exempt"], nominalConcurrencyShares=0, lendablePercent=0)
        limited = spec.get("limited")
        if limited is not None:
            fill(limited, nominalConcurrencyShares=30, lendablePercent=0)
            queuing = (limited.get("limitResponse") or {}).get("queuing")
            if queuing is not None:
                for field, value in (("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)):
                    if not queuing.get(field):
                        queuing[field] = value


class GenerationStrategy(KindStrategy):
    """Kinds without rules of their own whose changes are counted."""

    has_generation = True


class ConditionalStrategy(KindStrategy):
    """Kinds without rules of their own whose updates must say which version they change."""

    unconditional_update = False


class ClusterTrustBundleStrategy(ConditionalStrategy):
    name_check = staticmethod(names.path_segment_name)
    field_labels = frozenset(("spec.signerName",))

    def check(self, obj: Obj) -> list[FieldError]:
        spec, name = obj.get("spec") or {}, (obj.get("metadata") or {}).get("name") or ""
        signer = spec.get("signerName") or ""
        wanted = signer.replace("/", ":") + ":" if signer else ""
        if wanted and not name.startswith(wanted):
            return [invalid_value("metadata.name", name, f"ClusterTrustBundle for signerName {signer} must be named with prefix {wanted}")]
        if not wanted and ":" in name:
            return [invalid_value("metadata.name", name, "ClusterTrustBundle without signer name must not have \":\" in its name")]
        return []

    def fields(self, obj: Obj) -> dict[str, str]:
        return {"spec.signerName": (obj.get("spec") or {}).get("signerName") or ""}


class ResourceSliceStrategy(KindStrategy):
    has_generation = True
    field_labels = frozenset(("spec.nodeName", "spec.driver"))

    def fields(self, obj: Obj) -> dict[str, str]:
        spec = obj.get("spec") or {}
        return {"spec.nodeName": spec.get("nodeName") or "", "spec.driver": spec.get("driver") or ""}


class PodCertificateRequestStrategy(KindStrategy):
    field_labels = frozenset(("spec.signerName", "spec.podName", "spec.nodeName"))

    def fields(self, obj: Obj) -> dict[str, str]:
        spec = obj.get("spec") or {}
        return {label: spec.get(label.partition(".")[2]) or "" for label in self.field_labels}
