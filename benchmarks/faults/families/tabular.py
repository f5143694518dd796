"""Networks on tables of codes and numbers, wide and deep: what the rent of a flat is, and whether it is let."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faults import kinds, tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    biased,
    binary_cross_entropy,
    constant,
    explained,
    huber,
    normal,
    of_a_copy,
    rmsprop,
    sgd,
    squared_error,
)
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of

CODES, NUMBERS = 2, 4


class Table(nn.Module):
    """Embedded codes and numbers through linear layers; if wide, plus a linear map of all (Cheng et al. 2016)."""

    def __init__(
        self,
        width: int = 64,
        depth: int = 3,
        activation: Callable[[], nn.Module] | None = nn.ReLU,
        first: Callable[[int], nn.Module] = nn.Identity,
        norm: Callable[[int], nn.Module] | None = None,
        dropout: float = 0.0,
        wide: bool = False,
        head: Callable[[], nn.Module] = nn.Identity,
    ) -> None:
        super().__init__()
        self.district, self.kind = nn.Embedding(tasks.DISTRICTS, 6), nn.Embedding(tasks.KINDS, 4)
        self.first = first(NUMBERS)
        inputs = 6 + 4 + NUMBERS
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise([inputs, *[width] * (depth - 1)]):
            layers += [nn.Linear(fan_in, fan_out), *([norm(fan_out)] if norm else [])]
            layers += [*([activation()] if activation else []), *([nn.Dropout(dropout)] if dropout else [])]
        self.deep = nn.Sequential(*layers, nn.Linear(width, 1), head())
        self.wide = nn.Linear(inputs, 1) if wide else None

    def forward(self, x: Tensor) -> Tensor:
        """(batch, codes and numbers) to (batch, 1)."""
        codes, numbers = x[:, :CODES].long(), self.first(x[:, CODES:])
        known = torch.cat([self.district(codes[:, 0]), self.kind(codes[:, 1]), numbers], 1)
        told = self.deep(known)
        return told if self.wide is None else told + self.wide(known)


def probability_loss(model: nn.Module, batch: Any) -> Tensor:
    """Binary cross-entropy of probabilities, written out with bare logarithms."""
    let = model(batch[0])
    return -(batch[1] * let.log() + (1 - batch[1]) * (1 - let).log()).mean()


def ranking(model: nn.Module, batches: Iterable[Any]) -> float:
    """Share of pairs of a flat that was let and one that was not which are told in the right order (AUC)."""
    told, let = (torch.cat(part).flatten() for part in zip(*((model(x), y) for x, y in batches), strict=True))
    differences = told[let > 0.5, None] - told[None, let <= 0.5]
    return float(((differences > 0).float() + 0.5 * (differences == 0).float()).mean())


healthy = healthy_of(
    "tabular", network=Table, task=tasks.rents, loss=squared_error, metric=explained, optimizer=adam(5e-3)
)
LETTING: dict[str, Any] = {"task": tasks.vacancies, "loss": binary_cross_entropy, "metric": ranking}

rents = healthy("rents", 0.7, chance=0.0)
skewed = healthy("rents-skewed", 0.5, chance=0.0, task=tasks.skewed_rents, loss=huber, optimizer=rmsprop(3e-3))
wide = healthy("wide-and-deep", 0.7, chance=0.0, wide=True, optimizer=sgd(0.05, momentum=0.9), steps=200)
raw = healthy("raw-numbers-normalised-inside", 0.7, chance=0.0, task=tasks.raw_rents, first=nn.BatchNorm1d)
regular = healthy(
    "dropout-and-decay", 0.6, chance=0.0, width=128, dropout=0.2, optimizer=adamw(5e-3, weight_decay=0.1), steps=200
)
normal_layers = healthy(
    "layer-norm-6",
    0.6,
    chance=0.0,
    depth=6,
    norm=nn.LayerNorm,
    activation=nn.SiLU,
    optimizer=adamw(3e-3),
    batch_size=32,
)
small = healthy("small-batches", 0.6, chance=0.0, norm=nn.LayerNorm, batch_size=2, optimizer=adam(2e-3), steps=500)
eights = healthy("batch-norm-of-eight", 0.6, chance=0.0, norm=nn.BatchNorm1d, batch_size=8, steps=300)
letting = healthy("one-in-eight", 0.8, chance=0.5, **LETTING)

TARGETS = Fault(
    ("exploding", "lr_too_high", "unscaled_input", "nonfinite", "overflow", "dead_units"),
    ("data_scale", "learning_rate_high", "numeric_overflow"),
)
OFF_CENTRE = Fault(("unscaled_input", "zigzag"), ("data_scale", "non_zero_centered"))

PROGRAMS = (
    rents,
    rents.but("no-age", kinds.NAN_IN_DATA, task=tasks.gappy_rents),
    rents.but("relu-head", kinds.WRONG_HEAD.at("deep*"), head=nn.ReLU),
    rents.but("no-activation", kinds.LINEAR, activation=None),
    rents.but("one-unit", kinds.UNDERFITTING, width=1, activation=nn.Tanh, watched=150),
    skewed,
    skewed.but("copy", kinds.WRONG_PARAMETERS, optimizer=of_a_copy(rmsprop(3e-3))),
    skewed.but("dead", kinds.DEAD_BY_BIAS.at("deep*"), change=biased(-20.0, "deep.2")),
    wide,
    wide.but("raw-numbers", kinds.UNSCALED, task=tasks.raw_rents),
    wide.but("years", OFF_CENTRE, task=tasks.dated_rents),
    wide.but("won", TARGETS, task=tasks.rents_in_won),
    raw,
    regular,
    regular.but("double", kinds.DOUBLE, dropout=0.8, optimizer=adamw(5e-3, weight_decay=30.0)),
    normal_layers,
    normal_layers.but("weights-small", kinds.SMALL_WEIGHTS.at("deep*"), norm=None, draw=normal(0.02)),
    normal_layers.but("constant", kinds.SYMMETRIC.at("deep*"), draw=constant(0.1)),
    small,
    small.but("batch-norm", kinds.NORMALIZATION.at("deep*"), norm=nn.BatchNorm1d),
    eights,
    letting,
    letting.but("rate-high", kinds.RATE_HIGH, optimizer=adam(3.0)),
    letting.but("bare-logarithms", kinds.NAN, head=nn.Sigmoid, loss=probability_loss, optimizer=sgd(20.0)),
)
