"""`resource.Quantity`: exact amounts with suffixes, printed back in the one canonical way Kubernetes prints them.

A `Quantity` is an exact decimal and the family of suffixes it was written in; arithmetic keeps the left side's family.
No dependencies and cheap to import: the command line and the scheduler use it.

Source: k8s.io/apimachinery pkg/api/resource (ParseQuantity, CanonicalizeBytes, suffixes).
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Context, Decimal, localcontext
from functools import lru_cache, total_ordering
from typing import Any

DECIMAL_SI = "DecimalSI"
BINARY_SI = "BinarySI"
DECIMAL_EXPONENT = "DecimalExponent"

FORMAT_ERROR = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_PARTS = re.compile(r"([+-]?)([0-9]*)(\.?)([0-9]*)([eEinumkKMGTP]*[-+]?[0-9]*)\Z", re.ASCII)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_NAMES = {power: name for name, power in _DECIMAL.items()}
_BINARY_NAMES = {power: name for name, power in _BINARY.items()}
_EXACT = Context(prec=400)
_NANO = Decimal("1e-9")
_LIMIT = Decimal(2**63 - 1)
_MAX_LENGTH = 256


class QuantityError(ValueError):
    """The text is no quantity; the message is Kubernetes'."""

    def __init__(self, message: str = FORMAT_ERROR) -> None:
        super().__init__(message)


@total_ordering
class Quantity:
    """An exact amount. Immutable, hashable by value; equal when the amounts are equal, whatever the suffixes."""

    __slots__ = ("format", "value_exact")

    def __init__(self, value: Decimal | int, format: str = DECIMAL_SI) -> None:
        self.value_exact = Decimal(value) if isinstance(value, int) else value
        self.format = format

    def value(self) -> int:
        """Whole units, rounded away from zero."""
        return _round_away(self.value_exact)

    def milli(self) -> int:
        """Thousandths, rounded away from zero."""
        return _round_away(self.value_exact.scaleb(3, _EXACT))

    def is_zero(self) -> bool:
        return not self.value_exact

    def sign(self) -> int:
        return (self.value_exact > 0) - (self.value_exact < 0)

    def __add__(self, other: Quantity) -> Quantity:
        format = other.format if not self.value_exact else self.format
        return Quantity(_EXACT.add(self.value_exact, other.value_exact), format)

    def __sub__(self, other: Quantity) -> Quantity:
        format = other.format if not self.value_exact else self.format
        return Quantity(_EXACT.subtract(self.value_exact, other.value_exact), format)

    def __neg__(self) -> Quantity:
        return Quantity(-self.value_exact, self.format)

    def __mul__(self, factor: int) -> Quantity:
        return Quantity(_EXACT.multiply(self.value_exact, Decimal(factor)), self.format)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.value_exact == other.value_exact

    def __lt__(self, other: Quantity) -> bool:
        return self.value_exact < other.value_exact

    def __hash__(self) -> int:
        return hash(self.value_exact)

    def __str__(self) -> str:
        return _format(self.value_exact, self.format)

    def __repr__(self) -> str:
        return f"Quantity({str(self)!r})"


def _round_away(amount: Decimal) -> int:
    whole = amount.copy_abs().to_integral_value(ROUND_CEILING, _EXACT)
    return -int(whole) if amount < 0 else int(whole)


@lru_cache(maxsize=4096)
def _parse_text(text: str) -> Quantity:
    if not text:
        raise QuantityError()
    if len(text) > _MAX_LENGTH:
        raise QuantityError("unable to parse quantity's suffix" if text.isascii() else FORMAT_ERROR)
    match = _PARTS.match(text)
    if match is None or not (match[2] or match[4]):
        raise QuantityError()
    sign, whole, _, fraction, suffix = match.groups()
    with localcontext(_EXACT):
        number = Decimal(f"{sign}{whole or '0'}.{fraction or '0'}")
        if suffix in _DECIMAL:
            format, amount = DECIMAL_SI, number.scaleb(_DECIMAL[suffix])
        elif suffix in _BINARY:
            format, amount = BINARY_SI, number * (1 << _BINARY[suffix])
        else:
            if not re.fullmatch(r"[eE][-+]?[0-9]+", suffix):
                raise QuantityError("unable to parse quantity's suffix")
            exponent = max(-100, min(100, int(suffix[1:])))
            format, amount = DECIMAL_EXPONENT, number.scaleb(exponent)
        size = amount.copy_abs()
        if format == BINARY_SI and size > _LIMIT:
            size = _LIMIT
        if size and size != size.quantize(_NANO):
            size = size.quantize(_NANO, rounding=ROUND_CEILING)
        amount = -size if amount < 0 else size
        if format == BINARY_SI and 0 < size < 1:
            format = DECIMAL_SI
    return Quantity(amount, format)


def parse(text: str | int | float | Decimal) -> Quantity:
    """Parse what JSON or YAML may hold for a quantity. Fractions below 1n are rounded up; binary amounts are capped at 2^63-1.

    Errors: QuantityError with Kubernetes' message.
    Source: resource.ParseQuantity.
    """
    if isinstance(text, str):
        return _parse_text(text)
    if isinstance(text, bool) or not isinstance(text, (int, float, Decimal)):
        raise QuantityError()
    if isinstance(text, float):
        return _parse_text(_float_text(text))
    return _parse_text(str(text))


def _float_text(number: float) -> str:
    if number != number or number in (float("inf"), float("-inf")):
        raise QuantityError()
    return str(int(number)) if number == int(number) and abs(number) < 1e15 else repr(number)


def _format(amount: Decimal, format: str) -> str:
    if not amount:
        return "0"
    if format == BINARY_SI:
        if amount.copy_abs() < 1024 or amount != amount.to_integral_value(context=_EXACT):
            return _format_decimal(amount, DECIMAL_SI)
        whole = int(amount)
        power = 0
        while whole % 1024 == 0 and power < 60:
            whole //= 1024
            power += 10
        return f"{whole}{_BINARY_NAMES[power] if power else ''}"
    return _format_decimal(amount, format)


def _format_decimal(amount: Decimal, format: str) -> str:
    sign, digits, exponent = amount.normalize(_EXACT).as_tuple()
    number = int("".join(map(str, digits)))
    assert isinstance(exponent, int)
    top = 18 if format == DECIMAL_SI else exponent
    shift = exponent - exponent % 3
    shift = max(-9, min(shift, top))
    number *= 10 ** (exponent - shift)
    text = f"-{number}" if sign else str(number)
    if format == DECIMAL_EXPONENT:
        return f"{text}e{shift}" if shift else text
    return text + _DECIMAL_NAMES[shift]


@lru_cache(maxsize=4096)
def _canonical_text(text: str) -> str:
    return str(_parse_text(text))


def canonical(text: str | int | float) -> str:
    """The text Kubernetes would print after reading `text`: `1000m` -> `1`, `0.5` -> `500m`, `1024Mi` -> `1Gi`.

    Errors: QuantityError.
    """
    return _canonical_text(text) if type(text) is str else str(parse(text))


def milli_value(text: str | int | float) -> int:
    """Thousandths of a unit, rounded up (the scheduler's and kubelet's CPU unit). Errors: QuantityError."""
    return parse(text).milli()


def int_value(text: str | int | float) -> int:
    """Whole units, rounded up (bytes, Pods, devices). Errors: QuantityError."""
    return parse(text).value()


def add_lists(total: dict[str, Any], more: dict[str, Any]) -> dict[str, str]:
    """Sum two ResourceLists ({name: quantity text}) into a new one of canonical texts."""
    summed = {name: parse(text) for name, text in total.items()}
    for name, text in more.items():
        amount = parse(text)
        summed[name] = summed[name] + amount if name in summed else amount
    return {name: str(amount) for name, amount in summed.items()}
