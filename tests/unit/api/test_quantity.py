"""Quantities: Kubernetes' canonical forms, exact arithmetic, rounding up."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kogia.api import intstr, quantity
from kogia.api.quantity import Quantity, QuantityError, parse


@pytest.mark.parametrize(("text", "canonical"), [
    ("1000m", "1"), ("0.5", "500m"), (0.5, "500m"), (2, "2"), ("1024Mi", "1Gi"), ("1.5Gi", "1536Mi"), ("0.1Gi", "107374182400m"),
    ("1000Ki", "1000Ki"), ("1e3", "1e3"), ("12E", "12E"), ("1500e0", "1500"), ("100e-3", "100e-3"), ("0", "0"), ("0Mi", "0"), ("-1.5", "-1500m"),
    ("0.1n", "1n"), ("1.", "1"), (".5", "500m"), ("+3", "3"), ("5000k", "5M"), ("128974848", "128974848"), ("129e6", "129e6"), ("129M", "129M"),
    ("123Mi", "123Mi"), ("512", "512"), ("0.5Ki", "512"), ("100000000000000000000", "100E"), ("16Ei", "9223372036854775807"), ("1023Ki", "1023Ki"),
])
def test_canonical_form(text: str | float, canonical: str) -> None:
    assert quantity.canonical(text) == canonical


@pytest.mark.parametrize("text", ["", "a", "1.2.3", "+", "--1", "1 ", " 1", "m", ".", "1,5", True, None, float("nan")])
def test_no_quantity(text: object) -> None:
    with pytest.raises(QuantityError, match="quantities must match the regular expression"):
        parse(text)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["1ki", "1KiB", "1e", "1mm", "1Kii"])
def test_unknown_suffix(text: str) -> None:
    with pytest.raises(QuantityError):
        parse(text)


def test_rounds_up() -> None:
    assert (quantity.int_value("1.1"), quantity.milli_value("0.1m"), quantity.int_value("-1.5"), quantity.milli_value("2")) == (2, 1, -2, 2000)


def test_arithmetic_keeps_the_left_family_unless_zero() -> None:
    assert str(parse("1Gi") + parse("1")) == "1073741825"
    assert str(parse("1Gi") + parse("512Mi")) == "1536Mi"
    assert str(parse("0") + parse("1Gi")) == "1Gi"
    assert str(parse("1") - parse("100m")) == "900m"
    assert str(-parse("1")) == "-1" and str(parse("100m") * 3) == "300m"


def test_comparison_ignores_the_suffix() -> None:
    assert parse("1") == parse("1000m") and hash(parse("1")) == hash(parse("1000m"))
    assert parse("1Ki") > parse("1k") and parse("-1") < parse("0") and parse("0").is_zero() and parse("-1").sign() == -1


def test_resource_lists_add_up() -> None:
    assert quantity.add_lists({"cpu": "500m", "memory": "1Gi"}, {"cpu": "1", "pods": "3"}) == {"cpu": "1500m", "memory": "1Gi", "pods": "3"}


_suffixes = st.sampled_from(["", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "E-3", "e0"])
_texts = st.builds(lambda sign, a, b, suffix: f"{sign}{a}{b}{suffix}", st.sampled_from(["", "-", "+"]), st.integers(0, 10**9),
                   st.sampled_from(["", ".5", ".25", ".001", ".123456789"]), _suffixes)


@given(_texts)
def test_canonical_is_stable_and_keeps_the_amount(text: str) -> None:
    once = quantity.canonical(text)
    assert quantity.canonical(once) == once
    assert parse(once) == parse(text)


@given(_texts, _texts)
def test_addition_is_exact_and_invertible(a: str, b: str) -> None:
    total = parse(a) + parse(b)
    assert total.value_exact == parse(a).value_exact + parse(b).value_exact
    assert total - parse(b) == parse(a)


@given(st.decimals(min_value=-10**9, max_value=10**9, places=9))
def test_milli_never_rounds_towards_zero(amount: Decimal) -> None:
    milli = Quantity(amount).milli()
    assert abs(milli) >= abs(amount * 1000) and abs(milli) - abs(amount * 1000) < 1


@pytest.mark.parametrize(("value", "total", "up", "result"), [(3, 10, True, 3), ("25%", 10, True, 3), ("25%", 10, False, 2), ("0%", 7, True, 0), ("100%", 7, False, 7)])
def test_percentages(value: int | str, total: int, up: bool, result: int) -> None:
    assert intstr.scaled_value(value, total, round_up=up) == result


@pytest.mark.parametrize("value", ["5", "x%", "%", "1.5%"])
def test_no_percentage(value: str) -> None:
    with pytest.raises(ValueError, match="invalid value for IntOrString"):
        intstr.scaled_value(value, 10, round_up=True)
