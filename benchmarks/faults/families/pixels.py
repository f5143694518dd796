"""Pixel after pixel: masked layers (MADE), masked convolutions (PixelCNN), and a network that reads them in a row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import kinds
from benchmarks.faults import tasks_more as tasks
from benchmarks.faults.build import (
    Change,
    adam,
    adamw,
    clipped,
    constant,
    frozen,
    nadam,
    normal,
)
from benchmarks.faults.recipe import healthy_of

PIXELS = 64


class MaskedLinear(nn.Linear):
    """A linear layer some of whose weights are always 0."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.float())

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, outputs)."""
        return F.linear(x, self.mask * self.weight, self.bias)


class Made(nn.Module):
    """Layers masked so that each pixel is told from those before it (Germain et al. 2015)."""

    def __init__(
        self,
        width: int = 128,
        depth: int = 1,
        act: Callable[[Tensor], Tensor] = F.relu,
        dropout: float = 0.0,
        sigmoid: bool = False,
        cut: bool = False,
    ) -> None:
        super().__init__()
        degrees = [torch.arange(PIXELS), *[torch.arange(width) % (PIXELS - 1) for _ in range(depth)]]
        self.hidden = nn.ModuleList(MaskedLinear(after[:, None] >= before) for before, after in pairwise(degrees))
        self.told = MaskedLinear(torch.arange(PIXELS)[:, None] > degrees[-1])
        self.act, self.dropout, self.sigmoid, self.cut = act, nn.Dropout(dropout), sigmoid, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, pixels) to logits of the same."""
        for layer in self.hidden:
            x = self.dropout(self.act(layer(x)))
        y = self.told(x.detach() if self.cut else x)
        return torch.sigmoid(y) if self.sigmoid else y


class MaskedConv(nn.Conv2d):
    """A convolution that sees what is above and to the left, and its own place only if asked."""

    def __init__(self, before: int, after: int, size: int, own: bool) -> None:
        super().__init__(before, after, size, padding=size // 2)
        mask = torch.ones(size, size)
        mask[size // 2, size // 2 + int(own) :] = 0
        mask[size // 2 + 1 :] = 0
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, h, w) to the same places."""
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


class PixelCnn(nn.Module):
    """Masked convolutions with shortcuts, gated if asked (van den Oord et al. 2016)."""

    def __init__(
        self,
        width: int = 24,
        blocks: int = 3,
        gated: bool = False,
        shortcut: bool = True,
        act: Callable[[Tensor], Tensor] = F.relu,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.first = MaskedConv(1, width, 5, own=False)
        self.convs = nn.ModuleList(MaskedConv(width, 2 * width if gated else width, 3, own=True) for _ in range(blocks))
        self.last = nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, 1, 1))
        self.gated, self.shortcut, self.act, self.cut = gated, shortcut, act, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, pixels) to logits of the same."""
        h = self.first(x.reshape(-1, 1, 8, 8))
        for conv in self.convs:
            if self.gated:
                value, gate = conv(h).chunk(2, 1)
                y = torch.tanh(value) * torch.sigmoid(gate)
            else:
                y = conv(self.act(h))
            h = h + y if self.shortcut else y
        return self.last(h.detach() if self.cut else h).flatten(1)


class Row(nn.Module):
    """A recurrent layer over the pixels, which tells each from its state before it (Theis and Bethge 2015)."""

    def __init__(self, cell: str = "GRU", width: int = 48, layers: int = 1, cut: bool = False) -> None:
        super().__init__()
        self.cell = getattr(nn, cell)(2, width, layers, batch_first=True)
        self.told, self.cut = nn.Linear(width, 1), cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, pixels) to logits of the same."""
        before = F.pad(x, (1, 0))[:, :-1]
        column = torch.linspace(-1, 1, 8).repeat(8).expand_as(x)
        states, _ = self.cell(torch.stack([before, column], 2))
        return self.told(states.detach() if self.cut else states)[:, :, 0]


def surprise(model: nn.Module, batch: Any) -> Tensor:
    """Cross-entropy of each pixel."""
    return F.binary_cross_entropy_with_logits(model(batch[0]), (batch[0] > 0.5).float())


def told(chances: Callable[[Tensor], Tensor], model: nn.Module, batches: Iterable[Any]) -> float:
    """Share of the pixels' entropy, each by itself, that those before them tell; at least -1."""
    x = torch.cat([(x > 0.5).float() for x, _ in batches])
    given = torch.cat([model(x) for x, _ in batches])
    left = F.binary_cross_entropy(chances(given).clamp(1e-6, 1 - 1e-6).double(), x.double())
    mean = x.mean(0, keepdim=True).clamp(1e-3, 1 - 1e-3).expand_as(x)
    share = float(1 - left / F.binary_cross_entropy(mean, x))
    return max(share, -1.0) if math.isfinite(share) else -1.0


def told_by_logits(model: nn.Module, batches: Iterable[Any]) -> float:
    """The same of logits."""
    return told(torch.sigmoid, model, batches)


def told_by_chances(model: nn.Module, batches: Iterable[Any]) -> float:
    """The same of probabilities."""
    return told(lambda y: y, model, batches)


def recurrent(draw: Callable[[Tensor], Any]) -> Change:
    """Draw the weights from state to state anew."""

    def change(model: Any) -> None:
        draw(model.cell.weight_hh_l0)

    return change


healthy = healthy_of(
    "pixels", network=Made, task=tasks.bits, loss=surprise, metric=told_by_logits, optimizer=adam(1e-2), steps=200
)
CNN: dict[str, Any] = {"network": PixelCnn, "optimizer": adam(3e-3)}
ROW: dict[str, Any] = {"network": Row, "optimizer": adam(1e-2)}

made = healthy("masked", 0.2, chance=0.0)
made_deep = healthy("masked-3-elu", 0.05, chance=0.0, depth=3, act=F.elu, optimizer=nadam(3e-3))
cnn = healthy("convolutions", 0.15, chance=0.0, **CNN)
gated = healthy("convolutions-gated", 0.15, chance=0.0, gated=True, **(CNN | {"optimizer": adamw(5e-3)}))
row = healthy("row", 0.1, chance=0.0, **ROW)
row_rnn = healthy(
    "row-rnn-orthogonal",
    0.1,
    chance=0.0,
    cell="RNN",
    change=recurrent(nn.init.orthogonal_),
    **(ROW | {"optimizer": adam(3e-3)}),
)
row_lstm = healthy("row-lstm-clipped", 0.08, chance=0.0, cell="LSTM", **(ROW | {"optimizer": clipped(adam(1e-2), 0.1)}))

CONVS = ("first", "convs*")

PROGRAMS = (
    made,
    made.but("rate-high", kinds.RATE_HIGH, optimizer=adam(3.0)),
    made.but("sigmoid-twice", kinds.WRONG_HEAD, sigmoid=True, metric=told_by_chances),
    made.but("forty-digits", kinds.OVERFITTING, task=lambda: tasks.bits().first(40), watched=200),
    made_deep,
    made_deep.but("all-zero", kinds.ZEROS.at("hidden*", "told"), draw=constant(0.0)),
    made_deep.but("dropout", kinds.DROPOUT.at("dropout"), dropout=0.97),
    cnn,
    cnn.but("convolutions-detached", kinds.DETACHED.at(*CONVS), cut=True),
    cnn.but("plain-sigmoid-10", kinds.SIGMOID_DEPTH.at(*CONVS), act=torch.sigmoid, shortcut=False, blocks=10),
    cnn.but("weights-large", kinds.LARGE_WEIGHTS.at(*CONVS, "last*"), draw=normal(1.0)),
    gated,
    gated.but("rate-low", kinds.RATE_LOW, optimizer=adamw(1e-7)),
    gated.but("weight-decay", kinds.WEIGHT_DECAY, optimizer=adamw(5e-3, weight_decay=100.0)),
    row,
    row_rnn,
    row_rnn.but("recurrent-small", kinds.THROUGH_TIME.at("cell"), change=recurrent(normal(0.01))),
    row_rnn.but("recurrent-large", kinds.EXPLODING_TIME.at("cell"), change=recurrent(normal(1.0))),
    row_lstm,
    row_lstm.but("cell-frozen", kinds.FROZEN.at("cell"), change=frozen("cell")),
)
