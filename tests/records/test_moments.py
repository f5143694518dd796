"""However numbers are split, ordered and grouped, merging their summaries says what is true of them all."""

import dataclasses
import math
import random
import statistics
import sys
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headwater.kernels.reference import moments
from headwater.records import Moments
from tests.records.strategies import EDGES, numbers

EXACT_FIELDS = ("count", "nan_count", "inf_count", "zero_count", "subnormal_count", "exponent", "min", "max")
TOLERANCE = Fraction(1, 10**12)
TINY = sys.float_info.min
MAX = sys.float_info.max
PARTS = st.lists(st.lists(numbers, max_size=6), max_size=7)


def summary(values: list[float]) -> Moments:
    return moments(values, tiny=TINY)


def merged(parts: list[Moments], choice: random.Random) -> Moments:
    """All parts merged two at a time, in an order and a grouping that ``choice`` makes up."""
    left = list(parts)
    while len(left) > 1:
        a = left.pop(choice.randrange(len(left)))
        b = left.pop(choice.randrange(len(left)))
        left.append(a.merge(b))
    return left[0] if left else Moments()


def assert_describes(result: Moments, values: list[float]) -> None:
    """Hold a summary against exact rational arithmetic over the numbers themselves."""
    finite = [Fraction(value) for value in values if math.isfinite(value)]
    nonzero = [value for value in finite if value]
    assert result.count == len(values)
    assert result.nan_count == sum(map(math.isnan, values))
    assert result.inf_count == sum(map(math.isinf, values))
    assert result.finite_count == len(finite)
    assert result.zero_count == len(finite) - len(nonzero)
    assert result.subnormal_count == sum(abs(value) < Fraction(TINY) for value in nonzero)
    assert result.log2_histogram == tuple(sorted(Counter(floor_log2(abs(value)) for value in nonzero).items()))
    if not finite:
        assert (result.min, result.max, result.mean, result.abs_mean, result.rms, result.std) == (None,) * 6
        return
    assert (result.min, result.max) == (min(finite), max(finite))
    n, unit = len(finite), Fraction(2) ** result.exponent
    mean = sum(finite) / n
    abs_mean = sum(map(abs, finite)) / n
    mean_square = sum(value * value for value in finite) / n
    assert abs(Fraction(result.scaled_mean) * unit - mean) <= TOLERANCE * abs_mean
    assert abs(Fraction(result.scaled_abs_mean) * unit - abs_mean) <= TOLERANCE * abs_mean
    m2 = Fraction(result.scaled_m2) * unit**2
    assert abs(m2 / n + (Fraction(result.scaled_mean) * unit) ** 2 - mean_square) <= TOLERANCE * mean_square
    if mean_square:
        exact_m2 = sum((value - mean) ** 2 for value in finite)
        std, exact_std = (math.sqrt(squares / n / mean_square) for squares in (m2, exact_m2))
        assert std == pytest.approx(exact_std, abs=float(TOLERANCE))  # both over the rms
        assert result.log10_rms == pytest.approx(log10(mean_square) / 2, abs=float(TOLERANCE))
    # The properties round once more, to a number that float64 has.
    for value, exact, scale in ((result.mean, mean, abs_mean), (result.abs_mean, abs_mean, abs_mean)):
        assert value is not None
        assert abs(Fraction(value) - exact) <= TOLERANCE * scale + Fraction(5e-324)
    assert result.rms is not None
    assert root(mean_square) == pytest.approx(result.rms, rel=float(TOLERANCE), abs=5e-324)


def floor_log2(value: Fraction) -> int:
    guess = value.numerator.bit_length() - value.denominator.bit_length()
    return guess if Fraction(2) ** guess <= value else guess - 1


def log10(value: Fraction) -> float:
    shift = floor_log2(value)
    return math.log10(value / Fraction(2) ** shift) + shift * math.log10(2.0)


def root(value: Fraction) -> float:
    """The square root of a number whose root is a float64, though it may not be one itself."""
    shift = floor_log2(value) // 2 if value else 0
    return math.ldexp(math.sqrt(value / Fraction(4) ** shift), shift)


@settings(max_examples=400)
@given(PARTS, st.randoms(use_true_random=False))
@example([[], [1e-300], []], random.Random(0))
@example([[1e-300] * 3, [1e300]], random.Random(0))
@example([[0.0], [5e-324], [math.nan]], random.Random(0))
@example([[MAX] * 3, [-MAX] * 2], random.Random(0))
@example([[math.inf], [-math.inf], [math.nan]], random.Random(0))
def test_any_grouping_and_order_describes_the_whole(parts: list[list[float]], choice: random.Random) -> None:
    whole = [value for part in parts for value in part]
    result, direct = merged([summary(part) for part in parts], choice), summary(whole)
    for name in (*EXACT_FIELDS, "log2_histogram"):
        assert getattr(result, name) == getattr(direct, name), name
    assert_describes(result, whole)
    assert_describes(direct, whole)


@given(PARTS)
def test_merge_all_is_merging_one_after_the_other(parts: list[list[float]]) -> None:
    assert_describes(Moments.merge_all([summary(part) for part in parts]), [value for part in parts for value in part])


@given(st.lists(numbers), st.lists(numbers))
def test_merge_gives_the_same_both_ways_round(a: list[float], b: list[float]) -> None:
    forth, back = summary(a).merge(summary(b)), summary(b).merge(summary(a))
    assert forth == dataclasses.replace(
        back, scaled_mean=forth.scaled_mean, scaled_abs_mean=forth.scaled_abs_mean, scaled_m2=forth.scaled_m2
    )
    assert_describes(back, [*a, *b])


@given(st.lists(numbers))
def test_merge_with_nothing_changes_nothing(values: list[float]) -> None:
    assert summary(values).merge(Moments()) == summary(values) == Moments().merge(summary(values))
    assert Moments.merge_all([]) == Moments()


@pytest.mark.parametrize("parts", [1, 2, 7])
@pytest.mark.parametrize("value", [value for value in EDGES if math.isfinite(value)])
def test_rms_of_equal_numbers_is_their_magnitude(value: float, parts: int) -> None:
    result = Moments.merge_all([summary([value] * 13)] * parts)
    assert result.rms == pytest.approx(abs(value), rel=1e-14, abs=0.0)
    assert result.mean == pytest.approx(value, rel=1e-14, abs=0.0)
    assert result.abs_max == abs(value)
    assert result.std == pytest.approx(0.0, abs=1e-14 * abs(value))


def test_numbers_are_as_computed_by_hand() -> None:
    result = summary([3.0, math.nan]).merge(summary([-4.0, 0.0, -math.inf]))
    assert (result.count, result.finite_count, result.nonfinite_count) == (5, 3, 2)
    assert (result.min, result.max, result.abs_max) == (-4.0, 3.0, 4.0)
    assert result.mean == pytest.approx(-1 / 3)
    assert result.abs_mean == pytest.approx(7 / 3)
    assert result.rms == pytest.approx(math.sqrt(25 / 3))
    assert result.norm == pytest.approx(5.0)
    assert result.std == pytest.approx(statistics.stdev([3.0, -4.0, 0.0]))
    assert result.log10_rms == pytest.approx(math.log10(25 / 3) / 2)
    assert result.log10_norm == pytest.approx(math.log10(5.0))
    assert result.zero_fraction == pytest.approx(1 / 5)
    assert result.subnormal_fraction == 0.0
    assert result.log2_histogram == ((1, 1), (2, 1))


def test_subnormal_fraction_counts_all_elements() -> None:
    assert moments([1e-40, 1.0, 0.0, math.nan]).subnormal_fraction == pytest.approx(1 / 4)  # of float32


def test_statistics_of_nothing_are_none() -> None:
    for empty in (Moments(), summary([]), summary([math.nan, math.inf])):
        for name in ("mean", "abs_mean", "rms", "norm", "std", "abs_max", "log10_rms", "log10_norm"):
            assert getattr(empty, name) is None
    assert Moments().zero_fraction is None
    assert Moments().subnormal_fraction is None
    assert summary([1.0]).std is None


def test_log10_of_zeros_is_minus_infinity() -> None:
    assert summary([0.0, -0.0]).log10_rms == summary([0.0]).log10_norm == -math.inf
    assert summary([0.0]).rms == 0.0


def test_log10_survives_where_the_rms_is_no_float64() -> None:
    lonely = summary([5e-324]).merge(summary([0.0] * 99))
    assert lonely.rms == 0.0  # a tenth of the smallest float64
    assert lonely.log10_rms == pytest.approx(math.log10(5e-324) - 1, abs=1e-12)
    many = summary([1e308] * 10_000)
    assert many.norm == math.inf
    assert many.log10_norm == pytest.approx(310.0, abs=1e-12)


def test_mean_square_of_mixed_scales_keeps_the_large_ones() -> None:
    result = summary([1e-300] * 5).merge(summary([1e300]))
    assert result.rms == pytest.approx(1e300 / math.sqrt(6), rel=1e-14)
    assert result.min == 1e-300


@settings(max_examples=300)
@given(st.lists(st.sampled_from([MAX, math.nextafter(MAX, 0.0), -MAX]), min_size=1, max_size=9), st.randoms())
def test_no_mean_passes_the_largest_element(values: list[float], choice: random.Random) -> None:
    result = merged([summary([value]) for value in values], choice)
    for value in (result.mean, result.abs_mean, result.rms):
        assert value is not None
        assert abs(value) <= MAX


@pytest.mark.parametrize(
    ("after", "before", "ratio"),
    [
        ([6.0, 8.0], [5.0, 5.0], math.sqrt(2.0)),
        ([1e-300], [1e-310], 1e10),
        ([1e300], [1e-300], math.inf),
        ([1e-300], [1e300], 0.0),
        ([0.0], [2.0], 0.0),
        ([2.0], [0.0], None),
        ([], [2.0], None),
        ([2.0], [math.nan], None),
        ([5e-324] + [0.0] * 99, [5e-324] + [0.0] * 99, 1.0),  # neither rms is a float64
    ],
)
def test_rms_over_is_the_ratio(after: list[float], before: list[float], ratio: float | None) -> None:
    assert summary(after).rms_over(summary(before)) == (None if ratio is None else pytest.approx(ratio, rel=1e-12))
