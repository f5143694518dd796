"""What was said, without being told when: networks trained with connectionist temporal classification."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import kinds
from benchmarks.faults import tasks_third as tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    norm_clipped,
    rmsprop,
    scaled,
    warmed,
)
from benchmarks.faults.recipe import healthy_of

CLASSES = tasks.SPOKEN + 1


class Convolved(nn.Module):
    """Convolutions over the frames."""

    def __init__(
        self,
        width: int = 48,
        depth: int = 3,
        act: Callable[[Tensor], Tensor] = F.relu,
        norm: bool = True,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(width if i else tasks.BANDS, width, 3, padding=1) for i in range(depth))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) if norm else nn.Identity() for _ in range(depth))
        self.say = nn.Linear(width, CLASSES)
        self.act, self.cut = act, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, bands) to (batch, frames, classes) logits."""
        h = x.mT
        for conv, norm in zip(self.convs, self.norms, strict=True):
            h = self.act(norm(conv(h)))
        return self.say((h.detach() if self.cut else h).mT)


class Heard(nn.Module):
    """A recurrent network in both directions."""

    def __init__(
        self, cell: str = "GRU", width: int = 24, layers: int = 1, dropout: float = 0.0, cut: bool = False
    ) -> None:
        super().__init__()
        self.body = getattr(nn, cell)(
            tasks.BANDS, width, layers, batch_first=True, bidirectional=True, dropout=dropout if layers > 1 else 0.0
        )
        self.norm, self.drop = nn.LayerNorm(2 * width), nn.Dropout(dropout)
        self.say = nn.Linear(2 * width, CLASSES)
        self.cut = cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, bands) to (batch, frames, classes) logits."""
        h = self.body(x)[0]
        return self.say(self.drop(self.norm(h.detach() if self.cut else h)))


class Mixed(nn.Module):
    """A convolution in front of an encoder with attention, as in small speech recognisers."""

    def __init__(self, width: int = 32, layers: int = 1) -> None:
        super().__init__()
        self.front = nn.Conv1d(tasks.BANDS, width, 3, padding=1)
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.say = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, bands) to (batch, frames, classes) logits."""
        return self.say(self.encoder(F.gelu(self.front(x.mT)).mT))


def ctc(model: nn.Module, batch: Any) -> Tensor:
    """Over all ways to say the target (Graves et al. 2006)."""
    return _ctc(model(batch[0]).log_softmax(2), batch[1])


def ctc_of_probabilities(model: nn.Module, batch: Any) -> Tensor:
    """The same of probabilities whose logarithm nobody took."""
    return _ctc(model(batch[0]).softmax(2), batch[1])


def _ctc(told: Tensor, said: Tensor) -> Tensor:
    frames = torch.full((len(said),), tasks.FRAMES)
    lengths = torch.full((len(said),), tasks.SAID)
    return F.ctc_loss(told.transpose(0, 1), said, frames, lengths, zero_infinity=True)


def said_right(model: nn.Module, batches: Iterable[Any]) -> float:
    """1 less the edits that the likeliest symbols need, per symbol; at least 0 for each recording."""
    scores = []
    for x, y in batches:
        for path, wanted in zip(model(x).argmax(2).tolist(), y.tolist(), strict=True):
            kept = [s for s, before in zip(path, [0, *path], strict=False) if s and s != before]
            scores.append(max(0.0, 1 - edits(kept, wanted) / len(wanted)))
    return sum(scores) / len(scores)


def edits(given: list[int], wanted: list[int]) -> int:
    """Levenshtein's distance."""
    row = list(range(len(wanted) + 1))
    for i, symbol in enumerate(given, start=1):
        before, row[0] = row[0], i
        for j, other in enumerate(wanted, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (symbol != other))
    return row[-1]


healthy = healthy_of(
    "alignment",
    network=Convolved,
    task=tasks.spoken,
    loss=ctc,
    metric=said_right,
    optimizer=adam(5e-3),
    batch_size=32,
    steps=150,
)

convolved = healthy("convolutions", 0.8, 0.2)
heard = healthy("gru", 0.79, 0.2, network=Heard, optimizer=adam(1e-2))
stacked = healthy(
    "lstm-2", 0.79, 0.2, network=Heard, cell="LSTM", layers=2, dropout=0.1, optimizer=norm_clipped(adamw(1e-2), 5.0)
)
plain = healthy("rnn-rmsprop", 0.79, 0.2, network=Heard, cell="RNN", optimizer=norm_clipped(rmsprop(3e-3), 1.0))
mixed = healthy("convolution-attention", 0.79, 0.2, network=Mixed, optimizer=warmed(adamw(5e-3), 20))

CONVS = ("convs*", "norms*")

PROGRAMS = (
    convolved,
    convolved.but("rate-high", kinds.RATE_HIGH, optimizer=adam(5.0)),
    convolved.but("convolutions-detached", kinds.DETACHED.at(*CONVS), cut=True),
    heard,
    heard.but("no-logarithm", kinds.WRONG_HEAD, loss=ctc_of_probabilities),
    stacked,
    stacked.but("dropout", kinds.DROPOUT.at("drop"), dropout=0.97),
    plain,
    plain.but("weights-large", kinds.SATURATED_TIME.at("body"), change=scaled(40.0, "body")),
    mixed,
)
