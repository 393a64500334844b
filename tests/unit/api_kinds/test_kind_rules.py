"""Defaults, update rules and messages of the kinds other than Pod."""

import base64
import copy
from typing import Any

import pytest

from kogia.api import resources
from kogia.api.strategies import KindStrategy, strategy_for
from kogia.api.strategies.jobs import schedule_problem

LABELS = {"app": "web"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "nginx:1"}]}}
WORKLOAD = {"spec": {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}}


def of(group_version: str, kind: str) -> KindStrategy:
    group, _, version = group_version.rpartition("/")
    resource = resources.by_kind(group, version, kind)
    assert resource is not None
    return strategy_for(resource)


def create(strategy: KindStrategy, obj: dict[str, Any]) -> dict[str, Any]:
    made = copy.deepcopy({"metadata": {"name": "x"}, **obj})
    if strategy.resource.namespaced:
        made["metadata"].setdefault("namespace", "default")
    strategy.default(made)
    strategy.prepare_create(made)
    return made


def messages(strategy: KindStrategy, obj: dict[str, Any]) -> list[str]:
    return [e.message for e in strategy.validate_create(create(strategy, obj))]


def change(strategy: KindStrategy, old: dict[str, Any], edit: Any, subresource: str = "") -> tuple[dict[str, Any], list[str]]:
    new = copy.deepcopy(old)
    edit(new)
    strategy.default(new)
    strategy.prepare_update(new, old, subresource)
    return new, [e.message for e in strategy.validate_update(new, old, subresource)]


def test_namespace() -> None:
    strategy = of("v1", "Namespace")
    made = create(strategy, {})
    assert made["spec"] == {"finalizers": ["kubernetes"]} and made["status"] == {"phase": "Active"}
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "x"}
    new, errors = change(strategy, made, lambda o: o["spec"].update(finalizers=[]))
    assert new["spec"] == made["spec"] and errors == []
    new, errors = change(strategy, made, lambda o: o["spec"].update(finalizers=[]), "finalize")
    assert new["spec"] == {"finalizers": []} and errors == []
    assert messages(strategy, {"metadata": {"name": "a.b"}}) == ['metadata.name: Invalid value: "a.b": must not contain dots']
    assert strategy.selectable_fields(made)["status.phase"] == "Active"


def test_node_keeps_its_status_on_create_and_checks_taints() -> None:
    strategy = of("v1", "Node")
    made = create(strategy, {"status": {"capacity": {"cpu": "2"}}})
    assert made["status"] == {"capacity": {"cpu": "2"}, "allocatable": {"cpu": "2"}}
    assert messages(strategy, {"spec": {"taints": [{"key": "a", "effect": "Sometimes"}]}}) == [
        'spec.taints[0].effect: Unsupported value: "Sometimes": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"']
    taint = {"key": "a", "effect": "NoSchedule"}
    assert [m.split(":")[0] for m in messages(strategy, {"spec": {"taints": [taint, taint]}})] == ["spec.taints[1]"]
    assert strategy.selectable_fields(made)["spec.unschedulable"] == "false"


def test_service_defaults() -> None:
    strategy = of("v1", "Service")
    made = create(strategy, {"spec": {"ports": [{"port": 80}]}})
    assert made["spec"] == {
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}], "type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}
    assert made["status"] == {"loadBalancer": {}}
    balanced = create(strategy, {"spec": {"ports": [{"port": 80}], "type": "LoadBalancer", "sessionAffinity": "ClientIP"}})["spec"]
    assert balanced["externalTrafficPolicy"] == "Cluster" and balanced["allocateLoadBalancerNodePorts"] is True
    assert balanced["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
    headless = create(strategy, {"spec": {"clusterIP": "None"}})
    assert headless["spec"]["clusterIPs"] == ["None"] and strategy.validate_create(headless) == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "spec.ports: Required value"),
        ({"ports": [{"port": 0}]}, "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"),
        ({"ports": [{"port": 1}, {"port": 2, "name": "b"}]}, "spec.ports[0].name: Required value"),
        ({"ports": [{"port": 1, "nodePort": 30000}]}, "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"),
        ({"ports": [{"port": 1}], "type": "Odd"}, 'spec.type: Unsupported value: "Odd": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"'),
        ({"ports": [{"port": 1}], "sessionAffinity": "Odd"}, 'spec.sessionAffinity: Unsupported value: "Odd": supported values: "ClientIP", "None"'),
        ({"type": "ExternalName"}, "spec.externalName: Required value"),
        ({"ports": [{"port": 1}], "clusterIP": "300.1.1.1"}, 'spec.clusterIPs[0]: Invalid value: "300.1.1.1": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'),
        ({"ports": [{"port": 1}], "externalTrafficPolicy": "Local"},
         'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services'),
    ],
)
def test_service_messages(spec: dict[str, Any], message: str) -> None:
    strategy = of("v1", "Service")
    found = messages(strategy, {"spec": spec})
    assert (found or [""])[0] == message


def test_service_update_keeps_what_was_allocated() -> None:
    strategy = of("v1", "Service")
    old = create(strategy, {"spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}], "clusterIP": "10.96.0.7"}})

    def leave_out(obj: dict[str, Any]) -> None:
        for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            obj["spec"].pop(field)
        obj["spec"]["ports"][0].pop("nodePort")

    new, errors = change(strategy, old, leave_out)
    assert new["spec"] == old["spec"] and errors == []
    _, errors = change(strategy, old, lambda o: o["spec"].update(clusterIP="10.96.0.8", clusterIPs=["10.96.0.8"]))
    assert errors == ['spec.clusterIPs[0]: Invalid value: ["10.96.0.8"]: may not change once set']
    new, errors = change(strategy, old, lambda o: o["spec"].update(type="ClusterIP"))
    assert "nodePort" not in new["spec"]["ports"][0] and "externalTrafficPolicy" not in new["spec"] and errors == []


def test_config_map() -> None:
    strategy = of("v1", "ConfigMap")
    assert messages(strategy, {"data": {"a b": "x"}})[0].startswith('data[a b]: Invalid value: "a b": a valid config key must consist of')
    assert messages(strategy, {"data": {"a": "x" * (1024 * 1024 + 1)}}) == [": Too long: may not be more than 1048576 bytes"]
    old = create(strategy, {"data": {"a": "1"}, "immutable": True})
    assert change(strategy, old, lambda o: o["data"].update(a="2"))[1] == ["data: Forbidden: field is immutable when `immutable` is set"]
    assert change(strategy, old, lambda o: o.pop("immutable"))[1] == ["immutable: Forbidden: field is immutable when `immutable` is set"]


def test_secret() -> None:
    strategy = of("v1", "Secret")
    made = create(strategy, {"stringData": {"a": "b"}, "data": {"a": "xx==", "c": "ZA=="}})
    assert made["type"] == "Opaque" and "stringData" not in made
    assert made["data"] == {"a": base64.b64encode(b"b").decode(), "c": "ZA=="}
    assert messages(strategy, {"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}) == ["data[tls.key]: Required value"]
    assert messages(strategy, {"type": "kubernetes.io/dockerconfigjson"}) == ["data[.dockerconfigjson]: Required value"]
    assert messages(strategy, {"type": "kubernetes.io/service-account-token"}) == ["metadata.annotations[kubernetes.io/service-account.name]: Required value"]
    assert change(strategy, made, lambda o: o.update(type="other"))[1] == ['type: Invalid value: "other": field is immutable']
    assert strategy.selectable_fields(made)["type"] == "Opaque"


def test_event_namespace_must_match() -> None:
    strategy = of("v1", "Event")
    assert messages(strategy, {"involvedObject": {"namespace": "other"}}) == ['involvedObject.namespace: Invalid value: "other": does not match event.namespace']
    made = create(strategy, {"involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"}, "source": {"component": "kubelet"}, "reason": "R", "type": "Normal"})
    fields = strategy.selectable_fields(made)
    assert (fields["involvedObject.name"], fields["source"], fields["reason"]) == ("p", "kubelet", "R")
    stricter = of("events.k8s.io/v1", "Event")
    assert "eventTime: Required value" in messages(stricter, {"regarding": {"namespace": "default"}})


def test_deployment() -> None:
    strategy = of("apps/v1", "Deployment")
    made = create(strategy, WORKLOAD)
    spec = made["spec"]
    assert (spec["replicas"], spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (1, 10, 600)
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}
    assert spec["template"]["spec"]["restartPolicy"] == "Always" and made["status"] == {} and made["metadata"]["generation"] == 1
    new, errors = change(strategy, made, lambda o: o["spec"].update(replicas=3))
    assert new["metadata"]["generation"] == 2 and errors == []
    assert change(strategy, made, lambda o: o["metadata"].update(labels={"a": "b"}))[0]["metadata"]["generation"] == 1
    other = {"matchLabels": {"app": "web", "b": "c"}}
    _, errors = change(strategy, made, lambda o: (o["spec"].update(selector=other), o["spec"]["template"]["metadata"].update(labels={"app": "web", "b": "c"})))
    assert errors == ['spec.selector: Invalid value: {"matchLabels":{"app":"web","b":"c"}}: field is immutable']


def test_selector_must_match_the_template() -> None:
    wrong = copy.deepcopy(WORKLOAD)
    wrong["spec"]["selector"] = {"matchLabels": {"app": "other"}}
    for kind in ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"):
        assert messages(of("apps/v1", kind), wrong) == [
            'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`']
    assert "spec.selector: Required value" in messages(of("apps/v1", "Deployment"), {"spec": {"template": TEMPLATE}})


def test_templates_are_checked_and_must_restart_always() -> None:
    wrong = copy.deepcopy(WORKLOAD)
    wrong["spec"]["template"]["spec"]["restartPolicy"] = "Never"
    wrong["spec"]["template"]["spec"]["containers"][0]["image"] = ""
    assert messages(of("apps/v1", "ReplicaSet"), wrong) == [
        "spec.template.spec.containers[0].image: Required value",
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
    ]


def test_stateful_set() -> None:
    strategy = of("apps/v1", "StatefulSet")
    claims = {"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]}
    body = copy.deepcopy({"spec": {**WORKLOAD["spec"], **claims, "serviceName": "web"}})
    body["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    made = create(strategy, body)
    assert strategy.validate_create(made) == []
    assert made["spec"]["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert made["spec"]["podManagementPolicy"] == "OrderedReady"
    assert made["spec"]["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    _, errors = change(strategy, made, lambda o: o["spec"].update(serviceName="other"))
    assert errors == [
        "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
        "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"]


def test_job_gets_its_selector_from_its_uid() -> None:
    strategy = of("batch/v1", "Job")
    template = {"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}
    made = create(strategy, {"metadata": {"name": "j", "uid": "u-1"}, "spec": {"template": template}})
    spec = made["spec"]
    assert spec["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u-1"}}
    assert spec["template"]["metadata"]["labels"] == {
        "batch.kubernetes.io/controller-uid": "u-1", "batch.kubernetes.io/job-name": "j", "controller-uid": "u-1", "job-name": "j"}
    assert (spec["completions"], spec["parallelism"], spec["backoffLimit"], spec["completionMode"], spec["suspend"]) == (1, 1, 6, "NonIndexed", False)
    assert made["metadata"]["labels"] == spec["template"]["metadata"]["labels"]
    assert strategy.validate_create(made) == []
    del template["spec"]["restartPolicy"]
    assert messages(strategy, {"spec": {"template": template}}) == ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"']
    _, errors = change(strategy, made, lambda o: o["spec"]["template"]["spec"].update(hostname="h"))
    assert [e.split(":")[0] for e in errors] == ["spec.template"] and errors[0].endswith("field is immutable")


@pytest.mark.parametrize(
    ("schedule", "good"),
    [("* * * * *", True), ("*/5 0-12,20 1 jan-mar mon", True), ("@hourly", True), ("@every 1h30m", True), ("* * * *", False), ("60 * * * *", False),
     ("* * 0 * *", False), ("a * * * *", False), ("@sometimes", False), ("*/0 * * * *", False), ("5-1 * * * *", False)],
)
def test_schedules(schedule: str, good: bool) -> None:
    assert (schedule_problem(schedule) == "") is good


def test_cron_job_names_leave_room_for_the_jobs() -> None:
    assert any("must be no more than 52 characters" in m for m in messages(of("batch/v1", "CronJob"), {"metadata": {"name": "a" * 53}}))


def test_rbac() -> None:
    strategy = of("rbac.authorization.k8s.io/v1", "RoleBinding")
    made = create(strategy, {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "eve"}]})
    assert made["roleRef"]["apiGroup"] == made["subjects"][0]["apiGroup"] == "rbac.authorization.k8s.io"
    _, errors = change(strategy, made, lambda o: o["roleRef"].update(name="other"))
    assert errors == ['roleRef: Invalid value: {"kind":"Role","name":"other","apiGroup":"rbac.authorization.k8s.io"}: cannot change roleRef']
    assert messages(of("rbac.authorization.k8s.io/v1", "Role"), {"rules": [{"verbs": []}]}) == [
        "rules[0].verbs: Required value: verbs must contain at least one value",
        "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
        "rules[0].resources: Required value: resource rules must supply at least one resource",
    ]
    assert create(of("rbac.authorization.k8s.io/v1", "ClusterRole"), {"metadata": {"name": "system:node"}})["metadata"]["name"] == "system:node"
    assert messages(of("rbac.authorization.k8s.io/v1", "ClusterRole"), {"metadata": {"name": "system:node"}}) == []


def test_certificate_request_subresources() -> None:
    strategy = of("certificates.k8s.io/v1", "CertificateSigningRequest")
    made = create(strategy, {"spec": {"request": "YQ==", "usages": ["client auth"], "signerName": "example.com/s"}})
    approved, _ = change(strategy, made, lambda o: o.update(status={"conditions": [{"type": "Approved", "status": "True"}], "certificate": "x"}), "approval")
    assert approved["status"] == {"conditions": [{"type": "Approved", "status": "True"}]}
    issued, _ = change(strategy, approved, lambda o: o.update(status={"certificate": "YQ=="}), "status")
    assert issued["status"] == {"certificate": "YQ==", "conditions": [{"type": "Approved", "status": "True"}]}
    plain, _ = change(strategy, approved, lambda o: o.update(status={}, spec={}))
    assert plain["status"] == approved["status"] and plain["spec"] == made["spec"]


def test_priority_class_and_storage_class_are_nearly_immutable() -> None:
    priority = of("scheduling.k8s.io/v1", "PriorityClass")
    made = create(priority, {"value": 1})
    assert change(priority, made, lambda o: o.update(value=2))[1] == ["value: Forbidden: may not be changed in an update."]
    assert messages(priority, {"metadata": {"name": "system-mine"}, "value": 1})[0].startswith("metadata.name: Forbidden: priority class names with 'system-' prefix")
    storage = of("storage.k8s.io/v1", "StorageClass")
    made = create(storage, {"provisioner": "p"})
    assert (made["reclaimPolicy"], made["volumeBindingMode"]) == ("Delete", "Immediate")
    assert change(storage, made, lambda o: o.update(provisioner="q"))[1] == ["provisioner: Forbidden: updates to provisioner are forbidden."]


def test_claims() -> None:
    strategy = of("v1", "PersistentVolumeClaim")
    claim = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    made = create(strategy, claim)
    assert made["spec"]["volumeMode"] == "Filesystem" and made["status"] == {"phase": "Pending"}
    assert messages(strategy, {"spec": {}}) == ["spec.accessModes: Required value: at least 1 access mode is required", "spec.resources[storage]: Required value"]
    assert change(strategy, made, lambda o: o["spec"].update(volumeName="pv"))[1] == []
    assert change(strategy, made, lambda o: o["spec"].update(accessModes=["ReadOnlyMany"]))[1][0].startswith(
        "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n")


def test_limit_range_fills_defaults_from_limits() -> None:
    item = create(of("v1", "LimitRange"), {"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}}]}})["spec"]["limits"][0]
    assert item["default"] == {"cpu": "2"} and item["defaultRequest"] == {"cpu": "2", "memory": "1Mi"}


def test_network_policy_types() -> None:
    strategy = of("networking.k8s.io/v1", "NetworkPolicy")
    assert create(strategy, {"spec": {"podSelector": {}}})["spec"]["policyTypes"] == ["Ingress"]
    assert create(strategy, {"spec": {"podSelector": {}, "egress": [{}]}})["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_status_writes_leave_the_rest_and_plain_writes_leave_the_status() -> None:
    strategy = of("apps/v1", "Deployment")
    old = create(strategy, WORKLOAD)
    new, _ = change(strategy, old, lambda o: (o.update(status={"replicas": 1}), o["spec"].update(replicas=9), o["metadata"].update(labels={"x": "y"})), "status")
    assert new["status"] == {"replicas": 1} and new["spec"] == old["spec"] and "labels" not in new["metadata"] and new["metadata"]["generation"] == 1
    again, _ = change(strategy, new, lambda o: o.update(status={}))
    assert again["status"] == {"replicas": 1}


def test_unconditional_and_creating_updates() -> None:
    assert of("v1", "Pod").graceful_deletion and not of("v1", "ConfigMap").graceful_deletion
    assert not of("coordination.k8s.io/v1", "Lease").unconditional_update and of("coordination.k8s.io/v1", "Lease").create_on_update
    assert of("v1", "Pod").unconditional_update and not of("v1", "Pod").create_on_update
