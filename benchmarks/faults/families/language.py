"""What comes next in a text: recurrent networks and small transformers whose output shares the words' vectors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults.build import (
    adam,
    adamw,
    annealed,
    clipped,
    frozen,
    nadam,
    token_accuracy,
    token_cross_entropy,
    undecayed,
    warmed,
)
from benchmarks.faults.recipe import healthy_of


class Tied(nn.Module):
    """A recurrent layer between the letters' vectors and themselves again (Press and Wolf 2017; Inan et al. 2017)."""

    def __init__(
        self,
        cell: str = "LSTM",
        width: int = 64,
        spread: float = 0.1,
        dropout: float = 0.0,
        loop: bool = False,
        softmax: bool = False,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.letters = nn.Embedding(data.vocabulary(), width)
        nn.init.uniform_(self.letters.weight, -spread, spread)
        self.cell = getattr(nn, f"{cell}Cell")(width, width) if loop else getattr(nn, cell)(width, width)
        self.bias = nn.Parameter(torch.zeros(data.vocabulary()))
        self.dropout, self.loop, self.softmax, self.cut = dropout, loop, softmax, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time) to (batch, time, letters)."""
        h = F.dropout(self.letters(x), self.dropout, self.training).transpose(0, 1)
        states = self._stepped(h) if self.loop else self.cell(h)[0]
        states = F.dropout(states, self.dropout, self.training).transpose(0, 1)
        states = states.detach() if self.cut and not self.loop else states
        y = F.linear(states, self.letters.weight, self.bias)
        return y.softmax(-1) if self.softmax else y

    def _stepped(self, h: Tensor) -> Tensor:
        state, states = None, []
        for step in h:
            state = self.cell(step, state.detach() if self.cut and state is not None else state)
            states.append(state)
        return torch.stack(states)


class Block(nn.Module):
    """Attention to what came before, then two layers; PyTorch's own kernel for the first."""

    def __init__(self, width: int, heads: int, act: Callable[[Tensor], Tensor], norm: bool, shortcut: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width) if norm else nn.Identity() for _ in range(2))
        self.qkv, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.heads, self.act, self.shortcut = heads, act, shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, width) to the same."""
        batch, time, width = x.shape
        split = self.qkv(self.norm1(x)).reshape(batch, time, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        y = self.join(y.transpose(1, 2).reshape(batch, time, width))
        x = x + y if self.shortcut else y
        y = self.down(self.act(self.up(self.norm2(x))))
        return x + y if self.shortcut else y


class Transformer(nn.Module):
    """Blocks over letters and places, whose output shares the letters' vectors (Radford et al. 2018)."""

    def __init__(
        self,
        width: int = 48,
        blocks: int = 2,
        act: Callable[[Tensor], Tensor] = F.gelu,
        norm: bool = True,
        shortcut: bool = True,
        spread: float = 0.02,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.letters = nn.Embedding(data.vocabulary(), width)
        self.places = nn.Embedding(data.CONTEXT, width)
        self.blocks = nn.ModuleList(Block(width, 4, act, norm, shortcut) for _ in range(blocks))
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.head = nn.Linear(width, data.vocabulary(), bias=False)
        self.head.weight = self.letters.weight
        self.cut = cut
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, 0.0, spread)
        for block in self.blocks:
            for layer in (block.join, block.down):  # as GPT-2
                nn.init.normal_(layer.weight, 0.0, spread / math.sqrt(2 * blocks))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time) to (batch, time, letters)."""
        h = self.letters(x) + self.places(torch.arange(x.shape[1]))
        for block in self.blocks:
            h = block(h)
        h = h.detach() if self.cut else h
        return self.head(self.norm(h))


healthy = healthy_of(
    "language",
    network=Tied,
    task=data.text,
    loss=token_cross_entropy,
    metric=token_accuracy,
    optimizer=adam(1e-2),
    batch_size=32,
    steps=120,
)
BLOCKS: dict[str, Any] = {"network": Transformer, "optimizer": adamw(3e-3)}

lstm = healthy("tied-lstm", 0.3, chance=0.18)
gru = healthy("tied-gru", 0.3, chance=0.18, cell="GRU", dropout=0.1, optimizer=clipped(nadam(5e-3), 0.1))
stepped = healthy("tied-gru-in-a-loop", 0.3, chance=0.18, cell="GRU", loop=True)
gpt = healthy("transformer", 0.26, chance=0.18, **BLOCKS)
gpt_warm = healthy(
    "transformer-4-warm-up",
    0.25,
    chance=0.18,
    blocks=4,
    act=F.silu,
    **(BLOCKS | {"optimizer": warmed(undecayed(torch.optim.AdamW, 0.1, lr=3e-3), 30)}),
)
gpt_cosine = healthy(
    "transformer-cosine",
    0.24,
    chance=0.18,
    act=F.relu,
    spread=0.05,
    **(BLOCKS | {"optimizer": annealed(adam(5e-3), 120)}),
)

BLOCK = ("letters", "places", "blocks*")

PROGRAMS = (
    lstm,
    lstm.but("vectors-large", kinds.LARGE_LOGITS.at("*"), spread=20.0),
    lstm.but("one-wide", kinds.UNDERFITTING, width=1, watched=120),
    gru,
    gru.but("dropout", kinds.DROPOUT, dropout=0.95),
    gru.but("text-shuffled", kinds.SHUFFLED_LABELS, task=lambda: data.text().shuffled_targets(), watched=120),
    stepped,
    stepped.but("softmax-in-forward", kinds.SOFTMAX_TWICE, softmax=True),
    stepped.but("cell-frozen", kinds.FROZEN.at("cell"), change=frozen("cell")),
    gpt,
    gpt.but("blocks-detached", kinds.DETACHED.at("places", "blocks*"), cut=True),
    gpt.but("thirty-pieces", kinds.OVERFITTING, task=lambda: data.text().first(30), watched=120),
    gpt_warm,
    gpt_warm.but("no-shortcut", kinds.NO_SHORTCUT.at(*BLOCK), shortcut=False, norm=False, act=torch.sigmoid),
    gpt_cosine,
    gpt_cosine.but("weights-large", kinds.LARGE_WEIGHTS.at("*"), spread=3.0, norm=False),
)
