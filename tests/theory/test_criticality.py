"""The edge of chaos of every activation, and the honest answer where there is none."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.records import InputError
from headwater.theory import (
    ACTIVATIONS,
    chi_1,
    edge_of_chaos,
    fixed_points,
    length_map,
    length_map_slope,
    nonlinearity,
    stable_q,
)

# φ, q*, σ_w, σ_b², V′(q*) to the digits on record.
AT_Q = [
    ("tanh", 1.0, 1.46741, 0.15100, "stable"),
    ("hardtanh", 1.0, 1.21029, 0.2441, "stable"),
    ("softsign", 1.0, 2.09578, 0.1961, "stable"),
    ("elu", 1.0, 1.22343, 0.03466, "stable"),
    ("selu", 1.0, 0.96603, 0.06679, "stable"),
    ("relu6", 10.0, 1.4569, 0.448, "stable"),
    ("gelu", 1.0, 1.48111, 0.0672, "unstable"),
    ("silu", 1.0, 1.62332, 0.0625, "unstable"),
    ("mish", 1.0, 1.44476, 0.0558, "unstable"),
    ("identity", 1.0, 1.0, 0.0, "marginal"),
    ("relu", 3.0, 1.41421, 0.0, "marginal"),
    ("leaky_relu", 0.1, 1.41414, 0.0, "marginal"),
    ("prelu", 1.0, 1.37199, 0.0, "marginal"),
]


@pytest.mark.parametrize(("phi", "q", "sigma_w", "sigma_b2", "stability"), AT_Q)
def test_edge_at_a_variance_is_that_of_table_c(
    phi: str, q: float, sigma_w: float, sigma_b2: float, stability: str
) -> None:
    edge = edge_of_chaos(phi, q_star=q)
    assert edge.stability == stability
    assert math.sqrt(edge.sigma_w2) == pytest.approx(sigma_w, abs=5e-5)
    assert edge.sigma_b2 == pytest.approx(sigma_b2, abs=5e-5 if sigma_b2 < 0.2 else 5e-4)
    assert edge.q_star == q


@pytest.mark.parametrize(
    ("phi", "slope"), [("gelu", 1.067), ("silu", 1.099), ("mish", 1.016), ("relu", 1.0), ("tanh", 0.3915)]
)
def test_slope_at_unit_variance_is_that_of_table_c(phi: str, slope: float) -> None:
    assert edge_of_chaos(phi, q_star=1.0).slope == pytest.approx(slope, abs=5e-4)


@pytest.mark.parametrize(
    ("sigma_w2", "sigma_b2", "q"),
    [(1.05, 2.0105e-5, 0.02592), (1.7610, 0.05, 0.5701), (1.9477, 0.09, 0.7635), (1.9861, 0.1, 0.8058)],
)
def test_check_11_edge_of_tanh_is_the_published_curve(sigma_w2: float, sigma_b2: float, q: float) -> None:
    by_biases = edge_of_chaos("tanh", sigma_b2=sigma_b2)
    assert by_biases.stability == "stable"
    assert by_biases.sigma_w2 == pytest.approx(sigma_w2, abs=1e-4)
    assert by_biases.q_star == pytest.approx(q, rel=2e-4)
    by_weights = edge_of_chaos("tanh", sigma_w2=by_biases.sigma_w2)
    assert by_weights.sigma_b2 == pytest.approx(sigma_b2, rel=1e-6)


def test_check_11_tanh_at_the_width_of_ten_thousand_layers() -> None:
    assert edge_of_chaos("tanh", sigma_w2=1.05).sigma_b2 == pytest.approx(2.01e-5, rel=0.01)


@pytest.mark.parametrize(
    ("phi", "least_q", "least_sigma_w", "most_sigma_w", "least_sigma_b"),
    [
        ("gelu", 3.56, 1.3985, math.sqrt(2.0), 0.4158),
        ("silu", 14.32, 1.4025, math.sqrt(2.0), 0.745),
        ("mish", 1.67, 1.392, 1.419, 0.307),
    ],
)
def test_check_11_smooth_rectifiers_are_stable_only_far_out(
    phi: str, least_q: float, least_sigma_w: float, most_sigma_w: float, least_sigma_b: float
) -> None:
    ((low, high),) = stable_q(phi)
    assert low == pytest.approx(least_q, abs=5e-3)
    assert high == math.inf
    assert edge_of_chaos(phi, q_star=0.99 * low).stability == "unstable"
    assert edge_of_chaos(phi, q_star=1.01 * low).stability == "stable"
    assert edge_of_chaos(phi, q_star=1.0).stable_q == ((low, high),)
    points = [edge_of_chaos(phi, q_star=q) for q in (low, *(low * 1.3**k for k in range(1, 30)))]
    widths = [math.sqrt(point.sigma_w2) for point in points]
    assert min(widths) == pytest.approx(least_sigma_w, abs=6e-4)
    assert max(widths) == pytest.approx(most_sigma_w, abs=3e-3)
    assert min(math.sqrt(point.sigma_b2) for point in points) == pytest.approx(least_sigma_b, abs=6e-4)


@pytest.mark.parametrize(
    ("by", "value"), [("sigma_b2", 0.0), ("sigma_b2", 0.1), ("sigma_w2", 2.0), ("sigma_w2", 4.0), ("q_star", 1.0)]
)
def test_check_11_softplus_has_none(by: str, value: float) -> None:
    edge = edge_of_chaos("softplus", **{by: value})
    assert edge.stability == "none"
    assert edge.stable_q == ()
    assert math.isnan(edge.sigma_w2)
    assert math.isnan(edge.sigma_b2)
    assert math.isnan(edge.q_star)
    assert math.isnan(edge.slope)


def test_sigmoid_has_one_only_for_huge_weights() -> None:
    edge = edge_of_chaos("sigmoid", sigma_b2=0.0)
    assert edge.stability == "stable"
    assert edge.sigma_w2 == pytest.approx(103.0, abs=0.05)
    assert math.sqrt(edge.sigma_w2) == pytest.approx(10.149, abs=5e-4)
    assert edge.q_star == pytest.approx(45.6, abs=0.05)
    # At 16 = 1/σ′(0)² the gradient of a signal of 0 would be kept, but σ(0) is not 0.
    for sigma_w2 in (16.0, 100.0):
        assert edge_of_chaos("sigmoid", sigma_w2=sigma_w2).stability == "none"
    assert edge_of_chaos("sigmoid", q_star=45.0).stability == "none"


@pytest.mark.parametrize(
    ("phi", "sigma_w", "stability"),
    [
        ("tanh", 1.0, "stable"),
        ("softsign", 1.0, "stable"),
        ("elu", 1.0, "stable"),
        ("selu", 0.6905, "stable"),
        ("hardtanh", 1.0, "marginal"),
        ("relu6", 1.41421, "marginal"),
        ("gelu", 2.0, "unstable"),
        ("silu", 2.0, "unstable"),
    ],
)
def test_edge_without_biases_is_the_limit_of_small_signals(phi: str, sigma_w: float, stability: str) -> None:
    edge = edge_of_chaos(phi, sigma_b2=0.0)
    assert (edge.stability, edge.q_star, edge.slope) == (stability, 0.0, 1.0)
    assert math.sqrt(edge.sigma_w2) == pytest.approx(sigma_w, abs=5e-5)
    assert edge_of_chaos(phi, sigma_w2=edge.sigma_w2).q_star == 0.0


@pytest.mark.parametrize("phi", ["relu", "leaky_relu", "prelu", "identity"])
def test_rectifiers_have_one_point_without_biases_and_none_with(phi: str) -> None:
    edge = edge_of_chaos(phi, sigma_b2=0.0)
    assert (edge.stability, edge.sigma_b2, edge.stable_q) == ("marginal", 0.0, ())
    assert fixed_points(phi, edge.sigma_w2).every_q
    assert edge_of_chaos(phi, sigma_b2=0.01).stability == "none"
    assert edge_of_chaos(phi, sigma_w2=1.01 * edge.sigma_w2).stability == "none"


@settings(max_examples=60)
@given(st.sampled_from(sorted(ACTIVATIONS)), st.floats(0.01, 100.0))
def test_edge_is_a_fixed_point_with_chi_1_equal_to_1(phi: str, q: float) -> None:
    edge = edge_of_chaos(phi, q_star=q)
    if edge.stability == "none":
        return
    assert chi_1(phi, q, edge.sigma_w2) == pytest.approx(1.0, rel=1e-12)
    assert length_map(phi, q, edge.sigma_w2, edge.sigma_b2) == pytest.approx(q, rel=1e-8)
    assert edge.slope == pytest.approx(length_map_slope(phi, q, edge.sigma_w2), abs=1e-10)
    settles = "stable" if abs(edge.slope) < 1.0 else "unstable"
    assert edge.stability == ("marginal" if abs(edge.slope - 1.0) < 1e-9 else settles)


@pytest.mark.parametrize(("phi", "sigma_b2"), [("tanh", 0.3), ("elu", 0.05), ("softsign", 0.2), ("hardtanh", 0.1)])
def test_all_three_ways_lead_to_one_point(phi: str, sigma_b2: float) -> None:
    edge = edge_of_chaos(phi, sigma_b2=sigma_b2)
    same = edge_of_chaos(phi, q_star=edge.q_star)
    assert (same.sigma_w2, same.sigma_b2) == pytest.approx((edge.sigma_w2, sigma_b2), rel=1e-9)
    assert edge_of_chaos(phi, sigma_w2=edge.sigma_w2).q_star == pytest.approx(edge.q_star, rel=1e-3)


def test_edge_of_an_activation_at_other_parameters() -> None:
    wide = edge_of_chaos(nonlinearity("hardtanh", min_val=-2.0, max_val=2.0), q_star=4.0)
    narrow = edge_of_chaos("hardtanh", q_star=1.0)
    # Clipping at ±2 with q = 4 is clipping at ±1 with q = 1, in other units.
    assert wide.sigma_w2 == pytest.approx(narrow.sigma_w2, rel=1e-10)
    assert wide.sigma_b2 == pytest.approx(4.0 * narrow.sigma_b2, rel=1e-9)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({}, "pass one of sigma_w2, sigma_b2 and q_star"),
        ({"sigma_w2": 1.0, "q_star": 1.0}, "pass one of"),
        ({"q_star": 0.0}, "q is the variance"),
        ({"sigma_b2": -0.1}, "sigma_b2 is the variance of the biases"),
        ({"sigma_w2": math.nan}, "sigma_w2 is fan_in"),
    ],
)
def test_what_names_no_point_is_refused(given_: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        edge_of_chaos("tanh", **given_)


def test_an_edge_is_found_where_moments_can_be_computed_and_not_asked_for_elsewhere() -> None:
    """χ₁ = 1 at q = 2 for e^x with σ_w² = e^-4, while its moments at q = 1000 are beyond any number."""
    growing = nonlinearity(np.exp, np.exp)
    assert edge_of_chaos(growing, q_star=0.5).stability == "none"  # σ_b² = q - 1
    edge = edge_of_chaos(growing, q_star=2.0)
    assert edge.stability == "unstable"
    assert edge.sigma_w2 == pytest.approx(math.exp(-4.0))
    assert edge.sigma_b2 == pytest.approx(1.0)
    assert edge.stable_q == ()
    assert edge_of_chaos(growing, sigma_b2=1.0).q_star == pytest.approx(2.0)


def test_a_bump_narrower_than_the_nodes_has_no_edge_but_an_answer() -> None:
    bump = nonlinearity(
        lambda x: np.exp(-((x - 1.0137) ** 2) * 1e10),
        lambda x: -2e10 * (x - 1.0137) * np.exp(-((x - 1.0137) ** 2) * 1e10),
    )
    assert edge_of_chaos(bump, q_star=1.0).stability in ("stable", "unstable", "none")
