"""A Pod told at length, in the order and words of `kubectl describe pod`."""

from __future__ import annotations

import math
from typing import Any

from kogia.cli.connection import Api
from kogia.cli.describe.common import Writer, age, annotation_lines, moment, pairs

Obj = dict[str, Any]


def describe(api: Api, pod: Obj) -> Writer:
    w, meta, spec, status = Writer(), pod["metadata"], pod["spec"], pod.get("status") or {}
    w.line(0, "Name:", meta["name"])
    w.line(0, "Namespace:", meta["namespace"])
    w.line(0, "Priority:", spec.get("priority", 0))
    if spec.get("priorityClassName"):
        w.line(0, "Priority Class Name:", spec["priorityClassName"])
    if spec.get("runtimeClassName"):
        w.line(0, "Runtime Class Name:", spec["runtimeClassName"])
    if spec.get("serviceAccountName"):
        w.line(0, "Service Account:", spec["serviceAccountName"])
    w.line(0, "Node:", f"{spec['nodeName']}/{status.get('hostIP', '')}" if spec.get("nodeName") else "<none>")
    if status.get("startTime"):
        w.line(0, "Start Time:", moment(status["startTime"]))
    pairs(w, "Labels", meta.get("labels"))
    annotation_lines(w, meta.get("annotations"))
    if meta.get("deletionTimestamp"):
        w.line(0, "Status:", f"Terminating (lasts {age(meta['deletionTimestamp'])})")
        w.line(0, "Termination Grace Period:", f"{meta.get('deletionGracePeriodSeconds', 0)}s")
    else:
        w.line(0, "Status:", status.get("phase", ""))
    for title, key in (("Reason", "reason"), ("Message", "message")):
        if status.get(key):
            w.line(0, f"{title}:", status[key])
    w.line(0, "IP:", status.get("podIP", ""))
    w.line(0, "IPs:", *([] if status.get("podIPs") else ["<none>"]))
    for entry in status.get("podIPs") or []:
        w.line(1, "IP:", entry["ip"])
    controller = next((o for o in meta.get("ownerReferences") or [] if o.get("controller")), None)
    if controller:
        w.line(0, "Controlled By:", f"{controller['kind']}/{controller['name']}")
    if status.get("nominatedNodeName"):
        w.line(0, "NominatedNodeName:", status["nominatedNodeName"])
    if spec.get("initContainers"):
        _containers(w, "Init Containers", spec["initContainers"], status.get("initContainerStatuses"))
    _containers(w, "Containers", spec["containers"], status.get("containerStatuses"))
    if spec.get("ephemeralContainers"):
        _containers(w, "Ephemeral Containers", spec["ephemeralContainers"], status.get("ephemeralContainerStatuses"))
    if status.get("conditions"):
        w.line(0, "Conditions:")
        w.line(1, "Type ", "Status")
        for condition in status["conditions"]:
            w.line(1, condition["type"] + " ", condition["status"] + " ")
    _volumes(w, spec.get("volumes") or [])
    w.line(0, "QoS Class:", status.get("qosClass", ""))
    pairs(w, "Node-Selectors", spec.get("nodeSelector"))
    tolerations(w, spec.get("tolerations") or [], 0)
    return w


def containers(w: Writer, title: str, found: list[Obj], statuses: list[Obj] | None, *, indent: str = "") -> None:
    """A block of containers; `indent` shifts it for a template (whose Pod is not there, so without state)."""
    inner = Writer()
    _containers(inner, title, found, statuses)
    w.include(inner, title_lead=indent * 2, lead=indent)


def _containers(w: Writer, title: str, containers: list[Obj], statuses: list[Obj] | None) -> None:
    by_name = {s["name"]: s for s in statuses or []}
    w.line(0, f"{title}:")
    for container in containers:
        status = by_name.get(container["name"])
        w.line(1, f"{container['name']}:")
        if status:
            w.line(2, "Container ID:", status.get("containerID", ""))
        w.line(2, "Image:", container.get("image", ""))
        if status:
            w.line(2, "Image ID:", status.get("imageID", ""))
        _ports(w, container)
        for label, key in (("Command", "command"), ("Args", "args")):
            if container.get(key):
                w.line(2, f"{label}:")
                for line in (line for word in container[key] for line in word.split("\n")):
                    w.line(3, line)
        if status:
            _state(w, "State", status.get("state"))
            if status.get("lastState"):
                _state(w, "Last State", status["lastState"])
            w.line(2, "Ready:", str(bool(status.get("ready"))))
            w.line(2, "Restart Count:", status.get("restartCount", 0))
        resources = container.get("resources") or {}
        for label, key in (("Limits", "limits"), ("Requests", "requests")):
            if resources.get(key):
                w.line(2, f"{label}:")
                for name, value in sorted(resources[key].items()):
                    w.line(3, f"{name}:", value)
        for label, key in (("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")):
            if container.get(key):
                w.line(2, f"{label}:", probe(container[key]))
        _environment(w, container)
        _mounts(w, container)


def _ports(w: Writer, container: Obj) -> None:
    ports = container.get("ports") or []
    shown = ", ".join(f"{p['containerPort']}/{p.get('protocol', 'TCP')}" for p in ports) or "<none>"
    hosts = ", ".join(f"{p.get('hostPort', 0)}/{p.get('protocol', 'TCP')}" for p in ports) or "<none>"
    plural = "s" if len(ports) > 1 else ""
    w.line(2, f"Port{plural}:", shown)
    w.line(2, f"Host Port{plural}:", hosts)


def _state(w: Writer, title: str, state: Obj | None) -> None:
    state = state or {}
    if "running" in state:
        w.line(2, f"{title}:", "Running")
        w.line(3, "Started:", moment(state["running"].get("startedAt")))
    elif "terminated" in state:
        ended = state["terminated"]
        w.line(2, f"{title}:", "Terminated")
        for label, key in (("Reason", "reason"), ("Message", "message")):
            if ended.get(key):
                w.line(3, f"{label}:", ended[key].rstrip("\n"))
        w.line(3, "Exit Code:", ended.get("exitCode", 0))
        if ended.get("signal"):
            w.line(3, "Signal:", ended["signal"])
        w.line(3, "Started:", moment(ended.get("startedAt")))
        w.line(3, "Finished:", moment(ended.get("finishedAt")))
    else:
        w.line(2, f"{title}:", "Waiting")
        if (state.get("waiting") or {}).get("reason"):
            w.line(3, "Reason:", state["waiting"]["reason"])


def probe(p: Obj) -> str:
    """`http-get http://:80/ delay=0s timeout=1s period=10s #success=1 #failure=3`."""
    timing = (f"delay={p.get('initialDelaySeconds', 0)}s timeout={p.get('timeoutSeconds', 1)}s period={p.get('periodSeconds', 10)}s "
              f"#success={p.get('successThreshold', 1)} #failure={p.get('failureThreshold', 3)}")  # fmt: skip
    if "exec" in p:
        return f"exec [{' '.join(p['exec'].get('command') or [])}] {timing}"
    if "httpGet" in p:
        get = p["httpGet"]
        return f"http-get {get.get('scheme', 'HTTP').lower()}://{get.get('host', '')}:{get['port']}{get.get('path', '')} {timing}"
    if "tcpSocket" in p:
        return f"tcp-socket {p['tcpSocket'].get('host', '')}:{p['tcpSocket']['port']} {timing}"
    if "grpc" in p:
        return f"grpc <pod>:{p['grpc']['port']} {p['grpc'].get('service') or ''} {timing}"
    return f"unknown {timing}"


def _environment(w: Writer, container: Obj) -> None:
    for source in container.get("envFrom") or []:
        kind = next((k for k in ("configMapRef", "secretRef") if k in source), "")
        ref: Obj = source.get(kind) or {}
        label = {"configMapRef": "ConfigMap", "secretRef": "Secret"}.get(kind, "")
        if source is container["envFrom"][0]:
            w.line(2, "Environment Variables from:")
        prefix = f" with prefix '{source['prefix']}'" if source.get("prefix") else ""
        w.line(3, ref.get("name", ""), f"{label}{prefix}", f"Optional: {str(bool(ref.get('optional'))).lower()}")
    env = container.get("env") or []
    w.line(2, "Environment:", *([] if env else ["<none>"]))
    for variable in env:
        w.line(3, f"{variable['name']}:", *_env_value(variable, container))


def _env_value(variable: Obj, container: Obj) -> list[str]:
    """The cells after the name: a value, or where it comes from."""
    source = variable.get("valueFrom")
    if not source:
        first, *more = variable.get("value", "").split("\n")
        return ["\n".join([first, *more])]
    if "fieldRef" in source:
        return [f" ({source['fieldRef'].get('apiVersion', 'v1')}:{source['fieldRef']['fieldPath']})"]
    if "resourceFieldRef" in source:
        ref = source["resourceFieldRef"]
        return [f"{_resource_value(ref, container)} ({ref['resource']})"]
    kind = "secret" if "secretKeyRef" in source else "config map"
    chosen: Obj = source.get("secretKeyRef") or source.get("configMapKeyRef") or {}
    where = f"'{chosen.get('key', '')}' {'in' if kind == 'secret' else 'of'} {kind} '{chosen.get('name', '')}'"
    return [f"<set to the key {where}>", f"Optional: {str(bool(chosen.get('optional'))).lower()}"]


def _resource_value(ref: Obj, container: Obj) -> str:
    """What a resourceFieldRef amounts to: the limit or request in units of the divisor, rounded up; "node allocatable" if unset."""
    from kogia.api import quantity

    which, _, name = ref["resource"].partition(".")
    amount = ((container.get("resources") or {}).get(which) or {}).get(name)
    if amount is None:
        return "node allocatable" if which == "limits" else "0"
    divisor = quantity.parse(str(ref.get("divisor") or "1")).value_exact or 1
    return str(math.ceil(quantity.parse(str(amount)).value_exact / divisor))


def _mounts(w: Writer, container: Obj) -> None:
    mounts = sorted(container.get("volumeMounts") or [], key=lambda m: m["mountPath"])
    w.line(2, "Mounts:", *([] if mounts else ["<none>"]))
    for mount in mounts:
        flags = ["ro" if mount.get("readOnly") else "rw"]
        if mount.get("subPath"):
            flags.append(f'path="{mount["subPath"]}"')
        w.line(3, f"{mount['mountPath']} from {mount['name']} ({','.join(flags)})")


def volumes(w: Writer, found: list[Obj], *, indent: str = "") -> None:
    """The block of volumes; `indent` as for containers."""
    inner = Writer()
    _volumes(inner, found)
    w.include(inner, title_lead=indent * 2, lead=indent)


def _volumes(w: Writer, volumes: list[Obj]) -> None:
    w.line(0, "Volumes:", *([] if volumes else ["<none>"]))
    for volume in volumes:
        w.line(1, f"{volume['name']}:")
        kind = next((k for k in volume if k != "name"), "")
        source: Obj = volume.get(kind) or {}
        rows: dict[str, tuple[str, list[tuple[str, Any]]]] = {
            "emptyDir": ("EmptyDir (a temporary directory that shares a pod's lifetime)",
                         [("Medium", source.get("medium", "")), ("SizeLimit", source.get("sizeLimit", "<unset>"))]),
            "hostPath": ("HostPath (bare host directory volume)", [("Path", source.get("path", "")), ("HostPathType", source.get("type", ""))]),
            "configMap": ("ConfigMap (a volume populated by a ConfigMap)", [("Name", source.get("name", "")), ("Optional", str(bool(source.get("optional"))).lower())]),
            "secret": ("Secret (a volume populated by a Secret)", [("SecretName", source.get("secretName", "")), ("Optional", str(bool(source.get("optional"))).lower())]),
            "projected": ("Projected (a volume that contains injected data from multiple sources)", _projected(source)),
            "downwardAPI": ("DownwardAPI (a volume populated by information about the pod)", []),
            "persistentVolumeClaim": ("PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
                                      [("ClaimName", source.get("claimName", "")), ("ReadOnly", str(bool(source.get("readOnly"))).lower())]),
        }  # fmt: skip
        title, fields = rows.get(kind, (kind, []))
        w.line(2, "Type:", title)
        for name, value in fields:
            w.line(2, f"{name}:", value)
        items = source.get("items") if kind in ("downwardAPI",) else None
        if items:
            w.line(2, "Items:")
            for item in items:
                w.line(3, f"{(item.get('fieldRef') or item.get('resourceFieldRef') or {}).get('fieldPath', '')} -> {item['path']}")


def _projected(source: Obj) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for part in source.get("sources") or []:
        if "secret" in part:
            rows += [("SecretName", part["secret"].get("name", "")), ("Optional", str(bool(part["secret"].get("optional"))).lower())]
        elif "downwardAPI" in part:
            rows.append(("DownwardAPI", "true"))
        elif "configMap" in part:
            rows += [("ConfigMapName", part["configMap"].get("name", "")), ("Optional", str(bool(part["configMap"].get("optional"))).lower())]
        elif "serviceAccountToken" in part:
            rows.append(("TokenExpirationSeconds", part["serviceAccountToken"].get("expirationSeconds", 3600)))
    return rows


def tolerations(w: Writer, found: list[Obj], depth: int) -> None:
    if not found:
        w.line(depth, "Tolerations:", "<none>")
    texts = []
    for t in found:
        text = t.get("key", "")
        if t.get("value"):
            text += f"={t['value']}"
        if t.get("effect"):
            text += f":{t['effect']}"
        if t.get("operator") == "Exists" and not t.get("value"):
            text += " op=Exists" if t.get("key") else "op=Exists"
        if t.get("tolerationSeconds") is not None:
            text += f" for {t['tolerationSeconds']}s"
        texts.append(text)
    for i, text in enumerate(sorted(texts)):
        w.line(depth, "Tolerations:" if i == 0 else " ", text)
