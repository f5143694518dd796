"""Densities: flows that can be turned back (RealNVP), energies told from noise, scores of noisy points."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_more as tasks
from benchmarks.faults.build import (
    Loss,
    adam,
    clipped,
    constant,
    normal,
    of_the_first,
    sgd,
    warmed,
)
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of

HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


class Coupling(nn.Module):
    """Half of the numbers moved and stretched by a network of the other half (Dinh et al. 2017)."""

    def __init__(
        self, count: int, width: int, turned: bool, activation: Callable[[], nn.Module], bounded: bool
    ) -> None:
        super().__init__()
        self.count, self.turned, self.bounded = count, turned, bounded
        self.net = nn.Sequential(
            nn.Linear(count // 2, width),
            activation(),
            nn.Linear(width, width),
            activation(),
            nn.Linear(width, 2 * (count - count // 2)),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, count) to the same, and the logarithm of how much it was stretched."""
        x = x.flip(1) if self.turned else x
        one, other = x[:, : self.count // 2], x[:, self.count // 2 :]
        stretch, shift = self.net(one).chunk(2, 1)
        stretch = torch.tanh(stretch) if self.bounded else stretch
        return torch.cat([one, other * stretch.exp() + shift], 1), stretch.sum(1)


class Flow(nn.Module):
    """Couplings one after another, and how likely what went in is."""

    def __init__(
        self,
        count: int = 2,
        width: int = 32,
        couplings: int = 4,
        activation: Callable[[], nn.Module] = nn.ReLU,
        bounded: bool = True,
        zeroed: bool = True,
        cut: int | None = None,
    ) -> None:
        super().__init__()
        self.couplings = nn.ModuleList(
            Coupling(count, width, index % 2 == 1, activation, bounded) for index in range(couplings)
        )
        self.cut = cut
        for coupling in self.couplings if zeroed else ():  # each starts as the identity (Kingma and Dhariwal 2018)
            nn.init.zeros_(coupling.net[-1].weight)
            nn.init.zeros_(coupling.net[-1].bias)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, count) to (batch,) log-likelihoods per number."""
        count, stretched = x.shape[1], torch.zeros(len(x))
        for index, coupling in enumerate(self.couplings):
            x, log = coupling(x)
            stretched = stretched + log
            if index + 1 == self.cut:
                x, stretched = x.detach(), stretched.detach()
        return (-0.5 * x.square() - HALF_LOG_TAU).sum(1) / count + stretched / count


def surprise(model: nn.Module, batch: Any) -> Tensor:
    """Mean negative log-likelihood."""
    return -model(batch[0]).mean()


def told(model: nn.Module, batches: Iterable[Any]) -> float:
    """How much likelier data are than by one Gaussian of their own mean and spread, in nats per number; at least -1."""
    x = torch.cat([x for x, _ in batches])
    gaussian = -(x.std(0).clamp(min=1e-3).log() + HALF_LOG_TAU + 0.5).mean()
    gain = float((model(x).double().mean() - gaussian).clamp(min=-1.0))
    return gain if math.isfinite(gain) else -1.0


class Energy(nn.Module):
    """How much a point looks like the data, up to a constant that is learnt too."""

    def __init__(
        self,
        width: int = 64,
        depth: int = 3,
        act: Callable[[Tensor], Tensor] = F.silu,
        inputs: int = 2,
        outputs: int = 1,
        sigmoid: bool = False,
        cut: bool = False,
    ) -> None:
        super().__init__()
        sizes = [inputs, *[width] * (depth - 1)]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.out = nn.Linear(width, outputs)
        self.act, self.sigmoid, self.cut = act, sigmoid, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, outputs)."""
        for layer in self.layers:
            x = self.act(layer(x))
        y = self.out(x.detach() if self.cut else x)
        return torch.sigmoid(y) if self.sigmoid else y


def from_noise(model: nn.Module, batch: Any) -> Tensor:
    """Points of the data told from points of a Gaussian (Gutmann and Hyvärinen 2010)."""
    noise = torch.randn_like(batch[0])
    logits = model(torch.cat([batch[0], noise]))
    wanted = torch.cat([torch.ones(len(noise), 1), torch.zeros(len(noise), 1)])
    return F.binary_cross_entropy_with_logits(logits, wanted)


def noise_accuracy(middle: float, model: nn.Module, batches: Iterable[Any]) -> float:
    """Share of data and of noise told right."""
    x = torch.cat([x for x, _ in batches])
    noise = torch.randn(x.shape, generator=data.generator())
    return 0.5 * float((model(x) > middle).float().mean() + (model(noise) <= middle).float().mean())


def accuracy_of_logits(model: nn.Module, batches: Iterable[Any]) -> float:
    """The same of logits."""
    return noise_accuracy(0.0, model, batches)


def accuracy_of_chances(model: nn.Module, batches: Iterable[Any]) -> float:
    """The same of probabilities."""
    return noise_accuracy(0.5, model, batches)


def denoised(spread: float = 0.3) -> Loss:
    """Where a noisy point came from, divided by how noisy it is: the score (Vincent 2011)."""

    def loss(model: nn.Module, batch: Any) -> Tensor:
        noise = torch.randn_like(batch[0])
        return (model(batch[0] + spread * noise) + noise).square().mean()

    return loss


def noise_explained(model: nn.Module, batches: Iterable[Any]) -> float:
    """Share of the noise's variance that is told, with the same noise whenever it is asked; at least -1."""
    x = torch.cat([x for x, _ in batches])
    noise = torch.randn(x.shape, generator=data.generator())
    share = float(1 - (model(x + 0.3 * noise) + noise).square().mean())
    return max(share, -1.0) if math.isfinite(share) else -1.0


healthy = healthy_of(
    "flows", network=Flow, task=tasks.moons, loss=surprise, metric=told, optimizer=adam(5e-3), steps=150
)
NOISE: dict[str, Any] = {"network": Energy, "loss": from_noise, "metric": accuracy_of_logits, "steps": 150}
SCORE: dict[str, Any] = {
    "network": Energy,
    "outputs": 2,
    "loss": denoised(),
    "metric": noise_explained,
    "steps": 200,
}

flow = healthy("couplings", 0.15, chance=0.0)
deep = healthy(
    "couplings-8-tanh",
    0.15,
    chance=0.0,
    couplings=8,
    activation=nn.Tanh,
    optimizer=warmed(adam(5e-3), 30),
    batch_size=128,
)
free = healthy(
    "couplings-free",
    0.15,
    chance=0.0,
    couplings=6,
    bounded=False,
    zeroed=False,
    activation=nn.LeakyReLU,
    optimizer=clipped(adam(3e-3), 0.1),
)
energy = healthy("energy", 0.57, chance=0.5, optimizer=adam(3e-3), **NOISE)
energy_sgd = healthy("energy-softplus-sgd", 0.56, chance=0.5, act=F.softplus, optimizer=sgd(0.3, momentum=0.9), **NOISE)
score = healthy("score", 0.15, chance=0.0, optimizer=adam(5e-3), **SCORE)

NETS = ("couplings*",)
# exp of what a network says, with nothing that keeps it small.
EXPONENT = Fault(
    ("overflow", "nonfinite", "exploding", "bad_init_large"),
    ("numeric_overflow", "weights_too_large", "init_mismatch", "data_scale"),
)

PROGRAMS = (
    flow,
    flow.but("in-metres", kinds.UNSCALED, task=tasks.moons_in_metres),
    flow.but("forty-points", kinds.OVERFITTING, task=lambda: tasks.moons().first(40), watched=150),
    flow.but("rate-high", kinds.RATE_HIGH, optimizer=adam(1.0)),
    deep,
    deep.but("all-but-the-last-detached", kinds.DETACHED.at("couplings.[0-6]*"), cut=7),
    deep.but("weights-large", kinds.SATURATED.at(*NETS), draw=normal(5.0), zeroed=False),
    free,
    free.but("overflowing", EXPONENT.at(*NETS), draw=normal(1.0)),
    free.but(
        "first-only", kinds.WRONG_PARAMETERS.at("couplings.[1-5]*"), optimizer=of_the_first(clipped(adam(3e-3), 0.1), 2)
    ),
    energy,
    energy.but("sigmoid-twice", kinds.WRONG_HEAD, sigmoid=True, metric=accuracy_of_chances),
    energy.but("sigmoid-10", kinds.SIGMOID_DEPTH.at("layers*"), act=torch.sigmoid, depth=10),
    energy.but("linear", kinds.LINEAR, act=nn.Identity()),
    energy_sgd,
    energy_sgd.but("weight-decay", kinds.WEIGHT_DECAY, optimizer=sgd(0.3, momentum=0.9, weight_decay=0.3)),
    energy_sgd.but("alike", kinds.SYMMETRIC.at("layers*", "out"), draw=constant(0.02)),
    score,
    score.but("one-unit", kinds.UNDERFITTING, width=1, watched=150),
)
