"""Networks whose answer does not depend on the order of what they are given: pools and attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import kinds
from benchmarks.faults import tasks_third as tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    constant,
    explained,
    lion,
    nadam,
    norm_clipped,
    of_a_copy,
    of_the_last,
    sgd,
    squared_error,
    warmed,
)
from benchmarks.faults.recipe import healthy_of

POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda h: h.mean(1),
    "max": lambda h: h.amax(1),
    "sum": lambda h: h.sum(1) / tasks.POINTS**0.5,
    "soft": lambda h: h.logsumexp(1),
}


class DeepSets(nn.Module):
    """Each point by itself, all together, and then the whole (Zaheer et al. 2017)."""

    def __init__(
        self,
        inputs: int = 2,
        outputs: int = 4,
        width: int = 64,
        depth: int = 2,
        pool: str = "mean",
        act: Callable[[Tensor], Tensor] = F.relu,
        cut: bool = False,
        softmax: bool = False,
    ) -> None:
        super().__init__()
        self.each = nn.ModuleList(nn.Linear(width if i else inputs, width) for i in range(depth))
        self.whole = nn.Linear(width, width)
        self.head = nn.Linear(width, outputs)
        self.pool, self.act, self.cut, self.softmax = POOLS[pool], act, cut, softmax

    def forward(self, x: Tensor) -> Tensor:
        """(batch, points, inputs) to (batch, outputs)."""
        for layer in self.each:
            x = self.act(layer(x))
        h = self.pool(x)
        h = self.act(self.whole(h.detach() if self.cut else h))
        y = self.head(h)
        return y.softmax(1) if self.softmax else y


class PointNet(nn.Module):
    """A small network tells how to turn the cloud; then shared layers and the largest of each (Qi et al. 2017)."""

    def __init__(self, width: int = 32, norm: bool = True) -> None:
        super().__init__()
        self.turn = DeepSets(2, 4, 16, 1, "max")
        nn.init.zeros_(self.turn.head.weight)
        nn.init.zeros_(self.turn.head.bias)
        self.one, self.two = nn.Conv1d(2, width, 1), nn.Conv1d(width, 2 * width, 1)
        self.norm_one = nn.BatchNorm1d(width) if norm else nn.Identity()
        self.norm_two = nn.BatchNorm1d(2 * width) if norm else nn.Identity()
        self.head = nn.Linear(2 * width, 4)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, points, 2) to logits."""
        x = x @ (self.turn(x).unflatten(1, (2, 2)) + torch.eye(2))
        h = F.relu(self.norm_one(self.one(x.mT)))
        h = F.relu(self.norm_two(self.two(h)))
        return self.head(h.amax(2))


class SetTransformer(nn.Module):
    """Points look at each other, and seeds that are learnt gather them (Lee et al. 2019)."""

    def __init__(
        self,
        inputs: int = 2,
        outputs: int = 4,
        width: int = 32,
        blocks: int = 2,
        norm: bool = True,
        shared: bool = False,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(Look(width, norm) for _ in range(1 if shared else blocks))
        self.times = blocks
        self.seed = nn.Parameter(0.1 * torch.randn(1, 1, width))
        self.gather = Look(width, norm)
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, points, inputs) to (batch, outputs)."""
        h = self.embed(x)
        for index in range(self.times):
            h = self.blocks[index % len(self.blocks)](h, h)
        return self.head(self.gather(self.seed.expand(len(x), 1, -1), h)[:, 0])


class Look(nn.Module):
    """Some points look at others, then each thinks by itself."""

    def __init__(self, width: int, norm: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.first = nn.LayerNorm(width) if norm else nn.Identity()
        self.second = nn.LayerNorm(width) if norm else nn.Identity()
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, q: Tensor, x: Tensor) -> Tensor:
        """(batch, looking, width) to the same."""
        h = self.first(q + self.attention(q, x, x, need_weights=False)[0])
        return self.second(h + self.down(F.relu(self.up(h))))


healthy = healthy_of("sets", network=DeepSets, task=tasks.clouds, optimizer=adam(5e-3), steps=300)
SPREAD: dict[str, Any] = {
    "inputs": 1,
    "outputs": 1,
    "task": tasks.spreads,
    "loss": squared_error,
    "metric": explained,
}

averaged = healthy("mean", 0.6, 0.25, depth=3)
largest = healthy("max-sgd", 0.62, 0.25, pool="max", act=F.gelu, optimizer=sgd(0.1, momentum=0.9, nesterov=True))
spread = healthy("spread-sum", 0.7, 0.0, pool="sum", act=torch.tanh, optimizer=nadam(3e-3), **SPREAD)
spread_soft = healthy("spread-logsumexp", 0.7, 0.0, pool="soft", act=F.silu, optimizer=adamw(5e-3), **SPREAD)
pointnet = healthy("pointnet", 0.68, 0.25, network=PointNet, optimizer=adamw(5e-3), steps=150)
transformer = healthy(
    "set-transformer", 0.63, 0.25, network=SetTransformer, optimizer=warmed(adam(3e-3), 20), batch_size=32, steps=150
)
spread_look = healthy(
    "spread-set-transformer-shared",
    0.7,
    0.0,
    network=SetTransformer,
    shared=True,
    batch_size=32,
    optimizer=norm_clipped(lion(5e-4), 1.0),
    steps=150,
    **SPREAD,
)

PROGRAMS = (
    averaged,
    averaged.but("each-detached", kinds.DETACHED.at("each*"), cut=True, width=16),
    largest,
    spread,
    spread.but("head-only", kinds.WRONG_PARAMETERS.at("each*", "whole"), optimizer=of_the_last(nadam(3e-3), 2)),
    spread_soft,
    spread_soft.but("alike", kinds.SYMMETRIC.at("each*", "whole", "head"), draw=constant(0.05)),
    pointnet,
    pointnet.but("copy", kinds.WRONG_PARAMETERS, optimizer=of_a_copy(adamw(5e-3))),
    transformer,
    transformer.but("rate-high", kinds.RATE_HIGH, optimizer=adam(0.5)),
    spread_look,
)
