"""Frozen networks that were trained before, adapted to other digits by low-rank updates, adapters or a new head."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faults import data, kinds
from benchmarks.faults.build import (
    Chain,
    Change,
    Optimize,
    adam,
    adamw,
    experiment,
    minibatches,
    of_a_copy,
    of_the_first,
    sgd,
)
from benchmarks.faults.program import Program
from headwater.demo import cross_entropy
from headwater.records import Experiment

USUAL = adam(1e-2)

PRETRAINING_STEPS = 150
PRETRAINING_RATE = 2e-3
WIDTH, CLASSES = 64, 5


class LowRank(nn.Module):
    """W x + scale · B A x, with W frozen, A at random and B at zero (Hu et al. 2021)."""

    def __init__(self, base: nn.Linear, rank: int, scale: float, dropout: float, recipe: dict[str, Any]) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down, self.up = (
            nn.Linear(base.in_features, rank, bias=False),
            nn.Linear(rank, base.out_features, bias=False),
        )
        self.drop, self.scale = nn.Dropout(dropout), scale
        recipe["draw_down"](self.down.weight)
        recipe["draw_up"](self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, outputs)."""
        return self.base(x) + self.scale * self.up(self.down(self.drop(x)))


class Bottleneck(nn.Module):
    """x + up(act(down(x))) behind a frozen layer, up at zero (Houlsby et al. 2019)."""

    def __init__(self, base: nn.Module, width: int, rank: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down, self.act, self.up = nn.Linear(width, rank), nn.GELU(), nn.Linear(rank, width)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width) to the same."""
        x = self.base(x)
        return x + self.up(self.act(self.down(x)))


@cache
def pretrained(depth: int, activation: Callable[[], nn.Module]) -> nn.Sequential:
    """A network that tells the digits 0 to 4; trained once per process, from one seed."""
    states = torch.get_rng_state()
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(64, WIDTH), activation()]
    network = nn.Sequential(*layers, nn.Linear(WIDTH, CLASSES))
    optimizer = torch.optim.Adam(network.parameters(), lr=PRETRAINING_RATE)
    step = 0
    while step < PRETRAINING_STEPS:
        for batch in minibatches(data.low_digits().train, 64):
            optimizer.zero_grad()
            cross_entropy(network, batch).backward()
            optimizer.step()
            step += 1
    torch.set_rng_state(states)
    return network.requires_grad_(False)


def he_uniform(weight: Tensor) -> None:
    """As the reference implementation draws A."""
    nn.init.kaiming_uniform_(weight, a=5**0.5)


def adapted(
    digits: Callable[[], data.Split] = data.high_digits,
    kind: str = "low-rank",
    depth: int = 2,
    activation: Callable[[], nn.Module] = nn.ReLU,
    rank: int = 4,
    scale: float = 2.0,
    dropout: float = 0.0,
    new_head: bool = False,
    cut: bool = False,
    draw_down: Callable[[Tensor], Any] = he_uniform,
    draw_up: Callable[[Tensor], Any] = nn.init.zeros_,
    optimizer: Optimize = USUAL,
    batch_size: int = 64,
    change: Change | None = None,
) -> Experiment:
    """A network for the digits 0 to 4, adapted to 5 to 9.

    Args:
        digits: What it is adapted to.
        kind: ``low-rank``, ``bottleneck`` or ``probe``, which has nothing but a new head.
        depth: Hidden layers of the network.
        activation: In it.
        rank: Of the update.
        scale: Its factor.
        dropout: Before it.
        new_head: Whether the last layer is new and trained; it always is for a probe.
        cut: Whether the graph is cut off before the last layer.
        draw_down: How A is drawn.
        draw_up: How B is drawn.
        optimizer: Of what is not frozen.
        batch_size: Samples per step.
        change: What is done to the finished network.
    """
    recipe = {"draw_down": draw_down, "draw_up": draw_up}

    def model() -> nn.Module:
        network = copy.deepcopy(pretrained(depth, activation))
        hidden = [index for index, layer in enumerate(network) if isinstance(layer, nn.Linear)][:-1]
        if kind == "low-rank":
            for index in [*hidden, *([] if new_head else [len(network) - 1])]:
                network[index] = LowRank(network[index], rank, scale, dropout, recipe)
        if kind == "bottleneck":
            for index in hidden:
                network[index + 1] = Bottleneck(network[index + 1], WIDTH, rank)
        if new_head or kind != "low-rank":
            network[len(network) - 1] = nn.Linear(WIDTH, CLASSES)
        return Chain(*network, cut=len(network) - 1) if cut else network

    return experiment(model, digits(), optimizer, batch_size=batch_size, change=change)


def healthy(name: str, learns: float, steps: int = 120, watched: int = 40, **recipe: Any) -> Program:
    """A healthy program of this family."""
    return Program(
        f"lora/{name}", "lora", partial(adapted, **recipe), steps=steps, watched=watched, chance=0.2, learns=learns
    )


def adapters_frozen(model: nn.Module) -> None:
    """Freeze whatever is an adapter, which leaves the head."""
    for module in model.modules():
        if isinstance(module, LowRank):
            module.requires_grad_(False)


low_rank = healthy("low-rank", 0.85)
low_rank_tanh = healthy("low-rank-tanh-adamw", 0.85, depth=3, activation=nn.Tanh, rank=8, optimizer=adamw(1e-2))
with_head = healthy("low-rank-new-head", 0.85, new_head=True, dropout=0.1, optimizer=adam(5e-3))
bottleneck = healthy("bottleneck", 0.85, kind="bottleneck", rank=8, activation=nn.GELU, optimizer=adam(5e-3))
probe = healthy("probe", 0.75, kind="probe", optimizer=adam(1e-2))
probe_sgd = healthy("probe-sgd", 0.75, kind="probe", depth=1, optimizer=sgd(0.1, momentum=0.9))

ADAPTERS = ("*.down", "*.up")

PROGRAMS = (
    low_rank,
    low_rank.but("both-zero", kinds.ZEROS.at(*ADAPTERS), draw_down=nn.init.zeros_),
    low_rank.but("rate-low", kinds.RATE_LOW, optimizer=adam(1e-7)),
    low_rank.but("scale-large", kinds.RATE_HIGH, scale=2000.0),
    low_rank_tanh,
    low_rank_tanh.but("copy", kinds.WRONG_PARAMETERS, optimizer=of_a_copy(adamw(1e-2))),
    low_rank_tanh.but("rate-high", kinds.RATE_HIGH, optimizer=adamw(3.0)),
    with_head,
    with_head.but("dropout", kinds.DROPOUT.at("*.drop"), dropout=0.999),
    with_head.but("detached", kinds.DETACHED.at(*ADAPTERS), cut=True),
    with_head.but("adapters-frozen", kinds.FROZEN.at(*ADAPTERS), change=adapters_frozen),
    with_head.but(
        "labels-shuffled", kinds.SHUFFLED_LABELS, digits=lambda: data.high_digits().shuffled_targets(), watched=120
    ),
    bottleneck,
    bottleneck.but(
        "first-only", kinds.WRONG_PARAMETERS.at("*.down", "*.up", "4"), optimizer=of_the_first(adam(5e-3), 2)
    ),
    bottleneck.but("ten-samples", kinds.OVERFITTING, digits=lambda: data.high_digits().first(15), watched=120),
    probe,
    probe.but("weight-decay", kinds.WEIGHT_DECAY, optimizer=adam(1e-2, weight_decay=10.0)),
    probe_sgd,
    probe_sgd.but("rate-low", kinds.RATE_LOW, optimizer=sgd(1e-6, momentum=0.9)),
)
