"""Decoders as they are built now: RMSNorm, rotary places, gated feed-forward layers, shared keys, normed queries.

Marks, set by task before any training: rows told by rules 0.5 (nine in ten can be known,
the commonest symbol comes 23 times in a hundred), brackets 0.6.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import kinds
from benchmarks.faults import tasks_fourth as tasks
from benchmarks.faults.build import (
    adamw,
    annealed,
    lion,
    norm_clipped,
    normal,
    of_the_last,
    redrawn,
    token_accuracy,
    token_cross_entropy,
    warmed,
)
from benchmarks.faults.recipe import healthy_of


def rotate(x: Tensor) -> Tensor:
    """Turn pairs of numbers by an angle that grows with the place (Su et al. 2021); (..., places, even width)."""
    places, width = x.shape[-2:]
    pace = 100.0 ** (-torch.arange(0, width, 2) / width)
    angle = torch.arange(places)[:, None] * pace
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * angle.cos() - odd * angle.sin(), even * angle.sin() + odd * angle.cos()], -1).flatten(-2)


class Attention(nn.Module):
    """Causal; keys and values may be shared by several heads (Ainslie et al. 2023)."""

    def __init__(self, dim: int, heads: int, kv_heads: int, qk_norm: bool, rope: bool, window: int) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = heads, kv_heads, dim // heads
        self.wq = nn.Linear(dim, dim, bias=False)
        self.wk = nn.Linear(dim, kv_heads * self.head_dim, bias=False)
        self.wv = nn.Linear(dim, kv_heads * self.head_dim, bias=False)
        self.wo = nn.Linear(dim, dim, bias=False)
        self.q_norm, self.k_norm = (nn.RMSNorm(self.head_dim) if qk_norm else nn.Identity() for _ in range(2))
        self.rope, self.window = rope, window

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        q = self.q_norm(self.wq(x).view(b, t, self.heads, -1)).transpose(1, 2)
        k = self.k_norm(self.wk(x).view(b, t, self.kv_heads, -1)).transpose(1, 2)
        v = self.wv(x).view(b, t, self.kv_heads, -1).transpose(1, 2)
        k, v = (part.repeat_interleave(self.heads // self.kv_heads, 1) for part in (k, v))
        far = torch.arange(t)[:, None] - torch.arange(t)
        seen = (far >= 0) & (far < self.window)
        if self.rope:
            q, k = rotate(q), rotate(k)
            mask: Tensor = seen
        else:  # the further, the less (Press et al. 2022)
            slope = 2.0 ** -torch.arange(self.heads)[:, None, None]
            mask = torch.where(seen, -slope * far, -torch.inf)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.wo(y.transpose(1, 2).reshape(b, t, -1))


class FeedForward(nn.Module):
    """A gate times a map (Shazeer 2020), or relu squared (So et al. 2021)."""

    def __init__(self, dim: int, hidden: int, gated: bool) -> None:
        super().__init__()
        self.w1, self.w2 = nn.Linear(dim, hidden, bias=False), nn.Linear(hidden, dim, bias=False)
        self.w3 = nn.Linear(dim, hidden, bias=False) if gated else None

    def forward(self, x: Tensor) -> Tensor:
        if self.w3 is None:
            return self.w2(F.relu(self.w1(x)).square())
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Block(nn.Module):
    """Normed before each part; one after the other or side by side (Wang and Komatsuzaki 2021)."""

    def __init__(self, dim: int, parallel: bool, norm: bool, gated: bool, dropout: float, **attention: Any) -> None:
        super().__init__()
        self.attention = Attention(dim, **attention)
        self.feed_forward = FeedForward(dim, 2 * dim, gated)
        self.attention_norm, self.ffn_norm = (nn.RMSNorm(dim) if norm else nn.Identity() for _ in range(2))
        self.dropout = nn.Dropout(dropout)
        self.parallel = parallel

    def forward(self, x: Tensor) -> Tensor:
        if self.parallel:
            y = self.attention_norm(x)
            return x + self.dropout(self.attention(y) + self.feed_forward(y))
        h = x + self.dropout(self.attention(self.attention_norm(x)))
        return h + self.dropout(self.feed_forward(self.ffn_norm(h)))


class Decoder(nn.Module):
    """Symbols in, logits at each place out."""

    def __init__(
        self,
        symbols: int = tasks.SYMBOLS,
        outputs: int = tasks.SYMBOLS,
        dim: int = 32,
        layers: int = 2,
        heads: int = 4,
        kv_heads: int = 4,
        qk_norm: bool = False,
        rope: bool = True,
        window: int = 99,
        parallel: bool = False,
        norm: bool = True,
        gated: bool = True,
        dropout: float = 0.0,
        tied: bool = False,
        capped: float = 0.0,
        shrink: bool = True,
    ) -> None:
        super().__init__()
        options = {"heads": heads, "kv_heads": kv_heads, "qk_norm": qk_norm, "rope": rope, "window": window}
        self.tok_embeddings = nn.Embedding(symbols, dim)
        self.layers = nn.ModuleList(Block(dim, parallel, norm, gated, dropout, **options) for _ in range(layers))
        self.norm = nn.RMSNorm(dim)
        self.output = nn.Linear(dim, outputs, bias=False)
        nn.init.normal_(self.tok_embeddings.weight, 0.0, dim**-0.5 if tied else 1.0)
        if tied:
            self.output.weight = self.tok_embeddings.weight
        if shrink:  # the sum along the depth keeps its size (Radford et al. 2019)
            for layer in self.layers:
                for last in (layer.attention.wo, layer.feed_forward.w2):
                    nn.init.normal_(last.weight, 0.0, (dim * 2 * layers) ** -0.5)
        self.capped = capped

    def forward(self, tokens: Tensor) -> Tensor:
        h = self.tok_embeddings(tokens)
        for layer in self.layers:
            h = layer(h)
        logits = self.output(self.norm(h))
        return self.capped * torch.tanh(logits / self.capped) if self.capped else logits


def with_z(model: Any, batch: Any) -> Tensor:
    """Cross-entropy, and a little for logits whose sum of exponentials goes astray (Chowdhery et al. 2022)."""
    logits = model(batch[0]).flatten(0, 1)
    return F.cross_entropy(logits, batch[1].flatten()) + 1e-3 * logits.logsumexp(1).square().mean()


def in_bfloat16(model: Any, batch: Any) -> Tensor:
    """Cross-entropy under autocast."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(batch[0])
    return F.cross_entropy(logits.float().flatten(0, 1), batch[1].flatten())


healthy = healthy_of(
    "decoder",
    network=Decoder,
    task=tasks.rules,
    loss=token_cross_entropy,
    metric=token_accuracy,
    optimizer=norm_clipped(adamw(5e-3, betas=(0.9, 0.95), weight_decay=0.1), 1.0),
    batch_size=48,
    steps=120,
)
DEPTHS: dict[str, Any] = {"task": tasks.brackets, "symbols": 4, "outputs": 6}
RATE = 5e-3
COSINE = annealed(warmed(adamw(RATE, betas=(0.9, 0.95)), 20), 120)

llama = healthy("llama", 0.5, 0.23)
grouped = healthy(
    "grouped-queries", 0.5, 0.23, kv_heads=1, qk_norm=True, parallel=True, tied=True, optimizer=adamw(RATE)
)
bf16 = healthy("bfloat16", 0.5, 0.23, loss=in_bfloat16, optimizer=norm_clipped(adamw(RATE), 1.0))
alibi = healthy("alibi-window", 0.5, 0.23, rope=False, window=4, dropout=0.1, optimizer=COSINE)
capped = healthy(
    "capped", 0.6, 0.37, capped=15.0, gated=False, loss=with_z, optimizer=adamw(RATE, weight_decay=0.1), **DEPTHS
)
by_sign = healthy("by-sign", 0.6, 0.37, layers=3, qk_norm=True, optimizer=lion(1e-3, weight_decay=0.1), **DEPTHS)

PROGRAMS = (
    llama,
    llama.but("rate-high", kinds.RATE_HIGH, optimizer=adamw(1.0)),
    grouped,
    grouped.but("rate-low", kinds.RATE_LOW, optimizer=adamw(1e-6)),
    bf16,
    bf16.but(
        "output-only", kinds.WRONG_PARAMETERS.at("tok_embeddings", "layers.*"), optimizer=of_the_last(adamw(RATE), 1)
    ),
    alibi,
    alibi.but("dropout", kinds.DROPOUT.at("layers.*"), dropout=0.97),
    capped,
    capped.but(
        "weights-large",
        kinds.LARGE_WEIGHTS.at("layers.*"),
        change=redrawn(normal(3.0), "layers"),
        norm=False,
    ),
    by_sign,
)
