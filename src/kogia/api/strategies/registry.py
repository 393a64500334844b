"""Which strategy serves which kind: the one list that knows all modules of this folder."""

from __future__ import annotations

from kogia.api.strategies.base import KindStrategy
from kogia.api.strategies.core import (
    BindingStrategy,
    ConfigMapStrategy,
    EndpointsStrategy,
    LimitRangeStrategy,
    NamespaceStrategy,
    NodeStrategy,
    ResourceQuotaStrategy,
    SecretStrategy,
)
from kogia.api.strategies.events import EventStrategy, LeaseStrategy, NewEventStrategy
from kogia.api.strategies.extension import (
    AdmissionPolicyBindingStrategy,
    AdmissionPolicyStrategy,
    APIServiceStrategy,
    CertificateSigningRequestStrategy,
    ClusterTrustBundleStrategy,
    ConditionalStrategy,
    CustomResourceDefinitionStrategy,
    FlowStrategy,
    GenerationStrategy,
    PodCertificateRequestStrategy,
    ResourceSliceStrategy,
    WebhookConfigurationStrategy,
)
from kogia.api.strategies.jobs import CronJobStrategy, JobStrategy
from kogia.api.strategies.network import (
    EndpointSliceStrategy,
    IngressClassStrategy,
    IngressStrategy,
    IPAddressStrategy,
    NetworkPolicyStrategy,
    ServiceCIDRStrategy,
)
from kogia.api.strategies.pod import PodStrategy, PodTemplateStrategy
from kogia.api.strategies.policy import (
    AutoscalerStrategy,
    DisruptionBudgetStrategy,
    OldAutoscalerStrategy,
    PriorityClassStrategy,
    RuntimeClassStrategy,
)
from kogia.api.strategies.rbac import RoleBindingStrategy, RoleStrategy
from kogia.api.strategies.service import ServiceStrategy
from kogia.api.strategies.storage import (
    CSIDriverStrategy,
    CSINodeStrategy,
    PersistentVolumeClaimStrategy,
    PersistentVolumeStrategy,
    StorageClassStrategy,
    VolumeAttachmentStrategy,
)
from kogia.api.strategies.workloads import (
    ControllerRevisionStrategy,
    DaemonSetStrategy,
    DeploymentStrategy,
    ReplicaSetStrategy,
    ReplicationControllerStrategy,
    StatefulSetStrategy,
)

_BY_GROUP_VERSION: dict[tuple[str, str], dict[str, type[KindStrategy]]] = {
    ("", "v1"): {
        "Pod": PodStrategy, "PodTemplate": PodTemplateStrategy, "Namespace": NamespaceStrategy, "Node": NodeStrategy,
        "Service": ServiceStrategy, "ConfigMap": ConfigMapStrategy, "Secret": SecretStrategy, "Endpoints": EndpointsStrategy,
        "Event": EventStrategy, "LimitRange": LimitRangeStrategy, "ResourceQuota": ResourceQuotaStrategy, "Binding": BindingStrategy,
        "PersistentVolume": PersistentVolumeStrategy, "PersistentVolumeClaim": PersistentVolumeClaimStrategy,
        "ReplicationController": ReplicationControllerStrategy,
    },
    ("apps", "v1"): {
        "Deployment": DeploymentStrategy, "ReplicaSet": ReplicaSetStrategy, "StatefulSet": StatefulSetStrategy,
        "DaemonSet": DaemonSetStrategy, "ControllerRevision": ControllerRevisionStrategy,
    },
    ("batch", "v1"): {"Job": JobStrategy, "CronJob": CronJobStrategy},
    ("autoscaling", "v2"): {"HorizontalPodAutoscaler": AutoscalerStrategy},
    ("autoscaling", "v1"): {"HorizontalPodAutoscaler": OldAutoscalerStrategy},
    ("policy", "v1"): {"PodDisruptionBudget": DisruptionBudgetStrategy},
    ("scheduling.k8s.io", "v1"): {"PriorityClass": PriorityClassStrategy},
    ("node.k8s.io", "v1"): {"RuntimeClass": RuntimeClassStrategy},
    ("coordination.k8s.io", "v1"): {"Lease": LeaseStrategy},
    ("events.k8s.io", "v1"): {"Event": NewEventStrategy},
    ("discovery.k8s.io", "v1"): {"EndpointSlice": EndpointSliceStrategy},
    ("networking.k8s.io", "v1"): {
        "Ingress": IngressStrategy, "IngressClass": IngressClassStrategy, "NetworkPolicy": NetworkPolicyStrategy,
        "ServiceCIDR": ServiceCIDRStrategy, "IPAddress": IPAddressStrategy,
    },
    ("rbac.authorization.k8s.io", "v1"): {
        "Role": RoleStrategy, "ClusterRole": RoleStrategy, "RoleBinding": RoleBindingStrategy, "ClusterRoleBinding": RoleBindingStrategy,
    },
    ("storage.k8s.io", "v1"): {
        "StorageClass": StorageClassStrategy, "CSIDriver": CSIDriverStrategy, "CSINode": CSINodeStrategy,
        "VolumeAttachment": VolumeAttachmentStrategy, "CSIStorageCapacity": ConditionalStrategy, "VolumeAttributesClass": ConditionalStrategy,
    },
    ("certificates.k8s.io", "v1"): {
        "CertificateSigningRequest": CertificateSigningRequestStrategy, "ClusterTrustBundle": ClusterTrustBundleStrategy,
        "PodCertificateRequest": PodCertificateRequestStrategy,
    },
    ("admissionregistration.k8s.io", "v1"): {
        "MutatingWebhookConfiguration": WebhookConfigurationStrategy, "ValidatingWebhookConfiguration": WebhookConfigurationStrategy,
        "ValidatingAdmissionPolicy": AdmissionPolicyStrategy, "MutatingAdmissionPolicy": AdmissionPolicyStrategy,
        "ValidatingAdmissionPolicyBinding": AdmissionPolicyBindingStrategy, "MutatingAdmissionPolicyBinding": AdmissionPolicyBindingStrategy,
    },
    ("apiextensions.k8s.io", "v1"): {"CustomResourceDefinition": CustomResourceDefinitionStrategy},
    ("apiregistration.k8s.io", "v1"): {"APIService": APIServiceStrategy},
    ("flowcontrol.apiserver.k8s.io", "v1"): {"FlowSchema": FlowStrategy, "PriorityLevelConfiguration": FlowStrategy},
    ("storagemigration.k8s.io", "v1"): {"StorageVersionMigration": ConditionalStrategy},
    ("resource.k8s.io", "v1"): {
        "DeviceClass": GenerationStrategy, "DeviceTaintRule": GenerationStrategy, "ResourceSlice": ResourceSliceStrategy,
    },
}

STRATEGIES: dict[tuple[str, str, str], type[KindStrategy]] = {
    (group, version, kind): strategy for (group, version), kinds in _BY_GROUP_VERSION.items() for kind, strategy in kinds.items()
}
