"""NodeRestriction: a node's credentials write only what is that node's. Source: plugin/pkg/admission/noderestriction."""

from __future__ import annotations

from typing import Any

from kogia.api.status import forbidden
from kogia.apiserver.auth.node import node_name
from kogia.apiserver.interface import AdmissionAttributes, ReadCache

Obj = dict[str, Any]
MIRROR = "kubernetes.io/config.mirror"
RESTRICTED = "node-restriction.kubernetes.io/"
_ALLOWED_LABELS = frozenset((
    "kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch", "beta.kubernetes.io/os", "beta.kubernetes.io/arch",
    "node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type", "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
))


class NodeRestriction:
    def __init__(self, cache: ReadCache) -> None:
        self._cache = cache

    def __call__(self, a: AdmissionAttributes) -> None:
        node = node_name(a.user)
        if not node:
            return
        key = (a.resource.group, a.resource.plural)
        if key == ("", "pods"):
            self._pod(a, node)
        elif key == ("", "nodes"):
            self._node(a, node)
        elif key == ("coordination.k8s.io", "leases"):
            self._lease(a, node)
        elif key == ("", "serviceaccounts") and a.subresource == "token":
            self._token(a, node)

    def _refuse(self, a: AdmissionAttributes, why: str) -> None:
        raise forbidden(a.resource.plural, a.name, why, a.resource.group)

    def _pod(self, a: AdmissionAttributes, node: str) -> None:
        old_node = ((a.old or {}).get("spec") or {}).get("nodeName")
        if a.subresource == "" and a.operation == "CREATE":
            assert a.obj is not None
            if MIRROR not in (a.obj["metadata"].get("annotations") or {}):
                self._refuse(a, f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods')
            if (a.obj.get("spec") or {}).get("nodeName") != node:
                self._refuse(a, f'node "{node}" can only create pods with spec.nodeName set to itself')
        elif a.subresource == "" and a.operation == "DELETE":
            if old_node != node:
                self._refuse(a, f'node "{node}" can only delete pods with spec.nodeName set to itself')
        elif a.subresource == "status":
            if old_node != node:
                self._refuse(a, f'node "{node}" can only update pod status for pods with spec.nodeName set to itself')
            if (a.obj or {}).get("metadata", {}).get("labels") != (a.old or {}).get("metadata", {}).get("labels"):
                self._refuse(a, f'node "{node}" cannot update labels through pod status')
        elif a.subresource == "eviction":
            found = self._cache.get(("", "pods"), a.name, a.namespace)
            if found is not None and (found.object().get("spec") or {}).get("nodeName") != node:
                self._refuse(a, f'node {node} can only evict pods with spec.nodeName set to itself')
        elif a.operation != "CONNECT":
            self._refuse(a, f'unexpected operation "{a.operation}", node "{node}" can only create and delete mirror pods')

    def _node(self, a: AdmissionAttributes, node: str) -> None:
        if a.operation == "DELETE" or a.obj is None:
            self._refuse(a, f'node "{node}" is not allowed to delete node "{a.name}"')
            return
        name = a.obj["metadata"].get("name") or a.name
        if name != node:
            self._refuse(a, f'node "{node}" is not allowed to modify node "{name}"')
        old = a.old or {}
        new_labels = a.obj["metadata"].get("labels") or {}
        old_labels = (old.get("metadata") or {}).get("labels") or {}
        changed = {k for k in {*new_labels, *old_labels} if new_labels.get(k) != old_labels.get(k)}
        bad = sorted(k for k in changed if RESTRICTED in k or (_is_kubernetes(k) and k not in _ALLOWED_LABELS and not _is_kubelet(k)))
        if bad:
            self._refuse(a, f'is not allowed to modify labels: {", ".join(bad)}')
        if a.operation == "UPDATE" and a.subresource == "" and (a.obj.get("spec") or {}).get("taints") != (old.get("spec") or {}).get("taints"):
            self._refuse(a, f'node "{node}" is not allowed to modify taints')

    def _lease(self, a: AdmissionAttributes, node: str) -> None:
        name = (a.obj or {}).get("metadata", {}).get("name") or a.name
        if a.namespace != "kube-node-lease" or name != node:
            self._refuse(a, f'node "{node}" can only access leases with the same name as the requesting node in namespace "kube-node-lease"')

    def _token(self, a: AdmissionAttributes, node: str) -> None:
        reference: Obj = ((a.obj or {}).get("spec") or {}).get("boundObjectRef") or {}
        if reference.get("kind") != "Pod":
            self._refuse(a, "node requested token not bound to a pod")
        found = self._cache.get(("", "pods"), reference.get("name", ""), a.namespace)
        pod: Obj = found.object() if found is not None else {}
        if pod and reference.get("uid") and pod["metadata"]["uid"] != reference["uid"]:
            self._refuse(a, f'the UID in the bound object reference ({reference["uid"]}) does not match the UID in record ({pod["metadata"]["uid"]})')
        if not pod or (pod.get("spec") or {}).get("nodeName") != node:
            self._refuse(a, "node requested token bound to a pod scheduled on a different node")


def _domain(label: str) -> str:
    return label.partition("/")[0] if "/" in label else ""


def _is_kubernetes(label: str) -> bool:
    domain = _domain(label)
    return domain in ("kubernetes.io", "k8s.io") or domain.endswith((".kubernetes.io", ".k8s.io"))


def _is_kubelet(label: str) -> bool:
    domain = _domain(label)
    return any(domain == d or domain.endswith("." + d) for d in ("kubelet.kubernetes.io", "node.kubernetes.io"))
