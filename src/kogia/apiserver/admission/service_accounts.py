"""ServiceAccount: every Pod runs as one, and gets its token unless somebody opted out.

Source: plugin/pkg/admission/serviceaccount.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from kogia.api.meta import generate_name
from kogia.api.status import forbidden
from kogia.apiserver.interface import AdmissionAttributes, ReadCache

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
MIRROR = "kubernetes.io/config.mirror"
TOKEN_SECONDS = 3607  #: marks a token nobody chose a lifetime for; TokenRequest extends those
#: a namespace's `default` account is made by a controller a moment after the namespace: wait so long for it
WAIT_DEFAULT_S = 2.0

Obj = dict[str, Any]


class ServiceAccountAdmission:
    def __init__(self, cache: ReadCache) -> None:
        self._cache = cache

    async def __call__(self, a: AdmissionAttributes) -> None:
        pod = a.obj
        assert pod is not None
        spec = pod.setdefault("spec", {})
        if MIRROR in (pod["metadata"].get("annotations") or {}):
            self._check_mirror(a, spec)
            return
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = await self._account(a.namespace, name)
        if account is None:
            raise forbidden("pods", a.name, f'error looking up service account {a.namespace}/{name}: serviceaccount "{name}" not found')
        automount = spec.get("automountServiceAccountToken")
        if automount is None:
            automount = account.get("automountServiceAccountToken", True)
        if automount:
            mount_token(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(s) for s in account["imagePullSecrets"]]

    async def _account(self, namespace: str, name: str) -> Obj | None:
        deadline = time.monotonic() + (WAIT_DEFAULT_S if name == "default" else 0.2)
        while True:
            found = self._cache.get(("", "serviceaccounts"), name, namespace)
            if found is not None:
                return found.object()
            if time.monotonic() >= deadline:
                return None
            await asyncio.sleep(0.01)

    def _check_mirror(self, a: AdmissionAttributes, spec: Obj) -> None:
        if spec.get("serviceAccountName"):
            raise forbidden("pods", a.name, "a mirror pod may not reference service accounts")
        for volume in spec.get("volumes") or ():
            for source in (volume.get("projected") or {}).get("sources") or ():
                if "serviceAccountToken" in source:
                    raise forbidden("pods", a.name, "a mirror pod may not use ServiceAccountToken volume projections")
            if "secret" in volume:
                raise forbidden("pods", a.name, "a mirror pod may not reference secrets")


def token_volume(name: str) -> Obj:
    """The projected volume with token, cluster CA and namespace. Source: serviceaccount.TokenVolumeSource."""
    return {
        "name": name,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
            ],
            "defaultMode": 420,
        },
    }


def mount_token(spec: Obj) -> None:
    """Mount the token into every container that has nothing at its path; the volume is only added if one does."""
    existing = next((v["name"] for v in spec.get("volumes") or () if v.get("name", "").startswith(VOLUME_PREFIX)), "")
    name = existing or generate_name(VOLUME_PREFIX)
    used = False
    for kind in ("initContainers", "containers"):
        for container in spec.get(kind) or ():
            mounts = container.get("volumeMounts") or []
            if any(m.get("mountPath") == MOUNT_PATH for m in mounts):
                continue
            container["volumeMounts"] = [*mounts, {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}]
            used = True
    if used and not existing:
        spec["volumes"] = [*(spec.get("volumes") or []), token_volume(name)]
