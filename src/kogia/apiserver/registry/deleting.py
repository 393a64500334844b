"""DELETE and DELETE of collections: grace, finalizers, propagation, preconditions.

An object goes at once, or is marked (deletionTimestamp) and goes when its node or its last finalizer lets go of it.
Source: k8s.io/apiserver registry/rest/delete.go, registry/generic/registry/store.go (Delete, deletionFinalizersForGarbageCollection),
kubernetes pkg/registry/core/{pod,namespace}.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from kogia.api.jsoncopy import deep_copy
from kogia.api.meta import FINALIZER_FOREGROUND, FINALIZER_ORPHAN
from kogia.api.status import MODIFIED, StatusError, conflict
from kogia.apiserver.encoding import dump
from kogia.apiserver.interface import RequestInfo
from kogia.apiserver.kindcache import Entry
from kogia.apiserver.registry.kinds import Kind
from kogia.apiserver.registry.negotiation import negotiate, respond
from kogia.apiserver.registry.options import DeleteOptions, WriteContext, delete_options, list_options
from kogia.apiserver.registry.pipeline import ATTEMPTS, Pipeline, State
from kogia.apiserver.registry.reading import Reader
from kogia.apiserver.registry.writing import ANONYMOUS
from kogia.base.clock import Clock, parse_rfc3339, rfc3339
from kogia.wire.messages import Request, Response

Obj = dict[str, Any]

#: deletions of one collection under way at the same time
PARALLEL = 32

#: (group, plural) of the kinds whose DELETE answers with the object instead of a Status
_ANSWER_OBJECT = frozenset((
    ("", "pods"), ("", "podtemplates"), ("", "persistentvolumes"), ("", "persistentvolumeclaims"), ("", "resourcequotas"), ("", "services"),
    ("", "serviceaccounts"), ("storage.k8s.io", "storageclasses"), ("storage.k8s.io", "volumeattachments"), ("storage.k8s.io", "csinodes"),
    ("storage.k8s.io", "csidrivers"), ("storage.k8s.io", "volumeattributesclasses"),
))
#: kinds whose dependents stay when a delete says nothing about them
_ORPHANING = frozenset((("batch", "Job"), ("", "ReplicationController")))
_JOB_WARNING = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)
_HOLDING_NAMESPACE = (
    "The system is ensuring all content is removed from this namespace.  Upon completion, this namespace will automatically be purged by "
    "the system."
)


class Deleter:
    def __init__(self, pipeline: Pipeline, reader: Reader, clock: Clock) -> None:
        self._pipeline, self._reader, self._clock = pipeline, reader, clock

    async def delete(self, request: Request, info: RequestInfo, kind: Kind) -> Response:
        accepted = negotiate(request.headers.get("accept", ""))
        options = delete_options(request)
        context = self._context(request, options)
        if kind.stored.kind == "Job" and kind.stored.group == "batch" and not options.policy and options.orphan is None:
            context.warnings.append(_JOB_WARNING)
        entry, gone = await self.remove(kind, kind.key(info.namespace, info.name), options, context)
        if gone and (kind.stored.group, kind.stored.plural) not in _ANSWER_OBJECT:
            return respond(request, replace(accepted, shape="object"), dump(_success(kind, entry)))
        waiting = not gone and (options.policy in ("Foreground", "Background") or options.orphan is False)
        body = self._reader.form(kind, accepted, request).render(entry)
        return respond(request, accepted, body, 202 if waiting and options.orphan is False else 200)

    def _context(self, request: Request, options: DeleteOptions) -> WriteContext:
        shown: Obj = {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"}
        if options.grace_s is not None:
            shown["gracePeriodSeconds"] = options.grace_s
        if options.policy:
            shown["propagationPolicy"] = options.policy
        if options.dry_run:
            shown["dryRun"] = ["All"]
        return WriteContext(
            request.user or ANONYMOUS, self._clock.now(), dry_run=options.dry_run, warnings=request.context.setdefault("warnings", []), options=shown)

    async def remove(self, kind: Kind, key: str, options: DeleteOptions, context: WriteContext) -> tuple[Entry, bool]:
        """Delete one object: (its last or its marked state, whether it is gone). Errors: 404, 409, and what admission says."""
        pipeline = self._pipeline
        state = await pipeline.current(kind, key)
        for _ in range(ATTEMPTS):
            if state is None:
                raise kind.not_found(key.rpartition("/")[2])
            self._check_preconditions(kind, state, options)
            await pipeline.admit_delete(kind, state, context)
            marked, immediate = plan(kind, state.obj, options, context.now)
            if immediate:
                entry, found, done = await pipeline.erase(kind, state, context)
            elif marked is None:
                return state.entry(), False
            else:
                entry, found, done = await pipeline.mark(kind, state, marked, context)
            if done:
                return entry, immediate
            state = pipeline.state_of(key, found)
        raise conflict(kind.row.plural, key.rpartition("/")[2], MODIFIED, kind.row.group)

    def _check_preconditions(self, kind: Kind, state: State, options: DeleteOptions) -> None:
        meta = state.obj["metadata"]
        uid, revision = meta.get("uid", ""), str(state.revision)
        if options.uid and options.uid != uid:
            why = f"Precondition failed: UID in precondition: {options.uid}, UID in object meta: {uid}"
        elif options.revision and options.revision != revision:
            why = f"Precondition failed: ResourceVersion in precondition: {options.revision}, ResourceVersion in object meta: {revision}"
        else:
            return
        raise conflict(kind.row.plural, meta["name"], why, kind.row.group)

    async def delete_collection(self, request: Request, info: RequestInfo, kind: Kind) -> Response:
        accepted = negotiate(request.headers.get("accept", ""), "list")
        options = delete_options(request)
        context = self._context(request, options)
        chosen = list_options(request)
        entries, meta = await self._reader.entries(kind, info.namespace, chosen)
        todo = iter(entries)

        async def work() -> None:
            for entry in todo:  # shared by all workers
                try:
                    await self.remove(kind, entry.key, options, context)
                except StatusError as error:
                    if error.code != 404:
                        raise

        results = await asyncio.gather(*(work() for _ in range(min(PARALLEL, len(entries)))), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return respond(request, accepted, self._reader.form(kind, accepted, request).list(entries, meta))


def _success(kind: Kind, entry: Entry) -> Obj:
    meta = entry.peek()["metadata"]
    details: Obj = {"name": meta["name"]}
    if kind.row.group:
        details["group"] = kind.row.group
    details["kind"] = kind.row.plural
    details["uid"] = meta.get("uid", "")
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


# deciding, pure


def plan(kind: Kind, old: Obj, options: DeleteOptions, now: float) -> tuple[Obj | None, bool]:
    """What a delete does to `old`: (the object to store instead, or None to leave it; whether it goes at once)."""
    if (kind.stored.group, kind.stored.kind) == ("", "Namespace"):
        return _plan_namespace(old, now)
    finalizers = _finalizers(kind, old, options)
    before = old["metadata"]
    marked = _graceful(kind, old, options, now)
    if marked is None and before.get("deletionTimestamp") and (finalizers or _waits_for_node(kind, before)):
        # already on its way; only the finalizers may change
        return (_with_finalizers(old, finalizers) if finalizers != (before.get("finalizers") or []) else None), False
    grace = marked["metadata"]["deletionGracePeriodSeconds"] if marked is not None else 0
    if not finalizers and not grace:
        return None, True
    if marked is None:
        marked = deep_copy(old)
        _mark(marked, now, 0)
    marked["metadata"]["finalizers"] = finalizers
    return marked, False


def _waits_for_node(kind: Kind, meta: Obj) -> bool:
    return kind.strategy.graceful_deletion and bool(meta.get("deletionGracePeriodSeconds"))


def _mark(obj: Obj, now: float, grace_s: int) -> None:
    meta = obj["metadata"]
    if not meta.get("deletionTimestamp"):
        meta["deletionTimestamp"] = rfc3339(now + grace_s)
        if meta.get("generation", 0) > 0:
            meta["generation"] += 1
    meta["deletionGracePeriodSeconds"] = grace_s


def _graceful(kind: Kind, old: Obj, options: DeleteOptions, now: float) -> Obj | None:
    """The object with its deletion time set or brought forward; None if grace changes nothing. Source: rest.BeforeDelete."""
    if not kind.strategy.graceful_deletion:
        return None
    before = old["metadata"]
    if before.get("deletionTimestamp"):
        have = before.get("deletionGracePeriodSeconds") or 0
        grace = options.grace_s
        if grace is None or grace >= have:
            return None
        grace = max(grace, 0)
        made: Obj = deep_copy(old)
        made["metadata"]["deletionTimestamp"] = rfc3339(parse_rfc3339(before["deletionTimestamp"]) - have + grace)
        made["metadata"]["deletionGracePeriodSeconds"] = grace
        return made
    made = deep_copy(old)
    _mark(made, now, pod_grace(old, options.grace_s))
    return made


def pod_grace(pod: Obj, asked: int | None) -> int:
    """Seconds a Pod gets to end: none if it never ran or has ended. Source: podStrategy.CheckGracefulDelete."""
    spec = pod.get("spec") or {}
    if not spec.get("nodeName") or (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        return 0
    grace = asked if asked is not None else spec.get("terminationGracePeriodSeconds", 0)
    return 1 if grace < 0 else int(grace)


def _finalizers(kind: Kind, old: Obj, options: DeleteOptions) -> list[str]:
    """The finalizers after the propagation policy has had its say."""
    have = old["metadata"].get("finalizers") or []
    if options.policy or options.orphan is not None:
        orphan = options.policy == "Orphan" or options.orphan is True
        foreground = options.policy == "Foreground"
    else:
        orphan = FINALIZER_ORPHAN in have or (kind.stored.group, kind.stored.kind) in _ORPHANING
        foreground = FINALIZER_FOREGROUND in have
    kept = [f for f in have if f not in (FINALIZER_ORPHAN, FINALIZER_FOREGROUND)]
    if orphan:
        kept.append(FINALIZER_ORPHAN)
    elif foreground:
        kept.append(FINALIZER_FOREGROUND)
    return kept


def _with_finalizers(old: Obj, finalizers: list[str]) -> Obj:
    made: Obj = deep_copy(old)
    made["metadata"]["finalizers"] = finalizers
    return made


def _plan_namespace(old: Obj, now: float) -> tuple[Obj | None, bool]:
    """A Namespace is marked Terminating and goes when the namespace controller has emptied it. Errors: 409 while it is being emptied."""
    meta = old["metadata"]
    waits = bool((old.get("spec") or {}).get("finalizers"))
    if not meta.get("deletionTimestamp"):
        if not waits and not meta.get("finalizers"):
            return None, True
        made: Obj = deep_copy(old)
        made["metadata"]["deletionTimestamp"] = rfc3339(now)
        made["status"] = {**(made.get("status") or {}), "phase": "Terminating"}
        return made, False
    if waits:
        raise conflict("namespaces", meta["name"], _HOLDING_NAMESPACE)
    return None, not meta.get("finalizers")
