"""PATCH in four dialects, server-side apply, scale and binding."""

from __future__ import annotations

import asyncio

CMS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
APPLY = {"content-type": "application/apply-patch+yaml"}


def config_map(**data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}


def deployment():
    template = {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "d"}}, "template": template},
    }


def test_the_patch_dialects(run):
    async def scenario(api):
        await api.post(CMS, config_map(a="1", b="2"))
        assert (await api.patch(CMS + "/a", {"data": {"a": None, "c": "3"}}))["data"] == {"b": "2", "c": "3"}
        assert (await api.patch(CMS + "/a", [{"op": "test", "path": "/data/b", "value": "2"}, {"op": "remove", "path": "/data/b"}], "json"))["data"] == {"c": "3"}
        error = await api.refused("PATCH", CMS + "/a", [{"op": "test", "path": "/data/c", "value": "x"}], {"content-type": "application/json-patch+json"})
        assert error.code == 422
        await api.post(DEPLOYMENTS, deployment())
        patch = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "s"}]}}}}
        made = await api.patch(DEPLOYMENTS + "/d", patch, "strategic")
        assert {c["name"] for c in made["spec"]["template"]["spec"]["containers"]} == {"side", "c"}
        error = await api.refused("PATCH", CMS + "/a", {}, {"content-type": "application/json"})
        assert (error.code, error.reason) == (415, "UnsupportedMediaType")
        assert (await api.refused("PATCH", CMS + "/none", {}, {"content-type": "application/merge-patch+json"})).code == 404

    run(scenario)


def test_a_resource_version_in_a_patch_is_a_precondition(run):
    async def scenario(api):
        await api.post(CMS, config_map(a="1"))
        error = await api.refused("PATCH", CMS + "/a", {"metadata": {"resourceVersion": "1"}, "data": {"a": "2"}}, {"content-type": "application/merge-patch+json"})
        assert error.code == 409

    run(scenario)


def test_patches_of_many_at_once_all_count(run):
    async def scenario(api):
        await api.post(CMS, config_map())
        await asyncio.gather(*(api.patch(CMS + "/a", {"data": {f"k{i}": "v"}}) for i in range(40)))
        assert len((await api.get(CMS + "/a"))["data"]) == 40

    run(scenario)


def test_apply_creates_merges_and_conflicts(run):
    async def scenario(api):
        response = await api.raw("PATCH", CMS + "/a?fieldManager=one", config_map(a="1", b="1"), APPLY)
        assert response.status == 201
        before = api.store.revision
        await api.call("PATCH", CMS + "/a?fieldManager=one", config_map(a="1", b="1"), APPLY)
        assert api.store.revision == before
        error = await api.refused("PATCH", CMS + "/a?fieldManager=two", config_map(a="2"), APPLY)
        assert error.code == 409 and error.causes[0]["field"] == ".data.a"
        forced = await api.call("PATCH", CMS + "/a?fieldManager=two&force=true", config_map(a="2"), APPLY)
        assert forced["data"] == {"a": "2", "b": "1"}
        gone = await api.call("PATCH", CMS + "/a?fieldManager=one", config_map(c="3"), APPLY)
        assert gone["data"] == {"a": "2", "c": "3"}
        assert {(e["manager"], e["operation"]) for e in gone["metadata"]["managedFields"]} == {("one", "Apply"), ("two", "Apply")}
        error = await api.refused("PATCH", CMS + "/a", config_map(), APPLY)
        assert error.code == 422 and "fieldManager: Required value: is required for apply patch" in error.message
        error = await api.refused("PATCH", CMS + "/a?force=true", {}, {"content-type": "application/merge-patch+json"})
        assert error.code == 422 and "may not be specified for non-apply patch" in error.message

    run(scenario)


def test_scale(run):
    async def scenario(api):
        await api.post(DEPLOYMENTS, deployment())
        scale = await api.get(DEPLOYMENTS + "/d/scale")
        assert scale["kind"] == "Scale" and scale["apiVersion"] == "autoscaling/v1"
        assert scale["spec"] == {"replicas": 2} and scale["status"] == {"replicas": 0, "selector": "app=d"}
        scale["spec"]["replicas"] = 5
        assert (await api.put(DEPLOYMENTS + "/d/scale", scale))["spec"] == {"replicas": 5}
        assert (await api.refused("PUT", DEPLOYMENTS + "/d/scale", scale)).code == 409
        assert (await api.patch(DEPLOYMENTS + "/d/scale", {"spec": {"replicas": 7}}))["spec"] == {"replicas": 7}
        assert (await api.get(DEPLOYMENTS + "/d"))["spec"]["replicas"] == 7
        assert (await api.refused("PATCH", DEPLOYMENTS + "/d/scale", {"spec": {"replicas": -1}}, {"content-type": "application/merge-patch+json"})).code == 422
        assert (await api.refused("GET", CMS + "/a/scale")).code == 404

    run(scenario)


def test_binding_gives_a_pod_its_node_once(run):
    async def scenario(api):
        await api.post(PODS, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p", "annotations": {"x": "y"}}, "target": {"kind": "Node", "name": "n1"}}
        response = await api.raw("POST", PODS + "/p/binding", binding)
        assert response.status == 201 and b'"status":"Success"' in response.body
        bound = await api.get(PODS + "/p")
        assert bound["spec"]["nodeName"] == "n1" and bound["metadata"]["annotations"] == {"x": "y"}
        condition = next(c for c in bound["status"]["conditions"] if c["type"] == "PodScheduled")
        assert condition["status"] == "True" and condition["lastTransitionTime"]
        error = await api.refused("POST", PODS + "/p/binding", binding)
        assert error.code == 409
        assert error.message == 'Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1"'
        await api.post(PODS, {"metadata": {"name": "q"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
        await api.post("/api/v1/namespaces/default/bindings", {**binding, "metadata": {"name": "q"}})
        assert (await api.get(PODS + "/q"))["spec"]["nodeName"] == "n1"
        error = await api.refused("POST", PODS + "/q/binding", {**binding, "metadata": {"name": "q"}, "target": {"kind": "Pod", "name": ""}})
        assert error.code == 422

    run(scenario)
