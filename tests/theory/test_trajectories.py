"""What depth does layer by layer: the table of common initialisations, decay laws, and overflow without warning."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.records import InputError
from headwater.theory import (
    chi_1,
    correlation_map,
    correlation_trajectory,
    gradient_trajectory,
    initial_sigma_w2,
    leaky_correlation_map,
    length_map,
    length_trajectory,
)

TORCH = initial_sigma_w2("torch_default", 300, 300)

# φ, σ_w², χ₁ at layer 1,000, and |∂L/∂z| at the first layer over that 10 and 50 layers on; from q = 1, without biases.
TABLE_D = [
    ("relu", TORCH, 0.1667, 1.3e-4, 3.5e-20),
    ("relu", 1.0, 0.5, 3.1e-2, 3.0e-8),
    ("relu", 2.0, 1.0, 1.0, 1.0),
    ("tanh", TORCH, 0.3333, 2.4e-3, 6.9e-13),
    ("tanh", 1.0, 0.9990, 0.267, 0.120),
    ("tanh", 25 / 9, 1.2098, 2.75, 124.0),
    ("sigmoid", 1.0, 0.0557, 4.8e-7, 4.0e-32),
    ("sigmoid", 16.0, 0.3989, 1.4e-2, 1.5e-10),
    ("selu", 1.0, 1.0716, 1.41, 5.63),
    ("selu", 0.5625, 1.0037, 0.296, 0.196),
    ("gelu", 2.0, 0.5, 0.231, 2.4e-7),
    ("silu", 2.0, 0.5, 6.9e-2, 6.6e-8),
    ("mish", 2.0, 0.72, 0.62, 1.3e-3),
    ("elu", 2.0, 1.0131, 2.91, 19.4),
    ("elu", 1.5505, 1.0359, 1.19, 2.42),
]


@pytest.mark.parametrize(("phi", "sigma_w2", "limit", "ten", "fifty"), TABLE_D)
def test_gradient_ratios_are_those_of_table_d(
    phi: str, sigma_w2: float, limit: float, ten: float, fifty: float
) -> None:
    ratios = gradient_trajectory(phi, 50, sigma_w2)
    assert ratios[0] == 1.0
    assert ratios[[10, 50]] == pytest.approx([ten, fifty], rel=0.03)
    deep = length_trajectory(phi, 1000, sigma_w2)[-1]
    assert chi_1(phi, max(deep, 1e-300), sigma_w2) == pytest.approx(limit, abs=1e-4)


@settings(max_examples=8)
@given(st.sampled_from(["tanh", "relu", "gelu", "softplus"]), st.floats(0.1, 3.0), st.floats(0.0, 0.5))
def test_trajectories_apply_the_maps_one_after_the_other(phi: str, sigma_w2: float, sigma_b2: float) -> None:
    lengths = length_trajectory(phi, 3, sigma_w2, sigma_b2, q=0.7)
    gradients = gradient_trajectory(phi, 3, sigma_w2, sigma_b2, q=0.7)
    likeness = correlation_trajectory(phi, 0.2, 3, sigma_w2, sigma_b2, q=0.7)
    assert (lengths[0], gradients[0], likeness[0]) == (0.7, 1.0, 0.2)
    for layer, q in enumerate(lengths[:-1]):
        assert lengths[layer + 1] == length_map(phi, q, sigma_w2, sigma_b2)
        factor = gradients[layer + 1] / gradients[layer]
        assert factor == pytest.approx(math.sqrt(chi_1(phi, q, sigma_w2)), rel=1e-12)
        following = correlation_map(phi, likeness[layer], q, sigma_w2, sigma_b2)
        assert likeness[layer + 1] == pytest.approx(following, abs=1e-12)


def test_length_of_tanh_at_the_edge_falls_as_one_over_twice_the_depth() -> None:
    lengths = length_trajectory("tanh", 10_000, 1.0)
    assert 2.0 * 10_000 * lengths[-1] == pytest.approx(1.0, abs=0.01)


def test_trajectories_keep_on_where_float64_ends() -> None:
    # Each layer halves or doubles 20 times over; after 51 of them the square of a signal is out of range.
    small, large = 2.0**-40, 2.0**41
    assert length_trajectory("identity", 60, small)[-1] == 0.0
    assert length_trajectory("relu", 60, large)[-1] == math.inf
    assert length_trajectory("sigmoid", 3, 1.0, q=1e-300)[1] == pytest.approx(0.25, rel=1e-6)
    # The gradient goes on by χ₁ where q has left the range, and so does the correlation.
    assert gradient_trajectory("identity", 60, small)[50] == pytest.approx(2.0**-1000, rel=1e-9)
    assert gradient_trajectory("relu", 60, large)[50] == pytest.approx(2.0**1000, rel=1e-9)
    assert gradient_trajectory("relu", 60, large)[-1] == math.inf
    collapsed = correlation_trajectory("relu", 0.0, 60, 2.0)[-1]
    assert correlation_trajectory("relu", 0.0, 60, large)[-1] == pytest.approx(collapsed, abs=1e-12)
    assert correlation_trajectory("relu", 0.0, 60, small)[-1] == pytest.approx(collapsed, abs=1e-12)


def test_correlation_of_relu_collapses_as_published() -> None:
    likeness = correlation_trajectory("relu", 0.0, 1000, 2.0)
    wanted = [0.31831, 0.49373, 0.73595, 0.87154, 0.94843, 0.98786, 0.99642, 0.999957]
    assert likeness[[1, 2, 5, 10, 20, 50, 100, 1000]] == pytest.approx(wanted, abs=6e-6)
    asymptote = 9.0 * math.pi**2 / (2.0 * 1000.0**2)
    assert (1.0 - likeness[-1]) / asymptote == pytest.approx(0.97, abs=0.005)


@pytest.mark.parametrize(
    ("slope", "ten", "hundred", "thousand"),
    [
        (0.2, 0.764, 0.991, 0.9999),
        (0.5, 0.432, 0.941, 0.999),
        (0.8, 0.074, 0.477, 0.955),
        (0.9, 0.017, 0.155, 0.709),
        (0.95, 0.004, 0.041, 0.313),
    ],
)
def test_correlation_of_leaky_relu_collapses_slower(slope: float, ten: float, hundred: float, thousand: float) -> None:
    c, passed = 0.0, {}
    for layer in range(1, 1001):
        c = leaky_correlation_map(c, slope)
        passed[layer] = c
    assert [passed[10], passed[100], passed[1000]] == pytest.approx([ten, hundred, thousand], abs=6e-4)


def test_smooth_activation_at_the_edge_collapses_slower_than_relu() -> None:
    # 1 - c falls as 1/l for tanh at the edge of chaos and as 1/l² for ReLU, which takes longer to come to its law.
    tanh = 1.0 - correlation_trajectory("tanh", 0.0, 200, 1.76095463960674, 0.05, q=0.5700478816407649)
    assert tanh[20] / tanh[200] == pytest.approx(10.0, rel=0.25)
    relu = 1.0 - correlation_trajectory("relu", 0.0, 200, 2.0)
    assert 50.0 < relu[20] / relu[200] < 100.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tanh", 0, 1.0), "depth is a number of layers, at least 1, got 0"),
        (("tanh", 2.5, 1.0), "depth is a number of layers"),
        (("tanh", 3, -1.0), "sigma_w2 is"),
        (("tanh", 3, 1.0, 0.0, 0.0), "q is the variance"),
    ],
)
def test_what_has_no_trajectory_is_refused(arguments: tuple, message: str) -> None:
    for trajectory in (length_trajectory, gradient_trajectory):
        with pytest.raises(InputError, match=message):
            trajectory(*arguments)
    phi, *rest = arguments
    with pytest.raises(InputError, match=message):
        correlation_trajectory(phi, 0.5, *rest)
    with pytest.raises(InputError, match="a correlation c lies within"):
        correlation_trajectory(phi, 1.5, 3, 1.0)


def test_trajectories_are_plain_arrays() -> None:
    assert length_trajectory("tanh", 4, 1.0).shape == gradient_trajectory("tanh", 4, 1.0).shape == (5,)
    assert correlation_trajectory("tanh", 1.0, 4, 1.0).tolist() == [1.0] * 5
    assert np.all(np.diff(gradient_trajectory("sigmoid", 4, 1.0)) < 0)
