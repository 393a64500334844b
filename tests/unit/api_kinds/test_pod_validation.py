"""Kubernetes' own words for what is wrong with a Pod."""

import copy
from typing import Any

import pytest

from kogia.api import resources
from kogia.api.strategies import strategy_for

PODS = resources.find("", "v1", "pods")
assert PODS is not None
STRATEGY = strategy_for(PODS)


def make(spec: dict[str, Any] | None = None, container: dict[str, Any] | None = None) -> dict[str, Any]:
    body = {"containers": [{"name": "c", "image": "nginx", **(container or {})}], **(spec or {})}
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"}, "spec": copy.deepcopy(body)}
    STRATEGY.default(obj)
    STRATEGY.prepare_create(obj)
    return obj


def problems(spec: dict[str, Any] | None = None, container: dict[str, Any] | None = None) -> list[str]:
    return [e.message for e in STRATEGY.validate_create(make(spec, container))]


VOLUMES = {"volumes": [{"name": "v", "emptyDir": {}}]}
CONTAINER_CASES: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "spec.containers[0].name: Required value"),
    ({"name": "A_B"}, "spec.containers[0].name: Invalid value: \"A_B\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters "
     "or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"),
    ({"image": ""}, "spec.containers[0].image: Required value"),
    ({"image": " nginx"}, 'spec.containers[0].image: Invalid value: " nginx": must not have leading or trailing whitespace'),
    ({"imagePullPolicy": "Sometimes"}, 'spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"'),
    ({"ports": [{"containerPort": 70000}]}, "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"),
    ({"ports": [{"containerPort": 1, "protocol": "ICMP"}]}, 'spec.containers[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"'),
    ({"ports": [{"containerPort": 1, "name": "x"}, {"containerPort": 2, "name": "x"}]}, 'spec.containers[0].ports[1].name: Duplicate value: "x"'),
    ({"ports": [{"containerPort": 1, "hostPort": 9}, {"containerPort": 2, "hostPort": 9}]}, 'spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//9"'),
    ({"volumeMounts": [{"name": "w", "mountPath": "/x"}]}, 'spec.containers[0].volumeMounts[0].name: Not found: "w"'),
    ({"env": [{"name": "A", "value": "x", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}]},
     'spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'),
    ({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nope"}}}]},
     'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.nope": error converting fieldPath: field label not supported: spec.nope'),
    ({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}, 'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'),
    ({"resources": {"requests": {"cpu": "-1"}}}, 'spec.containers[0].resources.requests[cpu]: Invalid value: "-1": must be greater than or equal to 0'),
    ({"livenessProbe": {}}, "spec.containers[0].livenessProbe: Required value: must specify a handler type"),
    ({"livenessProbe": {"tcpSocket": {"port": 1}, "successThreshold": 2}}, "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"),
    ({"readinessProbe": {"tcpSocket": {"port": 1}, "exec": {"command": ["x"]}}}, "spec.containers[0].readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"),
    ({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}},
     "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)"),
    ({"securityContext": {"runAsUser": -1}}, "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive"),
    ({"securityContext": {"seccompProfile": {"type": "Localhost"}}},
     "spec.containers[0].securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost"),
]
SPEC_CASES: list[tuple[dict[str, Any], str]] = [
    ({"containers": []}, "spec.containers: Required value"),
    ({"restartPolicy": "Sometimes"}, 'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'),
    ({"dnsPolicy": "None"}, "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"),
    ({"activeDeadlineSeconds": 0}, "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"),
    ({"volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]}, "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"),
    ({"volumes": [{"name": "v", "secret": {}}]}, "spec.volumes[0].secret.secretName: Required value"),
    ({"volumes": [{"name": "v", "hostPath": {"path": "/a/../b"}}]}, 'spec.volumes[0].hostPath.path: Invalid value: "/a/../b": must not contain \'..\''),
    ({"volumes": [{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]}, 'spec.volumes[1].name: Duplicate value: "v"'),
    ({"tolerations": [{"operator": "Equal"}]},
     'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means "match all values and all keys"'),
    ({"tolerations": [{"key": "a", "operator": "Exists", "effect": "Never"}]},
     'spec.tolerations[0].effect: Unsupported value: "Never": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"'),
    ({"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]},
     "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"),
    ({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}},
     "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term"),
    ({"initContainers": [{"name": "c", "image": "i"}]}, 'spec.initContainers[0].name: Duplicate value: "c"'),
    ({"initContainers": [{"name": "i", "image": "i", "livenessProbe": {"exec": {"command": ["x"]}}}]},
     "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always"),
    ({"ephemeralContainers": [{"name": "e", "image": "i"}]}, "spec.ephemeralContainers: Forbidden: cannot be set on create"),
    ({"hostAliases": [{"ip": "nope"}]}, 'spec.hostAliases[0].ip: Invalid value: "nope": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'),
    ({"nodeSelector": {"a b": "c"}}, None),  # type: ignore[list-item]
]


@pytest.mark.parametrize(("container", "message"), CONTAINER_CASES)
def test_containers(container: dict[str, Any], message: str) -> None:
    assert problems(VOLUMES, container) == [message]


@pytest.mark.parametrize(("spec", "message"), SPEC_CASES)
def test_specifications(spec: dict[str, Any], message: str | None) -> None:
    found = problems(spec)
    assert found == [message] if message else len(found) == 1


def test_sidecars_may_have_probes() -> None:
    assert problems({"initContainers": [{"name": "i", "image": "i", "restartPolicy": "Always", "livenessProbe": {"exec": {"command": ["x"]}}}]}) == []


def test_unknown_resources_name_both_rules() -> None:
    assert problems(None, {"resources": {"requests": {"gpu": "1"}}}) == [
        'spec.containers[0].resources.requests[gpu]: Invalid value: "gpu": must be a standard resource type or fully qualified',
        'spec.containers[0].resources.requests[gpu]: Invalid value: "gpu": must be a standard resource for containers',
    ]


def test_devices_come_whole_and_limited() -> None:
    assert problems(None, {"resources": {"limits": {"example.com/gpu": "500m"}}}) == [
        f'spec.containers[0].resources.{field}[example.com/gpu]: Invalid value: "500m": must be an integer' for field in ("limits", "requests")]
    assert problems(None, {"resources": {"requests": {"example.com/gpu": "1"}}}) == [
        "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources"]


def update(change: Any, subresource: str = "") -> list[str]:
    old = make({"tolerations": [{"key": "a", "operator": "Exists"}], "activeDeadlineSeconds": 10})
    old["metadata"] |= {"uid": "u"}
    new = copy.deepcopy(old)
    change(new)
    STRATEGY.prepare_update(new, old, subresource)
    return [e.message for e in STRATEGY.validate_update(new, old, subresource)]


def test_updates_of_a_pod() -> None:
    def image(pod: dict[str, Any]) -> None:
        pod["spec"]["containers"][0]["image"] = "nginx:2"

    def command(pod: dict[str, Any]) -> None:
        pod["spec"]["containers"][0]["command"] = ["x"]

    def deadline(pod: dict[str, Any]) -> None:
        pod["spec"]["activeDeadlineSeconds"] = 20

    def more(pod: dict[str, Any]) -> None:
        pod["spec"]["tolerations"].append({"key": "b", "operator": "Exists"})

    def fewer(pod: dict[str, Any]) -> None:
        pod["spec"]["tolerations"] = []

    def another(pod: dict[str, Any]) -> None:
        pod["spec"]["containers"].append({**pod["spec"]["containers"][0], "name": "d"})

    assert update(image) == [] and update(more) == []
    (message,) = update(command)
    assert message.startswith(
        "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
        "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n")
    assert update(deadline) == ["spec.activeDeadlineSeconds: Invalid value: 20: must be less than or equal to previous value"]
    assert update(fewer) == ["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"]
    assert update(another) == ["spec.containers: Forbidden: pod updates may not add or remove containers"]


def test_generation_counts_only_the_specification() -> None:
    old = make()
    new = copy.deepcopy(old)
    new["spec"]["containers"][0]["image"] = "other"
    new["status"] = {"phase": "Running"}
    STRATEGY.prepare_update(new, old, "")
    assert new["metadata"]["generation"] == 2 and new["status"] == old["status"]
    status = copy.deepcopy(old)
    status["status"]["phase"] = "Running"
    status["spec"]["containers"] = []
    STRATEGY.prepare_update(status, old, "status")
    assert status["metadata"]["generation"] == 1 and status["spec"] == old["spec"] and status["status"]["phase"] == "Running"


def test_binding_does_not_count_as_a_generation() -> None:
    old = make()
    new = copy.deepcopy(old)
    new["spec"]["nodeName"] = "n"
    STRATEGY.prepare_update(new, old, "binding")
    assert new["metadata"]["generation"] == 1 and STRATEGY.validate_update(new, old, "binding") == []


def test_ephemeral_containers_may_only_be_added() -> None:
    old = make()
    new = copy.deepcopy(old)
    new["spec"]["ephemeralContainers"] = [{"name": "debug", "image": "busybox"}]
    STRATEGY.default(new)
    STRATEGY.prepare_update(new, old, "ephemeralcontainers")
    assert STRATEGY.validate_update(new, old, "ephemeralcontainers") == []
    gone = copy.deepcopy(new)
    gone["spec"]["ephemeralContainers"] = []
    STRATEGY.prepare_update(gone, new, "ephemeralcontainers")
    assert [e.message for e in STRATEGY.validate_update(gone, new, "ephemeralcontainers")] == [
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "debug" may not be removed']


def test_an_ended_container_stays_ended() -> None:
    old = make({"restartPolicy": "Never"})
    old["status"]["containerStatuses"] = [{"name": "c", "state": {"terminated": {"exitCode": 0}}}]
    new = copy.deepcopy(old)
    new["status"]["containerStatuses"] = [{"name": "c", "state": {"running": {}}}]
    assert [e.message for e in STRATEGY.validate_update(new, old, "status")] == [
        "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"]


def test_field_selectors() -> None:
    obj = make({"nodeName": "n", "hostNetwork": True})
    obj["status"]["podIPs"] = [{"ip": "10.0.0.1"}]
    fields = STRATEGY.selectable_fields(obj)
    assert fields["spec.nodeName"] == "n" and fields["status.phase"] == "Pending" and fields["spec.hostNetwork"] == "true"
    assert fields["status.podIP"] == "10.0.0.1"


def resize(resources: dict[str, Any]) -> list[str]:
    old = make(None, {"resources": {"requests": {"cpu": "1"}}})
    new = copy.deepcopy(old)
    new["spec"]["containers"][0] |= {"resources": resources, "image": "ignored"}
    STRATEGY.prepare_update(new, old, "resize")
    assert new["spec"]["containers"][0]["image"] == "nginx"
    return [e.message for e in STRATEGY.validate_update(new, old, "resize")]


def test_resize_changes_sizes_only() -> None:
    assert resize({"requests": {"cpu": "2"}}) == []
    assert resize({"requests": {"cpu": "1", "ephemeral-storage": "1Gi"}}) == ["spec: Forbidden: only cpu and memory resources are mutable"]
    both = {"cpu": "1", "memory": "1Gi"}
    assert resize({"requests": both, "limits": both}) == ['spec: Invalid value: "Guaranteed": Pod QOS Class may not change as a result of resizing']
