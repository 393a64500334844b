"""NamespaceLifecycle: nothing is created in a namespace that is missing or going away, and the system's own namespaces stay.

Source: k8s.io/apiserver pkg/admission/plugin/namespace/lifecycle.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kogia.api.status import Cause, forbidden, not_found, qualified, status_error
from kogia.apiserver.interface import AdmissionAttributes, ReadCache

IMMORTAL = frozenset(("default", "kube-system", "kube-public"))


class NamespaceLifecycle:
    """`fresh` makes the cache catch up with every acknowledged write; it is only awaited when a namespace seems to be missing."""

    def __init__(self, cache: ReadCache, fresh: Callable[[], Awaitable[None]]) -> None:
        self._cache = cache
        self._fresh = fresh

    async def __call__(self, a: AdmissionAttributes) -> None:
        if a.resource.plural == "namespaces" and not a.resource.group:
            if a.operation == "DELETE" and a.name in IMMORTAL:
                raise forbidden("namespaces", a.name, "this namespace may not be deleted")
            return
        if not a.namespace or a.operation == "DELETE":
            return
        found = self._cache.get(("", "namespaces"), a.namespace)
        if found is None:
            await self._fresh()
            found = self._cache.get(("", "namespaces"), a.namespace)
            if found is None:
                raise not_found("namespaces", a.namespace)
        if a.operation != "CREATE":
            return
        namespace = found.object()
        if namespace["metadata"].get("deletionTimestamp") or (namespace.get("status") or {}).get("phase") == "Terminating":
            row = a.resource
            what = f'{qualified(row.plural, row.group)} "{a.name}"' if a.name else qualified(row.plural, row.group)
            message = f"{what} is forbidden: unable to create new content in namespace {a.namespace} because it is being terminated"
            cause = Cause("NamespaceTerminating", f"namespace {a.namespace} is being terminated", "metadata.namespace")
            raise status_error(403, "Forbidden", message, name=a.name, group=row.group, kind=row.plural, causes=[cause])
