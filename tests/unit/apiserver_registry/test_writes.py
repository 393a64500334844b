"""Creating, updating and what every write does to metadata."""

from __future__ import annotations

import re

from kogia.api.resources import find
from kogia.api.status import MODIFIED
from kogia.api.strategies import strategy_for
from kogia.apiserver.interface import WriteHook

CMS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def config_map(name="a", **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data or {"k": "v"}}


def deployment(name="d", replicas=1, image="nginx"):
    pod = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": pod},
    }


def test_create_fills_metadata(run):
    async def scenario(api):
        response = await api.raw("POST", CMS, config_map())
        assert response.status == 201
        made = await api.get(CMS + "/a")
        meta = made["metadata"]
        assert re.fullmatch(r"[0-9a-f-]{36}", meta["uid"])
        assert meta["creationTimestamp"] == "2023-11-14T22:13:20Z"
        assert meta["namespace"] == "default" and meta["resourceVersion"] == str(api.store.revision)
        (entry,) = meta["managedFields"]
        assert (entry["manager"], entry["operation"], entry["apiVersion"]) == ("tester", "Update", "v1")
        assert entry["fieldsV1"] == {"f:data": {".": {}, "f:k": {}}}
        assert response.body == (await api.raw("GET", CMS + "/a")).body
        assert response.body.startswith(b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"2","name":"a"')

    run(scenario)


def test_names_collide_and_are_generated(run):
    async def scenario(api):
        await api.post(CMS, config_map())
        error = await api.refused("POST", CMS, config_map())
        assert (error.code, error.reason, error.message) == (409, "AlreadyExists", 'configmaps "a" already exists')
        body = config_map()
        body["metadata"] = {"generateName": "x" * 60}
        name = (await api.post(CMS, body))["metadata"]["name"]
        assert re.fullmatch("x{58}[bcdfghjklmnpqrstvwxz2456789]{5}", name)
        error = await api.refused("POST", CMS, {"metadata": {}})
        assert error.code == 422 and "name or generateName is required" in error.message

    run(scenario)


def test_a_generated_name_that_is_taken_is_tried_again(run, monkeypatch):
    names = iter(["n-aaaaa", "n-aaaaa", "n-bbbbb"])
    monkeypatch.setattr("kogia.apiserver.registry.metadata.generate_name", lambda base: next(names))
    monkeypatch.setattr("kogia.apiserver.registry.pipeline.generate_name", lambda base: next(names))

    async def scenario(api):
        body = {"metadata": {"generateName": "n-"}}
        assert (await api.post(CMS, body))["metadata"]["name"] == "n-aaaaa"
        assert (await api.post(CMS, body))["metadata"]["name"] == "n-bbbbb"

    run(scenario)


def test_bodies_must_fit_the_url(run):
    async def scenario(api):
        wrong = config_map()
        wrong["metadata"]["namespace"] = "other"
        error = await api.refused("POST", CMS, wrong)
        assert error.code == 400 and error.message == "the namespace of the provided object does not match the namespace sent on the request"
        error = await api.refused("POST", CMS, {**config_map(), "kind": "Pod"})
        assert error.code == 400 and error.message.startswith('Pod in version "v1" cannot be handled as a ConfigMap')
        error = await api.refused("POST", CMS, {**config_map(), "apiVersion": "v2"})
        assert error.message == "the API version in the data (v2) does not match the expected API version (v1)"
        await api.post(CMS, config_map())
        error = await api.refused("PUT", CMS + "/a", config_map("b"))
        assert error.message == "the name of the object (b) does not match the name on the URL (a)"
        error = await api.refused("POST", CMS, b"{", {"content-type": "application/json"})
        assert error.code == 400
        error = await api.refused("POST", CMS, b"{}", {"content-type": "text/plain"})
        assert (error.code, error.reason) == (415, "UnsupportedMediaType")

    run(scenario)


def test_yaml_bodies_and_empty_content_type(run):
    async def scenario(api):
        body = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: why\ndata:\n  k: 'yes'\n"
        await api.raw("POST", CMS, body, {"content-type": "application/yaml"})
        assert (await api.get(CMS + "/why"))["data"] == {"k": "yes"}
        await api.raw("POST", CMS, config_map("e"), {"content-type": ""})
        text = (await api.raw("GET", CMS + "/why", headers={"accept": "application/yaml"})).body.decode()
        assert "data:\n  k: 'yes'\n" in text

    run(scenario)


def test_optimistic_locking(run):
    async def scenario(api):
        first = await api.post(CMS, config_map())
        second = await api.put(CMS + "/a", {**first, "data": {"k": "2"}})
        assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
        error = await api.refused("PUT", CMS + "/a", {**first, "data": {"k": "3"}})
        assert (error.code, error.reason) == (409, "Conflict")
        assert error.message == f'Operation cannot be fulfilled on configmaps "a": {MODIFIED}'
        third = await api.put(CMS + "/a", config_map("a", k="3"))  # no resourceVersion: unconditional
        assert third["metadata"]["uid"] == first["metadata"]["uid"]
        assert third["metadata"]["creationTimestamp"] == first["metadata"]["creationTimestamp"]
        error = await api.refused("PUT", CMS + "/none", config_map("none"))
        assert (error.code, error.message) == (404, 'configmaps "none" not found')
        other = config_map()
        other["metadata"]["uid"] = "another"
        error = await api.refused("PUT", CMS + "/a", other)
        assert error.code == 409 and "Precondition failed: UID in precondition: another" in error.message

    run(scenario)


def test_a_write_that_changes_nothing_is_no_write(run):
    async def scenario(api):
        made = await api.post(CMS, config_map())
        before = api.store.revision
        await api.clock.advance(100)
        again = await api.put(CMS + "/a", made)
        assert again == made and api.store.revision == before
        assert await api.put(CMS + "/a", config_map()) == made
        assert await api.patch(CMS + "/a", {"data": {"k": "v"}}) == made
        assert api.store.revision == before

    run(scenario)


def test_generation_counts_the_specification_only(run, monkeypatch):
    monkeypatch.setattr(strategy_for(find("apps", "v1", "deployments")), "has_generation", True)

    async def scenario(api):
        made = await api.post(DEPLOYMENTS, deployment())
        assert made["metadata"]["generation"] == 1
        labelled = await api.patch(DEPLOYMENTS + "/d", {"metadata": {"labels": {"a": "b"}}})
        assert labelled["metadata"]["generation"] == 1
        scaled = await api.patch(DEPLOYMENTS + "/d", {"spec": {"replicas": 3}})
        assert scaled["metadata"]["generation"] == 2
        status = await api.patch(DEPLOYMENTS + "/d/status", {"status": {"replicas": 3}, "spec": {"replicas": 9}})
        assert (status["metadata"]["generation"], status["spec"]["replicas"], status["status"]["replicas"]) == (2, 3, 3)
        plain = await api.put(DEPLOYMENTS + "/d", {**status, "status": {"replicas": 7}})
        assert plain["status"]["replicas"] == 3

    run(scenario)


def test_status_has_its_own_managed_fields_entry(run):
    async def scenario(api):
        await api.post(DEPLOYMENTS, deployment())
        made = await api.patch(DEPLOYMENTS + "/d/status", {"status": {"replicas": 1}}, **{"user-agent": "ctrl/1"})
        entries = {(e["manager"], e.get("subresource", "")) for e in made["metadata"]["managedFields"]}
        assert ("ctrl", "status") in entries and ("tester", "") in entries

    run(scenario)


def test_dry_run_leaves_no_trace(run):
    async def scenario(api):
        before = api.store.revision
        made = await api.post(CMS + "?dryRun=All", config_map())
        assert made["metadata"]["uid"]
        assert api.store.revision == before
        assert (await api.refused("GET", CMS + "/a")).code == 404
        await api.post(CMS, config_map())
        assert (await api.refused("POST", CMS + "?dryRun=All", config_map())).reason == "AlreadyExists"
        before = api.store.revision
        changed = await api.call("PUT", CMS + "/a?dryRun=All", config_map("a", k="new"))
        assert changed["data"] == {"k": "new"} and api.store.revision == before
        await api.delete(CMS + "/a?dryRun=All")
        assert (await api.get(CMS + "/a"))["data"] == {"k": "v"}
        error = await api.refused("POST", CMS + "?dryRun=Some", config_map())
        assert error.code == 422 and "dryRun: Unsupported value" in error.message
        assert api.admission.seen[0].dry_run

    run(scenario)


def test_field_validation(run):
    async def scenario(api):
        body = {**config_map(), "extra": 1}
        error = await api.refused("POST", CMS + "?fieldValidation=Strict", body)
        assert error.code == 400
        assert error.message == 'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "extra"'
        response = await api.raw("POST", CMS, body)
        assert ("Warning", '299 - "unknown field \\"extra\\""') in response.headers
        assert b"extra" not in response.body
        response = await api.raw("POST", CMS + "?fieldValidation=Ignore", {**body, "metadata": {"name": "b"}})
        assert response.headers == []
        twice = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"k":"1","k":"2"}}'
        error = await api.refused("POST", CMS + "?fieldValidation=Strict", twice)
        assert 'duplicate field "data.k"' in error.message
        error = await api.refused("PATCH", CMS + "/a?fieldValidation=Strict", {"extra": 1}, {"content-type": "application/merge-patch+json"})
        assert error.code == 422 and 'strict decoding error: unknown field "extra"' in error.message
        assert (await api.refused("POST", CMS + "?fieldValidation=Maybe", body)).code == 422

    run(scenario)


def test_metadata_is_checked(run):
    async def scenario(api):
        error = await api.refused("POST", CMS, config_map("Bad_Name"))
        assert error.code == 422 and error.status["details"]["causes"][0]["field"] == "metadata.name"
        bad = config_map()
        bad["metadata"]["labels"] = {"a": "not valid!"}
        assert (await api.refused("POST", CMS, bad)).status["details"]["causes"][0]["field"] == "metadata.labels"

    run(scenario)


def test_hooks_run_and_are_undone(run):
    calls = []

    def before(obj, old):
        calls.append(("before", obj["metadata"]["name"]))
        obj["data"]["ip"] = "10.0.0.1"
        return lambda: calls.append(("undo", obj["metadata"]["name"]))

    hook = WriteHook(before=before, after_delete=lambda obj: calls.append(("gone", obj["metadata"]["name"])))

    async def scenario(api):
        made = await api.post(CMS, config_map())
        assert made["data"]["ip"] == "10.0.0.1" and calls == [("before", "a")]
        await api.refused("POST", CMS, config_map())
        assert calls[1:] == [("before", "a"), ("undo", "a")]
        del calls[:]
        await api.post(CMS + "?dryRun=All", config_map("b"))
        assert calls == [("before", "b"), ("undo", "b")]
        del calls[:]
        await api.delete(CMS + "/a")
        assert calls == [("gone", "a")]

    run(scenario, {("", "configmaps"): hook})


def test_admission_may_change_what_is_stored(run):
    async def scenario(api):
        def mutate(attributes):
            if attributes.operation == "CREATE":
                attributes.obj["metadata"].setdefault("labels", {})["seen"] = "yes"
                attributes.warnings.append("careful")

        api.admission.mutator = mutate
        response = await api.raw("POST", CMS, config_map())
        assert ("Warning", '299 - "careful"') in response.headers
        meta = (await api.get(CMS + "/a"))["metadata"]
        assert meta["labels"] == {"seen": "yes"}
        assert "f:metadata" not in meta["managedFields"][0]["fieldsV1"]  # what admission adds belongs to nobody
        seen = api.admission.seen[0]
        assert (seen.operation, seen.namespace, seen.name, seen.user.name) == ("CREATE", "default", "a", "admin")

    run(scenario)


def test_internal_calls_go_the_same_road(run):
    async def scenario(api):
        from kogia.api.resources import find
        from kogia.wire.messages import UserInfo

        row, user = find("", "v1", "configmaps"), UserInfo("system:apiserver")
        given = config_map()
        given["metadata"]["namespace"] = "default"
        made = await api.registry.create_object(row, given, user=user)
        assert "uid" not in given["metadata"] and made["metadata"]["uid"]
        made["data"]["k"] = "2"
        changed = await api.registry.update_object(row, made, user=user)
        assert (await api.get(CMS + "/a"))["data"] == {"k": "2"} == changed["data"]
        assert api.registry.cache.get(("", "configmaps"), "a", "default").object()["data"] == {"k": "2"}
        await api.registry.delete_object(row, "a", "default", user=user)
        await api.registry.delete_object(row, "a", "default", user=user)
        assert (await api.refused("GET", CMS + "/a")).code == 404

    run(scenario)


def test_events_have_two_shapes_and_an_end(run):
    async def scenario(api):
        event = {
            "metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}, "reason": "R", "message": "m",
            "type": "Normal", "source": {"component": "c"}, "firstTimestamp": "2023-11-14T22:13:20Z", "lastTimestamp": "2023-11-14T22:13:20Z",
        }
        await api.post("/api/v1/namespaces/default/events", event)
        shown = await api.get("/apis/events.k8s.io/v1/namespaces/default/events/e")
        assert shown["apiVersion"] == "events.k8s.io/v1" and shown["note"] == "m"
        for url in ("/api/v1/events?fieldSelector=involvedObject.name%3Dp", "/apis/events.k8s.io/v1/events?fieldSelector=regarding.name%3Dp"):
            assert len((await api.get(url))["items"]) == 1
        assert (await api.refused("GET", "/api/v1/events?fieldSelector=regarding.name%3Dp")).code == 400
        watch = await api.watch("/api/v1/events?resourceVersion=" + shown["metadata"]["resourceVersion"])
        import asyncio
        first = asyncio.ensure_future(watch.next())
        await api.clock.advance(3590)
        assert not first.done()
        await api.clock.advance(200)
        kind, gone = await first
        assert (kind, gone["metadata"]["name"]) == ("DELETED", "e")
        await watch.close()

    run(scenario)
