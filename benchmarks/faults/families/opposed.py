"""Training against something: worst-case noise near by, gradients turned round, moments that must agree.

Marks, set by task before any training: digits 0.8 (no attack at the end); digits from elsewhere 0.6 without one label
from there; with three in ten of the labels known 0.7.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_fourth as tasks
from benchmarks.faults.build import adam, adamw, biased, nadam, of_the_first, sgd
from benchmarks.faults.recipe import healthy_of


def body(
    width: int = 64, depth: int = 2, act: Callable[[], nn.Module] = nn.ReLU, dropout: float = 0.0
) -> nn.Sequential:
    """Hidden layers on 64 pixels."""
    layers: list[nn.Module] = []
    for i in range(depth):
        layers += [nn.Linear(64 if i == 0 else width, width), act(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


class Robust(nn.Module):
    """A plain network."""

    def __init__(self, softmax: bool = False, **options: Any) -> None:
        super().__init__()
        self.body = body(**options)
        self.head = nn.Linear(options.get("width", 64), 10)
        self.softmax = softmax

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(self.body(x))
        return y.softmax(1) if self.softmax else y


def fgsm(size: float = 0.2) -> Callable[[Any, Any], Tensor]:
    """Half of the loss on pictures moved a step up it (Goodfellow et al. 2015)."""

    def loss(model: Any, batch: Any) -> Tensor:
        x, y = batch
        clean = F.cross_entropy(model(x), y)
        if not model.training:
            return clean
        moved = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(F.cross_entropy(model(moved), y), moved)
        return (clean + F.cross_entropy(model(x + size * slope.sign()), y)) / 2

    return loss


def pgd(model: Any, batch: Any) -> Tensor:
    """Three steps away, and the loss there alone (Madry et al. 2018)."""
    x, y = batch
    if not model.training:
        return F.cross_entropy(model(x), y)
    away = 0.1 * torch.randn_like(x)
    for _ in range(3):
        away.requires_grad_()
        (slope,) = torch.autograd.grad(F.cross_entropy(model(x + away), y), away)
        away = (away.detach() + 0.1 * slope.sign()).clamp(-0.25, 0.25)
    return F.cross_entropy(model(x + away), y)


def virtual(model: Any, batch: Any) -> Tensor:
    """Answers, and how far the worst small noise moves them, labels or not (VAT; Miyato et al. 2018)."""
    x, y = batch
    known = y >= 0
    logits = model(x)
    loss = F.cross_entropy(logits[known], y[known])
    if not model.training:
        return loss
    wanted = logits.detach().softmax(1)
    away = (1e-1 * F.normalize(torch.randn_like(x), dim=1)).requires_grad_()
    (slope,) = torch.autograd.grad(F.kl_div(F.log_softmax(model(x + away), 1), wanted, reduction="batchmean"), away)
    moved = model(x + 1.5 * F.normalize(slope, dim=1))
    return loss + F.kl_div(F.log_softmax(moved, 1), wanted, reduction="batchmean")


class Reverse(torch.autograd.Function):
    """Nothing forward; back, the gradient turned round (Ganin et al. 2016)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: float) -> Tensor:
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return -ctx.weight * gradient, None


class Adapted(nn.Module):
    """Features that tell the digit and not where it is from."""

    def __init__(self, weight: float = 0.3, cut: bool = False, **options: Any) -> None:
        super().__init__()
        self.features = body(**options)
        width = options.get("width", 64)
        self.label = nn.Linear(width, 10)
        self.domain = nn.Sequential(nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, 1))
        self.weight, self.cut = weight, cut

    def forward(self, x: Tensor) -> Tensor:
        h = self.features(x)
        return self.label(h.detach() if self.cut else h)


def reversed_loss(model: Any, batch: Any) -> Tensor:
    """The digit where it is known, and the place of origin against the features."""
    x, y = batch
    h = model.features(x)
    known = y >= 0
    loss = F.cross_entropy(model.label(h)[known], y[known])
    if not model.training:
        return loss
    told = model.domain(Reverse.apply(h, model.weight))[:, 0]
    return loss + F.binary_cross_entropy_with_logits(told, known.float())


def correlation(model: Any, batch: Any) -> Tensor:
    """Features from both places with the same second moments (CORAL; Sun and Saenko 2016)."""
    x, y = batch
    h = model.features(x)
    h = h.detach() if model.cut else h
    known = y >= 0
    loss = F.cross_entropy(model.label(h)[known], y[known])
    if not model.training or bool(known.all()):
        return loss
    return loss + (torch.cov(h[known].mT) - torch.cov(h[~known].mT)).square().mean()


healthy = healthy_of("opposed", network=Robust, task=data.digits, optimizer=adam(3e-3), steps=150, batch_size=64)
ELSEWHERE: dict[str, Any] = {"network": Adapted, "task": tasks.domains, "batch_size": 128}

signs = healthy("signs", 0.8, 0.1, loss=fgsm())
worst = healthy("worst-near-by", 0.8, 0.1, loss=pgd, optimizer=sgd(0.1, momentum=0.9), steps=120)
smooth = healthy("virtual", 0.7, 0.1, loss=virtual, task=lambda: tasks.half_known(data.digits()), optimizer=nadam(3e-3))
reverse = healthy("reversed", 0.6, 0.1, loss=reversed_loss, optimizer=adam(3e-3), **ELSEWHERE)
moments = healthy("moments", 0.6, 0.1, loss=correlation, act=nn.ELU, optimizer=adamw(3e-3), **ELSEWHERE)

PROGRAMS = (
    signs,
    signs.but("dropout", kinds.DROPOUT.at("body*"), dropout=0.97),
    worst,
    worst.but("rate-high", kinds.RATE_HIGH, optimizer=sgd(30.0, momentum=0.9)),
    worst.but(
        "first-layer", kinds.WRONG_PARAMETERS.at("body.3", "head"), optimizer=of_the_first(sgd(0.1, momentum=0.9), 2)
    ),
    worst.but("bytes", kinds.UNSCALED, task=data.digit_bytes),
    smooth,
    smooth.but("dead", kinds.DEAD_BY_BIAS.at("body*"), change=biased(-15.0, "body.0", "body.3")),
    reverse,
    moments,
    moments.but("cut", kinds.DETACHED.at("features*"), cut=True),
    moments.but("rate-low", kinds.RATE_LOW, optimizer=adamw(1e-7)),
)
