"""What is rare: fraud among payments, a digit never seen, a long tail; weights, focus, overlap, what comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import kinds
from benchmarks.faults import tasks_third as tasks
from benchmarks.faults.build import (
    accuracy,
    adam,
    adamw,
    annealed,
    biased,
    lion,
    nadam,
    normal,
    rmsprop,
    sgd,
    undecayed,
)
from benchmarks.faults.recipe import healthy_of


class Plain(nn.Module):
    """Hidden layers and a head."""

    def __init__(
        self,
        inputs: int = 8,
        outputs: int = 1,
        width: int = 48,
        depth: int = 2,
        act: Callable[[Tensor], Tensor] = F.relu,
        norm: Callable[[int], nn.Module] | None = None,
        dropout: float = 0.0,
        bias: float = 0.0,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width if i else inputs, width) for i in range(depth))
        self.norms = nn.ModuleList(norm(width) if norm else nn.Identity() for _ in range(depth))
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(width, outputs)
        nn.init.constant_(self.head.bias, bias)
        self.act, self.cut = act, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, outputs)."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = self.drop(self.act(norm(layer(x))))
        return self.head(x.detach() if self.cut else x)


class Narrow(nn.Module):
    """Through a narrow place and back; how far off it comes back is how unusual it is."""

    def __init__(
        self,
        width: int = 48,
        code: int = 10,
        act: Callable[[Tensor], Tensor] = F.elu,
        noise: float = 0.0,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.into = nn.ModuleList([nn.Linear(64, width), nn.Linear(width, code)])
        self.back = nn.ModuleList([nn.Linear(code, width), nn.Linear(width, 64)])
        self.act, self.noise, self.cut = act, noise, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 64) to mean squared errors."""
        given = x + self.noise * torch.randn_like(x) if self.training and self.noise else x
        h = self.into[1](self.act(self.into[0](given)))
        y = self.back[1](self.act(self.back[0](h.detach() if self.cut else h)))
        return (y - x).square().mean(1)


def weighted(model: nn.Module, batch: Any) -> Tensor:
    """What is rare counts eleven times."""
    return F.binary_cross_entropy_with_logits(model(batch[0]), batch[1], pos_weight=torch.tensor(11.0))


def focal(model: nn.Module, batch: Any) -> Tensor:
    """Less of what is nearly right already, a balance of 3 to 1 (Lin et al. 2017)."""
    loss = F.binary_cross_entropy_with_logits(model(batch[0]), batch[1], reduction="none")
    return ((0.25 + 0.5 * batch[1]) * loss * (1 - torch.exp(-loss)).square()).mean() * 4


def dice(model: nn.Module, batch: Any) -> Tensor:
    """How much what is told and what is overlap (Milletari et al. 2016), and a little cross-entropy."""
    logits = model(batch[0])
    told = logits.sigmoid()
    overlap = (2 * (told * batch[1]).sum() + 1) / (told.sum() + batch[1].sum() + 1)
    return 1 - overlap + 0.5 * F.binary_cross_entropy_with_logits(logits, batch[1])


def balanced(model: nn.Module, batch: Any) -> Tensor:
    """As many rare ones as others, drawn again and again."""
    x, y = batch
    rare, usual = (y[:, 0] > 0.5).nonzero()[:, 0], (y[:, 0] < 0.5).nonzero()[:, 0]
    if len(rare):
        rows = torch.cat([usual, rare[torch.randint(len(rare), (len(usual),))]])
        x, y = x[rows], y[rows]
    return F.binary_cross_entropy_with_logits(model(x), y)


def of_probabilities(model: nn.Module, batch: Any) -> Tensor:
    """Squashed before a loss that squashes."""
    return F.binary_cross_entropy_with_logits(model(batch[0]).sigmoid(), batch[1])


def ranked(model: nn.Module, batches: Iterable[Any]) -> float:
    """Chance that a rare one is told to be likelier than another: the area under the curve."""
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))
    score, rare = model(x).flatten(), y.flatten() > 0.5
    if not bool(score.isfinite().all()):
        return 0.5
    apart = score[rare][:, None] - score[~rare]
    return float(((apart > 0).float() + 0.5 * (apart == 0).float()).mean())


def usual(model: nn.Module, batch: Any) -> Tensor:
    """How unusual what is usual seems."""
    return model(batch[0]).mean()


def adjusted(model: nn.Module, batch: Any) -> Tensor:
    """Logits to which the share of each class is added in training (Menon et al. 2021)."""
    shares = tasks.long_tail().train[1].bincount() / len(tasks.long_tail().train[1])
    logits = model(batch[0])
    return F.cross_entropy(logits + shares.log() if model.training else logits, batch[1])


def by_class(model: nn.Module, batch: Any) -> Tensor:
    """Each class by one over the root of its count."""
    weights = tasks.long_tail().train[1].bincount().float().rsqrt()
    return F.cross_entropy(model(batch[0]), batch[1], weight=weights / weights.mean(), label_smoothing=0.05)


healthy = healthy_of(
    "rare", network=Plain, task=tasks.fraud, metric=ranked, loss=weighted, optimizer=adam(3e-3), steps=200
)
TAIL: dict[str, Any] = {"task": tasks.long_tail, "inputs": 64, "outputs": 10, "metric": accuracy, "steps": 150}
NEVER: dict[str, Any] = {"task": tasks.never_seen, "loss": usual}

fraud = healthy("fraud-weighted", 0.85, 0.5)
fraud_focal = healthy(
    "fraud-focal",
    0.86,
    0.5,
    loss=focal,
    act=F.gelu,
    norm=nn.LayerNorm,
    bias=-2.0,
    optimizer=nadam(3e-3),
    batch_size=128,
)
fraud_dice = healthy(
    "fraud-dice", 0.85, 0.5, loss=dice, act=torch.tanh, dropout=0.1, optimizer=adamw(5e-3), batch_size=256
)
fraud_even = healthy("fraud-balanced-sgd", 0.85, 0.5, loss=balanced, act=F.leaky_relu, optimizer=sgd(0.1, momentum=0.9))
tail = healthy(
    "tail-adjusted",
    0.85,
    0.1,
    loss=adjusted,
    width=96,
    dropout=0.3,
    optimizer=undecayed(torch.optim.AdamW, 0.1, lr=3e-3),
    **TAIL,
)
tail_class = healthy(
    "tail-by-class",
    0.78,
    0.1,
    loss=by_class,
    norm=nn.BatchNorm1d,
    act=F.silu,
    optimizer=lion(1e-3),
    batch_size=32,
    **TAIL,
)
narrow = healthy("never-seen-narrow", 0.82, 0.5, network=Narrow, optimizer=adam(3e-3), **NEVER)
narrow_noise = healthy(
    "never-seen-noise",
    0.81,
    0.5,
    network=Narrow,
    act=torch.tanh,
    noise=0.3,
    code=16,
    optimizer=annealed(rmsprop(3e-3), 200),
    **NEVER,
)

PROGRAMS = (
    fraud,
    fraud.but("fraud-shuffled", kinds.SHUFFLED_LABELS, task=lambda: tasks.fraud().shuffled_targets(), watched=200),
    fraud.but("dead", kinds.DEAD_BY_BIAS.at("layers*"), change=biased(-30.0, "layers.1")),
    fraud_focal,
    fraud_focal.but("sigmoid-12", kinds.SIGMOID_DEPTH.at("layers*"), act=torch.sigmoid, norm=None, depth=12),
    fraud_focal.but("rate-high", kinds.RATE_HIGH, optimizer=nadam(3.0)),
    fraud_dice,
    fraud_even,
    fraud_even.but("no-activation", kinds.LINEAR, act=nn.Identity()),
    tail,
    tail.but("double", kinds.DOUBLE, dropout=0.95, optimizer=undecayed(torch.optim.AdamW, 30.0, lr=3e-3)),
    tail.but("layers-detached", kinds.DETACHED.at("layers*"), width=16, dropout=0.0, cut=True),
    tail_class,
    tail_class.but("batch-of-two", kinds.NORMALIZATION.at("norms*"), batch_size=2),
    narrow,
    narrow_noise,
    narrow_noise.but("unit-normal", kinds.SATURATED.at("into*", "back*"), draw=normal(4.0)),
)
