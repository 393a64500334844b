"""The smaller kinds: Namespace, Service, ConfigMap, Secret, ServiceAccount, Deployment, ReplicaSet."""

from __future__ import annotations

import base64
from typing import Any

from kogia.cli.connection import Api, ApiFailure
from kogia.cli.describe.common import Writer, annotation_lines, moment, pairs

Obj = dict[str, Any]


def _head(obj: Obj, *, namespaced: bool = True) -> Writer:
    w, meta = Writer(), obj["metadata"]
    w.line(0, "Name:", meta["name"])
    if namespaced:
        w.line(0, "Namespace:", meta.get("namespace", ""))
    pairs(w, "Labels", meta.get("labels"))
    annotation_lines(w, meta.get("annotations"))
    return w


def namespace(api: Api, obj: Obj) -> Writer:
    w = _head(obj, namespaced=False)
    w.line(0, "Status:", (obj.get("status") or {}).get("phase", ""))
    for title, plural in (("resource quota", "resourcequotas"), ("LimitRange resource", "limitranges")):
        items = api.call("GET", f"/api/v1/namespaces/{obj['metadata']['name']}/{plural}")["items"]
        w.line(0, "")
        w.line(0, f"No {title}." if not items else f"{title[0].upper()}{title[1:]}s: " + ", ".join(i["metadata"]["name"] for i in items))
    return w


def service(api: Api, obj: Obj) -> Writer:
    w, spec = _head(obj), obj["spec"]
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
    w = _head(obj)
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
    w = _head(obj)
    w.line(0, "")
    w.line(0, "Type:", obj.get("type", ""))
    w.line(0, "")
    w.line(0, "Data")
    w.line(0, "====")
    for key, value in sorted((obj.get("data") or {}).items()):
        w.line(0, f"{key}:", f"{len(base64.b64decode(value))} bytes")
    return w


def service_account(api: Api, obj: Obj) -> Writer:
    w = _head(obj)
    for title, key in (("Image pull secrets", "imagePullSecrets"), ("Mountable secrets", "secrets")):
        w.line(0, f"{title}:", ", ".join(s["name"] for s in obj.get(key) or []) or "<none>")
    w.line(0, "Tokens:", "<none>")
    return w


def _selector(obj: Obj) -> str:
    labels = (obj["spec"].get("selector") or {}).get("matchLabels") or {}
    return ",".join(f"{k}={v}" for k, v in sorted(labels.items())) or "<none>"


def _template(w: Writer, template: Obj) -> None:
    w.line(0, "Pod Template:")
    pairs(w, "Labels", (template.get("metadata") or {}).get("labels"), 1)
    w.line(1, "Containers:")
    for container in (template.get("spec") or {}).get("containers") or []:
        w.line(2, f"{container['name']}:")
        w.line(3, "Image:", container.get("image", ""))
        ports = ", ".join(f"{p['containerPort']}/{p.get('protocol', 'TCP')}" for p in container.get("ports") or [])
        w.line(3, "Port:", ports or "<none>")


def deployment(api: Api, obj: Obj) -> Writer:
    w, meta, spec, status = Writer(), obj["metadata"], obj["spec"], obj.get("status") or {}
    w.line(0, "Name:", meta["name"])
    w.line(0, "Namespace:", meta["namespace"])
    w.line(0, "CreationTimestamp:", moment(meta["creationTimestamp"]))
    pairs(w, "Labels", meta.get("labels"))
    annotation_lines(w, meta.get("annotations"))
    w.line(0, "Selector:", _selector(obj))
    w.line(0, "Replicas:", f"{spec.get('replicas', 0)} desired | {status.get('updatedReplicas', 0)} updated | {status.get('replicas', 0)} total | "
           f"{status.get('availableReplicas', 0)} available | {status.get('unavailableReplicas', 0)} unavailable")  # fmt: skip
    w.line(0, "StrategyType:", (spec.get("strategy") or {}).get("type", ""))
    w.line(0, "MinReadySeconds:", spec.get("minReadySeconds", 0))
    _template(w, spec["template"])
    return w


def replica_set(api: Api, obj: Obj) -> Writer:
    w, meta, spec, status = Writer(), obj["metadata"], obj["spec"], obj.get("status") or {}
    w.line(0, "Name:", meta["name"])
    w.line(0, "Namespace:", meta["namespace"])
    w.line(0, "Selector:", _selector(obj))
    pairs(w, "Labels", meta.get("labels"))
    annotation_lines(w, meta.get("annotations"))
    w.line(0, "Replicas:", f"{status.get('replicas', 0)} current / {spec.get('replicas', 0)} desired")
    _template(w, spec["template"])
    return w
