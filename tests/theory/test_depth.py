"""How deep signals and gradients reach, and where number formats give out."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headwater.records import InputError
from headwater.theory import (
    c_star,
    correlation_map,
    correlation_trajectory,
    depth_scales,
    depth_to_reach,
    gradient_trajectory,
    length_trajectory,
    merging_depth,
    range_depths,
    trainable_depth,
)
from headwater.theory.depth import ADAM_EPS, FLOAT_RANGES

# tanh with σ_b² = 0.05: σ_w², q*, χ₁, ξ_q, ξ_grad.
SCALES = [
    (0.5, 0.0876, 0.4320, 1.01, 1.19),
    (1.0, 0.1936, 0.7590, 1.75, 3.63),
    (1.3, 0.3153, 0.8802, 1.79, 7.83),
    (1.5, 0.4180, 0.9386, 1.68, 15.8),
    (1.76, 0.5695, 0.9998, 1.52, 4912.0),
    (2.0, 0.7218, 1.0477, 1.39, 21.5),
    (2.5, 1.0640, 1.1335, 1.18, 7.98),
    (4.0, 2.1955, 1.3424, 0.873, 3.40),
]


@pytest.mark.parametrize(("sigma_w2", "q", "chi_1", "xi_q", "xi_grad"), SCALES)
def test_depth_scales_of_tanh(sigma_w2: float, q: float, chi_1: float, xi_q: float, xi_grad: float) -> None:
    scales = depth_scales("tanh", sigma_w2, 0.05)
    assert scales.q_star == pytest.approx(q, abs=6e-5)
    assert scales.chi_1 == pytest.approx(chi_1, abs=6e-5)
    assert scales.xi_q == pytest.approx(xi_q, abs=6e-3)
    assert scales.xi_grad == pytest.approx(xi_grad, rel=3e-3)
    if chi_1 < 1:
        assert (scales.c_star, scales.xi_c) == (1.0, scales.xi_grad)
    else:
        assert scales.c_star < 1.0


def test_check_12_tanh_in_the_ordered_phase_trains_to_22_layers() -> None:
    scales = depth_scales("tanh", sigma_w2=1.0, sigma_b2=0.05)
    assert scales.chi_1 == pytest.approx(0.7590, abs=5e-5)
    assert scales.xi_c == pytest.approx(3.63, abs=5e-3)
    assert trainable_depth("tanh", sigma_w2=1.0, sigma_b2=0.05) == pytest.approx(22.0, abs=1.0)
    assert trainable_depth("tanh", sigma_w2=1.5, sigma_b2=0.05) == pytest.approx(95.0, abs=1.0)


@pytest.mark.parametrize(("sigma_w2", "sigma_b2"), [(1.0, 0.05), (2.5, 0.05), (4.0, 0.3)])
def test_scales_are_those_at_which_trajectories_settle(sigma_w2: float, sigma_b2: float) -> None:
    scales = depth_scales("tanh", sigma_w2, sigma_b2)
    q, c = scales.q_star, scales.c_star
    away = length_trajectory("tanh", 6, sigma_w2, sigma_b2, q=1.001 * q) - q
    assert away[6] / away[5] == pytest.approx(math.exp(-1.0 / scales.xi_q), rel=1e-3)
    apart = correlation_trajectory("tanh", c - 1e-4, 6, sigma_w2, sigma_b2, q=q) - c
    assert apart[6] / apart[5] == pytest.approx(math.exp(-1.0 / scales.xi_c), rel=1e-3)
    squared = gradient_trajectory("tanh", 1, sigma_w2, sigma_b2, q=q)[1] ** 2
    assert abs(math.log(squared)) == pytest.approx(1.0 / scales.xi_grad, rel=1e-6)


def test_correlation_in_chaos_settles_where_the_scales_say() -> None:
    scales = depth_scales("tanh", 2.5, 0.05)
    assert scales.c_star == c_star("tanh", scales.q_star, 2.5, 0.05)
    assert correlation_map("tanh", scales.c_star, scales.q_star, 2.5, 0.05) == pytest.approx(scales.c_star, abs=1e-9)


@pytest.mark.parametrize(("phi", "sigma_w2"), [("relu", 2.0), ("tanh", 1.0), ("identity", 1.0)])
def test_depth_is_unbounded_at_the_edge_of_chaos(phi: str, sigma_w2: float) -> None:
    scales = depth_scales(phi, sigma_w2)
    assert scales.xi_c == scales.xi_grad == math.inf
    assert trainable_depth(phi, sigma_w2) == math.inf


def test_depth_scales_where_the_signal_dies_out_are_the_limits() -> None:
    scales = depth_scales("relu", 1 / 3)
    assert (scales.q_star, scales.c_star) == (0.0, 1.0)
    assert scales.xi_c == scales.xi_grad == pytest.approx(1.0 / math.log(6.0), rel=1e-9)
    assert depth_scales("relu", 3.0).q_star == math.inf
    assert depth_scales("relu", 3.0).xi_grad == pytest.approx(1.0 / math.log(1.5), rel=1e-9)


@pytest.mark.parametrize(
    ("factor", "value", "layers"),
    [
        (6**-0.5, 1e-8, 21),  # torch's default ReLU against Adam's eps
        (6**-0.5, 2.0**-126, 98),
        (6**-0.5, 2.0**-149, 116),
        (3**-0.5, 1e-8, 34),  # torch's default tanh
        (3**-0.5, 2.0**-149, 189),
        (math.sqrt(math.pi / (math.pi - 1.0)), 3.4028e38, 464),  # batch normalisation with ReLU
        (1.0999, 3.4028e38, 932),  # tanh at gain 5/3
        (0.5, 0.5, 1),
        (0.5, 0.49, 2),
        (0.5, 2.0, math.inf),
        (2.0, 0.5, math.inf),
        (1.0, 1e-8, math.inf),
        (0.5, 1.0, 0),
    ],
)
def test_depth_to_reach(factor: float, value: float, layers: float) -> None:
    assert depth_to_reach(factor, value) == layers


@given(st.floats(0.05, 0.95), st.floats(1e-30, 0.9), st.floats(0.91, 10.0))
def test_depth_to_reach_is_the_first_that_does(factor: float, value: float, start: float) -> None:
    layers = depth_to_reach(factor, value, start)
    assert start * factor**layers <= value * (1.0 + 1e-6)
    assert start * factor ** (layers - 1) > value * (1.0 - 1e-6)
    assert depth_to_reach(1.0 / factor, 1.0 / value, 1.0 / start) == layers


@pytest.mark.parametrize("name", FLOAT_RANGES)
def test_float_ranges_are_torchs(name: str) -> None:
    info = torch.finfo(getattr(torch, name))
    assert FLOAT_RANGES[name] == (info.tiny, info.smallest_normal * info.eps, info.max)


def test_range_depths_name_every_end() -> None:
    falling, rising = range_depths(0.1), range_depths(10.0)
    ends = {f"{name}_{end}" for name in FLOAT_RANGES for end in ("normal", "zero", "overflow")}
    assert set(falling) == set(rising) == ends | {"adam_eps"}
    assert (falling["adam_eps"], rising["adam_eps"]) == (8, math.inf)
    assert (falling["float32_normal"], falling["float32_zero"], falling["float32_overflow"]) == (38, 45, math.inf)
    assert (falling["float16_normal"], falling["float16_zero"], rising["float16_overflow"]) == (5, 8, 5)
    assert (falling["bfloat16_normal"], falling["bfloat16_zero"], rising["bfloat16_overflow"]) == (38, 41, 39)
    assert (rising["float32_normal"], rising["float32_zero"], rising["float32_overflow"]) == (math.inf, math.inf, 39)


def test_a_gradient_is_zero_in_float32_where_range_depths_says() -> None:
    factor, gradient, layers = np.float32(0.5), np.float32(1.0), 0
    while gradient > 0:
        gradient, layers = gradient * factor, layers + 1
    assert layers == range_depths(0.5)["float32_zero"] + 1  # at 149 it is the smallest number there is


def test_adams_eps_is_torchs() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    assert torch.optim.Adam([weight]).defaults["eps"] == ADAM_EPS


@pytest.mark.parametrize(
    "arguments", [(0.0, 1e-8), (-0.5, 1e-8), (math.inf, 1.0), (0.5, 0.0), (0.5, math.nan), (0.5, 1e-8, 0.0)]
)
def test_what_reaches_no_depth_is_refused(arguments: tuple) -> None:
    with pytest.raises(InputError, match=r"must be positive and finite, got .*depth_to_reach\(0.41, 1e-8\)"):
        depth_to_reach(*arguments)


@pytest.mark.parametrize("cosine", [0.9, 0.99])
def test_merging_depth_is_the_first_layer_past_the_cosine(cosine: float) -> None:
    layers = int(merging_depth("relu", cosine, sigma_w2=2.0))
    likeness = correlation_trajectory("relu", 0.0, layers, sigma_w2=2.0)
    assert likeness[layers] >= cosine > likeness[layers - 1]


def test_he_merges_all_inputs_within_a_thousand_layers_and_orthogonal_tanh_none() -> None:
    assert 57 <= merging_depth("relu", 0.99, sigma_w2=2.0) < merging_depth("relu", 0.9999, sigma_w2=2.0) < 700
    assert merging_depth("relu", 0.9999, sigma_w2=2.0, most=600) == math.inf
    assert merging_depth("tanh", 0.99, sigma_w2=1.0) == math.inf  # odd: what is orthogonal stays so


@pytest.mark.parametrize("arguments", [{"cosine": 1.0}, {"cosine": 0.2, "c": 0.5}, {"cosine": 0.9, "most": 0}])
def test_what_cannot_merge_is_refused(arguments: dict) -> None:
    with pytest.raises(InputError):
        merging_depth("relu", sigma_w2=2.0, **arguments)
