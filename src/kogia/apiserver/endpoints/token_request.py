"""`serviceaccounts/<name>/token`: a signed token for a service account, bound to an object if asked.

Also the issuer's public face: the OIDC discovery document and the key set. Source: pkg/registry/core/serviceaccount/storage/token.go.
"""

from __future__ import annotations

import json
import time
from typing import Any

from kogia.api.kinds import ResourceInfo
from kogia.api.status import bad_request, conflict, invalid, invalid_value, not_found
from kogia.apiserver.admission.service_accounts import TOKEN_SECONDS
from kogia.apiserver.auth.service_accounts import Bound, ServiceAccountTokens, algorithm_of
from kogia.apiserver.endpoints.bodies import read_body, respond
from kogia.apiserver.interface import AdmissionAttributes, AdmissionChain, ReadCache, RequestInfo
from kogia.base.clock import rfc3339
from kogia.wire.messages import Request, Response

Obj = dict[str, Any]
MIN_SECONDS, MAX_SECONDS, DEFAULT_SECONDS = 600, 1 << 32, 3600
#: the life of a token that Pods get by themselves and old clients read only once
EXTENDED_SECONDS = 365 * 86400
_BINDABLE = {("v1", "Pod"): "pods", ("v1", "Secret"): "secrets", ("v1", "Node"): "nodes"}


class TokenRequests:
    def __init__(self, tokens: ServiceAccountTokens, cache: ReadCache, admission: AdmissionChain) -> None:
        self._tokens = tokens
        self._cache = cache
        self._admission = admission

    async def __call__(self, request: Request, info: RequestInfo) -> Response:
        assert info.resource is not None and request.user is not None
        obj, row = read_body(request, info)
        found = self._cache.get(("", "serviceaccounts"), info.name, info.namespace)
        if found is None:
            raise not_found("serviceaccounts", info.name)
        account = found.object()
        spec = obj.setdefault("spec", {})
        metadata = obj.get("metadata") or {}
        for field, actual in (("name", info.name), ("namespace", info.namespace)):
            if metadata.get(field) not in (None, "", actual):
                raise bad_request(f"the {field} of the object does not match the {field} on the URL")
        seconds = spec.setdefault("expirationSeconds", DEFAULT_SECONDS)
        if not spec.get("audiences"):
            spec["audiences"] = list(self._tokens.audiences)
        _check_seconds(row, seconds)
        attributes = AdmissionAttributes("CREATE", info.resource, "token", info.namespace, info.name, request.user, obj, None)
        await self._admission.mutate(attributes)
        await self._admission.validate(attributes)
        bound, node = self._bound(spec.get("boundObjectRef"), info)
        limit = self._tokens.max_expiration_s
        life, warn_after = (min(seconds, limit) if limit else seconds), 0
        if seconds == TOKEN_SECONDS and bound is not None and set(spec["audiences"]) & set(self._tokens.audiences):
            life, warn_after = EXTENDED_SECONDS, seconds
        if request.param("dryRun"):
            token, expiry = "", int(time.time()) + life
        else:
            token, expiry = self._tokens.issue(
                info.namespace, info.name, account["metadata"]["uid"], spec["audiences"], life, bound, warn_after_s=warn_after, node=node,
            )
        shown = int(time.time()) + seconds if warn_after else expiry
        obj["metadata"] = {"name": info.name, "namespace": info.namespace, "creationTimestamp": rfc3339(time.time())}
        spec.setdefault("boundObjectRef", None)
        made = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": obj["metadata"], "spec": spec}
        return respond(request, made | {"status": {"token": token, "expirationTimestamp": rfc3339(shown)}}, 201)

    def _bound(self, reference: Obj | None, info: RequestInfo) -> tuple[Bound | None, tuple[str, str] | None]:
        """The object to bind to and, for a Pod, its node's name and uid. Errors: StatusError 400, 404, 409."""
        if not reference:
            return None, None
        api_version, kind, name = reference.get("apiVersion", "") or "v1", reference.get("kind", ""), reference.get("name", "")
        plural = _BINDABLE.get((api_version, kind))
        if plural is None:
            raise bad_request(f'cannot bind token for serviceaccount "{info.name}" to object of type {api_version}, Kind={kind}')
        found = self._cache.get(("", plural), name, "" if plural == "nodes" else info.namespace)
        if found is None:
            raise not_found(plural, name)
        obj = found.object()
        uid = obj["metadata"]["uid"]
        if reference.get("uid") and reference["uid"] != uid:
            why = (f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. "
                   "The object might have been deleted and then recreated")
            raise conflict(plural, name, why)
        node = None
        if kind == "Pod":
            spec = obj.get("spec") or {}
            if spec.get("serviceAccountName", "") != info.name:
                raise bad_request(f'cannot bind token for serviceaccount "{info.name}" to pod running with different serviceaccount name.')
            if spec.get("nodeName"):
                on = self._cache.get(("", "nodes"), spec["nodeName"])
                node = (spec["nodeName"], on.object()["metadata"]["uid"] if on is not None else "")
        return Bound(kind, name, uid), node


def _check_seconds(row: ResourceInfo, seconds: int) -> None:
    why = ""
    if seconds < MIN_SECONDS:
        why = "may not specify a duration less than 10 minutes"
    elif seconds > MAX_SECONDS:
        why = "may not specify a duration larger than 2^32 seconds"
    if why:
        raise invalid(row.kind, "", [invalid_value("spec.expirationSeconds", seconds, why)], row.group)


def openid_configuration(tokens: ServiceAccountTokens, base_url: str) -> Response:
    """`/.well-known/openid-configuration`."""
    document = {
        "issuer": tokens.issuer, "jwks_uri": f"{base_url}/openid/v1/jwks", "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": [tokens.keys.algorithm],
    }
    return Response(200, [("Cache-Control", "public, max-age=3600")], json.dumps(document, separators=(",", ":")).encode(), "application/json")


def key_set(tokens: ServiceAccountTokens) -> Response:
    """`/openid/v1/jwks`."""
    import jwt.algorithms as algorithms

    keys = []
    for kid, key in tokens.keys.public.items():
        name = algorithm_of(key)
        kind = algorithms.RSAAlgorithm if name.startswith("RS") else algorithms.ECAlgorithm
        made = json.loads(kind.to_jwk(key))
        made.pop("key_ops", None)
        keys.append({"use": "sig", "kty": made.pop("kty"), "kid": kid, "alg": name, **made})
    return Response(200, [("Cache-Control", "public, max-age=3600")], json.dumps({"keys": keys}, separators=(",", ":")).encode(), "application/jwk-set+json")
