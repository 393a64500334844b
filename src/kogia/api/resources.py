"""The table of kinds this server serves: every built-in kind of the stable groups, and room for more (custom resources).

Each row says what discovery says (names, scope, verbs, subresources) and where the objects are kept (`ResourceInfo.storage`).
What the fields *mean* is not here but in the schema; the rules are in `strategies`, the columns in `tables`. Invariants: names
are unique per (group, version, plural) and (group, version, kind); several rows with one `storage` are views of the same
stored objects, told apart by `conversion`.

Source: the discovery documents Kubernetes publishes (api/discovery), and kube-apiserver's order of groups.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kogia.api.kinds import STANDARD_VERBS, ResourceInfo, Subresource

_EDIT = ("get", "patch", "update")
_PROXY = ("create", "delete", "get", "patch", "update")
_CREATE = ("create",)
_CONNECT = ("create", "get")

#: Groups in Kubernetes' order of preference; those not listed (custom resources) follow, by name.
GROUP_ORDER = (
    "", "apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "autoscaling", "batch",
    "certificates.k8s.io", "networking.k8s.io", "policy", "rbac.authorization.k8s.io", "storage.k8s.io",
    "admissionregistration.k8s.io", "apiextensions.k8s.io", "scheduling.k8s.io", "coordination.k8s.io", "node.k8s.io",
    "discovery.k8s.io", "resource.k8s.io", "flowcontrol.apiserver.k8s.io", "storagemigration.k8s.io",
)


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """One API group ("" is the core group) with its versions, the preferred one first."""

    name: str
    versions: tuple[str, ...]

    @property
    def preferred(self) -> str:
        return self.versions[0]


class ResourceTable:
    """Rows of kinds, found by plural or by kind. Built-in rows first; custom resources may be added and removed later."""

    def __init__(self, rows: Iterable[ResourceInfo] = ()) -> None:
        self._by_plural: dict[tuple[str, str, str], ResourceInfo] = {}
        self._by_kind: dict[tuple[str, str, str], ResourceInfo] = {}
        for row in rows:
            self.add(row)

    def __iter__(self) -> Iterator[ResourceInfo]:
        return iter(list(self._by_plural.values()))

    def __len__(self) -> int:
        return len(self._by_plural)

    def copy(self) -> ResourceTable:
        """An independent table with the same rows, for a server that will add its own."""
        return ResourceTable(self)

    def add(self, row: ResourceInfo) -> None:
        """Serve one more kind; an existing row of the same names is replaced."""
        self._by_plural[row.group, row.version, row.plural] = row
        self._by_kind[row.group, row.version, row.kind] = row

    def remove(self, row: ResourceInfo) -> None:
        """Stop serving a kind; unknown rows are ignored."""
        self._by_plural.pop((row.group, row.version, row.plural), None)
        self._by_kind.pop((row.group, row.version, row.kind), None)

    def find(self, group: str, version: str, plural: str) -> ResourceInfo | None:
        """The row a URL names, `None` if nothing of that name is served."""
        return self._by_plural.get((group, version, plural))

    def by_kind(self, group: str, version: str, kind: str) -> ResourceInfo | None:
        """The row of a body's apiVersion and kind."""
        return self._by_kind.get((group, version, kind))

    def stored(self) -> list[ResourceInfo]:
        """Rows whose objects are kept; versions that share storage each have their row."""
        return [row for row in self if row.stored]

    def storages(self) -> list[ResourceInfo]:
        """One row per kind of stored object: the row in which it is kept."""
        return [row for row in self if row.stored and row.storage == (row.group, row.version, row.kind)]

    def storage_row(self, row: ResourceInfo) -> ResourceInfo:
        """The row `row`'s objects are kept as (itself for most kinds)."""
        return self._by_kind.get(row.storage, row)

    def in_version(self, group: str, version: str) -> list[ResourceInfo]:
        """The rows of one group and version, sorted by plural as discovery lists them."""
        return sorted((row for row in self if row.group == group and row.version == version), key=lambda row: row.plural)

    def groups(self) -> list[GroupInfo]:
        """All groups in order of preference, the core group ("") first."""
        versions: dict[str, set[str]] = {}
        for row in self:
            versions.setdefault(row.group, set()).add(row.version)
        rank = {name: i for i, name in enumerate(GROUP_ORDER)}
        ordered = sorted(versions, key=lambda name: (rank.get(name, len(rank)), name))
        return [GroupInfo(name, tuple(sorted(versions[name], key=version_rank))) for name in ordered]


def version_rank(version: str) -> tuple[int, int, int, str]:
    """Sort key that puts v2 before v1 before v1beta2 before v1alpha1 before anything else."""
    stages = {"": 0, "beta": 1, "alpha": 2}
    for stage in ("alpha", "beta", ""):
        main, found, minor = version[1:].partition(stage) if stage else (version[1:], "", "0")
        if version[:1] == "v" and main.isdecimal() and minor.isdecimal() and (found or not stage):
            return (stages[stage], -int(main), -int(minor), "")
    return (3, 0, 0, version)


def storage_version_hash(row: ResourceInfo) -> str:
    """What discovery shows as storageVersionHash: eight bytes of the SHA-256 of `group/version/kind` of the stored form."""
    import hashlib  # late: the command line has no use for it

    return base64.b64encode(hashlib.sha256("/".join(row.storage).encode()).digest()[:8]).decode()


_DEPRECATED = {
    ("", "v1", "Endpoints"): "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    ("", "v1", "ComponentStatus"): "v1 ComponentStatus is deprecated in v1.19+",
}


def deprecation_warning(row: ResourceInfo) -> str:
    """The Warning header every request on a deprecated kind is answered with, "" for the others."""
    return _DEPRECATED.get((row.group, row.version, row.kind), "")


def _row(
    group_version: str, kind: str, plural: str, short: str = "", *, categories: str = "", namespaced: bool = True, status: bool = False,
    scale: bool = False, more: tuple[Subresource, ...] = (), verbs: tuple[str, ...] = STANDARD_VERBS, stored: bool = True,
    storage: tuple[str, str, str] | None = None, singular: str = "",
) -> ResourceInfo:
    group, _, version = group_version.rpartition("/")
    subresources = list(more)
    if scale:
        subresources.append(Subresource("scale", "Scale", "autoscaling", "v1", _EDIT))
    if status:
        subresources.append(Subresource("status", kind, "", "", _EDIT))
    return ResourceInfo(
        group=group, version=version, kind=kind, plural=plural, singular=singular or kind.lower(), namespaced=namespaced,
        short_names=tuple(short.split()), categories=tuple(categories.split()), verbs=verbs,
        subresources=tuple(sorted(subresources, key=lambda s: s.name)), stored=stored, storage=storage or (group, version, kind),
    )


def _cluster(group_version: str, kind: str, plural: str, short: str = "", **more: object) -> ResourceInfo:
    return _row(group_version, kind, plural, short, namespaced=False, **more)  # type: ignore[arg-type]


def _review(group_version: str, kind: str, *, namespaced: bool = False) -> ResourceInfo:
    return _row(group_version, kind, kind.lower() + "s", namespaced=namespaced, verbs=_CREATE, stored=False)


def _own(name: str, kind: str, verbs: tuple[str, ...]) -> Subresource:
    return Subresource(name, kind, "", "", verbs)


def _core() -> list[ResourceInfo]:
    pod = (
        _own("attach", "PodAttachOptions", _CONNECT), _own("binding", "Binding", _CREATE), _own("ephemeralcontainers", "Pod", _EDIT),
        Subresource("eviction", "Eviction", "policy", "v1", _CREATE), _own("exec", "PodExecOptions", _CONNECT),
        _own("log", "Pod", ("get",)), _own("portforward", "PodPortForwardOptions", _CONNECT), _own("proxy", "PodProxyOptions", _PROXY),
        _own("resize", "Pod", _EDIT),
    )
    without_collection = tuple(v for v in STANDARD_VERBS if v != "deletecollection")
    token = Subresource("token", "TokenRequest", "authentication.k8s.io", "v1", _CREATE)
    return [
        _row("v1", "Binding", "bindings", verbs=_CREATE, stored=False),
        _cluster("v1", "ComponentStatus", "componentstatuses", "cs", verbs=("get", "list"), stored=False),
        _row("v1", "ConfigMap", "configmaps", "cm"),
        _row("v1", "Endpoints", "endpoints", "ep"),
        _row("v1", "Event", "events", "ev"),
        _row("v1", "LimitRange", "limitranges", "limits"),
        _cluster("v1", "Namespace", "namespaces", "ns", status=True, verbs=without_collection, more=(_own("finalize", "Namespace", ("update",)),)),
        _cluster("v1", "Node", "nodes", "no", status=True, more=(_own("proxy", "NodeProxyOptions", _PROXY),)),
        _row("v1", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc", status=True),
        _cluster("v1", "PersistentVolume", "persistentvolumes", "pv", status=True),
        _row("v1", "Pod", "pods", "po", categories="all", status=True, more=pod),
        _row("v1", "PodTemplate", "podtemplates"),
        _row("v1", "ReplicationController", "replicationcontrollers", "rc", categories="all", status=True, scale=True),
        _row("v1", "ResourceQuota", "resourcequotas", "quota", status=True),
        _row("v1", "Secret", "secrets"),
        _row("v1", "ServiceAccount", "serviceaccounts", "sa", more=(token,)),
        _row("v1", "Service", "services", "svc", categories="all", status=True, more=(_own("proxy", "ServiceProxyOptions", _PROXY),)),
    ]


def _workloads() -> list[ResourceInfo]:
    hpa = ("autoscaling", "v2", "HorizontalPodAutoscaler")
    return [
        _row("apps/v1", "ControllerRevision", "controllerrevisions"),
        _row("apps/v1", "DaemonSet", "daemonsets", "ds", categories="all", status=True),
        _row("apps/v1", "Deployment", "deployments", "deploy", categories="all", status=True, scale=True),
        _row("apps/v1", "ReplicaSet", "replicasets", "rs", categories="all", status=True, scale=True),
        _row("apps/v1", "StatefulSet", "statefulsets", "sts", categories="all", status=True, scale=True),
        _row("batch/v1", "CronJob", "cronjobs", "cj", categories="all", status=True),
        _row("batch/v1", "Job", "jobs", categories="all", status=True),
        _row("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", categories="all", status=True, storage=hpa),
        _row("autoscaling/v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", categories="all", status=True, storage=hpa),
        _row("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", status=True),
        _cluster("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", "pc"),
        _row("coordination.k8s.io/v1", "Lease", "leases"),
        _cluster("node.k8s.io/v1", "RuntimeClass", "runtimeclasses"),
        _row("events.k8s.io/v1", "Event", "events", "ev", storage=("", "v1", "Event")),
    ]


def _network_and_storage() -> list[ResourceInfo]:
    net, store = "networking.k8s.io/v1", "storage.k8s.io/v1"
    return [
        _row(net, "Ingress", "ingresses", "ing", status=True),
        _cluster(net, "IngressClass", "ingressclasses"),
        _cluster(net, "IPAddress", "ipaddresses", "ip"),
        _row(net, "NetworkPolicy", "networkpolicies", "netpol"),
        _cluster(net, "ServiceCIDR", "servicecidrs", status=True),
        _row("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"),
        _cluster(store, "CSIDriver", "csidrivers"),
        _cluster(store, "CSINode", "csinodes"),
        _row(store, "CSIStorageCapacity", "csistoragecapacities"),
        _cluster(store, "StorageClass", "storageclasses", "sc"),
        _cluster(store, "VolumeAttachment", "volumeattachments", status=True),
        _cluster(store, "VolumeAttributesClass", "volumeattributesclasses", "vac"),
        _cluster("storagemigration.k8s.io/v1", "StorageVersionMigration", "storageversionmigrations", status=True),
        _cluster("resource.k8s.io/v1", "DeviceClass", "deviceclasses"),
        _cluster("resource.k8s.io/v1", "DeviceTaintRule", "devicetaintrules", status=True),
        _row("resource.k8s.io/v1", "ResourceClaim", "resourceclaims", status=True),
        _row("resource.k8s.io/v1", "ResourceClaimTemplate", "resourceclaimtemplates"),
        _cluster("resource.k8s.io/v1", "ResourceSlice", "resourceslices"),
    ]


def _access_and_extension() -> list[ResourceInfo]:
    rbac, admission, certificates = "rbac.authorization.k8s.io/v1", "admissionregistration.k8s.io/v1", "certificates.k8s.io/v1"
    flow, extensions = "flowcontrol.apiserver.k8s.io/v1", "api-extensions"
    return [
        _cluster(rbac, "ClusterRoleBinding", "clusterrolebindings"),
        _cluster(rbac, "ClusterRole", "clusterroles"),
        _row(rbac, "RoleBinding", "rolebindings"),
        _row(rbac, "Role", "roles"),
        _review("authentication.k8s.io/v1", "SelfSubjectReview"),
        _review("authentication.k8s.io/v1", "TokenReview"),
        _review("authorization.k8s.io/v1", "LocalSubjectAccessReview", namespaced=True),
        _review("authorization.k8s.io/v1", "SelfSubjectAccessReview"),
        _review("authorization.k8s.io/v1", "SelfSubjectRulesReview"),
        _review("authorization.k8s.io/v1", "SubjectAccessReview"),
        _cluster(certificates, "CertificateSigningRequest", "certificatesigningrequests", "csr", status=True,
                 more=(_own("approval", "CertificateSigningRequest", _EDIT),)),
        _cluster(certificates, "ClusterTrustBundle", "clustertrustbundles"),
        _row(certificates, "PodCertificateRequest", "podcertificaterequests", status=True),
        _cluster(admission, "MutatingAdmissionPolicy", "mutatingadmissionpolicies", categories=extensions),
        _cluster(admission, "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", categories=extensions),
        _cluster(admission, "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", categories=extensions),
        _cluster(admission, "ValidatingAdmissionPolicy", "validatingadmissionpolicies", categories=extensions, status=True),
        _cluster(admission, "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", categories=extensions),
        _cluster(admission, "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", categories=extensions),
        _cluster("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", "crd crds", categories=extensions, status=True),
        _cluster("apiregistration.k8s.io/v1", "APIService", "apiservices", categories=extensions, status=True),
        _cluster(flow, "FlowSchema", "flowschemas", status=True),
        _cluster(flow, "PriorityLevelConfiguration", "prioritylevelconfigurations", status=True),
    ]


#: The built-in kinds. A server takes `ALL.copy()` if it is going to add rows.
ALL = ResourceTable([*_core(), *_workloads(), *_network_and_storage(), *_access_and_extension()])


def find(group: str, version: str, plural: str) -> ResourceInfo | None:
    """`ALL.find`."""
    return ALL.find(group, version, plural)


def by_kind(group: str, version: str, kind: str) -> ResourceInfo | None:
    """`ALL.by_kind`."""
    return ALL.by_kind(group, version, kind)


def stored() -> list[ResourceInfo]:
    """`ALL.stored`."""
    return ALL.stored()


def groups() -> list[GroupInfo]:
    """`ALL.groups`."""
    return ALL.groups()
