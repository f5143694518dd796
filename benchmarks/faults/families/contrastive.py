"""Networks that lay alike things side by side: digits in the plane, by pairs, triplets, whole batches or proxies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults.build import (
    Chain,
    Loss,
    adam,
    adamw,
    between,
    biased,
    clipped,
    normal,
    of_a_copy,
    xavier,
)
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of

CLASSES = 10
PLANE = 3


class Encoder(nn.Module):
    """Linear layers down to a few numbers; proxies, if there are any, are places of the classes among them."""

    def __init__(
        self,
        depth: int = 3,
        width: int = 64,
        activation: Callable[[], nn.Module] | None = nn.ReLU,
        norm: Callable[[int], nn.Module] | None = None,
        dropout: float = 0.0,
        proxies: bool = False,
        cut: int | None = None,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise([64, *[width] * (depth - 1)]):
            layers += [nn.Linear(fan_in, fan_out), *([norm(fan_out)] if norm else [])]
            layers += [*([activation()] if activation else []), *([nn.Dropout(dropout)] if dropout else [])]
        self.body = Chain(*layers, nn.Linear(width, PLANE), cut=cut)
        self.proxies = nn.Parameter(torch.randn(CLASSES, PLANE)) if proxies else None

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 64) to (batch, 3)."""
        return self.body(x)


def whole_batch(temperature: float = 0.2) -> Loss:
    """Cross-entropy of being alike over all pairs of a batch (Khosla et al. 2020, supervised contrast)."""

    def loss(model: nn.Module, batch: Any) -> Tensor:
        places = F.normalize(model(batch[0]), dim=1)
        others = 1 - torch.eye(len(places))
        alike = (batch[1][:, None] == batch[1][None, :]).float() * others
        logits = places @ places.T / temperature - 1e9 * (1 - others)
        return -((logits.log_softmax(1) * alike).sum(1) / alike.sum(1).clamp(min=1)).mean()

    return loss


def pairs(model: nn.Module, batch: Any) -> Tensor:
    """Both halves of a batch through the same network: alike ones together, others 2 apart (Hadsell et al. 2006)."""
    half = len(batch[0]) // 2
    one, other = model(batch[0][:half]), model(batch[0][half : 2 * half])
    alike = (batch[1][:half] == batch[1][half : 2 * half]).float()
    distance = lifted((one - other).square().sum(1))
    return (alike * distance.square() + (1 - alike) * (2 - distance).clamp(min=0).square()).mean()


def triplets(root: Callable[[Tensor], Tensor]) -> Loss:
    """All triplets of a batch: the like one nearer than the unlike one by 1, softly (Hermans et al. 2017)."""

    def loss(model: nn.Module, batch: Any) -> Tensor:
        places = model(batch[0])
        distance = root((places[:, None] - places[None, :]).square().sum(2))
        alike = batch[1][:, None] == batch[1][None, :]
        triples = alike[:, :, None] & ~alike[:, None, :]
        return F.softplus(1 + distance[:, :, None] - distance[:, None, :])[triples].mean()

    return loss


def lifted(square: Tensor) -> Tensor:
    """The root of a little more, whose slope is finite at 0."""
    return (square + 1e-6).sqrt()


def by_proxies(model: Any, batch: Any) -> Tensor:
    """Cross-entropy of the squared distances from the classes' learned places (Movshovitz-Attias et al. 2017)."""
    return F.cross_entropy(-torch.cdist(model(batch[0]), model.proxies).square(), batch[1])


def neighbours(model: nn.Module, batches: Iterable[Any]) -> float:
    """Share of samples whose nearest other one is of their class."""
    hits = []
    for x, y in batches:
        places = model(x)
        distance = torch.cdist(places, places) + torch.diag(torch.full((len(places),), torch.inf))
        hits.append((y[distance.nan_to_num(nan=torch.inf).argmin(1)] == y).float())
    return float(torch.cat(hits).mean())


healthy = healthy_of(
    "contrastive", network=Encoder, task=data.digits, metric=neighbours, optimizer=adam(3e-3), loss=whole_batch()
)

CHANCE = 0.25  # of an untrained network, whose three numbers tell something too

whole = healthy("whole-batch", 0.75, CHANCE)
sparse = healthy("whole-batch-sparse", 0.75, CHANCE, width=128, change=biased(-0.4, "body.0", "body.2"))
sharp = healthy(
    "whole-batch-gelu-deep", 0.75, CHANCE, depth=6, activation=nn.GELU, norm=nn.LayerNorm, loss=whole_batch(0.1)
)
siamese = healthy("pairs", 0.7, CHANCE, activation=nn.Tanh, draw=xavier, loss=pairs, batch_size=128, steps=200)
triple = healthy("triplets", 0.75, CHANCE, loss=triplets(lifted), optimizer=adamw(3e-3, weight_decay=0.1), dropout=0.1)
proxies = healthy("proxies", 0.75, CHANCE, proxies=True, loss=by_proxies, optimizer=clipped(adam(5e-3), 0.1))

# The distance of a sample from itself is 0, where the slope of the root is infinite.
ROOT = Fault(("nonfinite", "overflow"), ("numeric_overflow", "loss_mismatch", "numeric_underflow"))

PROGRAMS = (
    whole,
    whole.but("no-activation", kinds.LINEAR, activation=None),
    whole.but("labels-shuffled", kinds.SHUFFLED_LABELS, task=lambda: data.digits().shuffled_targets(), watched=150),
    whole.but("rate-low", kinds.RATE_LOW, optimizer=adam(1e-7)),
    whole.but("dead", kinds.DEAD_BY_BIAS.at("body.2", "body.3"), change=biased(-30.0, "body.2")),
    sparse,
    sharp,
    sharp.but("sigmoid", kinds.SIGMOID_DEPTH.at(*between(0, 8, "body.")), activation=nn.Sigmoid, norm=None, depth=10),
    sharp.but("copy", kinds.WRONG_PARAMETERS, optimizer=of_a_copy(adam(3e-3))),
    siamese,
    siamese.but("weights-large", kinds.SATURATED.at("body*"), draw=normal(2.0)),
    siamese.but("bytes", kinds.UNSCALED, task=data.digit_bytes),
    triple,
    triple.but("root-of-zero", ROOT, loss=triplets(torch.sqrt)),
    triple.but("rate-high", kinds.RATE_HIGH, optimizer=adamw(1.0)),
    triple.but("weight-decay", kinds.WEIGHT_DECAY, optimizer=adamw(3e-3, weight_decay=100.0)),
    proxies,
    proxies.but("detached", kinds.DETACHED.at("body.[0-3]"), cut=4),
)
