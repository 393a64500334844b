"""A minimal valid object of every kind served, as a user would send it."""

from __future__ import annotations

import copy
from typing import Any

from kogia.api.kinds import ResourceInfo

LABELS = {"app": "web"}
POD = {"containers": [{"name": "c", "image": "nginx"}]}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": POD}
SELECTOR = {"matchLabels": LABELS}
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
HOOK = {
    "name": "a.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None", "clientConfig": {"service": {"namespace": "n", "name": "s"}},
    "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
}
SUBJECTS = [{"kind": "User", "name": "eve"}, {"kind": "ServiceAccount", "name": "sa", "namespace": "default"}]
MATCH = {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]}

#: what an object of the kind needs beside metadata; kinds not named here need nothing
BODIES: dict[str, dict[str, Any]] = {
    "Pod": {"spec": POD}, "PodTemplate": {"template": TEMPLATE}, "Service": {"spec": {"ports": [{"port": 80}]}},
    "ReplicationController": {"spec": {"template": TEMPLATE}}, "Binding": {"target": {"kind": "Node", "name": "n"}},
    "PersistentVolume": {"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}},
    "PersistentVolumeClaim": {"spec": CLAIM}, "LimitRange": {"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}},
    "ResourceQuota": {"spec": {"hard": {"pods": "3", "count/widgets.example.org": "1"}}},
    "Endpoints": {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]},
    "Secret": {"stringData": {"a": "b"}}, "ConfigMap": {"data": {"a": "b"}}, "Node": {"status": {"capacity": {"cpu": "2"}}},
    "Deployment": {"spec": {"selector": SELECTOR, "template": TEMPLATE}}, "ReplicaSet": {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
    "DaemonSet": {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
    "StatefulSet": {"spec": {"selector": SELECTOR, "serviceName": "web", "template": TEMPLATE, "volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": CLAIM}]}},
    "ControllerRevision": {"data": {"a": 1}, "revision": 1},
    "Job": {"spec": {"template": {"spec": {**POD, "restartPolicy": "Never"}}}},
    "CronJob": {"spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {"template": {"spec": {**POD, "restartPolicy": "Never"}}}}}},
    "HorizontalPodAutoscaler": {"spec": {"scaleTargetRef": TARGET, "maxReplicas": 3}},
    "PodDisruptionBudget": {"spec": {"minAvailable": 1, "selector": SELECTOR}}, "PriorityClass": {"value": 10}, "RuntimeClass": {"handler": "runc"},
    "Lease": {"spec": {"holderIdentity": "me", "leaseDurationSeconds": 40}},
    "Ingress": {"spec": {"rules": [{"host": "a.example.com", "http": {"paths": [
        {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}}]}}]}},
    "IngressClass": {"spec": {"controller": "example.com/c"}}, "IPAddress": {"spec": {"parentRef": {"resource": "services", "name": "s"}}},
    "NetworkPolicy": {"spec": {"podSelector": {}, "egress": [{"ports": [{"port": 53}]}]}}, "ServiceCIDR": {"spec": {"cidrs": ["10.96.0.0/16"]}},
    "EndpointSlice": {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]},
    "CSIDriver": {"spec": {}}, "CSINode": {"spec": {"drivers": []}}, "CSIStorageCapacity": {"storageClassName": "s"},
    "StorageClass": {"provisioner": "example.com/p"}, "VolumeAttachment": {"spec": {"attacher": "a", "nodeName": "n", "source": {}}},
    "VolumeAttributesClass": {"driverName": "d"}, "Role": {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
    "ClusterRole": {"rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]},
    "RoleBinding": {"roleRef": {"kind": "Role", "name": "r"}, "subjects": SUBJECTS},
    "ClusterRoleBinding": {"roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": SUBJECTS},
    "CertificateSigningRequest": {"spec": {"request": "YQ==", "usages": ["client auth"], "signerName": "kubernetes.io/kube-apiserver-client"}},
    "MutatingWebhookConfiguration": {"webhooks": [HOOK]}, "ValidatingWebhookConfiguration": {"webhooks": [HOOK]},
    "ValidatingAdmissionPolicy": {"spec": {"matchConstraints": MATCH, "validations": [{"expression": "true"}]}},
    "MutatingAdmissionPolicy": {"spec": {"matchConstraints": MATCH, "mutations": [], "reinvocationPolicy": "Never"}},
    "ValidatingAdmissionPolicyBinding": {"spec": {"policyName": "p", "validationActions": ["Deny"], "matchResources": MATCH}},
    "MutatingAdmissionPolicyBinding": {"spec": {"policyName": "p"}},
    "CustomResourceDefinition": {"metadata": {"name": "widgets.example.org"}, "spec": {
        "group": "example.org", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}]}},
    "APIService": {"metadata": {"name": "v1.example.org"}, "spec": {
        "group": "example.org", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1, "service": {"namespace": "n", "name": "s"}}},
    "FlowSchema": {"spec": {"priorityLevelConfiguration": {"name": "p"}}},
    "DeviceTaintRule": {"spec": {"taint": {"key": "a", "effect": "NoSchedule"}}},
    "ResourceSlice": {"spec": {"driver": "d.example.com", "nodeName": "n", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}}},
    "ResourceClaim": {"spec": {}}, "ResourceClaimTemplate": {"spec": {"spec": {}}}, "DeviceClass": {"spec": {}},
    "ClusterTrustBundle": {"spec": {"trustBundle": "x"}}, "StorageVersionMigration": {"spec": {"resource": {"group": "", "resource": "pods"}}},
    "PodCertificateRequest": {"spec": {
        "signerName": "example.com/s", "podName": "p", "podUID": "u", "serviceAccountName": "sa", "serviceAccountUID": "u", "nodeName": "n", "nodeUID": "u",
        "stubPKCS10Request": "YQ=="}},
    "PriorityLevelConfiguration": {"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}}},
}
EVENTS = {
    "v1": {"involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"}, "reason": "Started", "type": "Normal"},
    "events.k8s.io/v1": {
        "regarding": {"kind": "Pod", "namespace": "default", "name": "p"}, "reason": "Started", "type": "Normal", "action": "Starting",
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "kubelet", "reportingInstance": "n1",
    },
}


def example(resource: ResourceInfo) -> dict[str, Any]:
    """A minimal valid object of the kind, as a user would send it."""
    body = copy.deepcopy(EVENTS[resource.api_version] if resource.kind == "Event" else BODIES.get(resource.kind, {}))
    name = "10.96.0.1" if resource.kind == "IPAddress" else "x"
    metadata = {"name": name, **body.pop("metadata", {})}
    if resource.namespaced:
        metadata["namespace"] = "default"
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **body}
