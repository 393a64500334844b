import time

from kogia.api.status import status_error
from kogia.controllers.context import CONFIG_MAPS, NAMESPACES, PODS
from kogia.controllers.discovery import parse_aggregated
from kogia.controllers.namespace import Remains, conditions, merged_conditions


def obj(kind, name, namespace="a", api="v1", **metadata):
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": namespace, **metadata}, **({"spec": {}} if kind == "Pod" else {})}


def everything(w, namespace):
    return [
        (kind, key) for kind, objects in w.api.objects.items() for key in objects
        if key.startswith(f"{namespace}/") or (kind == ("", "namespaces") and key == namespace)
    ]


def test_a_thousand_objects_go_quickly(world):
    async def body(w):
        w.namespace("a")
        w.namespace("b")
        for i in range(980):
            w.api.put(obj("ConfigMap", f"c{i}"))
        for i in range(20):
            w.api.put(obj("Deployment", f"d{i}", api="apps/v1"))
        w.api.put(obj("ConfigMap", "kept", "b"))
        started = time.perf_counter()
        await w.client.delete(NAMESPACES, "a")
        await w.until(lambda: not everything(w, "a"))
        assert time.perf_counter() - started < 3
        assert w.get("configmaps", "kept", "b")

    world(body)


def test_pods_first_and_what_remains_is_said(world):
    async def body(w):
        w.namespace("a")
        pod = obj("Pod", "p")
        pod["spec"] = {"nodeName": "n", "containers": []}
        w.api.put(pod)
        w.api.put(obj("ConfigMap", "c"))
        await w.client.delete(NAMESPACES, "a")
        await w.until(lambda: (w.get("namespaces", "a")["status"].get("conditions")))
        assert w.get("configmaps", "c", "a")  # waits for the Pod
        found = {c["type"]: c for c in w.get("namespaces", "a")["status"]["conditions"]}
        assert found["NamespaceContentRemaining"]["status"] == "True"
        assert found["NamespaceContentRemaining"]["message"] == "Some resources are remaining: pods. has 1 resource instances"
        assert found["NamespaceDeletionContentFailure"]["status"] == "False"
        await w.client.delete(PODS, "p", "a", grace_period_s=0)  # the kubelet is done with it
        await w.until(lambda: not everything(w, "a"))  # at once, no clock needed

    world(body, graceful_pods=True)


def test_finalizers_hold_and_are_named(world):
    async def body(w):
        w.namespace("a")
        w.api.put(obj("ConfigMap", "c", finalizers=["x.io/hold"]))
        await w.client.delete(NAMESPACES, "a")
        await w.until(lambda: w.get("namespaces", "a")["status"].get("conditions"))
        found = {c["type"]: c["message"] for c in w.get("namespaces", "a")["status"]["conditions"] if c["status"] == "True"}
        assert found == {
            "NamespaceContentRemaining": "Some resources are remaining: configmaps. has 1 resource instances",
            "NamespaceFinalizersRemaining": "Some content in the namespace has finalizers remaining: x.io/hold in 1 resource instances",
        }
        held = w.get("configmaps", "c", "a")
        await w.client.patch(CONFIG_MAPS, "c", {"metadata": {"finalizers": None}}, "a")
        assert held["metadata"]["finalizers"]
        await w.clock.advance(6)
        await w.until(lambda: not everything(w, "a"))

    world(body)


def test_a_failing_kind_is_reported_and_retried(world):
    async def body(w):
        w.namespace("a")
        w.api.put(obj("ConfigMap", "c"))
        broken = [True]

        def fault(request):
            if broken[0] and request.method == "DELETE" and request.path.endswith("/configmaps"):
                return status_error(500, "InternalError", "disk on fire")
            return None

        w.api.faults.append(fault)
        await w.client.delete(NAMESPACES, "a")
        await w.until(lambda: w.get("namespaces", "a")["status"].get("conditions"))
        found = {c["type"]: c["message"] for c in w.get("namespaces", "a")["status"]["conditions"] if c["status"] == "True"}
        assert found == {"NamespaceDeletionContentFailure": "Failed to delete all resource types, 1 remaining: configmaps: disk on fire"}
        broken[0] = False
        await w.clock.advance(1)
        await w.until(lambda: not everything(w, "a"))

    world(body)


def test_conditions_that_say_the_same_are_not_written():
    remains = Remains()
    remains.resources["pods."] = 1
    first = merged_conditions([], conditions(remains), "t1")
    assert first is not None and merged_conditions(first, conditions(remains), "t2") is None
    remains.resources["pods."] = 2
    second = {c["type"]: c for c in merged_conditions(first, conditions(remains), "t2") or ()}
    assert second["NamespaceContentRemaining"]["lastTransitionTime"] == "t1"  # still True
    again = {c["type"]: c for c in merged_conditions(first, conditions(Remains()), "t3") or ()}
    assert again["NamespaceContentRemaining"]["lastTransitionTime"] == "t3"


def test_aggregated_discovery():
    document = {"kind": "APIGroupDiscoveryList", "items": [{"metadata": {"name": "apps"}, "versions": [{"version": "v1", "resources": [
        {"resource": "deployments", "scope": "Namespaced", "responseKind": {"kind": "Deployment"}, "verbs": ["list", "delete"]},
    ]}]}]}
    (found,) = parse_aggregated(document)
    assert (found.resource.group, found.resource.plural, found.resource.namespaced, found.kind) == ("apps", "deployments", True, "Deployment")
