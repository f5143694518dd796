"""Targets of other kinds: quantiles, grades in order, several labels at once, counts, means with their doubt."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_more as tasks
from benchmarks.faults.build import (
    Loss,
    adam,
    adamw,
    binary_accuracy,
    binary_cross_entropy,
    frozen,
    nadam,
    normal,
    of_the_last,
    probability_accuracy,
    rmsprop,
    sgd,
)
from benchmarks.faults.recipe import healthy_of


class Told(nn.Module):
    """Layers in a row, then as many numbers as are told."""

    def __init__(
        self,
        inputs: int = 10,
        outputs: int = 1,
        width: int = 48,
        depth: int = 2,
        activation: Callable[[], nn.Module] = nn.ReLU,
        norm: Callable[[int], nn.Module] | None = None,
        dropout: float = 0.0,
        last: Callable[[Tensor], Tensor] | None = None,
        cut: bool = False,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(depth):
            layers += [nn.Linear(width if index else inputs, width), *([norm(width)] if norm else [])]
            layers += [activation(), *([nn.Dropout(dropout)] if dropout else [])]
        self.trunk = nn.Sequential(*layers)
        self.tell = nn.Linear(width, outputs)
        self.last, self.cut = last, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, outputs)."""
        h = self.trunk(x)
        y = self.tell(h.detach() if self.cut else h)
        return y if self.last is None else self.last(y)


SHARES = torch.tensor([0.1, 0.5, 0.9])


def pinball(model: nn.Module, batch: Any) -> Tensor:
    """Loss of three quantiles (Koenker and Bassett 1978)."""
    over = batch[1] - model(batch[0])
    return torch.maximum(SHARES * over, (SHARES - 1) * over).mean()


def pinball_gain(model: nn.Module, batches: Iterable[Any]) -> float:
    """Share of the loss of the targets' own quantiles that the model's are spared; at least -1."""
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))
    over = y - torch.quantile(y, SHARES)
    known = torch.maximum(SHARES * over, (SHARES - 1) * over).mean()
    gain = float((1 - pinball(model, (x, y)) / known).clamp(min=-1.0))
    return gain if math.isfinite(gain) else -1.0


def in_order(model: nn.Module, batch: Any) -> Tensor:
    """Is the grade above the first, the second, ...: a yes or no for each (Cheng et al. 2008; Cao et al. 2020)."""
    above = (batch[1][:, None] > torch.arange(tasks.GRADES - 1)).float()
    return F.binary_cross_entropy_with_logits(model(batch[0]), above)


def grade_nearness(model: nn.Module, batches: Iterable[Any]) -> float:
    """How near the grades told are: 1 less the mean distance over that of the middle grade; at least -1."""
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))
    grade = (model(x) > 0).sum(1)
    return max(float(1 - (grade - y).abs().float().mean() / (y - tasks.GRADES // 2).abs().float().mean()), -1.0)


def focal(model: nn.Module, batch: Any) -> Tensor:
    """Cross-entropy of yes and no, less of it where the answer is nearly right already (Lin et al. 2017)."""
    loss = F.binary_cross_entropy_with_logits(model(batch[0]), batch[1], reduction="none")
    return (loss * (1 - torch.exp(-loss)).square()).mean()


def of_counts(model: nn.Module, batch: Any) -> Tensor:
    """Poisson's loss of logarithms of rates."""
    return F.poisson_nll_loss(model(batch[0]), batch[1])


def of_bare_rates(model: nn.Module, batch: Any) -> Tensor:
    """The same of rates, as a textbook has it: with a logarithm of what may be below 0."""
    rate = model(batch[0])
    return (rate - batch[1] * torch.log(rate)).mean()


def counts_explained(model: nn.Module, batches: Iterable[Any]) -> float:
    """Share of the deviance of the mean rate that is explained; at least -1."""
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))

    def deviance(rate: Tensor) -> Tensor:
        return (torch.xlogy(y, y / rate) - (y - rate)).sum()

    share = float((1 - deviance(model(x).exp()) / deviance(y.mean().expand_as(y))).clamp(min=-1.0))
    return share if math.isfinite(share) else -1.0


def rates_explained(model: nn.Module, batches: Iterable[Any]) -> float:
    """The same of a network that gives rates."""

    class Logarithm(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return model(x).log()

    return counts_explained(Logarithm(), batches)


def doubtful(spread: Callable[[Tensor], Tensor]) -> Loss:
    """Gaussian likelihood of a mean and a variance that are both told (Nix and Weigend 1994)."""

    def loss(model: nn.Module, batch: Any) -> Tensor:
        mean, raw = model(batch[0]).chunk(2, 1)
        variance = spread(raw)
        return 0.5 * (variance.log() + (batch[1] - mean).square() / variance).mean()

    return loss


def lifted(raw: Tensor) -> Tensor:
    """Softplus and a little more."""
    return F.softplus(raw) + 1e-3


def means_explained(model: nn.Module, batches: Iterable[Any]) -> float:
    """R² of the means, at least -1."""
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))
    share = float(1 - (model(x)[:, :1] - y).square().mean() / (y - y.mean()).square().mean())
    return max(share, -1.0) if math.isfinite(share) else -1.0


healthy = healthy_of("targets", network=Told, optimizer=adam(5e-3))
QUANTILES: dict[str, Any] = {"outputs": 3, "task": data.friedman, "loss": pinball, "metric": pinball_gain}
GRADES: dict[str, Any] = {
    "outputs": tasks.GRADES - 1,
    "task": tasks.grades,
    "loss": in_order,
    "metric": grade_nearness,
}
LABELS: dict[str, Any] = {
    "inputs": 64,
    "outputs": 5,
    "task": tasks.labelled,
    "loss": binary_cross_entropy,
    "metric": binary_accuracy,
    "steps": 100,
}
VISITS: dict[str, Any] = {"inputs": 6, "task": tasks.visits, "loss": of_counts, "metric": counts_explained}
DOUBT: dict[str, Any] = {"outputs": 2, "task": data.friedman, "loss": doubtful(lifted), "metric": means_explained}

quantiles = healthy("quantiles", 0.35, chance=0.0, **QUANTILES)
quantiles_deep = healthy(
    "quantiles-mish-4", 0.35, chance=0.0, depth=4, activation=nn.Mish, **(QUANTILES | {"optimizer": nadam(2e-3)})
)
grades = healthy("grades", 0.45, chance=0.0, activation=nn.ELU, **GRADES)
grades_norm = healthy(
    "grades-batch-norm",
    0.45,
    chance=0.0,
    norm=nn.BatchNorm1d,
    dropout=0.1,
    **(GRADES | {"optimizer": sgd(0.1, momentum=0.9)}),
)
labels = healthy("labels", 0.85, chance=0.65, **(LABELS | {"optimizer": adam(3e-3)}))
labels_focal = healthy(
    "labels-focal", 0.85, chance=0.65, activation=nn.Tanh, **(LABELS | {"loss": focal, "optimizer": rmsprop(3e-3)})
)
visits = healthy("visits", 0.4, chance=0.0, **VISITS)
doubts = healthy("doubts", 0.6, chance=0.0, width=64, **(DOUBT | {"optimizer": adamw(5e-3, weight_decay=0.05)}))

TRUNK = ("trunk*",)

PROGRAMS = (
    quantiles,
    quantiles.but("mixed-units", kinds.UNSCALED, task=data.friedman_mixed),
    quantiles.but("trunk-detached", kinds.DETACHED.at(*TRUNK), cut=True),
    quantiles_deep,
    quantiles_deep.but("sigmoid-12", kinds.SIGMOID_DEPTH.at(*TRUNK), activation=nn.Sigmoid, depth=12),
    grades,
    grades.but("sigmoid-twice", kinds.WRONG_HEAD, last=torch.sigmoid),
    grades_norm,
    grades_norm.but("batch-of-two", kinds.NORMALIZATION.at(*TRUNK), batch_size=2),
    grades_norm.but("tell-only", kinds.WRONG_PARAMETERS.at(*TRUNK), optimizer=of_the_last(sgd(0.1, momentum=0.9), 2)),
    labels,
    labels.but("sigmoid-twice", kinds.WRONG_HEAD, last=torch.sigmoid, metric=probability_accuracy),
    labels.but("trunk-frozen", kinds.FROZEN.at(*TRUNK), change=frozen("trunk"), width=8),
    labels_focal,
    labels_focal.but("unit-normal", kinds.SATURATED.at(*TRUNK), draw=normal(3.0)),
    visits,
    visits.but("raw", kinds.UNSCALED, task=tasks.visits_raw),
    visits.but("bare-rates", kinds.NAN, loss=of_bare_rates, metric=rates_explained),
    visits.but("one-unit", kinds.UNDERFITTING, width=1, activation=nn.Tanh, watched=150),
    doubts,
    doubts.but("variance-bare", kinds.NAN, loss=doubtful(lambda raw: raw)),
    doubts.but("sixty-points", kinds.OVERFITTING, task=lambda: data.friedman().first(60), watched=150),
)
