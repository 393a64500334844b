"""Service-account tokens: ES256 (or RS256) JWTs bound to objects, signed and verified with the cluster's key.

A token is good while its signature, issuer, audience and time hold *and* the objects it is bound to still exist with the same uid;
the first part is cached by the token's hash, the second is looked up in the read cache every time (a few dict accesses).
`cryptography` and `jwt` are imported on first use: a server whose clients all use certificates never loads them.
Source: pkg/serviceaccount claims.go and jwt.go; KEP-1205.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from kogia.apiserver.interface import ReadCache
from kogia.wire.messages import UserInfo

CACHE_SIZE = 4096
LEEWAY_S = 60
_BOUND = {"pod": ("", "pods"), "secret": ("", "secrets"), "node": ("", "nodes")}


@dataclass(frozen=True, slots=True)
class Bound:
    """The object a token's life is tied to: kind is Pod, Secret or Node."""

    kind: str
    name: str
    uid: str


@dataclass(slots=True)
class TokenKeys:
    """The signing key and every key whose tokens are still taken; PEM bytes in, key objects on first use."""

    private_pem: bytes
    public_pems: list[bytes] = field(default_factory=list)
    _private: Any = None
    _public: dict[str, Any] | None = None
    kid: str = ""

    @property
    def private(self) -> Any:
        if self._private is None:
            from cryptography.hazmat.primitives.serialization import load_pem_private_key

            self._private = load_pem_private_key(self.private_pem, None)
            self.kid = key_id(self._private.public_key())
        return self._private

    @property
    def public(self) -> dict[str, Any]:
        """By key id; the signing key's own public half is always among them."""
        if self._public is None:
            from cryptography.hazmat.primitives.serialization import load_pem_public_key

            keys = [self.private.public_key(), *(load_pem_public_key(p) for p in self.public_pems)]
            self._public = {key_id(k): k for k in keys}
        return self._public

    @property
    def algorithm(self) -> str:
        return algorithm_of(self.private)


def key_id(public_key: Any) -> str:
    """base64url of the SHA-256 of the DER public key, as Kubernetes names its keys."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


def algorithm_of(key: Any) -> str:
    size = key.key_size
    curve = getattr(key, "curve", None)
    return "RS256" if curve is None else {256: "ES256", 384: "ES384", 521: "ES512"}[size]


class ServiceAccountTokens:
    """Issues and checks tokens. `audiences`: what the API server itself accepts; default the issuer."""

    def __init__(self, keys: TokenKeys, issuer: str, cache: ReadCache, audiences: tuple[str, ...] = (), *, max_expiration_s: int = 0) -> None:
        self.keys = keys
        self.issuer = issuer
        self.audiences = audiences or (issuer,)
        self.max_expiration_s = max_expiration_s
        self._cache = cache
        self._verified: OrderedDict[bytes, dict[str, Any]] = OrderedDict()

    def issue(
        self, namespace: str, name: str, uid: str, audiences: list[str], expiration_s: int, bound: Bound | None = None, *,
        warn_after_s: int = 0, node: tuple[str, str] | None = None,
    ) -> tuple[str, int]:
        """A signed token and its expiry (seconds since the epoch). `node`: name and uid of the pod's node."""
        import jwt

        now = int(time.time())
        expiry = now + expiration_s
        private: dict[str, Any] = {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}}
        if bound is not None:
            private[bound.kind.lower()] = {"name": bound.name, "uid": bound.uid}
            if bound.kind == "Pod" and node is not None:
                private["node"] = {"name": node[0], "uid": node[1]} if node[1] else {"name": node[0]}
        if warn_after_s:
            private["warnafter"] = now + warn_after_s
        claims = {
            "aud": audiences, "exp": expiry, "iat": now, "iss": self.issuer, "jti": str(uuid.uuid4()), "kubernetes.io": private, "nbf": now,
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        key = self.keys.private
        return jwt.encode(claims, key, algorithm=self.keys.algorithm, headers={"kid": self.keys.kid}), expiry

    def authenticate(self, token: str, audiences: tuple[str, ...] = ()) -> UserInfo | None:
        """As `TokenAuthenticator`. The bound objects are checked anew on every call."""
        claims = self._claims(token)
        if claims is None:
            return None
        wanted = audiences or self.audiences
        offered = claims.get("aud") or []
        if isinstance(offered, str):
            offered = [offered]
        if not set(wanted) & set(offered):
            return None
        now = time.time()
        if now > claims["exp"] + LEEWAY_S or now < claims.get("nbf", 0) - LEEWAY_S:
            return None
        return self._user(claims)

    def _claims(self, token: str) -> dict[str, Any] | None:
        """Verified claims (signature, issuer); None for anything else."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        known = self._verified.get(digest)
        if known is not None:
            self._verified.move_to_end(digest)
            return known
        if token.count(".") != 2 or self._unverified_issuer(token) != self.issuer:
            return None
        import jwt

        try:
            kid = jwt.get_unverified_header(token).get("kid", "")
            keys = [self.keys.public[kid]] if kid in self.keys.public else [] if kid else list(self.keys.public.values())
            for key in keys:
                try:
                    claims = jwt.decode(
                        token, key, algorithms=[algorithm_of(key)], issuer=self.issuer,
                        options={"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False, "require": ["exp", "sub", "iss"]},
                    )
                except jwt.InvalidSignatureError:
                    continue
                self._verified[digest] = claims
                if len(self._verified) > CACHE_SIZE:
                    self._verified.popitem(last=False)
                return claims
        except jwt.PyJWTError:
            return None
        return None

    @staticmethod
    def _unverified_issuer(token: str) -> str:
        """So that foreign tokens are passed by without loading any cryptography."""
        payload = token.split(".")[1]
        try:
            return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))).get("iss", ""))
        except (ValueError, AttributeError):
            return ""

    def _user(self, claims: dict[str, Any]) -> UserInfo | None:
        private = claims.get("kubernetes.io")
        if not isinstance(private, dict):
            return None
        namespace = private.get("namespace", "")
        account = private.get("serviceaccount") or {}
        name, uid = account.get("name", ""), account.get("uid", "")
        if claims["sub"] != f"system:serviceaccount:{namespace}:{name}":
            return None
        if not self._alive(("", "serviceaccounts"), namespace, name, uid):
            return None
        extra: dict[str, tuple[str, ...]] = {}
        if claims.get("jti"):
            extra["authentication.kubernetes.io/credential-id"] = (f"JTI={claims['jti']}",)
        for kind, resource in _BOUND.items():
            bound = private.get(kind)
            if bound is None:
                continue
            if kind == "node" and "pod" in private:  # told for information, not a binding of its own
                extra["authentication.kubernetes.io/node-name"] = (bound.get("name", ""),)
                if bound.get("uid"):
                    extra["authentication.kubernetes.io/node-uid"] = (bound["uid"],)
                continue
            if not self._alive(resource, "" if kind == "node" else namespace, bound.get("name", ""), bound.get("uid", "")):
                return None
            extra[f"authentication.kubernetes.io/{kind}-name"] = (bound["name"],)
            extra[f"authentication.kubernetes.io/{kind}-uid"] = (bound["uid"],)
        return service_account_user(namespace, name, uid, extra)

    def _alive(self, resource: tuple[str, str], namespace: str, name: str, uid: str) -> bool:
        found = self._cache.get(resource, name, namespace)
        if found is None:
            return False
        metadata = found.object()["metadata"]
        deleted = metadata.get("deletionTimestamp")
        if deleted and resource[1] != "nodes":
            from kogia.base.clock import parse_rfc3339

            if time.time() > parse_rfc3339(deleted) + LEEWAY_S:
                return False
        return metadata.get("uid") == uid


def service_account_user(namespace: str, name: str, uid: str = "", extra: dict[str, tuple[str, ...]] | None = None) -> UserInfo:
    """The identity of a service account: its name and its three groups."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return UserInfo(f"system:serviceaccount:{namespace}:{name}", uid, groups, extra or {})
