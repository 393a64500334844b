"""Who asks for a certificate is not for the asker to say: the server writes it into every new CertificateSigningRequest.

Kubernetes does this in the kind's strategy; here strategies know no users, so it is the first step of admission.
Source: kubernetes pkg/registry/certificates/certificates/strategy.go (PrepareForCreate).
"""

from __future__ import annotations

from kogia.apiserver.interface import AdmissionAttributes


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
