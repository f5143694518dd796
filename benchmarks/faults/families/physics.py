"""Networks whose derivatives are in the loss: equations of springs and rods, a pendulum's energy; and sines (SIREN)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faults import kinds
from benchmarks.faults import tasks_more as tasks
from benchmarks.faults.build import (
    Loss,
    adam,
    adamw,
    constant,
    explained,
    he,
    normal,
    of_the_last,
    rmsprop,
    squared_error,
    warmed,
    xavier,
)
from benchmarks.faults.data import Split
from benchmarks.faults.recipe import healthy_of


class Sine(nn.Module):
    """sin ωx (Sitzmann et al. 2020)."""

    def __init__(self, pace: float = 1.0) -> None:
        super().__init__()
        self.pace = pace

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        return torch.sin(self.pace * x)


class Field(nn.Module):
    """Layers of one width; the inputs may be spread first, and a shortcut may lead around each hidden layer."""

    def __init__(
        self,
        inputs: int,
        width: int = 32,
        depth: int = 3,
        activation: Callable[[], nn.Module] = nn.Tanh,
        shortcut: bool = False,
        stretch: float = 1.0,
        siren: float = 0.0,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.enter = nn.Linear(inputs, width)
        self.act = activation()  # one module for all layers
        self.inner = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.leave = nn.Linear(width, 1)
        self.shortcut, self.stretch, self.cut = shortcut, stretch, cut
        if siren:
            self._as_siren(siren, inputs, width)

    @torch.no_grad()
    def _as_siren(self, pace: float, inputs: int, width: int) -> None:
        self.enter.weight.uniform_(-1 / inputs, 1 / inputs)
        for layer in self.inner:
            bound = math.sqrt(6 / width) / pace
            layer.weight.uniform_(-bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, 1)."""
        x = self.act(self.enter(self.stretch * x))
        for layer in self.inner:
            y = self.act(layer(x))
            x = x + y if self.shortcut else y
        return self.leave(x.detach() if self.cut else x)


def slope(of: Tensor, by: Tensor) -> Tensor:
    """Of a sum of values by their inputs, with a graph of its own."""
    return torch.autograd.grad(of.sum(), by, create_graph=True)[0]


def spring(model: nn.Module, batch: Any) -> Tensor:
    """The equation of a damped spring at the given times, and how it starts (Raissi et al. 2019)."""
    with torch.enable_grad():
        time = batch[0].clone().requires_grad_(True)
        u = model(time)
        pace = slope(u, time)
        equation = (slope(pace, time) + 2 * pace + 37 * u) / 37
        start = torch.zeros(1, 1, requires_grad=True)
        first = model(start)
        start_error = (first - 1).square().sum() + ((slope(first, start) + 1) / 6).square().sum()
        return equation.square().mean() + start_error


def rod(model: nn.Module, batch: Any) -> Tensor:
    """The heat equation at the given places and times, the cold ends, and how it starts."""
    with torch.enable_grad():
        where = batch[0].clone().requires_grad_(True)
        first = slope(model(where), where)
        equation = first[:, 1:] - slope(first[:, :1], where)[:, :1] / 10
        place, time = batch[0].split(1, 1)
        begin = torch.cat([place, torch.zeros_like(time)], 1)
        ends = torch.cat([place.round(), time], 1)
        wanted = torch.sin(math.pi * place)
        known = (model(begin) - wanted).square().mean() + model(ends).square().mean()
        return equation.square().mean() + 3 * known


def energy(weight: float = 1.0) -> Loss:
    """How far the slopes of an energy are from the motion (Greydanus et al. 2019)."""

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return weight * (flow(model, batch[0]) - batch[1]).square().mean()

    return loss


def flow(model: nn.Module, state: Tensor) -> Tensor:
    """The motion by an energy: dq/dt = ∂H/∂p, dp/dt = -∂H/∂q."""
    with torch.enable_grad():
        state = state.clone().requires_grad_(True)
        slopes = slope(model(state), state)
    return torch.stack([slopes[:, 1], -slopes[:, 0]], 1)


def motion_explained(model: nn.Module, batches: Iterable[Any]) -> float:
    """R² of the motion, at least -1."""
    missed = total = 0.0
    for x, y in batches:
        missed += float((flow(model, x).detach() - y).square().sum())
        total += float((y - y.mean(0)).square().sum())
    return max(1 - missed / total, -1.0) if math.isfinite(missed) else -1.0


def in_degrees() -> Split:
    """The pendulum with its angle in degrees, from -115 to 115, and its momentum in thousandths."""
    return tasks.pendulum().map(lambda x: x * torch.tensor([180 / math.pi, 1000.0]))


def noise() -> Split:
    """The pendulum with other states' motion."""
    return tasks.pendulum().shuffled_targets()


healthy = healthy_of("physics", network=Field, loss=squared_error, metric=explained, optimizer=adam(5e-3), steps=200)
PENDULUM: dict[str, Any] = {
    "inputs": 2,
    "task": tasks.pendulum,
    "loss": energy(),
    "metric": motion_explained,
    "steps": 150,
}
RIPPLES: dict[str, Any] = {"inputs": 2, "task": tasks.ripples, "steps": 200}

rods = healthy("rod", 0.6, chance=0.0, inputs=2, task=tasks.heat, loss=rod, draw=xavier)
springs = healthy(
    "spring",
    0.5,
    chance=0.0,
    inputs=1,
    task=tasks.decay,
    loss=spring,
    stretch=6.0,
    optimizer=adam(1e-2),
    batch_size=128,
    steps=400,
)
pendulum = healthy("pendulum", 0.8, chance=0.0, **PENDULUM)
softplus = healthy(
    "pendulum-softplus", 0.8, chance=0.0, activation=nn.Softplus, width=64, depth=2, optimizer=adamw(1e-2), **PENDULUM
)
around = healthy(
    "pendulum-shortcuts-6",
    0.8,
    chance=0.0,
    depth=6,
    shortcut=True,
    draw=xavier,
    optimizer=warmed(adam(3e-3), 30),
    **PENDULUM,
)
sines = healthy(
    "ripples-sines", 0.7, chance=0.0, activation=lambda: Sine(6.0), siren=6.0, width=64, optimizer=adam(2e-3), **RIPPLES
)
silu = healthy(
    "ripples-silu",
    0.4,
    chance=0.0,
    activation=nn.SiLU,
    draw=he,
    stretch=3.0,
    depth=4,
    optimizer=rmsprop(1e-3),
    **RIPPLES,
)

BODY = ("enter", "inner*")

PROGRAMS = (
    rods,
    rods.but("rate-high", kinds.RATE_HIGH, optimizer=adam(1.0)),
    rods.but("weights-large", kinds.SATURATED.at(*BODY), draw=normal(3.0)),
    springs,
    springs.but("leave-only", kinds.WRONG_PARAMETERS.at(*BODY), optimizer=of_the_last(adam(1e-2), 2)),
    pendulum,
    pendulum.but("in-degrees", kinds.UNSCALED, task=in_degrees),
    pendulum.but("sigmoid-12", kinds.SIGMOID_DEPTH.at(*BODY), activation=nn.Sigmoid, depth=12),
    pendulum.but("motion-shuffled", kinds.SHUFFLED_LABELS, task=noise, watched=150),
    softplus,
    softplus.but("alike", kinds.SYMMETRIC.at(*BODY, "leave"), draw=constant(0.1)),
    around,
    around.but("weight-decay", kinds.WEIGHT_DECAY, optimizer=warmed(adamw(3e-3, weight_decay=200.0), 30)),
    sines,
    sines.but("forty-places", kinds.OVERFITTING, task=lambda: tasks.ripples().first(40), watched=200),
    sines.but("body-detached", kinds.DETACHED.at(*BODY), cut=True),
    silu,
    silu.but("small", kinds.SMALL_WEIGHTS.at("*"), draw=normal(1e-3)),
    silu.but("one-unit", kinds.UNDERFITTING, width=1, watched=150),
)
