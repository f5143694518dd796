"""What counts is what arrives at a layer with weights, not what the model is called with."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import headwater as hw
from headwater.report import Report
from tests.cases import vectors


class Timed(nn.Module):
    """Two blocks that are told the time, 0 to 1,000, as it is or as waves."""

    def __init__(self, waves: bool, scale: float = 1.0) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(8, 16), nn.Linear(16, 3)
        self.times = nn.ModuleList(nn.Linear(4, 16) for _ in range(2))
        self.waves, self.scale = waves, scale

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        known = (time * torch.tensor([0.001, 0.003, 0.01, 0.03])).sin() if self.waves else time.expand(-1, 4)
        x = self.stem(x * self.scale)
        for layer in self.times:
            x = x + torch.tanh(x + layer(known))
        return self.head(x)


class Frozen(nn.Module):
    """A frozen part whose outputs are large, and a head on what it tells."""

    def __init__(self) -> None:
        super().__init__()
        self.part, self.head = nn.Sequential(nn.Linear(8, 16), nn.ReLU()), nn.Linear(16, 3)
        self.part.requires_grad_(False)
        with torch.no_grad():
            self.part[0].weight.mul_(100.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.part(x) + 50.0)


def timed(model: nn.Module, batch: Any) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    time = torch.randint(1000, (len(batch[0]), 1), generator=generator).float()
    return nn.functional.cross_entropy(model(batch[0], time), batch[1])


def alone(model: nn.Module, batch: Any) -> Tensor:
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def sites(report: Report) -> tuple[str, ...] | None:
    return next((finding.sites for finding in report.findings if finding.symptom == "unscaled_input"), None)


@pytest.mark.parametrize(("waves", "expected"), [(False, ("times.0", "times.1")), (True, None)])
def test_second_input_counts_as_it_arrives(waves: bool, expected: tuple[str, ...] | None) -> None:
    torch.manual_seed(0)
    assert sites(hw.check(Timed(waves), vectors(), timed)) == expected


def test_input_that_the_model_scales_itself_is_scaled() -> None:
    torch.manual_seed(0)
    x, y = vectors()
    assert sites(hw.check(Timed(True, scale=1 / 100), (100 * x, y), timed)) is None
    assert sites(hw.check(Timed(True), (100 * x, y), timed)) == ("stem",)


def test_outputs_of_a_frozen_part_are_no_input() -> None:
    torch.manual_seed(0)
    assert sites(hw.check(Frozen(), vectors(), alone)) is None
