"""The smaller kinds: Namespace, Service, ConfigMap, Secret, ServiceAccount."""

from __future__ import annotations

import base64
from typing import Any

from kogia.cli.connection import Api, ApiFailure
from kogia.cli.describe.common import Writer, annotation_lines, pairs

Obj = dict[str, Any]


def head(obj: Obj, *, namespaced: bool = True) -> Writer:
    """Name, namespace, labels and annotations, as most descriptions begin."""
    w, meta = Writer(), obj["metadata"]
    w.line(0, "Name:", meta["name"])
    if namespaced:
        w.line(0, "Namespace:", meta.get("namespace", ""))
    pairs(w, "Labels", meta.get("labels"))
    annotation_lines(w, meta.get("annotations"))
    return w


def namespace(api: Api, obj: Obj) -> Writer:
    from kogia.cli.describe import policy

    w = head(obj, namespaced=False)
    w.line(0, "Status:", (obj.get("status") or {}).get("phase", ""))
    place = f"/api/v1/namespaces/{obj['metadata']['name']}"
    w.line(0, "")
    quotas = api.call("GET", f"{place}/resourcequotas")["items"]
    if not quotas:
        w.line(0, "No resource quota.")
    else:
        w.line(0, "Resource Quotas")
        for quota in quotas:
            policy.quota_of_namespace(w, quota)
    w.line(0, "")
    ranges = api.call("GET", f"{place}/limitranges")["items"]
    if not ranges:
        w.line(0, "No LimitRange resource.")
    else:
        w.line(0, "Resource Limits")
        policy.limits(w, [limit for item in ranges for limit in (item.get("spec") or {}).get("limits") or []], " ", "----")
    return w


def service(api: Api, obj: Obj) -> Writer:
    w, spec = head(obj), obj["spec"]
    pairs(w, "Selector", spec.get("selector"))
    w.line(0, "Type:", spec.get("type", ""))
    w.line(0, "IP Family Policy:", spec.get("ipFamilyPolicy", "<none>"))
    w.line(0, "IP Families:", ",".join(spec.get("ipFamilies") or []) or "<none>")
    w.line(0, "IP:", spec.get("clusterIP", ""))
    w.line(0, "IPs:", ",".join(spec.get("clusterIPs") or []) or "<none>")
    if spec.get("externalName"):
        w.line(0, "External Name:", spec["externalName"])
    addresses = _addresses(api, obj)
    for port in spec.get("ports") or []:
        w.line(0, "Port:", f"{port.get('name') or '<unset>'}", f"{port['port']}/{port.get('protocol', 'TCP')}")
        w.line(0, "TargetPort:", f"{port.get('targetPort', port['port'])}/{port.get('protocol', 'TCP')}")
        if port.get("nodePort"):
            w.line(0, "NodePort:", f"{port.get('name') or '<unset>'}", f"{port['nodePort']}/{port.get('protocol', 'TCP')}")
        w.line(0, "Endpoints:", addresses)
    w.line(0, "Session Affinity:", spec.get("sessionAffinity", "None"))
    if spec.get("externalTrafficPolicy"):
        w.line(0, "External Traffic Policy:", spec["externalTrafficPolicy"])
    if spec.get("internalTrafficPolicy"):
        w.line(0, "Internal Traffic Policy:", spec["internalTrafficPolicy"])
    return w


def _addresses(api: Api, obj: Obj) -> str:
    try:
        meta = obj["metadata"]
        found = api.call("GET", f"/api/v1/namespaces/{meta['namespace']}/endpoints/{meta['name']}")
    except ApiFailure:
        return "<none>"
    out = [f"{a['ip']}:{p['port']}" for s in found.get("subsets") or [] for a in s.get("addresses") or [] for p in s.get("ports") or [{"port": 0}]]
    return ",".join(out[:3]) + (f" + {len(out) - 3} more..." if len(out) > 3 else "") if out else "<none>"


def config_map(api: Api, obj: Obj) -> Writer:
    w = head(obj)
    w.line(0, "")
    w.line(0, "Data")
    w.line(0, "====")
    for key, value in sorted((obj.get("data") or {}).items()):
        w.line(0, f"{key}:")
        w.line(0, "----")
        for line in value.split("\n"):
            w.line(0, line)
        w.line(0, "")
    w.line(0, "")
    w.line(0, "BinaryData")
    w.line(0, "====")
    for key, value in sorted((obj.get("binaryData") or {}).items()):
        w.line(0, f"{key}: {len(base64.b64decode(value))} bytes")
    w.line(0, "")
    return w


def secret(api: Api, obj: Obj) -> Writer:
    w = head(obj)
    w.line(0, "")
    w.line(0, "Type:", obj.get("type", ""))
    w.line(0, "")
    w.line(0, "Data")
    w.line(0, "====")
    for key, value in sorted((obj.get("data") or {}).items()):
        w.line(0, f"{key}:", f"{len(base64.b64decode(value))} bytes")
    return w


def service_account(api: Api, obj: Obj) -> Writer:
    w = head(obj)
    for title, key in (("Image pull secrets", "imagePullSecrets"), ("Mountable secrets", "secrets")):
        w.line(0, f"{title}:", ", ".join(s["name"] for s in obj.get(key) or []) or "<none>")
    w.line(0, "Tokens:", "<none>")
    return w
