"""Validation of Pods and pod templates, and of what an update may change.

`validate_pod_spec` serves both; the pieces are in the pod_*.py modules beside this one. `validate_pod_update` holds the rule users
meet most: a Pod's specification is nearly immutable.

Source: kubernetes pkg/apis/core/validation/validation.go (ValidatePodSpec, ValidatePodUpdate, ValidatePodStatusUpdate).
"""

from __future__ import annotations

from typing import Any

from kogia.api import names
from kogia.api.status import FieldError, forbidden_field, invalid_value, not_supported, required
from kogia.api.strategies.pod_containers import PodContext, validate_containers, validate_ephemeral_containers, validate_init_containers
from kogia.api.strategies.pod_resources import validate_overhead, validate_pod_resources
from kogia.api.strategies.pod_scheduling import validate_affinity, validate_scheduling_gates, validate_tolerations, validate_topology_spread
from kogia.api.strategies.pod_security import validate_host_users, validate_pod_security
from kogia.api.strategies.pod_volumes import validate_volumes
from kogia.api.strategies.rules import MAX_INT32, Errors, between, immutable, invalid_each, ip_address, labels

Obj = dict[str, Any]

DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
RESTART_POLICIES = ("Always", "OnFailure", "Never")
UPDATABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def validate_pod(pod: Obj) -> Errors:
    """A whole Pod, metadata aside, whether new or changed."""
    errors: Errors = []
    spec = pod.get("spec") or {}
    name = (pod.get("metadata") or {}).get("name") or ""
    validate_pod_spec(errors, "spec", spec, pod_name=name, is_pod=True)
    if not spec.get("serviceAccountName"):
        for i, volume in enumerate(spec.get("volumes") or ()):
            for j, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
                if source.get("serviceAccountToken") is not None:
                    here = f"spec.volumes[{i}].projected.sources[{j}].serviceAccountToken"
                    errors.append(forbidden_field(here, "must not be specified when serviceAccountName is not set"))
    return errors


def validate_new_pod(pod: Obj) -> Errors:
    """A Pod being created."""
    errors = validate_pod(pod)
    spec = pod.get("spec") or {}
    if spec.get("ephemeralContainers"):
        errors.append(forbidden_field("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("nodeName") and spec.get("schedulingGates"):
        errors.append(forbidden_field("spec.nodeName", "cannot be set until all schedulingGates have been cleared"))
    return errors


def validate_pod_spec(errors: Errors, path: str, spec: Obj, *, pod_name: str = "", is_pod: bool = False) -> None:
    """A PodSpec at `path`; templates are a little freer than Pods (`is_pod`)."""
    if spec.get("terminationGracePeriodSeconds") is None:
        errors.append(required(f"{path}.terminationGracePeriodSeconds"))
    volumes = validate_volumes(errors, f"{path}.volumes", spec.get("volumes") or [], pod_name)
    context = PodContext(spec, volumes, is_pod=is_pod)
    app, init = spec.get("containers") or [], spec.get("initContainers") or []
    if spec.get("resourceClaims"):
        _resource_claims(errors, f"{path}.resourceClaims", spec["resourceClaims"])
    validate_containers(errors, f"{path}.containers", app, context)
    if init:
        validate_init_containers(errors, f"{path}.initContainers", init, app, context)
    if spec.get("ephemeralContainers"):
        validate_ephemeral_containers(errors, f"{path}.ephemeralContainers", spec["ephemeralContainers"], [*app, *init], context)
    if spec.get("resources"):
        validate_pod_resources(errors, f"{path}.resources", spec)
    if spec.get("hostNetwork"):
        _host_network(errors, f"{path}.containers", app, is_pod=is_pod)
    _policies(errors, path, spec)
    labels(errors, f"{path}.nodeSelector", spec.get("nodeSelector"))
    validate_pod_security(errors, f"{path}.securityContext", spec)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        errors.append(invalid_value(
            f"{path}.securityContext.shareProcessNamespace", True, "ShareProcessNamespace and HostPID cannot both be enabled"))
    _scheduling(errors, path, spec)
    validate_host_users(errors, path, spec)
    _names(errors, path, spec)
    if spec.get("activeDeadlineSeconds") is not None:
        between(errors, f"{path}.activeDeadlineSeconds", spec["activeDeadlineSeconds"], 1, MAX_INT32)
    if spec.get("overhead"):
        validate_overhead(errors, f"{path}.overhead", spec["overhead"])
    if spec.get("os") is not None:
        _operating_system(errors, f"{path}.os", spec["os"])


def _policies(errors: Errors, path: str, spec: Obj) -> None:
    for field, supported in (("restartPolicy", RESTART_POLICIES), ("dnsPolicy", DNS_POLICIES)):
        value = spec.get(field)
        if not value:
            errors.append(required(f"{path}.{field}"))
        elif value not in supported:
            errors.append(not_supported(f"{path}.{field}", value, supported))
    preemption = spec.get("preemptionPolicy")
    if preemption is not None and preemption not in ("PreemptLowerPriority", "Never"):
        errors.append(not_supported(f"{path}.preemptionPolicy", preemption, ("PreemptLowerPriority", "Never")))
    if spec.get("dnsConfig") is not None or spec.get("dnsPolicy") == "None":
        _dns_config(errors, f"{path}.dnsConfig", spec.get("dnsConfig"), spec.get("dnsPolicy"))


def _scheduling(errors: Errors, path: str, spec: Obj) -> None:
    if spec.get("affinity"):
        validate_affinity(errors, f"{path}.affinity", spec["affinity"])
    for i, gate in enumerate(spec.get("readinessGates") or ()):
        kind = gate.get("conditionType") or ""
        invalid_each(errors, f"{path}.readinessGates[{i}].conditionType", kind, names.qualified_name(kind))
    if spec.get("schedulingGates"):
        validate_scheduling_gates(errors, f"{path}.schedulingGates", spec["schedulingGates"])
    if spec.get("topologySpreadConstraints"):
        validate_topology_spread(errors, f"{path}.topologySpreadConstraints", spec["topologySpreadConstraints"])
    if spec.get("tolerations"):
        validate_tolerations(errors, f"{path}.tolerations", spec["tolerations"])


def _names(errors: Errors, path: str, spec: Obj) -> None:
    for field in ("serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"):
        value = spec.get(field)
        if value:
            invalid_each(errors, f"{path}.{field}", value, names.dns1123_subdomain(value))
    for field in ("hostname", "subdomain"):
        value = spec.get(field)
        if value:
            invalid_each(errors, f"{path}.{field}", value, names.dns1123_label(value))
    for i, alias in enumerate(spec.get("hostAliases") or ()):
        ip_address(errors, f"{path}.hostAliases[{i}].ip", alias.get("ip") or "")
        for j, host in enumerate(alias.get("hostnames") or ()):
            invalid_each(errors, f"{path}.hostAliases[{i}].hostnames[{j}]", host, names.dns1123_subdomain(host))


def _resource_claims(errors: Errors, path: str, claims: list[Obj]) -> None:
    seen: set[str] = set()
    for i, claim in enumerate(claims):
        here, name = f"{path}[{i}]", claim.get("name") or ""
        if not name:
            errors.append(required(f"{here}.name"))
        elif name in seen:
            errors.append(FieldError("FieldValueDuplicate", f"{here}.name", f'Duplicate value: "{name}"'))
        else:
            invalid_each(errors, f"{here}.name", name, names.dns1123_label(name))
        seen.add(name)
        given = [f for f in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(f) is not None]
        if len(given) > 1:
            errors.append(invalid_value(here, claim, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"))
        elif not given:
            errors.append(invalid_value(here, claim, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"))


def _host_network(errors: Errors, path: str, containers: list[Obj], *, is_pod: bool) -> None:
    for i, container in enumerate(containers):
        for j, port in enumerate(container.get("ports") or ()):
            host = port.get("hostPort") or 0
            if (is_pod or host) and host != port.get("containerPort"):
                errors.append(invalid_value(
                    f"{path}[{i}].ports[{j}].hostPort", host, "must match `containerPort` when `hostNetwork` is true"))


def _dns_config(errors: Errors, path: str, config: Obj | None, policy: str | None) -> None:
    if policy == "None":
        if config is None:
            errors.append(required(path, "must provide `dnsConfig` when `dnsPolicy` is None"))
            return
        if not config.get("nameservers"):
            errors.append(required(f"{path}.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None"))
            return
    config = config or {}
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > 3:
        errors.append(invalid_value(f"{path}.nameservers", servers, "must not have more than 3 nameservers"))
    for i, server in enumerate(servers):
        ip_address(errors, f"{path}.nameservers[{i}]", server)
    if len(searches) > 32:
        errors.append(invalid_value(f"{path}.searches", searches, "must not have more than 32 search paths"))
    if len(" ".join(searches)) > 2048:
        errors.append(invalid_value(
            f"{path}.searches", searches, "must not have more than 2048 characters (including spaces) in the search list"))
    for i, search in enumerate(searches):
        if search != ".":
            text = search.removesuffix(".").replace("_", "-")
            invalid_each(errors, f"{path}.searches[{i}]", search.removesuffix("."), names.dns1123_subdomain(text.strip("-") or text))
    for i, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            errors.append(required(f"{path}.options[{i}]", "must not be empty"))


def _operating_system(errors: Errors, path: str, system: Obj) -> None:
    name = system.get("name")
    if not name:
        errors.append(required(f"{path}.name", "cannot be empty"))
    elif name not in ("linux", "windows"):
        errors.append(not_supported(path, name, ("linux", "windows")))


# -- updates


def validate_pod_update(pod: Obj, old: Obj) -> Errors:
    """What a changed Pod may not change: anything but images, the deadline (shorter), more tolerations, fewer scheduling gates."""
    errors: Errors = []
    spec, before = pod.get("spec") or {}, old.get("spec") or {}
    if spec == before:
        return errors
    for field in ("containers", "initContainers"):
        if len(spec.get(field) or ()) != len(before.get(field) or ()):
            errors.append(forbidden_field(f"spec.{field}", "pod updates may not add or remove containers"))
            return errors
    if not _deadline(errors, spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")):
        return errors
    _only_more_tolerations(errors, spec.get("tolerations") or [], before.get("tolerations") or [])
    known = {gate.get("name") for gate in before.get("schedulingGates") or ()}
    for i, gate in enumerate(spec.get("schedulingGates") or ()):
        if gate.get("name") not in known:
            errors.append(forbidden_field(
                f"spec.schedulingGates[{i}].name", f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"))
    masked = _masked(spec, before)
    if known:
        _gated(errors, masked, before)
    if masked != before:
        changed = sorted(key for key in set(masked) | set(before) if masked.get(key) != before.get(key))
        errors.append(forbidden_field(
            "spec", f"pod updates may not change fields other than {UPDATABLE}\nchanged: " + ", ".join(f"spec.{key}" for key in changed)))
    return errors


def _deadline(errors: Errors, new: int | None, old: int | None) -> bool:
    path = "spec.activeDeadlineSeconds"
    if new is None:
        if old is not None:
            errors.append(invalid_value(path, None, "must not update from a positive integer to nil value"))
        return True
    if not 0 <= new <= MAX_INT32:
        between(errors, path, new, 0, MAX_INT32)
        return False
    if old is not None and old < new:
        errors.append(invalid_value(path, new, "must be less than or equal to previous value"))
        return False
    return True


def _without(toleration: Obj, key: str) -> Obj:
    return {k: v for k, v in toleration.items() if k != key}


def _only_more_tolerations(errors: Errors, new: list[Obj], old: list[Obj]) -> None:
    kept = [_without(toleration, "tolerationSeconds") for toleration in new]
    if any(_without(toleration, "tolerationSeconds") not in kept for toleration in old):
        errors.append(forbidden_field("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds"))


def _masked(spec: Obj, before: Obj) -> Obj:
    """`spec` with everything that may change set back to what it was."""
    masked = dict(spec)
    for field in ("containers", "initContainers"):
        if field in spec:
            masked[field] = [
                {**new, "image": old.get("image")} for new, old in zip(spec[field], before.get(field) or (), strict=False)
            ]
    for field in ("activeDeadlineSeconds", "schedulingGates", "tolerations"):
        if field in before:
            masked[field] = before[field]
        else:
            masked.pop(field, None)
    old_grace = before.get("terminationGracePeriodSeconds")
    if old_grace is not None and old_grace < 0 and masked.get("terminationGracePeriodSeconds") == 1:
        masked["terminationGracePeriodSeconds"] = old_grace
    return masked


def _gated(errors: Errors, masked: Obj, before: Obj) -> None:
    """A Pod held by scheduling gates may still gain node selector terms, so long as none goes or changes."""
    new, old = masked.get("nodeSelector") or {}, before.get("nodeSelector") or {}
    if new != old:
        if any(new.get(key) != value for key, value in old.items()):
            errors.append(invalid_value("spec.nodeSelector", new, "only additions are allowed (no mutations or deletions)"))
        if "nodeSelector" in before:
            masked["nodeSelector"] = before["nodeSelector"]
        else:
            masked.pop("nodeSelector", None)


def validate_pod_status_update(pod: Obj, old: Obj) -> Errors:
    """A write of the status subresource: qosClass stays, ended containers stay ended, addresses are addresses."""
    errors: Errors = []
    status, before = pod.get("status") or {}, old.get("status") or {}
    nominated = status.get("nominatedNodeName")
    if nominated and nominated != before.get("nominatedNodeName"):
        invalid_each(errors, "status.nominatedNodeName", nominated, names.dns1123_subdomain(nominated))
    if before.get("qosClass") and status.get("qosClass"):
        immutable(errors, "status.qosClass", status["qosClass"], before["qosClass"])
    policy = (old.get("spec") or {}).get("restartPolicy")
    sidecars = {c.get("name") for c in (old.get("spec") or {}).get("initContainers") or () if c.get("restartPolicy") == "Always"}
    own = {c.get("name") for c in (old.get("spec") or {}).get("containers") or () if c.get("restartPolicy")}
    _no_resurrection(errors, "containerStatuses", status, before, policy, own)
    _no_resurrection(errors, "initContainerStatuses", status, before, policy, sidecars)
    _no_resurrection(errors, "ephemeralContainerStatuses", status, before, "Never", set())
    for field in ("podIPs", "hostIPs"):
        for i, entry in enumerate(status.get(field) or ()):
            ip_address(errors, f"status.{field}[{i}]", entry.get("ip") or "")
    return errors


def _no_resurrection(errors: Errors, field: str, status: Obj, before: Obj, policy: str | None, free: set[Any]) -> None:
    if policy == "Always":
        return
    running = {s.get("name") for s in status.get(field) or () if (s.get("state") or {}).get("terminated") is None}
    for i, old in enumerate(before.get(field) or ()):
        ended = (old.get("state") or {}).get("terminated")
        if ended is None or old.get("name") in free or old.get("name") not in running:
            continue
        if policy == "OnFailure" and ended.get("exitCode"):
            continue
        errors.append(forbidden_field(f"status.{field}[{i}].state", "may not be transitioned to non-terminated state"))
