"""A container's environment, as Kubernetes composes it: services, envFrom, env, `$(VAR)`. Pure: what it needs of the API is passed in.

Neighbours: pod_worker.py fetches the ConfigMaps and Secrets named by `references`, runtime_config.py places the result.
Invariants: later sources win; a name may use those defined before it; what cannot be resolved stays as written, `$$` is one `$`.
Source: kubelet's makeEnvironmentVariables, third_party/forked/golang/expansion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kogia.kubelet.downward import field_value, resource_value

Obj = dict[str, Any]


class EnvError(Exception):
    """The container cannot be configured; the message is Kubernetes' (CreateContainerConfigError)."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the node knows besides the Pod. Missing ConfigMaps and Secrets are absent keys."""

    config_maps: Mapping[str, Obj] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)  #: decoded data
    services: Sequence[Obj] = ()  #: of the Pod's namespace
    master_services: Sequence[Obj] = ()  #: `kubernetes` of the default namespace
    pod_ips: Sequence[str] = ()
    host_ips: Sequence[str] = ()
    allocatable: Mapping[str, str] = field(default_factory=dict)


def references(container: Obj) -> tuple[set[str], set[str]]:
    """Names of ConfigMaps and of Secrets that the environment wants."""
    maps: set[str] = set()
    secrets: set[str] = set()
    for source in container.get("envFrom") or []:
        if source.get("configMapRef"):
            maps.add(source["configMapRef"].get("name", ""))
        if source.get("secretRef"):
            secrets.add(source["secretRef"].get("name", ""))
    for variable in container.get("env") or []:
        value_from = variable.get("valueFrom") or {}
        if value_from.get("configMapKeyRef"):
            maps.add(value_from["configMapKeyRef"].get("name", ""))
        if value_from.get("secretKeyRef"):
            secrets.add(value_from["secretKeyRef"].get("name", ""))
    return maps, secrets


def expand(text: str, values: Mapping[str, str]) -> str:
    """`$(NAME)` replaced when known, left verbatim when not; `$$` gives `$`; a lone `$` stays."""
    out: list[str] = []
    at = 0
    while (dollar := text.find("$", at)) >= 0 and dollar + 1 < len(text):
        out.append(text[at:dollar])
        following = text[dollar + 1]
        if following == "$":
            out.append("$")
            at = dollar + 2
        elif following == "(" and (end := text.find(")", dollar)) >= 0:
            name = text[dollar + 2 : end]
            out.append(values.get(name, f"$({name})"))
            at = end + 1
        else:
            out.append("$" + following)
            at = dollar + 2
    return "".join(out) + text[at:]


def service_environment(services: Sequence[Obj]) -> dict[str, str]:
    """`NAME_SERVICE_HOST` and Docker's link variables for services with a cluster IP."""
    env: dict[str, str] = {}
    for service in services:
        spec = service.get("spec") or {}
        ip = spec.get("clusterIP") or ""
        ports = spec.get("ports") or []
        if ip in ("", "None") or not ports:
            continue
        name = service["metadata"]["name"].upper().replace("-", "_")
        host = f"[{ip}]" if ":" in ip else ip
        env[f"{name}_SERVICE_HOST"] = ip
        env[f"{name}_SERVICE_PORT"] = str(ports[0]["port"])
        for port in ports:
            if port.get("name"):
                env[f"{name}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
        for index, port in enumerate(ports):
            protocol = port.get("protocol", "TCP")
            url = f"{protocol.lower()}://{host}:{port['port']}"
            prefix = f"{name}_PORT_{port['port']}_{protocol.upper()}"
            if index == 0:
                env[f"{name}_PORT"] = url
            env |= {prefix: url, f"{prefix}_PROTO": protocol.lower(), f"{prefix}_PORT": str(port["port"]), f"{prefix}_ADDR": ip}
    return env


def environment(container: Obj, pod: Obj, facts: Facts) -> dict[str, str]:
    """Name to value, in an order that is stable. Errors: EnvError, downward.FieldError."""
    masters = [s for s in facts.master_services if s["metadata"]["name"] == "kubernetes"]
    own = list(facts.services) if pod["spec"].get("enableServiceLinks", True) else []
    names = {s["metadata"]["name"] for s in own}
    services = service_environment([s for s in masters if s["metadata"]["name"] not in names] + own)
    result: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        result |= _from_source(source, facts)
    for variable in container.get("env") or []:
        value = _value(variable, container, pod, facts, {**services, **result})
        if value is not None:
            result[variable["name"]] = value
    return result | {k: v for k, v in services.items() if k not in result}


def _from_source(source: Obj, facts: Facts) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    if ref := source.get("configMapRef"):
        found = facts.config_maps.get(ref.get("name", ""))
        if found is None:
            if ref.get("optional"):
                return {}
            raise EnvError(f'configmap "{ref.get("name", "")}" not found')
        return {prefix + k: v for k, v in sorted((found.get("data") or {}).items())}
    if ref := source.get("secretRef"):
        data = facts.secrets.get(ref.get("name", ""))
        if data is None:
            if ref.get("optional"):
                return {}
            raise EnvError(f'secret "{ref.get("name", "")}" not found')
        return {prefix + k: v.decode("utf-8", "replace") for k, v in sorted(data.items())}
    return {}


def _value(variable: Obj, container: Obj, pod: Obj, facts: Facts, known: Mapping[str, str]) -> str | None:
    source = variable.get("valueFrom")
    if not source:
        return expand(variable.get("value") or "", known)
    if ref := source.get("fieldRef"):
        return field_value(ref.get("fieldPath", ""), pod, pod_ips=facts.pod_ips, host_ips=facts.host_ips)
    if ref := source.get("resourceFieldRef"):
        return resource_value(ref, pod, container, facts.allocatable)
    namespace = pod["metadata"].get("namespace", "")
    if ref := source.get("configMapKeyRef"):
        found = facts.config_maps.get(ref.get("name", ""))
        if found is not None and ref["key"] in (found.get("data") or {}):
            return str(found["data"][ref["key"]])
        if ref.get("optional"):
            return None
        if found is None:
            raise EnvError(f'configmap "{ref.get("name", "")}" not found')
        raise EnvError(f"couldn't find key {ref['key']} in ConfigMap {namespace}/{ref.get('name', '')}")
    if ref := source.get("secretKeyRef"):
        data = facts.secrets.get(ref.get("name", ""))
        if data is not None and ref["key"] in data:
            return data[ref["key"]].decode("utf-8", "replace")
        if ref.get("optional"):
            return None
        if data is None:
            raise EnvError(f'secret "{ref.get("name", "")}" not found')
        raise EnvError(f"couldn't find key {ref['key']} in Secret {namespace}/{ref.get('name', '')}")
    return ""
