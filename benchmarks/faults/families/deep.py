"""Plain deep networks with less usual activations: SELU, softsign, Mish, PReLU, hard tanh, maxout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults.build import (
    adagrad,
    adam,
    adamw,
    annealed,
    biased,
    binary_accuracy,
    binary_cross_entropy,
    broadcast_error,
    constant,
    explained,
    he,
    lecun,
    nadam,
    normal,
    of_the_last,
    orthogonal,
    probability_accuracy,
    rmsprop,
    sgd,
    squared_error,
    xavier,
)
from benchmarks.faults.recipe import healthy_of

Function = Callable[[Tensor], Tensor]


class Deep(nn.Module):
    """Layers by name, functions between them, and if asked a normalisation without parameters."""

    def __init__(
        self,
        inputs: int = 64,
        outputs: int = 10,
        width: int = 64,
        depth: int = 6,
        act: Function | Callable[[], nn.Module] | None = F.selu,
        norm: bool = False,
        dropout: nn.Module | None = None,
        head: Function | None = None,
    ) -> None:
        super().__init__()
        for index in range(depth):
            self.add_module(f"fc{index + 1}", nn.Linear(width if index else inputs, width))
        self.out = nn.Linear(width, outputs)
        self.act = act() if isinstance(act, type) else act
        self.dropout, self.head = dropout, head
        self.depth, self.norm = depth, norm

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, outputs)."""
        for index in range(self.depth):
            x = self.get_submodule(f"fc{index + 1}")(x)
            x = F.layer_norm(x, x.shape[1:]) if self.norm else x
            x = self.act(x) if self.act is not None else x
            x = self.dropout(x) if self.dropout is not None else x
        y = self.out(x)
        return self.head(y) if self.head is not None else y


class Maxout(nn.Module):
    """The larger of two linear maps (Goodfellow et al. 2013)."""

    def __init__(self, inputs: int = 13, outputs: int = 3, width: int = 24, depth: int = 2) -> None:
        super().__init__()
        self.pairs = nn.ModuleList(nn.Linear(width if i else inputs, 2 * width) for i in range(depth))
        self.out = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, outputs)."""
        for pair in self.pairs:
            x = torch.maximum(*pair(x).chunk(2, 1))
        return self.out(x)


healthy = healthy_of("deep", network=Deep, task=data.digits, optimizer=adam(1e-3))
FRIEDMAN: dict[str, Any] = {
    "inputs": 10,
    "outputs": 1,
    "task": data.friedman,
    "loss": squared_error,
    "metric": explained,
}
TUMOURS: dict[str, Any] = {
    "inputs": 30,
    "outputs": 1,
    "task": data.cancer,
    "loss": binary_cross_entropy,
    "metric": binary_accuracy,
}

selu = healthy(
    "selu-16", 0.85, chance=0.1, depth=16, draw=lecun, dropout=nn.AlphaDropout(0.02), optimizer=sgd(0.03, momentum=0.9)
)
softsign = healthy("softsign-6", 0.85, chance=0.1, act=F.softsign, draw=xavier, optimizer=adam(3e-3))
mish = healthy("mish-8-nadam", 0.85, chance=0.1, act=F.mish, depth=8, draw=he, optimizer=nadam(1e-3))
prelu = healthy("prelu-12", 0.85, chance=0.1, act=nn.PReLU, depth=12, draw=he, optimizer=annealed(adamw(2e-3), 150))
hard = healthy(
    "hard-tanh-10", 0.8, chance=0.1, act=F.hardtanh, depth=10, draw=orthogonal, optimizer=rmsprop(5e-4), batch_size=32
)
normed = healthy(
    "layer-norm-relu6-8", 0.8, chance=0.1, act=F.relu6, depth=8, norm=True, draw=he, optimizer=adagrad(1e-2)
)
friedman = healthy(
    "friedman-celu-4", 0.6, chance=0.0, depth=4, act=F.celu, optimizer=adamw(3e-3, weight_decay=0.1), **FRIEDMAN
)
friedman_soft = healthy(
    "friedman-softplus-3",
    0.55,
    chance=0.0,
    depth=3,
    act=F.softplus,
    width=32,
    draw=xavier,
    optimizer=nadam(5e-3),
    **FRIEDMAN,
)
tumours = healthy(
    "tumours-hardswish-5",
    0.88,
    chance=0.63,
    depth=5,
    act=F.hardswish,
    optimizer=sgd(0.1, momentum=0.9, nesterov=True),
    steps=100,
    **TUMOURS,
)
maxout = healthy(
    "wine-maxout", 0.85, chance=0.4, network=Maxout, task=data.wine, optimizer=adam(5e-3), batch_size=16, steps=80
)

ALL = ("fc*",)

PROGRAMS = (
    selu,
    selu.but("he-weights-100", kinds.RANK_COLLAPSE.at("*"), depth=100, act=F.relu, dropout=None, draw=he),
    selu.but("momentum-high", kinds.RATE_HIGH, optimizer=sgd(0.3, momentum=0.99)),
    softsign,
    softsign.but("unit-normal", kinds.SATURATED.at(*ALL), draw=normal(3.0)),
    mish,
    mish.but("small", kinds.SMALL_WEIGHTS.at("*"), draw=normal(0.01)),
    mish.but("out-only", kinds.WRONG_PARAMETERS.at(*ALL), optimizer=of_the_last(nadam(1e-3), 2)),
    prelu,
    prelu.but("alike", kinds.SYMMETRIC.at("*"), draw=constant(0.03)),
    prelu.but("eighty-digits", kinds.OVERFITTING, task=lambda: data.digits().first(80), watched=150),
    hard,
    hard.but("sigmoid", kinds.SIGMOID_DEPTH.at(*ALL), act=torch.sigmoid),
    hard.but("half-noise", kinds.SHUFFLED_LABELS, task=lambda: data.digits().noisy(0.95, 10), watched=150),
    normed,
    normed.but("dead", kinds.DEAD_BY_BIAS.at("fc3"), change=biased(-30.0, "fc3"), norm=False),
    friedman,
    friedman.but("mixed-units", kinds.UNSCALED, task=data.friedman_mixed),
    friedman.but("no-activation", kinds.LINEAR, act=None),
    friedman.but("softmax-of-one", kinds.WRONG_HEAD, head=lambda y: y.softmax(1)),
    friedman_soft,
    friedman_soft.but("broadcast", kinds.WRONG_HEAD, loss=broadcast_error),
    tumours,
    tumours.but("sigmoid-twice", kinds.WRONG_HEAD, head=torch.sigmoid, metric=probability_accuracy),
    tumours.but("rate-low", kinds.RATE_LOW, optimizer=sgd(1e-6, momentum=0.9)),
    maxout,
)
