"""The decision as a table: cluster and Pod in, node or Kubernetes' message out."""

import pytest

from kogia.scheduler.core import schedule
from kogia.scheduler.plugins import default_profile
from kogia.scheduler.snapshot import PodInfo, Snapshot

PREEMPTION = {
    "victims": "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
    "useless": "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
}


def decide(nodes, pod, placed=()):
    snapshot = Snapshot()
    for node in nodes:
        snapshot.set_node(node)
    for other in placed:
        snapshot.set_pod(PodInfo.of(other), other["spec"]["nodeName"])
    return schedule(PodInfo.of(pod), snapshot, default_profile(None), choose=lambda n: 0)


def test_no_nodes(make_pod):
    assert decide([], make_pod("p")).message == "no nodes available to schedule pods"


def test_too_big(make_node, make_pod):
    decision = decide([make_node("n")], make_pod("p", cpu="3"))
    assert decision.message == "0/1 nodes are available: 1 Insufficient cpu. " + PREEMPTION["victims"]
    assert decision.plugins == {"NodeResourcesFit"}


def test_all_that_is_lacking_is_listed(make_node, make_pod):
    nodes = [make_node("n", pods="0"), make_node("m", cpu="8", memory="32Gi")]
    message = decide(nodes, make_pod("p", cpu="3", memory="10Gi", requests={"x.io/gpu": "1"})).message
    assert message.startswith(
        "0/2 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 1 Too many pods, 2 Insufficient x.io/gpu. preemption: 0/2 "
    )


def test_requests_of_placed_pods_count_and_are_freed(make_node, make_pod):
    snapshot = Snapshot()
    snapshot.set_node(make_node("n"))
    for name in ("a", "b"):
        snapshot.set_pod(PodInfo.of(make_pod(name, cpu="900m", node="n")), "n")
    plugins = default_profile(None)
    pod = PodInfo.of(make_pod("p", cpu="300m"))
    assert schedule(pod, snapshot, plugins).node == ""
    snapshot.remove_pod("uid-a")
    assert schedule(pod, snapshot, plugins).node == "n"
    snapshot.remove_pod("uid-b")
    info = snapshot.node("n")
    assert (info.requested, info.scored_cpu, info.scored_memory, info.pods) == ({}, 0, 0, {})


def test_node_selector_and_affinity(make_node, make_pod):
    nodes = [make_node("n", labels={"disk": "ssd", "gen": "7"})]
    assert decide(nodes, make_pod("p", nodeSelector={"disk": "ssd"})).node == "n"
    refused = decide(nodes, make_pod("p", nodeSelector={"disk": "hdd"}))
    assert refused.message == "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. " + PREEMPTION["useless"]

    def required(*expressions, **term):
        terms = [{"matchExpressions": [dict(zip(("key", "operator", "values"), e, strict=False)) for e in expressions], **term}]
        return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}

    fits = [
        [("disk", "In", ["ssd", "x"])], [("disk", "NotIn", ["hdd"])], [("disk", "Exists")], [("other", "DoesNotExist")],
        [("gen", "Gt", ["6"])], [("gen", "Lt", ["8"]), ("disk", "Exists")],
    ]
    for expressions in fits:
        assert decide(nodes, make_pod("p", affinity=required(*expressions))).node == "n", expressions
    for expressions in ([("disk", "In", ["hdd"])], [("gen", "Gt", ["7"])], [("disk", "DoesNotExist")], []):
        assert decide(nodes, make_pod("p", affinity=required(*expressions))).node == "", expressions
    pinned = required(matchFields=[{"key": "metadata.name", "operator": "In", "values": ["gone"]}])
    assert "1 node(s) didn't satisfy plugin(s) [NodeAffinity]" in decide(nodes, make_pod("p", affinity=pinned)).message


def test_preferred_affinity_wins_over_emptiness(make_node, make_pod):
    nodes = [make_node("a", cpu="64", memory="64Gi"), make_node("b", labels={"disk": "ssd"})]
    preference = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 10, "preference": preference}]}}
    assert decide(nodes, make_pod("p", cpu="1", affinity=affinity)).node == "b"
    assert decide(nodes, make_pod("p", cpu="1")).node == "a"


TAINT = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}


def test_taints(make_node, make_pod):
    nodes = [make_node("n", taints=[TAINT])]
    refused = decide(nodes, make_pod("p"))
    assert refused.message == "0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: db}. " + PREEMPTION["useless"]


@pytest.mark.parametrize("toleration,fits", [
    ({"key": "dedicated", "operator": "Equal", "value": "db", "effect": "NoSchedule"}, True),
    ({"key": "dedicated", "value": "db"}, True),
    ({"key": "dedicated", "operator": "Exists"}, True),
    ({"operator": "Exists"}, True),
    ({"key": "dedicated", "operator": "Equal", "value": "web"}, False),
    ({"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}, False),
])
def test_tolerations(make_node, make_pod, toleration, fits):
    assert bool(decide([make_node("n", taints=[TAINT])], make_pod("p", tolerations=[toleration])).node) is fits


def test_a_soft_taint_only_repels(make_node, make_pod):
    soft = make_node("a", cpu="64", taints=[{"key": "x", "effect": "PreferNoSchedule"}])
    assert decide([soft, make_node("b")], make_pod("p")).node == "b"
    assert decide([soft], make_pod("p")).node == "a"


def test_cordoned(make_node, make_pod):
    node = make_node("n", unschedulable=True, taints=[{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}])
    assert "1 node(s) were unschedulable" in decide([node], make_pod("p")).message
    assert decide([node], make_pod("p", tolerations=[{"operator": "Exists"}])).node == "n"


@pytest.mark.parametrize("used,wanted,fits", [
    ({"hostPort": 80}, {"hostPort": 80}, False),
    ({"hostPort": 80}, {"hostPort": 81}, True),
    ({"hostPort": 80}, {"hostPort": 80, "protocol": "UDP"}, True),
    ({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 80, "hostIP": "10.0.0.2"}, True),
    ({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 80}, False),
    ({"containerPort": 80}, {"containerPort": 80}, True),
])
def test_host_ports(make_node, make_pod, used, wanted, fits):
    decision = decide([make_node("n")], make_pod("p", ports=[wanted]), [make_pod("q", ports=[used], node="n")])
    assert bool(decision.node) is fits
    if not fits:
        assert "1 node(s) didn't have free ports for the requested pod ports" in decision.message


def test_the_emptier_node_is_preferred(make_node, make_pod):
    nodes = [make_node("a"), make_node("b")]
    placed = [make_pod(f"q{i}", cpu="500m", memory="1Gi", node="a") for i in range(2)]
    assert decide(nodes, make_pod("p", cpu="100m"), placed).node == "b"


def test_no_preemption_for_those_who_never_preempt(make_node, make_pod):
    message = decide([make_node("n")], make_pod("p", cpu="3", preemptionPolicy="Never")).message
    assert message == "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never."


def test_counting_survives_any_order(make_node, make_pod):
    """Adding, moving, assuming, forgetting and removing Pods in random order leaves nothing behind."""
    import random

    chance = random.Random(7)
    snapshot = Snapshot()
    for name in "ab":
        snapshot.set_node(make_node(name))
    pods = [PodInfo.of(make_pod(f"p{i}", cpu="10m", ports=[{"hostPort": 8000 + i % 3}])) for i in range(10)]
    for _ in range(500):
        pod, node = chance.choice(pods), chance.choice("abc")
        action = chance.randrange(4)
        if action == 0:
            snapshot.set_pod(pod, node)
        elif action == 1:
            snapshot.assume(pod, node)
        elif action == 2:
            snapshot.forget(pod.uid)
        else:
            snapshot.remove_pod(pod.uid)
        assert snapshot.assumed <= set(snapshot._where)
    for pod in pods:
        snapshot.remove_pod(pod.uid)
    assert all((n.requested, n.ports, n.scored_cpu) == ({}, {}, 0) for n in snapshot)
    assert set(snapshot._nodes) == {"a", "b"}
