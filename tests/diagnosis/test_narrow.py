"""One unit that everything goes through is found, one beside others is not."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import headwater as hw
from headwater.records import Finding

BATCHES = 4


class Parts(nn.Module):
    """Layers in a row, with what ``mix`` makes of the input and of what they give."""

    def __init__(self, layers: list[nn.Module], mix: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.body, self.head, self.mix = nn.Sequential(*layers), nn.LazyLinear(1), mix

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.mix(x, self.body(x)))


def only(x: Tensor, y: Tensor) -> Tensor:
    return y


def shortcut(x: Tensor, y: Tensor) -> Tensor:
    return x + y


def beside(x: Tensor, y: Tensor) -> Tensor:
    return torch.cat([x, y], 1)


def gate(x: Tensor, y: Tensor) -> Tensor:
    return x * y.sigmoid()


def made(layers: Callable[[], list[nn.Module]], mix: Callable[[Tensor, Tensor], Tensor]) -> nn.Module:
    model = Parts(layers(), mix)
    model(torch.zeros(2, 8))
    return model


def hidden(width: int) -> list[nn.Module]:
    return [nn.Linear(8, width), nn.Tanh()]


def explained(model: nn.Module, batches: list[Any]) -> float:
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))
    return float(1 - (model(x) - y).square().mean() / y.var())


def underfitting(
    layers: Callable[[], list[nn.Module]],
    mix: Callable[[Tensor, Tensor], Tensor] = only,
    along: int | None = None,
    metric: Callable[[nn.Module, list[Any]], float] | None = explained,
) -> Finding | None:
    """What is found after 60 steps towards a sum of waves, or towards one direction of the input."""
    torch.set_num_threads(1)
    random = torch.Generator().manual_seed(0)
    x = torch.randn(64 * BATCHES, 8, generator=random)
    y = x[:, along, None].tanh() if along is not None else (2 * x).sin().sum(1, keepdim=True) / 2
    batches = list(zip(x.split(64), y.split(64), strict=True))
    experiment = hw.Experiment(
        model=partial(made, layers, mix),
        batches=lambda: batches,
        loss=lambda model, batch: (model(batch[0]) - batch[1]).square().mean(),
        optimizer=partial(torch.optim.Adam, lr=2e-2),
        validation=lambda: batches,
        metric=metric,
    )
    report = hw.check(experiment, steps=60, seed=0)
    return next((finding for finding in report.findings if finding.message.id == "finding.underfitting_narrow"), None)


def test_one_unit_that_everything_goes_through_is_found() -> None:
    finding = underfitting(lambda: hidden(1))
    assert finding is not None
    assert (finding.severity, finding.sites) == ("warning", ("body.0",))
    assert (finding.causes[0].id, finding.causes[0].why.id) == (
        "capacity_or_label_noise",
        "cause.capacity_or_label_noise.narrow",
    )


@pytest.mark.parametrize("mix", [shortcut, beside, gate])
def test_one_unit_beside_others_is_left_alone(mix: Callable[[Tensor, Tensor], Tensor]) -> None:
    assert underfitting(lambda: hidden(1), mix) is None


def test_one_unit_that_is_enough_is_left_alone() -> None:
    assert underfitting(lambda: hidden(1), along=0) is None


def test_more_units_or_an_unknown_metric_are_left_alone() -> None:
    assert underfitting(lambda: hidden(2)) is None
    assert underfitting(lambda: hidden(1), metric=None) is None
    assert underfitting(lambda: hidden(1), metric=lambda model, batches: explained(model, batches) - 10) is None
