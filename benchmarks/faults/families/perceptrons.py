"""Multilayer perceptrons as somebody writes them from a configuration: sizes, names of functions, an initialiser.

Marks by task, as :mod:`benchmarks.faults.tasks_fifth` has them.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_fifth as tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    biased,
    binary_accuracy,
    binary_cross_entropy,
    evaluating,
    forgetful,
    rmsprop,
    sgd,
)
from benchmarks.faults.recipe import healthy_of


class Maxout(nn.Module):
    """The larger of each two neighbours (Goodfellow et al. 2013)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, 2)).amax(-1).repeat_interleave(2, -1)


ACTIVATIONS = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "elu": nn.ELU,
    "prelu": nn.PReLU,
    "softsign": nn.Softsign,
    "softplus": nn.Softplus,
    "maxout": Maxout,
    "linear": nn.Identity,
}


def initialise(module: nn.Module, how: str) -> None:
    """What ``model.apply`` is given; ``how`` is a name or the spread of a normal distribution."""
    if not isinstance(module, nn.Linear):
        return
    if how == "xavier_uniform":
        nn.init.xavier_uniform_(module.weight)
    elif how == "kaiming":
        nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
    elif how == "orthogonal":
        nn.init.orthogonal_(module.weight, gain=math.sqrt(2))
    elif how == "uniform":
        nn.init.uniform_(module.weight, -1.0, 1.0)
    elif how == "zeros":
        nn.init.zeros_(module.weight)
    elif how == "ones":
        nn.init.constant_(module.weight, 0.1)
    else:
        nn.init.normal_(module.weight, std=float(how))
    nn.init.zeros_(module.bias)


class MLP(nn.Module):
    """``fc1``, ``act1``, ``fc2``, ... and ``out``."""

    def __init__(
        self,
        sizes: Sequence[int] = (64, 128, 64, 32, 10),
        activation: str = "relu",
        init: str | None = None,
        bn: bool = False,
        p: float = 0.0,
        output: str = "linear",
    ) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for i in range(1, len(sizes) - 1):
            layers[f"fc{i}"] = nn.Linear(sizes[i - 1], sizes[i])
            if bn:
                layers[f"bn{i}"] = nn.BatchNorm1d(sizes[i])
            layers[f"act{i}"] = ACTIVATIONS[activation]()
            if p > 0:
                layers[f"drop{i}"] = nn.Dropout(p)
        layers["out"] = nn.Linear(sizes[-2], sizes[-1])
        if output == "softmax":
            layers["softmax"] = nn.Softmax(dim=-1)
        elif output != "linear":
            layers[output] = ACTIVATIONS[output]()
        self.net = nn.Sequential(layers)
        if init is not None:
            self.apply(lambda module: initialise(module, init))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def deep(depth: int, width: int = 64, inputs: int = 64, outputs: int = 10) -> tuple[int, ...]:
    """Sizes of a network of so many hidden layers of one width."""
    return (inputs, *[width] * depth, outputs)


def fc(*numbers: int) -> tuple[str, ...]:
    """Names of layers and of what follows them."""
    return tuple(f"net.{part}{number}" for number in numbers for part in ("fc", "act"))


healthy = healthy_of("perceptrons", network=MLP, task=data.digits, optimizer=adam(1e-3), steps=200)
BINARY: dict[str, Any] = {"loss": binary_cross_entropy, "metric": binary_accuracy}
TUMOURS: dict[str, Any] = {"task": data.cancer, **BINARY}
BOARD: dict[str, Any] = {"task": tasks.board, **BINARY}
CUSTOMERS: dict[str, Any] = {"task": tasks.customers, "batch_size": 100}

taper = healthy("digits-taper", 0.8, 0.1)
lecun = healthy(
    "digits-tanh-xavier", 0.8, 0.1, activation="tanh", init="xavier_uniform", sizes=deep(4, 100), optimizer=sgd(0.1)
)
relu6 = healthy(
    "digits-relu6-orthogonal-12", 0.8, 0.1, activation="relu6", init="orthogonal", sizes=deep(12), optimizer=adam(5e-4)
)
maxout = healthy("digits-maxout", 0.8, 0.1, activation="maxout", sizes=deep(2, 80), optimizer=sgd(0.05, momentum=0.9))
unscaled_ink = healthy(
    "ink-normal-sgd", 0.8, 0.1, task=tasks.ink, init="0.1", sizes=(64, 300, 100, 10), optimizer=sgd(0.5), steps=250
)
rings = healthy(
    "rings-sigmoid", 0.85, 0.34, task=tasks.rings, activation="sigmoid", sizes=(2, 24, 3), optimizer=adam(0.05)
)
board = healthy(
    "board-elu", 0.8, 0.55, activation="elu", sizes=(2, 40, 40, 40, 1), optimizer=adam(0.01), steps=500, **BOARD
)
normed = healthy("digits-batch-norm-14", 0.8, 0.1, bn=True, sizes=deep(14, 48), optimizer=adam(2e-3))
groups = healthy("customers-batch-norm", 0.65, 0.22, sizes=(20, 64, 64, 5), bn=True, optimizer=adamw(5e-3), **CUSTOMERS)
plain = healthy("customers-momentum", 0.65, 0.22, sizes=(20, 150, 5), optimizer=sgd(0.05, momentum=0.9), **CUSTOMERS)
wine = healthy(
    "wine-prelu",
    0.85,
    0.4,
    task=data.wine,
    activation="prelu",
    sizes=(13, 20, 20, 3),
    batch_size=20,
    optimizer=sgd(0.05),
)
tumours = healthy(
    "tumours-softsign", 0.88, 0.65, activation="softsign", sizes=(30, 24, 12, 1), optimizer=rmsprop(2e-3), **TUMOURS
)
softplus = healthy("digits-softplus-dropout", 0.8, 0.1, activation="softplus", sizes=deep(2, 200), p=0.3)

PROGRAMS = (
    taper,
    taper.but("sigmoid-9", kinds.SIGMOID_DEPTH.at(*fc(*range(1, 8))), activation="sigmoid", sizes=deep(9)),
    taper.but("normal-hundredth", kinds.SMALL_WEIGHTS.at("net.*"), init="0.01", sizes=deep(6)),
    taper.but("most-labels-drawn-anew", kinds.SHUFFLED_LABELS, task=lambda: data.digits().noisy(0.8, 10), watched=200),
    lecun,
    lecun.but("uniform", kinds.SATURATED.at("net.*"), init="uniform", sizes=deep(4, 100)),
    relu6,
    relu6.but("relu-large", kinds.LARGE_WEIGHTS.at("net.*"), init="0.8", activation="relu"),
    maxout,
    maxout.but("never-zeroed", kinds.NEVER_ZEROED, optimizer=forgetful(sgd(0.05, momentum=0.9))),
    unscaled_ink,
    rings,
    rings.but("linear", kinds.LINEAR, activation="linear", sizes=(2, 24, 24, 3)),
    board,
    board.but("sigmoid-twice", kinds.SOFTMAX_TWICE.at("net.sigmoid", "net.out"), output="sigmoid", optimizer=sgd(0.05)),
    groups,
    normed,
    normed.but("left-in-eval", kinds.NORMALIZATION.at("net.bn*"), change=evaluating),
    plain,
    plain.but("as-exported", kinds.UNSCALED, task=tasks.customers_as_exported),
    wine,
    tumours,
    tumours.but("dead", kinds.DEAD_BY_BIAS.at(*fc(1)), activation="relu", change=biased(-60.0, "net.fc1")),
    softplus,
)
