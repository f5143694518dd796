"""Regression: impedances, a rolled-up sheet, rentals, a curve, patients; several losses, schedules and optimizers.

Marks by task, as :mod:`benchmarks.faults.tasks_sixth` has them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_sixth as tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    annealed,
    broadcast_error,
    explained,
    forgetful,
    he,
    huber,
    nadam,
    norm_clipped,
    rmsprop,
    sgd,
    squared_error,
)
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of


class Estimator(nn.Module):
    """A body of linear layers and a head of one number."""

    def __init__(
        self,
        sizes: tuple[int, ...] = (4, 64, 64),
        act: Callable[[], nn.Module] = nn.ReLU,
        norm: bool = False,
        p: float = 0.0,
        out: Callable[[], nn.Module] = nn.Identity,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), *([nn.LayerNorm(b)] if norm else []), act(), *([nn.Dropout(p)] if p else [])]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(sizes[-1], 1)
        self.out = out()

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.head(self.body(x)))


class Gaussian(nn.Module):
    """A mean, and a spread that is learnt beside it."""

    def __init__(self, inputs: int = 6, hidden: int = 64) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.mean, self.log_spread = nn.Linear(hidden, 1), nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.mean(self.trunk(x))


def likelihood(model: nn.Module, batch: Any) -> Tensor:
    """Negative logarithm of a normal density."""
    h = model.trunk(batch[0])  # type: ignore[operator]
    return F.gaussian_nll_loss(model.mean(h), batch[1], (2 * model.log_spread(h)).exp())  # type: ignore[operator]


def absolute(model: nn.Module, batch: Any) -> Tensor:
    """Mean absolute error."""
    return F.l1_loss(model(batch[0]), batch[1])


healthy = healthy_of(
    "estimates",
    network=Estimator,
    task=tasks.impedance,
    loss=squared_error,
    metric=explained,
    optimizer=adam(3e-3),
    steps=200,
    batch_size=64,
)
ROLL: dict[str, Any] = {"task": tasks.roll, "sizes": (3, 64, 64)}
RENTALS: dict[str, Any] = {"task": tasks.rentals, "sizes": (6, 64, 64)}
RAMP: dict[str, Any] = {"task": tasks.ramp, "sizes": (1, 64, 64)}
PATIENTS: dict[str, Any] = {"task": data.diabetes, "sizes": (10, 16), "batch_size": 32}

plain = healthy("impedance", 0.8, 0.0)
momentum = healthy("impedance-momentum", 0.8, 0.0, act=nn.Tanh, optimizer=sgd(0.05, momentum=0.9))
layer_norm = healthy("impedance-layer-norm", 0.8, 0.0, norm=True, act=nn.GELU, optimizer=adamw(3e-3, weight_decay=0.05))
tens = healthy(
    "impedance-in-tens", 0.8, 0.0, task=lambda: tasks.scaled_by(tasks.impedance(), 3.0, 2.0), optimizer=adam(0.01)
)
roll = healthy("roll-he", 0.7, 0.0, draw=he, optimizer=adam(5e-3), steps=300, **ROLL)
roll_deep = healthy("roll-silu-annealed", 0.7, 0.0, act=nn.SiLU, optimizer=annealed(adam(0.01), 300), steps=300, **ROLL)
rentals = healthy("rentals-huber", 0.6, 0.0, loss=huber, optimizer=adam(5e-3), steps=300, **RENTALS)
rentals_clipped = healthy(
    "rentals-clipped", 0.6, 0.0, optimizer=norm_clipped(sgd(0.1, momentum=0.9), 1.0), steps=300, **RENTALS
)
rentals_likely = healthy(
    "rentals-gaussian", 0.6, 0.0, network=Gaussian, task=tasks.rentals, loss=likelihood, optimizer=adam(5e-3), steps=300
)
ramp_absolute = healthy("ramp-absolute", 0.8, 0.0, loss=absolute, optimizer=nadam(5e-3), steps=300, **RAMP)
patients = healthy("patients-rmsprop", 0.25, 0.0, optimizer=rmsprop(2e-3), **PATIENTS)
patients_linear = healthy(
    "patients-elu-decayed", 0.25, 0.0, act=nn.ELU, optimizer=adamw(3e-3, weight_decay=0.1), **PATIENTS
)

more = (
    healthy("impedance-one-hidden", 0.8, 0.0, sizes=(4, 100), optimizer=adam(0.01)),
    healthy("impedance-elu-sgd", 0.8, 0.0, act=nn.ELU, optimizer=sgd(0.05)),
    healthy("impedance-absolute", 0.8, 0.0, loss=absolute, optimizer=adam(3e-3)),
    healthy("roll-gelu", 0.7, 0.0, act=nn.GELU, optimizer=adamw(5e-3), steps=300, **ROLL),
    healthy("rentals-silu", 0.6, 0.0, act=nn.SiLU, optimizer=adam(5e-3), **RENTALS),
    healthy("rentals-dropout", 0.6, 0.0, p=0.1, optimizer=adam(5e-3), steps=300, **RENTALS),
    healthy("rentals-layer-norm", 0.6, 0.0, norm=True, optimizer=rmsprop(1e-3), steps=300, **RENTALS),
    healthy("patients-tanh", 0.25, 0.0, act=nn.Tanh, optimizer=sgd(0.02, momentum=0.9), **PATIENTS),
)

STUCK = Fault(("lr_too_low", "not_updating", "underfitting"), ("learning_rate_low",))
"""Steps that are next to nothing, whatever made them so."""

PROGRAMS = (
    plain,
    plain.but("ohms", kinds.UNSCALED_TARGET, task=tasks.ohms, optimizer=sgd(0.01)),
    plain.but("raw", kinds.UNSCALED, task=tasks.impedance_raw, optimizer=sgd(1e-3)),
    plain.but("shuffled", kinds.SHUFFLED_LABELS, task=lambda: tasks.impedance().shuffled_targets(), watched=150),
    plain.but("spread-out", kinds.WRONG_HEAD, loss=broadcast_error, watched=150),
    momentum,
    momentum.but("clipped-to-nothing", STUCK, optimizer=norm_clipped(sgd(0.05, momentum=0.9), 1e-4)),
    momentum.but("never-zeroed", kinds.NEVER_ZEROED, optimizer=forgetful(sgd(0.2))),
    layer_norm,
    tens,
    tens.but("sigmoid-out", kinds.WRONG_HEAD.at("head", "out", ""), out=nn.Sigmoid),
    roll,
    roll.but("linear", kinds.LINEAR, act=nn.Identity),
    roll_deep,
    roll_deep.but("over-at-once", STUCK, optimizer=annealed(adam(0.01), 5)),
    rentals,
    rentals.but("relu-out", kinds.WRONG_HEAD.at("head", "out", ""), out=nn.ReLU),
    rentals_clipped,
    rentals_clipped.but("rate-high", kinds.RATE_HIGH, optimizer=sgd(3.0, momentum=0.9)),
    rentals_likely,
    ramp_absolute,
    patients,
    patients_linear,
    *more,
)
