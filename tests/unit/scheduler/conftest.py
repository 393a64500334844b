import pytest


def _node(name, *, cpu="2", memory="4Gi", pods="10", labels=None, taints=None, unschedulable=False, **extended):
    spec = {}
    if taints:
        spec["taints"] = taints
    if unschedulable:
        spec["unschedulable"] = True
    allocatable = {"cpu": cpu, "memory": memory, "pods": pods, **extended}
    metadata = {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec, "status": {"allocatable": allocatable, "capacity": allocatable}}


def _pod(name, *, cpu="", memory="", node="", ports=(), namespace="default", requests=None, **spec):
    wanted = {**({"cpu": cpu} if cpu else {}), **({"memory": memory} if memory else {}), **(requests or {})}
    container = {"name": "c", "image": "i", "resources": {"requests": wanted} if wanted else {}}
    if ports:
        container["ports"] = [dict(p) for p in ports]
    if node:
        spec["nodeName"] = node
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container], **spec}, "status": {"phase": "Pending"}}


@pytest.fixture
def make_node():
    return _node


@pytest.fixture
def make_pod():
    return _pod
