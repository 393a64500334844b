"""Authenticators, RBAC, the node authorizer: who is who and who may what."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kogia.api.status import StatusError
from kogia.apiserver.auth import policy
from kogia.apiserver.auth.attributes import Attributes, SystemMasters, Union, forbidden_error
from kogia.apiserver.auth.authenticators import Authentication, StaticTokens, bearer_token, x509_user
from kogia.apiserver.auth.node import NodeAuthorizer
from kogia.apiserver.auth.rbac import RbacAuthorizer, rule_allows
from kogia.apiserver.auth.service_accounts import Bound, ServiceAccountTokens, TokenKeys
from kogia.apiserver.chain.impersonation import impersonated
from kogia.wire.messages import Peer, Request, UserInfo

ISSUER = "https://kubernetes.default.svc.cluster.local"
BOB = UserInfo("bob", groups=("system:authenticated",))


def key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


# -- authenticators -------------------------------------------------------------------------------------------------------


def test_x509_takes_cn_and_every_o() -> None:
    subject = ((("organizationName", "a"),), (("organizationName", "b"),), (("commonName", "me"),))
    user = x509_user(Peer("1.2.3.4", {"subject": subject}))
    assert user is not None and (user.name, user.groups) == ("me", ("a", "b", "system:authenticated"))
    assert x509_user(Peer()) is None
    assert x509_user(Peer("", {"subject": ((("organizationName", "system:masters"),),)})) is None


def test_a_bad_token_is_never_anonymous(tmp_path: Any) -> None:
    file = tmp_path / "tokens"
    file.write_text('secret,ann,u1,"g1,g2"\n')
    authentication = Authentication([StaticTokens.from_file(str(file))])
    assert authentication.user(Request("GET", "/")).name == "system:anonymous"
    user = authentication.user(Request("GET", "/", headers={"authorization": "Bearer secret"}))
    assert (user.name, user.uid, user.groups) == ("ann", "u1", ("g1", "g2", "system:authenticated"))
    with pytest.raises(StatusError) as refused:
        authentication.user(Request("GET", "/", headers={"authorization": "Bearer wrong"}))
    assert refused.value.code == 401
    with pytest.raises(StatusError):
        Authentication([], anonymous=False).user(Request("GET", "/"))


def test_websocket_tokens_hide_in_a_subprotocol() -> None:
    hidden = base64.urlsafe_b64encode(b"tok").rstrip(b"=").decode()
    headers = {"sec-websocket-protocol": f"v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.{hidden}"}
    assert bearer_token(Request("GET", "/", headers=headers, upgrade=True)) == "tok"
    assert bearer_token(Request("GET", "/", headers=headers)) is None


# -- service-account tokens -----------------------------------------------------------------------------------------------


@pytest.fixture
def tokens(cache: Any) -> ServiceAccountTokens:
    cache.put("", "serviceaccounts", {"metadata": {"name": "sa", "namespace": "ns"}})
    cache.put("", "pods", {"metadata": {"name": "p", "namespace": "ns"}, "spec": {"serviceAccountName": "sa"}})
    return ServiceAccountTokens(TokenKeys(key()), ISSUER, cache)


def test_a_bound_token_lives_as_long_as_what_it_is_bound_to(tokens: ServiceAccountTokens, cache: Any) -> None:
    token, expiry = tokens.issue("ns", "sa", "uid-sa", [ISSUER], 600, Bound("Pod", "p", "uid-p"), node=("n", "nu"))
    assert abs(expiry - time.time() - 600) < 5
    user = tokens.authenticate(token)
    assert user is not None and user.name == "system:serviceaccount:ns:sa" and user.uid == "uid-sa"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")
    assert user.extra["authentication.kubernetes.io/pod-name"] == ("p",)
    assert user.extra["authentication.kubernetes.io/node-name"] == ("n",)
    cache.put("", "pods", {"metadata": {"name": "p", "namespace": "ns", "uid": "another"}})
    assert tokens.authenticate(token) is None
    plain, _ = tokens.issue("ns", "sa", "uid-sa", [ISSUER], 600)
    assert tokens.authenticate(plain) is not None
    cache.remove("", "serviceaccounts", "ns/sa")
    assert tokens.authenticate(plain) is None


def test_audience_expiry_issuer_and_signature_are_checked(tokens: ServiceAccountTokens, cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    vault, _ = tokens.issue("ns", "sa", "uid-sa", ["vault"], 600)
    assert tokens.authenticate(vault) is None
    assert tokens.authenticate(vault, ("vault",)) is not None
    mine, _ = tokens.issue("ns", "sa", "uid-sa", [ISSUER], 600)
    assert ServiceAccountTokens(TokenKeys(key()), ISSUER, cache).authenticate(mine) is None
    assert ServiceAccountTokens(tokens.keys, "https://other", cache).authenticate(mine) is None
    head, payload, signature = mine.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["sub"] = claims["sub"].replace("sa", "root")
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    assert tokens.authenticate(f"{head}.{forged}.{signature}") is None
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    for bad in (f"{none}.{payload}.", "a.b.c", "", "...", mine + "x"):
        assert tokens.authenticate(bad) is None
    assert tokens.authenticate(mine) is not None
    later = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: later)
    assert tokens.authenticate(mine) is None


# -- RBAC -----------------------------------------------------------------------------------------------------------------


def ask(user: UserInfo, verb: str, resource: str, namespace: str = "", name: str = "", group: str = "") -> Attributes:
    resource, _, subresource = resource.partition("/")
    return Attributes(user, verb, True, group, "v1", resource, subresource, namespace, name)


@pytest.mark.parametrize(
    ("rule", "question", "allowed"),
    [
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}, ask(BOB, "get", "pods", "n"), True),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}, ask(BOB, "get", "pods/log", "n"), False),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"]}, ask(BOB, "get", "pods/log", "n"), True),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["*/log"]}, ask(BOB, "get", "pods/log", "n"), True),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["*/log"]}, ask(BOB, "get", "pods", "n"), False),
        ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, ask(BOB, "patch", "x/status", "n", "", "g"), True),
        ({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["*"]}, ask(BOB, "get", "pods", "n"), False),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"]}, ask(BOB, "get", "secrets", "n", "a"), True),
        ({"verbs": ["list"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"]}, ask(BOB, "list", "secrets", "n"), False),
        ({"verbs": ["get"], "nonResourceURLs": ["/api/*"]}, Attributes(BOB, "get", False, path="/api/v1"), True),
        ({"verbs": ["get"], "nonResourceURLs": ["/api"]}, Attributes(BOB, "get", False, path="/apis"), False),
        ({"verbs": ["get"], "nonResourceURLs": ["*"]}, ask(BOB, "get", "pods"), False),
    ],
)
def test_rules(rule: dict[str, Any], question: Attributes, allowed: bool) -> None:
    assert rule_allows(rule, question) is allowed


def role(name: str, namespace: str = "", **body: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {"metadata": {**metadata, **body.pop("metadata", {})}, **body}


def test_bindings_follow_the_cache(cache: Any) -> None:
    rbac = RbacAuthorizer(cache)
    question = ask(BOB, "get", "pods", "ns")
    assert not rbac.authorize(question).allowed
    cache.put(policy.API_VERSION.partition("/")[0], "roles", role("r", "ns", rules=[{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]))
    group = "rbac.authorization.k8s.io"
    binding = role("b", "ns", subjects=[{"kind": "User", "name": "bob"}], roleRef={"kind": "Role", "name": "r"})
    cache.put(group, "rolebindings", binding)
    verdict = rbac.authorize(question)
    assert verdict.allowed and verdict.reason == 'RBAC: allowed by RoleBinding "b/ns" of Role "r" to User "bob"'
    assert not rbac.authorize(ask(BOB, "get", "pods", "other")).allowed
    assert not rbac.authorize(ask(BOB, "get", "pods")).allowed
    cache.put(group, "rolebindings", {**binding, "subjects": [{"kind": "ServiceAccount", "name": "sa"}]})
    assert not rbac.authorize(question).allowed
    assert rbac.authorize(ask(UserInfo("system:serviceaccount:ns:sa"), "get", "pods", "ns")).allowed
    cache.remove(group, "rolebindings", "ns/b")
    assert not rbac.authorize(ask(UserInfo("system:serviceaccount:ns:sa"), "get", "pods", "ns")).allowed
    cache.put(group, "clusterrolebindings", role("c", subjects=[{"kind": "User", "name": "bob"}], roleRef={"kind": "ClusterRole", "name": "gone"}))
    assert rbac.authorize(question).reason == 'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found'


def test_aggregated_roles_grant_at_once(cache: Any) -> None:
    group = "rbac.authorization.k8s.io"
    rbac = RbacAuthorizer(cache)
    cache.put(group, "clusterroles", role("view", rules=[], aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"to-view": "true"}}]}))
    cache.put(group, "clusterrolebindings", role("b", subjects=[{"kind": "User", "name": "bob"}], roleRef={"kind": "ClusterRole", "name": "view"}))
    assert not rbac.authorize(ask(BOB, "get", "widgets", "ns", group="x")).allowed
    rules = [{"verbs": ["get"], "apiGroups": ["x"], "resources": ["widgets"]}]
    cache.put(group, "clusterroles", role("widgets", metadata={"labels": {"to-view": "true"}}, rules=rules))
    assert rbac.authorize(ask(BOB, "get", "widgets", "ns", group="x")).allowed


@pytest.fixture
def cluster(cache: Any) -> Union:
    for plural, objects in (
        ("clusterroles", policy.cluster_roles()), ("clusterrolebindings", policy.cluster_role_bindings()),
        ("roles", policy.roles()), ("rolebindings", policy.role_bindings()),
    ):
        for obj in objects:
            cache.put("rbac.authorization.k8s.io", plural, obj)
    return Union([SystemMasters(), NodeAuthorizer(cache), RbacAuthorizer(cache)])


def test_the_bootstrap_policy(cluster: Union, cache: Any) -> None:
    anonymous = UserInfo("system:anonymous", groups=("system:unauthenticated",))
    admin = UserInfo("root", groups=("system:masters",))
    scheduler = UserInfo("system:kube-scheduler", groups=("system:authenticated",))
    controllers = UserInfo("system:kube-controller-manager", groups=("system:authenticated",))
    proxy = UserInfo("system:kube-proxy", groups=("system:authenticated",))
    replicas = UserInfo("system:serviceaccount:kube-system:replicaset-controller", groups=("system:authenticated",))
    allowed = [
        Attributes(anonymous, "get", False, path="/livez"), Attributes(BOB, "get", False, path="/apis/apps/v1"), ask(admin, "delete", "nodes", name="n"),
        ask(scheduler, "create", "pods/binding", "ns"), ask(scheduler, "update", "leases", "kube-system", "kube-scheduler", "coordination.k8s.io"),
        ask(controllers, "list", "whatever", group="any.example"), ask(proxy, "watch", "endpointslices", group="discovery.k8s.io"),
        ask(replicas, "create", "pods", "ns"), ask(BOB, "create", "selfsubjectaccessreviews", group="authorization.k8s.io"),
        ask(scheduler, "get", "configmaps", "kube-system", "extension-apiserver-authentication"),
    ]
    refused = [
        Attributes(anonymous, "get", False, path="/api"), ask(BOB, "list", "pods", "ns"), ask(scheduler, "create", "pods", "ns"),
        ask(scheduler, "get", "secrets", "ns", "s"), ask(replicas, "create", "deployments", "ns", group="apps"), ask(proxy, "list", "secrets"),
        Attributes(anonymous, "get", False, path="/metrics"), ask(scheduler, "update", "leases", "kube-system", "other", "coordination.k8s.io"),
    ]
    assert [cluster.authorize(a).allowed for a in allowed] == [True] * len(allowed)
    assert [cluster.authorize(a).allowed for a in refused] == [False] * len(refused)
    group = "rbac.authorization.k8s.io"
    for name in ("view", "edit", "admin"):
        cache.put(group, "rolebindings", role(name, "ns", subjects=[{"kind": "User", "name": name}], roleRef={"kind": "ClusterRole", "name": name}))
    may = {
        who: [cluster.authorize(ask(UserInfo(who), verb, what, "ns", group=g)).allowed for verb, what, g in (
            ("list", "pods", ""), ("get", "secrets", ""), ("create", "pods", ""), ("create", "pods/exec", ""), ("create", "rolebindings", group),
            ("update", "deployments/scale", "apps"), ("delete", "namespaces", ""))]
        for who in ("view", "edit", "admin")
    }
    assert may == {
        "view": [True, False, False, False, False, False, False], "edit": [True, True, True, True, False, True, False],
        "admin": [True, True, True, True, True, True, False],
    }


def test_forbidden_reads_as_kubernetes_words_it() -> None:
    assert forbidden_error(ask(BOB, "list", "pods", "default")).message == (
        'pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "default"')
    assert forbidden_error(ask(BOB, "get", "deployments/scale", "d", "x", "apps"), "why").message == (
        'deployments.apps "x" is forbidden: User "bob" cannot get resource "deployments/scale" in API group "apps" in the namespace "d": why')
    assert forbidden_error(ask(BOB, "list", "nodes")).message == 'nodes is forbidden: User "bob" cannot list resource "nodes" in API group "" at the cluster scope'
    assert forbidden_error(Attributes(BOB, "get", False, path="/x")).message == 'forbidden: User "bob" cannot get path "/x"'


# -- nodes ----------------------------------------------------------------------------------------------------------------


def test_a_node_reads_what_its_pods_need_and_nothing_else(cache: Any) -> None:
    authorizer = NodeAuthorizer(cache)
    node = UserInfo("system:node:n1", groups=("system:nodes", "system:authenticated"))
    spec = {
        "nodeName": "n1", "serviceAccountName": "sa", "imagePullSecrets": [{"name": "pull"}],
        "volumes": [{"name": "a", "secret": {"secretName": "vol"}}, {"name": "b", "persistentVolumeClaim": {"claimName": "pvc"}},
                    {"name": "c", "projected": {"sources": [{"configMap": {"name": "kube-root-ca.crt"}}]}}],
        "containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": "env"}}], "env": [{"name": "x", "valueFrom": {"secretKeyRef": {"name": "one"}}}]}],
    }
    cache.put("", "pods", {"metadata": {"name": "p", "namespace": "ns"}, "spec": spec})
    cache.put("", "pods", {"metadata": {"name": "q", "namespace": "ns"}, "spec": {**spec, "nodeName": "n2", "imagePullSecrets": [{"name": "theirs"}]}})
    allowed = [
        *(ask(node, "get", "secrets", "ns", s) for s in ("pull", "vol", "one")), ask(node, "watch", "configmaps", "ns", "env"),
        ask(node, "get", "configmaps", "ns", "kube-root-ca.crt"), ask(node, "get", "persistentvolumeclaims", "ns", "pvc"),
        ask(node, "create", "serviceaccounts/token", "ns", "sa"), ask(node, "get", "pods", "ns", "p"), ask(node, "get", "pods", "ns", "gone"),
        ask(node, "update", "leases", "kube-node-lease", "n1", "coordination.k8s.io"), ask(node, "patch", "nodes/status", name="n1"),
        ask(node, "patch", "pods/status", "ns", "p"), ask(node, "create", "events", "ns"), ask(node, "list", "services"),
        Attributes(node, "watch", True, "", "v1", "pods", field_selector="spec.nodeName=n1"),
    ]
    refused = [
        ask(node, "get", "secrets", "ns", "theirs"), ask(node, "get", "secrets", "other", "pull"), ask(node, "list", "secrets", "ns"), ask(node, "list", "secrets"),
        ask(node, "update", "secrets", "ns", "pull"), ask(node, "create", "serviceaccounts/token", "ns", "other"), ask(node, "get", "pods", "ns", "q"),
        ask(node, "list", "pods"), ask(node, "update", "leases", "kube-node-lease", "n2", "coordination.k8s.io"), ask(node, "delete", "nodes", name="n1"),
        ask(node, "get", "leases", "default", "n1", "coordination.k8s.io"), Attributes(node, "list", True, "", "v1", "pods", field_selector="spec.nodeName=n2"),
    ]
    assert [authorizer.authorize(a).allowed for a in allowed] == [True] * len(allowed)
    assert [authorizer.authorize(a).allowed for a in refused] == [False] * len(refused)
    cache.remove("", "pods", "ns/p")
    assert not authorizer.authorize(ask(node, "get", "secrets", "ns", "pull")).allowed
    imposter = UserInfo("system:node:n2", groups=("system:authenticated",))
    assert not authorizer.authorize(ask(imposter, "get", "secrets", "ns", "theirs")).allowed


# -- impersonation --------------------------------------------------------------------------------------------------------


def test_impersonation(cluster: Union) -> None:
    admin = UserInfo("root", groups=("system:masters",))
    request = Request("GET", "/", headers={"impersonate-user": "ann", "impersonate-group": "dev, ops", "impersonate-extra-scopes": "view"})
    user = impersonated(request, admin, cluster)
    assert (user.name, user.groups, user.extra) == ("ann", ("dev", "ops", "system:authenticated"), {"scopes": ("view",)})
    account = impersonated(Request("GET", "/", headers={"impersonate-user": "system:serviceaccount:ns:sa"}), admin, cluster)
    assert account.groups == ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")
    with pytest.raises(StatusError) as refused:
        impersonated(request, BOB, cluster)
    assert refused.value.message == 'users "ann" is forbidden: User "bob" cannot impersonate resource "users" in API group "" at the cluster scope'
    with pytest.raises(StatusError) as malformed:
        impersonated(Request("GET", "/", headers={"impersonate-group": "g"}), admin, cluster)
    assert malformed.value.code == 400
