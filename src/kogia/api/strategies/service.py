"""The Service strategy: defaults, address families, validation. The addresses and node ports themselves are allocated elsewhere.

Source: kubernetes pkg/apis/core/v1/defaults.go (SetDefaults_Service), validation.go (ValidateService), pkg/registry/core/service.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from kogia.api import names
from kogia.api.status import FieldError, duplicate, forbidden_field, invalid_value, not_supported, required
from kogia.api.strategies.base import KindStrategy
from kogia.api.strategies.rules import Errors, invalid_each, ip_address, labels, one_of, port_or_name

Obj = dict[str, Any]

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_CLIENT_IP_SECONDS = 10800
_DAY_S = 86400


def _reachable(spec: Obj) -> bool:
    """Whether traffic from outside the cluster may arrive."""
    return spec.get("type") in ("NodePort", "LoadBalancer") or (spec.get("type") == "ClusterIP" and bool(spec.get("externalIPs")))


def is_headless(spec: Obj) -> bool:
    return (spec.get("clusterIPs") or [spec.get("clusterIP")])[0] == "None"


class ServiceStrategy(KindStrategy):
    create_on_update = True
    name_check = staticmethod(names.dns1035_label)
    field_labels = frozenset(("spec.clusterIP", "spec.type"))

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        for field, value in (("sessionAffinity", "None"), ("type", "ClusterIP")):
            if not spec.get(field):
                spec[field] = value
        if spec["sessionAffinity"] == "None":
            spec.pop("sessionAffinityConfig", None)
        elif spec["sessionAffinity"] == "ClientIP":
            config = spec.setdefault("sessionAffinityConfig", {})
            client = config.get("clientIP")
            if client is None:
                client = config["clientIP"] = {}
            if client.get("timeoutSeconds") is None:
                client["timeoutSeconds"] = _CLIENT_IP_SECONDS
        for port in spec.get("ports") or ():
            if not port.get("protocol"):
                port["protocol"] = "TCP"
            if port.get("targetPort") in (None, 0, "") and port.get("port"):
                port["targetPort"] = port["port"]
        if _reachable(spec) and not spec.get("externalTrafficPolicy"):
            spec["externalTrafficPolicy"] = "Cluster"
        if spec["type"] in ("ClusterIP", "NodePort", "LoadBalancer") and spec.get("internalTrafficPolicy") is None:
            spec["internalTrafficPolicy"] = "Cluster"
        if spec["type"] == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is None:
            spec["allocateLoadBalancerNodePorts"] = True
        for ingress in ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
            if ingress.get("ip") and ingress.get("ipMode") is None:
                ingress["ipMode"] = "VIP"

    def on_create(self, obj: Obj) -> None:
        obj["status"] = {"loadBalancer": {}}
        _complete(obj["spec"])

    def on_update(self, obj: Obj, old: Obj, subresource: str) -> None:
        if subresource == "status":
            return
        spec, before = obj.get("spec") or {}, old.get("spec") or {}
        _carry_allocated(spec, before)
        _drop_with_type(spec, before)
        _complete(spec)

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        spec = obj.get("spec") or {}
        _check_shape(errors, spec)
        _check_ports(errors, spec)
        labels(errors, "spec.selector", spec.get("selector"))
        _check_addresses(errors, spec)
        _check_policies(errors, spec)
        return errors

    def check_change(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        new, before = obj.get("spec") or {}, old.get("spec") or {}
        if "ExternalName" in (new.get("type"), before.get("type")):
            return []
        was, now = before.get("clusterIPs") or [], new.get("clusterIPs") or []
        if was and (not now or now[0] != was[0]):
            text = "primary clusterIP can not be unset" if not now else "may not change once set"
            return [invalid_value("spec.clusterIPs[0]", now, text)]
        return []

    def fields(self, obj: Obj) -> dict[str, str]:
        spec = obj.get("spec") or {}
        return {"spec.clusterIP": spec.get("clusterIP") or "", "spec.type": spec.get("type") or ""}


def _complete(spec: Obj) -> None:
    """Keep clusterIP and clusterIPs in step, and say which address family is served."""
    if spec.get("type") == "ExternalName":
        return
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    elif spec.get("clusterIPs") and not spec.get("clusterIP"):
        spec["clusterIP"] = spec["clusterIPs"][0]
    if not spec.get("ipFamilies"):
        spec["ipFamilies"] = ["IPv6" if ":" in (spec.get("clusterIP") or "") else "IPv4"]
    if not spec.get("ipFamilyPolicy"):
        spec["ipFamilyPolicy"] = "SingleStack"


def _carry_allocated(spec: Obj, before: Obj) -> None:
    """What was allocated stays when an update leaves it out. Source: service patchAllocatedValues."""
    clustered = ("ClusterIP", "NodePort", "LoadBalancer")
    if spec.get("type") in clustered and before.get("type") in clustered:
        if not spec.get("clusterIP") and not spec.get("clusterIPs"):
            for field in ("clusterIP", "clusterIPs"):
                if field in before:
                    spec[field] = before[field]
        for field in ("ipFamilies", "ipFamilyPolicy"):
            if not spec.get(field) and before.get(field):
                spec[field] = before[field]
    exposed = ("NodePort", "LoadBalancer")
    if spec.get("type") in exposed and before.get("type") in exposed:
        known = {(p.get("protocol"), p.get("port")): p.get("nodePort") for p in before.get("ports") or ()}
        used = {p.get("nodePort") for p in spec.get("ports") or ()}
        for port in spec.get("ports") or ():
            had = known.get((port.get("protocol"), port.get("port")))
            if not port.get("nodePort") and had and had not in used:
                port["nodePort"] = had
        if not spec.get("healthCheckNodePort") and before.get("healthCheckNodePort") and spec.get("externalTrafficPolicy") == "Local":
            spec["healthCheckNodePort"] = before["healthCheckNodePort"]


def _drop_with_type(spec: Obj, before: Obj) -> None:
    """A Service that changes its type loses what only the old type had. Source: service dropTypeDependentFields."""
    if spec.get("type") == before.get("type"):
        return
    if spec.get("type") == "ExternalName":
        for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            if spec.get(field) == before.get(field):
                spec.pop(field, None)
    if spec.get("type") not in ("NodePort", "LoadBalancer"):
        old_ports = {(p.get("protocol"), p.get("port"), p.get("nodePort")) for p in before.get("ports") or ()}
        for port in spec.get("ports") or ():
            if (port.get("protocol"), port.get("port"), port.get("nodePort")) in old_ports:
                port.pop("nodePort", None)
        if not _reachable(spec) and spec.get("externalTrafficPolicy") == before.get("externalTrafficPolicy"):
            spec.pop("externalTrafficPolicy", None)
    if spec.get("type") != "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") == before.get("allocateLoadBalancerNodePorts"):
        spec.pop("allocateLoadBalancerNodePorts", None)


def _check_shape(errors: Errors, spec: Obj) -> None:
    kind = spec.get("type")
    one_of(errors, "spec.type", kind, TYPES)
    if not spec.get("ports") and not is_headless(spec) and kind != "ExternalName":
        errors.append(required("spec.ports"))
    if kind == "LoadBalancer" and is_headless(spec):
        errors.append(invalid_value("spec.clusterIPs[0]", "None", "may not be set to 'None' for LoadBalancer services"))
    if kind == "NodePort" and is_headless(spec):
        errors.append(invalid_value("spec.clusterIPs[0]", "None", "may not be set to 'None' for NodePort services"))
    if kind == "ExternalName":
        for field in ("clusterIP", "clusterIPs"):
            if spec.get(field):
                errors.append(forbidden_field("spec.clusterIPs", "may not be set for ExternalName services"))
                break
        for field in ("ipFamilies", "ipFamilyPolicy"):
            if spec.get(field):
                errors.append(forbidden_field(f"spec.{field}", "may not be set for ExternalName services"))
        name = (spec.get("externalName") or "").removesuffix(".")
        if name:
            invalid_each(errors, "spec.externalName", name, names.dns1123_subdomain(name))
        else:
            errors.append(required("spec.externalName"))


def _check_ports(errors: Errors, spec: Obj) -> None:
    ports = spec.get("ports") or []
    seen_names: set[str] = set()
    seen: set[tuple[Any, Any]] = set()
    seen_node: set[tuple[Any, Any]] = set()
    for i, port in enumerate(ports):
        here, name = f"spec.ports[{i}]", port.get("name") or ""
        if not name:
            if len(ports) > 1:
                errors.append(required(f"{here}.name"))
        else:
            invalid_each(errors, f"{here}.name", name, names.dns1123_label(name))
            if name in seen_names:
                errors.append(duplicate(f"{here}.name", name))
            seen_names.add(name)
        port_or_name(errors, f"{here}.port", port.get("port"))
        one_of(errors, f"{here}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))
        port_or_name(errors, f"{here}.targetPort", port.get("targetPort"))
        if port.get("appProtocol"):
            invalid_each(errors, f"{here}.appProtocol", port["appProtocol"], names.qualified_name(port["appProtocol"]))
        key = (port.get("protocol"), port.get("port"))
        if key in seen:
            errors.append(duplicate(here, {"protocol": key[0], "port": key[1]}))
        seen.add(key)
        if port.get("nodePort"):
            node_key = (port.get("protocol"), port["nodePort"])
            if spec.get("type") in ("ClusterIP", "ExternalName"):
                errors.append(forbidden_field(f"{here}.nodePort", f"may not be used when `type` is '{spec['type']}'"))
            elif node_key in seen_node:
                errors.append(duplicate(f"{here}.nodePort", port["nodePort"]))
            seen_node.add(node_key)


def _check_addresses(errors: Errors, spec: Obj) -> None:
    ips = spec.get("clusterIPs") or []
    if spec.get("clusterIP") and ips and ips[0] != spec["clusterIP"]:
        errors.append(invalid_value("spec.clusterIPs", ips, "first value must match `clusterIP`"))
    for i, ip in enumerate(ips):
        if ip == "None" and i == 0:
            if len(ips) > 1:
                errors.append(invalid_value("spec.clusterIPs", ips, "'None' must be the first and only value"))
        else:
            ip_address(errors, f"spec.clusterIPs[{i}]", ip)
    if len(ips) > 2:
        errors.append(invalid_value("spec.clusterIPs", ips, "may only hold up to 2 values"))
    families = spec.get("ipFamilies") or []
    for i, family in enumerate(families):
        if family not in ("IPv4", "IPv6"):
            errors.append(not_supported(f"spec.ipFamilies[{i}]", family, ("IPv4", "IPv6")))
        elif family in families[:i]:
            errors.append(duplicate(f"spec.ipFamilies[{i}]", family))
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in ("PreferDualStack", "RequireDualStack", "SingleStack"):
        errors.append(not_supported("spec.ipFamilyPolicy", policy, ("PreferDualStack", "RequireDualStack", "SingleStack")))
    for i, ip in enumerate(spec.get("externalIPs") or ()):
        before = len(errors)
        ip_address(errors, f"spec.externalIPs[{i}]", ip)
        if len(errors) == before and _never_external(ip):
            errors.append(invalid_value(f"spec.externalIPs[{i}]", ip, "may not be in the loopback, link-local or unspecified range"))


def _never_external(ip: str) -> bool:
    address = ipaddress.ip_address(ip)
    return address.is_loopback or address.is_link_local or address.is_unspecified


def _check_policies(errors: Errors, spec: Obj) -> None:
    one_of(errors, "spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None"))
    if spec.get("sessionAffinity") == "ClientIP":
        seconds = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds") or 0
        if not 0 < seconds <= _DAY_S:
            errors.append(invalid_value(
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds", seconds, f"must be greater than 0 and less than {_DAY_S}"))
    external, internal = spec.get("externalTrafficPolicy"), spec.get("internalTrafficPolicy")
    if external:
        if not _reachable(spec):
            errors.append(invalid_value("spec.externalTrafficPolicy", external, "may only be set for externally-accessible services"))
        elif external not in ("Cluster", "Local"):
            errors.append(not_supported("spec.externalTrafficPolicy", external, ("Cluster", "Local")))
    elif _reachable(spec):
        errors.append(required("spec.externalTrafficPolicy"))
    if internal is not None and internal not in ("Cluster", "Local"):
        errors.append(not_supported("spec.internalTrafficPolicy", internal, ("Cluster", "Local")))
    if spec.get("healthCheckNodePort") and not (spec.get("type") == "LoadBalancer" and external == "Local"):
        errors.append(invalid_value(
            "spec.healthCheckNodePort", spec["healthCheckNodePort"],
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"))
    if spec.get("allocateLoadBalancerNodePorts") is not None and spec.get("type") != "LoadBalancer":
        errors.append(forbidden_field("spec.allocateLoadBalancerNodePorts", "may only be used when `type` is 'LoadBalancer'"))
    if spec.get("loadBalancerClass") and spec.get("type") != "LoadBalancer":
        errors.append(forbidden_field("spec.loadBalancerClass", "may only be used when `type` is 'LoadBalancer'"))
