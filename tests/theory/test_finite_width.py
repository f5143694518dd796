"""The spread that a finite width adds, against networks that are really drawn."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from headwater.records import InputError
from headwater.theory import (
    gaussian_merging_depth,
    gaussian_product_edge,
    length_spread,
    log_length_variance,
    median_log_length,
    nonlinearity,
)


def drawn(phi: Callable[[Tensor], Tensor], gain: float, widths: list[int], draws: int) -> tuple[float, float]:
    """Variance and mean of ln |h|²/n over draws of the weights, from an input with |x|² = n."""
    torch.manual_seed(0)
    h = torch.ones(draws, 1, widths[0], dtype=torch.float64)
    for width in widths:
        fan_in = h.shape[-1]
        h = phi(h @ (torch.randn(draws, fan_in, width, dtype=torch.float64) * (gain / math.sqrt(fan_in))))
    logs = torch.log(h.square().mean(-1))
    return logs.var().item(), logs.mean().item()


def test_check_15_relu_varies_by_5_over_the_width_per_layer() -> None:
    spread, center = drawn(torch.relu, math.sqrt(2.0), [50] * 20, 400)
    assert 1.6 < spread < 2.7
    theory = log_length_variance("relu", [50] * 20)
    assert theory == pytest.approx(2.0, rel=1e-9)
    assert spread == pytest.approx(theory, rel=0.25)
    # The logarithm of the mean starts at ln ½, E[φ²] of the first layer's He-initialised pre-activations being 1.
    assert center == pytest.approx(median_log_length(theory), abs=0.2)


def test_check_15_linear_varies_by_2_over_the_width_per_layer() -> None:
    spread, center = drawn(lambda z: z, 1.0, [50] * 20, 400)
    assert 0.7 < spread < 1.2
    theory = log_length_variance("identity", [50] * 20)
    assert theory == pytest.approx(0.8, rel=1e-9)
    assert spread == pytest.approx(theory, rel=0.25)
    assert center == pytest.approx(median_log_length(theory), abs=0.15)


@pytest.mark.parametrize(("phi", "gain"), [("tanh", 1.0), ("tanh", 5 / 3), ("gelu", 1.4), ("sigmoid", 3.0)])
def test_spread_of_other_activations_is_that_of_drawn_networks(phi: str, gain: float) -> None:
    # Given |h|, the next units are independent draws of N(0, σ_w² |h|²/n): no matrix has to be drawn for one input.
    torch.manual_seed(0)
    widths, draws = [300, 500, 400, 300], 4000
    function = torch.nn.functional.gelu if phi == "gelu" else getattr(torch, phi)
    square = torch.ones(draws, 1, dtype=torch.float64)
    for width in widths:
        square = function(torch.randn(draws, width) * gain * square.sqrt()).square().mean(-1, keepdim=True)
    theory = log_length_variance(phi, widths, gain**2, q=gain**2)
    assert square.log().var().item() == pytest.approx(theory, rel=0.1)


def test_activation_that_saturates_forgets_the_spread() -> None:
    deep = log_length_variance("tanh", [100] * 500, 25 / 9)
    assert deep < 2.0 * log_length_variance("tanh", [100], 25 / 9, q=1.1785)
    assert log_length_variance("relu", [100] * 500) == pytest.approx(25.0)


def test_biases_dampen_the_spread() -> None:
    with_biases = log_length_variance("relu", [50] * 20, 1.0, 0.5)
    assert with_biases < 0.2 * log_length_variance("relu", [50] * 20, 1.0)


@given(st.floats(-2.0, 2.0), st.floats(0.01, 100.0))
def test_spread_of_leaky_relu_is_its_closed_form(slope: float, q: float) -> None:
    f = nonlinearity("leaky_relu", negative_slope=slope)
    assert length_spread(f, q) == pytest.approx(6.0 * (1.0 + slope**4) / (1.0 + slope**2) ** 2 - 1.0, rel=1e-11)


def test_check_16_product_of_gaussian_matrices_is_far_from_an_isometry() -> None:
    torch.manual_seed(0)
    product = torch.eye(200, dtype=torch.float64).expand(10, 200, 200)
    for _ in range(10):
        product = torch.randn(10, 200, 200, dtype=torch.float64) / math.sqrt(200) @ product
    values = torch.linalg.svdvals(product)
    largest = values[:, 0].square().mean().item()
    assert 20.0 < largest < 32.0
    assert 0.2 < (values < 1e-3).double().mean().item() < 0.35
    assert values.square().mean().item() == pytest.approx(1.0, abs=0.05)
    # The edge of the law; the largest of 200 stays below it.
    assert gaussian_product_edge(10) == pytest.approx(28.5, abs=0.05)
    assert 0.75 < largest / gaussian_product_edge(10) < 1.0


def test_check_16_product_of_orthogonal_matrices_is_one() -> None:
    torch.manual_seed(0)
    product = torch.eye(200, dtype=torch.float64)
    for _ in range(10):
        product = torch.nn.init.orthogonal_(torch.empty(200, 200, dtype=torch.float64)) @ product
    torch.testing.assert_close(torch.linalg.svdvals(product), torch.ones(200).double(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("depth", "edge"), [(1, 4.0), (4, 12.2), (10, 28.5)])
def test_edge_of_a_product_is_the_published_one(depth: int, edge: float) -> None:
    assert gaussian_product_edge(depth) == pytest.approx(edge, abs=0.05)
    assert gaussian_product_edge(1000) == pytest.approx(math.e * 1000.5, rel=1e-4)


def test_independent_weights_turn_two_inputs_into_one_direction_where_theory_says() -> None:
    """ln(1 - |cos|) at that depth, averaged over draws, is within a quarter of the logarithm that was asked for."""
    width, cosine = 32, 0.9999
    torch.manual_seed(0)
    pairs = torch.randn(50, 2, width, dtype=torch.float64)
    for _ in range(gaussian_merging_depth(width, cosine)):
        pairs = pairs @ torch.randn(50, width, width, dtype=torch.float64)
        pairs = pairs / pairs.norm(dim=2, keepdim=True)
    apart = 1.0 - (pairs[:, 0] * pairs[:, 1]).sum(1).abs()
    assert apart.log().mean().item() == pytest.approx(math.log(1.0 - cosine), rel=0.25)
    assert gaussian_merging_depth(64, cosine) == pytest.approx(2 * gaussian_merging_depth(width, cosine), rel=0.03)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: log_length_variance("relu", []), r"widths are the numbers of units .*got \[\]"),
        (lambda: log_length_variance("relu", [3, 0]), "all at least 1"),
        (lambda: log_length_variance("relu", [3], -1.0), "sigma_w2 is"),
        (lambda: log_length_variance("relu", [3], q=0.0), "q is the variance"),
        (lambda: median_log_length(-1.0), "variance cannot be negative, got -1.0; log_length_variance"),
        (lambda: gaussian_product_edge(0), "depth is a number of layers"),
        (lambda: gaussian_merging_depth(1, 0.99), "width is at least 2"),
        (lambda: gaussian_merging_depth(64, 0.3), "cosine between 0.5 and 1"),
    ],
)
def test_what_has_no_spread_is_refused(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(InputError, match=message):
        call()
