"""Validation of security contexts: the Pod's and a container's.

Source: kubernetes pkg/apis/core/validation/validation.go (validatePodSpecSecurityContext, ValidateSecurityContext).
"""

from __future__ import annotations

import re
from typing import Any

from kogia.api.status import duplicate, forbidden_field, invalid_value, not_supported, required, too_long
from kogia.api.strategies.rules import MAX_INT32, Errors, between, relative_path

Obj = dict[str, Any]

_SYSCTL = re.compile(r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?")
_SYSCTL_TEXT = f"must have at most 253 characters and match regex ^{_SYSCTL.pattern}$".replace(r"[\./]", r"[\\./]").replace("\\\\", "\\")
_PROFILE_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")
_IPC_SYSCTLS = ("kernel.shm", "kernel.msg", "fs.mqueue.")


def _ids(errors: Errors, path: str, context: Obj, fields: tuple[str, ...]) -> None:
    for field in fields:
        value = context.get(field)
        if value is not None:
            between(errors, f"{path}.{field}", value, 0, MAX_INT32)


def validate_pod_security(errors: Errors, path: str, spec: Obj) -> None:
    """The Pod's `securityContext`, together with the host namespaces in `spec`."""
    context = spec.get("securityContext") or {}
    if not context:
        return
    _ids(errors, path, context, ("fsGroup", "runAsUser", "runAsGroup"))
    for i, group in enumerate(context.get("supplementalGroups") or ()):
        between(errors, f"{path}.supplementalGroups[{i}]", group, 0, MAX_INT32)
    if context.get("sysctls"):
        _sysctls(errors, f"{path}.sysctls", context["sysctls"], spec)
    for field, supported in (
        ("fsGroupChangePolicy", ("Always", "OnRootMismatch")), ("supplementalGroupsPolicy", ("Merge", "Strict")),
        ("seLinuxChangePolicy", ("MountOption", "Recursive")),
    ):
        value = context.get(field)
        if value is not None and value not in supported:
            errors.append(not_supported(f"{path}.{field}", value, supported))
    _seccomp(errors, f"{path}.seccompProfile", context.get("seccompProfile"))
    _app_armor(errors, f"{path}.appArmorProfile", context.get("appArmorProfile"))


def _sysctls(errors: Errors, path: str, sysctls: list[Obj], spec: Obj) -> None:
    seen: set[str] = set()
    for i, sysctl in enumerate(sysctls):
        name, here = sysctl.get("name") or "", f"{path}[{i}].name"
        if not name:
            errors.append(required(here))
        elif len(name) > 253 or not _SYSCTL.fullmatch(name):
            errors.append(invalid_value(here, name, _SYSCTL_TEXT))
        elif name in seen:
            errors.append(duplicate(here, name))
        seen.add(name)
        dotted = name.replace("/", ".")
        if spec.get("hostNetwork") and dotted.startswith("net."):
            errors.append(invalid_value(here, name, "may not be specified when 'hostNetwork' is true"))
        if spec.get("hostIPC") and (dotted == "kernel.sem" or dotted.startswith(_IPC_SYSCTLS)):
            errors.append(invalid_value(here, name, "may not be specified when 'hostIPC' is true"))


def validate_container_security(errors: Errors, path: str, context: Obj, *, host_users: bool) -> None:
    """A container's `securityContext`."""
    _ids(errors, path, context, ("runAsUser", "runAsGroup"))
    proc_mount = context.get("procMount")
    if proc_mount is not None:
        if proc_mount not in ("Default", "Unmasked"):
            errors.append(not_supported(f"{path}.procMount", proc_mount, ("Default", "Unmasked")))
        if host_users and proc_mount == "Unmasked":
            errors.append(invalid_value(f"{path}.procMount", proc_mount, "`hostUsers` must be false to use `Unmasked`"))
    _seccomp(errors, f"{path}.seccompProfile", context.get("seccompProfile"))
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            errors.append(invalid_value(path, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"))
        for capability in (context.get("capabilities") or {}).get("add") or ():
            if capability == "CAP_SYS_ADMIN":
                errors.append(invalid_value(
                    path, context, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"))
    _app_armor(errors, f"{path}.appArmorProfile", context.get("appArmorProfile"))


def _seccomp(errors: Errors, path: str, profile: Obj | None) -> None:
    if profile is None:
        return
    kind, local = profile.get("type"), profile.get("localhostProfile")
    if not kind:
        errors.append(required(f"{path}.type", "type is required when seccompProfile is set"))
    elif kind not in _PROFILE_TYPES:
        errors.append(not_supported(f"{path}.type", kind, _PROFILE_TYPES))
    if kind == "Localhost":
        if local is None:
            errors.append(required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost"))
        else:
            relative_path(errors, f"{path}.localhostProfile", local)
    elif local is not None:
        errors.append(invalid_value(f"{path}.localhostProfile", profile, "can only be set when seccomp type is Localhost"))


def _app_armor(errors: Errors, path: str, profile: Obj | None) -> None:
    if profile is None:
        return
    kind, local, here = profile.get("type"), profile.get("localhostProfile"), f"{path}.localhostProfile"
    if not kind:
        errors.append(required(f"{path}.type", "type is required when appArmorProfile is set"))
    elif kind not in _PROFILE_TYPES:
        errors.append(not_supported(f"{path}.type", kind, _PROFILE_TYPES))
    elif kind != "Localhost":
        if local is not None:
            errors.append(invalid_value(here, local, "can only be set when AppArmor type is Localhost"))
    elif not local:
        errors.append(required(here, "must be set when AppArmor type is Localhost"))
    elif local.strip() != local:
        errors.append(invalid_value(here, local, "must not be padded with whitespace"))
    elif len(local) > 4095:
        errors.append(too_long(here, 4095))


def validate_host_users(errors: Errors, path: str, spec: Obj) -> None:
    """A Pod with its own user namespace cannot share the host's others."""
    if spec.get("hostUsers") is not False:
        return
    for field, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
        if spec.get(field):
            errors.append(forbidden_field(f"{path}.{shown}", "when `pod.Spec.HostUsers` is false"))
