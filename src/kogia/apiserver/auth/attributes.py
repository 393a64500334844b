"""What an authorizer is asked, and what it may say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from kogia.api.status import StatusError, forbidden, status_error
from kogia.wire.messages import UserInfo


@dataclass(frozen=True, slots=True)
class Attributes:
    """One question. For non-resource requests only `user`, `verb` and `path` speak."""

    user: UserInfo
    verb: str
    is_resource: bool = True
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    field_selector: str = ""


class Decision(Enum):
    ALLOW = "allow"
    DENY = "deny"
    NO_OPINION = "no opinion"


@dataclass(frozen=True, slots=True)
class Verdict:
    decision: Decision
    reason: str = ""

    @property
    def allowed(self) -> bool:
        return self.decision is Decision.ALLOW


NO_OPINION = Verdict(Decision.NO_OPINION)


class Authorizer(Protocol):
    def authorize(self, attributes: Attributes) -> Verdict:
        """Synchronous and quick: it runs on every request."""


class Union:
    """Asks each in turn until one has an opinion; nobody's opinion is a refusal with all their reasons."""

    def __init__(self, authorizers: list[Authorizer]) -> None:
        self._authorizers = authorizers

    def authorize(self, attributes: Attributes) -> Verdict:
        reasons = []
        for authorizer in self._authorizers:
            verdict = authorizer.authorize(attributes)
            if verdict.decision is not Decision.NO_OPINION:
                return verdict
            if verdict.reason:
                reasons.append(verdict.reason)
        return Verdict(Decision.NO_OPINION, ", ".join(reasons)) if reasons else NO_OPINION


class SystemMasters:
    """Members of `system:masters` may do everything, whatever RBAC holds."""

    def authorize(self, attributes: Attributes) -> Verdict:
        return _MASTERS if "system:masters" in attributes.user.groups else NO_OPINION


_MASTERS = Verdict(Decision.ALLOW)


def forbidden_error(attributes: Attributes, reason: str = "") -> StatusError:
    """403 in Kubernetes' words. Source: k8s.io/apiserver handlers/responsewriters forbiddenMessage."""
    user = attributes.user.name
    tail = f": {reason}" if reason else ""
    if not attributes.is_resource:
        return status_error(403, "Forbidden", f'forbidden: User "{user}" cannot {attributes.verb} path "{attributes.path}"{tail}')
    resource = attributes.resource + (f"/{attributes.subresource}" if attributes.subresource else "")
    where = f'in the namespace "{attributes.namespace}"' if attributes.namespace else "at the cluster scope"
    why = f'User "{user}" cannot {attributes.verb} resource "{resource}" in API group "{attributes.group}" {where}{tail}'
    return forbidden(attributes.resource, attributes.name, why, attributes.group)
