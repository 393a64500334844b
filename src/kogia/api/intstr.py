"""`intstr.IntOrString`: a number, or a text that is a percentage (rolling updates, budgets) or a name (ports).

Source: k8s.io/apimachinery pkg/util/intstr.
"""

from __future__ import annotations

import re

_PERCENT = re.compile(r"[+-]?[0-9]+%\Z", re.ASCII)


def is_percent(value: int | str) -> bool:
    return isinstance(value, str) and _PERCENT.match(value) is not None


def scaled_value(value: int | str, total: int, *, round_up: bool) -> int:
    """The number `value` stands for, percentages taken of `total`.

    Errors: ValueError, in Kubernetes' words, when a text is no percentage.
    Source: intstr.GetScaledValueFromIntOrPercent.
    """
    if isinstance(value, int):
        return value
    if not value.endswith("%"):
        raise ValueError("invalid value for IntOrString: invalid type: string is not a percentage")
    if not _PERCENT.match(value):
        raise ValueError(f'invalid value for IntOrString: invalid value "{value}": strconv.Atoi: parsing "{value[:-1]}": invalid syntax')
    share = int(value[:-1]) * total
    return -(-share // 100) if round_up else share // 100


def int_value(value: int | str) -> int:
    """The plain number, 0 for texts that are none. Source: IntOrString.IntValue."""
    if isinstance(value, int):
        return value
    try:
        return int(value)
    except ValueError:
        return 0
