"""The objects every cluster has from its first second: system namespaces, RBAC, priority classes, flow control, and a few facts as ConfigMaps.

Only what is missing is written, all at once, so that the store commits it in a few groups: a fresh store takes tens of milliseconds, one that
has everything takes none. Of bootstrap RBAC objects that an administrator has not opted out of (`autoupdate`), lost rules and subjects come back.
Source: pkg/controlplane (systemnamespaces, clusterauthenticationtrust), rbac bootstrap post-start hook, scheduling and flowcontrol bootstrap.
"""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

from kogia.api.resources import ResourceTable
from kogia.api.status import StatusError
from kogia.apiserver.auth import policy
from kogia.apiserver.config import ApiServerConfig
from kogia.apiserver.interface import Registry
from kogia.wire.messages import UserInfo

log = logging.getLogger("kogia.apiserver.bootstrap")

#: who the server itself is when it writes
SERVER = UserInfo("system:apiserver", groups=("system:masters", "system:authenticated"))
NAMESPACES = ("kube-system", "kube-public", "kube-node-lease", "default")
_AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"

Obj = dict[str, Any]


async def bootstrap(registry: Registry, table: ResourceTable, config: ApiServerConfig) -> int:
    """Write what is missing; the number of objects written. Errors: StatusError, StoreError."""
    written = await _ensure(registry, table, [_namespace(name) for name in NAMESPACES])
    objects = [
        *policy.cluster_roles(), *policy.cluster_role_bindings(), *policy.roles(), *policy.role_bindings(), *priority_classes(), *flow_control(),
        service_cidr(config.service_cidr), authentication_config_map(config),
    ]
    return written + await _ensure(registry, table, objects)


async def _ensure(registry: Registry, table: ResourceTable, objects: list[Obj]) -> int:
    results = await asyncio.gather(*(_ensure_one(registry, table, obj) for obj in objects))
    return sum(results)


async def _ensure_one(registry: Registry, table: ResourceTable, obj: Obj) -> bool:
    group, _, version = obj["apiVersion"].rpartition("/")
    row = table.by_kind(group, version, obj["kind"])
    assert row is not None, obj["kind"]
    metadata = obj["metadata"]
    found = registry.cache.get((group, row.plural), metadata["name"], metadata.get("namespace", ""))
    if found is None:
        try:
            await registry.create_object(row, obj, user=SERVER)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
            return False
        return True
    changed = reconciled(found.object(), obj)
    if changed is None:
        return False
    await registry.update_object(row, changed, user=SERVER)
    return True


def reconciled(existing: Obj, wanted: Obj) -> Obj | None:
    """`existing` with what it has lost of `wanted`, None if it lacks nothing (or is not ours to change). Never takes anything away."""
    if wanted["kind"] == "ConfigMap":
        return None if existing.get("data") == wanted["data"] else {**existing, "data": wanted["data"]}
    if (existing["metadata"].get("annotations") or {}).get(_AUTOUPDATE) != "true":
        return None
    field = "rules" if wanted["kind"] in ("ClusterRole", "Role") else "subjects"
    have = existing.get(field) or []
    if field == "subjects" and existing.get("roleRef") != wanted["roleRef"]:
        return None
    missing = [item for item in wanted.get(field) or () if item not in have]
    return {**existing, field: [*have, *missing]} if missing else None


def _namespace(name: str) -> Obj:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def priority_classes() -> list[Obj]:
    def one(name: str, value: int, text: str) -> Obj:
        return {
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value, "description": text,
            "preemptionPolicy": "PreemptLowerPriority",
        }

    return [
        one("system-node-critical", 2000001000, "Used for system critical pods that must not be moved from their current node."),
        one("system-cluster-critical", 2000000000, "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary."),
    ]


def flow_control() -> list[Obj]:
    """The mandatory pair of levels and schemas, so that those who look find them; limits are enforced by the chain itself."""
    api, auto = "flowcontrol.apiserver.k8s.io/v1", {"apf.kubernetes.io/autoupdate-spec": "true"}

    def level(name: str, spec: Obj) -> Obj:
        return {"apiVersion": api, "kind": "PriorityLevelConfiguration", "metadata": {"name": name, "annotations": dict(auto)}, "spec": spec}

    def schema(name: str, precedence: int, subjects: list[Obj], distinguish: bool) -> Obj:
        everything = {
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}], "subjects": subjects,
        }
        spec: Obj = {"priorityLevelConfiguration": {"name": name}, "matchingPrecedence": precedence, "rules": [everything]}
        if distinguish:
            spec["distinguisherMethod"] = {"type": "ByUser"}
        return {"apiVersion": api, "kind": "FlowSchema", "metadata": {"name": name, "annotations": dict(auto)}, "spec": spec}

    def group(name: str) -> Obj:
        return {"kind": "Group", "group": {"name": name}}

    return [
        level("exempt", {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}),
        level("catch-all", {"type": "Limited", "limited": {"nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"}}}),
        schema("exempt", 1, [group("system:masters")], False),
        schema("catch-all", 10000, [group("system:unauthenticated"), group("system:authenticated")], True),
    ]


def service_cidr(cidr: str) -> Obj:
    return {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "kubernetes"}, "spec": {"cidrs": [cidr]}}


def authentication_config_map(config: ApiServerConfig) -> Obj:
    """What servers behind this one (webhooks, aggregated API servers) need to check who is calling."""
    data = {}
    if config.client_ca:
        data["client-ca-file"] = Path(config.client_ca).read_text()
    if config.front_proxy_ca:
        data |= {
            "requestheader-client-ca-file": Path(config.front_proxy_ca).read_text(), "requestheader-allowed-names": json.dumps(["front-proxy-client"]),
            "requestheader-extra-headers-prefix": json.dumps(["X-Remote-Extra-"]), "requestheader-group-headers": json.dumps(["X-Remote-Group"]),
            "requestheader-username-headers": json.dumps(["X-Remote-User"]),
        }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"}, "data": data}
