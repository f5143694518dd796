"""An output that is bounded behind the model, in the loss, reaches as little as one that the model bounds itself."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import headwater as hw

Bound = Callable[[Tensor], Tensor]


def found(bound: Bound, low: float, high: float, outputs: int = 1, distance: Any = F.mse_loss) -> list[str]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, outputs))
    batch = torch.randn(64, 8), low + (high - low) * torch.rand(64, outputs)
    report = hw.check(model, batch, lambda model, batch: distance(bound(model(batch[0])), batch[1]))
    return [finding.symptom for finding in report.findings if finding.severity != "info"]


BOUNDED = [
    lambda y: torch.softmax(y, -1),
    torch.sigmoid,
    torch.tanh,
    F.relu,
    lambda y: torch.sigmoid(y).squeeze(-1).unsqueeze(-1),
]


@pytest.mark.parametrize("distance", [F.mse_loss, F.smooth_l1_loss, lambda y, t: 100.0 * F.huber_loss(y, t)])
@pytest.mark.parametrize("bound", BOUNDED)
def test_targets_beyond_the_bounds_are_told(bound: Bound, distance: Any) -> None:
    assert found(bound, -3.0, 3.0, distance=distance)[:1] == ["loss_activation_mismatch"]


@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize(
    ("bound", "low", "high"),
    [
        (torch.sigmoid, 0.0, 1.0),
        (torch.tanh, -1.0, 1.0),
        (F.relu, 0.0, 5.0),
        (lambda y: 6.0 * torch.sigmoid(y) - 3.0, -3.0, 3.0),  # scaled to where the targets lie
        (lambda y: y + torch.tanh(y), -3.0, 3.0),
        (lambda y: y * torch.sigmoid(y), -0.2, 3.0),
        (lambda y: y, -3.0, 3.0),
    ],
)
def test_targets_within_reach_are_not(bound: Bound, low: float, high: float, outputs: int) -> None:
    assert "loss_activation_mismatch" not in found(bound, low, high, outputs)


def test_a_softmax_that_the_model_ends_with_is_bounded_too() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4), nn.Softmax(dim=-1))

    def loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return F.mse_loss(model(batch[0]), batch[1])

    beyond = torch.randn(64, 8), 3.0 * torch.randn(64, 4)
    within = beyond[0], torch.randn(64, 4).softmax(-1)
    answers = [{f.symptom for f in hw.check(model, batch, loss).findings} for batch in (beyond, within)]
    assert "loss_activation_mismatch" in answers[0]
    assert "loss_activation_mismatch" not in answers[1]
