"""Encoders that look both ways: a BERT for names, counts and reviews, a ViT for badges and digits, both by PyTorch.

Marks by task, as :mod:`benchmarks.faults.tasks_fifth` has them; of counts (``data.sorting``) 0.8. Dropped: blanks on a
clock, which two encoders had half learnt after 400 steps; and a frozen encoder of counts,
which are as easy to read off it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_fifth as tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    annealed,
    forgetful,
    nadam,
    normal,
    of_the_last,
    redrawn,
    sgd,
    undecayed,
    warmed,
)
from benchmarks.faults.recipe import healthy_of


class Encoder(nn.Module):
    """``nn.TransformerEncoder`` over vectors with places that are learnt."""

    def __init__(
        self, d_model: int, nhead: int, layers: int, places: int, norm_first: bool, p: float, act: str, ff: int = 2
    ) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            d_model, nhead, ff * d_model, p, activation=act, batch_first=True, norm_first=norm_first
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.pos = nn.Parameter(0.02 * torch.randn(1, places, d_model))
        self.dropout = nn.Dropout(p)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(self.dropout(x + self.pos[:, : x.size(1)]))


class Bert(nn.Module):
    """Tokens to tokens, or behind a first token of its own to a class."""

    def __init__(
        self,
        vocab: int = 8,
        outputs: int = 8,
        length: int = 8,
        d_model: int = 32,
        nhead: int = 4,
        layers: int = 2,
        norm_first: bool = False,
        p: float = 0.1,
        act: str = "gelu",
        classify: bool = False,
        pooler: bool = True,
        probs: bool = False,
        stop: bool = False,
    ) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(vocab, d_model)
        self.cls = nn.Parameter(torch.zeros(1, 1, d_model)) if classify else None
        self.encoder = Encoder(d_model, nhead, layers, length + 1, norm_first, p, act)
        self.transform = nn.Linear(d_model, d_model)
        self.norm = nn.LayerNorm(d_model)
        self.decoder = nn.Linear(d_model, outputs)
        self.pooler, self.probs, self.stop = pooler, probs, stop

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embeddings(tokens)
        if self.cls is not None:
            x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1)
        x = self.encoder(x)
        x = x.detach() if self.stop else x
        if self.cls is not None:
            x = torch.tanh(self.transform(x[:, 0])) if self.pooler else x[:, 0]
            y = self.decoder(x)
        else:
            y = self.decoder(self.norm(F.gelu(self.transform(x))))
        return y.softmax(-1) if self.probs else y


class ViT(nn.Module):
    """Patches by a convolution, a class token or a mean, an encoder, a head."""

    def __init__(
        self,
        channels: int = 3,
        size: int = 12,
        patch: int = 3,
        classes: int = 6,
        dim: int = 32,
        heads: int = 4,
        depth: int = 2,
        norm_first: bool = True,
        p: float = 0.0,
        act: str = "gelu",
        pool: str = "cls",
    ) -> None:
        super().__init__()
        self.patchify = nn.Conv2d(channels, dim, patch, stride=patch)
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.encoder = Encoder(dim, heads, depth, (size // patch) ** 2 + 1, norm_first, p, act)
        self.mlp_head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, classes))
        self.pool = pool

    def forward(self, img: Tensor) -> Tensor:
        x = self.patchify(img).flatten(2).transpose(1, 2)
        x = self.encoder(torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1))
        return self.mlp_head(x[:, 0] if self.pool == "cls" else x[:, 1:].mean(1))


healthy = healthy_of("encoders", network=ViT, task=tasks.badges, optimizer=adamw(2e-3), steps=200, batch_size=48)
NAMES: dict[str, Any] = {
    "network": Bert,
    "task": tasks.names,
    "vocab": tasks.LETTERS + 1,
    "outputs": tasks.LANGUAGES,
    "length": tasks.LONGEST,
    "classify": True,
}
COUNTS: dict[str, Any] = {
    "network": Bert,
    "task": data.sorting,
    "vocab": 8,
    "outputs": 8,
    "length": 8,
    "classify": True,
}
REVIEWS: dict[str, Any] = {
    "network": Bert,
    "task": tasks.reviews,
    "vocab": tasks.VOCABULARY,
    "outputs": 2,
    "length": tasks.REVIEW,
    "classify": True,
}
DIGITS: dict[str, Any] = {"task": data.images, "channels": 1, "size": 8, "patch": 2, "classes": 10}

vit = healthy("badges-vit", 0.8, 0.17)
vit_mean = healthy(
    "badges-vit-mean-relu",
    0.8,
    0.17,
    pool="mean",
    act="relu",
    depth=3,
    dim=24,
    p=0.1,
    optimizer=warmed(nadam(3e-3), 20),
)
digits = healthy("digits-vit", 0.8, 0.1, optimizer=annealed(adam(3e-3), 200), **DIGITS)
digits_post = healthy(
    "digits-vit-norm-after", 0.8, 0.1, norm_first=False, pool="mean", optimizer=adam(2e-3), steps=250, **DIGITS
)
names = healthy("names-bert", 0.7, 0.27, p=0.0, optimizer=adam(2e-3), **NAMES)
counts = healthy(
    "counts-bert-norm-first",
    0.8,
    0.13,
    norm_first=True,
    p=0.0,
    act="relu",
    pooler=False,
    optimizer=undecayed(torch.optim.AdamW, 0.01, lr=3e-3),
    **COUNTS,
)
reviews = healthy("reviews-bert", 0.8, 0.5, optimizer=adamw(2e-3), **REVIEWS)
reviews_small = healthy(
    "reviews-one-layer-sgd",
    0.8,
    0.5,
    layers=1,
    p=0.0,
    pooler=False,
    norm_first=True,
    optimizer=sgd(0.05, momentum=0.9),
    steps=250,
    **REVIEWS,
)

PROGRAMS = (
    vit,
    vit.but("bytes", kinds.UNSCALED, task=tasks.badge_bytes, optimizer=sgd(0.01)),
    vit.but("labels", kinds.SHUFFLED_LABELS, task=lambda: tasks.badges().shuffled_targets(), watched=200),
    vit_mean,
    vit_mean.but(
        "head-only",
        kinds.WRONG_PARAMETERS.at("patchify", "encoder*"),
        optimizer=of_the_last(warmed(nadam(3e-3), 20), 2),
    ),
    digits,
    digits.but("rate-low", kinds.RATE_LOW, optimizer=adam(1e-6)),
    digits_post,
    digits_post.but("never-zeroed", kinds.NEVER_ZEROED, optimizer=forgetful(adam(1e-2))),
    names,
    names.but("detached", kinds.DETACHED.at("embeddings", "encoder*"), stop=True),
    counts,
    reviews,
    reviews.but("saturated-pooler", kinds.SATURATED.at("transform"), change=redrawn(normal(40.0), "transform")),
    reviews_small,
)
