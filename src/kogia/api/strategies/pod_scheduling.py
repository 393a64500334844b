"""Validation of what steers a Pod to a node: tolerations, affinity, topology spread, scheduling gates.

Source: kubernetes pkg/apis/core/validation/validation.go (ValidateTolerations, validateAffinity, validateTopologySpreadConstraints).
"""

from __future__ import annotations

from typing import Any

from kogia.api import names
from kogia.api.status import duplicate, forbidden_field, invalid_value, not_supported, required
from kogia.api.strategies.rules import Errors, invalid_each, label_key, label_selector

Obj = dict[str, Any]

TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_REQUIRED, _PREFERRED = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"
_NOT_POSITIVE = "must be greater than zero"
_NOT_SELECTOR = "not a valid selector operator"


def validate_tolerations(errors: Errors, path: str, tolerations: list[Obj]) -> None:
    for i, toleration in enumerate(tolerations):
        here = f"{path}[{i}]"
        key, operator, value = toleration.get("key"), toleration.get("operator") or "", toleration.get("value") or ""
        effect = toleration.get("effect") or ""
        if key:
            label_key(errors, f"{here}.key", key)
        elif operator != "Exists":
            errors.append(invalid_value(
                f"{here}.operator", operator, 'operator must be Exists when `key` is empty, which means "match all values and all keys"'))
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            errors.append(invalid_value(f"{here}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"))
        if operator in ("Equal", ""):
            messages = names.label_value(value)
            if messages:
                errors.append(invalid_value(f"{here}.operator", value, ";".join(messages)))
        elif operator == "Exists":
            if value:
                errors.append(invalid_value(f"{here}.operator", value, "value must be empty when `operator` is 'Exists'"))
        elif operator not in ("Lt", "Gt"):
            errors.append(not_supported(f"{here}.operator", operator, ("Equal", "Exists")))
        if effect and effect not in TAINT_EFFECTS:
            errors.append(not_supported(f"{here}.effect", effect, TAINT_EFFECTS))


def validate_affinity(errors: Errors, path: str, affinity: Obj) -> None:
    node = affinity.get("nodeAffinity")
    if node:
        if node.get(_REQUIRED) is not None:
            validate_node_selector(errors, f"{path}.nodeAffinity.{_REQUIRED}", node[_REQUIRED])
        for i, term in enumerate(node.get(_PREFERRED) or ()):
            here = f"{path}.nodeAffinity.{_PREFERRED}[{i}]"
            _weight(errors, here, term)
            _node_term(errors, f"{here}.preference", term.get("preference") or {}, check_values=False)
    for kind in ("podAffinity", "podAntiAffinity"):
        pods = affinity.get(kind)
        if pods:
            for i, term in enumerate(pods.get(_REQUIRED) or ()):
                _pod_term(errors, f"{path}.{kind}.{_REQUIRED}[{i}]", term)
            for i, weighted in enumerate(pods.get(_PREFERRED) or ()):
                here = f"{path}.{kind}.{_PREFERRED}[{i}]"
                _weight(errors, here, weighted)
                _pod_term(errors, f"{here}.podAffinityTerm", weighted.get("podAffinityTerm") or {})


def _weight(errors: Errors, path: str, term: Obj) -> None:
    weight = term.get("weight") or 0
    if not 0 < weight <= 100:
        errors.append(invalid_value(f"{path}.weight", weight, "must be in the range 1-100"))


def validate_node_selector(errors: Errors, path: str, selector: Obj) -> None:
    """A NodeSelector: at least one term, each of valid requirements."""
    terms = selector.get("nodeSelectorTerms") or ()
    if not terms:
        errors.append(required(f"{path}.nodeSelectorTerms", "must have at least one node selector term"))
    for i, term in enumerate(terms):
        _node_term(errors, f"{path}.nodeSelectorTerms[{i}]", term, check_values=True)


def _node_term(errors: Errors, path: str, term: Obj, *, check_values: bool) -> None:
    for i, requirement in enumerate(term.get("matchExpressions") or ()):
        _node_requirement(errors, f"{path}.matchExpressions[{i}]", requirement, check_values=check_values)
    for i, requirement in enumerate(term.get("matchFields") or ()):
        here, values = f"{path}.matchFields[{i}]", requirement.get("values") or ()
        if requirement.get("operator") not in ("In", "NotIn"):
            errors.append(invalid_value(f"{here}.operator", requirement.get("operator") or "", _NOT_SELECTOR))
        elif len(values) != 1:
            errors.append(required(f"{here}.values", "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"))
        if requirement.get("key") != "metadata.name":
            errors.append(invalid_value(f"{here}.key", requirement.get("key") or "", "not a valid field selector key"))
        else:
            for j, value in enumerate(values):
                invalid_each(errors, f"{here}.values[{j}]", value, names.dns1123_subdomain(value))


def _node_requirement(errors: Errors, path: str, requirement: Obj, *, check_values: bool) -> None:
    operator, values = requirement.get("operator"), requirement.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            errors.append(required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            errors.append(forbidden_field(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            errors.append(required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'"))
    else:
        errors.append(invalid_value(f"{path}.operator", operator or "", _NOT_SELECTOR))
    label_key(errors, f"{path}.key", requirement.get("key") or "")
    if check_values:
        for i, value in enumerate(values):
            invalid_each(errors, f"{path}.values[{i}]", value, names.label_value(value))


def _pod_term(errors: Errors, path: str, term: Obj) -> None:
    selector = term.get("labelSelector")
    label_selector(errors, f"{path}.labelSelector", selector)
    label_selector(errors, f"{path}.namespaceSelector", term.get("namespaceSelector"))
    for namespace in term.get("namespaces") or ():
        invalid_each(errors, f"{path}.namespace", namespace, names.dns1123_label(namespace))
    for field in ("matchLabelKeys", "mismatchLabelKeys"):
        keys = term.get(field) or ()
        if keys and selector is None:
            errors.append(forbidden_field(f"{path}.{field}", "must not be specified when labelSelector is not set"))
        else:
            for i, key in enumerate(keys):
                label_key(errors, f"{path}.{field}[{i}]", key)
    both = set(term.get("mismatchLabelKeys") or ())
    for i, key in enumerate(term.get("matchLabelKeys") or ()):
        if key in both:
            errors.append(invalid_value(f"{path}.matchLabelKeys[{i}]", key, "exists in both matchLabelKeys and mismatchLabelKeys"))
    topology = term.get("topologyKey") or ""
    if not topology:
        errors.append(required(f"{path}.topologyKey", "can not be empty"))
    label_key(errors, f"{path}.topologyKey", topology)


def validate_topology_spread(errors: Errors, path: str, constraints: list[Obj]) -> None:
    for i, constraint in enumerate(constraints):
        here = f"{path}[{i}]"
        skew, topology, action = constraint.get("maxSkew") or 0, constraint.get("topologyKey") or "", constraint.get("whenUnsatisfiable") or ""
        if skew <= 0:
            errors.append(invalid_value(f"{here}.maxSkew", skew, _NOT_POSITIVE))
        if not topology:
            errors.append(required(f"{here}.topologyKey", "can not be empty"))
        if action not in ("DoNotSchedule", "ScheduleAnyway"):
            errors.append(not_supported(f"{here}.whenUnsatisfiable", action, ("DoNotSchedule", "ScheduleAnyway")))
        for other in constraints[i + 1 :]:
            if (other.get("topologyKey") or "", other.get("whenUnsatisfiable") or "") == (topology, action):
                errors.append(duplicate(f"{here}.{{topologyKey, whenUnsatisfiable}}", f"{{{topology}, {action}}}"))
                break
        domains = constraint.get("minDomains")
        if domains is not None:
            if domains <= 0:
                errors.append(invalid_value(f"{here}.minDomains", domains, _NOT_POSITIVE))
            if action != "DoNotSchedule":
                errors.append(invalid_value(
                    f"{here}.minDomains", domains, f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"))
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            policy = constraint.get(field)
            if policy is not None and policy not in ("Honor", "Ignore"):
                errors.append(not_supported(f"{here}.{field}", policy, ("Honor", "Ignore")))
        _spread_label_keys(errors, f"{here}.matchLabelKeys", constraint)
        label_selector(errors, f"{here}.labelSelector", constraint.get("labelSelector"))


def _spread_label_keys(errors: Errors, path: str, constraint: Obj) -> None:
    keys, selector = constraint.get("matchLabelKeys") or (), constraint.get("labelSelector")
    if keys and selector is None:
        errors.append(forbidden_field(path, "must not be specified when labelSelector is not set"))
    # Creation has added one expression per key (see pod.py), so only a second one is the user's.
    used = [*((selector or {}).get("matchLabels") or ()), *(e.get("key") for e in (selector or {}).get("matchExpressions") or ())]
    for i, key in enumerate(keys):
        label_key(errors, f"{path}[{i}]", key)
        if used.count(key) > 1:
            errors.append(invalid_value(f"{path}[{i}]", key, "exists in both matchLabelKeys and labelSelector"))


def validate_scheduling_gates(errors: Errors, path: str, gates: list[Obj]) -> None:
    seen: set[str] = set()
    for i, gate in enumerate(gates):
        name = gate.get("name") or ""
        invalid_each(errors, f"{path}[{i}]", name, names.qualified_name(name))
        if name in seen:
            errors.append(duplicate(f"{path}[{i}]", name))
        seen.add(name)
