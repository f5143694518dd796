"""Tailored activations against the published parameters and against what they are to satisfy."""

import math

import numpy as np
import pytest

from headwater.records import InputError
from headwater.theory import (
    ACTIVATIONS,
    TailoredActivation,
    correlation_map,
    correlation_slope,
    correlation_trajectory,
    gain_forward,
    leaky_correlation_map,
    length_map_slope,
    mean,
    nonlinearity,
    second_moment,
    slope_second_moment,
    tailored_activation,
    tailored_leaky,
)

SMOOTH = [a.id for a in ACTIVATIONS.values() if a.family == "smooth_rectifier"] + ["sigmoid", "tanh", "softsign"]


@pytest.mark.parametrize(
    ("depth", "slope"),
    [
        (20, 0.18138),
        (50, 0.43052),
        (100, 0.57044),
        (200, 0.67960),
        (500, 0.78624),
        (1000, 0.84435),
        (10000, 0.94813),
    ],
)
def test_check_17_slope_of_leaky_relu_is_the_published_one(depth: int, slope: float) -> None:
    assert tailored_leaky(depth).negative_slope == pytest.approx(slope, abs=1e-5)


@pytest.mark.parametrize(("depth", "gain"), [(20, 1.39151), (100, 1.22840), (1000, 1.08055)])
def test_check_17_gain_of_leaky_relu_is_the_published_one(depth: int, gain: float) -> None:
    assert tailored_leaky(depth).gain == pytest.approx(gain, abs=1e-5)


@pytest.mark.parametrize(("depth", "eta"), [(20, 0.9), (100, 0.5), (300, 0.99)])
def test_tailored_leaky_keeps_orthogonal_inputs_apart(depth: int, eta: float) -> None:
    tailored = tailored_leaky(depth, eta)
    assert tailored.gain == pytest.approx(gain_forward("leaky_relu", negative_slope=tailored.negative_slope), rel=1e-12)
    c = 0.0
    for _ in range(depth):
        c = leaky_correlation_map(c, tailored.negative_slope)
    assert c == pytest.approx(eta, abs=1e-9)


def test_tailored_leaky_keeps_its_promise_by_quadrature_as_well() -> None:
    tailored = tailored_leaky(30)
    f = nonlinearity("leaky_relu", negative_slope=tailored.negative_slope)
    assert correlation_trajectory(f, 0.0, 30, tailored.gain**2)[-1] == pytest.approx(0.9, abs=1e-9)


# φ, L, α, β, δ, γ: what the official package gives. The sign of β is free where φ is odd about a point.
PUBLISHED = [
    ("tanh", 100, 0.090438, 0.560107, -0.505004, 14.9025),
    ("tanh", 1000, 0.028489, 0.550392, -0.500510, 46.852),
    ("gelu", 100, 0.085391, 0.259073, -0.158726, 16.6782),
    ("silu", 100, 0.129494, 0.349475, -0.208893, 11.5045),
    ("softplus", 100, 0.228024, 0.407510, -0.923720, 7.30325),
    ("sigmoid", 100, 0.180876, 1.120213, -1.0 + 0.247498, 29.8051),
]


@pytest.mark.parametrize(("phi", "depth", "alpha", "beta", "delta", "gamma"), PUBLISHED)
def test_check_17_shift_and_scale_are_the_published_ones(
    phi: str, depth: int, alpha: float, beta: float, delta: float, gamma: float
) -> None:
    tailored = tailored_activation(phi, depth)
    assert tailored.alpha == pytest.approx(alpha, rel=1e-4)
    assert tailored.beta == pytest.approx(beta, abs=1e-5)
    assert tailored.delta == pytest.approx(delta, abs=1e-5)
    assert tailored.gamma == pytest.approx(gamma, rel=1e-4)


@pytest.mark.parametrize("depth", [10, 100])
@pytest.mark.parametrize("phi", SMOOTH)
def test_check_18_tailored_activation_satisfies_its_conditions(phi: str, depth: int) -> None:
    f = tailored_activation(phi, depth).nonlinearity()
    assert mean(f) == pytest.approx(0.0, abs=1e-10)
    assert second_moment(f) == pytest.approx(1.0, abs=1e-10)
    assert slope_second_moment(f) == pytest.approx(1.5 ** (1.0 / depth), abs=1e-10)
    assert length_map_slope(f, 1.0, 1.0) == pytest.approx(1.0, abs=1e-8)


def test_tailored_activation_keeps_inputs_apart_where_the_plain_one_merges_them() -> None:
    f = tailored_activation("tanh", 50).nonlinearity()
    assert correlation_map(f, 0.0, 1.0, 1.0) == pytest.approx(0.0, abs=1e-12)
    slope = correlation_slope(f, 1.0, 1.0, 1.0) ** 50
    assert slope == pytest.approx(1.5, rel=1e-9)
    assert correlation_trajectory(f, 0.5, 50, 1.0)[-1] < 0.55
    assert correlation_trajectory("softplus", 0.5, 50, gain_forward("softplus") ** 2)[-1] > 0.99


def test_sigmoid_and_tanh_become_the_same_function() -> None:
    sigmoid, tanh = tailored_activation("sigmoid", 100), tailored_activation("tanh", 100)
    # tanh(x) = 2σ(2x) - 1
    assert (sigmoid.alpha, sigmoid.beta) == pytest.approx((2.0 * tanh.alpha, 2.0 * tanh.beta), rel=1e-6)
    assert sigmoid.gamma == pytest.approx(2.0 * tanh.gamma, rel=1e-6)


def test_tailored_activation_of_ones_own_function() -> None:
    tanh = ACTIVATIONS["tanh"]
    own = tailored_activation(nonlinearity(tanh.phi, tanh.derivative), 100)
    table = tailored_activation("tanh", 100)
    assert (own.alpha, own.beta, own.gamma) == pytest.approx((table.alpha, table.beta, table.gamma), rel=1e-9)
    assert own.nonlinearity().name == "tailored tanh"


def test_derivative_of_a_tailored_activation_is_its_own() -> None:
    f = tailored_activation("elu", 100).nonlinearity()
    (kink,) = f.kinks
    for x in (kink - 1.0, kink + 1.0, 0.3):
        slope = (f.phi(x + 1e-6) - f.phi(x - 1e-6)) / 2e-6
        assert f.derivative(x) == pytest.approx(slope, rel=1e-7)


def test_parameters_make_a_module() -> None:
    # What a remedy needs: five numbers and the function they go round.
    tailored = tailored_activation("silu", 100)
    assert isinstance(tailored, TailoredActivation)
    f = tailored.nonlinearity()
    x = 0.7
    inner = tailored.alpha * x + tailored.beta
    wanted = tailored.gamma * (inner / (1.0 + math.exp(-inner)) + tailored.delta)
    assert f.phi(x) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("phi", ["identity", "relu", "hardtanh"])
def test_piecewise_linear_activations_cannot_be_shaped(phi: str) -> None:
    with pytest.raises(InputError, match=f"{phi} cannot be shaped for 100 layers with zeta=1.5.*tailored_leaky"):
        tailored_activation(phi, 100)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tailored_leaky(0), "depth is a number of layers"),
        (lambda: tailored_leaky(100, eta=1.0), "eta is the correlation to end with"),
        (lambda: tailored_leaky(100, eta=0.0), "eta is the correlation to end with"),
        (lambda: tailored_leaky(2), "2 layers of ReLU.* correlation 0.494, below eta=0.9.*Keep ReLU"),
        (lambda: tailored_activation("tanh", 0), "depth is a number of layers"),
        (lambda: tailored_activation("tanh", 100, zeta=1.0), "zeta is the end-to-end slope"),
        (lambda: tailored_activation("tahn", 100), "did you mean 'tanh'"),
        (lambda: leaky_correlation_map(1.1, 0.2), "c is a correlation"),
        (lambda: tailored_activation(nonlinearity(np.log, np.reciprocal, kinks=()), 10), "log is not finite within"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_cannot_be_tailored_is_refused(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(InputError, match=message):
        call()


def test_one_layer_is_told_what_asks_for_less() -> None:
    with pytest.raises(
        InputError, match=r"softplus cannot be shaped for 1 layer with.*a greater depth or a zeta closer"
    ):
        tailored_activation("softplus", 1)
    with pytest.raises(InputError, match=r"^1 layer of ReLU, the strongest bend, can bring"):
        tailored_leaky(1)
