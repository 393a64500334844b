"""namespace-controller: empties a namespace that is being deleted, then lets it go.

Order: Pods first and alone (whatever they mount or talk to outlives them), then everything else; when nothing remains, the finalizer
`kubernetes` is taken off through /finalize and the server removes the namespace. What holds it up stands in its conditions. The end of
the last Pod in the namespace triggers the next look, so that no time is lost in waiting. Source: pkg/controller/namespace/deletion.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from kogia.api.status import StatusError
from kogia.base.clock import Clock, parse_rfc3339, rfc3339
from kogia.client.controller import Controller, Retry
from kogia.client.informer import Informer
from kogia.client.interface import Client, Obj
from kogia.client.rest import RestClient
from kogia.controllers.context import NAMESPACES, PODS, ControllerContext
from kogia.controllers.discovery import Collection, discover

NAME = "namespace-controller"
FINALIZER = "kubernetes"
#: Kinds worked on at once; enough to hide latency, few enough not to crowd out others.
PARALLEL = 8
#: When something remains that nobody announces the end of (foreign finalizers), look again after this.
LOOK_AGAIN_S = 5.0
LIST_LIMIT = 500


@dataclass(slots=True)
class Remains:
    """What is still there after a round. Counts are by collection and by finalizer."""

    resources: Counter[str] = field(default_factory=Counter)
    finalizers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    discovery_failures: list[str] = field(default_factory=list)
    wait_s: float = 0.0  #: until the last Pod's grace period is over

    @property
    def nothing(self) -> bool:
        return not (self.resources or self.failures or self.discovery_failures)

    def add(self, collection: Collection, items: Sequence[Obj], more: int) -> None:
        if not items:
            return
        self.resources[f"{collection.resource.plural}.{collection.resource.group}"] += len(items) + more
        for item in items:
            self.finalizers.update((item.get("metadata") or {}).get("finalizers") or ())


def conditions(remains: Remains) -> list[tuple[str, str, str, str]]:
    """(type, status, reason, message) in Kubernetes' words."""
    found = remains.resources, remains.finalizers
    kinds = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(found[0].items()))
    holders = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(found[1].items()))
    discovery, content = remains.discovery_failures, remains.failures
    return [
        ("NamespaceDeletionDiscoveryFailure", "True", "DiscoveryFailed",
         f"Discovery failed for some groups, {len(discovery)} failing: {'; '.join(discovery)}") if discovery else
        ("NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered", "All resources successfully discovered"),
        ("NamespaceDeletionGroupVersionParsingFailure", "False", "ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ("NamespaceDeletionContentFailure", "True", "ContentDeletionFailed",
         f"Failed to delete all resource types, {len(content)} remaining: {'; '.join(content)}") if content else
        ("NamespaceDeletionContentFailure", "False", "ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        ("NamespaceContentRemaining", "True", "SomeResourcesRemain", f"Some resources are remaining: {kinds}") if found[0] else
        ("NamespaceContentRemaining", "False", "ContentRemoved", "All content successfully removed"),
        ("NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain",
         f"Some content in the namespace has finalizers remaining: {holders}") if found[1] else
        ("NamespaceFinalizersRemaining", "False", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
    ]  # fmt: skip


def merged_conditions(have: Sequence[Obj], wanted: Sequence[tuple[str, str, str, str]], now: str) -> list[Obj] | None:
    """The condition list after a round, or None if it says what it said before."""
    by_type = {condition["type"]: condition for condition in have}
    changed = False
    for kind, status, reason, message in wanted:
        old = by_type.get(kind)
        if old is not None and (old.get("status"), old.get("reason"), old.get("message")) == (status, reason, message):
            continue
        changed = True
        since = old["lastTransitionTime"] if old is not None and old.get("status") == status else now
        by_type[kind] = {"type": kind, "status": status, "lastTransitionTime": since, "reason": reason, "message": message}
    return list(by_type.values()) if changed else None


class NamespaceDeleter:
    """One round of emptying. `client` must be allowed to list and delete everything."""

    def __init__(self, client: Client, namespaces: Informer, clock: Clock) -> None:
        self._client = client
        self._reader: Client = client.metadata_only() if isinstance(client, RestClient) else client
        self._namespaces = namespaces
        self._clock = clock

    async def reconcile(self, key: str) -> None:
        """Errors: Retry while something remains; StatusError, OSError."""
        seen = self._namespaces.get(key)
        if seen is None or not seen["metadata"].get("deletionTimestamp"):
            return
        try:
            namespace = await self._client.get(NAMESPACES, key)
        except StatusError as error:
            if error.code == 404:
                return
            raise
        if namespace["metadata"]["uid"] != seen["metadata"]["uid"] or not namespace["metadata"].get("deletionTimestamp"):
            return
        if FINALIZER not in ((namespace.get("spec") or {}).get("finalizers") or ()):
            return
        remains = await self._empty(key)
        if remains.nothing:
            await self._finalize(namespace)
            return
        await self._write_conditions(namespace, remains)
        if remains.failures or remains.discovery_failures:
            raise Retry("; ".join(remains.failures + remains.discovery_failures))
        raise Retry("content remains", after_s=max(LOOK_AGAIN_S, remains.wait_s / 2 + 1))

    async def _finalize(self, namespace: Obj) -> None:
        finalizers = [f for f in namespace["spec"].get("finalizers") or () if f != FINALIZER]
        try:
            await self._client.update(NAMESPACES, {**namespace, "spec": {**namespace["spec"], "finalizers": finalizers}}, subresource="finalize")
        except StatusError as error:
            if error.code != 404:
                raise

    async def _empty(self, namespace: str) -> Remains:
        discovered = await discover(self._client)
        remains = Remains(discovery_failures=list(discovered.failed))
        wanted = [c for c in discovered.collections if c.resource.namespaced and "delete" in c.verbs and "list" in c.verbs]
        pods = [c for c in wanted if c.resource == PODS]
        for collection in pods:
            await self._empty_one(namespace, collection, remains)
        if remains.resources or remains.failures:
            return remains
        limit = asyncio.Semaphore(PARALLEL)

        async def one(collection: Collection) -> None:
            async with limit:
                await self._empty_one(namespace, collection, remains)

        await asyncio.gather(*(one(c) for c in wanted if c.resource != PODS))
        return remains

    async def _empty_one(self, namespace: str, collection: Collection, remains: Remains) -> None:
        """Delete what is there of one kind; what is left goes into `remains`."""
        try:
            if not (await self._list(namespace, collection, limit=1))[0]:
                return
            await self._delete(namespace, collection)
            items, more = await self._list(namespace, collection, limit=LIST_LIMIT)
        except StatusError as error:
            if error.code not in (404, 405):
                remains.failures.append(f"{collection.resource.plural}: {error.message}")
            return
        remains.add(collection, items, more)
        if collection.resource == PODS:
            remains.wait_s = max((self._grace_left(item) for item in items), default=0.0)

    async def _list(self, namespace: str, collection: Collection, limit: int) -> tuple[list[Obj], int]:
        """(at most `limit` items, how many more there are)."""
        answer = await self._reader.list(collection.resource, namespace, limit=limit)
        metadata = answer.get("metadata") or {}
        return answer.get("items") or [], int(metadata.get("remainingItemCount") or 0)

    async def _delete(self, namespace: str, collection: Collection) -> None:
        if "deletecollection" in collection.verbs:
            await self._client.delete_collection(collection.resource, namespace)
            return
        for item in (await self._reader.list(collection.resource, namespace)).get("items") or ():
            try:
                await self._client.delete(collection.resource, item["metadata"]["name"], namespace)
            except StatusError as error:
                if error.code != 404:
                    raise

    def _grace_left(self, pod: Obj) -> float:
        deleted = pod["metadata"].get("deletionTimestamp")
        return max(0.0, parse_rfc3339(deleted) - self._clock.now()) if deleted else 0.0

    async def _write_conditions(self, namespace: Obj, remains: Remains) -> None:
        status = namespace.get("status") or {}
        merged = merged_conditions(status.get("conditions") or (), conditions(remains), rfc3339(self._clock.now()))
        if merged is not None:
            await self._client.update(NAMESPACES, {**namespace, "status": {**status, "conditions": merged}}, subresource="status")


def namespace_controller(context: ControllerContext) -> Controller:
    namespaces = context.informers.get(NAMESPACES)
    pods = context.informers.get(PODS)
    deleter = NamespaceDeleter(context.client_for(NAME), namespaces, context.clock)
    controller = context.controller(NAME, deleter.reconcile, pods, workers=4)
    controller.watch(namespaces, lambda obj: (obj["metadata"]["name"],) if obj["metadata"].get("deletionTimestamp") else ())

    def pod_gone(old: Obj | None, new: Obj | None) -> None:
        if new is None and old is not None:
            name = old["metadata"]["namespace"]
            namespace = namespaces.get(name)
            if namespace is not None and namespace["metadata"].get("deletionTimestamp") and not pods.list(name):
                controller.enqueue(name)

    pods.on_change(pod_gone)
    return controller
