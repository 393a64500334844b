"""One ClusterRole per built-in controller, `system:controller:<name>`, bound to the service account of that name in kube-system.

Each line grants what that controller's work needs. Source: bootstrappolicy controller_policy.go.
"""

from __future__ import annotations

from typing import Any

from kogia.apiserver.auth.node import rule

#: one line per rule: verbs | groups | resources
_TABLE = """
attachdetach-controller: list watch | core | persistentvolumes persistentvolumeclaims; get list watch patch update | core | nodes nodes/status; list watch | core | pods; create delete get list watch | storage.k8s.io | volumeattachments; get list watch | storage.k8s.io | csidrivers csinodes
clusterrole-aggregation-controller: escalate get list patch update watch | rbac.authorization.k8s.io | clusterroles
cronjob-controller: get list update watch | batch | cronjobs; create delete get list patch update watch | batch | jobs; update | batch | cronjobs/status cronjobs/finalizers; delete list | core | pods
daemon-set-controller: get list watch | apps | daemonsets; update | apps | daemonsets/status daemonsets/finalizers; list watch | core | nodes; create delete list patch watch | core | pods; create | core | pods/binding; create delete get list patch update watch | apps | controllerrevisions
deployment-controller: get list update watch | apps | deployments; update | apps | deployments/status deployments/finalizers; create delete get list patch update watch | apps | replicasets; get list update watch | core | pods
disruption-controller: get list watch | apps | deployments replicasets statefulsets; get list watch | core | replicationcontrollers pods; get list watch | policy | poddisruptionbudgets; update | policy | poddisruptionbudgets/status; get | * | */scale; patch update | core | pods/status
endpoint-controller: get list watch | core | services pods; create delete get list update | core | endpoints; create | core | endpoints/restricted
endpointslice-controller: get list watch | core | services pods nodes; update | core | services/finalizers; create delete get list update watch | discovery.k8s.io | endpointslices; create | discovery.k8s.io | endpointslices/restricted
endpointslicemirroring-controller: get list watch | core | endpoints services; update | core | services services/finalizers endpoints/finalizers; create delete get list update watch | discovery.k8s.io | endpointslices; create | discovery.k8s.io | endpointslices/restricted
ephemeral-volume-controller: update | core | pods/finalizers; get list watch | core | pods; create get list watch | core | persistentvolumeclaims
expand-controller: get list patch update watch | core | persistentvolumes; patch update | core | persistentvolumeclaims/status; get list watch | core | persistentvolumeclaims; get list watch | storage.k8s.io | storageclasses
generic-garbage-collector: delete get list patch update watch | * | *
horizontal-pod-autoscaler: get list watch | autoscaling | horizontalpodautoscalers; update | autoscaling | horizontalpodautoscalers/status; get update | * | */scale; list | core | pods; get list | metrics.k8s.io custom.metrics.k8s.io external.metrics.k8s.io | *
job-controller: get list patch update watch | batch | jobs; update | batch | jobs/status jobs/finalizers; create delete list patch watch | core | pods
namespace-controller: delete get list watch | core | namespaces; update | core | namespaces/finalize namespaces/status; delete deletecollection get list | * | *
node-controller: delete get list patch update | core | nodes; patch update | core | nodes/status; delete get list watch patch | core | pods; patch update | core | pods/status; get list watch | apps | daemonsets; get list watch delete | coordination.k8s.io | leases
persistent-volume-binder: create delete get list update watch | core | persistentvolumes; update | core | persistentvolumes/status persistentvolumeclaims/status; get list update watch | core | persistentvolumeclaims; create delete get list watch | core | pods; get list watch | storage.k8s.io | storageclasses; create delete get | core | endpoints services; get list | core | secrets nodes; watch | core | events
pod-garbage-collector: delete list watch | core | pods; get list | core | nodes; patch | core | pods/status
pv-protection-controller: get list update watch | core | persistentvolumes
pvc-protection-controller: get list update watch | core | persistentvolumeclaims; get list watch | core | pods
replicaset-controller: get list update watch | apps | replicasets; update | apps | replicasets/status replicasets/finalizers; create delete list patch watch | core | pods
replication-controller: get list update watch | core | replicationcontrollers; update | core | replicationcontrollers/status replicationcontrollers/finalizers; create delete list patch watch | core | pods
resource-claim-controller: update | core | pods/finalizers; get list watch | core | pods; create delete get list watch | resource.k8s.io | resourceclaims; patch update | resource.k8s.io | resourceclaims/status; patch update | core | pods/status
resourcequota-controller: list watch | * | *; update | core | resourcequotas/status
root-ca-cert-publisher: create update | core | configmaps
service-account-controller: create | core | serviceaccounts
service-cidrs-controller: get list patch update watch | networking.k8s.io | servicecidrs; patch update | networking.k8s.io | servicecidrs/status servicecidrs/finalizers; get list watch | networking.k8s.io | ipaddresses
service-controller: get list watch | core | services; patch update | core | services/status; list watch | core | nodes
statefulset-controller: list watch | core | pods; get list watch | apps | statefulsets; update | apps | statefulsets/status statefulsets/finalizers; create delete get patch update | core | pods; create delete get list patch update watch | apps | controllerrevisions; create get | core | persistentvolumeclaims
taint-eviction-controller: get list watch | core | pods nodes; delete | core | pods; patch update | core | pods/status
token-cleaner: delete get list watch | core | secrets
ttl-after-finished-controller: delete get list watch | batch | jobs
ttl-controller: list patch update watch | core | nodes
validatingadmissionpolicy-status-controller: get list watch | admissionregistration.k8s.io | validatingadmissionpolicies; get patch update | admissionregistration.k8s.io | validatingadmissionpolicies/status
certificate-controller: get list watch delete | certificates.k8s.io | certificatesigningrequests; update | certificates.k8s.io | certificatesigningrequests/status certificatesigningrequests/approval; approve sign | certificates.k8s.io | signers; create | authorization.k8s.io | subjectaccessreviews
"""


def controller_roles() -> dict[str, list[dict[str, Any]]]:
    """ClusterRole name → rules; fresh objects each call. All may write Events."""
    roles = {}
    for line in _TABLE.strip().splitlines():
        name, _, rules = line.partition(": ")
        parsed = [rule(*(part.strip() for part in text.split("|"))) for text in rules.split(";")]
        parsed.append(rule("create patch update", "core events.k8s.io", "events"))
        roles[f"system:controller:{name}"] = parsed
    return roles
