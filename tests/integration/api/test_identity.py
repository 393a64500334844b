"""Who asks and what they may do: certificates, tokens, anonymous, RBAC, nodes, impersonation, reviews."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.support.api import Api, Server, eventually


def account(api: Api, namespace: str, name: str, **spec: Any) -> str:
    api.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}})
    return token(api, namespace, name, **spec)["status"]["token"]


def token(api: Api, namespace: str, name: str, **spec: Any) -> Any:
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    return api.post(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", request).ok()


def test_nobody(server: Server) -> None:
    anonymous = server.anonymous()
    message = anonymous.get("/api/v1/namespaces/default/pods").refused(403, "Forbidden")["message"]
    assert message == 'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" in the namespace "default"'
    for path in ("/healthz", "/livez", "/readyz", "/version"):
        assert anonymous.get(path).code == 200
    assert 'User "system:anonymous" cannot get path "/metrics"' in anonymous.get("/metrics").refused(403)["message"]
    assert server.as_token("nonsense").get("/api/v1/pods").refused(401, "Unauthorized")["message"] == "Unauthorized"
    assert server.as_token("a.b.c").get("/version").code == 401
    half = {"Authorization": "Basic YTpi"}
    assert anonymous.call("GET", "/api/v1/pods", **half).code == 403


def test_service_account_tokens(api: Api, server: Server, namespace: str) -> None:
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    asked = token(api, namespace, "default", audiences=[], expirationSeconds=900)
    claims = json.loads(base64.urlsafe_b64decode(asked["status"]["token"].split(".")[1] + "=="))
    assert claims["sub"] == f"system:serviceaccount:{namespace}:default" and claims["exp"] - claims["iat"] == 900
    assert claims["kubernetes.io"]["serviceaccount"]["name"] == "default"
    user = server.as_token(asked["status"]["token"])
    message = user.get(f"/api/v1/namespaces/{namespace}/pods").refused(403)["message"]
    assert f'User "system:serviceaccount:{namespace}:default" cannot list resource "pods"' in message
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": asked["status"]["token"]}}
    status = api.post("/apis/authentication.k8s.io/v1/tokenreviews", review).ok()["status"]
    assert status["authenticated"] and status["user"]["username"] == f"system:serviceaccount:{namespace}:default"
    assert f"system:serviceaccounts:{namespace}" in status["user"]["groups"]
    foreign = token(api, namespace, "default", audiences=["elsewhere"])["status"]["token"]
    assert server.as_token(foreign).get("/version").code == 401
    review["spec"] = {"token": foreign, "audiences": ["elsewhere"]}
    assert api.post("/apis/authentication.k8s.io/v1/tokenreviews", review).ok()["status"]["audiences"] == ["elsewhere"]

    pods = f"/api/v1/namespaces/{namespace}/pods"
    api.post(pods, {"metadata": {"name": "p"}, "spec": {"schedulerName": "nobody", "containers": [{"name": "c", "image": "i"}]}}).ok()
    bound = token(api, namespace, "default", boundObjectRef={"kind": "Pod", "apiVersion": "v1", "name": "p"})["status"]["token"]
    assert server.as_token(bound).get("/apis").code == 200
    api.delete(f"{pods}/p", {"gracePeriodSeconds": 0}).ok()
    eventually(lambda: server.as_token(bound).get("/apis").code == 401, "the Pod's token is worth nothing")
    mortal = account(api, namespace, "mortal")
    assert server.as_token(mortal).get("/apis").code == 200
    api.delete(f"{accounts}/mortal").ok()
    eventually(lambda: server.as_token(mortal).get("/apis").code == 401, "the account's token is worth nothing")
    api.post(f"{accounts}/absent/token", {"spec": {}}).refused(404, "NotFound")


def test_roles_hold_at_once(api: Api, server: Server, namespace: str) -> None:
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    user = server.as_token(account(api, namespace, "robot"))
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    user.get(maps).refused(403)
    api.post(f"{rbac}/roles", {"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "create"]}]}).ok()
    subject = {"kind": "ServiceAccount", "name": "robot", "namespace": namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    api.post(f"{rbac}/rolebindings", {"metadata": {"name": "b"}, "roleRef": reference, "subjects": [subject]}).ok()
    assert user.get(maps).code == 200
    user.post(maps, {"metadata": {"name": "m"}}).ok()
    user.delete(f"{maps}/m").refused(403)
    user.get("/api/v1/namespaces/default/configmaps").refused(403)
    user.get("/api/v1/configmaps").refused(403)
    api.patch(f"{rbac}/roles/r", {"rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["m"], "verbs": ["get"]}]}).ok()
    user.get(maps).refused(403)
    assert user.get(f"{maps}/m").code == 200 and user.get(f"{maps}/other").code == 403
    changed = {"roleRef": {**reference, "name": "other"}}
    assert "cannot change roleRef" in api.patch(f"{rbac}/rolebindings/b", changed).refused(422)["message"]
    api.delete(f"{rbac}/rolebindings/b").ok()
    user.get(f"{maps}/m").refused(403)


def test_no_one_grants_what_he_lacks(api: Api, server: Server, namespace: str) -> None:
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    user = server.as_token(account(api, namespace, "climber"))
    api.post(f"{rbac}/roles", {"metadata": {"name": "maker"}, "rules": [{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["create", "update"]}]}).ok()
    subject = {"kind": "ServiceAccount", "name": "climber", "namespace": namespace}
    api.post(f"{rbac}/rolebindings", {"metadata": {"name": "b"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "maker"}, "subjects": [subject]}).ok()
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    message = user.post(f"{rbac}/roles", {"metadata": {"name": "more"}, "rules": rules}).refused(403, "Forbidden")["message"]
    assert "is attempting to grant RBAC permissions not currently held" in message


def test_impersonation_and_reviews(api: Api, server: Server, namespace: str) -> None:
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    view = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    api.post(f"{rbac}/rolebindings", {"metadata": {"name": "ann"}, "roleRef": view, "subjects": [{"kind": "User", "name": "ann"}, {"kind": "Group", "name": "team"}]}).ok()
    for headers in ({"Impersonate-User": "ann"}, {"Impersonate-User": "joe", "Impersonate-Group": "team"}):
        someone = Api(api.port, api.ca, api.cert, headers=headers)
        assert someone.get(f"/api/v1/namespaces/{namespace}/pods").code == 200
        someone.get(f"/api/v1/namespaces/{namespace}/secrets").refused(403)
    nobody = server.as_token(account(api, namespace, "plain"))
    assert "cannot impersonate resource" in nobody.call("GET", "/api/v1/pods", **{"Impersonate-User": "ann"}).refused(403)["message"]

    def allowed(user: str, verb: str, resource: str, local: bool = False) -> bool:
        path = f"namespaces/{namespace}/localsubjectaccessreviews" if local else "subjectaccessreviews"
        spec = {"user": user, "resourceAttributes": {"namespace": namespace, "verb": verb, "resource": resource}}
        return bool(api.post(f"/apis/authorization.k8s.io/v1/{path}", {"spec": spec}).ok()["status"]["allowed"])

    assert allowed("ann", "get", "pods") and allowed("ann", "list", "services", local=True)
    assert not allowed("ann", "create", "pods") and not allowed("bob", "get", "pods", local=True)
    ann = Api(api.port, api.ca, api.cert, headers={"Impersonate-User": "ann"})
    rules = ann.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {"spec": {"namespace": namespace}}).ok()["status"]
    assert any("pods" in rule["resources"] and "get" in rule["verbs"] for rule in rules["resourceRules"]) and rules["incomplete"] is False
    who = ann.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}).ok()["status"]["userInfo"]
    assert who["username"] == "ann" and "system:authenticated" in who["groups"]


def test_a_node_sees_only_its_own(api: Api, server: Server, namespace: str) -> None:
    node = Api(api.port, api.ca, api.cert, headers={"Impersonate-User": "system:node:n-one", "Impersonate-Group": "system:nodes"})
    secrets, pods = f"/api/v1/namespaces/{namespace}/secrets", f"/api/v1/namespaces/{namespace}/pods"
    for name, where in (("mine", "n-one"), ("theirs", "n-two")):
        api.post(secrets, {"metadata": {"name": name}, "stringData": {"a": "b"}}).ok()
        spec = {"nodeName": where, "containers": [{"name": "c", "image": "i"}], "volumes": [{"name": "v", "secret": {"secretName": name}}]}
        api.post(pods, {"metadata": {"name": name}, "spec": spec}).ok()
    eventually(lambda: node.get(f"{secrets}/mine").code == 200, "the node reads its Pod's Secret")
    message = node.get(f"{secrets}/theirs").refused(403, "Forbidden")["message"]
    assert "no relationship found between node 'n-one' and this object" in message
    node.get(secrets).refused(403)
    node.delete(f"{pods}/theirs").refused(403)
    assert "can only update pod status for pods with spec.nodeName set to itself" in node.patch(f"{pods}/theirs/status", {"status": {"phase": "Running"}}).refused(403)["message"]
    assert node.patch(f"{pods}/mine/status", {"status": {"phase": "Running"}}).code == 200
    assert "is not allowed to modify" in node.post("/api/v1/nodes", {"metadata": {"name": "n-two"}}).refused(403)["message"]
    for name in ("mine", "theirs"):
        api.delete(f"{pods}/{name}", {"gracePeriodSeconds": 0})


def test_certificate_requests(api: Api) -> None:
    requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    joe = Api(api.port, api.ca, api.cert, headers={"Impersonate-User": "joe", "Impersonate-Group": "system:masters"})
    body = {"metadata": {"name": "csr-x"}, "spec": {"request": csr(), "usages": ["client auth"], "signerName": "example.com/none", "username": "mallory"}}
    made = joe.post(requests, body).ok()
    try:
        assert made["spec"]["username"] == "joe" and "system:masters" in made["spec"]["groups"]
        condition = {"type": "Approved", "status": "True", "reason": "T", "message": "m"}
        approved = api.patch(f"{requests}/csr-x/approval", {"status": {"conditions": [condition]}}).ok()
        assert approved["status"]["conditions"][0]["type"] == "Approved" and approved["status"]["conditions"][0]["lastTransitionTime"]
        denied = {"status": {"conditions": [condition, {**condition, "type": "Denied"}]}}
        api.patch(f"{requests}/csr-x/approval", denied).refused(422, "Invalid")
    finally:
        api.delete(f"{requests}/csr-x").ok()


def csr() -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "joe")])).sign(key, hashes.SHA256())
    return base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()


def test_tokens_are_verified_by_their_published_keys(api: Api, server: Server, namespace: str) -> None:
    """As a foreign party does it: issuer and keys by OpenID discovery, the signature by PyJWT."""
    import jwt

    issued = account(api, namespace, "verified", audiences=["vault"])
    reader = server.as_token(account(api, namespace, "reader"))
    configuration = reader.get("/.well-known/openid-configuration").ok()
    keys = jwt.PyJWKSet.from_dict(reader.get("/openid/v1/jwks").ok())
    key = keys[jwt.get_unverified_header(issued)["kid"]]
    claims = jwt.decode(issued, key, algorithms=configuration["id_token_signing_alg_values_supported"], audience="vault", issuer=configuration["issuer"])
    assert claims["sub"] == f"system:serviceaccount:{namespace}:verified"
    assert configuration["jwks_uri"].endswith("/openid/v1/jwks")
