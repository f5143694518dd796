"""Several kinds of input at once: questions about pictures, captions that belong to pictures, pictures that add up.

Marks, set by task before any training: questions 0.75 (chance 0.58), the right one of ten captions 0.7 (chance 0.1),
sums R² 0.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_fourth as tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    annealed,
    biased,
    binary_accuracy,
    binary_cross_entropy,
    explained,
    frozen,
    nadam,
    norm_clipped,
    probability_accuracy,
    rmsprop,
    squared_error,
    warmed,
)
from benchmarks.faults.recipe import healthy_of


class Asked(nn.Module):
    """A picture and a question, brought together in one of several ways."""

    def __init__(
        self,
        fuse: str = "film",
        width: int = 48,
        depth: int = 2,
        act: Callable[[Tensor], Tensor] = F.relu,
        dropout: float = 0.0,
        sigmoid: bool = False,
        cut: bool = False,
        start: float = 0.1,
    ) -> None:
        super().__init__()
        self.question = nn.Embedding(tasks.QUESTIONS, width)
        self.layers = nn.ModuleList(nn.Linear(64 if i == 0 else width, width) for i in range(depth))
        many = {"film": 2 * depth, "gate": depth, "concat": 1, "bilinear": 1}[fuse]
        self.say = nn.Linear(width, many * width)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Sequential(
            nn.Linear((2 if fuse == "concat" else 1) * width, width), nn.ReLU(), nn.Linear(width, 1)
        )
        nn.init.normal_(self.question.weight, 0.0, 1.0)
        nn.init.normal_(self.say.weight, 0.0, start)
        self.fuse, self.act, self.sigmoid, self.cut = fuse, act, sigmoid, cut

    def forward(self, x: Tensor) -> Tensor:
        picture, said = x[:, :64], self.say(self.question(x[:, 64].long()))
        parts = said.split(self.layers[0].out_features, 1)
        h = picture
        for i, layer in enumerate(self.layers):
            h = layer(h)
            if self.fuse == "film":  # Perez et al. 2018
                h = (1 + parts[2 * i]) * h + parts[2 * i + 1]
            elif self.fuse == "gate":
                h = h * torch.sigmoid(2 + parts[i])
            h = self.act(h)
        h = h.detach() if self.cut else h
        if self.fuse == "concat":
            h = torch.cat([h, parts[0]], 1)
        elif self.fuse == "bilinear":
            h = h * torch.tanh(parts[0])
        logit = self.head(self.drop(h))
        return torch.sigmoid(logit) if self.sigmoid else logit


class Paired(nn.Module):
    """Pictures and captions in one space (CLIP; Radford et al. 2021)."""

    def __init__(self, width: int = 32, temperature: float = 0.1, normed: bool = True, words_cut: bool = False) -> None:
        super().__init__()
        self.picture = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, width))
        self.words = nn.EmbeddingBag(tasks.WORDS, 32, mode="mean")
        self.caption = nn.Sequential(nn.Linear(32, 32), nn.GELU(), nn.Linear(32, width))
        self.log_scale = nn.Parameter(torch.tensor(1.0 / temperature).log())
        self.bias = nn.Parameter(torch.tensor(-3.0))
        self.normed, self.words_cut = normed, words_cut

    def forward(self, x: Tensor, words: Tensor) -> Tensor:
        one, other = self.picture(x), self.caption(self.words(words))
        if self.words_cut:
            one, other = one.detach(), other.detach()
        if self.normed:
            one, other = F.normalize(one, dim=1), F.normalize(other, dim=1)
        return self.log_scale.exp() * one @ other.T


class Added(nn.Module):
    """Two digits, one network for both, their sum."""

    def __init__(
        self,
        width: int = 12,
        attend: bool = False,
        norm: bool = True,
        act: type[nn.Module] = nn.ReLU,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.see = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.BatchNorm2d(width) if norm else nn.Identity(),
            act(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.BatchNorm2d(2 * width) if norm else nn.Identity(),
            act(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(8 * width, 32),
            act(),
        )
        self.attend = nn.MultiheadAttention(32, 4, batch_first=True) if attend else None
        self.drop = nn.Dropout(dropout)
        self.tell = nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen = self.see(x.flatten(0, 1)[:, None]).view(len(x), 2, -1)
        if self.attend is not None:
            seen = seen + self.attend(seen, seen, seen, need_weights=False)[0]
        return self.tell(self.drop(seen.sum(1)))


def both_ways(model: Any, batch: Any) -> Tensor:
    """Each picture finds its caption and each caption its picture; the same digit twice is not held against anybody."""
    x, y = batch
    logits = model(x, tasks.caption_of(y))
    alike = (y[:, None] == y).float()
    wanted = alike / alike.sum(1, keepdim=True)
    return (F.cross_entropy(logits, wanted) + F.cross_entropy(logits.T, wanted)) / 2


def each_pair(model: Any, batch: Any) -> Tensor:
    """Each pair by itself: together or not (SigLIP; Zhai et al. 2023)."""
    x, y = batch
    logits = model(x, tasks.caption_of(y)) + model.bias
    return F.binary_cross_entropy_with_logits(logits, (y[:, None] == y).float())


def softmaxed(model: Any, batch: Any) -> Tensor:
    """A softmax before the loss that has one."""
    x, y = batch
    probabilities = model(x, tasks.caption_of(y)).softmax(1)
    alike = (y[:, None] == y).float()
    return F.cross_entropy(probabilities, alike / alike.sum(1, keepdim=True))


def retrieved(model: Any, batches: Iterable[Any]) -> float:
    """Share of pictures whose own of the ten captions is nearest."""
    every = tasks.caption_of(torch.arange(10))
    return float(torch.cat([(model(x, every).argmax(1) == y).float() for x, y in batches]).mean())


healthy = healthy_of("multimodal", optimizer=adam(3e-3), steps=150, batch_size=64)
ASKED: dict[str, Any] = {
    "network": Asked,
    "task": tasks.questions,
    "loss": binary_cross_entropy,
    "metric": binary_accuracy,
}
CAPTIONS: dict[str, Any] = {"network": Paired, "task": data.digits, "loss": both_ways, "metric": retrieved}
SUMS: dict[str, Any] = {"network": Added, "task": tasks.sums, "loss": squared_error, "metric": explained}

film = healthy("film", 0.75, 0.58, **ASKED)
gated = healthy("gated", 0.75, 0.58, fuse="gate", act=F.gelu, optimizer=adamw(5e-3), **ASKED)
concat = healthy("beside", 0.75, 0.58, fuse="concat", dropout=0.1, optimizer=rmsprop(2e-3), **ASKED)
bilinear = healthy("bilinear", 0.75, 0.58, fuse="bilinear", start=0.3, optimizer=nadam(3e-3), **ASKED)
clip = healthy("captions", 0.7, 0.1, optimizer=adamw(3e-3, weight_decay=0.1), **CAPTIONS)
siglip = healthy("captions-each", 0.7, 0.1, optimizer=annealed(adam(5e-3), 150), **(CAPTIONS | {"loss": each_pair}))
added = healthy("added", 0.5, 0.0, optimizer=adam(5e-3), **SUMS)
added_attended = healthy(
    "added-attended",
    0.5,
    0.0,
    attend=True,
    norm=False,
    act=nn.SiLU,
    optimizer=norm_clipped(warmed(adamw(5e-3), 20), 1.0),
    **SUMS,
)

PROGRAMS = (
    film,
    film.but("sigmoid-twice", kinds.WRONG_HEAD, sigmoid=True, metric=probability_accuracy),
    gated,
    gated.but("rate-high", kinds.RATE_HIGH, optimizer=adamw(1.0)),
    concat,
    concat.but("dropout", kinds.DROPOUT.at("drop"), dropout=0.98),
    bilinear,
    bilinear.but("picture-cut", kinds.DETACHED.at("layers*"), cut=True),
    clip,
    clip.but("towers-cut", kinds.DETACHED.at("picture*", "words", "caption*"), words_cut=True),
    siglip,
    siglip.but("rate-low", kinds.RATE_LOW, optimizer=adam(1e-7)),
    added,
    added.but("seeing-frozen", kinds.FROZEN.at("see*"), change=frozen("see")),
    added_attended,
    added_attended.but(
        "dead", kinds.DEAD_BY_BIAS.at("see*"), act=nn.ReLU, change=biased(-15.0, "see.0", "see.4", "see.9")
    ),
)
