"""Validation of containers: app, init and ephemeral ones, in Pods and in templates.

`validate_containers`, `validate_init_containers` and `validate_ephemeral_containers` are what `pod_validation` calls; the rest
serves them. `volumes` maps volume names to volumes already validated, so that mounts can be checked against them.

Source: kubernetes pkg/apis/core/validation/validation.go (validateContainerCommon and what it calls).
"""

from __future__ import annotations

from typing import Any

from kogia.api import names
from kogia.api.status import duplicate, forbidden_field, invalid_value, not_found_value, not_supported, required
from kogia.api.strategies import rules
from kogia.api.strategies.pod_env import validate_env, validate_env_from
from kogia.api.strategies.pod_resources import validate_container_resources
from kogia.api.strategies.pod_security import validate_container_security
from kogia.api.strategies.rules import Errors, invalid_each

Obj = dict[str, Any]

PROTOCOLS = ("SCTP", "TCP", "UDP")
_ALL_PROTOCOLS = frozenset(PROTOCOLS)
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
CONTAINER_RESTART_POLICIES = ("Always", "Never", "OnFailure")
_ONE_HANDLER = "may not specify more than 1 handler type"
_EPHEMERAL_FIELDS = frozenset((
    "name", "image", "command", "args", "workingDir", "envFrom", "env", "volumeMounts", "volumeDevices", "terminationMessagePath",
    "terminationMessagePolicy", "imagePullPolicy", "securityContext", "stdin", "stdinOnce", "tty", "resources", "targetContainerName",
))


class PodContext:
    """What containers are checked against: the Pod's volumes, claims and a few of its settings."""

    __slots__ = ("claims", "grace", "host_users", "is_pod", "restart_policy", "volumes")

    def __init__(self, spec: Obj, volumes: dict[str, Obj], *, is_pod: bool) -> None:
        self.volumes = volumes
        self.claims = {claim.get("name") for claim in spec.get("resourceClaims") or ()}
        self.grace: int | None = spec.get("terminationGracePeriodSeconds")
        self.restart_policy = spec.get("restartPolicy")
        self.host_users = spec.get("hostUsers") is not False
        self.is_pod = is_pod


def validate_containers(errors: Errors, path: str, containers: list[Obj], pod: PodContext) -> None:
    """The app containers: at least one, names unique, host ports without conflict."""
    if not containers:
        errors.append(required(path))
        return
    seen: set[str] = set()
    for i, container in enumerate(containers):
        here = f"{path}[{i}]"
        _common(errors, here, container, pod)
        _unique_name(errors, here, container, seen)
        _lifecycle_and_probes(errors, here, container, pod)
        _restart_rules(errors, here, container)
    _host_port_conflicts(errors, path, containers)


def validate_init_containers(errors: Errors, path: str, containers: list[Obj], others: list[Obj], pod: PodContext) -> None:
    """Init containers; those with restartPolicy Always (sidecars) may have probes and hooks."""
    seen = {c.get("name") or "" for c in others}
    for i, container in enumerate(containers):
        here = f"{path}[{i}]"
        _common(errors, here, container, pod)
        _restart_rules(errors, here, container)
        _unique_name(errors, here, container, seen)
        _host_port_conflicts(errors, path, [container])
        if container.get("restartPolicy") == "Always":
            _lifecycle_and_probes(errors, here, container, pod)
            continue
        for name in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
            if container.get(name) is not None:
                errors.append(forbidden_field(f"{here}.{name}", "may not be set for init containers without restartPolicy=Always"))


def validate_ephemeral_containers(errors: Errors, path: str, containers: list[Obj], others: list[Obj], pod: PodContext) -> None:
    """Ephemeral containers: no ports, probes, hooks or resources; names unique among all containers of the Pod."""
    other_names = {c.get("name") or "" for c in others}
    seen = set(other_names)
    refused = "cannot be set for an Ephemeral Container"
    for i, container in enumerate(containers):
        here = f"{path}[{i}]"
        _common(errors, here, container, pod)
        _unique_name(errors, here, container, seen)
        target = container.get("targetContainerName")
        if target and target not in other_names:
            errors.append(not_found_value(f"{here}.targetContainerName", target))
        for field, value in container.items():
            if value and (field not in _EPHEMERAL_FIELDS or field == "resources"):
                errors.append(forbidden_field(f"{here}.{field}", refused))
        for j, mount in enumerate(container.get("volumeMounts") or ()):
            for field in ("subPath", "subPathExpr"):
                if mount.get(field):
                    errors.append(forbidden_field(f"{here}.volumeMounts[{j}].{field}", refused))


def _unique_name(errors: Errors, path: str, container: Obj, seen: set[str]) -> None:
    name = container.get("name") or ""
    if name in seen:
        errors.append(duplicate(f"{path}.name", name))
    elif name:
        seen.add(name)


def _common(errors: Errors, path: str, container: Obj, pod: PodContext) -> None:
    name = container.get("name")
    if not name:
        errors.append(required(f"{path}.name"))
    else:
        invalid_each(errors, f"{path}.name", name, names.dns1123_label(name))
    image = container.get("image")
    if not image:
        errors.append(required(f"{path}.image"))
    elif pod.is_pod and image.strip() != image:
        errors.append(invalid_value(f"{path}.image", image, "must not have leading or trailing whitespace"))
    if container.get("terminationMessagePolicy") not in ("File", "FallbackToLogsOnError"):
        rules.one_of(errors, f"{path}.terminationMessagePolicy", container.get("terminationMessagePolicy"), ("File", "FallbackToLogsOnError"))
    if container.get("ports"):
        _ports(errors, f"{path}.ports", container["ports"])
    if container.get("env"):
        validate_env(errors, f"{path}.env", container["env"])
    if container.get("envFrom"):
        validate_env_from(errors, f"{path}.envFrom", container["envFrom"])
    if container.get("volumeMounts"):
        _volume_mounts(errors, f"{path}.volumeMounts", container, pod)
    if container.get("volumeDevices"):
        _volume_devices(errors, f"{path}.volumeDevices", container, pod)
    if container.get("imagePullPolicy") not in PULL_POLICIES:
        rules.one_of(errors, f"{path}.imagePullPolicy", container.get("imagePullPolicy"), PULL_POLICIES)
    if container.get("resources"):
        validate_container_resources(errors, f"{path}.resources", container["resources"], pod.claims)
    if container.get("resizePolicy"):
        _resize_policy(errors, f"{path}.resizePolicy", container["resizePolicy"], pod)
    if container.get("securityContext"):
        validate_container_security(errors, f"{path}.securityContext", container["securityContext"], host_users=pod.host_users)


def _ports(errors: Errors, path: str, ports: list[Obj]) -> None:
    seen: set[str] = set()
    for i, port in enumerate(ports):
        name = port.get("name")
        if name:
            messages = names.port_name(name)
            if messages:
                invalid_each(errors, f"{path}[{i}].name", name, messages)
            elif name in seen:
                errors.append(duplicate(f"{path}[{i}].name", name))
            seen.add(name)
        number = port.get("containerPort") or 0
        if not number:
            errors.append(required(f"{path}[{i}].containerPort"))
        elif not 0 < number < 65536:
            invalid_each(errors, f"{path}[{i}].containerPort", number, names.port_number(number))
        host = port.get("hostPort") or 0
        if host and not 0 < host < 65536:
            invalid_each(errors, f"{path}[{i}].hostPort", host, names.port_number(host))
        if port.get("protocol") not in _ALL_PROTOCOLS:
            rules.one_of(errors, f"{path}[{i}].protocol", port.get("protocol"), PROTOCOLS)


def _host_port_conflicts(errors: Errors, path: str, containers: list[Obj]) -> None:
    seen: set[str] = set()
    for i, container in enumerate(containers):
        for j, port in enumerate(container.get("ports") or ()):
            if port.get("hostPort"):
                key = f"{port.get('protocol') or ''}/{port.get('hostIP') or ''}/{port['hostPort']}"
                if key in seen:
                    errors.append(duplicate(f"{path}[{i}].ports[{j}].hostPort", key))
                seen.add(key)


def _volume_mounts(errors: Errors, path: str, container: Obj, pod: PodContext) -> None:
    devices = {d.get("name") for d in container.get("volumeDevices") or ()}
    device_paths = {d.get("devicePath") for d in container.get("volumeDevices") or ()}
    seen: set[str] = set()
    for i, mount in enumerate(container["volumeMounts"]):
        here = f"{path}[{i}]"
        name, target = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            errors.append(required(f"{here}.name"))
        volume = pod.volumes.get(name)
        if volume is None:
            errors.append(not_found_value(f"{here}.name", name))
        if not target:
            errors.append(required(f"{here}.mountPath"))
        if target in seen:
            errors.append(invalid_value(f"{here}.mountPath", target, "must be unique"))
        seen.add(target)
        if name in devices:
            errors.append(invalid_value(f"{here}.name", name, "must not already exist in volumeDevices"))
        if target in device_paths:
            errors.append(invalid_value(f"{here}.mountPath", target, "must not already exist as a path in volumeDevices"))
        if mount.get("subPath"):
            rules.relative_path(errors, f"{path}.subPath", mount["subPath"])
        if mount.get("subPathExpr"):
            if mount.get("subPath"):
                errors.append(invalid_value(f"{here}.subPathExpr", mount["subPathExpr"], "subPathExpr and subPath are mutually exclusive"))
            rules.relative_path(errors, f"{path}.subPathExpr", mount["subPathExpr"])
        if mount.get("mountPropagation") is not None:
            _mount_propagation(errors, f"{path}.mountPropagation", mount["mountPropagation"], container)
        if mount.get("recursiveReadOnly") is not None:
            _recursive_read_only(errors, f"{path}.recursiveReadOnly", mount)


def _mount_propagation(errors: Errors, path: str, mode: str, container: Obj) -> None:
    supported = ("Bidirectional", "HostToContainer", "None")
    if mode not in supported:
        errors.append(not_supported(path, mode, supported))
    if mode == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
        errors.append(forbidden_field(path, "Bidirectional mount propagation is available only to privileged containers"))


def _recursive_read_only(errors: Errors, path: str, mount: Obj) -> None:
    mode = mount["recursiveReadOnly"]
    if mode == "Disabled":
        return
    if mode not in ("Enabled", "IfPossible"):
        errors.append(not_supported(path, mode, ("Disabled", "Enabled", "IfPossible")))
        return
    if not mount.get("readOnly"):
        errors.append(forbidden_field(path, "may only be specified when readOnly is true"))
    if mount.get("mountPropagation") not in (None, "None"):
        errors.append(forbidden_field(path, "may only be specified when mountPropagation is None or not specified"))


def _volume_devices(errors: Errors, path: str, container: Obj, pod: PodContext) -> None:
    mounts = {m.get("name") for m in container.get("volumeMounts") or ()}
    mount_paths = {m.get("mountPath") for m in container.get("volumeMounts") or ()}
    seen_names: set[str] = set()
    seen_paths: set[str] = set()
    for i, device in enumerate(container["volumeDevices"]):
        here = f"{path}[{i}]"
        name, target = device.get("name") or "", device.get("devicePath") or ""
        volume = pod.volumes.get(name)
        if not name:
            errors.append(required(f"{here}.name"))
        if name in seen_names:
            errors.append(invalid_value(f"{here}.name", name, "must be unique"))
        if volume is None:
            errors.append(not_found_value(f"{here}.name", name))
        elif not (volume.get("persistentVolumeClaim") or volume.get("ephemeral")):
            errors.append(invalid_value(
                f"{here}.name", name, "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"))
        if not target:
            errors.append(required(f"{here}.devicePath"))
        if target in seen_paths:
            errors.append(invalid_value(f"{here}.devicePath", target, "must be unique"))
        if ".." in target.split("/"):
            errors.append(invalid_value(f"{here}.devicePath", target, "can not contain backsteps ('..')"))
        if name in mounts:
            errors.append(invalid_value(f"{here}.name", name, "must not already exist in volumeMounts"))
        if target in mount_paths:
            errors.append(invalid_value(f"{here}.devicePath", target, "must not already exist as a path in volumeMounts"))
        seen_names.add(name)
        seen_paths.add(target)


def _restart_rules(errors: Errors, path: str, container: Obj) -> None:
    policy = container.get("restartPolicy")
    if policy is not None and policy not in CONTAINER_RESTART_POLICIES:
        errors.append(not_supported(f"{path}.restartPolicy", policy, CONTAINER_RESTART_POLICIES))
    if container.get("restartPolicyRules") and policy is None:
        errors.append(required(f"{path}.restartPolicy", "must specify restartPolicy when restart rules are used"))


def _resize_policy(errors: Errors, path: str, policies: list[Obj], pod: PodContext) -> None:
    seen: set[str] = set()
    for i, policy in enumerate(policies):
        resource, restart = policy.get("resourceName"), policy.get("restartPolicy")
        if resource in seen:
            errors.append(duplicate(f"{path}[{i}]", resource))
        seen.add(resource or "")
        rules.one_of(errors, path, resource, ("cpu", "memory"))
        rules.one_of(errors, path, restart, ("NotRequired", "RestartContainer"))
        if pod.restart_policy == "Never" and restart != "NotRequired":
            errors.append(invalid_value(path, restart, "must be 'NotRequired' when `restartPolicy` is 'Never'"))


# -- probes and hooks


def _lifecycle_and_probes(errors: Errors, path: str, container: Obj, pod: PodContext) -> None:
    for hook, action in (container.get("lifecycle") or {}).items():
        if hook in ("postStart", "preStop") and action is not None:
            _handler(errors, f"{path}.lifecycle.{hook}", action, pod.grace)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe is not None:
            _probe(errors, f"{path}.{name}", probe, pod.grace, readiness=name == "readinessProbe")


def _probe(errors: Errors, path: str, probe: Obj, grace: int | None, *, readiness: bool) -> None:
    _handler(errors, path, probe, grace)
    for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        rules.not_negative(errors, f"{path}.{field}", probe.get(field))
    own_grace = probe.get("terminationGracePeriodSeconds")
    if own_grace is not None and own_grace <= 0:
        errors.append(invalid_value(f"{path}.terminationGracePeriodSeconds", own_grace, "must be greater than 0"))
    if readiness:
        if own_grace is not None:
            errors.append(invalid_value(f"{path}.terminationGracePeriodSeconds", own_grace, "must not be set for readinessProbes"))
    elif probe.get("successThreshold") != 1:
        errors.append(invalid_value(f"{path}.successThreshold", probe.get("successThreshold") or 0, "must be 1"))


def _handler(errors: Errors, path: str, handler: Obj, grace: int | None) -> None:
    present = [kind for kind in ("exec", "httpGet", "tcpSocket", "grpc", "sleep") if handler.get(kind) is not None]
    if not present:
        errors.append(required(path, "must specify a handler type"))
        return
    for kind in present[1:]:
        errors.append(forbidden_field(f"{path}.{kind}", _ONE_HANDLER))
    kind, action = present[0], handler[present[0]]
    here = f"{path}.{kind}"
    if kind == "exec":
        if not action.get("command"):
            errors.append(required(f"{here}.command"))
    elif kind == "httpGet":
        _http_get(errors, here, action)
    elif kind == "sleep":
        seconds = action.get("seconds") or 0
        if grace is not None and not 0 <= seconds <= grace:
            errors.append(invalid_value(here, seconds, f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"))
    else:
        rules.port_or_name(errors, f"{here}.port", action.get("port"))


def _http_get(errors: Errors, path: str, action: Obj) -> None:
    if not action.get("path"):
        errors.append(required(f"{path}.path"))
    rules.port_or_name(errors, f"{path}.port", action.get("port"))
    if action.get("scheme") not in ("HTTP", "HTTPS"):
        errors.append(not_supported(f"{path}.scheme", action.get("scheme") or "", ("HTTP", "HTTPS")))
    for header in action.get("httpHeaders") or ():
        invalid_each(errors, f"{path}.httpHeaders", header.get("name") or "", names.http_header_name(header.get("name") or ""))
