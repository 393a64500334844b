"""Per-kind rules: `strategy_for(resource)` gives defaulting, validation, update rules and field selectors of one kind.

`base.py` holds the rules most kinds share; every other module holds kinds that have their own. Pure: no I/O, no clock.
"""

from __future__ import annotations

from functools import cache

from kogia.api.kinds import ResourceInfo
from kogia.api.strategies.base import KindStrategy
from kogia.api.strategies.registry import STRATEGIES


@cache
def strategy_for(resource: ResourceInfo) -> KindStrategy:
    """The strategy of `resource`'s kind, working on objects in `resource`'s version; the general one for kinds without their own."""
    chosen = STRATEGIES.get((resource.group, resource.version, resource.kind), KindStrategy)
    return chosen(resource)


__all__ = ["KindStrategy", "strategy_for"]
