"""Granting asks for having."""

from __future__ import annotations

from typing import Any

import pytest

from kogia.api.resources import ALL
from kogia.api.status import StatusError
from kogia.apiserver.admission.escalation import EscalationCheck, uncovered
from kogia.apiserver.auth.rbac import GROUP, RbacAuthorizer
from kogia.apiserver.interface import AdmissionAttributes
from kogia.wire.messages import UserInfo

BOB = UserInfo("bob", groups=("system:authenticated",))


def rule(verbs: str, resources: str, groups: str = "core", names: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {"verbs": verbs.split(), "apiGroups": ["" if g == "core" else g for g in groups.split()], "resources": resources.split()}
    return {**made, "resourceNames": names.split()} if names else made


@pytest.mark.parametrize(
    ("owned", "wanted", "missing"),
    [
        ([rule("get list", "pods")], [rule("get", "pods")], 0), ([rule("get", "pods"), rule("list", "pods")], [rule("get list", "pods")], 0),
        ([rule("get", "pods")], [rule("get", "pods secrets")], 1), ([rule("*", "*", "*")], [rule("x y", "a b", "c d")], 0),
        ([rule("get", "pods", names="a")], [rule("get", "pods")], 1), ([rule("get", "pods")], [rule("get", "pods", names="a")], 0),
        ([rule("get", "pods")], [rule("*", "pods")], 1), ([rule("get", "*/scale")], [rule("get", "x/scale y")], 1),
        ([{"verbs": ["get"], "nonResourceURLs": ["/a/*"]}], [{"verbs": ["get"], "nonResourceURLs": ["/a/b", "/c"]}], 1),
        ([], [rule("get", "pods")], 1),
    ],
)
def test_covering(owned: list[Any], wanted: list[Any], missing: int) -> None:
    assert len(uncovered(owned, wanted)) == missing


@pytest.fixture
def check(cache: Any) -> EscalationCheck:
    rbac = RbacAuthorizer(cache)
    cache.put(GROUP, "clusterroles", {"metadata": {"name": "reader"}, "rules": [rule("get", "pods"), rule("create", "roles rolebindings", GROUP)]})
    cache.put(GROUP, "clusterroles", {"metadata": {"name": "cluster-admin"}, "rules": [rule("*", "*", "*")]})
    cache.put(GROUP, "clusterroles", {"metadata": {"name": "binder"}, "rules": [rule("bind", "clusterroles", GROUP, "cluster-admin")]})
    cache.put(GROUP, "rolebindings", {
        "metadata": {"name": "b", "namespace": "ns"}, "subjects": [{"kind": "User", "name": "bob"}], "roleRef": {"kind": "ClusterRole", "name": "reader"}})
    return EscalationCheck(rbac, rbac)


def write(check: EscalationCheck, plural: str, obj: Any, old: Any = None, user: UserInfo = BOB) -> None:
    row = ALL.find(GROUP, "v1", plural)
    assert row is not None
    obj = {"metadata": {"name": "x", "namespace": "ns"}, **obj}
    check(AdmissionAttributes("UPDATE" if old else "CREATE", row, "", "ns" if row.namespaced else "", "x", user, obj, old))


def test_roles_and_bindings(check: EscalationCheck, cache: Any) -> None:
    write(check, "roles", {"rules": [rule("get", "pods")]})
    with pytest.raises(StatusError) as refused:
        write(check, "roles", {"rules": [rule("get", "secrets")]})
    assert refused.value.code == 403 and refused.value.message == (
        'roles.rbac.authorization.k8s.io "x" is forbidden: user "bob" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not '
        'currently held:\n{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}')
    write(check, "roles", {"rules": [rule("get", "secrets")]}, user=UserInfo("root", groups=("system:masters",)))
    kept = {"rules": [rule("get", "secrets")], "metadata": {"name": "x", "namespace": "ns"}}
    write(check, "roles", kept, old=kept)
    write(check, "rolebindings", {"roleRef": {"kind": "ClusterRole", "name": "reader"}, "subjects": []})
    admin = {"roleRef": {"kind": "ClusterRole", "name": "cluster-admin"}, "subjects": [{"kind": "User", "name": "bob"}]}
    for plural in ("rolebindings", "clusterrolebindings"):
        with pytest.raises(StatusError):
            write(check, plural, admin)
    with pytest.raises(StatusError) as missing:
        write(check, "rolebindings", {"roleRef": {"kind": "ClusterRole", "name": "nope"}})
    assert missing.value.code == 404
    cache.put(GROUP, "rolebindings", {
        "metadata": {"name": "c", "namespace": "ns"}, "subjects": [{"kind": "User", "name": "bob"}], "roleRef": {"kind": "ClusterRole", "name": "binder"}})
    write(check, "rolebindings", admin)
    with pytest.raises(StatusError):
        write(check, "clusterroles", {"rules": [], "aggregationRule": {"clusterRoleSelectors": [{}]}})
