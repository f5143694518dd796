"""The next six months from the last twenty-four: linear maps, basis expansions, convolutions, recurrence, attention."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import kinds
from benchmarks.faults import tasks_third as tasks
from benchmarks.faults.build import (
    adagrad,
    adam,
    adamw,
    annealed,
    frozen,
    huber,
    nadam,
    norm_clipped,
    normal,
    of_the_last,
    one_cycle,
    rmsprop,
    scaled,
    sgd,
    squared_error,
    warmed,
)
from benchmarks.faults.recipe import healthy_of

PAST, AHEAD = tasks.PAST, tasks.AHEAD


class Linear(nn.Module):
    """A moving average and what is left of it, each by one linear map (DLinear; Zeng et al. 2023)."""

    def __init__(self, window: int = 5) -> None:
        super().__init__()
        self.trend, self.rest = nn.Linear(PAST, AHEAD), nn.Linear(PAST, AHEAD)
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        """(batch, past) to (batch, ahead)."""
        padded = F.pad(x[:, None], (self.window // 2, self.window // 2), mode="replicate")
        trend = F.avg_pool1d(padded, self.window, 1)[:, 0]
        return self.trend(trend) + self.rest(x - trend)


class Beats(nn.Module):
    """Blocks that each tell a part of the past and of what follows, and pass on the rest (Oreshkin et al. 2020)."""

    def __init__(
        self,
        width: int = 48,
        blocks: int = 3,
        depth: int = 2,
        act: Callable[[Tensor], Tensor] = F.relu,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.bodies = nn.ModuleList(
            nn.ModuleList(nn.Linear(width if i else PAST, width) for i in range(depth)) for _ in range(blocks)
        )
        self.back = nn.ModuleList(nn.Linear(width, PAST) for _ in range(blocks - 1))
        self.ahead = nn.ModuleList(nn.Linear(width, AHEAD) for _ in range(blocks))
        self.act, self.cut = act, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, past) to (batch, ahead)."""
        told = torch.zeros(len(x), AHEAD)
        for body, back, ahead in zip(self.bodies, [*self.back, None], self.ahead, strict=True):
            h = x
            for layer in body:
                h = self.act(layer(h))
            h = h.detach() if self.cut else h
            x, told = x if back is None else x - back(h), told + ahead(h)
        return told


class Dilated(nn.Module):
    """Causal convolutions that look back ever further, with shortcuts (Bai et al. 2018)."""

    def __init__(
        self, width: int = 24, depth: int = 4, act: Callable[[Tensor], Tensor] = F.relu, shortcut: bool = True
    ) -> None:
        super().__init__()
        self.stem = nn.Conv1d(1, width, 1)
        self.convs = nn.ModuleList(nn.Conv1d(width, width, 2, dilation=2**i) for i in range(depth))
        self.ahead = nn.Linear(width, AHEAD)
        self.act, self.shortcut = act, shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, past) to (batch, ahead)."""
        h = self.stem(x[:, None])
        for conv in self.convs:
            new = self.act(conv(F.pad(h, (conv.dilation[0], 0))))
            h = h + new if self.shortcut else new
        return self.ahead(h[:, :, -1])


class Written(nn.Module):
    """One recurrent network reads the past, another one writes what follows, value by value."""

    def __init__(self, cell: str = "GRU", width: int = 32, cut: bool = False) -> None:
        super().__init__()
        self.reader = getattr(nn, cell)(1, width, batch_first=True)
        self.writer = getattr(nn, cell + "Cell")(1, width)
        self.say = nn.Linear(width, 1)
        self.lstm, self.cut = cell == "LSTM", cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, past) to (batch, ahead)."""
        state = self.reader(x[..., None])[1]
        state = tuple(part[0] for part in state) if self.lstm else state[0]
        if self.cut:
            state = tuple(part.detach() for part in state) if self.lstm else state.detach()
        value, told = x[:, -1:], []
        for _ in range(AHEAD):
            state = self.writer(value, state)
            value = value + self.say(state[0] if self.lstm else state)
            told.append(value)
        return torch.cat(told, 1)


class Patches(nn.Module):
    """Six pieces of the past that look at each other, less the last value (PatchTST; Nie et al. 2023)."""

    def __init__(self, width: int = 32, layers: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.embed = nn.Linear(4, width)
        self.places = nn.Parameter(0.02 * torch.randn(PAST // 4, width))
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.ahead = nn.Linear(width * PAST // 4, AHEAD)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, past) to (batch, ahead)."""
        last = x[:, -1:]
        h = self.encoder(self.embed((x - last).unflatten(1, (-1, 4))) + self.places)
        return last + self.ahead(h.flatten(1))


class Reservoir(nn.Module):
    """A random recurrent network that stays as it is, and a linear map of its states (Jaeger 2001)."""

    def __init__(self, size: int = 100, radius: float = 0.9, pace: float = 0.7) -> None:
        super().__init__()
        weights = torch.randn(size, size)
        self.register_buffer("weights", weights * radius / torch.linalg.eigvals(weights).abs().max())
        self.register_buffer("inputs", 0.5 * torch.randn(size))
        self.ahead = nn.Linear(size, AHEAD)
        self.pace = pace

    def forward(self, x: Tensor) -> Tensor:
        """(batch, past) to (batch, ahead)."""
        h = torch.zeros(len(x), len(self.inputs))
        for value in x.unbind(1):
            h = (1 - self.pace) * h + self.pace * torch.tanh(h @ self.weights + value[:, None] * self.inputs)
        return self.ahead(h)


SHARES = torch.tensor([0.1, 0.5, 0.9])


class Bands(nn.Module):
    """Three quantiles of each value to come."""

    def __init__(
        self, width: int = 48, act: Callable[[Tensor], Tensor] = F.silu, dropout: float = 0.1, sigmoid: bool = False
    ) -> None:
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(PAST, width), nn.Linear(width, width)])
        self.norm, self.drop = nn.BatchNorm1d(width), nn.Dropout(dropout)
        self.ahead = nn.Linear(width, 3 * AHEAD)
        self.act, self.sigmoid = act, sigmoid

    def forward(self, x: Tensor) -> Tensor:
        """(batch, past) to (batch, ahead, quantiles)."""
        h = self.norm(self.act(self.hidden[0](x)))
        y = self.ahead(self.drop(self.act(self.hidden[1](h)))).unflatten(1, (AHEAD, 3))
        return torch.sigmoid(y) if self.sigmoid else y


def pinball(model: nn.Module, batch: Any) -> Tensor:
    """Loss of the quantiles."""
    over = batch[1][..., None] - model(batch[0])
    return torch.maximum(SHARES * over, (SHARES - 1) * over).mean()


def foreseen(model: nn.Module, batches: Iterable[Any]) -> float:
    """R² of the values to come, or of their medians; at least -1."""
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))
    told = model(x)
    told = told[..., 1] if told.dim() == 3 else told
    share = float(1 - (told - y).square().mean() / (y - y.mean(0)).square().mean())
    return max(share, -1.0) if math.isfinite(share) else -1.0


def absolute(model: nn.Module, batch: Any) -> Tensor:
    """Mean absolute error."""
    return F.l1_loss(model(batch[0]), batch[1])


healthy = healthy_of(
    "forecasting",
    network=Beats,
    task=tasks.months,
    loss=squared_error,
    metric=foreseen,
    optimizer=adam(3e-3),
    steps=200,
)

linear = healthy("linear", 0.74, 0.0, network=Linear, optimizer=adam(1e-2))
beats = healthy("beats", 0.74, 0.0)
beats_sgd = healthy(
    "beats-elu-sgd",
    0.73,
    0.0,
    act=F.elu,
    blocks=2,
    loss=huber,
    optimizer=norm_clipped(sgd(0.03, momentum=0.9, nesterov=True), 1.0),
    batch_size=32,
)
dilated = healthy("dilated", 0.73, 0.0, network=Dilated, optimizer=adamw(5e-3))
dilated_cycle = healthy(
    "dilated-gelu-cycle",
    0.73,
    0.0,
    network=Dilated,
    act=F.gelu,
    loss=absolute,
    optimizer=one_cycle(adam(1e-3), 1e-2, 200),
)
written = healthy("gru-written", 0.73, 0.0, network=Written, optimizer=norm_clipped(adam(1e-2), 1.0))
written_lstm = healthy(
    "lstm-written", 0.73, 0.0, network=Written, cell="LSTM", optimizer=annealed(nadam(1e-2), 200), batch_size=128
)
patches = healthy(
    "patches", 0.74, 0.0, network=Patches, dropout=0.1, optimizer=warmed(adamw(3e-3, weight_decay=0.05), 30)
)
reservoir = healthy("reservoir", 0.71, 0.0, network=Reservoir, optimizer=adam(2e-2))
bands = healthy("bands", 0.72, 0.0, network=Bands, loss=pinball, optimizer=rmsprop(2e-3))
bands_tanh = healthy(
    "bands-tanh-adagrad", 0.71, 0.0, network=Bands, act=torch.tanh, dropout=0.0, loss=pinball, optimizer=adagrad(0.03)
)

PROGRAMS = (
    linear,
    beats,
    beats.but("sigmoid-12", kinds.SIGMOID_DEPTH.at("bodies*"), act=torch.sigmoid, depth=12),
    beats_sgd,
    beats_sgd.but(
        "in-pieces",
        kinds.UNSCALED_TARGET,
        task=lambda: tasks.retargeted(tasks.months(), 4000.0, 10000.0),
        optimizer=sgd(0.03, momentum=0.9),
    ),
    dilated,
    dilated.but("convolutions-frozen", kinds.FROZEN.at("stem", "convs*"), change=frozen("stem", "convs")),
    dilated.but("weights-large", kinds.LARGE_WEIGHTS.at("*"), draw=normal(1.5)),
    dilated_cycle,
    written,
    written.but("reader-detached", kinds.DETACHED.at("reader"), cut=True),
    written.but(
        "recurrent-large", kinds.SATURATED_TIME.at("reader", "writer"), change=scaled(30.0, "reader", "writer")
    ),
    written_lstm,
    written_lstm.but("say-only", kinds.WRONG_PARAMETERS.at("reader", "writer"), optimizer=of_the_last(nadam(1e-2), 2)),
    patches,
    patches.but("rate-high", kinds.RATE_HIGH, optimizer=adamw(1.0)),
    reservoir,
    bands,
    bands.but("sigmoid-head", kinds.WRONG_HEAD.at("ahead"), sigmoid=True),
    bands_tanh,
)
