"""Finding where a function bends sharply, without being told."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.records import InputError
from headwater.theory import find_kinks


@given(st.floats(-30.0, 30.0), st.floats(0.1, 5.0))
def test_a_jump_is_found_wherever_it_is(place: float, height: float) -> None:
    assert find_kinks(lambda x: np.where(x > place, height, 0.0)) == pytest.approx((place,), abs=2e-9)


@given(st.floats(-30.0, 30.0))
def test_a_bend_is_found_wherever_it_is(place: float) -> None:
    assert find_kinks(lambda x: np.abs(x - place)) == pytest.approx((place,), abs=1e-5)


def test_a_bend_is_found_as_well_as_a_jump_once_the_derivative_is_there() -> None:
    assert find_kinks(np.abs) != (0.0,)
    assert find_kinks(np.abs, np.sign) == (0.0,)


def test_two_jumps_stay_two() -> None:
    assert find_kinks(lambda x: np.where((x > 0.0) & (x < 0.05), 1.0, 0.0)) == (0.0, 0.05)


@pytest.mark.parametrize(
    "function", [np.sin, np.tanh, np.exp, np.zeros_like, lambda x: x**3, lambda x: np.exp(-(x**2))]
)
def test_a_smooth_function_has_none(function: object) -> None:
    assert callable(function)
    assert find_kinks(function) == ()


def test_a_bend_too_sharp_for_quadrature_counts_as_a_kink() -> None:
    (kink,) = find_kinks(lambda x: np.tanh(1e4 * (x - 2.0)))
    assert kink == pytest.approx(2.0, abs=1e-3)


def test_a_function_that_is_undefined_far_out_still_has_its_kinks() -> None:
    with np.errstate(invalid="ignore"):
        assert find_kinks(lambda x: np.where(x > 1.0, 1.0, 0.0) + 0.0 * np.sqrt(20.0 - x)) == (1.0,)


def test_a_noisy_function_is_refused() -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(InputError, match=r"more than 32 places.*kinks=\(0\.0,\)"):
        find_kinks(lambda x: np.sin(x) + 1e-6 * generator.random(x.shape))
