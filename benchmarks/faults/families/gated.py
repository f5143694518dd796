"""Recurrent networks from a course: cells written out gate by gate, and PyTorch's own layers with packing and dropout.

Marks by task, as :mod:`benchmarks.faults.tasks_fifth` has them. A state that is cut off from the step before harms one
seed and not the next where 20 steps are to be remembered; so it is planted where there are 28.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_fifth as tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    explained,
    huber,
    norm_clipped,
    rmsprop,
    scaled,
    sgd,
    squared_error,
    token_accuracy,
    token_cross_entropy,
)
from benchmarks.faults.recipe import healthy_of


class ElmanCell(nn.Module):
    """h = tanh(i2h(x, h))."""

    def __init__(self, input_size: int, hidden_size: int, act: str = "tanh") -> None:
        super().__init__()
        self.i2h = nn.Linear(input_size + hidden_size, hidden_size)
        self.hidden_size = hidden_size
        self.act = getattr(torch, act)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        h = self.act(self.i2h(torch.cat([x, state[0]], 1)))
        return h, state[1]


class LSTMCell(nn.Module):
    """Four gates out of one linear map."""

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0) -> None:
        super().__init__()
        self.gates = nn.Linear(input_size + hidden_size, 4 * hidden_size)
        self.hidden_size, self.forget_bias = hidden_size, forget_bias

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        h, c = state
        i, f, o, g = self.gates(torch.cat([x, h], 1)).chunk(4, 1)
        c = torch.sigmoid(f + self.forget_bias) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class GRUCell(nn.Module):
    """Cho et al. 2014."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.ru = nn.Linear(input_size + hidden_size, 2 * hidden_size)
        self.new = nn.Linear(input_size + hidden_size, hidden_size)
        self.hidden_size = hidden_size

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        h = state[0]
        r, u = torch.sigmoid(self.ru(torch.cat([x, h], 1))).chunk(2, 1)
        n = torch.tanh(self.new(torch.cat([x, r * h], 1)))
        return u * h + (1 - u) * n, state[1]


class Unrolled(nn.Module):
    """A cell of one's own, step by step."""

    def __init__(
        self,
        cell: type[nn.Module] = LSTMCell,
        input_size: int = 3,
        hidden_size: int = 32,
        output_size: int = 5,
        truncate: bool = False,
        gain: float | None = None,
        small: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.cell = cell(input_size, hidden_size, **options)
        self.h2o = nn.Linear(hidden_size, output_size)
        self.truncate = truncate
        for linear in self.cell.children():
            if gain is not None:
                nn.init.orthogonal_(linear.weight[:, input_size:].data, gain=gain)
            if small is not None:
                nn.init.normal_(linear.weight[:, input_size:].data, std=small)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(len(x), self.cell.hidden_size)
        state = (h, h)
        for t in range(x.size(1)):
            if self.truncate:
                state = (state[0].detach(), state[1].detach())
            state = self.cell(x[:, t], state)
        return self.h2o(state[0])


class Sentiment(nn.Module):
    """Embedding, a recurrent layer, the largest or last of its states."""

    def __init__(
        self,
        words: int = tasks.VOCABULARY,
        emb: int = 24,
        hid: int = 32,
        out: int = 2,
        kind: str = "LSTM",
        n_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        pool: str = "last",
        every: bool = False,
        stop: bool = False,
        softmax: bool = False,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, emb)
        self.rnn = getattr(nn, kind)(
            emb, hid, n_layers, batch_first=True, bidirectional=bidirectional, dropout=dropout if n_layers > 1 else 0.0
        )
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(hid * (2 if bidirectional else 1), out)
        self.pool, self.every, self.stop, self.softmax = pool, every, stop, softmax

    def forward(self, text: Tensor) -> Tensor:
        output, _ = self.rnn(self.dropout(self.embedding(text)))
        if self.stop:
            output = output.detach()
        if self.every:
            return self.fc(self.dropout(output))
        last = output.amax(1) if self.pool == "max" else output.mean(1) if self.pool == "mean" else output[:, -1]
        y = self.fc(self.dropout(last))
        return y.softmax(1) if self.softmax else y


class Demand(nn.Module):
    """A forecast out of the last state."""

    def __init__(self, kind: str = "GRU", hidden: int = 24, layers: int = 1, relu_last: bool = False) -> None:
        super().__init__()
        self.rnn = getattr(nn, kind)(1, hidden, layers, batch_first=True)
        self.head = nn.Sequential(
            nn.Linear(hidden, 16), nn.ReLU(), nn.Linear(16, 1), *([nn.ReLU()] if relu_last else [])
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


healthy = healthy_of("gated", network=Unrolled, task=tasks.sensor_steps, optimizer=adam(5e-3), steps=120, batch_size=64)
REVIEWS: dict[str, Any] = {"network": Sentiment, "task": tasks.reviews}
NAMES: dict[str, Any] = {"network": Sentiment, "task": tasks.names, "words": tasks.LETTERS + 1, "out": tasks.LANGUAGES}
HOURS: dict[str, Any] = {"network": Demand, "task": tasks.hours, "loss": squared_error, "metric": explained}
RECALL: dict[str, Any] = {"task": lambda: data.recall(20), "input_size": 8, "output_size": 4}
PROSE: dict[str, Any] = {
    "network": Sentiment,
    "task": tasks.prose,
    "words": tasks.characters(),
    "out": tasks.characters(),
    "every": True,
    "loss": token_cross_entropy,
    "metric": token_accuracy,
}

lstm = healthy("sensors-lstm-by-hand", 0.8, 0.2)
gru = healthy("sensors-gru-by-hand", 0.8, 0.2, cell=GRUCell, optimizer=rmsprop(5e-3))
elman = healthy(
    "recall-elman-orthogonal",
    0.8,
    0.26,
    cell=ElmanCell,
    gain=1.0,
    hidden_size=48,
    optimizer=norm_clipped(adam(2e-3), 1.0),
    steps=200,
    **RECALL,
)
remembers = healthy(
    "recall-lstm-open",
    0.8,
    0.26,
    forget_bias=3.0,
    optimizer=adam(0.01),
    steps=300,
    **(RECALL | {"task": lambda: data.recall(28)}),
)
reviews = healthy("reviews-lstm", 0.8, 0.5, optimizer=adam(0.01), **REVIEWS)
both = healthy(
    "reviews-gru-both-ways",
    0.8,
    0.5,
    kind="GRU",
    bidirectional=True,
    n_layers=2,
    dropout=0.2,
    pool="max",
    optimizer=adamw(5e-3),
    **REVIEWS,
)
names = healthy("names-rnn", 0.7, 0.27, kind="RNN", emb=12, hid=48, pool="mean", optimizer=adam(5e-3), **NAMES)
names_sgd = healthy(
    "names-gru-clipped",
    0.7,
    0.27,
    kind="GRU",
    hid=48,
    optimizer=norm_clipped(sgd(0.5, momentum=0.9), 0.5),
    steps=300,
    **NAMES,
)
hours = healthy("hours-gru", 0.6, 0.0, optimizer=adam(5e-3), **HOURS)
hours_two = healthy(
    "hours-lstm-two-layers", 0.6, 0.0, kind="LSTM", layers=2, optimizer=adam(0.01), **(HOURS | {"loss": huber})
)
prose = healthy("prose-lstm", 0.35, 0.18, hid=96, emb=32, optimizer=adam(0.01), batch_size=32, steps=250, **PROSE)

PROGRAMS = (
    lstm,
    lstm.but("counts", kinds.UNSCALED, task=tasks.sensor_counts),
    lstm.but("all-weights-large", kinds.SATURATED_TIME.at("cell*"), change=scaled(60.0, "cell"), optimizer=sgd(0.05)),
    gru,
    gru.but("rate-low", kinds.RATE_LOW, optimizer=rmsprop(1e-7)),
    elman,
    elman.but("small", kinds.THROUGH_TIME.at("cell*"), gain=None, small=0.05),
    elman.but("large", kinds.EXPLODING_TIME.at("cell*"), gain=6.0),
    remembers,
    remembers.but("truncated", kinds.DETACHED_STATE.at("cell*"), truncate=True),
    reviews,
    reviews.but("detached", kinds.DETACHED.at("embedding", "rnn"), stop=True),
    reviews.but("forty", kinds.OVERFITTING, task=lambda: tasks.reviews().first(40), watched=120),
    both,
    both.but("dropout", kinds.DROPOUT.at("dropout", "rnn"), dropout=0.95),
    names,
    names_sgd,
    hours,
    hours.but("relu-last", kinds.WRONG_HEAD.at("head.3", "head.2"), relu_last=True),
    hours_two,
    prose,
)
