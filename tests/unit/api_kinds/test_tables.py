from typing import Any

import pytest

from kogia.api import resources
from kogia.api.tables import columns, row

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z
META = {"name": "x", "creationTimestamp": "2025-12-31T21:00:00Z"}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]}}


def cells(group_version: str, kind: str, obj: dict[str, Any]) -> dict[str, Any]:
    group, _, version = group_version.rpartition("/")
    resource = resources.by_kind(group, version, kind)
    assert resource is not None
    metadata = {**META, **obj.pop("metadata", {})}
    return dict(zip([c["name"] for c in columns(resource)], row(resource, {"metadata": metadata, **obj}, NOW), strict=True))


@pytest.mark.parametrize(
    ("group_version", "kind", "obj", "expected"),
    [
        ("v1", "Node", {
            "metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}, "spec": {"unschedulable": True},
            "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1.37.0"},
                       "addresses": [{"type": "InternalIP", "address": "10.0.0.2"}]}},
         {"Status": "Ready,SchedulingDisabled", "Roles": "control-plane", "Version": "v1.37.0", "Internal-IP": "10.0.0.2", "External-IP": "<none>",
          "OS-Image": "<unknown>", "Age": "3h"}),
        ("v1", "Node", {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}, {"Status": "NotReady", "Roles": "<none>"}),
        ("v1", "Service", {"spec": {"type": "NodePort", "clusterIP": "10.96.0.5", "ports": [{"port": 80, "nodePort": 30000, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
                                    "selector": {"b": "2", "a": "1"}}},
         {"Type": "NodePort", "Cluster-IP": "10.96.0.5", "External-IP": "<none>", "Port(s)": "80:30000/TCP,53/UDP", "Selector": "a=1,b=2"}),
        ("v1", "Service", {"spec": {"type": "LoadBalancer"}}, {"External-IP": "<pending>", "Cluster-IP": "<none>", "Port(s)": "<none>", "Selector": "<none>"}),
        ("v1", "Service", {"spec": {"type": "ExternalName", "externalName": "example.com"}}, {"External-IP": "example.com"}),
        ("v1", "ConfigMap", {"data": {"a": "1"}, "binaryData": {"b": "Yg=="}}, {"Data": 2}),
        ("v1", "Secret", {"type": "Opaque", "data": {"a": "YQ=="}}, {"Type": "Opaque", "Data": 1}),
        ("v1", "Event", {"type": "Normal", "reason": "Pulled", "message": " done \n", "involvedObject": {"kind": "Pod", "name": "p"}, "source": {"component": "kubelet", "host": "n"},
                         "firstTimestamp": "2025-12-31T23:58:00Z", "lastTimestamp": "2025-12-31T23:59:50Z", "count": 4},
         {"Last Seen": "10s", "First Seen": "2m", "Object": "pod/p", "Source": "kubelet, n", "Message": "done", "Count": 4}),
        ("events.k8s.io/v1", "Event", {"note": "hi", "regarding": {"kind": "Pod", "name": "p"}, "eventTime": "2025-12-31T23:59:00.000000Z", "reportingController": "sched",
                                       "reportingInstance": "s-1"},
         {"Last Seen": "60s", "Object": "pod/p", "Source": "sched, s-1", "Message": "hi", "Count": 1}),
        ("v1", "Endpoints", {"subsets": [{"addresses": [{"ip": f"10.0.0.{i}"} for i in range(1, 6)], "ports": [{"port": 80}]}]},
         {"Endpoints": "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more..."}),
        ("v1", "Endpoints", {}, {"Endpoints": "<none>"}),
        ("discovery.k8s.io/v1", "EndpointSlice", {"addressType": "IPv4", "ports": [{"port": 80}, {}], "endpoints": [{"addresses": ["10.0.0.1"]}]},
         {"AddressType": "IPv4", "Ports": "80,*", "Endpoints": "10.0.0.1"}),
        ("v1", "PersistentVolumeClaim", {"spec": {"volumeName": "pv", "storageClassName": "s"}, "status": {"phase": "Bound", "capacity": {"storage": "1024Mi"}, "accessModes": ["ReadWriteOnce"]}},
         {"Status": "Bound", "Volume": "pv", "Capacity": "1Gi", "Access Modes": "RWO", "StorageClass": "s", "VolumeMode": "<unset>"}),
        ("v1", "PersistentVolume", {"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"], "claimRef": {"namespace": "d", "name": "c"}}},
         {"Access Modes": "RWO,RWX", "Claim": "d/c", "VolumeAttributesClass": "<unset>"}),
        ("v1", "ResourceQuota", {"status": {"hard": {"pods": "3", "limits.cpu": "2"}, "used": {"pods": "1"}}}, {"Request": "pods: 1/3", "Limit": "limits.cpu: 0/2"}),
        ("v1", "LimitRange", {}, {"Created At": "2025-12-31T21:00:00Z"}),
        ("apps/v1", "Deployment", {"spec": {"replicas": 3, "template": TEMPLATE, "selector": {"matchLabels": {"a": "b"}}}, "status": {"readyReplicas": 2, "updatedReplicas": 3}},
         {"Ready": "2/3", "Up-to-date": 3, "Available": 0, "Containers": "c,d", "Images": "i,j", "Selector": "a=b"}),
        ("apps/v1", "StatefulSet", {"spec": {"replicas": 2}, "status": {"readyReplicas": 1}}, {"Ready": "1/2"}),
        ("apps/v1", "DaemonSet", {"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}}}}, "status": {"desiredNumberScheduled": 2, "numberReady": 1}},
         {"Desired": 2, "Ready": 1, "Node Selector": "a=b"}),
        ("batch/v1", "Job", {"spec": {"completions": 1}, "status": {"succeeded": 1, "startTime": "2025-12-31T23:00:00Z", "completionTime": "2025-12-31T23:00:05Z",
                                                                   "conditions": [{"type": "Complete", "status": "True"}]}},
         {"Status": "Complete", "Completions": "1/1", "Duration": "5s"}),
        ("batch/v1", "CronJob", {"spec": {"schedule": "* * * * *", "suspend": False}}, {"Suspend": "False", "Timezone": "<none>", "Last Schedule": "<none>", "Active": 0}),
        ("autoscaling/v2", "HorizontalPodAutoscaler", {
            "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "w"}, "minReplicas": 1, "maxReplicas": 5,
                     "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]}},
         {"Reference": "Deployment/w", "Targets": "cpu: <unknown>/80%", "MinPods": "1", "MaxPods": 5}),
        ("policy/v1", "PodDisruptionBudget", {"spec": {"minAvailable": "50%"}, "status": {"disruptionsAllowed": 1}}, {"Min Available": "50%", "Max Unavailable": "N/A", "Allowed Disruptions": 1}),
        ("networking.k8s.io/v1", "Ingress", {"spec": {"rules": [{"host": f"{c}.example.com"} for c in "abcde"], "tls": [{}]}, "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}},
         {"Class": "<none>", "Hosts": "a.example.com,b.example.com,c.example.com + 2 more...", "Address": "1.2.3.4", "Ports": "80, 443"}),
        ("networking.k8s.io/v1", "NetworkPolicy", {"spec": {"podSelector": {}}}, {"Pod-Selector": "<none>"}),
        ("rbac.authorization.k8s.io/v1", "RoleBinding", {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "eve"}, {"kind": "ServiceAccount", "namespace": "n", "name": "s"}]},
         {"Role": "Role/r", "Users": "eve", "ServiceAccounts": "n/s"}),
        ("storage.k8s.io/v1", "StorageClass", {"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "p"},
         {"Name": "x (default)", "Provisioner": "p", "ReclaimPolicy": "Delete", "AllowVolumeExpansion": False}),
        ("certificates.k8s.io/v1", "CertificateSigningRequest", {"spec": {"signerName": "k/s", "username": "u", "expirationSeconds": 86400}, "status": {"conditions": [{"type": "Approved"}], "certificate": "YQ=="}},
         {"Condition": "Approved,Issued", "RequestedDuration": "24h", "Requestor": "u"}),
        ("scheduling.k8s.io/v1", "PriorityClass", {"value": 5, "preemptionPolicy": "Never"}, {"Value": 5, "Global-Default": False, "PreemptionPolicy": "Never"}),
        ("coordination.k8s.io/v1", "Lease", {"spec": {"holderIdentity": "n1"}}, {"Holder": "n1"}),
        ("apiregistration.k8s.io/v1", "APIService", {"spec": {"service": {"namespace": "n", "name": "s"}}, "status": {"conditions": [{"type": "Available", "status": "False", "reason": "Gone"}]}},
         {"Service": "n/s", "Available": "False (Gone)"}),
    ],
)
def test_cells(group_version: str, kind: str, obj: dict[str, Any], expected: dict[str, Any]) -> None:
    found = cells(group_version, kind, obj)
    assert {name: found[name] for name in expected} == expected
