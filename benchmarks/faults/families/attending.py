"""Transformers: encoders of PyTorch's on intents and patches, decoders by hand of chains and copies.

Marks by task, as :mod:`benchmarks.faults.tasks_sixth` has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_sixth as tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    frozen,
    norm_clipped,
    of_the_first,
    token_accuracy,
    token_cross_entropy,
    undecayed,
    warmed,
)
from benchmarks.faults.recipe import healthy_of


class Encoder(nn.Module):
    """Tokens or patches, layers of PyTorch's, a mean over them."""

    def __init__(
        self,
        words: int = tasks.WORDS,
        outputs: int = tasks.INTENTS,
        places: int = tasks.UTTERANCE,
        dim: int = 32,
        layers: int = 2,
        norm_first: bool = True,
        p: float = 0.0,
        patch: int | None = None,
        softmax: bool = False,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(patch, dim) if patch else nn.Embedding(words, dim)
        self.pos = nn.Parameter(0.02 * torch.randn(places, dim))
        layer = nn.TransformerEncoderLayer(dim, 4, 2 * dim, p, "gelu", batch_first=True, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(dim), enable_nested_tensor=False)
        self.head = nn.Linear(dim, outputs)
        self.softmax = softmax

    def forward(self, x: Tensor) -> Tensor:
        h = self.encoder(self.embed(x) + self.pos)
        y = self.head(h.mean(1))
        return y.softmax(-1) if self.softmax else y


class Block(nn.Module):
    """Causal attention of ``nn.MultiheadAttention`` and two linear maps, each with a shortcut after a norm."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = nn.MultiheadAttention(dim, 4, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        h = self.ln1(x)
        h = self.attn(h, h, h, attn_mask=mask, need_weights=False)[0]
        x = x + h
        h = self.mlp(self.ln2(x))
        return x + h


class Decoder(nn.Module):
    """Tokens and places, blocks, a norm, an output that may share the embedding's weights."""

    def __init__(
        self,
        words: int = tasks.SYMBOLS,
        dim: int = 48,
        layers: int = 2,
        tied: bool = False,
        stop: bool = False,
    ) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(words, dim), nn.Embedding(40, dim)
        nn.init.normal_(self.wte.weight, std=0.02)
        nn.init.normal_(self.wpe.weight, std=0.02)
        self.h = nn.ModuleList(Block(dim) for _ in range(layers))
        self.ln_f = nn.LayerNorm(dim)
        self.lm_head = nn.Linear(dim, words, bias=False)
        if tied:
            self.lm_head.weight = self.wte.weight
        self.stop = stop

    def forward(self, x: Tensor) -> Tensor:
        h = self.wte(x) + self.wpe(torch.arange(x.shape[1]))
        for block in self.h:
            h = block(h)
        return self.lm_head(self.ln_f(h.detach() if self.stop else h))


def asked_cross_entropy(model: nn.Module, batch: Any) -> Tensor:
    """Cross-entropy where an answer is asked for."""
    return F.cross_entropy(model(batch[0]).flatten(0, 1), batch[1].flatten(), ignore_index=tasks.IGNORED)


def asked_accuracy(model: nn.Module, batches: Iterable[Any]) -> float:
    """Share of the answers asked for that are right."""
    right = [(model(x).argmax(-1) == y)[y != tasks.IGNORED].float() for x, y in batches]
    return float(torch.cat(right).mean())


healthy = healthy_of("attending", network=Encoder, task=tasks.intents, optimizer=adam(2e-3), steps=150, batch_size=64)
VIT: dict[str, Any] = {"task": data.patches, "patch": 4, "places": 16, "outputs": 10}
CHAIN: dict[str, Any] = {
    "network": Decoder,
    "task": tasks.chain,
    "loss": token_cross_entropy,
    "metric": token_accuracy,
}
COPY: dict[str, Any] = {
    "network": Decoder,
    "task": tasks.reversal,
    "loss": asked_cross_entropy,
    "metric": asked_accuracy,
}

intents = healthy("intents-pre-norm", 0.8, 0.22)
intents_post = healthy(
    "intents-post-norm-warmed", 0.8, 0.22, norm_first=False, p=0.1, optimizer=warmed(adamw(2e-3), 30)
)
vit = healthy("patches-vit", 0.8, 0.1, dim=48, **VIT)
vit_decay = healthy(
    "patches-vit-undecayed", 0.8, 0.1, layers=1, dim=64, optimizer=undecayed(torch.optim.AdamW, 0.1, lr=3e-3), **VIT
)
chain = healthy("chain-gpt", 0.5, 0.31, **CHAIN)
chain_tied = healthy(
    "chain-gpt-tied-clipped", 0.5, 0.31, tied=True, layers=3, optimizer=norm_clipped(adamw(3e-3), 1.0), **CHAIN
)
copies = healthy("copies-gpt", 0.8, 0.1, dim=64, optimizer=adam(3e-3), steps=200, **COPY)

PROGRAMS = (
    intents,
    intents.but("rate-low", kinds.RATE_LOW, optimizer=adam(1e-6)),
    intents.but("sixty", kinds.OVERFITTING, task=lambda: tasks.intents().first(60), watched=100),
    intents_post,
    intents_post.but("rate-high", kinds.RATE_HIGH, optimizer=adamw(0.3)),
    vit,
    vit.but("shuffled", kinds.SHUFFLED_LABELS, task=lambda: data.patches().shuffled_targets(), watched=150),
    vit.but("softmax-twice", kinds.SOFTMAX_TWICE.at("head", ""), softmax=True, optimizer=adam(1e-4)),
    vit_decay,
    vit_decay.but("dropout", kinds.DROPOUT.at("encoder*"), p=0.95),
    vit_decay.but("first-only", kinds.WRONG_PARAMETERS, optimizer=of_the_first(adamw(3e-3), 1)),
    chain,
    chain.but("detached", kinds.DETACHED.at("wte", "wpe", "h.*"), stop=True),
    chain_tied,
    copies,
    copies.but("frozen", kinds.FROZEN.at("h*", "w?e"), change=frozen("h", "wte", "wpe")),
)
