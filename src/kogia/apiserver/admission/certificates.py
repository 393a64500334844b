"""Who asks for a certificate is not for the asker to say, nor when it was approved: the server writes both.

Kubernetes does this in the kind's strategy; here strategies know no users, so it is the first step of admission.
Source: kubernetes pkg/registry/certificates/certificates/strategy.go (PrepareForCreate, populateConditionTimestamps).
"""

from __future__ import annotations

from kogia.apiserver.interface import AdmissionAttributes
from kogia.base.clock import RealClock, rfc3339


def record_requester(a: AdmissionAttributes) -> None:
    """Set `spec.username`, `uid`, `groups` and `extra` to the request's user, whatever the body said."""
    assert a.obj is not None
    spec = a.obj.setdefault("spec", {})
    for field in ("username", "uid", "groups", "extra"):
        spec.pop(field, None)
    user = a.user
    spec["username"] = user.name
    if user.uid:
        spec["uid"] = user.uid
    if user.groups:
        spec["groups"] = list(user.groups)
    if user.extra:
        spec["extra"] = {key: list(values) for key, values in user.extra.items()}


def record_times(a: AdmissionAttributes) -> None:
    """Conditions without their times get them: updated now; changed when a condition of that type and status was first seen."""
    assert a.obj is not None
    before = {(c.get("type"), c.get("status")): c for c in ((a.old or {}).get("status") or {}).get("conditions") or ()}
    now = rfc3339(RealClock().now())
    for condition in (a.obj.get("status") or {}).get("conditions") or ():
        if not condition.get("lastUpdateTime"):
            condition["lastUpdateTime"] = now
        if not condition.get("lastTransitionTime"):
            known = before.get((condition.get("type"), condition.get("status"))) or {}
            condition["lastTransitionTime"] = known.get("lastTransitionTime") or now
