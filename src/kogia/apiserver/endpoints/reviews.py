"""Reviews: questions about identity and permission that are answered and forgotten.

Source: pkg/registry/authentication/{tokenreview,selfsubjectreview}, pkg/registry/authorization.
"""

from __future__ import annotations

import time
from typing import Any

from kogia.api.kinds import ResourceInfo
from kogia.api.status import FieldError, bad_request, forbidden_field, invalid, invalid_value
from kogia.apiserver.auth.attributes import Attributes, Authorizer
from kogia.apiserver.auth.authenticators import Authentication
from kogia.apiserver.auth.rbac import RbacAuthorizer
from kogia.apiserver.endpoints.bodies import read_body, respond
from kogia.apiserver.interface import RequestInfo
from kogia.base.clock import rfc3339
from kogia.wire.messages import Request, Response, UserInfo

Obj = dict[str, Any]


def user_object(user: UserInfo) -> Obj:
    """`authentication.k8s.io/v1` UserInfo; empty fields left out."""
    made: Obj = {"username": user.name}
    if user.uid:
        made["uid"] = user.uid
    if user.groups:
        made["groups"] = list(user.groups)
    if user.extra:
        made["extra"] = {k: list(v) for k, v in user.extra.items()}
    return made


def _answer(request: Request, row: ResourceInfo, obj: Obj, status: Obj) -> Response:
    made = {"kind": row.kind, "apiVersion": row.api_version, "metadata": obj.get("metadata") or {"creationTimestamp": None}}
    if "spec" in obj or row.kind != "SelfSubjectReview":
        made["spec"] = obj.get("spec") or {}
    made["status"] = status
    return respond(request, made, 201)


class Reviews:
    def __init__(self, authentication: Authentication, authorizer: Authorizer, rbac: RbacAuthorizer, audiences: tuple[str, ...]) -> None:
        self._authentication = authentication
        self._authorizer = authorizer
        self._rbac = rbac
        self._audiences = audiences

    async def token_review(self, request: Request, info: RequestInfo) -> Response:
        obj, row = read_body(request, info)
        spec = obj.get("spec") or {}
        if obj.get("metadata", {}).get("namespace"):
            raise bad_request("namespace is not allowed on this type: " + obj["metadata"]["namespace"])
        token = spec.get("token", "")
        if not token:
            raise bad_request("token is required for TokenReview in authentication")
        audiences = tuple(spec.get("audiences") or ())
        user = self._authentication.token_user(token, audiences)
        if user is None:
            return _answer(request, row, obj, {"user": {}, "error": "[invalid bearer token]"})
        accepted = [a for a in audiences if a in self._audiences] or list(audiences) if audiences else list(self._audiences)
        return _answer(request, row, obj, {"authenticated": True, "user": user_object(user), "audiences": accepted})

    async def self_subject_review(self, request: Request, info: RequestInfo) -> Response:
        obj, row = read_body(request, info)
        assert request.user is not None
        obj["metadata"] = {"creationTimestamp": rfc3339(time.time())}
        return _answer(request, row, obj, {"userInfo": user_object(request.user)})

    async def self_subject_access_review(self, request: Request, info: RequestInfo) -> Response:
        obj, row = read_body(request, info)
        assert request.user is not None
        spec = obj.get("spec") or {}
        errors = _check_attributes(spec)
        if errors:
            raise invalid(row.kind, "", errors, row.group)
        return _answer(request, row, obj, self._decide(spec, request.user))

    async def subject_access_review(self, request: Request, info: RequestInfo) -> Response:
        """Also the local one, whose namespace must be the question's."""
        obj, row = read_body(request, info)
        spec = obj.get("spec") or {}
        errors = _check_attributes(spec)
        if not spec.get("user") and not spec.get("groups"):
            errors.append(invalid_value("spec.user", "", "at least one of user or group must be specified"))
        if row.kind == "LocalSubjectAccessReview":
            resource = spec.get("resourceAttributes") or {}
            if spec.get("nonResourceAttributes"):
                errors.append(forbidden_field("spec.nonResourceAttributes", "disallowed on this kind of request"))
            elif resource.get("namespace") != info.namespace:
                errors.append(invalid_value("spec.resourceAttributes.namespace", resource.get("namespace", ""), "must match metadata.namespace"))
        if errors:
            raise invalid(row.kind, "", errors, row.group)
        extra = {k: tuple(v) for k, v in (spec.get("extra") or {}).items()}
        user = UserInfo(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()), extra)
        return _answer(request, row, obj, self._decide(spec, user))

    def _decide(self, spec: Obj, user: UserInfo) -> Obj:
        verdict = self._authorizer.authorize(_question(spec, user))
        status: Obj = {"allowed": verdict.allowed}
        if verdict.decision.value == "deny":
            status["denied"] = True
        if verdict.reason:
            status["reason"] = verdict.reason
        return status

    async def self_subject_rules_review(self, request: Request, info: RequestInfo) -> Response:
        obj, row = read_body(request, info)
        assert request.user is not None
        namespace = (obj.get("spec") or {}).get("namespace", "")
        if not namespace:
            raise bad_request("no namespace on request")
        resource_rules, path_rules = [], []
        for rule in self._rbac.rules_for(request.user, namespace):
            if rule.get("resources"):
                made: Obj = {"verbs": rule.get("verbs") or [], "apiGroups": rule.get("apiGroups") or [], "resources": rule["resources"]}
                if rule.get("resourceNames"):
                    made["resourceNames"] = rule["resourceNames"]
                if made not in resource_rules:
                    resource_rules.append(made)
            if rule.get("nonResourceURLs"):
                made = {"verbs": rule.get("verbs") or [], "nonResourceURLs": rule["nonResourceURLs"]}
                if made not in path_rules:
                    path_rules.append(made)
        return _answer(request, row, obj, {"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": False})


def _question(spec: Obj, user: UserInfo) -> Attributes:
    resource = spec.get("resourceAttributes")
    if resource is None:
        path = spec.get("nonResourceAttributes") or {}
        return Attributes(user, path.get("verb", ""), is_resource=False, path=path.get("path", ""))
    selector = resource.get("fieldSelector") or {}
    raw = selector.get("rawSelector") or ",".join(f"{r['key']}={r['values'][0]}" for r in selector.get("requirements") or () if r.get("values"))
    return Attributes(
        user, resource.get("verb", ""), True, resource.get("group", ""), resource.get("version", ""), resource.get("resource", ""),
        resource.get("subresource", ""), resource.get("namespace", ""), resource.get("name", ""), field_selector=raw,
    )


def _check_attributes(spec: Obj) -> list[FieldError]:
    both, neither = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if both is not None and neither is not None:
        return [invalid_value("spec.nonResourceAttributes", neither, "cannot be specified in combination with resourceAttributes")]
    if both is None and neither is None:
        return [invalid_value("spec.resourceAttributes", None, "exactly one of nonResourceAttributes or resourceAttributes must be specified")]
    return []
