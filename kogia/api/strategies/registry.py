"""Which strategy serves which kind: the one list that knows all modules of this folder."""

from __future__ import annotations

from kogia.api.strategies.base import KindStrategy

STRATEGIES: dict[tuple[str, str, str], type[KindStrategy]] = {}
