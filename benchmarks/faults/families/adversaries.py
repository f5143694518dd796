"""Adversaries: a generator of small pictures or points and what tells them from real ones, both in one step.

Marks by task, set before training: with 1 for the same and 0 for one point, points on a circle or on
rings 0.8, digits 0.5, wines 0.5. Dropped: a convolved generator of digits, which learnt with none of three seeds;
rings by the standard loss and by margins, which came to nothing with some seeds, gave way to the circle; tumours
gave way to wines for the same reason. A sigmoid before logits did too little harm, or only with some seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_fifth as tasks
from benchmarks.faults.build import adam, biased, frozen, rmsprop
from benchmarks.faults.families.gan import energy_distance
from benchmarks.faults.recipe import healthy_of

Z = 10


def dense(inputs: int, hidden: tuple[int, ...], outputs: int, act: nn.Module, bn: bool = False) -> list[nn.Module]:
    """``Linear(, BatchNorm), activation`` as often as there are hidden sizes, then ``Linear``."""
    layers: list[nn.Module] = []
    for size in hidden:
        layers += [nn.Linear(inputs, size), *([nn.BatchNorm1d(size)] if bn else []), act]
        inputs = size
    return [*layers, nn.Linear(inputs, outputs)]


class Game(nn.Module):
    """``G`` and ``D``."""

    def __init__(
        self,
        size: int = 2,
        g_hidden: tuple[int, ...] = (64, 64),
        d_hidden: tuple[int, ...] = (64, 64),
        g_act: Callable[[], nn.Module] = nn.ReLU,
        bn: bool = False,
        end: Callable[[], nn.Module] | None = None,
        p: float = 0.0,
        sigmoid: bool = False,
        stop: bool = False,
    ) -> None:
        super().__init__()
        self.G = nn.Sequential(*dense(Z, g_hidden, size, g_act(), bn), *([end()] if end else []))
        judge = [nn.Dropout(p), *dense(size, d_hidden, 1, nn.LeakyReLU(0.2)), *([nn.Sigmoid()] if sigmoid else [])]
        self.D = nn.Sequential(*judge)
        self.stop = stop

    def forward(self, n: int) -> Tensor:
        fake = self.G(torch.randn(n, Z))
        return fake.detach() if self.stop else fake


def both(judge: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]) -> Callable[[Any, Any], Tensor]:
    """The sum of both losses; while the generator's is taken, the weights of the other one hold still."""

    def loss(model: Any, batch: Any) -> Tensor:
        real = batch[0]
        fake = model(len(real))
        asked = [p for p in model.D.parameters() if p.requires_grad]
        d_real, d_fake = model.D(real), model.D(fake.detach())
        for p in asked:
            p.requires_grad_(False)
        fooled = model.D(fake)
        for p in asked:
            p.requires_grad_(True)
        return sum(judge(d_real, d_fake, fooled), start=torch.zeros(()))

    return loss


def standard(real: Tensor, fake: Tensor, fooled: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms, not saturating (Goodfellow et al. 2014)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean(), F.softplus(-fooled).mean()


def smoothed(real: Tensor, fake: Tensor, fooled: Tensor) -> tuple[Tensor, Tensor]:
    """The same with 0.9 for real ones."""
    told = F.binary_cross_entropy_with_logits(real, torch.full_like(real, 0.9))
    return told + F.softplus(fake).mean(), F.softplus(-fooled).mean()


def hinge(real: Tensor, fake: Tensor, fooled: Tensor) -> tuple[Tensor, Tensor]:
    """Margins (Miyato et al. 2018)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean(), -fooled.mean()


def squares(real: Tensor, fake: Tensor, fooled: Tensor) -> tuple[Tensor, Tensor]:
    """Least squares (Mao et al. 2017)."""
    return (real - 1).square().mean() + fake.square().mean(), (fooled - 1).square().mean()


def resemblance(model: nn.Module, batches: Iterable[Any]) -> float:
    """1 less the energy distance to held-out ones, in units of that of one point at their mean."""
    real = torch.cat([x for x, _ in batches]).flatten(1)[:300]
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        given = model(len(real)).flatten(1)
    if not bool(given.isfinite().all()):
        return -1.0
    return max(-1.0, 1 - energy_distance(given, real) / energy_distance(real.mean(0, keepdim=True), real))


def slowly(lr: float, b1: float = 0.5) -> Any:
    """Adam as the papers have it."""
    return adam(lr, betas=(b1, 0.999))


healthy = healthy_of(
    "adversaries",
    network=Game,
    task=tasks.rings,
    loss=both(standard),
    metric=resemblance,
    optimizer=slowly(1e-3),
    steps=500,
    batch_size=100,
)
DIGITS: dict[str, Any] = {"task": data.digits, "size": 64}

plain = healthy("circle-standard", 0.8, 0.0, task=data.ring, g_act=nn.SiLU)
margins = healthy("circle-hinge", 0.8, 0.0, task=data.ring, loss=both(hinge), g_act=nn.SiLU, optimizer=slowly(5e-4))
least = healthy("rings-least-squares-tanh", 0.8, 0.0, loss=both(squares), g_act=nn.Tanh, optimizer=rmsprop(1e-3))
normed = healthy("digits-batch-norm", 0.5, 0.0, bn=True, loss=both(smoothed), optimizer=slowly(2e-3), **DIGITS)
wines = healthy(
    "wines-dropout",
    0.5,
    0.0,
    task=data.wine,
    size=13,
    p=0.1,
    loss=both(squares),
    g_act=nn.LeakyReLU,
    batch_size=64,
    optimizer=slowly(1e-3),
)

PROGRAMS = (
    plain,
    plain.but("rate-high", kinds.RATE_HIGH, optimizer=slowly(0.5)),
    margins,
    margins.but("frozen", kinds.FROZEN.at("G*"), change=frozen("G")),
    least,
    least.but("rate-low", kinds.RATE_LOW, optimizer=rmsprop(1e-7)),
    normed,
    normed.but("pairs", kinds.NORMALIZATION.at("G.1", "G.4"), batch_size=2),
    wines,
    wines.but("raw", kinds.UNSCALED, task=data.wine_raw),
    wines.but("dead", kinds.DEAD_BY_BIAS.at("G*"), g_act=nn.ReLU, change=biased(-30.0, "G.0", "G.2")),
)
