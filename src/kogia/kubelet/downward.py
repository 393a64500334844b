"""The downward API's values: fields of the Pod and container resources as text. Pure.

Used for environment (env.py) and for files (volumes/payload.py). Source: k8s.io/kubernetes pkg/fieldpath and api/v1/resource helpers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Any

from kogia.api import quantity

Obj = dict[str, Any]

_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['(.*)'\]$")


class FieldError(Exception):
    """The field cannot be given; the message is Kubernetes'."""


def format_map(values: Mapping[str, str]) -> str:
    """Labels or annotations as a file: sorted lines of `key="escaped value"`."""
    return "\n".join(f"{key}={json.dumps(str(values[key]), ensure_ascii=False)}" for key in sorted(values))


def field_value(path: str, pod: Obj, *, pod_ips: Sequence[str] = (), host_ips: Sequence[str] = ()) -> str:
    """Errors: FieldError for an unknown path."""
    metadata, spec = pod["metadata"], pod["spec"]
    match = _SUBSCRIPT.match(path)
    if match:
        return str((metadata.get(match[1]) or {}).get(match[2], ""))
    simple = {
        "metadata.name": metadata.get("name", ""),
        "metadata.namespace": metadata.get("namespace", ""),
        "metadata.uid": metadata.get("uid", ""),
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": host_ips[0] if host_ips else "",
        "status.hostIPs": ",".join(host_ips),
        "status.podIP": pod_ips[0] if pod_ips else "",
        "status.podIPs": ",".join(pod_ips),
    }
    if path in simple:
        return str(simple[path])
    if path in ("metadata.labels", "metadata.annotations"):
        return format_map(metadata.get(path.split(".")[1]) or {})
    raise FieldError(f"unsupported fieldPath: {path}")


def resource_value(ref: Obj, pod: Obj, container: Obj, allocatable: Mapping[str, str]) -> str:
    """`limits.cpu` and the like, divided by the divisor and rounded up; an unset limit is the node's allocatable. Errors: FieldError."""
    name = ref.get("containerName") or container.get("name")
    spec = pod["spec"]
    found = next((c for c in spec["containers"] + (spec.get("initContainers") or []) if c["name"] == name), None)
    if found is None:
        raise FieldError(f"container {name} not found")
    kind, _, resource = ref["resource"].partition(".")
    if kind not in ("limits", "requests") or not resource:
        raise FieldError(f"unsupported container resource : {ref['resource']}")
    resources = found.get("resources") or {}
    value = (resources.get(kind) or {}).get(resource)
    if value is None and kind == "limits" and resource in ("cpu", "memory", "ephemeral-storage"):
        value = allocatable.get(resource)
    divisor = quantity.parse(ref.get("divisor") or "1").value_exact or Decimal(1)
    amount = quantity.parse(value or "0").value_exact
    return str(int((amount / divisor).to_integral_value(ROUND_CEILING)))
