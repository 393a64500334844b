"""From a request to a `UserInfo`: client certificate, bearer token, or anonymous, in Kubernetes' order.

A certificate that the TLS layer verified decides alone. A token that is presented and not good is 401, never anonymous.
"""

from __future__ import annotations

import csv
import hmac
import logging
from typing import Protocol

from kogia.api.status import unauthorized
from kogia.wire.messages import Peer, Request, UserInfo

log = logging.getLogger("kogia.apiserver.auth")

AUTHENTICATED = "system:authenticated"
ANONYMOUS = UserInfo("system:anonymous", groups=("system:unauthenticated",))
BEARER_PROTOCOL = "base64url.bearer.authorization.k8s.io."


class TokenAuthenticator(Protocol):
    def authenticate(self, token: str, audiences: tuple[str, ...] = ()) -> UserInfo | None:
        """None if the token is not this authenticator's or not valid now. `audiences` empty: the API server's own.

        The groups need not hold `system:authenticated`; it is added.
        """


def x509_user(peer: Peer) -> UserInfo | None:
    """CN is the user, each O a group; None without a certificate or without a CN."""
    certificate = peer.certificate
    if not certificate:
        return None
    name = ""
    groups = []
    for part in certificate.get("subject", ()):
        for key, value in part:
            if key == "commonName":
                name = value
            elif key == "organizationName":
                groups.append(value)
    return UserInfo(name, groups=(*groups, AUTHENTICATED)) if name else None


class StaticTokens:
    """Kubernetes' token file: CSV lines of token, user, uid, "group1,group2". Compared in constant time."""

    def __init__(self, rows: list[tuple[bytes, UserInfo]]) -> None:
        self._rows = rows

    @classmethod
    def from_file(cls, path: str) -> StaticTokens:
        """Errors: OSError, ValueError for a line with fewer than three columns."""
        rows = []
        with open(path, newline="") as file:
            for line in csv.reader(file, skipinitialspace=True):
                if not line or line[0].startswith("#"):
                    continue
                if len(line) < 3:
                    raise ValueError(f"{path}: a token line needs token, user and uid")
                groups = tuple(g.strip() for g in line[3].split(",") if g.strip()) if len(line) > 3 else ()
                rows.append((line[0].encode(), UserInfo(line[1], line[2], groups)))
        return cls(rows)

    def authenticate(self, token: str, audiences: tuple[str, ...] = ()) -> UserInfo | None:
        found = None
        raw = token.encode()
        for known, user in self._rows:
            if hmac.compare_digest(known, raw):
                found = user
        return found


def bearer_token(request: Request) -> str | None:
    """The presented token: the Authorization header's, or for WebSockets the one hidden in a subprotocol. None: none was presented."""
    header = request.headers.get("authorization", "")
    scheme, _, token = header.partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    if request.upgrade and BEARER_PROTOCOL in request.headers.get("sec-websocket-protocol", ""):
        import base64
        import binascii

        for protocol in request.headers["sec-websocket-protocol"].split(","):
            protocol = protocol.strip()
            if protocol.startswith(BEARER_PROTOCOL):
                raw = protocol[len(BEARER_PROTOCOL) :]
                try:
                    return base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)).decode()
                except (binascii.Error, UnicodeDecodeError):
                    return ""
    return None


class Authentication:
    """All authenticators in order. `anonymous` off: no credentials is 401."""

    def __init__(self, tokens: list[TokenAuthenticator], *, anonymous: bool = True) -> None:
        self._tokens = tokens
        self._anonymous = anonymous

    def token_user(self, token: str, audiences: tuple[str, ...] = ()) -> UserInfo | None:
        """Who presents `token`; also for TokenReview."""
        for authenticator in self._tokens:
            user = authenticator.authenticate(token, audiences)
            if user is not None:
                if AUTHENTICATED not in user.groups:
                    user = UserInfo(user.name, user.uid, (*user.groups, AUTHENTICATED), user.extra)
                return user
        return None

    def user(self, request: Request) -> UserInfo:
        """Errors: StatusError 401."""
        user = x509_user(request.peer)
        if user is not None:
            return user
        token = bearer_token(request)
        if token is not None:
            user = self.token_user(token)
            if user is None:
                raise unauthorized()
            return user
        if self._anonymous:
            return ANONYMOUS
        raise unauthorized()
