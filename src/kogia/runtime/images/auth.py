"""Answering a registry's challenge: Basic, or a Bearer token from its token server.

Neighbours: distribution.py meets the challenges, config.py knows the credentials. Invariants: a token is kept per host and scope until
shortly before it ends; credentials go only to the token server the registry named, never along a redirect; a registry spoken to over TLS
cannot send them to a plain-HTTP token server.
Sources: distribution's docs/spec/auth/token.md and oauth.md; RFC 9110 section 11 (challenge grammar).
"""

from __future__ import annotations

import base64
import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kogia.runtime.images.config import Credentials

if TYPE_CHECKING:
    import aiohttp

TOKEN_LIMIT = 1 << 20
DEFAULT_LIFE_S = 60.0  #: of a token that does not say, as the specification has it
_PARAMETER = re.compile(r'\s*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*(?:,|$)')
_SCHEME = re.compile(r"\s*(Bearer|Basic)(?:\s+|$)", re.IGNORECASE)


class Denied(Exception):
    """The registry does not let us; the text is fit for an event."""


@dataclass(frozen=True, slots=True)
class Challenge:
    scheme: str  #: "bearer" | "basic"
    parameters: dict[str, str]


def parse_challenges(header: str) -> list[Challenge]:
    """`WWW-Authenticate`'s challenges of the two kinds registries use."""
    found: list[Challenge] = []
    position = 0
    while position < len(header):
        scheme = _SCHEME.match(header, position)
        if scheme is None:
            break
        position = scheme.end()
        parameters: dict[str, str] = {}
        while not _SCHEME.match(header, position) and (one := _PARAMETER.match(header, position)):
            parameters[one[1].lower()] = re.sub(r"\\(.)", r"\1", one[2]) if one[2] is not None else one[3]
            position = one.end()
        found.append(Challenge(scheme[1].lower(), parameters))
    return found


@dataclass(slots=True)
class Authorizer:
    """The authorization of one endpoint during one pull."""

    credentials: Credentials
    secure: bool  #: the registry is spoken to over TLS
    ssl: Any = True
    _tokens: dict[str, tuple[str, float]] = field(default_factory=dict, repr=False)
    _basic: bool = False

    def header(self, scope: str) -> str:
        """The `Authorization` to send, or "" before any challenge."""
        if self.credentials.registry_token:
            return f"Bearer {self.credentials.registry_token}"
        if self._basic:
            return _basic(self.credentials)
        token, end = self._tokens.get(scope, ("", 0.0))
        return f"Bearer {token}" if token and time.monotonic() < end else ""

    async def answer(self, session: aiohttp.ClientSession, header: str, scope: str) -> bool:
        """Prepare `header(scope)` for a 401's challenges. False when there is nothing more to try. Errors: Denied."""
        if self.credentials.registry_token:
            return False
        for challenge in parse_challenges(header):
            if challenge.scheme == "bearer" and "realm" in challenge.parameters:
                token, life_s = await self._fetch(session, challenge.parameters, scope)
                self._tokens[scope] = (token, time.monotonic() + max(life_s * 0.9, 1.0))
                return True
            if challenge.scheme == "basic" and self.credentials.username and not self._basic:
                self._basic = True
                return True
        return False

    async def _fetch(self, session: aiohttp.ClientSession, parameters: dict[str, str], scope: str) -> tuple[str, float]:
        realm = parameters["realm"]
        parts = urlsplit(realm)
        if parts.scheme not in ("http", "https") or not parts.netloc or (self.secure and parts.scheme != "https"):
            raise Denied(f"failed to fetch oauth token: unacceptable token server {parts.scheme}://{parts.netloc}")
        fields = {"service": parameters.get("service", ""), "scope": parameters.get("scope") or scope}
        fields = {key: value for key, value in fields.items() if value}
        headers: dict[str, str] = {}
        if self.credentials.identity_token:
            form = fields | {"grant_type": "refresh_token", "refresh_token": self.credentials.identity_token, "client_id": "kogia"}
            request = session.post(realm, data=form, ssl=self.ssl, allow_redirects=False)
        else:
            if self.credentials.username:
                headers["Authorization"] = _basic(self.credentials)
            request = session.get(realm, params=fields, headers=headers, ssl=self.ssl, allow_redirects=False)
        async with request as answer:
            body = await answer.content.read(TOKEN_LIMIT)
            while len(body) < TOKEN_LIMIT and (more := await answer.content.read(TOKEN_LIMIT - len(body))):
                body += more
            if answer.status != 200:
                raise Denied(
                    f"failed to authorize: failed to fetch oauth token: unexpected status from GET request to {realm}: {answer.status} {answer.reason}"
                )
        try:
            document = json.loads(body)
            token = document.get("token") or document.get("access_token") or ""
            life_s = float(document.get("expires_in") or DEFAULT_LIFE_S)
        except (ValueError, AttributeError, TypeError):
            token, life_s = "", 0.0
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
            raise Denied("failed to authorize: failed to fetch oauth token: the token server gave no token")
        return token, life_s


def _basic(credentials: Credentials) -> str:
    return "Basic " + base64.b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()
