"""Features learnt without labels from two spoilt views of a digit, and judged by whether a digit is found again."""

from __future__ import annotations

import copy
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
    biased,
    constant,
    frozen,
    lion,
    normal,
    of_a_copy,
    of_the_last,
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
        predict: Whether one view's projection is to tell the other's (SimSiam; Chen and He 2021).
        slow: Whether the other view is seen by a slow copy (BYOL; Grill et al. 2020).
        cut: Whether the projection is cut off from the body.
    """

    def __init__(
        self,
        width: int = 64,
        depth: int = 2,
        out: int = 32,
        act: Callable[[Tensor], Tensor] = F.relu,
        norm: Callable[[int], nn.Module] | None = nn.BatchNorm1d,
        predict: bool = False,
        slow: bool = False,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.body = nn.ModuleList(nn.Linear(width if i else 64, width) for i in range(depth))
        self.norms = nn.ModuleList(norm(width) if norm else nn.Identity() for _ in range(depth))
        self.project = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, out))
        self.predict = (
            nn.Sequential(nn.Linear(out, out), nn.BatchNorm1d(out), nn.ReLU(), nn.Linear(out, out)) if predict else None
        )
        self.act, self.cut = act, cut
        self.slow = copy.deepcopy(self).requires_grad_(False) if slow else None

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 64) to features."""
        for layer, norm in zip(self.body, self.norms, strict=True):
            x = self.act(norm(layer(x)))
        return x

    def projected(self, x: Tensor) -> Tensor:
        """(batch, 64) to what the loss sees."""
        h = self(x)
        return self.project(h.detach() if self.cut else h)

    @torch.no_grad()
    def slowly(self, x: Tensor) -> Tensor:
        """The projection by the slow copy, which takes a step after the other in training."""
        if self.training:
            fast = dict(self.named_parameters())
            for name, parameter in self.slow.named_parameters():
                parameter.lerp_(fast[name], 0.05)
        return self.slow.projected(x)


def spoilt(x: Tensor) -> Tensor:
    """With some pixels gone, noise, and brighter or darker."""
    kept = (torch.rand_like(x) > 0.4).float()
    return kept * x * (0.8 + 0.4 * torch.rand(len(x), 1)) + 0.3 * torch.randn_like(x)


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


def told_apart(held: bool = True) -> Callable[[Any, Any], Tensor]:
    """One view's projection tells the other's, which is held."""

    def loss(model: Any, batch: Any) -> Tensor:
        views = [spoilt(batch[0]) for _ in range(2)]
        projected = [model.projected(view) for view in views]
        wanted = [model.slowly(view) for view in views] if model.slow is not None else projected
        wanted = [z.detach() for z in wanted] if held else wanted
        given = [model.predict(z) for z in projected]
        return -0.5 * (
            F.cosine_similarity(given[0], wanted[1]).mean() + F.cosine_similarity(given[1], wanted[0]).mean()
        )

    return loss


def found_again(model: Any, batches: Iterable[Any]) -> float:
    """Share of held-out digits whose second spoilt view is the nearest of all to their first, by the projection."""
    x = torch.cat([x for x, _ in batches])
    with torch.random.fork_rng():
        torch.manual_seed(0)  # the same views each time
        views = [spoilt(x), spoilt(x)]
    one, two = (model.projected(view) for view in views)
    one, two = (F.normalize(z - z.mean(0), dim=1) for z in (one, two))
    if not bool(one.isfinite().all() and two.isfinite().all()):
        return 0.0
    return float(((one @ two.mT).argmax(1) == torch.arange(len(x))).float().mean())


healthy = healthy_of(
    "selfsupervised",
    network=Encoder,
    task=data.digits,
    loss=ntxent(0.5),
    metric=found_again,
    optimizer=adam(3e-3),
    batch_size=128,
    steps=150,
)
TELLS: dict[str, Any] = {"loss": told_apart(), "predict": True}

simclr = healthy("simclr", 0.9, 0.1)
simclr_cool = healthy(
    "simclr-layer-norm",
    0.9,
    0.1,
    loss=ntxent(0.2),
    act=F.gelu,
    norm=nn.LayerNorm,
    optimizer=warmed(adamw(3e-3), 20),
    batch_size=256,
)
twins = healthy("barlow", 0.88, 0.1, loss=barlow, out=24, optimizer=adamw(3e-3, weight_decay=0.01))
spread = healthy("vicreg", 0.88, 0.1, loss=vicreg, act=F.elu, optimizer=lion(5e-4))
siamese = healthy(
    "simsiam-sgd", 0.85, 0.1, optimizer=annealed(sgd(0.05, momentum=0.9, weight_decay=1e-4), 200), steps=200, **TELLS
)
slow = healthy("byol", 0.88, 0.1, slow=True, act=F.silu, optimizer=adamw(2e-3), **TELLS)

BODY = ("body*", "norms*")

PROGRAMS = (
    simclr,
    simclr.but("rate-high", kinds.RATE_HIGH, optimizer=adam(10.0)),
    simclr.but("dead", kinds.DEAD_BY_BIAS.at("body*"), norm=None, change=biased(-30.0, "body.1")),
    simclr_cool,
    simclr_cool.but("sigmoid-10", kinds.SIGMOID_DEPTH.at("body*"), act=torch.sigmoid, norm=None, depth=10),
    simclr_cool.but("body-detached", kinds.DETACHED.at(*BODY), cut=True, norm=None, depth=4),
    twins,
    twins.but("alike", kinds.SYMMETRIC.at("body*", "project*"), draw=constant(0.02)),
    spread,
    spread.but(
        "project-only",
        kinds.WRONG_PARAMETERS.at(*BODY),
        norm=None,
        act=torch.tanh,
        depth=4,
        optimizer=of_the_last(lion(5e-4), 6),
    ),
    siamese,
    siamese.but("large", kinds.SATURATED.at("body*"), draw=normal(5.0), norm=None, act=torch.tanh, depth=4),
    slow,
    slow.but("copy", kinds.WRONG_PARAMETERS, optimizer=of_a_copy(adamw(2e-3)), norm=None, act=torch.tanh, depth=6),
    slow.but("body-frozen", kinds.FROZEN.at(*BODY), change=frozen("body"), act=torch.sigmoid, norm=None, depth=6),
)
