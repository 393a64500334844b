"""Exponential back-off as a value: pure, so that a test can read the whole sequence."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Delays of `initial_s`, times `factor` each step, never above `max_s`; `jitter` adds up to that share on top."""

    initial_s: float
    max_s: float
    factor: float = 2.0
    jitter: float = 0.0
    steps: int = 0

    def next(self) -> float:
        """The delay to wait now, in seconds; moves one step on."""
        delay = min(self.max_s, self.initial_s * self.factor**self.steps)
        if delay < self.max_s:
            self.steps += 1
        return delay * (1 + random.random() * self.jitter) if self.jitter else delay

    def reset(self) -> None:
        self.steps = 0
