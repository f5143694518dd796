"""Transformers as they are built today: RMSNorm, rotary places, gated layers, shared keys, biases of distance."""

from __future__ import annotations

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
    lion,
    norm_clipped,
    of_the_last,
    token_accuracy,
    token_cross_entropy,
    undecayed,
    warmed,
)
from benchmarks.faults.recipe import healthy_of


class RMSNorm(nn.Module):
    """Each vector over its root mean square (Zhang and Sennrich 2019)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) to the same."""
        return self.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


def turned(x: Tensor) -> Tensor:
    """(batch, heads, places, width) with each pair of numbers turned by its place (Su et al. 2021)."""
    places, half = x.shape[2], x.shape[3] // 2
    angle = torch.arange(places)[:, None] / 10000 ** (torch.arange(half) / half)
    one, two = x.chunk(2, 3)
    return torch.cat([one * angle.cos() - two * angle.sin(), two * angle.cos() + one * angle.sin()], 3)


class Attention(nn.Module):
    """Causal attention.

    Args:
        width: Of the vectors.
        heads: Of the queries.
        shared: Whether all heads share one key and one value (Shazeer 2019).
        place: ``rotary``, ``alibi`` for a bias that falls with distance (Press et al. 2022), or ``none``.
        unit: Whether queries and keys are of length 1 times a number that is learnt (Henry et al. 2020).
    """

    def __init__(self, width: int, heads: int, shared: bool, place: str, unit: bool) -> None:
        super().__init__()
        self.heads, self.place, self.unit = heads, place, unit
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * (width // heads if shared else width), bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.sharp = nn.Parameter(torch.tensor(8.0)) if unit else None

    def forward(self, x: Tensor) -> Tensor:
        """(batch, places, width) to the same."""
        size = x.shape[2] // self.heads
        q, k, v = (
            part.unflatten(2, (-1, size)).transpose(1, 2) for part in (self.query(x), *self.key_value(x).chunk(2, 2))
        )
        if self.place == "rotary":
            q, k = turned(q), turned(k)
        if self.sharp is not None:
            q, k = F.normalize(q, dim=3) * self.sharp * size**0.5, F.normalize(k, dim=3)
        count = x.shape[1]
        far = torch.arange(count)[:, None] - torch.arange(count)
        bias = torch.where(far < 0, -torch.inf, 0.0)
        if self.place == "alibi":
            slopes = 0.5 ** (1 + torch.arange(self.heads) * 8 / self.heads)
            bias = bias - slopes[:, None, None] * far.clamp(min=0)
        weights = (q @ k.mT / size**0.5 + bias).softmax(3)
        return self.out((weights @ v).transpose(1, 2).flatten(2))


class Gated(nn.Module):
    """One half lets the other through (Shazeer 2020): GLU, GEGLU, SwiGLU, ReGLU by the activation."""

    def __init__(self, width: int, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(2 * width, width, bias=False)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) to the same."""
        gate, value = self.up(x).chunk(2, -1)
        return self.down(self.act(gate) * value)


class Usual(nn.Module):
    """Up, an activation, down."""

    def __init__(self, width: int, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) to the same."""
        return self.down(self.act(self.up(x)))


class Block(nn.Module):
    """Attention and a small network, around which the stream goes.

    Args:
        width: Of the stream.
        order: ``pre``, ``post``, ``sandwich`` (before and after), ``parallel`` (both from one norm), or ``bare``.
        norm: Makes a norm.
        attention: Makes the attention.
        body: Makes the small network.
        dropout: Of what is added.
    """

    def __init__(
        self,
        width: int,
        order: str,
        norm: Callable[[int], nn.Module],
        attention: Callable[[], nn.Module],
        body: Callable[[], nn.Module],
        dropout: float,
    ) -> None:
        super().__init__()
        self.order = order
        count = {"pre": 2, "post": 2, "sandwich": 4, "parallel": 1, "bare": 0}[order]
        self.norms = nn.ModuleList(norm(width) for _ in range(count))
        self.attention, self.body, self.drop = attention(), body(), nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, places, width) to the same."""
        n = self.norms
        if self.order == "bare":
            return self.body(self.attention(x))
        if self.order == "parallel":
            h = n[0](x)
            return x + self.drop(self.attention(h) + self.body(h))
        if self.order == "post":
            x = n[0](x + self.drop(self.attention(x)))
            return n[1](x + self.drop(self.body(x)))
        if self.order == "sandwich":
            x = x + self.drop(n[1](self.attention(n[0](x))))
            return x + self.drop(n[3](self.body(n[2](x))))
        x = x + self.drop(self.attention(n[0](x)))
        return x + self.drop(self.body(n[1](x)))


class Decoder(nn.Module):
    """Characters in, the next ones out."""

    def __init__(
        self,
        width: int = 32,
        layers: int = 2,
        heads: int = 4,
        order: str = "pre",
        norm: Callable[[int], nn.Module] = RMSNorm,
        place: str = "rotary",
        body: Callable[..., nn.Module] = Gated,
        act: Callable[[Tensor], Tensor] = F.silu,
        shared: bool = False,
        unit: bool = False,
        tied: bool = True,
        dropout: float = 0.0,
        spread: float = 0.02,
        cut: bool = False,
        half: bool = False,
    ) -> None:
        super().__init__()
        self.letters = nn.Embedding(data.vocabulary(), width)
        self.places = nn.Parameter(0.02 * torch.randn(data.CONTEXT, width)) if place == "learned" else None
        self.blocks = nn.ModuleList(
            Block(
                width,
                order,
                norm,
                lambda: Attention(width, heads, shared, place, unit),
                lambda: body(width, act),
                dropout,
            )
            for _ in range(layers)
        )
        self.norm = norm(width)
        self.say = nn.Linear(width, data.vocabulary(), bias=False)
        self.cut, self.half = cut, half
        if tied:
            nn.init.normal_(self.letters.weight, 0.0, spread)
            self.say.weight = self.letters.weight

    def forward(self, x: Tensor) -> Tensor:
        """(batch, places) to (batch, places, characters)."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            h = self.letters(x)
            h = h if self.places is None else h + self.places
            for block in self.blocks:
                h = block(h)
            logits = self.say(self.norm(h.detach() if self.cut else h))
        return logits.float()


def smoothed(model: nn.Module, batch: Any) -> Tensor:
    """Cross-entropy of each character with smoothed labels."""
    return F.cross_entropy(model(batch[0]).flatten(0, 1), batch[1].flatten(), label_smoothing=0.1)


def with_z(model: nn.Module, batch: Any) -> Tensor:
    """With a small penalty on the logarithm of the softmax's sum (Chowdhery et al. 2022)."""
    logits = model(batch[0]).flatten(0, 1)
    return F.cross_entropy(logits, batch[1].flatten()) + 1e-4 * logits.logsumexp(1).square().mean()


def softmax_first(model: nn.Module, batch: Any) -> Tensor:
    """Cross-entropy of probabilities taken for logits."""
    return F.cross_entropy(model(batch[0]).softmax(2).flatten(0, 1), batch[1].flatten())


healthy = healthy_of(
    "modern",
    network=Decoder,
    task=data.text,
    loss=token_cross_entropy,
    metric=token_accuracy,
    optimizer=adamw(3e-3, weight_decay=0.1),
    batch_size=16,
    steps=150,
)

llama = healthy("rms-rotary-swiglu", 0.3, 0.17)
cosine = healthy(
    "shared-keys-cosine",
    0.3,
    0.17,
    shared=True,
    heads=2,
    optimizer=annealed(norm_clipped(undecayed(torch.optim.AdamW, 0.1, lr=6e-3, betas=(0.9, 0.95)), 1.0), 200),
    steps=200,
)
alibi = healthy("alibi-relu-untied", 0.3, 0.17, place="alibi", body=Usual, act=F.relu, norm=nn.LayerNorm, tied=False)
parallel = healthy(
    "parallel-geglu", 0.3, 0.17, order="parallel", act=F.gelu, loss=with_z, optimizer=warmed(adam(3e-3), 30)
)
post = healthy(
    "post-norm-learned-places",
    0.28,
    0.17,
    order="post",
    norm=nn.LayerNorm,
    place="learned",
    body=Usual,
    act=F.gelu,
    dropout=0.1,
    tied=False,
    optimizer=norm_clipped(warmed(adam(3e-3), 50), 1.0),
    steps=200,
)
sandwich = healthy("sandwich-squared-relu", 0.28, 0.17, order="sandwich", body=Usual, act=lambda x: F.relu(x).square())
lions = healthy(
    "unit-queries-lion", 0.28, 0.17, unit=True, loss=smoothed, optimizer=lion(1.5e-3, weight_decay=0.05), steps=200
)
brain = healthy("rms-rotary-bfloat16", 0.28, 0.17, half=True)
PROGRAMS = (
    llama,
    llama.but("softmax-before-loss", kinds.SOFTMAX_TWICE, loss=softmax_first),
    llama.but("rate-high", kinds.RATE_HIGH, optimizer=adamw(1.0, weight_decay=0.1)),
    cosine,
    cosine.but("blocks-detached", kinds.DETACHED.at("blocks*"), cut=True),
    alibi,
    alibi.but("say-only", kinds.WRONG_PARAMETERS.at("letters", "blocks*"), optimizer=of_the_last(adamw(3e-3), 1)),
    parallel,
    parallel.but("rate-low", kinds.RATE_LOW, optimizer=adam(1e-6)),
    post,
    sandwich,
    lions,
    brain,
)
