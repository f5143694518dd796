"""Plain networks as people train them on small tables: every optimizer and schedule, batches from 8 to 512."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_third as tasks
from benchmarks.faults.build import (
    adagrad,
    adam,
    adamw,
    annealed,
    binary_accuracy,
    binary_cross_entropy,
    explained,
    forgetful,
    huber,
    lion,
    norm_clipped,
    one_cycle,
    rmsprop,
    sgd,
    undecayed,
    warmed,
)
from benchmarks.faults.recipe import healthy_of


class Plain(nn.Module):
    """Hidden layers, each with what people put behind it, and a head."""

    def __init__(
        self,
        inputs: int = 64,
        outputs: int = 10,
        widths: tuple[int, ...] = (64, 64),
        act: Callable[[Tensor], Tensor] = F.relu,
        norm: Callable[[int], nn.Module] | None = None,
        dropout: float = 0.0,
        dead: float = 0.0,
        evaluated: bool = False,
    ) -> None:
        super().__init__()
        sizes = [inputs, *widths]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.norms = nn.ModuleList(norm(width) if norm else nn.Identity() for width in widths)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(sizes[-1], outputs)
        self.act = act
        if dead:
            nn.init.constant_(self.hidden[-1].bias, dead)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, outputs)."""
        for layer, norm in zip(self.hidden, self.norms, strict=True):
            x = self.drop(self.act(norm(layer(x))))
        return self.head(x)


def smoothed(model: nn.Module, batch: Any) -> Tensor:
    """Cross-entropy with a tenth of each label given to all classes (Szegedy et al. 2016)."""
    return F.cross_entropy(model(batch[0]), batch[1], label_smoothing=0.1)


def accumulated(reduction: str) -> Callable[[nn.Module, Any], Tensor]:
    """The loss of a batch in four parts, one after the other, as if memory were short."""

    def loss(model: nn.Module, batch: Any) -> Tensor:
        parts = zip(batch[0].chunk(4), batch[1].chunk(4), strict=True)
        return torch.stack([F.cross_entropy(model(x), y, reduction=reduction) for x, y in parts]).mean()

    return loss


def log_cosh(model: nn.Module, batch: Any) -> Tensor:
    """Log of the hyperbolic cosine of the error, smooth and linear far away."""
    error = model(batch[0]) - batch[1]
    return (error + F.softplus(-2 * error) - 0.6931).mean()


healthy = healthy_of("everyday", network=Plain, task=data.digits, optimizer=adam(1e-3), steps=150)
IRIS: dict[str, Any] = {"inputs": 4, "outputs": 3, "task": tasks.iris}
WINE: dict[str, Any] = {"inputs": 13, "outputs": 3, "task": data.wine}
TUMOURS: dict[str, Any] = {
    "inputs": 30,
    "outputs": 1,
    "task": data.cancer,
    "loss": binary_cross_entropy,
    "metric": binary_accuracy,
}
PATIENTS: dict[str, Any] = {"inputs": 10, "outputs": 1, "task": data.diabetes, "metric": explained}

iris = healthy(
    "iris-nesterov",
    0.85,
    0.4,
    widths=(16,),
    act=torch.tanh,
    batch_size=16,
    optimizer=sgd(0.05, momentum=0.9, nesterov=True),
    **IRIS,
)
wine = healthy(
    "wine-lion", 0.88, 0.45, widths=(32, 16), act=F.gelu, dropout=0.2, batch_size=8, optimizer=lion(1e-3), **WINE
)
tumours = healthy("tumours-adagrad", 0.92, 0.65, widths=(32,), batch_size=32, optimizer=adagrad(0.02), **TUMOURS)
tumours_batch = healthy(
    "tumours-batch-norm-cosine",
    0.92,
    0.65,
    widths=(32, 16),
    norm=nn.BatchNorm1d,
    act=F.silu,
    batch_size=32,
    optimizer=annealed(adamw(1e-2, weight_decay=0.05), 150),
    **TUMOURS,
)
patients = healthy(
    "patients-huber",
    0.43,
    0.0,
    widths=(24,),
    act=F.softplus,
    loss=huber,
    optimizer=adamw(5e-3, weight_decay=0.1),
    **PATIENTS,
)
patients_cosh = healthy(
    "patients-log-cosh",
    0.38,
    0.0,
    widths=(16, 16),
    act=torch.tanh,
    loss=log_cosh,
    optimizer=norm_clipped(sgd(0.05, momentum=0.9), 1.0),
    batch_size=16,
    **PATIENTS,
)
cycle = healthy(
    "digits-one-cycle",
    0.9,
    0.1,
    widths=(96, 64, 32),
    batch_size=128,
    optimizer=one_cycle(sgd(0.01, momentum=0.9), 0.2, 150),
)
small_rate = healthy("digits-small-rate", 0.88, 0.1, widths=(128, 128), optimizer=adam(2e-4), steps=250)
whole = healthy("digits-512-smoothed", 0.9, 0.1, act=F.elu, loss=smoothed, batch_size=512, optimizer=adamw(5e-3))
half_dropped = healthy(
    "digits-dropout-half",
    0.9,
    0.1,
    widths=(256,),
    dropout=0.5,
    optimizer=undecayed(torch.optim.AdamW, 0.05, lr=2e-3),
)
parts = healthy(
    "digits-accumulated", 0.88, 0.1, act=F.leaky_relu, loss=accumulated("mean"), optimizer=sgd(0.1, momentum=0.9)
)
clipped = healthy(
    "digits-rmsprop-warmed",
    0.9,
    0.1,
    widths=(64, 64, 64),
    norm=nn.LayerNorm,
    act=F.mish,
    batch_size=32,
    optimizer=norm_clipped(warmed(rmsprop(1e-3), 25), 1.0),
)

PROGRAMS = (
    iris,
    iris.but("never-zeroed", kinds.NEVER_ZEROED, optimizer=forgetful(sgd(0.05, momentum=0.9, nesterov=True))),
    wine,
    wine.but("slipped", kinds.SHUFFLED_LABELS, task=lambda: tasks.off_by_one(data.wine(), 0.6, 3), watched=150),
    tumours,
    tumours.but("holes", kinds.NAN_IN_DATA, task=lambda: tasks.holes(data.cancer())),
    tumours_batch,
    tumours_batch.but("batch-of-two", kinds.NORMALIZATION.at("norms*"), batch_size=2),
    patients,
    patients.but("weight-decay", kinds.WEIGHT_DECAY, optimizer=adamw(5e-3, weight_decay=100.0)),
    patients_cosh,
    cycle,
    cycle.but("dead", kinds.DEAD_BY_BIAS.at("hidden*"), dead=-40.0),
    small_rate,
    small_rate.but("rate-low", kinds.RATE_LOW, optimizer=adam(5e-7)),
    whole,
    whole.but("rate-high", kinds.RATE_HIGH, optimizer=adamw(1.5)),
    half_dropped,
    half_dropped.but("dropout", kinds.DROPOUT.at("drop"), dropout=0.99),
    parts,
    parts.but("summed", kinds.SUMMED, loss=accumulated("sum")),
    clipped,
)
