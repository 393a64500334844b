import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kogia.api import resources
from kogia.api.strategies import strategy_for
from kogia.api.strategies.pod_defaults import default_template, pull_policy_for

PODS = resources.find("", "v1", "pods")
assert PODS is not None
STRATEGY = strategy_for(PODS)


def pod(spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default", **metadata}, "spec": spec}


def defaulted(spec: dict[str, Any]) -> dict[str, Any]:
    obj = pod(copy.deepcopy(spec))
    STRATEGY.default(obj)
    return obj["spec"]


def test_the_smallest_pod_gets_what_kubernetes_gives_it() -> None:
    obj = pod({"containers": [{"name": "webserver", "image": "nginx:latest", "ports": [{"containerPort": 80}]}]})
    STRATEGY.default(obj)
    STRATEGY.prepare_create(obj)
    assert obj["spec"] == {
        "containers": [{
            "name": "webserver", "image": "nginx:latest", "imagePullPolicy": "Always", "ports": [{"containerPort": 80, "protocol": "TCP"}],
            "resources": {}, "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        }],
        "dnsPolicy": "ClusterFirst", "enableServiceLinks": True, "restartPolicy": "Always", "schedulerName": "default-scheduler",
        "securityContext": {}, "terminationGracePeriodSeconds": 30,
    }
    assert obj["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert obj["metadata"]["generation"] == 1
    assert STRATEGY.validate_create(obj) == []


@pytest.mark.parametrize(
    ("image", "policy"),
    [("nginx", "Always"), ("nginx:latest", "Always"), ("nginx:1.25", "IfNotPresent"), ("localhost:5000/nginx", "Always"),
     ("localhost:5000/nginx:2", "IfNotPresent"), ("nginx@sha256:" + "0" * 64, "IfNotPresent"), ("nginx:latest@sha256:" + "0" * 64, "Always"), ("", "IfNotPresent")],
)
def test_pull_policy(image: str, policy: str) -> None:
    assert pull_policy_for(image) == policy


def test_requests_come_from_limits() -> None:
    spec = defaulted({"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m"}}}]})
    assert spec["containers"][0]["resources"]["requests"] == {"cpu": "100m", "memory": "1Gi"}


def test_probes_and_hooks() -> None:
    spec = defaulted({"containers": [{
        "name": "c", "image": "i", "livenessProbe": {"httpGet": {"port": 80}}, "readinessProbe": {"exec": {"command": ["x"]}, "periodSeconds": 3},
        "startupProbe": {"grpc": {"port": 1}}, "lifecycle": {"preStop": {"httpGet": {"port": "http", "path": "/bye"}}},
    }]})
    container = spec["containers"][0]
    assert container["livenessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
    assert container["readinessProbe"]["periodSeconds"] == 3
    assert container["startupProbe"]["grpc"] == {"port": 1, "service": ""}
    assert container["lifecycle"]["preStop"]["httpGet"] == {"port": "http", "path": "/bye", "scheme": "HTTP"}


def test_env_and_volumes() -> None:
    spec = defaulted({
        "containers": [{"name": "c", "image": "i", "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]}],
        "volumes": [
            {"name": "a"}, {"name": "b", "hostPath": {"path": "/x"}}, {"name": "c", "secret": {"secretName": "s"}}, {"name": "d", "configMap": {"name": "m", "defaultMode": 256}},
            {"name": "e", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}, {"downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}},
            {"name": "f", "image": {"reference": "r:latest"}},
        ],
    })
    assert spec["containers"][0]["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    a, b, c, d, e, f = spec["volumes"]
    assert a["emptyDir"] == {} and b["hostPath"]["type"] == "" and c["secret"]["defaultMode"] == 420 and d["configMap"]["defaultMode"] == 256
    assert e["projected"]["defaultMode"] == 420 and e["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"] == 3600
    assert e["projected"]["sources"][1]["downwardAPI"]["items"][0]["fieldRef"]["apiVersion"] == "v1"
    assert f["image"]["pullPolicy"] == "Always"


def test_host_network_ports_and_service_account_alias() -> None:
    spec = defaulted({"hostNetwork": True, "serviceAccount": "sa", "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]})
    assert spec["containers"][0]["ports"][0]["hostPort"] == 80
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "sa"


def test_templates_get_less() -> None:
    template: dict[str, Any] = {"spec": {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1"}}}]}}
    default_template(template)
    assert "enableServiceLinks" not in template["spec"] and "requests" not in template["spec"]["containers"][0]["resources"]
    assert template["spec"]["restartPolicy"] == "Always"


def test_set_fields_stay() -> None:
    spec = {"containers": [{"name": "c", "image": "i", "imagePullPolicy": "Never"}], "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
            "enableServiceLinks": False, "dnsPolicy": "Default"}
    got = defaulted(spec)
    assert {key: got[key] for key in spec if key != "containers"} == {key: spec[key] for key in spec if key != "containers"}
    assert got["containers"][0]["imagePullPolicy"] == "Never"


_names = st.sampled_from(["a", "b", "c"])
_probe = st.fixed_dictionaries({}, optional={"httpGet": st.just({"port": 80}), "periodSeconds": st.integers(0, 5), "timeoutSeconds": st.integers(0, 5)})
_container = st.fixed_dictionaries(
    {"name": _names, "image": st.sampled_from(["x", "x:1", "x:latest"])},
    optional={
        "ports": st.lists(st.fixed_dictionaries({"containerPort": st.integers(1, 9)}), max_size=2), "livenessProbe": _probe,
        "resources": st.fixed_dictionaries({}, optional={"limits": st.dictionaries(st.sampled_from(["cpu", "memory"]), st.sampled_from(["1", "2"]))}),
    },
)
_volume = st.fixed_dictionaries({"name": _names}, optional={"hostPath": st.just({"path": "/"}), "secret": st.just({"secretName": "s"})})
_spec = st.fixed_dictionaries(
    {"containers": st.lists(_container, min_size=1, max_size=3)},
    optional={"volumes": st.lists(_volume, max_size=3), "hostNetwork": st.booleans(), "initContainers": st.lists(_container, max_size=2)},
)


@given(_spec)
def test_defaulting_is_idempotent(spec: dict[str, Any]) -> None:
    once = pod(copy.deepcopy(spec))
    STRATEGY.default(once)
    twice = copy.deepcopy(once)
    STRATEGY.default(twice)
    assert twice == once
