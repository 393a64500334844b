"""The node authorizer: a node reads of Secrets, ConfigMaps, claims and tokens only what its own Pods need, and writes only its own objects.

An index of Pods by node follows the read cache; each Pod carries the references its spec makes. What is not about single objects is
a fixed list of rules. Source: plugin/pkg/auth/authorizer/node; pkg/apis RBAC policy NodeRules.
"""

from __future__ import annotations

from typing import Any

from kogia.apiserver.auth.attributes import NO_OPINION, Attributes, Decision, Verdict
from kogia.apiserver.auth.rbac import Rule, rule_allows
from kogia.apiserver.interface import CacheEvent, Obj, ReadCache
from kogia.wire.messages import UserInfo

PREFIX = "system:node:"
_READ = ("get", "list", "watch")
ALLOW = Verdict(Decision.ALLOW)


def rule(verbs: str, groups: str, resources: str) -> Rule:
    """A PolicyRule from words; the core group is written `core`."""
    return {"verbs": verbs.split(), "apiGroups": ["" if g == "core" else g for g in groups.split()], "resources": resources.split()}


#: what every node may do, whatever runs on it
NODE_RULES: list[Rule] = [
    rule("create", "authentication.k8s.io", "tokenreviews"),
    rule("create", "authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews"),
    rule("get list watch", "core", "services endpoints namespaces"),
    rule("get list watch", "discovery.k8s.io", "endpointslices"),
    rule("create get list watch", "core", "nodes"),
    rule("patch update", "core", "nodes nodes/status"),
    rule("create patch update", "core events.k8s.io", "events"),
    rule("get list watch create delete", "core", "pods"),
    rule("patch update", "core", "pods/status"),
    rule("create", "core", "pods/eviction"),
    rule("get list watch", "storage.k8s.io", "csidrivers volumeattachments"),
    rule("create get list watch", "certificates.k8s.io", "certificatesigningrequests podcertificaterequests"),
    rule("get list watch", "certificates.k8s.io", "clustertrustbundles"),
    rule("get list watch", "node.k8s.io", "runtimeclasses"),
    rule("get list watch", "core", "persistentvolumes"),
    rule("update patch", "core", "persistentvolumeclaims/status"),
]


def node_name(user: UserInfo) -> str:
    """The node a user is, or ""."""
    return user.name[len(PREFIX) :] if user.name.startswith(PREFIX) and "system:nodes" in user.groups else ""


def pod_references(pod: Obj) -> frozenset[tuple[str, str]]:
    """(plural, name) of all the Pod's node must read for it, in the Pod's namespace. Mirror Pods are owed nothing."""
    if "kubernetes.io/config.mirror" in (pod["metadata"].get("annotations") or {}):
        return frozenset()
    spec = pod.get("spec") or {}
    found = {("secrets", s.get("name", "")) for s in spec.get("imagePullSecrets") or ()}
    if spec.get("serviceAccountName"):
        found.add(("serviceaccounts", spec["serviceAccountName"]))
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            for source in container.get("envFrom") or ():
                _add(found, source)
            for variable in container.get("env") or ():
                _add(found, variable.get("valueFrom") or {})
    for volume in spec.get("volumes") or ():
        _add_volume(found, volume, pod["metadata"]["name"])
    for claim in spec.get("resourceClaims") or ():
        if claim.get("resourceClaimName"):
            found.add(("resourceclaims", claim["resourceClaimName"]))
    return frozenset(found)


def _add(found: set[tuple[str, str]], source: Obj) -> None:
    for key, plural in (("secretRef", "secrets"), ("secretKeyRef", "secrets"), ("configMapRef", "configmaps"), ("configMapKeyRef", "configmaps")):
        if source.get(key):
            found.add((plural, source[key].get("name", "")))


def _add_volume(found: set[tuple[str, str]], volume: Obj, pod_name: str) -> None:
    if "configMap" in volume:
        found.add(("configmaps", volume["configMap"].get("name", "")))
    elif "secret" in volume:
        found.add(("secrets", volume["secret"].get("secretName", "")))
    elif "persistentVolumeClaim" in volume:
        found.add(("persistentvolumeclaims", volume["persistentVolumeClaim"].get("claimName", "")))
    elif "ephemeral" in volume:
        found.add(("persistentvolumeclaims", f"{pod_name}-{volume['name']}"))
    elif "projected" in volume:
        for source in volume["projected"].get("sources") or ():
            for key, plural in (("secret", "secrets"), ("configMap", "configmaps")):
                if source.get(key):
                    found.add((plural, source[key].get("name", "")))
    else:
        for source in volume.values():
            if isinstance(source, dict):
                for key in ("secretRef", "nodePublishSecretRef"):
                    if isinstance(source.get(key), dict):
                        found.add(("secrets", source[key].get("name", "")))
                if source.get("secretName"):
                    found.add(("secrets", source["secretName"]))


class NodeAuthorizer:
    def __init__(self, cache: ReadCache) -> None:
        self._cache = cache
        self._pods: dict[str, dict[tuple[str, str], frozenset[tuple[str, str]]]] = {}
        cache.on_change(("", "pods"), self._pod_changed)

    def _pod_changed(self, event: CacheEvent) -> None:
        pod = event.current.object()
        node = (pod.get("spec") or {}).get("nodeName", "")
        if not node:
            return
        key = (pod["metadata"].get("namespace", ""), pod["metadata"]["name"])
        if event.type == "DELETED":
            pods = self._pods.get(node)
            if pods is not None:
                pods.pop(key, None)
                if not pods:
                    del self._pods[node]
            return
        pods = self._pods.setdefault(node, {})
        if key not in pods or event.previous is None or event.previous.object().get("spec") != pod["spec"]:
            pods[key] = pod_references(pod)

    def _needs(self, node: str, namespace: str, plural: str, name: str) -> bool:
        return any(key[0] == namespace and (plural, name) in refs for key, refs in self._pods.get(node, {}).items())

    def authorize(self, attributes: Attributes) -> Verdict:
        node = node_name(attributes.user)
        if not node or not attributes.is_resource:
            return NO_OPINION
        special = _SPECIAL.get((attributes.group, attributes.resource))
        if special is not None:
            verdict = special(self, node, attributes)
            if verdict is not None:
                return verdict
        for candidate in NODE_RULES:
            if rule_allows(candidate, attributes):
                return ALLOW
        return NO_OPINION

    def _needed_read(self, node: str, a: Attributes) -> Verdict:
        """get, and list or watch of one named object, of what a Pod here refers to."""
        if a.verb not in _READ or a.subresource:
            return Verdict(Decision.NO_OPINION, "can only read resources of this type")
        if not a.name or not a.namespace:
            return Verdict(Decision.NO_OPINION, "No Object name found")
        if self._needs(node, a.namespace, a.resource, a.name):
            return ALLOW
        return _unrelated(node)

    def _claim(self, node: str, a: Attributes) -> Verdict | None:
        if a.subresource == "status":
            return None
        return self._needed_read(node, a)

    def _service_account(self, node: str, a: Attributes) -> Verdict:
        if a.subresource == "token" and a.verb == "create":
            return ALLOW if self._needs(node, a.namespace, "serviceaccounts", a.name) else _unrelated(node)
        return self._needed_read(node, a)

    def _lease(self, node: str, a: Attributes) -> Verdict:
        if a.namespace != "kube-node-lease":
            return Verdict(Decision.NO_OPINION, 'can only access leases in the "kube-node-lease" system namespace')
        return self._own_object(node, a)

    def _own_object(self, node: str, a: Attributes) -> Verdict:
        if a.subresource or a.verb not in ("get", "create", "update", "patch", "delete"):
            return Verdict(Decision.NO_OPINION, "can only get, create, update, patch, or delete an object of this type")
        if a.verb != "create" and a.name != node:
            return Verdict(Decision.NO_OPINION, "can only access an object of this type with the same name as the requesting node")
        return ALLOW

    def _resource_slice(self, node: str, a: Attributes) -> Verdict:
        return ALLOW

    def _pod(self, node: str, a: Attributes) -> Verdict | None:
        """Reading: one of its own by name, or the collection narrowed to this node; writing is for admission to narrow."""
        if a.subresource or a.verb not in _READ:
            return None
        if a.verb == "get" and a.name:
            return ALLOW if (a.namespace, a.name) in self._pods.get(node, {}) or self._unbound_or_gone(a) else _unrelated(node)
        if f"spec.nodeName={node}" in a.field_selector.replace("==", "=").split(","):
            return ALLOW
        return Verdict(Decision.NO_OPINION, "can only list/watch pods with spec.nodeName field selector")

    def _unbound_or_gone(self, a: Attributes) -> bool:
        """A node may learn that its Pod no longer exists (404), which the index cannot tell from somebody else's."""
        return self._cache.get(("", "pods"), a.name, a.namespace) is None


def _unrelated(node: str) -> Verdict:
    return Verdict(Decision.NO_OPINION, f"no relationship found between node '{node}' and this object")


_SPECIAL: dict[tuple[str, str], Any] = {
    ("", "secrets"): NodeAuthorizer._needed_read,
    ("", "configmaps"): NodeAuthorizer._needed_read,
    ("", "persistentvolumeclaims"): NodeAuthorizer._claim,
    ("resource.k8s.io", "resourceclaims"): NodeAuthorizer._claim,
    ("resource.k8s.io", "resourceslices"): NodeAuthorizer._resource_slice,
    ("", "serviceaccounts"): NodeAuthorizer._service_account,
    ("", "pods"): NodeAuthorizer._pod,
    ("coordination.k8s.io", "leases"): NodeAuthorizer._lease,
    ("storage.k8s.io", "csinodes"): NodeAuthorizer._own_object,
}
