"""Field management: what a write comes to own, what an apply takes, gives up, and fights over."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kogia.api.apply import apply, record, sets
from kogia.api.kinds import Obj, ResourceInfo, Subresource
from kogia.api.status import StatusError

T0, T1, T2 = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"


def deployment(**spec: Any) -> Obj:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "d", "labels": {"app": "a"}}, "spec": {
        "replicas": 3, "selector": {"matchLabels": {"app": "a"}}, "template": {"metadata": {"labels": {"app": "a"}}, "spec": {
            "containers": [{"name": "c", "image": "x", "ports": [{"containerPort": 80}]}]}}, **spec}}


def entries(obj: Obj) -> list[tuple[str, str, str]]:
    return [(e["manager"], e["operation"], e.get("subresource", "")) for e in obj["metadata"].get("managedFields", [])]


def fields(obj: Obj, manager: str) -> dict[str, Any]:
    return next((e["fieldsV1"] for e in obj["metadata"].get("managedFields", []) if e["manager"] == manager), {})


def stored(obj: Obj, resource: ResourceInfo, manager: str = "creator", now: str = T0) -> Obj:
    obj = copy.deepcopy(obj)
    record(obj, None, resource, manager, now)
    return obj


def test_create_owns_what_was_sent_as_kubernetes_writes_it(deployments: ResourceInfo) -> None:
    obj = stored(deployment(), deployments, "kubectl-client-side-apply")
    assert obj["metadata"]["managedFields"] == [{
        "manager": "kubectl-client-side-apply", "operation": "Update", "apiVersion": "apps/v1", "time": T0, "fieldsType": "FieldsV1", "fieldsV1": {
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {"f:replicas": {}, "f:selector": {}, "f:template": {"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": {
                "f:containers": {'k:{"name":"c"}': {".": {}, "f:image": {}, "f:name": {}, "f:ports": {
                    ".": {}, 'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}}}}}}}}}]


def test_server_fields_and_status_are_nobodys_on_create(pods: ResourceInfo) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "uid": "u", "creationTimestamp": T0, "generation": 1, "resourceVersion": "5"},
           "spec": {"containers": [], "hostNetwork": True}, "status": {"phase": "Pending"}}
    assert fields(stored(pod, pods), "creator") == {"f:spec": {"f:hostNetwork": {}}}


def test_update_takes_changed_fields_and_leaves_the_rest(deployments: ResourceInfo) -> None:
    old = stored(deployment(), deployments, "a")
    new = copy.deepcopy(old)
    new["spec"]["replicas"] = 5
    new["spec"]["template"]["spec"]["containers"].append({"name": "d", "image": "y"})
    record(new, old, deployments, "b", T1)
    assert fields(new, "b") == {"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {'k:{"name":"d"}': {".": {}, "f:image": {}, "f:name": {}}}}}}}
    assert "f:replicas" not in fields(new, "a")["f:spec"] and "f:selector" in fields(new, "a")["f:spec"]
    assert [e["time"] for e in new["metadata"]["managedFields"]] == [T0, T1]


def test_removed_fields_leave_every_set_and_empty_entries_go(config_maps: ResourceInfo) -> None:
    first = stored({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}}, config_maps, "a")
    second = copy.deepcopy(first)
    second["data"]["y"] = "2"
    record(second, first, config_maps, "b", T1)
    third = copy.deepcopy(second)
    del third["data"]["y"]
    record(third, second, config_maps, "a", T2)
    assert entries(third) == [("a", "Update", "")] and fields(third, "a") == {"f:data": {".": {}, "f:x": {}}}


def test_nothing_changed_means_the_same_list(deployments: ResourceInfo) -> None:
    old = stored(deployment(), deployments)
    new = copy.deepcopy(old)
    record(new, old, deployments, "other", T2)
    assert new == old


def test_status_has_its_own_entry(deployments: ResourceInfo) -> None:
    old = stored(deployment(), deployments)
    new = copy.deepcopy(old)
    new["status"] = {"replicas": 1, "conditions": [{"type": "Available", "status": "True"}]}
    record(new, old, deployments, "kcm", T1, "status")
    assert entries(new) == [("creator", "Update", ""), ("kcm", "Update", "status")]
    assert fields(new, "kcm") == {"f:status": {"f:conditions": {".": {}, 'k:{"type":"Available"}': {".": {}, "f:status": {}, "f:type": {}}}, "f:replicas": {}}}


def test_clients_may_edit_and_reset_the_list(config_maps: ResourceInfo) -> None:
    old = stored({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}}, config_maps, "a")
    for sent, expected in (([{}], []), ([], []), (None, entries(old)), ([{"operation": "Nonsense"}], entries(old)), ("x", entries(old)),
                           ([{**old["metadata"]["managedFields"][0], "manager": "z"}], [("z", "Update", "")])):
        new = copy.deepcopy(old)
        new["metadata"]["managedFields"] = sent
        record(new, old, config_maps, "b", T1)
        assert entries(new) == expected
    new = copy.deepcopy(old)
    new["metadata"]["managedFields"] = [{}]
    record(new, old, config_maps, "b", T1, "status")
    assert entries(new) == entries(old)


def test_an_untracked_object_stays_untracked_until_applied(config_maps: ResourceInfo) -> None:
    old: Obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}}
    new = copy.deepcopy(old)
    new["data"]["x"] = "2"
    record(new, old, config_maps, "b", T1)
    assert entries(new) == []
    after = apply(new, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"y": "1"}}, config_maps, "m", False, T2)
    assert entries(after) == [("m", "Apply", ""), ("before-first-apply", "Update", "")]
    assert fields(after, "before-first-apply") == {"f:data": {".": {}, "f:x": {}}}


def test_at_most_ten_updaters(config_maps: ResourceInfo) -> None:
    obj = stored({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {}}, config_maps)
    for i in range(15):
        new = copy.deepcopy(obj)
        new["data"][f"k{i:02}"] = "v"
        record(new, obj, config_maps, f"m{i:02}", f"2026-02-{i + 1:02}T00:00:00Z")
        obj = new
    assert len(entries(obj)) == 10 and entries(obj)[0][0] == "ancient-changes"
    owned = [key for e in obj["metadata"]["managedFields"] for key in e["fieldsV1"]["f:data"] if key != "."]
    assert sorted(owned) == [f"f:k{i:02}" for i in range(15)]


def test_odd_lists_are_owned_as_a_whole_instead_of_failing(pods: ResourceInfo) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"image": "x"}, "junk"]}}
    assert fields(stored(pod, pods), "creator") == {"f:spec": {"f:containers": {}}}
    twice = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "c"}], "hostAliases": [{"ip": "1"}, {"ip": "1"}]}}
    assert fields(stored(twice, pods), "creator")["f:spec"]["f:hostAliases"] == {".": {}, 'k:{"ip":"1"}': {}}


def test_apply_creates(deployments: ResourceInfo) -> None:
    obj = apply(None, deployment(), deployments, "me", False, T0)
    assert entries(obj) == [("me", "Apply", "")]
    assert fields(obj, "me")["f:metadata"] == {"f:labels": {"f:app": {}}}
    assert {k: v for k, v in obj["metadata"].items() if k != "managedFields"} == deployment()["metadata"]


def test_apply_twice_is_a_no_op(deployments: ResourceInfo) -> None:
    once = apply(None, deployment(), deployments, "me", False, T0)
    assert apply(once, deployment(), deployments, "me", False, T2) == once


def test_conflict_names_manager_and_field(deployments: ResourceInfo) -> None:
    live = stored(deployment(), deployments, "kubectl-client-side-apply")
    before = copy.deepcopy(live)
    with pytest.raises(StatusError) as caught:
        apply(live, deployment(replicas=5), deployments, "me", False, T1)
    assert caught.value.code == 409 and caught.value.reason == "Conflict"
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas'
    assert caught.value.causes == [{"reason": "FieldManagerConflict", "message": 'conflict with "kubectl-client-side-apply" using apps/v1', "field": ".spec.replicas"}]
    assert live == before


def test_several_conflicts_are_listed_by_manager(deployments: ResourceInfo) -> None:
    live = apply(None, deployment(), deployments, "first", False, T0)
    want = deployment(replicas=5)
    want["spec"]["template"]["spec"]["containers"][0]["image"] = "z"
    with pytest.raises(StatusError) as caught:
        apply(live, want, deployments, "second", False, T1)
    assert caught.value.message == ('Apply failed with 2 conflicts: conflicts with "first":\n- .spec.replicas\n'
                                    '- .spec.template.spec.containers[name="c"].image')


def test_force_takes_ownership_and_equal_values_are_shared(deployments: ResourceInfo) -> None:
    live = apply(None, deployment(), deployments, "first", False, T0)
    shared = apply(live, deployment(), deployments, "second", False, T1)
    assert entries(shared) == [("first", "Apply", ""), ("second", "Apply", "")]
    forced = apply(shared, deployment(replicas=9), deployments, "second", True, T2)
    assert forced["spec"]["replicas"] == 9
    assert "f:replicas" in fields(forced, "second")["f:spec"] and "f:replicas" not in fields(forced, "first")["f:spec"]


def test_what_is_no_longer_applied_goes_unless_another_owns_it(deployments: ResourceInfo) -> None:
    live = apply(None, deployment(), deployments, "first", False, T0)
    less = deployment()
    del less["spec"]["replicas"]
    less["metadata"]["labels"] = {}
    assert "replicas" not in apply(live, less, deployments, "first", False, T1)["spec"]
    assert not apply(live, less, deployments, "first", False, T1)["metadata"].get("labels")
    second = apply(live, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {"replicas": 3}}, deployments, "second", False, T1)
    kept = apply(second, less, deployments, "first", False, T2)
    assert kept["spec"]["replicas"] == 3 and "f:replicas" not in fields(kept, "first")["f:spec"]


def test_list_items_come_and_go_by_key(services: ResourceInfo) -> None:
    def service(*ports: dict[str, Any]) -> Obj:
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": list(ports)}}

    live = apply(None, service({"port": 80, "name": "a"}, {"port": 53, "name": "u", "protocol": "UDP"}), services, "one", False, T0)
    live = apply(live, service({"port": 443, "name": "b"}), services, "two", False, T1)
    assert [p["port"] for p in live["spec"]["ports"]] == [80, 53, 443]
    live = apply(live, service({"port": 53, "name": "u", "protocol": "UDP"}), services, "one", False, T2)
    assert [p["port"] for p in live["spec"]["ports"]] == [53, 443]


def test_same_port_two_protocols_are_two_items(services: ResourceInfo) -> None:
    ports = [{"port": 53, "name": "t"}, {"port": 53, "name": "u", "protocol": "UDP"}]
    obj = apply(None, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": ports}}, services, "one", False, T0)
    assert sorted(fields(obj, "one")["f:spec"]["f:ports"]) == ['k:{"port":53,"protocol":"TCP"}', 'k:{"port":53,"protocol":"UDP"}']


def test_defaults_the_server_adds_survive_reapplying(deployments: ResourceInfo) -> None:
    live = apply(None, deployment(), deployments, "me", False, T0)
    live["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = "Always"
    live["spec"]["template"]["spec"]["containers"][0]["ports"][0]["protocol"] = "TCP"
    changed = deployment(replicas=4)
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "y"
    after = apply(live, changed, deployments, "me", False, T1)
    container = after["spec"]["template"]["spec"]["containers"][0]
    assert container["imagePullPolicy"] == "Always" and container["ports"] == [{"containerPort": 80, "protocol": "TCP"}] and container["image"] == "y"
    assert after["metadata"]["managedFields"][0]["time"] == T1


def test_atomic_parts_are_replaced_whole(deployments: ResourceInfo) -> None:
    live = apply(None, deployment(), deployments, "me", False, T0)
    want = deployment(selector={"matchLabels": {"other": "b"}})
    assert apply(live, want, deployments, "me", False, T1)["spec"]["selector"] == {"matchLabels": {"other": "b"}}


def test_order_follows_the_configuration(pods: ResourceInfo) -> None:
    def pod(names: str) -> Obj:
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": n} for n in names]}}

    def order(live: str, config: str) -> str:
        after = apply(stored(pod(live), pods), pod(config), pods, "me", False, T1)
        return "".join(c["name"] for c in after["spec"]["containers"])

    assert (order("abc", "ab"), order("abc", "ba"), order("abc", "xb"), order("ab", "ba"), order("abcd", "dx")) == ("abc", "bca", "axbc", "ba", "abcdx")


def test_custom_resources_deduce_types(widgets: ResourceInfo) -> None:
    obj: Obj = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "labels": {"a": "b"}}, "spec": {"deep": {"x": 1}, "list": [{"name": "q"}]}}
    live = apply(None, obj, widgets, "me", False, T0)
    assert fields(live, "me") == {"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {".": {}, "f:deep": {".": {}, "f:x": {}}, "f:list": {}}}
    assert apply(live, obj, widgets, "me", False, T1) == live
    less = copy.deepcopy(obj)
    del less["spec"]["deep"]
    assert apply(live, less, widgets, "me", False, T1)["spec"] == {"list": [{"name": "q"}]}
    with pytest.raises(StatusError, match=r"\.spec\.list"):
        apply(live, {**obj, "spec": {"list": []}}, widgets, "other", False, T1)


@pytest.mark.parametrize(("change", "message"), [
    ({"replica": 1}, r"failed to create typed patch object \(d/a; apps/v1, Kind=Deployment\): \.spec\.replica: field not declared in schema"),
    ({"template": {"spec": {"containers": [{"name": "c"}, {"name": "c"}]}}}, r'\.spec\.template\.spec\.containers: duplicate entries for key \[name="c"\]'),
    ({"template": {"spec": {"containers": [{"image": "c"}]}}}, "omits all key fields"), ({"template": {"spec": {"containers": {}}}}, "expected list, got map"),
])
def test_configurations_that_do_not_fit(deployments: ResourceInfo, change: dict[str, Any], message: str) -> None:
    with pytest.raises(StatusError, match=message) as caught:
        apply(None, deployment(**change), deployments, "me", False, T0)
    assert caught.value.code == 500


def test_a_configuration_carries_no_managed_fields(deployments: ResourceInfo) -> None:
    live = apply(None, deployment(), deployments, "me", False, T0)
    with pytest.raises(StatusError, match=r"metadata\.managedFields must be nil"):
        apply(live, live, deployments, "me", False, T0)


def test_kubectl_takes_over_from_its_client_side_self(deployments: ResourceInfo) -> None:
    text = json.dumps(deployment())
    live = deployment()
    live["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": text}
    live = stored(live, deployments, "kubectl-client-side-apply")
    after = apply(live, deployment(replicas=5), deployments, "kubectl", False, T1)
    assert after["spec"]["replicas"] == 5
    assert json.loads(after["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"])["spec"]["replicas"] == 5
    scaled = copy.deepcopy(live)
    scaled["spec"]["paused"] = True
    record(scaled, live, deployments, "someone", T1)
    with pytest.raises(StatusError, match="someone"):
        apply(scaled, deployment(paused=False), deployments, "kubectl", False, T1)


def test_subresource_appliers_are_separate(deployments: ResourceInfo) -> None:
    live = apply(None, deployment(), deployments, "me", False, T0)
    status: Obj = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "status": {"replicas": 2}}
    after = apply(live, status, deployments, "me", False, T1, "status")
    assert entries(after) == [("me", "Apply", ""), ("me", "Apply", "status")] and after["status"] == {"replicas": 2}
    assert fields(apply(after, deployment(), deployments, "me", False, T2), "me") == fields(after, "me")
    with pytest.raises(StatusError, match='with subresource "status"'):
        apply(after, {**status, "status": {"replicas": 3}}, deployments, "else", False, T2, "status")


def test_keys_are_written_as_go_writes_them() -> None:
    assert sets.text_of("a") == '"a"' and sets.text_of('a"<') == '"a\\"\\u003c"' and sets.text_of(5) == sets.text_of(5.0) == "5" and sets.text_of(True) == "true"
    assert sets.element_text('k:{"name":"c","port":5}') == '[name="c",port=5]' and sets.element_text('v:"x"') == '[="x"]' and sets.element_text("f:a.b/c") == ".a.b/c"


_leaf = st.just({})
_elements = st.sampled_from(["f:a", "f:b", "f:c", 'k:{"n":"x"}', 'v:"y"'])


def _branch(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(lambda member, kids: {".": {}, **kids} if member and kids else kids, st.booleans(), st.dictionaries(_elements, inner, min_size=1, max_size=3))


_sets = st.dictionaries(_elements, st.recursive(_leaf, _branch, max_leaves=6), max_size=3)


def _members(a: dict[str, Any]) -> set[str]:
    return set(sets.paths(a))


@given(_sets, _sets)
def test_set_algebra(a: dict[str, Any], b: dict[str, Any]) -> None:
    frozen = copy.deepcopy((a, b))
    assert _members(sets.union(a, b)) == _members(a) | _members(b)
    assert _members(sets.intersection(a, b)) == _members(a) & _members(b)
    assert _members(sets.difference(a, b)) == _members(a) - _members(b)
    for made in (sets.union(a, b), sets.intersection(a, b), sets.difference(a, b), sets.without(a, b)):
        assert sets.is_valid(made)
    assert sets.difference(a, a) == {} and sets.without(a, a) == {} and (a, b) == frozen


_image = st.sampled_from(["x", "y"])
_container = st.fixed_dictionaries({"name": st.sampled_from("abc")}, optional={
    "image": _image, "command": st.lists(_image, max_size=2), "env": st.lists(st.sampled_from("EF"), unique=True, min_size=1, max_size=2).map(lambda ks: [{"name": k, "value": "v"} for k in ks]),
    "resources": st.just({"limits": {"cpu": "1"}})})
_config = st.builds(
    lambda labels, containers, spec: {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", **({"labels": labels} if labels else {})},
                                      "spec": {"containers": containers, **spec}},
    st.dictionaries(st.sampled_from("lm"), _image, max_size=2), st.lists(_container, min_size=1, max_size=3, unique_by=lambda c: c["name"]),
    st.fixed_dictionaries({}, optional={"hostNetwork": st.booleans(), "nodeSelector": st.dictionaries(st.sampled_from("no"), _image, min_size=1, max_size=2), "hostname": _image}))
_row = ResourceInfo("", "v1", "Pod", "pods", "pod", subresources=(Subresource("status", "", "", "", ()),))


def _without_book(obj: Obj) -> Obj:
    return {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k != "managedFields"}}


def _check_book(obj: Obj) -> None:
    """Nobody owns what is not there, and the list is well-formed."""
    everything = sets.union(*[fields_of(obj, kind) for kind in (0, 1)])
    for entry in obj["metadata"].get("managedFields", []):
        assert sets.is_valid(entry["fieldsV1"]) and entry["fieldsV1"]
        assert _members(entry["fieldsV1"]) <= _members(everything)


def fields_of(obj: Obj, kind: int) -> dict[str, Any]:
    from kogia.api import schema
    from kogia.api.apply.compare import added, to_set

    node = schema.type_for("", "v1", "Pod")
    return added(_without_book(obj), node) if kind else to_set(_without_book(obj), node)


@settings(max_examples=150, deadline=None)
@given(_config, st.lists(st.tuples(st.sampled_from(["apply", "force", "update"]), st.sampled_from(["m1", "m2"]), _config), max_size=4))
def test_invariants_over_random_histories(first: Obj, steps: list[tuple[str, str, Obj]]) -> None:
    live = copy.deepcopy(first)
    record(live, None, _row, "creator", T0)
    _check_book(live)
    for how, manager, config in steps:
        before = copy.deepcopy(live)
        if how == "update":
            new = copy.deepcopy(config)
            new["metadata"]["managedFields"] = copy.deepcopy(live["metadata"].get("managedFields"))
            record(new, live, _row, manager, T1)
            assert _without_book(new) == _without_book(config)
        else:
            try:
                new = apply(live, config, _row, manager, how == "force", T1)
            except StatusError as error:
                assert error.code == 409 and how == "apply" and error.causes
                continue
            assert apply(new, config, _row, manager, False, T2) == new, "applying the same again must change nothing"
            spec = new["spec"]
            for key, value in config["spec"].items():
                if key != "containers" and not isinstance(value, dict):
                    assert spec[key] == value
            have = {c["name"]: c for c in spec.get("containers", [])}
            assert all(have[c["name"]].get("image", c.get("image")) == c.get("image", have[c["name"]].get("image")) for c in config["spec"]["containers"])
        assert live == before
        live = new
        _check_book(live)
