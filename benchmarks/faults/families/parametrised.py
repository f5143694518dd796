"""Weights made of something else, and blocks that begin as nothing: weight and spectral norms, ReZero, masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize

from benchmarks.faults import data, kinds
from benchmarks.faults.build import (
    adagrad,
    adam,
    adamw,
    annealed,
    explained,
    huber,
    nadam,
    norm_clipped,
    normal,
    rmsprop,
    sgd,
    squared_error,
    warmed,
)
from benchmarks.faults.recipe import healthy_of

Made = Callable[[nn.Module], nn.Module]


class Standardised(nn.Module):
    """Each filter less its mean over its spread (Qiao et al. 2019)."""

    def forward(self, weight: Tensor) -> Tensor:
        """Of any shape."""
        flat = weight.flatten(1)
        gain = (weight[0].numel()) ** -0.5
        return ((flat - flat.mean(1, keepdim=True)) / (flat.std(1, keepdim=True) + 1e-5) * gain).reshape(weight.shape)


class Masked(nn.Module):
    """A part of the weights is 0 for good, as after pruning."""

    def __init__(self, weight: Tensor, share: float) -> None:
        super().__init__()
        self.register_buffer("mask", (torch.rand_like(weight) > share).float() / (1 - share) ** 0.5)

    def forward(self, weight: Tensor) -> Tensor:
        """Of any shape."""
        return weight * self.mask


def standardised(layer: nn.Module) -> nn.Module:
    """With standardised weights."""
    return parametrize.register_parametrization(layer, "weight", Standardised())


def masked(share: float) -> Made:
    """With some weights at 0."""

    def made(layer: nn.Module) -> nn.Module:
        return parametrize.register_parametrization(layer, "weight", Masked(layer.weight.detach(), share))  # type: ignore[arg-type, operator]

    return made


class Bare(nn.Module):
    """Layers in a row, each made some way, without norms."""

    def __init__(
        self,
        inputs: int = 64,
        outputs: int = 10,
        width: int = 64,
        depth: int = 3,
        make: Made = parametrizations.weight_norm,
        act: Callable[[Tensor], Tensor] = F.relu,
        gain: float = 1.0,
        cut: bool = False,
        softmax: bool = False,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(make(nn.Linear(width if i else inputs, width)) for i in range(depth))
        self.head = nn.Linear(width, outputs)
        self.act, self.gain, self.cut, self.softmax = act, gain, cut, softmax

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, outputs)."""
        for layer in self.layers:
            x = self.act(self.gain * layer(x))
        y = self.head(x.detach() if self.cut else x)
        return y.softmax(1) if self.softmax else y


class Filters(nn.Module):
    """Convolutions made some way, a group norm behind each."""

    def __init__(
        self, width: int = 16, make: Made = standardised, act: Callable[[Tensor], Tensor] = F.relu, norm: bool = True
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            make(nn.Conv2d(a, b, 3, padding=1)) for a, b in ((1, width), (width, width), (width, 2 * width))
        )
        self.norms = nn.ModuleList(nn.GroupNorm(4, n) if norm else nn.Identity() for n in (width, width, 2 * width))
        self.classify = nn.Linear(8 * width, 10)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, 8, 8) to logits."""
        for index, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = self.act(norm(conv(x)))
            x = F.max_pool2d(x, 2) if index else x
        return self.classify(x.flatten(1))


class Nothing(nn.Module):
    """Blocks that add nothing at first: a factor of 0 (ReZero; Bachlechner et al. 2021), a last layer of 0 (Fixup)."""

    def __init__(
        self,
        inputs: int = 64,
        outputs: int = 10,
        width: int = 48,
        blocks: int = 8,
        how: str = "rezero",
        act: Callable[[Tensor], Tensor] = F.relu,
    ) -> None:
        super().__init__()
        self.stem = nn.Linear(inputs, width)
        self.ups = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.downs = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.shares = nn.ParameterList(
            nn.Parameter(torch.full((), {"rezero": 0.0, "scale": 0.1}.get(how, 1.0))) for _ in range(blocks)
        )
        self.head = nn.Linear(width, outputs)
        self.how, self.act = how, act
        for up, down in zip(self.ups, self.downs, strict=True):
            if how == "fixup":
                nn.init.kaiming_normal_(up.weight)
                up.weight.data.mul_(blocks**-0.5)
                nn.init.zeros_(down.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, outputs)."""
        h = self.stem(x)
        for up, down, share in zip(self.ups, self.downs, self.shares, strict=True):
            new = share * down(self.act(up(h)))
            h = new if self.how == "none" else h + new
        return self.head(self.act(h))


def hinge(model: nn.Module, batch: Any) -> Tensor:
    """Margins between the right class and the others."""
    return F.multi_margin_loss(model(batch[0]), batch[1])


healthy = healthy_of("parametrised", network=Bare, task=data.digits, optimizer=adam(3e-3), steps=120)
FRIEDMAN: dict[str, Any] = {"inputs": 10, "outputs": 1, "task": data.friedman, "metric": explained, "steps": 150}
IMAGES: dict[str, Any] = {"network": Filters, "task": data.images}

weight = healthy("weight-norm", 0.88, 0.1)
weight_sgd = healthy(
    "weight-norm-hinge", 0.88, 0.1, loss=hinge, act=torch.tanh, depth=4, optimizer=sgd(0.2, momentum=0.9)
)
spectral = healthy(
    "spectral-norm-friedman",
    0.63,
    0.0,
    make=parametrizations.spectral_norm,
    act=F.silu,
    gain=1.5,
    loss=huber,
    optimizer=adam(1e-2),
    **FRIEDMAN,
)
orthogonal = healthy(
    "orthogonal",
    0.85,
    0.1,
    make=parametrizations.orthogonal,
    act=F.leaky_relu,
    gain=1.4,
    depth=3,
    optimizer=nadam(3e-3),
)
pruned = healthy("pruned-80", 0.85, 0.1, make=masked(0.8), width=96, act=F.gelu, optimizer=rmsprop(1e-3))
standard = healthy("standardised-filters", 0.88, 0.1, optimizer=sgd(0.1, momentum=0.9), **IMAGES)
standard_bare = healthy(
    "standardised-filters-bare", 0.85, 0.1, norm=False, act=F.relu, optimizer=adagrad(0.02), batch_size=32, **IMAGES
)
weight_conv = healthy(
    "weight-norm-filters",
    0.85,
    0.1,
    make=parametrizations.weight_norm,
    norm=False,
    act=F.elu,
    optimizer=annealed(adamw(5e-3), 120),
    **IMAGES,
)
rezero = healthy("rezero-8", 0.88, 0.1, network=Nothing, optimizer=adam(3e-3))
fixup = healthy(
    "fixup-12-sgd",
    0.88,
    0.1,
    network=Nothing,
    how="fixup",
    blocks=12,
    optimizer=norm_clipped(sgd(0.05, momentum=0.9), 1.0),
)
scaled = healthy(
    "layer-scale-friedman",
    0.7,
    0.0,
    network=Nothing,
    how="scale",
    blocks=6,
    act=F.gelu,
    loss=squared_error,
    optimizer=warmed(adamw(5e-3), 20),
    **FRIEDMAN,
)

PROGRAMS = (
    weight,
    weight.but("layers-detached", kinds.DETACHED.at("layers*"), cut=True, depth=6),
    weight_sgd,
    weight_sgd.but("sigmoid-12", kinds.SIGMOID_DEPTH.at("layers*"), act=torch.sigmoid, depth=12),
    weight_sgd.but("rate-high", kinds.RATE_HIGH, optimizer=sgd(200.0, momentum=0.9)),
    spectral,
    spectral.but("no-activation", kinds.LINEAR, act=nn.Identity()),
    orthogonal,
    pruned,
    standard,
    standard_bare,
    weight_conv,
    weight_conv.but("weight-decay", kinds.WEIGHT_DECAY, optimizer=annealed(adamw(5e-3, weight_decay=150.0), 120)),
    rezero,
    rezero.but("no-shortcut", kinds.NO_SHORTCUT.at("*"), how="none", act=torch.sigmoid),
    fixup,
    fixup.but("weights-large", kinds.LARGE_WEIGHTS.at("*"), draw=normal(0.7)),
    scaled,
)
