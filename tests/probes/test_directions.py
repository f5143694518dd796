"""Whether a matrix has a direction that stands out: as drawn none, after training some."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from headwater.probes.directions import strongest_direction, with_directions
from headwater.probes.measure import measure

DRAWS: dict[str, Callable[[Tensor], Any]] = {
    "normal": lambda w: nn.init.normal_(w, std=0.02),
    "uniform": lambda w: nn.init.uniform_(w, -0.1, 0.1),
    "truncated": lambda w: nn.init.trunc_normal_(w, std=0.02, a=-0.04, b=0.04),
    "he": nn.init.kaiming_normal_,
}


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("shape", [(64, 64), (32, 256), (16, 8, 3, 3), (400, 500)])
def test_independent_numbers_reach_the_edge_and_no_more(draw: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    weight = torch.empty(shape)
    DRAWS[draw](weight)
    found = strongest_direction(weight)
    assert found is not None
    assert 0.85 < found < 1.1


def test_value_is_that_of_a_full_decomposition() -> None:
    torch.manual_seed(0)
    weight = torch.randn(24, 40) + 0.3
    expected = float(torch.linalg.matrix_norm(weight, 2)) / (
        float(weight.square().mean().sqrt()) * (math.sqrt(24) + math.sqrt(40))
    )
    assert strongest_direction(weight) == pytest.approx(expected, rel=1e-5)


def test_scale_does_not_matter() -> None:
    torch.manual_seed(0)
    weight = torch.randn(32, 32, dtype=torch.float64)
    assert strongest_direction(1e-30 * weight) == pytest.approx(strongest_direction(weight))


def test_orthogonal_matrix_lies_below_and_a_direction_that_was_learnt_above() -> None:
    torch.manual_seed(0)
    orthogonal = torch.empty(64, 64)
    nn.init.orthogonal_(orthogonal)
    assert strongest_direction(orthogonal) == pytest.approx(0.5, rel=1e-3)
    learnt = orthogonal + 2.0 * torch.outer(*torch.nn.functional.normalize(torch.randn(2, 64)))
    assert (strongest_direction(learnt) or 0.0) > 1.15


@pytest.mark.parametrize(
    "weight",
    [
        torch.zeros(16, 16),
        torch.ones(16),
        torch.randn(4, 64),
        torch.full((16, 16), float("nan")),
        torch.ones(16, 16).int(),
    ],
    ids=["zeros", "vector", "narrow", "nan", "whole numbers"],
)
def test_nothing_is_said_where_nothing_can_be(weight: Tensor) -> None:
    assert strongest_direction(weight) is None


def test_only_frozen_matrices_are_looked_at() -> None:
    model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16))
    model[0].requires_grad_(False)
    flow = measure(model, torch.randn(32, 16), lambda m, x: m(x).square().mean())
    found = {p.name: p.strongest_direction for p in flow.parameters}
    assert found["0.weight"] is not None
    assert [found[name] for name in ("0.bias", "2.weight", "2.bias")] == [None, None, None]
    assert with_directions(flow.parameters, model) == flow.parameters
