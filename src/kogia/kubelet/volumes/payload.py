"""What the files of configMap, secret, downwardAPI and projected volumes contain. Pure.

Neighbours: pod_volumes.py fetches the sources, atomic_writer.py writes the result.
Source: kubelet volume/{configmap,secret,downwardapi,projected} MakePayload.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from kogia.kubelet.downward import field_value, resource_value
from kogia.kubelet.volumes.atomic_writer import File

Obj = dict[str, Any]
Payload = dict[str, File]

DEFAULT_MODE = 0o644


class PayloadError(Exception):
    """A source or key is missing; the message is Kubernetes'."""


def config_map_data(config_map: Obj) -> dict[str, bytes]:
    data = {k: v.encode() for k, v in (config_map.get("data") or {}).items()}
    return data | {k: base64.b64decode(v) for k, v in (config_map.get("binaryData") or {}).items()}


def secret_data(secret: Obj) -> dict[str, bytes]:
    return {k: base64.b64decode(v) for k, v in (secret.get("data") or {}).items()}


def keyed(data: Mapping[str, bytes] | None, source: Obj, default_mode: int, kind: str, name: str) -> Payload:
    """`kind` is "configmap" or "secret"; `data` None means that it does not exist."""
    optional = bool(source.get("optional"))
    if data is None:
        if optional:
            return {}
        raise PayloadError(f'{kind} "{name}" not found')
    items = source.get("items")
    if not items:
        return {key: File(value, default_mode) for key, value in data.items()}
    payload: Payload = {}
    for item in items:
        if item["key"] not in data:
            if optional:
                continue
            what = "configmap references non-existent config key" if kind == "configmap" else "references non-existent secret key"
            raise PayloadError(f"{what}: {item['key']}")
        payload[item["path"]] = File(data[item["key"]], item.get("mode", default_mode))
    return payload


def downward(
    items: Sequence[Obj], default_mode: int, pod: Obj, *, pod_ips: Sequence[str] = (), host_ips: Sequence[str] = (),
    allocatable: Mapping[str, str] | None = None,
) -> Payload:
    """Errors: downward.FieldError."""
    payload: Payload = {}
    for item in items:
        if ref := item.get("fieldRef"):
            text = field_value(ref.get("fieldPath", ""), pod, pod_ips=pod_ips, host_ips=host_ips)
        else:
            text = resource_value(item["resourceFieldRef"], pod, {}, allocatable or {})
        payload[item["path"]] = File(text.encode(), item.get("mode", default_mode))
    return payload


def token_file(token: str, pod: Obj, default_mode: int) -> File:
    """A service-account token is readable by its user only, where user or group are known."""
    users = {_run_as_user(c, pod) for c in pod["spec"]["containers"] + (pod["spec"].get("initContainers") or [])}
    user = users.pop() if len(users) == 1 else None
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    mode = 0o600 if user is not None or group is not None else default_mode
    return File(token.encode(), mode, -1 if user is None else user)


def _run_as_user(container: Obj, pod: Obj) -> int | None:
    user = (container.get("securityContext") or {}).get("runAsUser")
    if user is None:
        user = (pod["spec"].get("securityContext") or {}).get("runAsUser")
    return None if user is None else int(user)


