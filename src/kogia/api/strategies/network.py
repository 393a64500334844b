"""Strategies of Ingress, IngressClass, NetworkPolicy, EndpointSlice, ServiceCIDR and IPAddress.

Source: kubernetes pkg/apis/{networking,discovery}/{v1,validation}.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from kogia.api import names
from kogia.api.status import FieldError, invalid_value, not_supported, required
from kogia.api.strategies.base import KindStrategy
from kogia.api.strategies.rules import Errors, immutable, invalid_each, ip_address, label_selector, one_of, port_or_name

Obj = dict[str, Any]


class IngressStrategy(KindStrategy):
    has_generation = True

    def on_create(self, obj: Obj) -> None:
        obj["status"] = {"loadBalancer": {}}

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        spec = obj.get("spec") or {}
        if not spec.get("rules") and spec.get("defaultBackend") is None:
            errors.append(invalid_value("spec", spec.get("rules"), "either `defaultBackend` or `rules` must be specified"))
        if spec.get("defaultBackend") is not None:
            _backend(errors, "spec.defaultBackend", spec["defaultBackend"])
        for i, rule in enumerate(spec.get("rules") or ()):
            _rule(errors, f"spec.rules[{i}]", rule)
        for i, tls in enumerate(spec.get("tls") or ()):
            for j, host in enumerate(tls.get("hosts") or ()):
                check = names.wildcard_dns1123_subdomain if "*" in host else names.dns1123_subdomain
                invalid_each(errors, f"spec.tls[{i}].hosts[{j}]", host, check(host))
        name = spec.get("ingressClassName")
        if name is not None:
            invalid_each(errors, "spec.ingressClassName", name, names.dns1123_subdomain(name))
        return errors


def _rule(errors: Errors, path: str, rule: Obj) -> None:
    host = rule.get("host")
    if host:
        try:
            ipaddress.ip_address(host)
            errors.append(invalid_value(f"{path}.host", host, "must be a DNS name, not an IP address"))
        except ValueError:
            check = names.wildcard_dns1123_subdomain if "*" in host else names.dns1123_subdomain
            invalid_each(errors, f"{path}.host", host, check(host))
    http = rule.get("http")
    if http is None:
        return
    if not http.get("paths"):
        errors.append(required(f"{path}.http.paths"))
    for i, entry in enumerate(http.get("paths") or ()):
        here, kind, value = f"{path}.http.paths[{i}]", entry.get("pathType"), entry.get("path") or ""
        if kind is None:
            errors.append(required(f"{here}.pathType", "pathType must be specified"))
        elif kind not in ("Exact", "ImplementationSpecific", "Prefix"):
            errors.append(not_supported(f"{here}.pathType", kind, ("Exact", "ImplementationSpecific", "Prefix")))
        elif (kind != "ImplementationSpecific" or value) and not value.startswith("/"):
            errors.append(invalid_value(f"{here}.path", value, "must be an absolute path"))
        _backend(errors, f"{here}.backend", entry.get("backend") or {})


def _backend(errors: Errors, path: str, backend: Obj) -> None:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        errors.append(invalid_value(path, "", "cannot set both resource and service backends"))
    elif resource is not None:
        for field in ("kind", "name"):
            if not resource.get(field):
                errors.append(required(f"{path}.resource.{field}"))
    elif service is None:
        errors.append(required(f"{path}", "must specify either a service or a resource backend"))
    else:
        name, port = service.get("name") or "", service.get("port") or {}
        if not name:
            errors.append(required(f"{path}.service.name"))
        else:
            invalid_each(errors, f"{path}.service.name", name, names.dns1035_label(name))
        if port.get("name") and port.get("number"):
            errors.append(invalid_value(path, "", "cannot set both port name & port number"))
        elif port.get("name"):
            invalid_each(errors, f"{path}.service.port.name", port["name"], names.port_name(port["name"]))
        elif port.get("number"):
            port_or_name(errors, f"{path}.service.port.number", port["number"])
        else:
            errors.append(required(path, "port name or number is required"))


class IngressClassStrategy(KindStrategy):
    has_generation = True

    def check(self, obj: Obj) -> list[FieldError]:
        controller = (obj.get("spec") or {}).get("controller") or ""
        if not controller:
            return [required("spec.controller")]
        return [] if "/" in controller else [invalid_value("spec.controller", controller, "must be a domain-prefixed path (such as \"acme.io/foo\")")]

    def check_change(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        errors: Errors = []
        immutable(errors, "spec.controller", (obj.get("spec") or {}).get("controller"), (old.get("spec") or {}).get("controller"))
        return errors


class NetworkPolicyStrategy(KindStrategy):
    has_generation = True

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        if not spec.get("policyTypes"):
            spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
        for direction in ("ingress", "egress"):
            for rule in spec.get(direction) or ():
                for port in rule.get("ports") or ():
                    if port.get("protocol") is None:
                        port["protocol"] = "TCP"

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        spec = obj.get("spec") or {}
        label_selector(errors, "spec.podSelector", spec.get("podSelector"))
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for i, rule in enumerate(spec.get(direction) or ()):
                here = f"spec.{direction}[{i}]"
                for j, port in enumerate(rule.get("ports") or ()):
                    _policy_port(errors, f"{here}.ports[{j}]", port)
                for j, peer in enumerate(rule.get(peers) or ()):
                    _peer(errors, f"{here}.{peers}[{j}]", peer)
        kinds = spec.get("policyTypes") or []
        for i, kind in enumerate(kinds):
            if kind not in ("Egress", "Ingress"):
                errors.append(not_supported(f"spec.policyTypes[{i}]", kind, ("Egress", "Ingress")))
        if len(kinds) > 2:
            errors.append(invalid_value("spec.policyTypes", kinds, "may not specify more than two policyTypes"))
        return errors


def _policy_port(errors: Errors, path: str, port: Obj) -> None:
    if port.get("protocol") not in (None, "SCTP", "TCP", "UDP"):
        errors.append(not_supported(f"{path}.protocol", port["protocol"], ("SCTP", "TCP", "UDP")))
    if port.get("port") is not None:
        port_or_name(errors, f"{path}.port", port["port"])
    end = port.get("endPort")
    if end is not None:
        if port.get("port") is None:
            errors.append(invalid_value(f"{path}.endPort", end, "may not be specified when `port` is not specified"))
        elif isinstance(port["port"], str):
            errors.append(invalid_value(f"{path}.endPort", end, "may not be specified when `port` is non-numeric"))
        elif end < port["port"]:
            errors.append(invalid_value(f"{path}.endPort", end, "must be greater than or equal to `port`"))


def _peer(errors: Errors, path: str, peer: Obj) -> None:
    for field in ("podSelector", "namespaceSelector"):
        label_selector(errors, f"{path}.{field}", peer.get(field))
    block = peer.get("ipBlock")
    selects = peer.get("podSelector") is not None or peer.get("namespaceSelector") is not None
    if block is None:
        if not selects:
            errors.append(required(path, "must specify a peer"))
        return
    if selects:
        errors.append(FieldError("FieldValueForbidden", path, "Forbidden: may not specify both ipBlock and another peer"))
    try:
        network = ipaddress.ip_network(block.get("cidr") or "", strict=False)
    except ValueError:
        errors.append(invalid_value(f"{path}.ipBlock.cidr", block.get("cidr") or "", "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"))
        return
    for i, text in enumerate(block.get("except") or ()):
        try:
            inside = ipaddress.ip_network(text, strict=False)
        except ValueError:
            errors.append(invalid_value(f"{path}.ipBlock.except[{i}]", text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"))
            continue
        if inside.version != network.version or not inside.subnet_of(network) or inside == network:  # type: ignore[arg-type]
            errors.append(invalid_value(f"{path}.ipBlock.except[{i}]", text, "must be a strict subset of `cidr`"))


class EndpointSliceStrategy(KindStrategy):
    has_generation = True

    def default(self, obj: Obj) -> None:
        for port in obj.get("ports") or ():
            if port.get("name") is None:
                port["name"] = ""
            if port.get("protocol") is None:
                port["protocol"] = "TCP"

    def counts_as_change(self, obj: Obj, old: Obj) -> bool:
        return (obj["metadata"].get("labels") or {}) != (old["metadata"].get("labels") or {}) or super().counts_as_change(obj, old)

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        family = obj.get("addressType")
        one_of(errors, "addressType", family, ("FQDN", "IPv4", "IPv6"))
        endpoints, ports = obj.get("endpoints") or [], obj.get("ports") or []
        if len(endpoints) > 1000:
            errors.append(FieldError("FieldValueTooMany", "endpoints", f"Too many: {len(endpoints)}: must have at most 1000 items"))
        for i, endpoint in enumerate(endpoints):
            addresses = endpoint.get("addresses") or []
            if not addresses:
                errors.append(required(f"endpoints[{i}].addresses", "must contain at least 1 address"))
            for j, address in enumerate(addresses):
                here = f"endpoints[{i}].addresses[{j}]"
                if family == "FQDN":
                    invalid_each(errors, here, address, names.dns1123_subdomain(address))
                elif family in ("IPv4", "IPv6"):
                    before = len(errors)
                    ip_address(errors, here, address)
                    if len(errors) == before and (":" in address) != (family == "IPv6"):
                        errors.append(invalid_value(here, address, f"must be an {family} address"))
        seen: set[str] = set()
        for i, port in enumerate(ports):
            name = port.get("name") or ""
            if name in seen:
                errors.append(FieldError("FieldValueDuplicate", "ports", f'Duplicate value: "{name}"'))
            seen.add(name)
            one_of(errors, f"ports[{i}].protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))
        return errors

    def check_change(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        errors: Errors = []
        immutable(errors, "addressType", obj.get("addressType"), old.get("addressType"))
        return errors


class ServiceCIDRStrategy(KindStrategy):
    def check_change(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        errors: Errors = []
        immutable(errors, "spec.cidrs", (obj.get("spec") or {}).get("cidrs"), (old.get("spec") or {}).get("cidrs"))
        return errors


def _ip_name(name: str) -> list[str]:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    return []


class IPAddressStrategy(KindStrategy):
    name_check = staticmethod(_ip_name)
    field_labels = frozenset(("spec.parentRef.name",))

    def check(self, obj: Obj) -> list[FieldError]:
        errors: Errors = []
        parent = (obj.get("spec") or {}).get("parentRef")
        if parent is None:
            return [required("spec.parentRef")]
        for field in ("resource", "name"):
            if not parent.get(field):
                errors.append(required(f"spec.parentRef.{field}"))
        return errors

    def fields(self, obj: Obj) -> dict[str, str]:
        return {"spec.parentRef.name": ((obj.get("spec") or {}).get("parentRef") or {}).get("name") or ""}
