"""Bodies bent out of shape: whatever is sent, the answer is an object or a Status, never a crash, and what is stored stays readable."""

from __future__ import annotations

import json
import random

import pytest

from kogia.api import schema
from kogia.api.jsoncopy import deep_copy
from kogia.api.resources import ALL
from kogia.api.schema import Shape
from kogia.api.status import StatusError

POD = {
    "metadata": {"name": "p", "labels": {"a": "b"}, "annotations": {"c": "d"}, "finalizers": ["x.io/y"], "ownerReferences": [
        {"apiVersion": "v1", "kind": "Pod", "name": "o", "uid": "u", "controller": True}]},
    "spec": {
        "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}], "env": [{"name": "E", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                        "resources": {"requests": {"cpu": "1m"}}, "livenessProbe": {"httpGet": {"port": 80}}, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
        "initContainers": [{"name": "i", "image": "i"}], "volumes": [{"name": "v", "configMap": {"name": "m", "items": [{"key": "k", "path": "p"}]}}],
        "tolerations": [{"key": "k", "operator": "Exists"}], "nodeSelector": {"a": "b"}, "securityContext": {"runAsUser": 1},
    },
}
SERVICE = {"metadata": {"name": "s"}, "spec": {"selector": {"a": "b"}, "ports": [{"name": "n", "port": 80, "targetPort": "http"}], "type": "ClusterIP"}}
CONFIG_MAP = {"metadata": {"name": "m", "managedFields": []}, "data": {"k": "v"}, "binaryData": {"b": "AAAA"}}
NODE = {"metadata": {"name": "n"}, "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}, "status": {"capacity": {"cpu": "1"}, "conditions": [{"type": "Ready", "status": "True"}]}}
DEPLOYMENT = {"metadata": {"name": "d"}, "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "strategy": {"rollingUpdate": {"maxSurge": "25%"}},
                                                 "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}
EVENT = {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}, "reason": "R", "series": {"count": 2}}
TARGETS = [
    ("/api/v1/namespaces/default/pods", POD), ("/api/v1/namespaces/default/services", SERVICE), ("/api/v1/namespaces/default/configmaps", CONFIG_MAP),
    ("/api/v1/nodes", NODE), ("/apis/apps/v1/namespaces/default/deployments", DEPLOYMENT), ("/api/v1/namespaces/default/events", EVENT),
    ("/apis/events.k8s.io/v1/namespaces/default/events", {"metadata": {"name": "f"}, "regarding": {"kind": "Pod"}, "note": "n", "eventTime": "2023-11-14T22:13:20.000000Z"}),
]
ODD = (None, True, 0, -1, 2**40, 1.5, "", "x", "-", "9" * 30, "é/~", [], [None], [{}], {}, {"": None}, {"a": {"b": [1]}}, [[]], "1Gi", "2023-11-14T22:13:20Z")


#: what Kubernetes itself answers with 500
AS_UPSTREAM = ("resourceVersion should not be set", "failed to create typed patch object")


def bend(rng: random.Random, value, depth=0):
    """`value` with one or two places replaced, dropped or added."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            del value[key]
        elif rng.random() < 0.1:
            value[rng.choice(("", "x", "$patch", "status", "spec", "name"))] = rng.choice(ODD)
        else:
            value[key] = bend(rng, value[key], depth + 1)
        return value
    if isinstance(value, list) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        if rng.random() < 0.2:
            value.append(deep_copy(value[at]))
        else:
            value[at] = bend(rng, value[at], depth + 1)
        return value
    return deep_copy(rng.choice(ODD))


@pytest.mark.parametrize("seed", range(8))
def test_bent_bodies_get_a_status(run, seed):
    rng = random.Random(seed)
    kinds = ("application/merge-patch+json", "application/json-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml")

    async def attempt(api, method, url, body, media="application/json"):
        try:
            await api.raw(method, url, json.dumps(body).encode(), {"content-type": media})
        except StatusError as error:
            assert error.code < 500 or error.message.startswith(AS_UPSTREAM), (method, url, body, error.message)

    async def scenario(api):
        for url, good in TARGETS:
            await attempt(api, "POST", url, deep_copy(good))
            name = good["metadata"]["name"]
            for _ in range(25):
                bent = deep_copy(good)
                for _ in range(rng.randint(1, 2)):
                    bent = bend(rng, bent)
                await attempt(api, "POST", url, bent)
                target = f"{url}/{name}" + rng.choice(("", "", "/status"))
                await attempt(api, "PUT", target, bent)
                media = rng.choice(kinds)
                if media == kinds[1]:
                    bent = [{"op": rng.choice(("add", "replace", "test", "remove", "move", "odd")), "path": rng.choice(("/spec", "/metadata/name", "/x/~1", "", "/metadata")),
                             "value": bent, "from": "/spec"}]
                await attempt(api, "PATCH", target + ("?fieldManager=f&force=true" if media == kinds[3] else ""), bent, media)
                await attempt(api, "DELETE", f"{url}/{name}", bent if rng.random() < 0.5 else {})
                await attempt(api, "POST", url, deep_copy(good))
            listed = await api.get(url)
            table = await api.get(url, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
            assert len(listed["items"]) == len(table["rows"])

    run(scenario)


WORDS = ("a", "default", "Always", "x.io/y", "80", "http", "10.0.0.1", "1Gi", "100m", "Delete", "25%", "v1", "Pod", "*", "2023-11-14T22:13:20Z", "ClusterIP")
SCALARS = {
    "boolean": (True, False), "int32": (0, 1, -1, 80, 30000), "int64": (0, 1, -1), "double": (1.5,), "quantity": ("1", "1Gi", 5, "-1", "abc"),
    "int-or-string": (1, "25%", "http"), "time": ("2023-11-14T22:13:20Z",), "microtime": ("2023-11-14T22:13:20.123456Z",), "byte": ("AAAA",),
}


def invent(rng: random.Random, node, depth=0):
    """A random value of a schema node: right types, wild content."""
    if node.shape is Shape.SCALAR:
        return rng.choice(SCALARS.get(node.scalar, WORDS))
    if node.shape is Shape.ANY:
        return rng.choice(({}, {"a": 1}, "x"))
    item = node.item or schema.ANY
    if node.shape is Shape.LIST:
        return [invent(rng, item, depth + 1) for _ in range(rng.choice((0, 1, 1, 2)))] if depth < 9 else []
    if node.shape is Shape.MAP:
        return {rng.choice(WORDS): invent(rng, item, depth + 1) for _ in range(rng.choice((0, 1, 2)))} if depth < 9 else {}
    chance = 0.45 if depth < 3 else 0.3 if depth < 8 else 0
    return {
        name: invent(rng, field, depth + 1) for name, field in node.fields.items()
        if name not in ("apiVersion", "kind") and (rng.random() < chance or (name in node.struct.required and depth < 9))
    }


def test_every_kind_stands_wild_objects(run):
    stored = 0

    async def attempt(api, method, url, body, media="application/json"):
        nonlocal stored
        try:
            stored += (await api.raw(method, url, json.dumps(body).encode(), {"content-type": media})).status == 201
        except StatusError as error:
            assert error.code < 500 or error.message.startswith(AS_UPSTREAM), (method, url, body, error.message)

    async def scenario(api):
        for row in ALL.stored():
            node = schema.type_for(row.group, row.version, row.kind)
            base = (f"/apis/{row.group}/{row.version}" if row.group else f"/api/{row.version}") + ("/namespaces/default/" if row.namespaced else "/") + row.plural
            for number in range(12):
                rng = random.Random(f"{row.group}{row.version}{row.plural}{number}")
                obj = {**invent(rng, node), "metadata": {"name": f"x{number}"}}
                await attempt(api, "POST", base, obj)
                await attempt(api, "PUT", f"{base}/x{number}", obj)
                if row.subresource("status") is not None:
                    await attempt(api, "PUT", f"{base}/x{number}/status", obj)
                patch = {**invent(rng, node), "metadata": {}}
                await attempt(api, "PATCH", f"{base}/x{number}", patch, "application/strategic-merge-patch+json")
                await attempt(api, "PATCH", f"{base}/x{number}?fieldManager=f&force=true", obj, "application/apply-patch+yaml")
            listed = await api.get(base)
            table = await api.get(base, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
            assert len(listed["items"]) == len(table["rows"])
            assert all(len(r["cells"]) == len(table["columnDefinitions"]) for r in table["rows"]), row

    run(scenario)
    assert stored > 100
