"""Networks on graphs with dense adjacency matrices: each node says which group it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faults import kinds, tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    constant,
    he,
    of_the_last,
    sgd,
    token_accuracy,
    token_cross_entropy,
)
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of

NODES, FEATURES, GROUPS = tasks.NODES, tasks.FEATURES, tasks.GROUPS


def averaged(edges: Tensor) -> Tensor:
    """D^-1/2 (A + I) D^-1/2 (Kipf and Welling 2016)."""
    known = edges + torch.eye(NODES)
    root = known.sum(2).rsqrt()
    return root[:, :, None] * known * root[:, None, :]


def summed(edges: Tensor) -> Tensor:
    """A + I, whose largest eigenvalue is about a node's degree."""
    return edges + torch.eye(NODES)


def divided(edges: Tensor) -> Tensor:
    """D^-1 A: a node that knows nobody is divided by 0."""
    return edges / edges.sum(2, keepdim=True)


class Convolution(nn.Module):
    """Neighbours' features mixed, then a linear layer; beside it one of the node's own, if asked (GraphSAGE)."""

    def __init__(self, width: int, mix: Callable[[Tensor], Tensor], own: bool, attentive: bool) -> None:
        super().__init__()
        self.linear, self.mix = nn.Linear(width, width), mix
        self.own = nn.Linear(width, width) if own else None
        self.score = nn.Linear(width, 2) if attentive else None
        self.leak = nn.LeakyReLU(0.2)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        """(batch, nodes, width) and (batch, nodes, nodes) to (batch, nodes, width)."""
        y = self.linear(x)
        weights = self.mix(edges)
        if self.score is not None:  # Veličković et al. 2018
            one, other = self.score(y).unbind(2)
            scores = self.leak(one[:, :, None] + other[:, None, :])
            weights = scores.masked_fill(weights == 0, -torch.inf).softmax(2)
        y = weights @ y
        return y if self.own is None else y + self.own(x)


class Graph(nn.Module):
    """Nodes embedded, convolved, and classified one by one."""

    def __init__(
        self,
        depth: int = 2,
        width: int = 32,
        activation: Callable[[], nn.Module] | None = nn.ReLU,
        mix: Callable[[Tensor], Tensor] = averaged,
        norm: Callable[[int], nn.Module] | None = None,
        own: bool = False,
        attentive: bool = False,
        shortcut: bool = False,
        dropout: float = 0.0,
        cut: int | None = None,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(FEATURES, width)
        self.bodies = nn.ModuleList(Convolution(width, mix, own, attentive) for _ in range(depth))
        self.norms = nn.ModuleList(norm(width) if norm else nn.Identity() for _ in range(depth))
        self.acts = nn.ModuleList(activation() if activation else nn.Identity() for _ in range(depth))
        self.drop, self.head = nn.Dropout(dropout), nn.Linear(width, GROUPS)
        self.shortcut, self.cut = shortcut, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, nodes, nodes + features) to (batch, nodes, groups)."""
        edges, x = x[:, :, :NODES], self.embed(x[:, :, NODES:])
        for index, (body, norm, act) in enumerate(zip(self.bodies, self.norms, self.acts, strict=True)):
            x = x.detach() if index == self.cut else x
            y = self.drop(act(body(norm(x), edges)))
            x = x + y if self.shortcut else y
        return self.head(x.detach() if self.cut == len(self.bodies) else x)


def hundredfold() -> Any:
    """The graphs with features in other units: hundreds, and far from 0."""

    def change(x: Tensor) -> Tensor:
        return torch.cat([x[:, :, :NODES], 300 * x[:, :, NODES:] + 1000], 2)

    return tasks.communities().map(change)


healthy = healthy_of(
    "graph",
    network=Graph,
    task=tasks.communities,
    loss=token_cross_entropy,
    metric=token_accuracy,
    optimizer=adam(5e-3),
    batch_size=32,
)

CHANCE = 0.36

averaging = healthy("averaging", 0.6, CHANCE)
sage = healthy("own-and-neighbours", 0.6, CHANCE, own=True, optimizer=sgd(0.1, momentum=0.9))
deep = healthy("shortcuts-8", 0.6, CHANCE, depth=8, shortcut=True, norm=nn.LayerNorm, optimizer=adamw(3e-3))
attentive = healthy("attention", 0.6, CHANCE, attentive=True, activation=nn.ELU, dropout=0.1)
summing = healthy("sums-normalised", 0.6, CHANCE, mix=summed, depth=3, norm=nn.LayerNorm)

BODIES = ("bodies*",)
GROWING = Fault(
    ("exploding", "bad_init_large", "overflow", "nonfinite"),
    ("weights_too_large", "init_mismatch", "numeric_overflow", "data_scale"),
)

PROGRAMS = (
    averaging,
    averaging.but("over-smoothed", kinds.RANK_COLLAPSE.at("*"), depth=24, draw=he),
    averaging.but("nobody-known", kinds.NAN_IN_DATA, mix=divided),
    sage,
    sage.but("features-raw", kinds.UNSCALED, task=hundredfold),
    sage.but("dropout", kinds.DROPOUT.at("drop"), dropout=0.97),
    sage.but("rate-high", kinds.RATE_HIGH, optimizer=sgd(10.0, momentum=0.9)),
    sage.but(
        "labels-shuffled", kinds.SHUFFLED_LABELS, task=lambda: tasks.communities().shuffled_targets(), watched=150
    ),
    deep,
    deep.but("detached", kinds.DETACHED.at("embed", "bodies*", "norms*"), cut=8),
    attentive,
    attentive.but("head-only", kinds.WRONG_PARAMETERS.at("embed", *BODIES), optimizer=of_the_last(adam(5e-3), 2)),
    attentive.but("constant", kinds.SYMMETRIC.at("*"), draw=constant(0.1)),
    summing,
    summing.but("growing", GROWING.at("embed", "head", *BODIES), norm=None, depth=16, draw=he),
)
