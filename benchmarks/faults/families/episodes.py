"""Learning to learn from a few: prototypes, comparisons, neural processes, one step of descent inside the loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults.build import (
    adam,
    adamw,
    annealed,
    constant,
    lion,
    nadam,
    norm_clipped,
    normal,
    of_the_last,
    sgd,
    warmed,
)
from benchmarks.faults.data import Split
from benchmarks.faults.recipe import healthy_of

WAYS, SHOTS, ASKED = 4, 3, 3


@cache
def tasks_of_digits() -> Split:
    """1,000 tasks: 3 digits each of 4 kinds, then 3 more of each to be told; held-out tasks use other pictures.

    Inputs are (tasks, 4 · 6, 64), the first 12 rows to learn from; targets the kinds of the last 12.
    """
    random = data.generator()

    def drawn(x: Tensor, y: Tensor, count: int) -> tuple[Tensor, Tensor]:
        by_class = [x[y == digit] for digit in range(10)]
        given = []
        for _ in range(count):
            chosen = torch.randperm(10, generator=random)[:WAYS].tolist()
            rows = [
                by_class[digit][torch.randperm(len(by_class[digit]), generator=random)[: SHOTS + ASKED]]
                for digit in chosen
            ]
            shown, asked = [row[:SHOTS] for row in rows], [row[SHOTS:] for row in rows]
            given.append(torch.cat([*shown, *asked]))
        wanted = torch.arange(WAYS).repeat_interleave(ASKED).expand(count, -1)
        return torch.stack(given), wanted.contiguous()

    whole = data.digits()
    return Split(drawn(*whole.train, 800), drawn(*whole.test, 200))


def bytes_of_digits() -> Split:
    """The same as image files have them, more or less: 128 in the middle, up to 255 and more."""
    return tasks_of_digits().map(lambda x: 128 + 60 * x)


SEEN, MOMENTS = 8, 20


@cache
def curves() -> Split:
    """1,500 waves of any height, pitch and phase: 8 of their points, then 12 places and their values."""
    random = data.generator()
    height, pitch, phase = (torch.rand(1500, 1, generator=random) for _ in range(3))
    x = 4 * torch.rand(1500, MOMENTS, generator=random) - 2
    y = (0.5 + height) * torch.sin((1 + pitch) * x + 6.28 * phase) + 0.05 * torch.randn(x.shape, generator=random)
    hidden = torch.cat([y[:, :SEEN], torch.zeros(1500, MOMENTS - SEEN)], 1)
    return data.split(torch.stack([x, hidden], 2), y[:, SEEN:])


class Prototypes(nn.Module):
    """What is asked belongs to the nearest mean of what was shown (Snell et al. 2017), or is compared with each."""

    def __init__(
        self,
        width: int = 64,
        depth: int = 2,
        act: Callable[[Tensor], Tensor] = F.relu,
        how: str = "nearest",
        norm: bool = False,
        cut: bool = False,
        softmax: bool = False,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width if i else 64, width) for i in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width) if norm else nn.Identity() for _ in range(depth))
        self.embed = nn.Linear(width, 32)
        self.relate = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1)) if how == "related" else None
        self.act, self.how, self.cut, self.softmax = act, how, cut, softmax

    def forward(self, x: Tensor) -> Tensor:
        """(tasks, shown and asked, 64) to (tasks, asked, ways)."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = self.act(norm(layer(x)))
        h = self.embed(x.detach() if self.cut else x)
        shown, asked = h[:, : WAYS * SHOTS].unflatten(1, (WAYS, SHOTS)).mean(2), h[:, WAYS * SHOTS :]
        if self.relate is not None:
            pairs = torch.cat(torch.broadcast_tensors(asked[:, :, None], shown[:, None]), 3)
            logits = self.relate(pairs)[..., 0]
        elif self.how == "cosine":
            logits = 10 * F.normalize(asked, dim=2) @ F.normalize(shown, dim=2).mT
        else:
            logits = -torch.cdist(asked, shown).square() / 8
        return logits.softmax(2) if self.softmax else logits


class Adapted(nn.Module):
    """A small network whose weights take a step on what was shown before it answers (MAML; Finn et al. 2017)."""

    def __init__(
        self, width: int = 32, rate: float = 0.2, act: Callable[[Tensor], Tensor] = torch.tanh, second: bool = True
    ) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(64, width), nn.Linear(width, WAYS)
        self.rate, self.act, self.second = rate, act, second

    def forward(self, x: Tensor) -> Tensor:
        """(places, 64) to logits, without a step."""
        return self.head(self.act(self.body(x)))

    def answers(self, x: Tensor) -> Tensor:
        """(shown and asked, 64) to (asked, ways), after two steps."""
        known = torch.arange(WAYS).repeat_interleave(SHOTS)
        weights = dict(self.named_parameters())
        with torch.enable_grad():
            for _ in range(2):
                loss = F.cross_entropy(functional_call(self, weights, (x[: WAYS * SHOTS],)), known)
                slopes = torch.autograd.grad(loss, list(weights.values()), create_graph=self.second and self.training)
                weights = {
                    name: w - self.rate * slope for (name, w), slope in zip(weights.items(), slopes, strict=True)
                }
        return functional_call(self, weights, (x[WAYS * SHOTS :],))


class Process(nn.Module):
    """Points that were seen become one summary, or are looked at, and each place is told (Garnelo et al. 2018)."""

    def __init__(
        self, width: int = 48, act: Callable[[Tensor], Tensor] = F.relu, look: bool = False, cut: bool = False
    ) -> None:
        super().__init__()
        self.read = nn.ModuleList([nn.Linear(2, width), nn.Linear(width, width)])
        self.sharp = nn.Parameter(torch.tensor(1.0)) if look else None
        self.tell = nn.ModuleList([nn.Linear(width + 1, width), nn.Linear(width, width), nn.Linear(width, 2)])
        self.act, self.cut = act, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, moments, place and value) to (batch, asked, mean and raw spread)."""
        seen, places = x[:, :SEEN], x[:, SEEN:, :1]
        each = self.read[1](self.act(self.read[0](seen)))
        if self.sharp is not None:
            apart = (places - seen[..., :1].mT).abs()
            summary = (-self.sharp.exp() * apart).softmax(2) @ each
        else:
            summary = each.mean(1, keepdim=True).expand(-1, places.shape[1], -1)
        summary = summary.detach() if self.cut else summary
        h = torch.cat([summary, places], 2)
        h = self.act(self.tell[1](self.act(self.tell[0](h))))
        return self.tell[2](h)


def asked_right(model: nn.Module, batch: Any) -> Tensor:
    """Cross-entropy of what is asked."""
    return F.cross_entropy(model(batch[0]).flatten(0, 1), batch[1].flatten())


def after_steps(model: Any, batch: Any) -> Tensor:
    """The same of each task after steps of its own."""
    losses = [F.cross_entropy(model.answers(x), y) for x, y in zip(*batch, strict=True)]
    return torch.stack(losses).mean()


def told_right(model: Any, batches: Iterable[Any]) -> float:
    """Share of what is asked that is told right."""
    hits = []
    for x, y in batches:
        logits = torch.stack([model.answers(task) for task in x]) if hasattr(model, "answers") else model(x)
        hits.append((logits.argmax(2) == y).float())
    return float(torch.cat(hits).mean())


def likely(model: nn.Module, batch: Any) -> Tensor:
    """Gaussian likelihood of what is asked."""
    mean, raw = model(batch[0]).unbind(2)
    spread = 0.05 + F.softplus(raw)
    return (0.5 * ((batch[1] - mean) / spread).square() + spread.log()).mean()


def means_explained(model: nn.Module, batches: Iterable[Any]) -> float:
    """R² of the means; at least -1."""
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))
    share = float(1 - (model(x)[..., 0] - y).square().mean() / y.var())
    return max(share, -1.0) if math.isfinite(share) else -1.0


healthy = healthy_of(
    "episodes",
    network=Prototypes,
    task=tasks_of_digits,
    loss=asked_right,
    metric=told_right,
    optimizer=adam(2e-3),
    batch_size=16,
    steps=120,
)
STEPPED: dict[str, Any] = {"network": Adapted, "loss": after_steps, "batch_size": 8}
CURVES: dict[str, Any] = {
    "network": Process,
    "task": curves,
    "loss": likely,
    "metric": means_explained,
    "batch_size": 64,
    "steps": 400,
}

nearest = healthy("nearest", 0.85, 0.25)
cosine = healthy("cosine-lion", 0.85, 0.25, how="cosine", act=F.gelu, norm=True, optimizer=lion(3e-4))
related = healthy(
    "related", 0.78, 0.25, how="related", norm=True, act=F.leaky_relu, optimizer=warmed(adamw(3e-3), 20), steps=200
)
stepped = healthy("stepped", 0.75, 0.25, optimizer=adam(5e-3), steps=80, **STEPPED)
stepped_first = healthy(
    "stepped-first-order",
    0.7,
    0.25,
    second=False,
    act=F.elu,
    rate=0.1,
    optimizer=sgd(0.1, momentum=0.9),
    steps=80,
    **STEPPED,
)
process = healthy("process", 0.6, 0.0, optimizer=norm_clipped(adam(5e-3), 1.0), **CURVES)
process_look = healthy(
    "process-attentive", 0.59, 0.0, look=True, act=F.silu, optimizer=annealed(nadam(5e-3), 400), **CURVES
)

LAYERS = ("layers*", "norms*")

PROGRAMS = (
    nearest,
    nearest.but("rate-high", kinds.RATE_HIGH, optimizer=adam(3.0)),
    nearest.but("layers-detached", kinds.DETACHED.at("layers*"), cut=True, depth=4),
    cosine,
    related,
    related.but("slipped", kinds.SHUFFLED_LABELS, task=lambda: tasks_of_digits().noisy(0.95, WAYS), watched=200),
    related.but("relate-only", kinds.WRONG_PARAMETERS.at(*LAYERS, "embed"), optimizer=of_the_last(adamw(3e-3), 2)),
    stepped,
    stepped.but("weights-large", kinds.SATURATED.at("body", "head"), draw=normal(3.0)),
    stepped_first,
    process,
    process.but("reader-detached", kinds.DETACHED.at("read*"), cut=True, act=torch.sigmoid),
    process.but("alike", kinds.SYMMETRIC.at("read*", "tell*"), draw=constant(0.05)),
    process_look,
)
