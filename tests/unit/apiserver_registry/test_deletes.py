"""DELETE: grace, finalizers, propagation, preconditions, collections, namespaces."""

from __future__ import annotations

import asyncio

PODS = "/api/v1/namespaces/default/pods"
CMS = "/api/v1/namespaces/default/configmaps"


def pod(name="p", node="", grace=None):
    spec = {"containers": [{"name": "c", "image": "i"}]}
    if node:
        spec["nodeName"] = node
    if grace is not None:
        spec["terminationGracePeriodSeconds"] = grace
    return {"metadata": {"name": name}, "spec": spec}


def config_map(name="a", **meta):
    return {"metadata": {"name": name, **meta}}


def test_deleting_answers_with_a_status_or_the_object(run):
    async def scenario(api):
        made = await api.post(CMS, config_map())
        status = await api.delete(CMS + "/a")
        assert status == {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]},
        }
        assert (await api.refused("DELETE", CMS + "/a")).code == 404
        await api.post(PODS, pod())
        assert (await api.delete(PODS + "/p"))["kind"] == "Pod"
        assert (await api.refused("GET", PODS + "/p")).code == 404

    run(scenario)


def test_a_running_pod_is_marked_and_its_node_finishes(run):
    async def scenario(api):
        made = await api.post(PODS, pod(node="n1"))
        marked = await api.delete(PODS + "/p")
        assert marked["metadata"]["deletionTimestamp"] == "2023-11-14T22:13:50Z"
        assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
        assert marked["metadata"]["generation"] == made["metadata"].get("generation", 0) + 1
        before = api.store.revision
        await api.delete(PODS + "/p", {"gracePeriodSeconds": 60})  # never longer
        assert api.store.revision == before
        shorter = await api.delete(PODS + "/p", {"gracePeriodSeconds": 5})
        assert shorter["metadata"]["deletionTimestamp"] == "2023-11-14T22:13:25Z"
        assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5
        status = await api.patch(PODS + "/p/status", {"status": {"phase": "Running"}})
        assert status["metadata"]["deletionTimestamp"] == "2023-11-14T22:13:25Z"
        error = await api.refused("DELETE", PODS + "/p", {"gracePeriodSeconds": 0, "preconditions": {"uid": "wrong"}})
        assert error.code == 409 and "Precondition failed: UID in precondition: wrong" in error.message
        await api.delete(PODS + "/p", {"gracePeriodSeconds": 0, "preconditions": {"uid": made["metadata"]["uid"]}})
        assert (await api.refused("GET", PODS + "/p")).code == 404

    run(scenario)


def test_pods_that_never_ran_or_have_ended_go_at_once(run):
    async def scenario(api):
        await api.post(PODS, pod("waiting"))
        await api.delete(PODS + "/waiting")
        await api.post(PODS, pod("done", node="n"))
        await api.patch(PODS + "/done/status", {"status": {"phase": "Succeeded"}})
        await api.delete(PODS + "/done")
        await api.post(PODS, pod("quick", node="n", grace=0))
        await api.delete(PODS + "/quick")
        await api.post(PODS, pod("forced", node="n"))
        await api.call("DELETE", PODS + "/forced?gracePeriodSeconds=0")
        assert (await api.get(PODS))["items"] == []

    run(scenario)


def test_finalizers_hold_an_object_until_the_last_is_gone(run):
    async def scenario(api):
        await api.post(CMS, config_map(finalizers=["x.io/a", "x.io/b"]))
        marked = await api.delete(CMS + "/a")
        assert marked["kind"] == "ConfigMap" and marked["metadata"]["deletionTimestamp"]
        assert marked["metadata"]["deletionGracePeriodSeconds"] == 0
        before = api.store.revision
        await api.delete(CMS + "/a")
        assert api.store.revision == before
        error = await api.refused("PATCH", CMS + "/a", {"metadata": {"finalizers": ["x.io/a", "x.io/new"]}}, {"content-type": "application/merge-patch+json"})
        assert error.code == 422 and "no new finalizers can be added if the object is being deleted" in error.message
        watch = await api.watch(CMS + f"?resourceVersion={before}")
        await api.patch(CMS + "/a", {"metadata": {"finalizers": ["x.io/b"]}})
        assert (await api.get(CMS + "/a"))["metadata"]["finalizers"] == ["x.io/b"]
        await api.patch(CMS + "/a", {"metadata": {"finalizers": None}})
        assert (await api.refused("GET", CMS + "/a")).code == 404
        assert await watch.brief(2) == [("MODIFIED", "a"), ("DELETED", "a")]
        await watch.close()

    run(scenario)


def test_propagation_is_a_finalizer(run):
    async def scenario(api):
        await api.post(CMS, config_map("o"))
        assert (await api.delete(CMS + "/o", {"propagationPolicy": "Orphan"}))["metadata"]["finalizers"] == ["orphan"]
        await api.post(CMS, config_map("f"))
        assert (await api.delete(CMS + "/f", {"propagationPolicy": "Foreground"}))["metadata"]["finalizers"] == ["foregroundDeletion"]
        await api.delete(CMS + "/f", {"propagationPolicy": "Background"})
        assert (await api.refused("GET", CMS + "/f")).code == 404
        await api.post(CMS, config_map("b", finalizers=["orphan"]))
        await api.delete(CMS + "/b", {"propagationPolicy": "Background"})
        assert (await api.refused("GET", CMS + "/b")).code == 404
        assert (await api.refused("DELETE", CMS + "/o", {"propagationPolicy": "Never"})).code == 422
        assert (await api.refused("DELETE", CMS + "/o", {"propagationPolicy": "Orphan", "orphanDependents": True})).code == 422

    run(scenario)


def test_a_resource_version_may_be_a_precondition(run):
    async def scenario(api):
        made = await api.post(CMS, config_map())
        assert (await api.refused("DELETE", CMS + "/a", {"preconditions": {"resourceVersion": "1"}})).code == 409
        await api.delete(CMS + "/a", {"preconditions": {"resourceVersion": made["metadata"]["resourceVersion"]}})

    run(scenario)


def test_collections_honour_selectors_and_grace(run):
    async def scenario(api):
        for name, app in (("a", "x"), ("b", "x"), ("c", "y")):
            await api.post(CMS, config_map(name, labels={"app": app}))
        watch = await api.watch(CMS + f"?resourceVersion={api.store.revision}")
        answer = await api.delete(CMS + "?labelSelector=app%3Dx")
        assert answer["kind"] == "ConfigMapList" and len(answer["items"]) == 2
        assert sorted(await watch.brief(2)) == [("DELETED", "a"), ("DELETED", "b")]
        assert [i["metadata"]["name"] for i in (await api.get(CMS))["items"]] == ["c"]
        await watch.close()
        await api.post(PODS, pod("p", node="n"))
        await api.post(PODS, pod("q", node="n"))
        await api.delete(PODS, {"gracePeriodSeconds": 1})
        assert [p["metadata"]["deletionGracePeriodSeconds"] for p in (await api.get(PODS))["items"]] == [1, 1]

    run(scenario)


def test_a_namespace_goes_when_it_has_been_emptied(run):
    async def scenario(api):
        await api.post("/api/v1/namespaces", {"metadata": {"name": "n"}, "spec": {"finalizers": ["kubernetes"]}})
        marked = await api.delete("/api/v1/namespaces/n")
        assert marked["status"]["phase"] == "Terminating" and marked["metadata"]["deletionTimestamp"]
        error = await api.refused("DELETE", "/api/v1/namespaces/n")
        assert error.code == 409 and "The system is ensuring all content is removed" in error.message
        marked["spec"]["finalizers"] = []
        await api.put("/api/v1/namespaces/n/finalize", marked)
        assert (await api.refused("GET", "/api/v1/namespaces/n")).code == 404

    run(scenario)


def test_two_deletes_at_once_delete_once(run):
    async def scenario(api):
        await api.post(CMS, config_map())
        results = await asyncio.gather(*(api.raw("DELETE", CMS + "/a") for _ in range(5)), return_exceptions=True)
        codes = sorted(getattr(r, "status", 0) if not isinstance(r, Exception) else r.code for r in results)
        assert codes == [200, 404, 404, 404, 404]

    run(scenario)
