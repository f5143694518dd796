"""Networks that mix places and channels in turn: MLP-Mixer on patches of digits, ConvNeXt on the digits as images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faults import data, kinds
from benchmarks.faults.build import (
    Change,
    adamw,
    biased,
    frozen,
    normal,
    of_a_copy,
    of_the_last,
    sgd,
    warmed,
)
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of

PLACES, PATCH = 16, 4


class DropPath(nn.Module):
    """Drops a whole branch for some of the samples (Huang et al. 2016)."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        if not self.training or not self.share:
            return x
        kept = torch.rand(len(x), *[1] * (x.dim() - 1)) >= self.share
        return x * kept / (1 - self.share)


class MixerBlock(nn.Module):
    """Two layers over the places, then two over the channels (Tolstikhin et al. 2021)."""

    def __init__(self, width: int, norm: bool, shortcut: bool, drop_path: float, activation: Callable[[], nn.Module]):
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width) if norm else nn.Identity() for _ in range(2))
        self.places = nn.Sequential(nn.Linear(PLACES, 2 * PLACES), activation(), nn.Linear(2 * PLACES, PLACES))
        self.channels = nn.Sequential(nn.Linear(width, 2 * width), activation(), nn.Linear(2 * width, width))
        self.path, self.shortcut = DropPath(drop_path), shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, places, width) to the same."""
        y = self.path(self.places(self.norm1(x).mT).mT)
        x = x + y if self.shortcut else y
        y = self.path(self.channels(self.norm2(x)))
        return x + y if self.shortcut else y


class Mixer(nn.Module):
    """Patches embedded, mixed, averaged and classified."""

    def __init__(
        self,
        blocks: int = 4,
        width: int = 32,
        norm: bool = True,
        shortcut: bool = True,
        drop_path: float = 0.0,
        activation: Callable[[], nn.Module] = nn.GELU,
        softmax: bool = False,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(PATCH, width)
        self.blocks = nn.ModuleList(MixerBlock(width, norm, shortcut, drop_path, activation) for _ in range(blocks))
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.head = nn.Sequential(nn.Linear(width, 10), *([nn.Softmax(1)] if softmax else []))
        self.cut = cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, places, pixels) to logits."""
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head((self.norm(x).detach() if self.cut else self.norm(x)).mean(1))


class Gate(nn.Module):
    """Each channel times a sigmoid of all channels' means (Hu et al. 2018, squeeze and excitation)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze, self.act, self.excite = nn.Linear(width, width // 4), nn.ReLU(), nn.Linear(width // 4, width)
        self.open = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width, h, w) to the same."""
        return x * self.open(self.excite(self.act(self.squeeze(x.mean((2, 3))))))[:, :, None, None]


class ConvBlock(nn.Module):
    """Depthwise 3×3, normalisation, two pointwise layers, a small learned scale (Liu et al. 2022)."""

    def __init__(self, width: int, scale: float, gated: bool, dropout: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm, self.expand, self.act = nn.GroupNorm(1, width), nn.Conv2d(width, 3 * width, 1), nn.GELU()
        self.drop, self.contract = nn.Dropout(dropout), nn.Conv2d(3 * width, width, 1)
        self.gate = Gate(width) if gated else nn.Identity()
        self.scale = nn.Parameter(torch.full((width, 1, 1), scale))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width, h, w) to the same."""
        y = self.contract(self.drop(self.act(self.expand(self.norm(self.depthwise(x))))))
        return x + self.scale * self.gate(y)


class ConvNeXt(nn.Module):
    """A stem that halves the image, blocks, and a head on the mean over the places."""

    def __init__(
        self, blocks: int = 4, width: int = 24, scale: float = 1e-6, gated: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 2, 2)
        self.blocks = nn.Sequential(*(ConvBlock(width, scale, gated, dropout) for _ in range(blocks)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, 8, 8) to logits."""
        return self.head(self.norm(self.blocks(self.stem(x)).mean((2, 3))))


def closed(value: float) -> Change:
    """Start the gates of all blocks far on one side."""
    return lambda model: biased(value, *(f"blocks.{index}.gate.excite" for index in range(len(model.blocks))))(model)


healthy = healthy_of("mixer", network=Mixer, task=data.patches, optimizer=adamw(3e-3))
CONVNEXT: dict[str, Any] = {"network": ConvNeXt, "task": data.images}

mixer = healthy("mixer", 0.85, chance=0.1)
momentum = healthy(
    "mixer-relu-momentum", 0.7, chance=0.1, activation=nn.ReLU, optimizer=sgd(0.1, momentum=0.9), steps=80
)
warm = healthy("mixer-warm-up", 0.8, chance=0.1, blocks=6, optimizer=warmed(adamw(4e-3, weight_decay=0.1), 60))
paths = healthy("mixer-drop-path", 0.75, chance=0.1, blocks=6, drop_path=0.3, steps=200)
# A random, fixed embedding of the patches steadies the training (Chen et al. 2021, MoCo v3).
fixed = healthy("mixer-fixed-patches", 0.8, chance=0.1, change=frozen("embed"), activation=nn.SiLU)
convnext = healthy("convnext", 0.8, chance=0.1, optimizer=adamw(6e-3, weight_decay=0.05), steps=200, **CONVNEXT)
gated = healthy("convnext-gated", 0.8, chance=0.1, gated=True, scale=1.0, optimizer=adamw(5e-3), **CONVNEXT)

BLOCKS = ("blocks.*",)
CLOSED = Fault(
    ("saturation", "vanishing", "bad_init_small", "bad_init_large"), ("saturated_activation", "init_mismatch")
)

PROGRAMS = (
    mixer,
    mixer.but("rate-high", kinds.RATE_HIGH, optimizer=adamw(0.5)),
    mixer.but("detached", kinds.DETACHED.at("embed", "norm", *BLOCKS), cut=True),
    momentum,
    momentum.but("softmax-before-loss", kinds.SOFTMAX_TWICE.at("head*"), softmax=True),
    warm,
    warm.but(
        "no-shortcut",
        kinds.NO_SHORTCUT.at("embed", "blocks.[0-2]*"),
        shortcut=False,
        norm=False,
        activation=nn.Sigmoid,
    ),
    warm.but("copy", kinds.WRONG_PARAMETERS, optimizer=of_a_copy(adamw(4e-3, weight_decay=0.1))),
    paths,
    paths.but("too-many", kinds.DROPOUT.at("blocks.*.path"), drop_path=0.98),
    fixed,
    fixed.but("weights-large", kinds.LARGE_WEIGHTS.at("embed", "head*", *BLOCKS), norm=False, draw=normal(1.0)),
    convnext,
    convnext.but("rate-low", kinds.RATE_LOW, optimizer=adamw(1e-6, weight_decay=0.05)),
    convnext.but("head-only", kinds.WRONG_PARAMETERS.at("stem", *BLOCKS), optimizer=of_the_last(adamw(6e-3), 2)),
    gated,
    gated.but("closed", CLOSED.at("blocks.*.gate*"), change=closed(-20.0)),
)
