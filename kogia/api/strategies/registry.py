"""Which strategy serves which kind: the one list that knows all modules of this folder."""

from __future__ import annotations

from kogia.api.strategies.base import KindStrategy
from kogia.api.strategies.pod import PodStrategy, PodTemplateStrategy

STRATEGIES: dict[tuple[str, str, str], type[KindStrategy]] = {
    ("", "v1", "Pod"): PodStrategy,
    ("", "v1", "PodTemplate"): PodTemplateStrategy,
}
