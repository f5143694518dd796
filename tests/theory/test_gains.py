"""Gains and expectations against numbers found in another way, and the page that lists them against the code."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from headwater.theory import ACTIVATIONS, gain_backward, gain_forward
from headwater.theory.gaussian import expectation
from tests.helpers import ROOT, with_generated

# id, parameters, E[φ], E[φ²], E[φ′²], gain forward, gain backward: computed by adaptive quadrature at q = 1.
REFERENCE = [
    ("identity", {}, 0.0, 1.0, 1.0, 1.0, 1.0),
    ("sigmoid", {}, 0.5, 0.293379, 0.044836, 1.84623, 4.72265),
    ("tanh", {}, 0.0, 0.394294, 0.464403, 1.59254, 1.46741),
    ("relu", {}, 0.398942, 0.5, 0.5, 1.41421, 1.41421),
    ("leaky_relu", {}, 0.394953, 0.500050, 0.500050, 1.41414, 1.41414),
    ("leaky_relu", {"negative_slope": 0.2}, 0.319154, 0.52, 0.52, 1.38675, 1.38675),
    ("prelu", {}, 0.299207, 0.53125, 0.53125, 1.37199, 1.37199),
    ("elu", {}, 0.160521, 0.644945, 0.668102, 1.24520, 1.22343),
    ("relu6", {}, 0.398942, 0.5, 0.5, 1.41421, 1.41421),
    ("selu", {}, 0.0, 1.0, 1.071575, 1.0, 0.96603),
    ("gelu", {}, 0.282095, 0.425221, 0.455851, 1.53353, 1.48111),
    ("silu", {}, 0.206621, 0.355776, 0.379482, 1.67653, 1.62332),
    ("mish", {}, 0.240404, 0.452342, 0.479084, 1.48685, 1.44476),
    ("softplus", {}, 0.806059, 0.921246, 0.293379, 1.04187, 1.84623),
    ("softsign", {}, 0.0, 0.183014, 0.227671, 2.33753, 2.09578),
    ("hardtanh", {}, 0.0, 0.516059, 0.682689, 1.39204, 1.21029),
]


@pytest.mark.parametrize("row", REFERENCE, ids=lambda row: " ".join([row[0], *map(str, row[1].values())]))
def test_expectations_are_those_of_adaptive_quadrature(row: tuple) -> None:
    id_, parameters, mean, square, slope_square, forward, backward = row
    activation = ACTIVATIONS[id_]
    second = expectation(lambda z: activation.phi(z, **parameters) ** 2, activation.kinks)
    slopes = expectation(lambda z: activation.derivative(z, **parameters) ** 2, activation.kinks)
    assert expectation(lambda z: activation.phi(z, **parameters), activation.kinks) == pytest.approx(mean, abs=1e-6)
    assert second == pytest.approx(square, abs=1e-6)
    assert slopes == pytest.approx(slope_square, abs=1e-6)
    assert second**-0.5 == pytest.approx(forward, abs=1e-5)
    assert slopes**-0.5 == pytest.approx(backward, abs=1e-5)
    if not parameters:
        assert gain_forward(id_) == pytest.approx(forward, abs=1e-5)
        assert gain_backward(id_) == pytest.approx(backward, abs=1e-5)


def test_every_activation_has_a_row() -> None:
    assert {row[0] for row in REFERENCE} == set(ACTIVATIONS) - {"gelu_tanh"}
    assert gain_forward("gelu_tanh") == pytest.approx(gain_forward("gelu"), abs=1e-3)
    assert gain_backward("gelu_tanh") == pytest.approx(gain_backward("gelu"), abs=1e-3)


def test_gain_of_rectifiers_is_the_one_torch_recommends() -> None:
    assert gain_forward("relu") == pytest.approx(torch.nn.init.calculate_gain("relu"), abs=1e-12)
    assert gain_forward("leaky_relu") == pytest.approx(torch.nn.init.calculate_gain("leaky_relu", 0.01), abs=1e-12)


def test_gain_of_an_unknown_activation_is_refused() -> None:
    with pytest.raises(KeyError, match="swoosh"):
        gain_forward("swoosh")


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


def table() -> str:
    """What docs/theory.md says of every activation, from the code."""
    rows = [
        "| activation | E[φ] | E[φ²] | Var[φ] | E[φ′²] | forward gain | backward gain |",
        "|---|---|---|---|---|---|---|",
    ]
    for id_, activation in ACTIVATIONS.items():
        mean = expectation(activation.phi, activation.kinks)
        square = expectation(lambda z, phi=activation.phi: phi(z) ** 2, activation.kinks)
        slope = expectation(lambda z, slope=activation.derivative: slope(z) ** 2, activation.kinks)
        numbers = (mean, square, square - mean**2, slope, gain_forward(id_), gain_backward(id_))
        # Adding 0 takes the sign off a mean that rounds to -0.
        rows.append(f"| `{id_}` | " + " | ".join(f"{round(number, 4) + 0:.4f}" for number in numbers) + " |")
    return "\n".join(rows)


def test_page_lists_the_gains_as_they_are(golden: Callable[[Path, str], None]) -> None:
    page = ROOT / "docs" / "theory.md"
    golden(page, with_generated(page, "headwater.theory", table()))
