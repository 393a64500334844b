"""Advice sent as Warning headers with accepted Pods and pod templates: things that are allowed and probably not meant.

Source: kubernetes pkg/api/pod/warnings.go.
"""

from __future__ import annotations

from typing import Any

from kogia.api import names
from kogia.api.quantity import QuantityError, parse

Obj = dict[str, Any]

_DEPRECATED_LABELS = {
    "beta.kubernetes.io/arch": "kubernetes.io/arch", "beta.kubernetes.io/os": "kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
}
_GONE_VOLUMES = ("gitRepo", "glusterfs", "rbd", "cephfs", "storageos", "scaleIO", "quobyte", "flocker", "photonPersistentDisk")


def warn_pod(pod: Obj) -> list[str]:
    """Warnings about a Pod."""
    found = []
    name = (pod.get("metadata") or {}).get("name") or ""
    problems = names.dns1123_label(name) if name else []
    if problems:
        found.append(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
            f"a DNS label is recommended: [{' '.join(problems)}]")
    return found + warn_pod_spec("spec", pod.get("spec") or {})


def warn_template(path: str, template: Obj | None) -> list[str]:
    """Warnings about the template of a workload."""
    return warn_pod_spec(f"{path}.spec", (template or {}).get("spec") or {})


def warn_pod_spec(path: str, spec: Obj) -> list[str]:
    found: list[str] = []
    for label in spec.get("nodeSelector") or ():
        if label in _DEPRECATED_LABELS:
            found.append(f"{path}.nodeSelector[{label}]: deprecated since v1.14; use \"{_DEPRECATED_LABELS[label]}\" instead")
    for i, volume in enumerate(spec.get("volumes") or ()):
        for kind in _GONE_VOLUMES:
            if volume.get(kind) is not None:
                found.append(f"{path}.volumes[{i}].{kind}: deprecated, and no node here can mount it")
    for field in ("containers", "initContainers"):
        for i, container in enumerate(spec.get(field) or ()):
            _warn_container(found, f"{path}.{field}[{i}]", container)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        found.append(f"{path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1")
    return found


def _warn_container(found: list[str], path: str, container: Obj) -> None:
    seen: dict[str, int] = {}
    for j, env in enumerate(container.get("env") or ()):
        name = env.get("name") or ""
        if name in seen:
            found.append(f'{path}.env[{j}]: hides previous definition of "{name}", which may be dropped when using apply')
        seen[name] = j
    ports: dict[tuple[Any, ...], int] = {}
    for j, port in enumerate(container.get("ports") or ()):
        key = (port.get("containerPort"), port.get("protocol"), port.get("hostPort"), port.get("hostIP"))
        if key in ports:
            found.append(f"{path}.ports[{j}]: duplicate port definition with {path}.ports[{ports[key]}]")
        ports.setdefault(key, j)
    resources = container.get("resources")
    if resources:
        _warn_fractions(found, f"{path}.resources", resources)


def _warn_fractions(found: list[str], path: str, resources: Obj) -> None:
    """Bytes come whole: `memory: 100m` is a slip for `100M`."""
    for field in ("limits", "requests"):
        for name in ("memory", "ephemeral-storage"):
            text = (resources.get(field) or {}).get(name)
            if not isinstance(text, str) or not text.endswith("m"):
                continue
            try:
                fraction = parse(text).milli() % 1000
            except QuantityError:
                continue
            if fraction:
                found.append(f"{path}.{field}[{name}]: fractional byte value \"{text}\" is invalid, must be an integer")
