"""The order of admission, and nothing else: each plugin is told only of the writes it asked for.

Mutating: NamespaceLifecycle, ServiceAccount, TaintNodesByCondition, Priority, RuntimeClass, DefaultTolerationSeconds, DefaultStorageClass,
LimitRanger. Validating: the escalation check, NodeRestriction, Priority, LimitRanger. (Webhooks and quota come after these when they come.)
Source: pkg/kubeapiserver/options/plugins.go AllOrderedPlugins.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from kogia.apiserver.interface import AdmissionAttributes

Step = Callable[[AdmissionAttributes], Awaitable[None] | None]
CREATE, UPDATE, DELETE, CONNECT = "CREATE", "UPDATE", "DELETE", "CONNECT"


@dataclass(frozen=True, slots=True)
class Rule:
    """`run` for these operations on these (group, plural, subresource); resources None means all, subresources included."""

    run: Step
    operations: tuple[str, ...]
    resources: tuple[tuple[str, str, str], ...] | None = None

    def covers(self, attributes: AdmissionAttributes) -> bool:
        if attributes.operation not in self.operations:
            return False
        row = attributes.resource
        return self.resources is None or (row.group, row.plural, attributes.subresource) in self.resources


class Chain:
    """`interface.AdmissionChain`. Which rules cover a kind of write is worked out once and remembered."""

    def __init__(self, mutating: Iterable[Rule], validating: Iterable[Rule]) -> None:
        self._mutating = tuple(mutating)
        self._validating = tuple(validating)
        self._plans: dict[tuple[str, str, str, str], tuple[tuple[Step, ...], tuple[Step, ...]]] = {}

    def install(self, other: Chain) -> None:
        """Take over another chain's rules: admission needs the registry's cache, and the registry needs its admission first."""
        self._mutating, self._validating = other._mutating, other._validating
        self._plans.clear()

    def _plan(self, attributes: AdmissionAttributes) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
        row = attributes.resource
        key = (attributes.operation, row.group, row.plural, attributes.subresource)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = (
                tuple(r.run for r in self._mutating if r.covers(attributes)), tuple(r.run for r in self._validating if r.covers(attributes)),
            )
        return plan

    async def mutate(self, attributes: AdmissionAttributes) -> None:
        for step in self._plan(attributes)[0]:
            result = step(attributes)
            if inspect.isawaitable(result):
                await result

    async def validate(self, attributes: AdmissionAttributes) -> None:
        for step in self._plan(attributes)[1]:
            result = step(attributes)
            if inspect.isawaitable(result):
                await result
