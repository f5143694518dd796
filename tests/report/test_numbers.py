import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.i18n import number
from headwater.report.numbers import decades, number_from_log10, percent_digits, signed, whole_percents
from headwater.report.svg import decade_ticks, linear_ticks, runs

finite = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1.3e-26, "1.3e-26"),
        (0.0, "0"),
        (-0.0, "0"),
        (0, "0"),
        (5e-324, "4.9e-324"),
        (0.24837, "0.248"),
        (-0.5, "-0.5"),
        (12_800, "12,800"),
        (12_800.4, "12,800"),
        (3.2e9, "3.2e9"),
        (1e-4, "1.0e-4"),
        (math.nan, "NaN"),
        (math.inf, "Inf"),
        (-math.inf, "-Inf"),
        (None, "–"),
        ("SGD", "SGD"),
    ],
)
def test_number_reads(value: float | int | str | None, shown: str) -> None:
    assert number(value) == shown


@given(finite)
def test_number_is_zero_only_for_zero(value: float) -> None:
    shown = number(value)
    assert (float(shown.replace(",", "")) == 0) == (value == 0)
    assert len(shown) <= 9


@given(st.floats(-5000, 5000))
def test_number_from_log10_never_runs_out(log10: float) -> None:
    mantissa, _, exponent = number_from_log10(log10).replace(",", "").partition("e")
    assert math.log10(float(mantissa)) + int(exponent or 0) == pytest.approx(log10, abs=0.03)


@pytest.mark.parametrize(
    ("log10", "shown"), [(-math.inf, "0"), (None, "–"), (math.inf, "Inf"), (-400.0, "1.0e-400"), (math.nan, "NaN")]
)
def test_number_from_log10_at_the_edges(log10: float | None, shown: str) -> None:
    assert number_from_log10(log10) == shown


def test_signed_and_decades_carry_their_sign() -> None:
    assert [signed(0.5), signed(-0.5), signed(0.0)] == ["+0.5", "-0.5", "0"]
    assert [decades(-25.31), decades(3.0), decades(0.001), decades(0.0), decades(math.nan)] == [
        "-25.3",
        "+3.0",
        "+0.001",
        "0",
        "NaN",
    ]


@pytest.mark.parametrize(
    ("share", "shown"), [(0.0, "0"), (1e-9, "<0.1"), (0.5, "50"), (0.998, "99.8"), (1 - 1e-7, ">99.9"), (1.0, "100")]
)
def test_percent_never_rounds_to_nothing_or_all(share: float, shown: str) -> None:
    assert percent_digits(share) == shown


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=12))
def test_whole_percents_keep_the_sum(parts: list[float]) -> None:
    rest = [*parts, 1 - math.fsum(parts)]
    wholes = whole_percents(rest)
    assert sum(wholes) == 100
    assert all(abs(whole - 100 * part) <= 1 + 1e-9 for whole, part in zip(wholes, rest, strict=True))


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(1, 12))
def test_linear_ticks_lie_inside(low: float, width: float, most: int) -> None:
    high = low + width
    ticks = linear_ticks(low, high, most)
    slack = width * 1e-6 + abs(low) * 1e-9
    assert all(low - slack <= tick <= high + slack for tick in ticks)
    assert len(ticks) <= 2 * most + 2


def test_decade_ticks_are_few() -> None:
    assert decade_ticks(-3.0, 0.0, 8) == [-3, -2, -1, 0]
    assert len(decade_ticks(-400.0, 3.0, 8)) <= 9


def test_runs_join_neighbours() -> None:
    assert runs([1, 2, 3, 7]) == [(1, 3), (7, 7)]
    assert runs([]) == []
