"""Validation of a container's `env` and `envFrom`, and of the downward API's field references (also used by volumes).

Source: kubernetes pkg/apis/core/validation/validation.go (ValidateEnv, ValidateEnvFrom, validateObjectFieldSelector).
"""

from __future__ import annotations

import re
from typing import Any

from kogia.api import names
from kogia.api.quantity import QuantityError, parse
from kogia.api.status import invalid_value, not_supported, required
from kogia.api.strategies.rules import Errors, invalid_each

Obj = dict[str, Any]

ENV_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs",
    "status.podIP", "status.podIPs",
)
_CONVERTIBLE = frozenset((
    *ENV_FIELDS, "metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName", "status.phase", "spec.host",
))
RESOURCE_FIELDS = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory",
)
_HUGE = ("requests.hugepages-", "limits.hugepages-")
_MEMORY_DIVISORS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_SUBSCRIPT = re.compile(r"([^\[]*)\['(.+)'\]", re.DOTALL)
_ONE_AT_A_TIME = "may not have more than one field specified at a time"


def validate_env(errors: Errors, path: str, env: list[Obj]) -> None:
    for i, variable in enumerate(env):
        name = variable.get("name")
        if not name:
            errors.append(required(f"{path}[{i}].name"))
        else:
            invalid_each(errors, f"{path}[{i}].name", name, names.env_var_name(name))
        if variable.get("valueFrom") is not None:
            _value_from(errors, f"{path}[{i}].valueFrom", variable["valueFrom"], variable.get("value"))


def _value_from(errors: Errors, path: str, source: Obj, value: str | None) -> None:
    sources = 0
    if source.get("fieldRef") is not None:
        sources += 1
        validate_field_ref(errors, f"{path}.fieldRef", source["fieldRef"], ENV_FIELDS)
    if source.get("resourceFieldRef") is not None:
        sources += 1
        validate_resource_field_ref(errors, f"{path}.resourceFieldRef", source["resourceFieldRef"], in_volume=False)
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if source.get(kind) is not None:
            sources += 1
            _key_ref(errors, f"{path}.{kind}", source[kind])
    if source.get("fileKeyRef") is not None:
        sources += 1
        for field in ("volumeName", "path", "key"):
            if not source["fileKeyRef"].get(field):
                errors.append(required(f"{path}.fileKeyRef.{field}"))
    if sources == 0:
        errors.append(invalid_value(
            path, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"))
    elif value:
        errors.append(invalid_value(path, "", "may not be specified when `value` is not empty"))
    elif sources > 1:
        errors.append(invalid_value(path, "", _ONE_AT_A_TIME))


def _key_ref(errors: Errors, path: str, ref: Obj) -> None:
    name, key = ref.get("name") or "", ref.get("key") or ""
    invalid_each(errors, f"{path}.name", name, names.dns1123_subdomain(name))
    if not key:
        errors.append(required(f"{path}.key"))
    else:
        invalid_each(errors, f"{path}.key", key, names.config_map_key(key))


def validate_env_from(errors: Errors, path: str, sources: list[Obj]) -> None:
    for i, source in enumerate(sources):
        if source.get("prefix"):
            invalid_each(errors, f"{path}[{i}].prefix", source["prefix"], names.env_var_name(source["prefix"]))
        present = [kind for kind in ("configMapRef", "secretRef") if source.get(kind) is not None]
        for kind in present:
            name = source[kind].get("name")
            if not name:
                errors.append(required(f"{path}[{i}].{kind}.name"))
            else:
                invalid_each(errors, f"{path}[{i}].{kind}.name", name, names.dns1123_subdomain(name))
        if not present:
            errors.append(invalid_value(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(present) > 1:
            errors.append(invalid_value(path, "", _ONE_AT_A_TIME))


def validate_field_ref(errors: Errors, path: str, ref: Obj, supported: tuple[str, ...]) -> None:
    """A downward-API reference to a field of the Pod; `metadata.labels['x']` and `metadata.annotations['x']` are always fine."""
    for field in ("apiVersion", "fieldPath"):
        if not ref.get(field):
            errors.append(required(f"{path}.{field}"))
            return
    field_path = ref["fieldPath"]
    subscripted = _SUBSCRIPT.fullmatch(field_path)
    base = subscripted[1] if subscripted else field_path
    if ref["apiVersion"] != "v1":
        errors.append(invalid_value(f"{path}.fieldPath", field_path, f"error converting fieldPath: unsupported pod version: {ref['apiVersion']}"))
    elif base not in _CONVERTIBLE:
        errors.append(invalid_value(f"{path}.fieldPath", field_path, f"error converting fieldPath: field label not supported: {field_path}"))
    elif subscripted:
        if base in ("metadata.annotations", "metadata.labels"):
            key = subscripted[2].lower() if base == "metadata.annotations" else subscripted[2]
            invalid_each(errors, path, key, names.qualified_name(key))
        else:
            errors.append(invalid_value(path, base, "does not support subscript"))
    elif field_path not in supported:
        errors.append(not_supported(f"{path}.fieldPath", field_path, supported))


def validate_resource_field_ref(errors: Errors, path: str, ref: Obj, *, in_volume: bool) -> None:
    """A downward-API reference to a container's requests or limits."""
    resource = ref.get("resource") or ""
    if in_volume and not ref.get("containerName"):
        errors.append(required(f"{path}.containerName"))
    elif not resource:
        errors.append(required(f"{path}.resource"))
    elif resource not in RESOURCE_FIELDS and not resource.startswith(_HUGE):
        errors.append(not_supported(f"{path}.resource", resource, RESOURCE_FIELDS))
    if ref.get("divisor"):
        _divisor(errors, f"{path}.divisor", resource, ref["divisor"])


def _divisor(errors: Errors, path: str, resource: str, divisor: Any) -> None:
    try:
        amount = parse(divisor)
    except QuantityError as problem:
        errors.append(invalid_value(path, divisor, str(problem)))
        return
    if amount.is_zero():
        return
    shown = str(amount)
    if resource.endswith(".cpu"):
        if shown not in ("1m", "1"):
            errors.append(invalid_value(path, resource, "only divisor's values 1m and 1 are supported with the cpu resource"))
        return
    kinds = {"limits.memory": "memory", "requests.memory": "memory"}
    kind = kinds.get(resource) or ("local ephemeral storage" if resource.endswith(".ephemeral-storage") else "hugepages")
    if shown not in _MEMORY_DIVISORS:
        listed = ", ".join(_MEMORY_DIVISORS)
        errors.append(invalid_value(path, resource, f"only divisor's values {listed} are supported with the {kind} resource"))
