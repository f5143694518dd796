"""Regression: houses, waves, demand, Friedman's function, patients; targets as they come, losses of every kind.

Marks by task, as :mod:`benchmarks.faults.tasks_fifth` has them; of waves R² 0.6.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_fifth as tasks
from benchmarks.faults.build import (
    adagrad,
    adam,
    adamw,
    annealed,
    broadcast_error,
    explained,
    he,
    huber,
    lion,
    nadam,
    norm_clipped,
    normal,
    rmsprop,
    sgd,
    squared_error,
    xavier,
)
from benchmarks.faults.recipe import healthy_of


class Regressor(nn.Module):
    """An input layer, hidden ones, one number; rows of time are flattened."""

    def __init__(
        self,
        n_features: int = 6,
        hidden: tuple[int, ...] = (64, 32),
        act: str = "relu",
        dropout: float = 0.0,
        norm_in: bool = False,
        layer_norm: bool = False,
        out: str | None = None,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.norm_in = nn.BatchNorm1d(n_features, affine=False) if norm_in else nn.Identity()
        sizes = (n_features, *hidden)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.norms = nn.ModuleList(nn.LayerNorm(b) if layer_norm else nn.Identity() for b in hidden)
        self.act: Callable[[Tensor], Tensor] = getattr(torch, act, None) or getattr(F, act)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(sizes[-1], 1)
        self.out = getattr(torch, out) if out else None
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm_in(x.flatten(1))
        for layer, norm in zip(self.layers, self.norms, strict=True):
            h = self.dropout(self.act(norm(layer(x))))
            x = x + h if self.residual and h.shape == x.shape else h
        y = self.output(x)
        return self.out(y) if self.out else y


def absolute(model: nn.Module, batch: Any) -> Tensor:
    """Mean absolute error."""
    return F.l1_loss(model(batch[0]), batch[1])


def quantile(q: float = 0.5) -> Callable[[nn.Module, Any], Tensor]:
    """Pinball loss."""

    def loss(model: nn.Module, batch: Any) -> Tensor:
        error = batch[1] - model(batch[0])
        return torch.maximum(q * error, (q - 1) * error).mean()

    return loss


def root(model: nn.Module, batch: Any) -> Tensor:
    """Root mean squared error, with a little that keeps the root's slope finite."""
    return (F.mse_loss(model(batch[0]), batch[1]) + 1e-8).sqrt()


def summed(model: nn.Module, batch: Any) -> Tensor:
    """A sum where a mean was meant."""
    return F.mse_loss(model(batch[0]), batch[1], reduction="sum")


def logarithmic(model: nn.Module, batch: Any) -> Tensor:
    """Squared error of logarithms, of numbers that may be below 0."""
    return F.mse_loss(torch.log(model(batch[0]) + 1.5), torch.log(batch[1] + 1.5))


healthy = healthy_of(
    "curves",
    network=Regressor,
    task=tasks.houses,
    loss=squared_error,
    metric=explained,
    optimizer=adam(3e-3),
    steps=200,
    batch_size=64,
)
WAVE: dict[str, Any] = {"task": data.wave, "n_features": 1}
FRIEDMAN: dict[str, Any] = {"task": data.friedman, "n_features": 10}
HOURS: dict[str, Any] = {"task": tasks.hours, "n_features": 36}
PATIENTS: dict[str, Any] = {"task": data.diabetes, "n_features": 10}

houses = healthy("houses", 0.6, 0.0)
houses_absolute = healthy(
    "houses-absolute-layer-norm", 0.6, 0.0, loss=absolute, layer_norm=True, act="gelu", optimizer=adamw(3e-3)
)
houses_listed = healthy(
    "houses-normalised-inside", 0.6, 0.0, task=tasks.houses_as_listed, norm_in=True, optimizer=sgd(0.05, momentum=0.9)
)
thousands = healthy(
    "houses-shifted-clipped",
    0.6,
    0.0,
    task=lambda: tasks.in_units(tasks.houses(), 3.0, 5.0),
    loss=huber,
    optimizer=norm_clipped(sgd(0.05, momentum=0.9), 5.0),
)
quantiles = healthy("houses-median", 0.6, 0.0, loss=quantile(), act="silu", hidden=(48, 48), optimizer=nadam(3e-3))
wave = healthy("wave-tanh", 0.6, 0.0, act="tanh", hidden=(64, 64), optimizer=adam(0.02), steps=500, **WAVE)
wave_sine = healthy("wave-sine", 0.6, 0.0, act="sin", hidden=(50,), draw=normal(2.0), optimizer=adam(0.01), **WAVE)
friedman = healthy("friedman-elu", 0.6, 0.0, act="elu", hidden=(100,), optimizer=rmsprop(3e-3), **FRIEDMAN)
friedman_deep = healthy(
    "friedman-he-8", 0.6, 0.0, hidden=(40,) * 8, draw=he, optimizer=annealed(adam(3e-3), 250), steps=250, **FRIEDMAN
)
friedman_root = healthy(
    "friedman-root-softplus", 0.6, 0.0, act="softplus", loss=root, optimizer=adagrad(0.05), steps=300, **FRIEDMAN
)
hours = healthy("hours-flat", 0.6, 0.0, hidden=(64,), optimizer=lion(1e-3), **HOURS)
hours_residual = healthy(
    "hours-residual", 0.6, 0.0, hidden=(32, 32, 32, 32), residual=True, act="gelu", optimizer=adamw(2e-3), **HOURS
)
patients = healthy(
    "patients-small", 0.25, 0.0, hidden=(8,), act="tanh", batch_size=32, optimizer=sgd(0.02, momentum=0.9), **PATIENTS
)
patients_dropped = healthy(
    "patients-dropout", 0.25, 0.0, hidden=(64,), dropout=0.4, batch_size=32, optimizer=adamw(2e-3), **PATIENTS
)

PROGRAMS = (
    houses,
    houses.but("prices", kinds.UNSCALED_TARGET, task=tasks.house_prices, optimizer=sgd(0.01)),
    houses.but("spread-out", kinds.WRONG_HEAD, loss=broadcast_error, watched=200),
    houses.but("holes", kinds.NAN_IN_DATA, task=lambda: tasks.with_holes(tasks.houses())),
    houses_absolute,
    houses_listed,
    thousands,
    quantiles,
    quantiles.but("logarithms", kinds.NAN, loss=logarithmic),
    wave,
    wave.but("unit-normal", kinds.SATURATED.at("layers*"), draw=normal(10.0)),
    wave_sine,
    friedman,
    friedman.but("summed", kinds.SUMMED, loss=summed, optimizer=sgd(0.05)),
    friedman_deep,
    friedman_deep.but("sigmoid", kinds.SIGMOID_DEPTH.at("layers*"), act="sigmoid", draw=xavier),
    friedman_root,
    hours,
    hours.but("sigmoid-out", kinds.WRONG_HEAD.at("output", ""), out="sigmoid"),
    hours_residual,
    patients,
    patients_dropped,
    patients_dropped.but("dropout", kinds.DROPOUT.at("dropout"), dropout=0.99),
)
