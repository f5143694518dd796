"""Vision transformers of many builds: class tokens, registers, windows, layer scale, stems of convolutions.

Marks, set by task before any training: digits 0.8.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults.build import (
    adam,
    adamw,
    annealed,
    nadam,
    norm_clipped,
    normal,
    of_the_last,
    redrawn,
    warmed,
)
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of


class Encoder(nn.Module):
    """One layer; each branch may be scaled from nearly nothing (Touvron et al. 2021) and dropped whole."""

    def __init__(
        self, dim: int, heads: int, window: int, scale: float | None, drop_path: float, post: bool, act: type[nn.Module]
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), act(), nn.Linear(2 * dim, dim))
        self.gamma1, self.gamma2 = (
            nn.Parameter(torch.full((dim,), scale)) if scale is not None else None for _ in range(2)
        )
        self.window, self.drop_path, self.post = window, drop_path, post

    def mixed(self, x: Tensor) -> Tensor:
        """Attention among all, or within windows of neighbours (Liu et al. 2021)."""
        if self.window:
            x_ = x.reshape(-1, self.window, x.shape[2])
            return self.attn(x_, x_, x_, need_weights=False)[0].reshape(x.shape)
        return self.attn(x, x, x, need_weights=False)[0]

    def kept(self, branch: Tensor, gamma: Tensor | None) -> Tensor:
        """The branch, scaled, for some pictures left out."""
        if gamma is not None:
            branch = gamma * branch
        if self.drop_path and self.training:
            keep = torch.rand(len(branch), 1, 1) >= self.drop_path
            return branch * keep / (1 - self.drop_path)
        return branch

    def forward(self, x: Tensor) -> Tensor:
        if self.post:
            x = self.norm1(x + self.mixed(x))
            return self.norm2(x + self.mlp(x))
        x = x + self.kept(self.mixed(self.norm1(x)), self.gamma1)
        return x + self.kept(self.mlp(self.norm2(x)), self.gamma2)


class Vit(nn.Module):
    """Patches, a token that gathers, layers, a head."""

    def __init__(
        self,
        dim: int = 32,
        depth: int = 2,
        heads: int = 4,
        registers: int = 0,
        pooled: bool = False,
        stem: bool = False,
        window: int = 0,
        scale: float | None = None,
        drop_path: float = 0.0,
        post: bool = False,
        act: type[nn.Module] = nn.GELU,
        head_zero: bool = False,
        trunk_cut: bool = False,
        softmax: bool = False,
    ) -> None:
        super().__init__()
        if stem:
            self.patch_embed: nn.Module = nn.Sequential(
                nn.Conv2d(1, dim // 2, 3, 1, 1), nn.BatchNorm2d(dim // 2), nn.ReLU(), nn.Conv2d(dim // 2, dim, 2, 2)
            )
        else:
            self.patch_embed = nn.Conv2d(1, dim, 2, 2)
        extra = 0 if pooled else 1 + registers
        self.tokens = nn.Parameter(0.02 * torch.randn(1, extra, dim))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 16 + extra, dim))
        self.blocks = nn.Sequential(*[Encoder(dim, heads, window, scale, drop_path, post, act) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, 10)
        if head_zero:
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)
        self.pooled, self.trunk_cut, self.softmax = pooled, trunk_cut, softmax

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x).flatten(2).mT
        x = torch.cat([self.tokens.expand(len(x), -1, -1), x], 1) + self.pos_embed
        x = self.norm(self.blocks(x))
        x = x.mean(1) if self.pooled else x[:, 0]
        x = self.head(x.detach() if self.trunk_cut else x)
        return F.softmax(x, 0) if self.softmax else x  # over the batch: the first axis is not that of the classes


healthy = healthy_of(
    "classtoken", network=Vit, task=data.images, optimizer=adamw(4e-3, weight_decay=0.05), steps=120, batch_size=64
)
COSINE = annealed(warmed(adamw(6e-3, weight_decay=0.05), 20), 120)
# A softmax over the batch tells each picture how it stands among the others, and flattens every gradient.
WRONG_AXIS = Fault(("loss_activation_mismatch", "underfitting", "lr_too_low"), ("loss_mismatch",))

plain = healthy("plain", 0.8, 0.1)
registers = healthy("registers", 0.8, 0.1, registers=3, optimizer=COSINE)
pooled = healthy("pooled", 0.8, 0.1, pooled=True, head_zero=True, optimizer=norm_clipped(adam(4e-3), 1.0))
stem = healthy("convolved-stem", 0.8, 0.1, stem=True, optimizer=nadam(2e-3))
windows = healthy("windows", 0.8, 0.1, window=4, pooled=True, depth=3, optimizer=adamw(4e-3))
layer_scale = healthy("layer-scale", 0.8, 0.1, scale=1e-2, depth=3, optimizer=COSINE)
post = healthy("normed-after", 0.8, 0.1, post=True, act=nn.ReLU, optimizer=warmed(adam(2e-3), 40), pooled=True)

PROGRAMS = (
    plain,
    plain.but("wrong-axis", WRONG_AXIS, softmax=True),
    plain.but("rate-high", kinds.RATE_HIGH, optimizer=adamw(0.5)),
    registers,
    registers.but(
        "head-only", kinds.WRONG_PARAMETERS.at("patch_embed*", "blocks*", "norm"), optimizer=of_the_last(COSINE, 2)
    ),
    pooled,
    pooled.but("trunk-cut", kinds.DETACHED.at("patch_embed*", "blocks*", "norm"), trunk_cut=True),
    stem,
    stem.but("rate-low", kinds.RATE_LOW, optimizer=nadam(1e-7)),
    windows,
    windows.but("attention-large", kinds.SATURATED.at("blocks*"), change=redrawn(normal(6.0), "blocks")),
    layer_scale,
    post,
)
