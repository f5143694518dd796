"""The networks lessons are run on: plain chains, and what they are initialised with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import nn

from headwater.api import apply
from headwater.theory import ACTIVATIONS


def chain(
    sizes: Sequence[int], activation: str = "relu", init: str | None = None, *, seed: int = 0, output: str | None = None
) -> nn.Sequential:
    """Linear layers with an activation between each two, a plain network as in the lectures.

    Args:
        sizes: Units of the input, of each hidden layer and of the output.
        activation: Id of the hidden activation.
        init: Id of the remedy that draws the weights (``"init.he"``); PyTorch's default if ``None``.
        seed: Of the weights.
        output: Id of an activation after the last layer.
    """
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), made(activation)]
    layers[-1:] = [made(output)] if output else []
    model = nn.Sequential(*layers)
    return model if init is None else cast(nn.Sequential, apply(model, init, seed=seed))


def deep(depth: int, width: int = 64, inputs: int = 64, outputs: int = 10) -> list[int]:
    """Sizes of a network of ``depth`` linear layers of one width, for digits unless told otherwise."""
    return [inputs, *[width] * (depth - 1), outputs]


def made(activation: str) -> nn.Module:
    """A module that computes an activation of the table."""
    entry = ACTIVATIONS[activation]
    module: nn.Module = getattr(nn, entry.modules[0])(**entry.arguments)
    return module


def changed(model: nn.Sequential, remedies: str | Sequence[str], seed: int = 0) -> nn.Sequential:
    """A chain with remedies applied, which is a chain still."""
    return cast(nn.Sequential, apply(model, remedies, seed=seed))


def linear(model: nn.Sequential, place: int) -> nn.Linear:
    """The linear layer at a place of a chain."""
    return cast(nn.Linear, model[place])
