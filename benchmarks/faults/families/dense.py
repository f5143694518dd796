"""Ways around layers other than a sum: highways, concatenation (DenseNet), squeezing (SE), fire modules, branches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults.build import (
    adam,
    adamw,
    constant,
    frozen,
    he,
    log_of_probabilities,
    nadam,
    normal,
    of_a_copy,
    rmsprop,
    sgd,
)
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of


class Highway(nn.Module):
    """t · act(Wx) + (1 - t) · x, with a gate t that starts nearly shut (Srivastava et al. 2015)."""

    def __init__(
        self,
        depth: int = 12,
        width: int = 48,
        start: float = -1.0,
        act: Callable[[Tensor], Tensor] = F.relu,
        gated: bool = True,
        cut: int | None = None,
    ) -> None:
        super().__init__()
        self.lift = nn.Linear(64, width)
        self.maps = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.gates = nn.ModuleList(nn.Linear(width, width) for _ in range(depth if gated else 0))
        self.logits = nn.Linear(width, 10)
        self.act, self.cut = act, cut
        for gate in self.gates:
            nn.init.constant_(gate.bias, start)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 64) to logits."""
        x = self.lift(x)
        for index, layer in enumerate(self.maps):
            y = self.act(layer(x))
            if len(self.gates):
                open_ = torch.sigmoid(self.gates[index](x))
                y = open_ * y + (1 - open_) * x
            x = y.detach() if index == self.cut else y
        return self.logits(x)


class Dense(nn.Module):
    """Each layer sees all before it (Huang et al. 2017), twice, with a step down between."""

    def __init__(
        self,
        growth: int = 8,
        layers: int = 3,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
        dropout: float = 0.0,
        probabilities: bool = False,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 2 * growth, 3, padding=1)
        channels = 2 * growth
        self.norms, self.convs = nn.ModuleList(), nn.ModuleList()
        for _ in range(2 * layers):
            self.norms.append(norm(channels))
            self.convs.append(nn.Conv2d(channels, growth, 3, padding=1, bias=False))
            channels += growth
        self.final = norm(channels)
        self.classify = nn.Linear(channels, 10)
        self.layers, self.dropout, self.probabilities = layers, dropout, probabilities

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, h, w) to logits."""
        x = self.stem(x)
        for index, (norm, conv) in enumerate(zip(self.norms, self.convs, strict=True)):
            if index == self.layers:
                x = F.avg_pool2d(x, 2)
            y = F.dropout(conv(F.relu(norm(x))), self.dropout, self.training)
            x = torch.cat([x, y], 1)
        y = self.classify(F.relu(self.final(x)).mean((2, 3)))
        return F.softmax(y, 1) if self.probabilities else y


class Squeezed(nn.Module):
    """Convolutions, each with its channels weighed by what the whole picture holds (Hu et al. 2018)."""

    def __init__(
        self, blocks: int = 3, width: int = 24, activation: Callable[[], nn.Module] = nn.Hardswish, hard: bool = False
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(blocks))
        self.norms = nn.ModuleList(nn.GroupNorm(4, width) for _ in range(blocks))
        self.down = nn.ModuleList(nn.Linear(width, width // 4) for _ in range(blocks))
        self.up = nn.ModuleList(nn.Linear(width // 4, width) for _ in range(blocks))
        self.activation, self.gate = activation(), nn.Hardsigmoid() if hard else nn.Sigmoid()
        self.classify = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, h, w) to logits."""
        x = self.stem(x)
        for conv, norm, down, up in zip(self.convs, self.norms, self.down, self.up, strict=True):
            y = norm(conv(x))
            weights = self.gate(up(F.relu(down(y.mean((2, 3))))))
            x = x + self.activation(y * weights[:, :, None, None])
        return self.classify(x.mean((2, 3)))


class Fire(nn.Module):
    """Squeeze to few channels, then expand by two kinds of convolutions side by side (Iandola et al. 2016)."""

    def __init__(
        self, modules: int = 3, width: int = 32, inplace: bool = True, norm: bool = False, cut: bool = False
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.squeeze = nn.ModuleList(nn.Conv2d(width, width // 4, 1) for _ in range(modules))
        self.small = nn.ModuleList(nn.Conv2d(width // 4, width // 2, 1) for _ in range(modules))
        self.large = nn.ModuleList(nn.Conv2d(width // 4, width // 2, 3, padding=1) for _ in range(modules))
        self.norm = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.relu, self.pool, self.drop = nn.ReLU(inplace=inplace), nn.MaxPool2d(2), nn.Dropout(0.2)
        self.classify, self.cut = nn.Conv2d(width, 10, 1), cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, h, w) to logits."""
        x = self.relu(self.stem(x))
        for index, (squeeze, small, large) in enumerate(zip(self.squeeze, self.small, self.large, strict=True)):
            y = self.relu(squeeze(x))
            x = self.relu(torch.cat([small(y), large(y)], 1))
            x = self.pool(x) if index == 1 else x
        x = self.norm(x)
        return self.classify(self.drop(x.detach() if self.cut else x)).mean((2, 3))


def never_moving(channels: int) -> nn.Module:
    """Batch normalisation whose running statistics hardly follow."""
    return nn.BatchNorm2d(channels, momentum=1e-5)


healthy = healthy_of("dense", network=Dense, task=data.images, optimizer=adam(3e-3), steps=100)
HIGHWAY: dict[str, Any] = {"network": Highway, "task": data.digits, "steps": 150}

highway = healthy("highway", 0.85, chance=0.1, optimizer=adam(3e-3), **HIGHWAY)
long_highway = healthy(
    "highway-30-tanh",
    0.6,
    chance=0.1,
    depth=30,
    start=-2.0,
    act=torch.tanh,
    optimizer=sgd(0.1, momentum=0.9),
    **HIGHWAY,
)
dense = healthy("dense", 0.85, chance=0.1)
dropped = healthy("dense-dropout-nadam", 0.8, chance=0.1, dropout=0.1, growth=12, optimizer=nadam(2e-3), batch_size=32)
grouped = healthy("dense-group-norm", 0.8, chance=0.1, norm=lambda width: nn.GroupNorm(4, width), optimizer=adamw(5e-3))
squeezed = healthy("squeezed", 0.8, chance=0.1, network=Squeezed, optimizer=adamw(5e-3, weight_decay=0.05))
hard = healthy(
    "squeezed-hard",
    0.7,
    chance=0.1,
    network=Squeezed,
    hard=True,
    activation=nn.ReLU,
    optimizer=rmsprop(1e-3),
    steps=200,
)
fire = healthy("fire", 0.7, chance=0.1, network=Fire, draw=he, optimizer=adam(5e-3), steps=150)
fire_norm = healthy(
    "fire-batch-norm", 0.7, chance=0.1, network=Fire, norm=True, inplace=False, optimizer=adamw(3e-3), steps=150
)

FIRE = ("stem", "squeeze*", "small*", "large*")
# Gates that are shut for good: nothing of a layer passes, and its slope is that of a sigmoid far out.
SHUT = Fault(("saturation", "vanishing", "bad_init_large", "bad_init_small"), ("saturated_activation", "init_mismatch"))


def squeezes_shut(model: Any) -> None:
    """Start all weights of channels at 0."""
    for up in model.up:
        nn.init.constant_(up.bias, -20.0)


PROGRAMS = (
    highway,
    highway.but("plain-sigmoid", kinds.SIGMOID_DEPTH.at("lift", "maps*"), act=torch.sigmoid, gated=False),
    long_highway,
    long_highway.but("plain-60", kinds.RANK_COLLAPSE.at("*"), act=F.relu, gated=False, depth=60, draw=he),
    long_highway.but("rate-low", kinds.RATE_LOW, optimizer=sgd(1e-6, momentum=0.9)),
    dense,
    dense.but("softmax-in-forward", kinds.SOFTMAX_TWICE, probabilities=True),
    dense.but("statistics-never-move", kinds.NORMALIZATION.at("norms*", "final"), norm=never_moving),
    dense.but("rate-high", kinds.RATE_HIGH, optimizer=adam(3.0)),
    dropped,
    dropped.but("copy", kinds.WRONG_PARAMETERS, optimizer=of_a_copy(nadam(2e-3))),
    grouped,
    grouped.but("convs-frozen", kinds.FROZEN.at("stem", "convs*"), change=frozen("stem", "convs")),
    grouped.but("alike", kinds.SYMMETRIC.at("stem", "convs*", "classify"), draw=constant(0.05)),
    grouped.but("double", kinds.DOUBLE, dropout=0.9, optimizer=adamw(5e-3, weight_decay=20.0)),
    squeezed,
    squeezed.but("weight-decay", kinds.WEIGHT_DECAY, optimizer=adamw(5e-3, weight_decay=100.0)),
    hard,
    hard.but("squeezes-shut", SHUT.at("up*", "down*", "gate", "convs*"), change=squeezes_shut),
    fire,
    fire.but("small", kinds.SMALL_WEIGHTS.at(*FIRE, "classify"), draw=normal(1e-3)),
    fire.but("rate-high", kinds.DEAD_BY_RATE, optimizer=sgd(3.0)),
    fire.but("bare-logarithm", kinds.NAN, loss=log_of_probabilities, draw=normal(1.0)),
    fire_norm,
    fire_norm.but("features-detached", kinds.DETACHED.at(*FIRE, "norm"), cut=True),
)
