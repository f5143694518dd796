"""Moments of activations at any variance, against adaptive quadrature, closed forms and each other."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate

from headwater.records import InputError
from headwater.theory import (
    ACTIVATIONS,
    curvature_moment,
    fourth_moment,
    mean,
    nonlinearity,
    second_moment,
    slope_second_moment,
    variance,
)

ALL = (mean, second_moment, variance, slope_second_moment, curvature_moment, fourth_moment)


def adaptively(function: object, q: float, kinks: tuple[float, ...]) -> float:
    """E[f(x)] with x ~ N(0, q), by another method: adaptive quadrature in x from kink to kink."""
    assert callable(function)
    reach = 12.0 * math.sqrt(q)
    edges = [
        -reach,
        *(k for k in kinks if abs(k) < reach),
        *(x for x in (-8.0, -4.0, 0.0, 4.0, 8.0) if abs(x) < reach),
        reach,
    ]
    edges = sorted(set(edges))
    return sum(
        integrate.quad(
            lambda x: float(function(np.array(x))) * math.exp(-x * x / (2.0 * q)) / math.sqrt(2.0 * math.pi * q),
            low,
            high,
            epsabs=1e-13,
            epsrel=1e-12,
            limit=200,
        )[0]
        for low, high in itertools.pairwise(edges)
    )


@pytest.mark.parametrize("q", [0.01, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("id_", ACTIVATIONS)
def test_moments_are_those_of_adaptive_quadrature(id_: str, q: float) -> None:
    f = nonlinearity(id_)
    assert mean(f, q) == pytest.approx(adaptively(f.phi, q, f.kinks), rel=1e-10, abs=1e-11)
    assert second_moment(f, q) == pytest.approx(adaptively(lambda x: f.phi(x) ** 2, q, f.kinks), rel=1e-10)
    slopes = adaptively(lambda x: f.derivative(x) ** 2, q, f.kinks)
    assert slope_second_moment(f, q) == pytest.approx(slopes, rel=1e-10)


@given(st.floats(-2.0, 2.0), st.floats(1e-6, 1e6))
def test_moments_of_leaky_relu_are_its_closed_forms(slope: float, q: float) -> None:
    f = nonlinearity("leaky_relu", negative_slope=slope)
    both = (1.0 + slope**2) / 2.0
    assert second_moment(f, q) == pytest.approx(q * both, rel=1e-12)
    assert slope_second_moment(f, q) == pytest.approx(both, rel=1e-12)
    assert mean(f, q) == pytest.approx((1.0 - slope) * math.sqrt(q / (2.0 * math.pi)), rel=1e-12, abs=1e-12)
    assert fourth_moment(f, q) == pytest.approx(1.5 * (1.0 + slope**4) * q * q, rel=1e-12)
    assert curvature_moment(f, q) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("q", [0.05, 1.0, 20.0])
@pytest.mark.parametrize("id_", ACTIVATIONS)
def test_curvature_is_the_rest_of_the_second_moments_derivative(id_: str, q: float) -> None:
    step = 1e-4 * q
    slope = (second_moment(id_, q + step) - second_moment(id_, q - step)) / (2.0 * step)
    assert slope_second_moment(id_, q) + curvature_moment(id_, q) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("id_", ACTIVATIONS)
def test_variance_is_what_the_mean_leaves_of_the_second_moment(id_: str) -> None:
    assert variance(id_, 2.0) == pytest.approx(second_moment(id_, 2.0) - mean(id_, 2.0) ** 2, rel=1e-11)


def test_variance_survives_a_mean_far_above_it() -> None:
    # σ(x) near 0 is ½ + x/4: the mean's square is 4e12 times the variance.
    assert variance("sigmoid", 1e-12) == pytest.approx(1e-12 / 16.0, rel=1e-6)


def test_variance_of_the_hardest_clip_is_found() -> None:
    narrow = nonlinearity("hardtanh", min_val=-1e-3, max_val=1e-3)
    assert second_moment(narrow) == pytest.approx(1e-6, rel=1e-3)
    assert slope_second_moment(narrow) == pytest.approx(math.erf(1e-3 / math.sqrt(2.0)), rel=1e-10)


@pytest.mark.parametrize("moment", ALL)
@pytest.mark.parametrize("q", [0.0, -1.0, math.nan, math.inf])
def test_a_variance_that_is_none_is_refused(moment: object, q: float) -> None:
    assert callable(moment)
    with pytest.raises(InputError, match=r"q is the variance.*must be positive and finite, got .*edge_of_chaos"):
        moment("tanh", q)


def test_an_activation_that_is_not_finite_is_refused() -> None:
    with np.errstate(invalid="ignore", divide="ignore"):
        log = nonlinearity(np.log, lambda x: 1.0 / x, kinks=(0.0,))
        with pytest.raises(InputError, match=r"log is not finite for every x within 13·√q of 0, q = 4.*np.clip"):
            second_moment(log, 4.0)
    explosive = nonlinearity(np.exp, np.exp)
    assert second_moment(explosive, 1.0) == pytest.approx(math.e**2, rel=1e-10)
    with pytest.raises(InputError, match="exp grows so fast"):
        second_moment(explosive, 1e4)


@pytest.mark.parametrize("q", [4.0, 9.0])
def test_what_grows_fast_is_right_as_long_as_it_is_given(q: float) -> None:
    assert second_moment(nonlinearity(np.exp, np.exp), q) == pytest.approx(math.exp(2 * q), rel=1e-7)


@pytest.mark.parametrize("q", [30.0, 50.0, 1e3])
def test_a_moment_that_lies_beyond_the_quadrature_is_refused(q: float) -> None:
    """At q = 50 the mean of e^2x lies at 14 deviations, where no node is."""
    with pytest.raises(InputError, match=r"exp grows so fast that its moments at q = .* lie beyond 12·√q"):
        second_moment(nonlinearity(np.exp, np.exp), q)


def test_an_infinite_moment_is_refused() -> None:
    growing = nonlinearity(lambda x: np.exp(x * x / 3), lambda x: 2 * x / 3 * np.exp(x * x / 3))
    with pytest.raises(InputError, match="grows so fast"):
        second_moment(growing)


def test_little_and_far_out_is_no_growth() -> None:
    """Nothing within 12 deviations, and little beyond."""
    shrunk = nonlinearity(lambda x: np.where(np.abs(x) > 0.5, x, 0.0), lambda x: 1.0 * (np.abs(x) > 0.5))
    assert 0.0 < second_moment(shrunk, 1.6e-3) < 1e-30


def test_a_cusp_is_followed_to_its_tip() -> None:
    """E[(0.9 |x|^-0.1)²] = 0.81 · 2^-0.1 Γ(0.4)/√π; without the tip it is off by 5e-4."""
    cusp = nonlinearity(lambda x: np.abs(x) ** 0.9, lambda x: 0.9 * np.sign(x) * np.abs(x) ** -0.1)
    assert cusp.cusps == (0.0,)
    wanted = 0.81 * 2**-0.1 * math.gamma(0.4) / math.sqrt(math.pi)
    assert slope_second_moment(cusp) == pytest.approx(wanted, rel=1e-6)


def test_a_slope_without_a_mean_square_is_refused_by_its_place() -> None:
    root = nonlinearity(lambda x: np.sqrt(np.abs(x - 1)), lambda x: np.sign(x - 1) / 2 / np.sqrt(np.abs(x - 1)))
    with pytest.raises(InputError, match=r"grows without bound at 1, and E\[φ′²\] with it"):
        slope_second_moment(root)
    assert second_moment(root) == pytest.approx(1.1666303, rel=1e-4)  # E|z - 1|
    assert nonlinearity(np.abs, np.sign).cusps == ()
