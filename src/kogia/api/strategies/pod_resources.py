"""Validation of `resources`: of containers, of Pods as a whole, and of a Pod's overhead.

Source: kubernetes pkg/apis/core/validation/validation.go (ValidateContainerResourceRequirements) and pkg/apis/core/helper.
"""

from __future__ import annotations

from typing import Any

from kogia.api import names
from kogia.api.quantity import Quantity, parse
from kogia.api.status import duplicate, forbidden_field, invalid_value, not_found_value, not_supported, required
from kogia.api.strategies.rules import Errors, invalid_each, quantity

Obj = dict[str, Any]

_CONTAINER_NAMES = frozenset(("cpu", "memory", "ephemeral-storage"))
_STANDARD_NAMES = frozenset((
    "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage", "limits.cpu", "limits.memory",
    "limits.ephemeral-storage", "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps",
    "persistentvolumeclaims", "storage", "requests.storage", "services.nodeports", "services.loadbalancers",
))
_MUST_BE_INTEGER = "must be an integer"


def is_native(name: str) -> bool:
    """Whether the resource is Kubernetes' own: no domain, or one of kubernetes.io."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """Whether the resource is a device or the like, counted in whole numbers. Source: helper.IsExtendedResourceName."""
    return not is_native(name) and not name.startswith("requests.") and not names.qualified_name("requests." + name)


def is_huge_page(name: str) -> bool:
    return name.startswith("hugepages-")


def overcommit_allowed(name: str) -> bool:
    """Whether a limit may exceed its request."""
    return is_native(name) and not is_huge_page(name)


def resource_name(errors: Errors, path: str, name: str) -> None:
    """Any resource's name. Source: validateResourceName."""
    messages = names.qualified_name(name)
    invalid_each(errors, path, name, messages)
    if not messages and "/" not in name and name not in _STANDARD_NAMES and not is_huge_page(name):
        errors.append(invalid_value(path, name, "must be a standard resource type or fully qualified"))


def _container_resource_name(errors: Errors, path: str, name: str) -> None:
    if name in _CONTAINER_NAMES:
        return
    resource_name(errors, path, name)
    if "/" not in name:
        if not is_huge_page(name):
            errors.append(invalid_value(path, name, "must be a standard resource for containers"))
    elif not is_native(name) and not is_extended(name):
        errors.append(invalid_value(path, name, "doesn't follow extended resource name standard"))


def resource_amount(errors: Errors, path: str, name: str, text: Any) -> Quantity | None:
    """An amount of a resource: not negative, whole where the resource is counted."""
    amount = quantity(errors, path, text)
    if amount is not None and (name == "pods" or is_extended(name)) and amount.milli() % 1000:
        errors.append(invalid_value(path, str(amount), _MUST_BE_INTEGER))
    return amount


def validate_container_resources(errors: Errors, path: str, resources: Obj, claims: set[Any]) -> None:
    """A container's requests, limits and claims."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    if limits or requests:
        _amounts(errors, path, limits, requests, _container_resource_name)
    seen: set[tuple[str, str]] = set()
    for i, claim in enumerate(resources.get("claims") or ()):
        here = f"{path}.claims[{i}]"
        name = claim.get("name") or ""
        if not name:
            errors.append(required(f"{here}.name"))
        elif (name, claim.get("request") or "") in seen:
            errors.append(duplicate(here, claim))
        elif name not in claims:
            errors.append(not_found_value(f"{here}.name", name))
        seen.add((name, claim.get("request") or ""))


def _amounts(errors: Errors, path: str, limits: Obj, requests: Obj, check_name: Any) -> None:
    huge = needed = False
    for name, text in limits.items():
        here = f"{path}.limits[{name}]"
        check_name(errors, here, name)
        resource_amount(errors, here, name, text)
        huge = huge or is_huge_page(name)
        needed = needed or name in ("cpu", "memory")
    for name, text in requests.items():
        here = f"{path}.requests[{name}]"
        check_name(errors, here, name)
        amount = resource_amount(errors, here, name, text)
        if amount is not None:
            _against_limit(errors, path, name, amount, limits)
        huge = huge or is_huge_page(name)
        needed = needed or name in ("cpu", "memory")
    if huge and not needed:
        errors.append(forbidden_field(path, "HugePages require cpu or memory"))


def _against_limit(errors: Errors, path: str, name: str, amount: Quantity, limits: Obj) -> None:
    if name not in limits:
        if not overcommit_allowed(name):
            errors.append(required(f"{path}.limits", "Limit must be set for non overcommitable resources"))
        return
    scratch: Errors = []
    limit = quantity(scratch, path, limits[name])
    if limit is None:
        return
    if not overcommit_allowed(name):
        if amount != limit:
            errors.append(invalid_value(f"{path}.requests", str(amount), f"must be equal to {name} limit of {limit}"))
    elif limit < amount:
        errors.append(invalid_value(f"{path}.requests", str(amount), f"must be less than or equal to {name} limit of {limit}"))


def validate_pod_resources(errors: Errors, path: str, spec: Obj) -> None:
    """Pod-level resources: cpu, memory and huge pages only, and room for what the containers ask for."""
    resources = spec["resources"]
    if resources.get("claims"):
        errors.append(forbidden_field(f"{path}.claims", "claims cannot be set for Resources at pod-level"))
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}

    def check_name(found: Errors, here: str, name: str) -> None:
        if name not in ("cpu", "memory") and not is_huge_page(name):
            found.append(not_supported(here, name, ("cpu", "hugepages-", "memory")))

    _amounts(errors, path, limits, requests, check_name)
    if errors:
        return
    total: dict[str, Quantity] = {}
    for container in spec.get("containers") or ():
        for name, text in ((container.get("resources") or {}).get("requests") or {}).items():
            total[name] = total[name] + parse(text) if name in total else parse(text)
    for name, needed in total.items():
        have = parse(requests.get(name, "0"))
        if name in ("cpu", "memory") and have < needed:
            errors.append(invalid_value(
                f"{path}.requests[{name}]", str(have), f"must be greater than or equal to aggregate container requests of {needed}"))
    for i, container in enumerate(spec.get("containers") or ()):
        for name, text in ((container.get("resources") or {}).get("limits") or {}).items():
            if name in limits and parse(limits[name]) < parse(text):
                errors.append(invalid_value(
                    f"{path}.containers[{i}][{name}].limits", text, f"must be less than or equal to pod limits of {limits[name]}"))


def validate_overhead(errors: Errors, path: str, overhead: Obj) -> None:
    """What a RuntimeClass adds to a Pod."""
    for name, text in overhead.items():
        here = f"{path}[{name}]"
        _container_resource_name(errors, here, name)
        resource_amount(errors, here, name, text)
