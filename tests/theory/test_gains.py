"""Gains against numbers found in another way, against torch's, and what is refused."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headwater.records import InputError
from headwater.theory import (
    ACTIVATIONS,
    calculate_gain,
    gain_backward,
    gain_forward,
    gain_sd,
    mean,
    nonlinearity,
    second_moment,
    slope_second_moment,
    variance,
)

# id, parameters, E[φ], E[φ²], Var[φ], E[φ′²], gains forward, backward and sd: by adaptive quadrature at q = 1.
TABLE_A = [
    ("identity", {}, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    ("sigmoid", {}, 0.5, 0.293379, 0.043379, 0.044836, 1.84623, 4.72265, 4.80131),
    ("tanh", {}, 0.0, 0.394294, 0.394294, 0.464403, 1.59254, 1.46741, 1.59254),
    ("relu", {}, 0.398942, 0.5, 0.340845, 0.5, 1.41421, 1.41421, 1.71286),
    ("leaky_relu", {}, 0.394953, 0.500050, 0.344062, 0.500050, 1.41414, 1.41414, 1.70483),
    ("leaky_relu", {"negative_slope": 0.2}, 0.319154, 0.52, 0.418141, 0.52, 1.38675, 1.38675, 1.54646),
    ("prelu", {}, 0.299207, 0.53125, 0.441725, 0.53125, 1.37199, 1.37199, 1.50461),
    ("elu", {}, 0.160521, 0.644945, 0.619179, 0.668102, 1.24520, 1.22343, 1.27084),
    ("relu6", {}, 0.398942, 0.5, 0.340845, 0.5, 1.41421, 1.41421, 1.71286),
    ("selu", {}, 0.0, 1.0, 1.0, 1.071575, 1.0, 0.96603, 1.0),
    ("gelu", {}, 0.282095, 0.425221, 0.345644, 0.455851, 1.53353, 1.48111, 1.70093),
    ("silu", {}, 0.206621, 0.355776, 0.313083, 0.379482, 1.67653, 1.62332, 1.78719),
    ("mish", {}, 0.240404, 0.452342, 0.394548, 0.479084, 1.48685, 1.44476, 1.59203),
    ("softplus", {}, 0.806059, 0.921246, 0.271515, 0.293379, 1.04187, 1.84623, 1.91913),
    ("softsign", {}, 0.0, 0.183014, 0.183014, 0.227671, 2.33753, 2.09578, 2.33753),
    ("hardtanh", {}, 0.0, 0.516059, 0.516059, 0.682689, 1.39204, 1.21029, 1.39204),
]
GAINS = (gain_forward, gain_backward, gain_sd)


@pytest.mark.parametrize("row", TABLE_A, ids=lambda row: " ".join([row[0], *map(str, row[1].values())]))
def test_check_01_moments_and_gains_are_those_of_table_a(row: tuple) -> None:
    id_, parameters, center, square, spread, slope_square, forward, backward, sd = row
    f = nonlinearity(id_, **parameters)
    assert mean(f) == pytest.approx(center, abs=1e-6)
    assert second_moment(f) == pytest.approx(square, abs=1e-6)
    assert variance(f) == pytest.approx(spread, abs=1e-6)
    assert slope_second_moment(f) == pytest.approx(slope_square, abs=1e-6)
    gains = [gain(id_, **parameters) for gain in GAINS]
    assert gains == pytest.approx([forward, backward, sd], abs=1e-5)


def test_table_a_has_every_activation() -> None:
    assert {row[0] for row in TABLE_A} == set(ACTIVATIONS) - {"gelu_tanh"}
    for gain in GAINS:
        assert gain("gelu_tanh") == pytest.approx(gain("gelu"), abs=1e-3)


@pytest.mark.parametrize(
    ("id_", "growth"),
    [("sigmoid", 0.15283), ("tanh", 1.17781), ("relu", 1.0), ("selu", 1.07157), ("softplus", 0.31846)],
)
def test_gradients_grow_by_the_ratio_of_gains_where_the_forward_one_is_used(id_: str, growth: float) -> None:
    assert (gain_forward(id_) / gain_backward(id_)) ** 2 == pytest.approx(growth, abs=1e-5)


@given(st.floats(-3.0, 3.0))
def test_gain_of_leaky_relu_is_its_closed_form(slope: float) -> None:
    wanted = math.sqrt(2.0 / (1.0 + slope**2))
    assert gain_forward("leaky_relu", negative_slope=slope) == pytest.approx(wanted, rel=1e-12)
    assert gain_backward("prelu", weight=slope) == pytest.approx(wanted, rel=1e-12)


def test_gain_follows_moved_kinks() -> None:
    # E[clip(z, -a, a)²] in closed form, with the kink away from every edge of the quadrature's own grid.
    a = 0.37
    tail = math.erfc(a / math.sqrt(2.0))
    square = (1.0 - tail) - 2.0 * a * math.exp(-a * a / 2.0) / math.sqrt(2.0 * math.pi) + a * a * tail
    assert gain_forward("hardtanh", min_val=-a, max_val=a) == pytest.approx(square**-0.5, rel=1e-12)


TORCH = [("linear", None), ("conv1d", None), ("conv2d", None), ("conv3d", None), ("conv_transpose1d", None)]
TORCH += [("conv_transpose2d", None), ("conv_transpose3d", None), ("sigmoid", None), ("tanh", None), ("relu", None)]
TORCH += [("leaky_relu", None), ("leaky_relu", 0.2), ("leaky_relu", 1), ("selu", None)]


@pytest.mark.parametrize(("name", "param"), TORCH)
def test_check_02_gain_is_torchs_where_torch_has_one(name: str, param: float | None) -> None:
    assert calculate_gain(name, param) == pytest.approx(torch.nn.init.calculate_gain(name, param), rel=1e-12)


@pytest.mark.parametrize(
    ("name", "gain"),
    [
        ("gelu", 1.53353),
        ("silu", 1.67653),
        ("elu", 1.24520),
        ("mish", 1.48685),
        ("softplus", 1.04187),
        ("softsign", 2.33753),
        ("hardtanh", 1.39204),
        ("prelu", 1.37199),
        ("relu6", 1.41421),
    ],
)
def test_check_02_gain_is_the_forward_one_where_torch_refuses(name: str, gain: float) -> None:
    with pytest.raises(ValueError, match="Unsupported nonlinearity"):
        torch.nn.init.calculate_gain(name)  # once torch knows it, it belongs into the table above
    assert calculate_gain(name) == pytest.approx(gain, abs=1e-5)


def test_gain_takes_the_first_parameter_of_any_activation() -> None:
    assert calculate_gain("elu", 2.0) == gain_forward("elu", alpha=2.0) != gain_forward("elu")
    assert calculate_gain("prelu", 0.5) == pytest.approx(torch.nn.init.calculate_gain("leaky_relu", 0.5), rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("swish",), r"no activation 'swish': did you mean .*'silu'|no activation 'swish'.*silu"),
        (("GELU",), "did you mean 'gelu'"),
        (("leaky_relu", True), "leaky_relu takes no parameter True: pass a number for negative_slope"),
        (("leaky_relu", "0.1"), "leaky_relu takes no parameter '0.1'"),
        (("mish", 0.5), r"mish takes no parameter 0.5: calculate_gain\('mish'\)"),
        (("leaky_relu", math.inf), "negative_slope of leaky_relu is inf"),
    ],
)
def test_gain_that_cannot_be_calculated_is_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message):
        calculate_gain(*arguments)


@pytest.mark.parametrize("gain", GAINS)
def test_gain_of_an_unknown_activation_is_refused(gain: object) -> None:
    assert callable(gain)
    with pytest.raises(InputError, match="no activation 'swoosh'"):
        gain("swoosh")


def test_gain_of_an_activation_that_does_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"hardtanh\(max_val=0.0, min_val=0.0\) is 0 everywhere"):
        gain_forward("hardtanh", min_val=0.0, max_val=0.0)
    with pytest.raises(InputError, match="is flat everywhere"):
        gain_backward("hardtanh", min_val=1.0, max_val=1.0)
    with pytest.raises(InputError, match="is constant"):
        gain_sd("hardtanh", min_val=1.0, max_val=1.0)
