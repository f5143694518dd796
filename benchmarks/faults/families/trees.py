"""Tables by newer means: soft trees, tokens for features, masks that choose features, periodic features, deep forests.

Marks, set by task before any training: Friedman's function R² 0.6 (with as much noise as function: 0.3), tumours 0.88,
wines 0.85, diabetes 0.25.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_fourth as tasks
from benchmarks.faults.build import (
    adagrad,
    adam,
    adamw,
    binary_accuracy,
    binary_cross_entropy,
    explained,
    huber,
    nadam,
    one_cycle,
    sgd,
    squared_error,
    warmed,
)
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of


class SoftTrees(nn.Module):
    """Oblivious trees whose splits are sigmoids and whose leaves are numbers (Popov et al. 2020, in small)."""

    def __init__(self, inputs: int, outputs: int, trees: int = 16, depth: int = 3, sharp: float = 1.0) -> None:
        super().__init__()
        self.split = nn.Linear(inputs, trees * depth)
        self.leaves = nn.Parameter(0.3 * torch.randn(trees, 2**depth, outputs))
        codes = torch.arange(2**depth)[:, None] >> torch.arange(depth) & 1
        self.register_buffer("codes", codes.bool())
        self.trees, self.depth, self.sharp = trees, depth, sharp

    def forward(self, x: Tensor) -> Tensor:
        right = torch.sigmoid(self.sharp * self.split(x)).view(len(x), self.trees, 1, self.depth)
        reach = torch.where(self.codes, right, 1 - right).prod(3)
        return torch.einsum("ntl,tlo->no", reach, self.leaves) / self.trees**0.5


class Tokens(nn.Module):
    """A token per feature, attention among them, a token that answers (FT-Transformer; Gorishniy et al. 2021)."""

    def __init__(
        self, inputs: int, outputs: int, width: int = 16, layers: int = 2, dropout: float = 0.0, cut: bool = False
    ) -> None:
        super().__init__()
        self.scale, self.shift = (nn.Parameter(torch.randn(inputs, width) / width**0.5) for _ in range(2))
        self.answer = nn.Parameter(torch.randn(1, 1, width) / width**0.5)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout, F.gelu, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, outputs))
        self.cut = cut

    def forward(self, x: Tensor) -> Tensor:
        x = x[..., None] * self.scale + self.shift
        x = self.body(torch.cat([self.answer.expand(len(x), 1, -1), x], 1))[:, 0]
        return self.head(x.detach() if self.cut else x)


class Periodic(nn.Module):
    """Sines of each feature before a plain network (Gorishniy et al. 2022)."""

    def __init__(
        self, inputs: int, outputs: int, waves: int = 8, sigma: float = 0.2, width: int = 64, act: Any = nn.ReLU
    ):
        super().__init__()
        self.frequency = nn.Parameter(sigma * torch.randn(inputs, waves))
        self.each = nn.Parameter(torch.randn(inputs, 2 * waves, 4) / (2 * waves) ** 0.5)
        self.net = nn.Sequential(
            nn.Linear(4 * inputs, width), act(), nn.Linear(width, width), act(), nn.Linear(width, outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        angle = 2 * math.pi * x[..., None] * self.frequency
        x = torch.einsum("nfw,fwd->nfd", torch.cat([angle.sin(), angle.cos()], 2), self.each)
        return self.net(x.flatten(1))


class Chooser(nn.Module):
    """Steps that each look at some features only (TabNet; Arik and Pfister 2021), masks by softmax."""

    def __init__(
        self, inputs: int, outputs: int, width: int = 24, looks: int = 3, norm: bool = True, temperature: float = 1.0
    ) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(inputs) if norm else nn.Identity()
        self.shared = nn.Linear(inputs, 2 * width)
        self.own = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(looks))
        self.mask = nn.ModuleList(nn.Linear(width, inputs) for _ in range(looks))
        self.out = nn.Linear(width, outputs)
        self.temperature = temperature

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        prior, total = torch.ones_like(x), 0.0
        h = F.glu(self.shared(x), 1)
        for own, mask in zip(self.own, self.mask, strict=True):
            weights = (mask(h) / self.temperature).softmax(1) * prior
            prior = prior * (1.3 - weights)
            h = F.glu(self.shared(weights * x * x.shape[1]), 1)
            h = (h + F.glu(own(h), 1)) * 0.5**0.5
            total = total + F.relu(h)
        return self.out(total)


class SelfNormed(nn.Module):
    """SELU, weights by LeCun's rule, alpha dropout (Klambauer et al. 2017)."""

    def __init__(
        self, inputs: int, outputs: int, width: int = 32, depth: int = 6, dropout: float = 0.05, gain: float = 1.0
    ):
        super().__init__()
        sizes = [inputs] + [width] * depth
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.drop = nn.AlphaDropout(dropout)
        self.out = nn.Linear(width, outputs)
        for layer in self.layers:
            nn.init.normal_(layer.weight, 0.0, gain * layer.in_features**-0.5)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.drop(F.selu(layer(x)))
        return self.out(x)


class Boosted(nn.Module):
    """Small networks, each of which adds to those before it; all are trained at once (GrowNet, jointly)."""

    def __init__(self, inputs: int, outputs: int, weak: int = 4, width: int = 16, act: Any = torch.tanh) -> None:
        super().__init__()
        self.first = nn.ModuleList(nn.Linear(inputs + (width if i else 0), width) for i in range(weak))
        self.second = nn.ModuleList(nn.Linear(width, outputs) for _ in range(weak))
        self.rate = nn.Parameter(torch.full((weak,), 0.5))
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        total, seen = 0.0, x
        for rate, first, second in zip(self.rate, self.first, self.second, strict=True):
            h = self.act(first(seen))
            total = total + rate * second(h)
            seen = torch.cat([x, h], 1)
        return total


healthy = healthy_of("trees", optimizer=adam(1e-2), steps=200, batch_size=64)
NUMBERS: dict[str, Any] = {
    "task": data.friedman,
    "inputs": 10,
    "outputs": 1,
    "loss": squared_error,
    "metric": explained,
}
TUMOURS: dict[str, Any] = {
    "task": data.cancer,
    "inputs": 30,
    "outputs": 1,
    "loss": binary_cross_entropy,
    "metric": binary_accuracy,
}
WINES: dict[str, Any] = {"task": data.wine, "inputs": 13, "outputs": 3, "batch_size": 20}

soft = healthy("soft-trees", 0.6, 0.0, network=SoftTrees, optimizer=adam(3e-2), **NUMBERS)
soft_wine = healthy("soft-trees-wine", 0.85, 0.4, network=SoftTrees, depth=2, optimizer=adagrad(0.1), **WINES)
tokens = healthy("tokens", 0.6, 0.0, network=Tokens, optimizer=adamw(5e-3), **NUMBERS)
tokens_tumours = healthy(
    "tokens-tumours",
    0.88,
    0.63,
    network=Tokens,
    layers=1,
    dropout=0.1,
    optimizer=warmed(adamw(5e-3), 20),
    **(TUMOURS | {"steps": 120}),
)
periodic = healthy("periodic", 0.6, 0.0, network=Periodic, optimizer=adamw(5e-3, weight_decay=0.01), **NUMBERS)
noisy = healthy(
    "periodic-noisy",
    0.3,
    0.0,
    network=Periodic,
    sigma=0.1,
    width=24,
    optimizer=one_cycle(adamw(1e-3), 8e-3, 200),
    **(NUMBERS | {"task": tasks.friedman_noisy}),
)
chooser = healthy("chooser", 0.85, 0.4, network=Chooser, optimizer=adam(1e-2), **WINES)
chooser_tumours = healthy("chooser-tumours", 0.88, 0.63, network=Chooser, width=32, optimizer=nadam(5e-3), **TUMOURS)
selu = healthy("self-normed", 0.6, 0.0, network=SelfNormed, optimizer=adam(3e-3), **NUMBERS)
boosted = healthy("boosted", 0.6, 0.0, network=Boosted, optimizer=sgd(0.1, momentum=0.9), **(NUMBERS | {"loss": huber}))

# Splits that are all or nothing from the start hardly move.
HARD_SPLITS = Fault(("saturation", "bad_init_large"), ("saturated_activation", "weights_too_large", "init_mismatch"))
# Steps of a given size do not get to targets in tens of thousands, and errors are far beyond what weights suit.
FAR = Fault(
    (*kinds.UNSCALED_TARGET.symptoms, "lr_too_low", "loss_activation_mismatch"),
    ("data_scale", "learning_rate_low", "learning_rate_high", "numeric_overflow"),
)

PROGRAMS = (
    soft,
    soft.but("hard-splits", HARD_SPLITS.at("split"), sharp=100.0),
    soft_wine,
    tokens,
    tokens.but("cut", kinds.DETACHED.at("body*"), cut=True),
    tokens_tumours,
    tokens_tumours.but("raw", kinds.UNSCALED, task=data.cancer_raw),
    periodic,
    periodic.but("rate-high", kinds.RATE_HIGH, optimizer=adamw(1.0)),
    periodic.but("targets-in-thousands", FAR, task=lambda: tasks.retargeted(data.friedman(), 5e3, 1.4e4)),
    noisy,
    chooser,
    chooser_tumours,
    selu,
    selu.but("gain", kinds.LARGE_WEIGHTS.at("layers*"), gain=6.0),
    boosted,
    boosted.but("decay", kinds.WEIGHT_DECAY, optimizer=sgd(0.1, momentum=0.9, weight_decay=0.5)),
)
