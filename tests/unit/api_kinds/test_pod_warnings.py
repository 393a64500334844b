import copy
from typing import Any

from kogia.api import resources
from kogia.api.strategies import strategy_for

PODS, DEPLOYMENTS, SETS = resources.find("", "v1", "pods"), resources.find("apps", "v1", "deployments"), resources.find("apps", "v1", "daemonsets")
assert PODS and DEPLOYMENTS and SETS


def test_doubtful_settings_are_pointed_out() -> None:
    assert PODS is not None
    spec = {
        "nodeSelector": {"beta.kubernetes.io/os": "linux"},
        "containers": [{
            "name": "c", "image": "i", "env": [{"name": "A"}, {"name": "A"}], "ports": [{"containerPort": 1}, {"containerPort": 1}],
            "resources": {"requests": {"memory": "100m"}},
        }],
    }
    assert strategy_for(PODS).warnings({"metadata": {"name": "p"}, "spec": spec}) == [
        'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
        'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',
        "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
        'spec.containers[0].resources.requests[memory]: fractional byte value "100m" is invalid, must be an integer',
    ]
    assert strategy_for(PODS).warnings({"metadata": {"name": "a" * 70}, "spec": {}}) == [
        "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [must be no more than 63 characters]"]


def test_templates_too() -> None:
    assert DEPLOYMENTS is not None
    template = {"spec": {"containers": [{"name": "c", "image": "i", "env": [{"name": "A"}, {"name": "A"}]}]}}
    (warning,) = strategy_for(DEPLOYMENTS).warnings({"spec": {"template": template}})
    assert warning.startswith("spec.template.spec.containers[0].env[1]: hides")


def test_label_keys_become_expressions_once() -> None:
    assert PODS is not None
    strategy = strategy_for(PODS)
    term: dict[str, Any] = {
        "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}}, "matchLabelKeys": ["rev", "absent"]}
    pod = {"metadata": {"name": "p", "namespace": "default", "labels": {"app": "web", "rev": "1"}},
           "spec": {"containers": [{"name": "c", "image": "i"}], "topologySpreadConstraints": [copy.deepcopy(term)]}}
    strategy.default(pod)
    strategy.prepare_create(pod)
    made = pod["spec"]["topologySpreadConstraints"][0]["labelSelector"]  # type: ignore[index]
    assert made == {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "rev", "operator": "In", "values": ["1"]}]}
    assert strategy.validate_create(pod) == []
    new = copy.deepcopy(pod)
    strategy.prepare_update(new, pod, "")
    assert new == pod and strategy.validate_update(new, pod, "") == []


def test_daemon_sets_count_their_templates() -> None:
    assert SETS is not None
    strategy = strategy_for(SETS)
    labels = {"a": "b"}
    old: dict[str, Any] = {"metadata": {"name": "d", "namespace": "default"}, "spec": {
        "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}
    strategy.default(old)
    strategy.prepare_create(old)
    key = "deprecated.daemonset.template.generation"
    assert old["metadata"]["annotations"] == {key: "1"}
    new = copy.deepcopy(old)
    new["metadata"].pop("annotations")
    strategy.prepare_update(new, old, "")
    assert new["metadata"] == old["metadata"]
    new["spec"]["template"]["spec"]["containers"][0]["image"] = "j"
    strategy.prepare_update(new, old, "")
    assert new["metadata"]["annotations"] == {key: "2"} and new["metadata"]["generation"] == 2
