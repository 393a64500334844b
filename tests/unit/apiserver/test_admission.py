"""Each built-in admission plugin by itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kogia.api.resources import ALL
from kogia.api.status import StatusError
from kogia.apiserver.admission.plugins import built_in
from kogia.apiserver.admission.service_accounts import MOUNT_PATH
from kogia.apiserver.interface import AdmissionAttributes
from kogia.wire.messages import UserInfo

ME = UserInfo("me")
NODE = UserInfo("system:node:n1", groups=("system:nodes",))


def attributes(
    plural: str, operation: str = "CREATE", obj: Any = None, old: Any = None, *, group: str = "", subresource: str = "", user: UserInfo = ME,
    namespace: str = "ns", name: str = "x",
) -> AdmissionAttributes:
    row = next(r for r in ALL if r.group == group and r.plural == plural)
    return AdmissionAttributes(operation, row, subresource, namespace if row.namespaced else "", name, user, obj, old)


@pytest.fixture
def run(cache: Any) -> Any:
    cache.put("", "namespaces", {"metadata": {"name": "ns"}, "status": {"phase": "Active"}})
    cache.put("", "serviceaccounts", {"metadata": {"name": "default", "namespace": "ns"}})

    async def fresh() -> None:
        return None

    chain = built_in(cache, fresh, taint_new_nodes=True)

    def go(a: AdmissionAttributes) -> Any:
        async def both() -> None:
            await chain.mutate(a)
            await chain.validate(a)

        asyncio.run(both())
        return a.obj

    return go


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "x", "namespace": "ns"}, "spec": {"containers": [{"name": "c"}], **spec}}


def refusal(run: Any, a: AdmissionAttributes) -> StatusError:
    with pytest.raises(StatusError) as caught:
        run(a)
    return caught.value


def test_namespaces(run: Any, cache: Any) -> None:
    run(attributes("configmaps", obj={"metadata": {"name": "x"}}))
    missing = refusal(run, attributes("configmaps", obj={"metadata": {}}, namespace="nope"))
    assert (missing.code, missing.message) == (404, 'namespaces "nope" not found')
    cache.put("", "namespaces", {"metadata": {"name": "ns", "deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": "Terminating"}})
    ending = refusal(run, attributes("configmaps", obj={"metadata": {"name": "x"}}))
    assert ending.code == 403 and ending.causes[0]["reason"] == "NamespaceTerminating"
    assert ending.message == 'configmaps "x" is forbidden: unable to create new content in namespace ns because it is being terminated'
    run(attributes("configmaps", "UPDATE", obj={"metadata": {"name": "x"}}, old={}))
    run(attributes("configmaps", "DELETE"))
    immortal = refusal(run, attributes("namespaces", "DELETE", name="kube-system"))
    assert immortal.message == 'namespaces "kube-system" is forbidden: this namespace may not be deleted'


def test_service_accounts(run: Any, cache: Any) -> None:
    made = run(attributes("pods", obj=pod()))
    spec = made["spec"]
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
    volume = spec["volumes"][0]
    assert volume["name"].startswith("kube-api-access-") and len(volume["projected"]["sources"]) == 3 and volume["projected"]["defaultMode"] == 420
    assert spec["containers"][0]["volumeMounts"] == [{"name": volume["name"], "readOnly": True, "mountPath": MOUNT_PATH}]
    own = run(attributes("pods", obj=pod(containers=[{"name": "c", "volumeMounts": [{"name": "mine", "mountPath": MOUNT_PATH}]}])))
    assert "volumes" not in own["spec"]
    assert "volumes" not in run(attributes("pods", obj=pod(automountServiceAccountToken=False)))["spec"]
    cache.put("", "serviceaccounts", {"metadata": {"name": "sa", "namespace": "ns"}, "automountServiceAccountToken": False, "imagePullSecrets": [{"name": "p"}]})
    quiet = run(attributes("pods", obj=pod(serviceAccountName="sa")))
    assert "volumes" not in quiet["spec"] and quiet["spec"]["imagePullSecrets"] == [{"name": "p"}]
    unknown = refusal(run, attributes("pods", obj=pod(serviceAccountName="nobody")))
    assert unknown.message == 'pods "x" is forbidden: error looking up service account ns/nobody: serviceaccount "nobody" not found'


def test_a_namespaces_default_account_may_be_a_moment_late(run: Any, cache: Any) -> None:
    cache.remove("", "serviceaccounts", "ns/default")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(0.05, lambda: cache.put("", "serviceaccounts", {"metadata": {"name": "default", "namespace": "ns"}}))
        await built_in(cache, lambda: asyncio.sleep(0)).mutate(attributes("pods", obj=pod()))

    asyncio.run(main())


def test_tolerations_priority_taints_and_classes(run: Any, cache: Any) -> None:
    spec = run(attributes("pods", obj=pod(tolerations=[{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}])))["spec"]
    assert [t["key"] for t in spec["tolerations"]] == ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")
    assert len(run(attributes("pods", obj=pod(tolerations=[{"operator": "Exists"}])))["spec"]["tolerations"]) == 1
    group = "scheduling.k8s.io"
    cache.put(group, "priorityclasses", {"metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": "Never"})
    high = run(attributes("pods", obj=pod(priorityClassName="high")))["spec"]
    assert (high["priority"], high["preemptionPolicy"]) == (1000, "Never")
    assert "must not be provided" in refusal(run, attributes("pods", obj=pod(priorityClassName="high", priority=5))).message
    assert refusal(run, attributes("pods", obj=pod(priorityClassName="no"))).message == 'pods "x" is forbidden: no PriorityClass with name no was found'
    node = run(attributes("nodes", obj={"metadata": {"name": "n"}}))
    assert node["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    assert refusal(run, attributes("pods", obj=pod(runtimeClassName="kata"))).message == 'pods "x" is forbidden: pod rejected: RuntimeClass "kata" not found'
    cache.put("node.k8s.io", "runtimeclasses", {"metadata": {"name": "kata"}, "overhead": {"podFixed": {"cpu": "1"}}, "scheduling": {"nodeSelector": {"a": "b"}}})
    kata = run(attributes("pods", obj=pod(runtimeClassName="kata")))["spec"]
    assert kata["overhead"] == {"cpu": "1"} and kata["nodeSelector"] == {"a": "b"}
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    for name, made in (("old", "2025-01-01T00:00:00Z"), ("new", "2026-01-01T00:00:00Z")):
        cache.put("storage.k8s.io", "storageclasses", {"metadata": {"name": name, "creationTimestamp": made, "annotations": annotations}})
    claims = [run(attributes("persistentvolumeclaims", obj={"metadata": {"name": "x"}, "spec": s}))["spec"] for s in ({}, {"storageClassName": ""})]
    assert [c["storageClassName"] for c in claims] == ["new", ""]


def test_limit_ranges(run: Any, cache: Any) -> None:
    limits = [
        {"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"}, "min": {"cpu": "50m"}},
        {"type": "Pod", "max": {"cpu": "1200m"}}, {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}},
    ]
    cache.put("", "limitranges", {"metadata": {"name": "l", "namespace": "ns"}, "spec": {"limits": limits}})
    made = run(attributes("pods", obj=pod()))
    assert made["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "100m"}, "limits": {"cpu": "500m"}}
    assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    big = pod(containers=[{"name": "c", "resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "10m"}}}])
    message = refusal(run, attributes("pods", obj=big)).message
    assert "minimum cpu usage per Container is 50m, but request is 10m" in message and "maximum cpu usage per Container is 1, but limit is 2" in message
    two = pod(containers=[{"name": n, "resources": {"limits": {"cpu": "700m"}}} for n in "ab"])
    assert "maximum cpu usage per Pod is 1200m, but limit is 1400m" in refusal(run, attributes("pods", obj=two)).message
    claim = {"metadata": {"name": "x"}, "spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    assert "maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi" in refusal(run, attributes("persistentvolumeclaims", obj=claim)).message


def test_nodes_write_only_their_own(run: Any, cache: Any) -> None:
    mine = {"metadata": {"name": "x", "namespace": "ns"}, "spec": {"nodeName": "n1"}}
    theirs = {"metadata": {"name": "x", "namespace": "ns"}, "spec": {"nodeName": "n2"}}
    run(attributes("pods", "UPDATE", obj=mine, old=mine, subresource="status", user=NODE))
    run(attributes("pods", "DELETE", old=mine, user=NODE))
    mirror = {**mine, "metadata": {**mine["metadata"], "annotations": {"kubernetes.io/config.mirror": "h"}}}
    run(attributes("pods", obj=mirror, user=NODE))
    run(attributes("nodes", "UPDATE", obj={"metadata": {"name": "n1"}}, old={"metadata": {"name": "n1"}}, subresource="status", user=NODE, name="n1"))
    refused = [
        attributes("pods", "UPDATE", obj=theirs, old=theirs, subresource="status", user=NODE), attributes("pods", "DELETE", old=theirs, user=NODE),
        attributes("pods", obj=mine, user=NODE), attributes("nodes", "UPDATE", obj={"metadata": {"name": "n2"}}, old={"metadata": {"name": "n2"}}, user=NODE),
        attributes("nodes", obj={"metadata": {"name": "n1", "labels": {"node-restriction.kubernetes.io/x": "y"}}}, user=NODE),
        attributes("nodes", "UPDATE", obj={"metadata": {"name": "n1"}, "spec": {}}, old={"metadata": {"name": "n1"}, "spec": {"taints": [1]}}, user=NODE),
        attributes("leases", obj={"metadata": {"name": "n2"}}, user=NODE, group="coordination.k8s.io", namespace="kube-node-lease"),
    ]
    cache.put("", "namespaces", {"metadata": {"name": "kube-node-lease"}})
    assert [refusal(run, a).code for a in refused] == [403] * len(refused)
