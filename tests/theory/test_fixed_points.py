"""Where depth leads a variance: every fixed point, its stability and its phase."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.records import InputError
from headwater.theory import (
    ACTIVATIONS,
    fixed_points,
    length_map,
    length_map_slope,
    length_trajectory,
    nonlinearity,
    phase,
    q_star,
)


@pytest.mark.parametrize(
    ("phi", "sigma_w2", "sigma_b2", "wanted"),
    [
        ("tanh", 25 / 9, 0.0, [0.0, 1.1785]),
        ("tanh", 1.0, 0.0, [0.0]),
        ("tanh", 1.0, 0.05, [0.1936]),
        ("relu", 1.0, 0.0, [0.0]),
        ("relu", 1.0, 0.3, [0.6]),
        ("relu", 2.1, 0.0, [0.0, math.inf]),
        ("relu", 2.1, 0.3, [math.inf]),
        ("selu", 1.0, 0.0, [0.0, 1.0]),
        ("gelu", 2.0, 0.0, [0.0]),
        ("elu", 2.0, 0.0, [0.0, math.inf]),
        ("sigmoid", 1.0, 0.0, [0.2647]),
    ],
)
def test_fixed_points_are_all_found(phi: str, sigma_w2: float, sigma_b2: float, wanted: list[float]) -> None:
    found = fixed_points(phi, sigma_w2, sigma_b2)
    assert not found.every_q
    assert [point.q_star for point in found.points] == pytest.approx(wanted, abs=2e-4)


def test_unstable_point_lies_between_two_stable_ones() -> None:
    # GELU beyond its gain: small signals die out, large ones grow.
    zero, between, infinity = fixed_points("gelu", 2.2).points
    assert zero.q_star == 0.0
    assert infinity.q_star == math.inf
    assert [zero.stable, between.stable, infinity.stable] == [True, False, True]
    assert between.slope > 1.0
    assert q_star("gelu", 2.2, q=0.99 * between.q_star) == 0.0
    assert q_star("gelu", 2.2, q=1.01 * between.q_star) == math.inf


def test_two_points_close_together_are_both_found() -> None:
    # With a σ_b² just below the largest q - σ_w² E[φ²], V crosses the diagonal twice within one cell of the grid.
    touching = max((1.0 - length_map("gelu", q, 2.2) / q) * q for q in np.linspace(0.5, 0.6, 2001))
    low, high, infinity = fixed_points("gelu", 2.2, touching * (1.0 - 1e-7)).points
    assert 0.0 < high.q_star - low.q_star < 0.01
    assert [low.stable, high.stable, infinity.q_star] == [True, False, math.inf]
    assert [point.q_star for point in fixed_points("gelu", 2.2, touching * (1.0 + 1e-5)).points] == [math.inf]


@pytest.mark.parametrize(("id_", "sigma_w2"), [("relu", 2.0), ("identity", 1.0), ("leaky_relu", 2.0 / (1.0 + 0.01**2))])
def test_every_variance_is_fixed_by_rectifiers_at_their_gain(id_: str, sigma_w2: float) -> None:
    assert fixed_points(id_, sigma_w2).every_q
    assert fixed_points(id_, sigma_w2).points == ()
    assert q_star(id_, sigma_w2, q=0.37) == 0.37
    assert not fixed_points(id_, sigma_w2 * (1.0 + 1e-6)).every_q


@settings(max_examples=20)
@given(st.sampled_from(sorted(ACTIVATIONS)), st.floats(0.05, 6.0), st.floats(0.0, 1.0), st.floats(0.01, 20.0))
def test_depth_leads_where_q_star_says(id_: str, sigma_w2: float, sigma_b2: float, q: float) -> None:
    reached = q_star(id_, sigma_w2, sigma_b2, q)
    lengths = length_trajectory(id_, 30, sigma_w2, sigma_b2, q)
    if not 0.0 < reached < math.inf:
        assert lengths[-1] <= q if reached == 0.0 else lengths[-1] >= q
        return
    assert length_map(id_, reached, sigma_w2, sigma_b2) == pytest.approx(reached, rel=1e-8)
    assert abs(lengths[-1] - reached) <= abs(q - reached) * 1.000001 + 1e-9
    # What is left of the way falls by V′ per layer, however slowly.
    assert (lengths[-1] - reached) * (q - reached) >= -1e-9


@pytest.mark.parametrize("id_", ACTIVATIONS)
def test_a_point_is_stable_where_the_slope_is_below_1(id_: str) -> None:
    for sigma_w2, sigma_b2 in ((0.7, 0.1), (1.9, 0.0), (3.0, 0.2)):
        for point in fixed_points(id_, sigma_w2, sigma_b2).points:
            if 0.0 < point.q_star < math.inf:
                assert point.stable == (abs(point.slope) < 1.0)
                assert point.slope == pytest.approx(length_map_slope(id_, point.q_star, sigma_w2), rel=1e-12)
            beside = min(max(point.q_star, 1e-10), 1e7) * 1.01
            towards = length_map(id_, beside, sigma_w2, sigma_b2)
            if point.stable:
                assert towards >= beside if point.q_star == math.inf else towards <= beside


@pytest.mark.parametrize("place", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("width", [0.3, 2.0])
def test_a_variance_never_falls_faster_than_the_root_of_its_input(place: float, width: float) -> None:
    # The density of N(0, q) at x falls with q as 1/√q at the fastest. A bump, which large inputs miss, comes nearest to
    # that: V is steepest at -½, too little for q to swing back and forth for ever.
    def bump(x: np.ndarray) -> np.ndarray:
        values: np.ndarray = np.exp(-(((x - place) / width) ** 2))
        return values

    phi = nonlinearity(bump, lambda x: -2.0 * (x - place) / width**2 * bump(x), kinks=())
    slopes = [q * length_map_slope(phi, q, 1.0) / length_map(phi, q, 1.0) for q in (0.1, 1.0, 10.0, 1e3)]
    assert min(slopes) >= -0.5
    assert slopes[-1] == pytest.approx(-0.5, abs=0.01)
    reached = q_star(phi, 9.0, 0.1)
    assert length_trajectory(phi, 100, 9.0, 0.1)[-1] == pytest.approx(reached, rel=1e-6)


@pytest.mark.parametrize(
    ("phi", "sigma_w2", "sigma_b2", "wanted"),
    [
        ("tanh", 1 / 3, 0.0, "ordered"),
        ("tanh", 1.0, 0.0, "critical"),
        ("tanh", 25 / 9, 0.0, "chaotic"),
        ("tanh", 1.0, 0.05, "ordered"),
        ("tanh", 2.5, 0.05, "chaotic"),
        ("relu", 1 / 3, 0.0, "ordered"),
        ("relu", 2.0, 0.0, "critical"),
        ("relu", 2.5, 0.0, "chaotic"),
        ("selu", 1.0, 0.0, "chaotic"),
        ("sigmoid", 1.0, 0.0, "ordered"),
        ("gelu", 2.0, 0.0, "ordered"),
    ],
)
def test_phase(phi: str, sigma_w2: float, sigma_b2: float, wanted: str) -> None:
    assert phase(phi, sigma_w2, sigma_b2) == wanted


def test_tiny_biases_are_not_taken_for_none() -> None:
    (point,) = fixed_points("tanh", 0.5, 1e-12).points
    assert point.q_star == pytest.approx(2e-12, rel=1e-3)
    assert q_star("tanh", 0.5, 1e-12) == point.q_star


@pytest.mark.parametrize("arguments", [("tanh", -1.0), ("tanh", 1.0, -1.0), ("tanh", 1.0, 0.0, 0.0), ("tahn", 1.0)])
def test_what_has_no_fixed_points_is_refused(arguments: tuple) -> None:
    for function in (q_star, phase):
        with pytest.raises(InputError):
            function(*arguments)
    with pytest.raises(InputError):
        fixed_points("tanh", math.inf)


def test_what_grows_too_fast_for_numbers_grows_to_infinity() -> None:
    """V(q) = e^(2q)/100: q* = 0.0102 is stable, the next one is not, and from there on it leads to infinity."""
    points = fixed_points(nonlinearity(np.exp, np.exp), 0.01).points
    assert [point.stable for point in points] == [True, False, True]
    assert points[0].q_star == pytest.approx(0.01 * math.exp(2 * points[0].q_star))
    assert points[-1].q_star == math.inf
    assert points[-1].chi_1 == math.inf
