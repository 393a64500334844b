"""Puts the built-in plugins together, in Kubernetes' order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kogia.apiserver.admission.certificates import record_requester, record_times
from kogia.apiserver.admission.chain import CONNECT, CREATE, DELETE, UPDATE, Chain, Rule, Step
from kogia.apiserver.admission.escalation import RESOURCES as RBAC_RESOURCES
from kogia.apiserver.admission.limit_ranger import LimitRanger
from kogia.apiserver.admission.namespaces import NamespaceLifecycle
from kogia.apiserver.admission.node_restriction import NodeRestriction
from kogia.apiserver.admission.pods import DefaultStorageClass, Priority, RuntimeClass, default_toleration_seconds, taint_new_node
from kogia.apiserver.admission.service_accounts import ServiceAccountAdmission
from kogia.apiserver.interface import ReadCache

PODS = (("", "pods", ""),)


def built_in(
    cache: ReadCache, fresh: Callable[[], Awaitable[None]], *, taint_new_nodes: bool = False, escalation: Step | None = None,
) -> Chain:
    """`fresh`: wait until the cache has every acknowledged write. `escalation`: the check of who grants what. `taint_new_nodes` needs a controller that takes the taint away again."""
    priority, limits = Priority(cache), LimitRanger(cache)
    mutating = [
        Rule(NamespaceLifecycle(cache, fresh), (CREATE, UPDATE, DELETE, CONNECT)),
        Rule(record_requester, (CREATE,), (("certificates.k8s.io", "certificatesigningrequests", ""),)),
        Rule(record_times, (UPDATE,), tuple(("certificates.k8s.io", "certificatesigningrequests", s) for s in ("approval", "status"))),
        Rule(ServiceAccountAdmission(cache), (CREATE,), PODS),
        *([Rule(taint_new_node, (CREATE,), (("", "nodes", ""),))] if taint_new_nodes else []),
        Rule(priority.admit_pod, (CREATE, UPDATE), PODS),
        Rule(RuntimeClass(cache), (CREATE,), PODS),
        Rule(default_toleration_seconds, (CREATE, UPDATE), PODS),
        Rule(DefaultStorageClass(cache), (CREATE,), (("", "persistentvolumeclaims", ""),)),
        Rule(limits.mutate, (CREATE,), PODS),
    ]
    restricted = tuple(("", "pods", s) for s in ("", "status", "eviction", "binding", "ephemeralcontainers", "resize"))
    validating = [
        *([Rule(escalation, (CREATE, UPDATE), RBAC_RESOURCES)] if escalation is not None else []),
        Rule(
            NodeRestriction(cache), (CREATE, UPDATE, DELETE),
            (*restricted, ("", "nodes", ""), ("", "nodes", "status"), ("coordination.k8s.io", "leases", ""), ("", "serviceaccounts", "token")),
        ),
        Rule(priority.validate_class, (CREATE, UPDATE), (("scheduling.k8s.io", "priorityclasses", ""),)),
        Rule(limits.validate, (CREATE,), (*PODS, ("", "persistentvolumeclaims", ""))),
    ]
    return Chain(mutating, validating)
