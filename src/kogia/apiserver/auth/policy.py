"""The ClusterRoles, Roles and bindings every cluster starts with, as data.

`bootstrap.py` writes those that are missing; an administrator's changes to existing ones are kept (see `needs_reconcile` there).
Source: plugin/pkg/auth/authorizer/rbac/bootstrappolicy (policy.go, namespace_policy.go). Controllers' roles are in `policy_controllers.py`.
"""

from __future__ import annotations

from typing import Any

from kogia.apiserver.auth.node import NODE_RULES, rule
from kogia.apiserver.auth.policy_controllers import controller_roles

Obj = dict[str, Any]
API_VERSION = "rbac.authorization.k8s.io/v1"
LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
AUTOUPDATE = {"rbac.authorization.kubernetes.io/autoupdate": "true"}

READ = "get list watch"
WRITE = "create delete deletecollection patch update"
ALL = f"{READ} {WRITE}"
EVENTS = rule("create patch update", "core events.k8s.io", "events")


def _paths(*urls: str) -> Obj:
    return {"verbs": ["get"], "nonResourceURLs": list(urls)}


def _named(verbs: str, groups: str, resources: str, names: str) -> Obj:
    return {**rule(verbs, groups, resources), "resourceNames": names.split()}


def _lease_lock(name: str) -> list[Obj]:
    return [rule("create list watch", "coordination.k8s.io", "leases"), _named("get update", "coordination.k8s.io", "leases", name)]


_VIEW = [
    rule(READ, "core", "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers "
         "replicationcontrollers/scale serviceaccounts services services/status"),
    rule(READ, "core", "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status resourcequotas resourcequotas/status"),
    rule(READ, "core", "namespaces"),
    rule(READ, "discovery.k8s.io", "endpointslices"),
    rule(READ, "apps", "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets "
         "replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status"),
    rule(READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
    rule(READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
    rule(READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
    rule(READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
    rule(READ, "resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates"),
]
_EDIT = [
    rule(READ, "core", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
    rule("impersonate", "core", "serviceaccounts"),
    rule(WRITE, "core", "pods pods/attach pods/exec pods/portforward pods/proxy"),
    rule("create", "core", "pods/eviction"),
    rule("patch update", "core", "pods/resize"),
    rule(WRITE, "core", "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets serviceaccounts services services/proxy"),
    rule("create", "core", "serviceaccounts/token"),
    rule(WRITE, "apps", "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale"),
    rule(WRITE, "autoscaling", "horizontalpodautoscalers"),
    rule(WRITE, "batch", "cronjobs jobs"),
    rule(WRITE, "policy", "poddisruptionbudgets"),
    rule(WRITE, "networking.k8s.io", "ingresses networkpolicies"),
    rule(WRITE, "resource.k8s.io", "resourceclaims resourceclaimtemplates"),
    rule("create delete deletecollection get list patch update watch", "coordination.k8s.io", "leases"),
]
_ADMIN = [
    rule("create", "authorization.k8s.io", "localsubjectaccessreviews"),
    rule(ALL, "rbac.authorization.k8s.io", "rolebindings roles"),
]

_SCHEDULER = [
    EVENTS,
    *_lease_lock("kube-scheduler"),
    rule(READ, "core", "nodes"),
    rule("delete get list watch", "core", "pods"),
    rule("create", "core", "bindings pods/binding"),
    rule("patch update", "core", "pods/status"),
    rule(READ, "core", "replicationcontrollers services namespaces persistentvolumes"),
    rule(READ, "apps", "replicasets statefulsets"),
    rule(READ, "policy", "poddisruptionbudgets"),
    rule("get list watch patch update", "core", "persistentvolumeclaims"),
    rule(READ, "storage.k8s.io", "csidrivers csinodes csistoragecapacities storageclasses volumeattachments"),
    rule(READ, "resource.k8s.io", "deviceclasses resourceslices"),
    rule("get list watch patch update", "resource.k8s.io", "resourceclaims resourceclaims/status"),
    rule("create", "authentication.k8s.io", "tokenreviews"),
    rule("create", "authorization.k8s.io", "subjectaccessreviews"),
]
_CONTROLLER_MANAGER = [
    EVENTS,
    *_lease_lock("kube-controller-manager"),
    rule("create", "core", "secrets serviceaccounts serviceaccounts/token"),
    rule("delete", "core", "secrets"),
    rule("get", "core", "configmaps namespaces secrets serviceaccounts"),
    rule("update", "core", "secrets serviceaccounts"),
    rule("create", "authentication.k8s.io", "tokenreviews"),
    rule("create", "authorization.k8s.io", "subjectaccessreviews"),
    rule("list watch", "*", "*"),
]
_PROXIER = [
    rule("list watch", "core", "endpoints services"),
    rule("get list watch", "core", "nodes"),
    EVENTS,
    rule("list watch", "discovery.k8s.io", "endpointslices"),
    rule("list watch", "networking.k8s.io", "servicecidrs"),
]
_DNS = [rule("list watch", "core", "endpoints services pods namespaces"), rule("list watch", "discovery.k8s.io", "endpointslices")]
_DISCOVERY_PATHS = ("/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version", "/version/")


def _role(name: str, rules: list[Obj], *, labels: dict[str, str] | None = None, aggregate: str = "") -> Obj:
    role: Obj = {
        "apiVersion": API_VERSION, "kind": "ClusterRole",
        "metadata": {"name": name, "labels": {**LABELS, **(labels or {})}, "annotations": dict(AUTOUPDATE)}, "rules": rules,
    }
    if aggregate:
        key = f"rbac.authorization.k8s.io/aggregate-to-{aggregate}"
        role["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {key: "true"}}]}
    return role


def cluster_roles() -> list[Obj]:
    """Fresh objects each call."""
    to = "rbac.authorization.k8s.io/aggregate-to-"
    roles = [
        _role("cluster-admin", [rule("*", "*", "*"), {"verbs": ["*"], "nonResourceURLs": ["*"]}]),
        _role("admin", [*_ADMIN, *_EDIT, *_VIEW], aggregate="admin"),
        _role("edit", [*_EDIT, *_VIEW], labels={to + "admin": "true"}, aggregate="edit"),
        _role("view", list(_VIEW), labels={to + "edit": "true"}, aggregate="view"),
        _role("system:aggregate-to-admin", _ADMIN, labels={to + "admin": "true"}),
        _role("system:aggregate-to-edit", _EDIT, labels={to + "edit": "true"}),
        _role("system:aggregate-to-view", _VIEW, labels={to + "view": "true"}),
        _role("system:discovery", [_paths(*_DISCOVERY_PATHS)]),
        _role("system:public-info-viewer", [_paths("/healthz", "/livez", "/readyz", "/version", "/version/")]),
        _role("system:monitoring", [_paths("/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/metrics/slis", "/readyz", "/readyz/*")]),
        _role("system:basic-user", [
            rule("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
            rule("create", "authentication.k8s.io", "selfsubjectreviews"),
        ]),
        _role("system:heapster", [rule(READ, "core", "events namespaces nodes pods"), rule(READ, "apps", "deployments")]),
        _role("system:node", NODE_RULES),
        _role("system:node-problem-detector", [rule("get", "core", "nodes"), rule("patch", "core", "nodes/status"), EVENTS]),
        _role("system:node-proxier", _PROXIER),
        _role("system:node-bootstrapper", [rule("create get list watch", "certificates.k8s.io", "certificatesigningrequests")]),
        _role("system:kubelet-api-admin", [
            rule("get list watch", "core", "nodes"), rule("proxy", "core", "nodes"),
            rule("*", "core", "nodes/log nodes/metrics nodes/proxy nodes/stats nodes/healthz nodes/pods nodes/configz"),
        ]),
        _role("system:kube-scheduler", _SCHEDULER),
        _role("system:volume-scheduler", [rule("get list patch update watch", "core", "persistentvolumes persistentvolumeclaims"),
                                          rule(READ, "storage.k8s.io", "storageclasses")]),
        _role("system:kube-controller-manager", _CONTROLLER_MANAGER),
        _role("system:kube-dns", _DNS),
        _role("system:persistent-volume-provisioner", [
            rule("create delete get list watch", "core", "persistentvolumes"), rule("get list update watch", "core", "persistentvolumeclaims"),
            rule(READ, "storage.k8s.io", "storageclasses"), rule("watch", "core", "events"), EVENTS,
        ]),
        _role("system:auth-delegator", [
            rule("create", "authentication.k8s.io", "tokenreviews"), rule("create", "authorization.k8s.io", "subjectaccessreviews"),
        ]),
        _role("system:kube-aggregator", [rule(READ, "core", "endpoints services")]),
        _role("system:service-account-issuer-discovery", [_paths("/.well-known/openid-configuration", "/.well-known/openid-configuration/",
                                                                 "/openid/v1/jwks", "/openid/v1/jwks/")]),
        _role("system:certificates.k8s.io:certificatesigningrequests:nodeclient",
              [rule("create", "certificates.k8s.io", "certificatesigningrequests/nodeclient")]),
        _role("system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
              [rule("create", "certificates.k8s.io", "certificatesigningrequests/selfnodeclient")]),
    ]
    for signer in ("kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving", "legacy-unknown"):
        kind = "kubernetes.io/" + signer
        roles.append(_role(f"system:certificates.k8s.io:{signer}-approver", [_named("approve", "certificates.k8s.io", "signers", kind)]))
    return roles + [_role(name, rules) for name, rules in controller_roles().items()]


def _subject(text: str) -> Obj:
    kind, _, name = text.partition(":")
    if kind == "ServiceAccount":
        namespace, _, name = name.partition("/")
        return {"kind": kind, "name": name, "namespace": namespace}
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}


def _binding(kind: str, role_kind: str, name: str, role: str, subjects: list[str], namespace: str = "") -> Obj:
    metadata: Obj = {"name": name, "labels": dict(LABELS), "annotations": dict(AUTOUPDATE)}
    if namespace:
        metadata["namespace"] = namespace
    return {
        "apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "subjects": [_subject(s) for s in subjects],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role},
    }


def cluster_role_bindings() -> list[Obj]:
    pairs = {
        "cluster-admin": ("cluster-admin", ["Group:system:masters"]),
        "kubeadm:cluster-admins": ("cluster-admin", ["Group:kubeadm:cluster-admins"]),
        "system:monitoring": ("system:monitoring", ["Group:system:monitoring"]),
        "system:discovery": ("system:discovery", ["Group:system:authenticated"]),
        "system:public-info-viewer": ("system:public-info-viewer", ["Group:system:authenticated", "Group:system:unauthenticated"]),
        "system:basic-user": ("system:basic-user", ["Group:system:authenticated"]),
        "system:node-proxier": ("system:node-proxier", ["User:system:kube-proxy"]),
        "system:kube-controller-manager": ("system:kube-controller-manager", ["User:system:kube-controller-manager"]),
        "system:kube-dns": ("system:kube-dns", ["ServiceAccount:kube-system/kube-dns"]),
        "system:kube-scheduler": ("system:kube-scheduler", ["User:system:kube-scheduler"]),
        "system:volume-scheduler": ("system:volume-scheduler", ["User:system:kube-scheduler"]),
        "system:service-account-issuer-discovery": ("system:service-account-issuer-discovery", ["Group:system:serviceaccounts"]),
    }
    # All controllers share one process and one identity here, so that identity holds each controller's role beside the service account.
    bindings = [_binding("ClusterRoleBinding", "ClusterRole", name, role, subjects) for name, (role, subjects) in pairs.items()]
    for role in controller_roles():
        account = role.rpartition(":")[2]
        subjects = [f"ServiceAccount:kube-system/{account}", "User:system:kube-controller-manager"]
        bindings.append(_binding("ClusterRoleBinding", "ClusterRole", role, role, subjects))
    return bindings


def _namespaced_role(namespace: str, name: str, rules: list[Obj]) -> Obj:
    return {
        "apiVersion": API_VERSION, "kind": "Role",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(LABELS), "annotations": dict(AUTOUPDATE)}, "rules": rules,
    }


def roles() -> list[Obj]:
    configmaps = rule(READ, "core", "configmaps")
    return [
        _namespaced_role("kube-system", "extension-apiserver-authentication-reader",
                         [_named(READ, "core", "configmaps", "extension-apiserver-authentication")]),
        _namespaced_role("kube-system", "system::leader-locking-kube-controller-manager",
                         [rule("watch", "core", "configmaps"), _named("get update", "core", "configmaps", "kube-controller-manager")]),
        _namespaced_role("kube-system", "system::leader-locking-kube-scheduler",
                         [rule("watch", "core", "configmaps"), _named("get update", "core", "configmaps", "kube-scheduler")]),
        _namespaced_role("kube-system", "system:controller:token-cleaner", [rule("delete get list watch", "core", "secrets"), EVENTS]),
        _namespaced_role("kube-system", "system:controller:bootstrap-signer", [rule(READ, "core", "secrets")]),
        _namespaced_role("kube-public", "system:controller:bootstrap-signer",
                         [configmaps, _named("update", "core", "configmaps", "cluster-info"), EVENTS]),
    ]


def role_bindings() -> list[Obj]:
    system = "kube-system"
    return [
        _binding("RoleBinding", "Role", "system::extension-apiserver-authentication-reader", "extension-apiserver-authentication-reader",
                 ["User:system:kube-controller-manager", "User:system:kube-scheduler"], system),
        _binding("RoleBinding", "Role", "system::leader-locking-kube-controller-manager", "system::leader-locking-kube-controller-manager",
                 ["User:system:kube-controller-manager", "ServiceAccount:kube-system/kube-controller-manager"], system),
        _binding("RoleBinding", "Role", "system::leader-locking-kube-scheduler", "system::leader-locking-kube-scheduler",
                 ["User:system:kube-scheduler", "ServiceAccount:kube-system/kube-scheduler"], system),
        _binding("RoleBinding", "Role", "system:controller:token-cleaner", "system:controller:token-cleaner",
                 ["ServiceAccount:kube-system/token-cleaner"], system),
        _binding("RoleBinding", "Role", "system:controller:bootstrap-signer", "system:controller:bootstrap-signer",
                 ["ServiceAccount:kube-system/bootstrap-signer"], system),
        _binding("RoleBinding", "Role", "system:controller:bootstrap-signer", "system:controller:bootstrap-signer",
                 ["ServiceAccount:kube-system/bootstrap-signer"], "kube-public"),
    ]
