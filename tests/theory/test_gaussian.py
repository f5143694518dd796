"""Expectations over one and over two normal variables against closed forms."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from headwater.theory import expectation, expectation_of_pair, mean_squared_difference

CORRELATIONS = [-1.0, -0.999999, -0.9, -0.3, 0.0, 0.3, 0.9, 0.9999, 1 - 1e-6, 1 - 1e-8, 1.0]


def relu(z: np.ndarray) -> np.ndarray:
    return np.maximum(z, 0.0)


def decorrelation_of_relu(d: float) -> float:
    """1 - C(1 - d) of He-initialised ReLU layers, d - (sin θ - θ cos θ)/π with cos θ = 1 - d, to full precision."""
    theta = 2.0 * math.asin(math.sqrt(d / 2.0))
    if theta > 0.05:
        return d - (math.sin(theta) - theta * math.cos(theta)) / math.pi
    return d - (theta**3 / 3.0 - theta**5 / 30.0 + theta**7 / 840.0) / math.pi


@pytest.mark.parametrize(("power", "moment"), [(0, 1), (1, 0), (2, 1), (3, 0), (4, 3), (6, 15), (8, 105)])
def test_expectation_of_powers(power: int, moment: int) -> None:
    assert expectation(lambda z: z**power) == pytest.approx(moment, rel=1e-12, abs=1e-12)


def test_expectation_across_a_jump_needs_its_place() -> None:
    above = math.erfc(0.3 / math.sqrt(2.0)) / 2
    assert expectation(lambda z: np.where(z > 0.3, 1.0, 0.0), kinks=(0.3,)) == pytest.approx(above, abs=1e-13)
    assert expectation(lambda z: np.where(z > 0.3, 1.0, 0.0)) != pytest.approx(above, abs=1e-6)
    assert expectation(lambda z: z**2, kinks=(-50.0, 13.0, 0.0, 0.0)) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_expectation_of_what_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"not finite on \[-13, 13\]"):
        expectation(lambda z: np.where(z > 12.0, value, 0.0))
    with pytest.raises(ValueError, match="not finite"):
        expectation_of_pair(lambda z: np.where(z > 5.0, value, 0.0), relu, 0.5)
    with pytest.raises(ValueError, match="not finite"):
        mean_squared_difference(lambda z: np.where(z > 5.0, value, 0.0), 0.5)


@pytest.mark.parametrize("c", CORRELATIONS)
def test_pair_of_relu_is_the_arc_cosine_kernel(c: float) -> None:
    kernel = (math.sqrt(1.0 - c * c) + c * (math.pi - math.acos(c))) / math.pi
    assert 2.0 * expectation_of_pair(relu, relu, c, (0.0,), (0.0,)) == pytest.approx(kernel, abs=2e-14)


@pytest.mark.parametrize("d", [2.0, 1.0, 0.3, 1e-3, 1e-6, 1e-8, 1e-12])
def test_squared_difference_of_relu_keeps_its_digits_near_c_1(d: float) -> None:
    assert mean_squared_difference(relu, d, (0.0,)) == pytest.approx(decorrelation_of_relu(d), rel=1e-10)


@pytest.mark.parametrize("c", CORRELATIONS)
def test_pair_of_signs_is_the_arc_sine_law(c: float) -> None:
    pair = expectation_of_pair(np.sign, np.sign, c, (0.0,), (0.0,))
    assert pair == pytest.approx(2.0 / math.pi * math.asin(c), abs=1e-12)


@pytest.mark.parametrize("q", [0.01, 1.0, 4.0])
@pytest.mark.parametrize("c", CORRELATIONS)
def test_pair_of_error_functions_is_the_arc_sine_kernel(c: float, q: float) -> None:
    def erf(z: np.ndarray) -> np.ndarray:
        values: np.ndarray = special.erf(math.sqrt(q) * z)
        return values

    kernel = 2.0 / math.pi * math.asin(2.0 * q * c / (1.0 + 2.0 * q))
    assert expectation_of_pair(erf, erf, c) == pytest.approx(kernel, abs=1e-13)


@pytest.mark.parametrize("c", [-0.7, 0.0, 0.5, 0.99])
@pytest.mark.parametrize(("m", "n"), [(0, 0), (1, 1), (2, 2), (3, 3), (1, 3), (2, 4), (4, 4)])
def test_pair_of_hermite_polynomials_is_orthogonal(c: float, m: int, n: int) -> None:
    first, second = special.hermitenorm(m), special.hermitenorm(n)
    wanted = math.factorial(n) * c**n if m == n else 0.0
    assert expectation_of_pair(first, second, c) == pytest.approx(wanted, abs=1e-10)


def clipped(low: float, high: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda z: np.clip(z, low, high)


@settings(max_examples=40)
@given(st.floats(-2.0, 2.0), st.floats(-2.0, 2.0), st.floats(0.0, 1.0))
def test_pair_with_kinks_anywhere_agrees_with_the_squared_difference(low: float, high: float, c: float) -> None:
    low, high = min(low, high), max(low, high)
    f, kinks = clipped(low, high), (low, high)
    square = expectation(lambda z: f(z) ** 2, kinks)
    product = expectation_of_pair(f, f, c, kinks, kinks)
    assert mean_squared_difference(f, 1.0 - c, kinks) == pytest.approx(2.0 * (square - product), abs=1e-12)


def test_pair_of_two_functions_keeps_their_kinks_apart() -> None:
    # P(u₁ > 0.5, u₂ > -1) at c = 0 is a product, and E[f(u₁)g(u₂)] does not change with f and g exchanged.
    def step(place: float) -> Callable[[np.ndarray], np.ndarray]:
        return lambda z: np.where(z > place, 1.0, 0.0)

    both = math.erfc(0.5 / math.sqrt(2.0)) * math.erfc(-1.0 / math.sqrt(2.0)) / 4.0
    assert expectation_of_pair(step(0.5), step(-1.0), 0.0, (0.5,), (-1.0,)) == pytest.approx(both, abs=1e-13)
    for c in (-0.8, 0.4, 0.999):
        one = expectation_of_pair(step(0.5), step(-1.0), c, (0.5,), (-1.0,))
        assert expectation_of_pair(step(-1.0), step(0.5), c, (-1.0,), (0.5,)) == pytest.approx(one, abs=1e-13)


@pytest.mark.parametrize("c", [-1.1, 1.0000001, math.nan])
def test_what_is_no_correlation_is_refused(c: float) -> None:
    with pytest.raises(ValueError, match="c is a correlation, from -1 to 1"):
        expectation_of_pair(relu, relu, c)
    with pytest.raises(ValueError, match="decorrelation is 1 - c, from 0 to 2"):
        mean_squared_difference(relu, 1.0 - c)
