"""The maps of one layer: lengths, gradients and correlations, against closed forms and each other."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.records import InputError
from headwater.theory import (
    ACTIVATIONS,
    c_star,
    chi_1,
    correlation_map,
    correlation_slope,
    decorrelation_map,
    leaky_correlation_map,
    length_map,
    length_map_slope,
    nonlinearity,
    q_star,
)

SMOOTH = ["sigmoid", "tanh", "gelu", "gelu_tanh", "silu", "mish", "softplus"]
slopes = st.floats(-1.5, 1.5)


@given(slopes, st.floats(1e-6, 1e6), st.floats(0.0, 10.0), st.floats(0.0, 10.0))
def test_maps_of_leaky_relu_are_its_closed_forms(slope: float, q: float, sigma_w2: float, sigma_b2: float) -> None:
    f = nonlinearity("leaky_relu", negative_slope=slope)
    gain = sigma_w2 * (1.0 + slope**2) / 2.0
    assert length_map(f, q, sigma_w2, sigma_b2) == pytest.approx(gain * q + sigma_b2, rel=1e-12, abs=1e-300)
    assert length_map_slope(f, q, sigma_w2) == pytest.approx(gain, rel=1e-11)
    assert chi_1(f, q, sigma_w2) == pytest.approx(gain, rel=1e-12)


@settings(max_examples=30)
@given(slopes, st.floats(-1.0, 1.0), st.floats(1e-3, 1e3))
def test_correlation_map_of_leaky_relu_is_its_closed_form(slope: float, c: float, q: float) -> None:
    f = nonlinearity("leaky_relu", negative_slope=slope)
    wanted = leaky_correlation_map(c, slope)
    assert correlation_map(f, c, q, sigma_w2=1.7) == pytest.approx(wanted, abs=1e-9)
    assert correlation_map(f, c, q, sigma_w2=0.1) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("q", [0.1, 1.0, 6.0])
@pytest.mark.parametrize("id_", ACTIVATIONS)
def test_slope_of_the_length_map_is_its_derivative(id_: str, q: float) -> None:
    step = 1e-4 * q
    rise = length_map(id_, q + step, 1.3, 0.2) - length_map(id_, q - step, 1.3, 0.2)
    assert length_map_slope(id_, q, 1.3) == pytest.approx(rise / (2.0 * step), rel=1e-6)


@pytest.mark.parametrize("c", [-0.5, 0.0, 0.6, 0.99])
@pytest.mark.parametrize("id_", ACTIVATIONS)
def test_slope_of_the_correlation_map_is_its_derivative(id_: str, c: float) -> None:
    sigma_w2, sigma_b2 = 1.1, 0.3
    q = q_star(id_, sigma_w2, sigma_b2)
    q = q if math.isfinite(q) else 2.0
    step = 1e-4
    rise = correlation_map(id_, c + step, q, sigma_w2, sigma_b2) - correlation_map(id_, c - step, q, sigma_w2, sigma_b2)
    at_q = length_map(id_, q, sigma_w2, sigma_b2) / q
    assert rise / (2.0 * step) * at_q == pytest.approx(correlation_slope(id_, c, q, sigma_w2), rel=1e-5)


@pytest.mark.parametrize("id_", SMOOTH)
def test_chi_1_is_the_slope_of_the_correlation_map_at_1(id_: str) -> None:
    sigma_w2, sigma_b2 = 1.2, 0.1
    q = q_star(id_, sigma_w2, sigma_b2)
    d = 1e-7
    assert decorrelation_map(id_, d, q, sigma_w2, sigma_b2) / d == pytest.approx(chi_1(id_, q, sigma_w2), rel=1e-5)
    assert correlation_slope(id_, 1.0, q, sigma_w2) == pytest.approx(chi_1(id_, q, sigma_w2), rel=1e-12)


@pytest.mark.parametrize("d", [1e-3, 1e-6, 1e-8, 1e-10])
def test_inputs_that_nearly_agree_keep_their_difference(d: float) -> None:
    # Near c = 1, 1 - C = d - (2√2/3π) d^{3/2} for ReLU, and χ₁ d for a smooth activation.
    assert decorrelation_map("relu", d, 1.0, 2.0) == pytest.approx(
        d - 2.0 * math.sqrt(2.0) / (3.0 * math.pi) * d**1.5, rel=1e-4
    )
    step = chi_1("tanh", 0.5, 1.5) * 0.5 / length_map("tanh", 0.5, 1.5, 0.05)
    assert decorrelation_map("tanh", d, 0.5, 1.5, 0.05) == pytest.approx(step * d, rel=d + 1e-6)


@settings(max_examples=15)
@given(st.sampled_from(sorted(ACTIVATIONS)), st.floats(0.0, 1.0), st.floats(0.01, 9.0), st.floats(0.0, 1.0))
def test_correlation_stays_one(id_: str, c: float, q: float, sigma_b2: float) -> None:
    here = correlation_map(id_, c, q, 1.5, sigma_b2)
    # C is a power series without negative terms, so it rises from C(0) ≥ 0 to C(1) = 1.
    assert -1e-12 <= here <= 1.0 + 1e-12
    assert here >= correlation_map(id_, c / 2.0, q, 1.5, sigma_b2) - 1e-12
    assert correlation_map(id_, 1.0, q, 1.5, sigma_b2) == 1.0


def test_correlation_in_the_ordered_phase_goes_to_1() -> None:
    assert c_star("tanh", 0.1936, 1.0, 0.05) == 1.0
    assert c_star("relu", 1.0, 2.0) == 1.0
    assert c_star("identity", 1.0, 1.0) == 1.0


def test_correlation_in_the_chaotic_phase_goes_below_1_and_stays() -> None:
    for sigma_w2 in (1.8, 2.5, 4.0):
        q = q_star("tanh", sigma_w2, 0.05)
        c = c_star("tanh", q, sigma_w2, 0.05)
        assert 0.0 < c < 1.0
        assert correlation_map("tanh", c, q, sigma_w2, 0.05) == pytest.approx(c, abs=1e-10)
        assert correlation_slope("tanh", c, q, sigma_w2) < 1.0


def test_correlation_without_biases_goes_to_0_where_the_activation_is_odd() -> None:
    assert c_star("tanh", q_star("tanh", 25 / 9), 25 / 9) == 0.0


def test_maps_of_a_function_of_ones_own() -> None:
    # E[sin²(x)] = (1 - e^{-2q})/2, E[cos²(x)] = (1 + e^{-2q})/2, E[sin(u₁) sin(u₂)] = e^{-q} sinh(qc).
    sine, q, c = nonlinearity(np.sin, np.cos), 0.8, 0.4
    assert length_map(sine, q, 3.0) == pytest.approx(1.5 * (1.0 - math.exp(-2.0 * q)), rel=1e-12)
    assert chi_1(sine, q, 3.0) == pytest.approx(1.5 * (1.0 + math.exp(-2.0 * q)), rel=1e-12)
    wanted = 3.0 * math.exp(-q) * math.sinh(q * c) / length_map(sine, q, 3.0)
    assert correlation_map(sine, c, q, 3.0) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: length_map("tanh", 0.0, 1.0), "q is the variance"),
        (lambda: length_map("tanh", 1.0, -1.0), "sigma_w2 is fan_in .* at least 0, got -1.0"),
        (lambda: length_map("tanh", 1.0, 1.0, -0.1), "sigma_b2 is the variance of the biases"),
        (lambda: chi_1("tanh", -2.0, 1.0), "q is the variance"),
        (lambda: chi_1("tanh", 1.0, math.nan), "sigma_w2 is"),
        (lambda: length_map_slope("tanh", math.inf, 1.0), "q is the variance"),
        (lambda: correlation_map("tanh", 1.2, 1.0, 1.0), r"a correlation c lies within \[-1, 1\]"),
        (lambda: correlation_map("tanh", 0.5, 0.0, 1.0), "q is the variance"),
        (lambda: correlation_slope("tanh", -1.2, 1.0, 1.0), "a correlation c lies within"),
        (lambda: decorrelation_map("tanh", -0.1, 1.0, 1.0), "a correlation c lies within"),
        (lambda: correlation_map("tanh", 0.5, 1.0, 0.0), "lets nothing through"),
        (lambda: c_star("tanh", 0.0, 1.0), "q is the variance"),
        (lambda: chi_1("tahn", 1.0, 1.0), "did you mean 'tanh'"),
    ],
)
def test_what_no_map_can_take_is_refused(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(InputError, match=message):
        call()
