"""Answers that point at what was given: pointer networks, addressed memories, soft sorting, content and place lookups.

Marks, set by task before any training: nearest of eight 0.7 (chance 0.19), lookups 0.7 (chance 0.26), ranks 0.6
(chance 0.17).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faults import kinds
from benchmarks.faults import tasks_fourth as tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    frozen,
    nadam,
    norm_clipped,
    normal,
    one_cycle,
    rmsprop,
    token_accuracy,
    token_cross_entropy,
)
from benchmarks.faults.recipe import healthy_of


class Pointer(nn.Module):
    """Which of several is meant: v tanh(W a + U b), as it was first written (Vinyals et al. 2015)."""

    def __init__(self, hidden: int = 48, additive: bool = True, twice: bool = False, detached: bool = False) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, hidden))
        self.ask = nn.Sequential(nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, hidden))
        self.score = nn.Linear(hidden, 1, bias=False) if additive else None
        self.twice, self.detached = twice, detached

    def forward(self, x: Tensor) -> Tensor:
        memory, query = self.encode(x[:, :-1]), self.ask(x[:, -1:])
        if self.detached:
            memory, query = memory.detach(), query.detach()
        if self.score is not None:
            logits = self.score(torch.tanh(memory + query)).squeeze(-1)
        else:
            logits = (memory * query).sum(-1) * memory.shape[-1] ** -0.5
        return logits.softmax(-1) if self.twice else logits


class ReadMemory(nn.Module):
    """Embedded facts, read several times (Sukhbaatar et al. 2015)."""

    def __init__(self, width: int = 32, hops: int = 2, sharp: float = 1.0, spread: float = 0.5, adjacent: bool = True):
        super().__init__()
        self.key = nn.Embedding(tasks.KEYS, width)
        self.value = nn.Embedding(tasks.VALUES, width)
        self.query = self.key if adjacent else nn.Embedding(tasks.KEYS, width)
        self.hop = nn.Linear(width, width)
        self.answer = nn.Linear(width, tasks.VALUES)
        for table in (self.key, self.value):
            nn.init.normal_(table.weight, 0.0, spread)
        self.hops, self.sharp = hops, sharp

    def forward(self, row: Tensor) -> Tensor:
        keys, values = self.key(row[:, 0:-1:2]), self.value(row[:, 1:-1:2] - tasks.KEYS)
        q = self.query(row[:, -1])
        for _ in range(self.hops):
            weights = (self.sharp * (keys @ q[..., None]).squeeze(-1)).softmax(1)
            q = self.hop(q) + (weights[..., None] * values).sum(1)
        return self.answer(q)


class Turing(nn.Module):
    """A controller that writes to a memory by what it asks for (Graves et al. 2014), over the row."""

    def __init__(self, width: int = 32, slots: int = 8, cut: bool = False) -> None:
        super().__init__()
        self.symbols = nn.Embedding(tasks.KEYS + tasks.VALUES, width)
        self.pair = nn.Linear(2 * width, width)
        self.address = nn.Linear(width, slots)
        self.content = nn.Linear(width, width)
        self.read_at = nn.Linear(width, slots)
        self.out = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, tasks.VALUES))
        self.cut = cut

    def forward(self, row: Tensor) -> Tensor:
        s = self.symbols(row)
        keys, values, asked = s[:, 0:-1:2], s[:, 1:-1:2], s[:, -1]
        memory = s.new_zeros(len(row), self.address.out_features, s.shape[2])
        for key, value in zip(keys.unbind(1), values.unbind(1), strict=True):
            where = self.address(key).softmax(1)[..., None]
            what = torch.tanh(self.content(self.pair(torch.cat([key, value], 1))))[:, None]
            memory = memory * (1 - where) + where * what
            if self.cut:
                memory = memory.detach()
        found = (self.read_at(asked).softmax(1)[..., None] * memory).sum(1)
        return self.out(torch.cat([found, asked], 1))


class Ranker(nn.Module):
    """Ranks by comparing every two, softly; a temperature that is learnt, and a small network on the counts."""

    def __init__(
        self, temperature: float = 0.3, width: int = 32, depth: int = 1, act: type[nn.Module] = nn.ReLU
    ) -> None:
        super().__init__()
        self.log_t = nn.Parameter(torch.tensor(float(temperature)).log())
        layers: list[nn.Module] = [nn.Linear(1, width), act()]
        for _ in range(depth):
            layers += [nn.Linear(width, width), act()]
        self.tell = nn.Sequential(*layers, nn.Linear(width, 6))

    def forward(self, x: Tensor) -> Tensor:
        above = torch.sigmoid((x[:, :, None] - x[:, None]) / self.log_t.exp()).sum(2, keepdim=True) - 3.0
        return self.tell(above)


class Set2Seq(nn.Module):
    """An LSTM reads, and attention points back (Bahdanau et al. 2015)."""

    def __init__(self, width: int = 32, dropout: float = 0.0) -> None:
        super().__init__()
        self.lift = nn.Linear(1, width)
        self.rnn = nn.LSTM(width, width // 2, batch_first=True, bidirectional=True)
        self.attn = nn.MultiheadAttention(width, 2, batch_first=True)
        self.drop = nn.Dropout(dropout)
        self.fc = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 6))

    def forward(self, x: Tensor) -> Tensor:
        h, _ = self.rnn(self.lift(x[..., None]))
        y, _ = self.attn(h, h, h, need_weights=False)
        return self.fc(self.drop(torch.cat([h, y], 2)))


healthy = healthy_of("pointing", network=Pointer, task=tasks.nearest, optimizer=adam(5e-3), steps=200, batch_size=64)
LOOKUPS: dict[str, Any] = {"task": tasks.lookups}
RANKS: dict[str, Any] = {"task": tasks.ranks, "loss": token_cross_entropy, "metric": token_accuracy}

additive = healthy("additive", 0.7, 0.19)
dotted = healthy("dotted", 0.7, 0.19, additive=False, optimizer=nadam(5e-3), batch_size=128)
memory = healthy("memory", 0.7, 0.26, network=ReadMemory, sharp=2.0, optimizer=adam(2e-2), **LOOKUPS)
memory_apart = healthy(
    "memory-apart",
    0.7,
    0.26,
    network=ReadMemory,
    adjacent=False,
    hops=1,
    optimizer=one_cycle(adamw(1e-3), 4e-2, 200),
    **LOOKUPS,
)
turing = healthy("written", 0.7, 0.26, network=Turing, optimizer=norm_clipped(adam(1e-2), 1.0), steps=250, **LOOKUPS)
soft = healthy("compared", 0.6, 0.17, network=Ranker, optimizer=adam(1e-2), **RANKS)
read = healthy("read-both-ways", 0.6, 0.17, network=Set2Seq, optimizer=rmsprop(3e-3), steps=250, **RANKS)

PROGRAMS = (
    additive,
    additive.but("softmax-twice", kinds.SOFTMAX_TWICE, twice=True),
    additive.but("encoders-cut", kinds.DETACHED.at("encode*", "ask*"), detached=True),
    dotted,
    dotted.but("rate-high", kinds.RATE_HIGH, optimizer=nadam(0.5)),
    memory,
    memory.but("vectors-large", kinds.SATURATED.at("key", "value", "query"), spread=30.0),
    memory_apart,
    memory_apart.but("rate-low", kinds.RATE_LOW, optimizer=adamw(1e-6)),
    turing,
    turing.but("memory-cut", kinds.DETACHED.at("pair", "address", "content", "symbols"), cut=True),
    soft,
    soft.but("small", kinds.SMALL_WEIGHTS.at("tell*"), draw=normal(0.001), depth=2),
    read,
    read.but("frozen", kinds.FROZEN.at("lift", "rnn", "attn*"), change=frozen("lift", "rnn", "attn")),
    read.but("dropout", kinds.DROPOUT.at("drop"), dropout=0.98),
)
