"""Networks that read words: bags and convolutions that tell a page, pairs that say a sequence backwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import kinds, tasks
from benchmarks.faults.build import (
    Loss,
    adagrad,
    adam,
    adamw,
    biased,
    frozen,
    normal,
    of_a_copy,
    redrawn,
    sgd,
    token_accuracy,
    token_cross_entropy,
)
from benchmarks.faults.recipe import healthy_of

CLASSES = len(tasks.PAGES)


class Bag(nn.Module):
    """The mean of the words' vectors and layers on top (Joulin et al. 2016, fastText)."""

    def __init__(self, width: int = 32, hidden: int = 0, sparse: bool = False, softmax: bool = False) -> None:
        super().__init__()
        self.words = nn.EmbeddingBag(tasks.WORDS, width, sparse=sparse)
        layers: list[nn.Module] = [nn.Linear(width, hidden), nn.ReLU()] if hidden else []
        layers += [nn.Linear(hidden or width, CLASSES), *([nn.Softmax(1)] if softmax else [])]
        self.head = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, words) to logits."""
        return self.head(self.words(x))


class Convolved(nn.Module):
    """Convolutions of several widths over the words, their maxima over time, dropout, a linear layer (Kim 2014)."""

    def __init__(
        self,
        width: int = 24,
        channels: int = 24,
        dropout: float = 0.5,
        activation: Callable[[], nn.Module] = nn.ReLU,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(tasks.WORDS, width)
        self.bodies = nn.ModuleList(nn.Conv1d(width, channels, size) for size in (2, 3, 4))
        self.act, self.drop, self.cut = activation(), nn.Dropout(dropout), cut
        self.head = nn.Linear(3 * channels, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, words) to logits."""
        words = self.words(x).mT
        seen = torch.cat([self.act(body(words)).amax(2) for body in self.bodies], 1)
        return self.head(self.drop(seen.detach() if self.cut else seen))


class Attentive(nn.Module):
    """A GRU over the words and the mean of its states, weighted by a learned score (Yang et al. 2016)."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.words, self.body = nn.Embedding(tasks.WORDS, width), nn.GRU(width, width, batch_first=True)
        self.score, self.head = nn.Linear(width, 1), nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, words) to logits."""
        states, _ = self.body(self.words(x))
        return self.head((states * self.score(states).softmax(1)).sum(1))


class Translator(nn.Module):
    """One recurrent layer reads, another one says each symbol from what the first has left (Sutskever et al. 2014)."""

    def __init__(self, width: int = 64, symbols: int = 8, cell: str = "GRU", cut: bool = False) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(symbols, width), nn.Embedding(32, width)
        self.encoder = getattr(nn, cell)(width, width, batch_first=True)
        self.decoder = getattr(nn, cell)(width, width, batch_first=True)
        self.head, self.cut = nn.Linear(width, symbols), cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time) to (batch, time, symbols)."""
        _, left = self.encoder(self.words(x))
        asked = self.places(torch.arange(x.shape[1])).expand(len(x), -1, -1)
        states, _ = self.decoder(asked, left.detach() if self.cut else left)
        return self.head(states)


def smoothed(model: nn.Module, batch: Any) -> Tensor:
    """Cross-entropy with a tenth of the weight on all classes alike (Szegedy et al. 2016)."""
    return F.cross_entropy(model(batch[0]), batch[1], label_smoothing=0.1)


def masked(least: float) -> Loss:
    """Cross-entropy of the pieces with one rare word at most, over their number, which may be 0, or over ``least``."""

    def loss(model: nn.Module, batch: Any) -> Tensor:
        kept = ((batch[0] == 0).sum(1) <= 1).float()
        losses = F.cross_entropy(model(batch[0]), batch[1], reduction="none")
        return (losses * kept).sum() / kept.sum().clamp(min=least)

    return loss


healthy = healthy_of("text", network=Convolved, task=tasks.pages, optimizer=adam(3e-3), batch_size=32)
BACKWARDS: dict[str, Any] = {
    "network": Translator,
    "task": tasks.backwards,
    "loss": token_cross_entropy,
    "metric": token_accuracy,
    "batch_size": 64,
}

bag = healthy("bag", 0.6, chance=0.48, network=Bag, optimizer=adam(1e-2))
sparse = healthy("bag-sparse", 0.6, chance=0.48, network=Bag, sparse=True, optimizer=adagrad(0.1))
hidden = healthy("bag-hidden", 0.6, chance=0.48, network=Bag, hidden=32, optimizer=sgd(0.1, momentum=0.9), steps=300)
convolved = healthy("convolutions", 0.6, chance=0.48, steps=200)
kept = healthy("convolutions-masked", 0.53, chance=0.48, batch_size=6, dropout=0.1, loss=masked(1.0), steps=500)
fixed = healthy("convolutions-fixed-words", 0.58, chance=0.48, change=frozen("words"), dropout=0.2, steps=250)
attentive = healthy("attention", 0.6, chance=0.48, network=Attentive, loss=smoothed, optimizer=adamw(1e-2), steps=200)
backwards = healthy("backwards", 0.5, chance=0.125, optimizer=adam(1e-2), steps=200, **BACKWARDS)

PROGRAMS = (
    bag,
    bag.but("rate-low", kinds.RATE_LOW, optimizer=adam(1e-6)),
    bag.but("labels-shuffled", kinds.SHUFFLED_LABELS, task=lambda: tasks.pages().shuffled_targets(), watched=150),
    sparse,
    sparse.but("copy", kinds.WRONG_PARAMETERS, optimizer=of_a_copy(adagrad(0.1))),
    hidden,
    hidden.but("softmax-before-loss", kinds.SOFTMAX_TWICE.at("head*"), softmax=True),
    hidden.but("weight-decay", kinds.WEIGHT_DECAY, optimizer=sgd(0.1, momentum=0.9, weight_decay=1.0)),
    convolved,
    convolved.but(
        "dead", kinds.DEAD_BY_BIAS.at("bodies*", "act"), change=biased(-20.0, "bodies.0", "bodies.1", "bodies.2")
    ),
    convolved.but("detached", kinds.DETACHED.at("words", "bodies*"), cut=True),
    convolved.but("double", kinds.DOUBLE, dropout=0.9, optimizer=adam(3e-3, weight_decay=0.3)),
    kept,
    kept.but("empty-mask", kinds.NAN, loss=masked(0.0), watched=80),
    fixed,
    fixed.but("fixed-bodies", kinds.FROZEN.at("bodies*"), change=frozen("words", "bodies")),
    attentive,
    attentive.but("sixty-pieces", kinds.OVERFITTING, task=lambda: tasks.pages().first(60), watched=200),
    attentive.but("words-large", kinds.SATURATED.at("words", "body"), change=redrawn(normal(30.0), "words")),
    backwards,
    backwards.but("context-detached", kinds.DETACHED.at("encoder", "words"), cut=True),
    backwards.but("rate-high", kinds.RATE_HIGH, optimizer=adam(1.0)),
)
