"""Features learnt without labels from two spoilt views of a digit, and judged by whether a spoilt one is recognised."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults.build import (
    adam,
    adamw,
    annealed,
    constant,
    frozen,
    lion,
    normal,
    of_a_copy,
    sgd,
    warmed,
)
from benchmarks.faults.recipe import healthy_of


class Encoder(nn.Module):
    """Features, and a projection of them that the loss sees (Chen et al. 2020).

    Args:
        width: Of the features.
        depth: Of the body.
        out: Of the projection.
        act: Between layers.
        norm: Behind layers of the body.
        cut: Whether the projection is cut off from the body.
    """

    def __init__(
        self,
        width: int = 64,
        depth: int = 2,
        out: int = 32,
        act: Callable[[Tensor], Tensor] = F.relu,
        norm: Callable[[int], nn.Module] | None = nn.BatchNorm1d,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.body = nn.ModuleList(nn.Linear(width if i else 64, width) for i in range(depth))
        self.norms = nn.ModuleList(norm(width) if norm else nn.Identity() for _ in range(depth))
        self.project = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, out))
        self.act, self.cut = act, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 64) to features."""
        for layer, norm in zip(self.body, self.norms, strict=True):
            x = self.act(norm(layer(x)))
        return x

    def projected(self, x: Tensor) -> Tensor:
        """(batch, 64) to what the loss sees."""
        h = self(x)
        return self.project(h.detach() if self.cut else h)


def spoilt(x: Tensor) -> Tensor:
    """With some pixels gone, noise, and brighter or darker."""
    kept = (torch.rand_like(x) > 0.4).float()
    return kept * x * (0.8 + 0.4 * torch.rand(len(x), 1)) + 0.6 * torch.randn_like(x)


def ntxent(heat: float) -> Callable[[Any, Any], Tensor]:
    """Which of all other views is of the same digit (Chen et al. 2020)."""

    def loss(model: Any, batch: Any) -> Tensor:
        x = batch[0]
        z = F.normalize(model.projected(torch.cat([spoilt(x), spoilt(x)])), dim=1)
        alike = (z @ z.mT / heat).fill_diagonal_(-1e4)
        return F.cross_entropy(alike, (torch.arange(len(z)) + len(x)) % len(z))

    return loss


def barlow(model: Any, batch: Any) -> Tensor:
    """Each number alike in both views, and unlike all others (Zbontar et al. 2021)."""
    one, two = (model.projected(spoilt(batch[0])) for _ in range(2))
    one, two = ((z - z.mean(0)) / (z.std(0) + 1e-4) for z in (one, two))
    both = one.mT @ two / len(one)
    same = torch.eye(len(both))
    return ((both - same).square() * (same + 0.02 * (1 - same))).sum()


def vicreg(model: Any, batch: Any) -> Tensor:
    """Alike in both views, spread out, and uncorrelated (Bardes et al. 2022)."""
    one, two = (model.projected(spoilt(batch[0])) for _ in range(2))
    loss = 25 * F.mse_loss(one, two)
    for z in (one, two):
        z = z - z.mean(0)
        both = z.mT @ z / (len(z) - 1)
        loss = loss + 25 * F.relu(1 - (z.var(0) + 1e-4).sqrt()).mean()
        loss = loss + (both - both.diag().diag()).square().sum() / z.shape[1]
    return loss


def recognised(model: nn.Module, batches: Iterable[Any]) -> float:
    """Share of spoilt held-out digits whose five nearest whole ones, by features, are mostly its class."""
    x, y = data.digits().train
    a, b = (torch.cat(part) for part in zip(*batches, strict=True))
    with torch.random.fork_rng():
        torch.manual_seed(0)  # the same view each time
        a = spoilt(a)
    known, new = model(x), model(a)
    known, new = (F.normalize(z - known.mean(0), dim=1) for z in (known, new))
    if not bool(new.isfinite().all() and known.isfinite().all()):
        return 0.1
    nearest = y[(new @ known.mT).topk(5, 1).indices]
    return float((nearest.mode(1).values == b).float().mean())


healthy = healthy_of(
    "selfsupervised",
    network=Encoder,
    task=data.digits,
    loss=ntxent(0.5),
    metric=recognised,
    optimizer=adam(3e-3),
    batch_size=128,
    steps=200,
)

# Of an untrained network, the nearest neighbours already tell half of the spoilt digits: that is what chance is here.
simclr = healthy("simclr", 0.67, 0.5)
simclr_cool = healthy(
    "simclr-layer-norm",
    0.71,
    0.5,
    loss=ntxent(0.2),
    act=F.gelu,
    norm=nn.LayerNorm,
    optimizer=warmed(adamw(3e-3), 20),
    batch_size=256,
)
simclr_sgd = healthy(
    "simclr-sgd-cosine",
    0.69,
    0.5,
    loss=ntxent(0.3),
    act=F.leaky_relu,
    norm=nn.LayerNorm,
    optimizer=annealed(sgd(0.3, momentum=0.9, weight_decay=1e-4), 200),
)
twins = healthy("barlow", 0.6, 0.5, loss=barlow, out=24, optimizer=adamw(3e-3, weight_decay=0.01))
spread = healthy("vicreg", 0.67, 0.5, loss=vicreg, norm=nn.LayerNorm, optimizer=lion(1e-3))

BODY = ("body*", "norms*")

PROGRAMS = (
    simclr,
    simclr_cool,
    simclr_cool.but("body-detached", kinds.DETACHED.at(*BODY), cut=True),
    simclr_cool.but("body-frozen", kinds.FROZEN.at(*BODY), change=frozen("body")),
    simclr_sgd,
    simclr_sgd.but("large", kinds.SATURATED.at("body*"), draw=normal(5.0), norm=None, act=torch.tanh),
    twins,
    twins.but("alike", kinds.SYMMETRIC.at("body*", "project*"), draw=constant(0.02)),
    twins.but("copy", kinds.WRONG_PARAMETERS, optimizer=of_a_copy(adamw(3e-3))),
    spread,
)
