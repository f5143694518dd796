"""The network that a sweep trains where no other is named: plain, deep, with weights and biases of a given variance."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import nn

from headwater.demo import accuracy, cross_entropy
from headwater.lessons import data
from headwater.records import Experiment, InputError
from headwater.sweeps.spec import unknown
from headwater.theory import ACTIVATIONS

DATA = {"digits": data.digits, "circles": data.circles, "moons": data.moons, "breast_cancer": data.breast_cancer}
OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}


def plain_network(
    depth: int = 20,
    width: int = 64,
    activation: str = "tanh",
    sigma_w: float = 1.0,
    sigma_b: float = 0.0,
    data: str = "digits",
    optimizer: str = "sgd",
    learning_rate: float = 0.01,
    batch_size: int = 64,
) -> Experiment:
    """Linear layers with an activation between each two; W_ij ~ N(0, σ_w²/fan_in), b_i ~ N(0, σ_b²).

    Args:
        depth: Number of hidden layers.
        width: Units of each.
        activation: Id in the table of activations.
        sigma_w: Standard deviation of √fan_in · W.
        sigma_b: Standard deviation of the biases.
        data: ``digits``, ``circles``, ``moons`` or ``breast_cancer``.
        optimizer: ``sgd``, ``adam`` or ``rmsprop``.
        learning_rate: Its rate.
        batch_size: Samples of a step.

    Raises:
        InputError: If a setting is none of these.
    """
    for name, value, known in (
        ("activation", activation, list(ACTIVATIONS)),
        ("data", data, list(DATA)),
        ("optimizer", optimizer, list(OPTIMIZERS)),
    ):
        if value not in known:
            raise InputError(unknown(name, value, known))
    for name, number in (("depth", depth), ("width", width), ("batch_size", batch_size)):
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise InputError(f"{name} counts: a whole number from 1, got {number!r}.")
    for name, spread in (("sigma_w", sigma_w), ("sigma_b", sigma_b), ("learning_rate", learning_rate)):
        if not isinstance(spread, (int, float)) or isinstance(spread, bool) or not 0 <= spread < math.inf:
            raise InputError(f"{name} is a number from 0, got {spread!r}.")
    split = DATA[data]()
    sizes = [split.x.shape[1], *[width] * depth, int(split.y.max()) + 1]
    return Experiment(
        model=lambda: _network(sizes, activation, sigma_w, sigma_b),
        batches=lambda: [
            (split.x[rows], split.y[rows])
            for rows in torch.randperm(len(split.x)).split(batch_size)
            if len(rows) == min(batch_size, len(split.x))
        ],
        loss=cross_entropy,
        optimizer=lambda parameters: OPTIMIZERS[optimizer](parameters, lr=learning_rate),
        validation=lambda: [(split.test_x, split.test_y)],
        metric=accuracy,
        metric_name="accuracy",
    )


def _network(sizes: list[int], activation: str, sigma_w: float, sigma_b: float) -> nn.Sequential:
    entry = ACTIVATIONS[activation]
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        linear = nn.Linear(fan_in, fan_out)
        nn.init.normal_(linear.weight, std=sigma_w / math.sqrt(fan_in))
        nn.init.normal_(linear.bias, std=sigma_b)
        layers += [linear, getattr(nn, entry.modules[0])(**entry.arguments)]
    return nn.Sequential(*layers[:-1])
