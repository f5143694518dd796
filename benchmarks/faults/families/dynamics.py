"""Motion learnt from paths: equations unrolled by Euler or Runge and Kutta, maps step by step, paths all at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import kinds
from benchmarks.faults import tasks_third as tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    huber,
    lion,
    norm_clipped,
    normal,
    one_cycle,
    rmsprop,
    squared_error,
)
from benchmarks.faults.recipe import healthy_of


class Equation(nn.Module):
    """How fast the state changes, integrated (Chen et al. 2018).

    Args:
        width: Of the hidden layers.
        depth: How many of them.
        act: Between them.
        method: ``euler`` or ``rk4``.
        step: Of time between two states.
        parts: That each step is taken in.
        last: Standard deviation of the last layer's weights.
        cut: Whether each step starts from a state cut off from those before.
    """

    def __init__(
        self,
        width: int = 32,
        depth: int = 2,
        act: Callable[[Tensor], Tensor] = torch.tanh,
        method: str = "euler",
        step: float = 0.3,
        parts: int = 2,
        last: float | None = 0.1,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width if i else 2, width) for i in range(depth))
        self.pace = nn.Linear(width, 2)
        self.act, self.method, self.step, self.parts, self.cut = act, method, step, parts, cut
        if last is not None:
            nn.init.normal_(self.pace.weight, 0.0, last)
            nn.init.zeros_(self.pace.bias)

    def changes(self, x: Tensor) -> Tensor:
        """(batch, 2) to the same."""
        for layer in self.layers:
            x = self.act(layer(x))
        return self.pace(x.detach() if self.cut else x)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 2) to (batch, steps, 2)."""
        path, h = [], self.step / self.parts
        for _ in range(tasks.STEPS):
            for _ in range(self.parts):
                if self.method == "euler":
                    x = x + h * self.changes(x)
                else:
                    a = self.changes(x)
                    b = self.changes(x + h / 2 * a)
                    c = self.changes(x + h / 2 * b)
                    d = self.changes(x + h * c)
                    x = x + h / 6 * (a + 2 * b + 2 * c + d)
            path.append(x)
        return torch.stack(path, 1)


class Koopman(nn.Module):
    """Into a space where one matrix moves all, and back (Lusch et al. 2018)."""

    def __init__(
        self, width: int = 32, hidden: int = 12, act: Callable[[Tensor], Tensor] = F.relu, near: float = 0.02
    ) -> None:
        super().__init__()
        self.into = nn.ModuleList([nn.Linear(2, width), nn.Linear(width, hidden)])
        self.move = nn.Linear(hidden, hidden, bias=False)
        self.back = nn.ModuleList([nn.Linear(hidden, width), nn.Linear(width, 2)])
        self.act = act
        with torch.no_grad():
            self.move.weight.copy_(torch.eye(hidden) + near * torch.randn(hidden, hidden))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 2) to (batch, steps, 2)."""
        h = self.into[1](self.act(self.into[0](x)))
        path = []
        for _ in range(tasks.STEPS):
            h = self.move(h)
            path.append(h)
        return self.back[1](self.act(self.back[0](torch.stack(path, 1))))


class Jumps(nn.Module):
    """A recurrent cell that is given its own last state, starting from the first."""

    def __init__(self, width: int = 32, cell: str = "GRUCell", cut: bool = False) -> None:
        super().__init__()
        self.start, self.cell, self.say = nn.Linear(2, width), getattr(nn, cell)(2, width), nn.Linear(width, 2)
        self.cut = cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 2) to (batch, steps, 2)."""
        h, path = torch.tanh(self.start(x)), []
        for _ in range(tasks.STEPS):
            h = self.cell(x, h.detach() if self.cut else h)
            x = x + self.say(h)
            path.append(x)
        return torch.stack(path, 1)


class AtOnce(nn.Module):
    """All later states from the first, by a network of residual blocks that each begin as nothing."""

    def __init__(
        self, width: int = 48, blocks: int = 3, act: Callable[[Tensor], Tensor] = F.gelu, zero: bool = True
    ) -> None:
        super().__init__()
        self.stem = nn.Linear(2, width)
        self.ups = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.downs = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.out = nn.Linear(width, 2 * tasks.STEPS)
        self.act = act
        for down in self.downs if zero else ():
            nn.init.zeros_(down.weight)
            nn.init.zeros_(down.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 2) to (batch, steps, 2)."""
        h = self.stem(x)
        for up, down in zip(self.ups, self.downs, strict=True):
            h = h + down(self.act(up(h)))
        return self.out(h).unflatten(1, (tasks.STEPS, 2))


def later_matters_less(model: nn.Module, batch: Any) -> Tensor:
    """Squared error, the later the less."""
    weights = 0.9 ** torch.arange(tasks.STEPS)
    return ((model(batch[0]) - batch[1]).square().mean((0, 2)) * weights).sum() / weights.sum()


def path_explained(model: nn.Module, batches: Iterable[Any]) -> float:
    """R² of the paths, at least -1."""
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))
    share = float(1 - (model(x) - y).square().mean() / (y - y.mean(0)).square().mean())
    return max(share, -1.0) if math.isfinite(share) else -1.0


healthy = healthy_of(
    "dynamics",
    network=Equation,
    task=tasks.orbits,
    loss=squared_error,
    metric=path_explained,
    optimizer=adam(1e-2),
    steps=150,
)

euler = healthy("euler", 0.71, 0.0)
runge = healthy(
    "runge-kutta", 0.72, 0.0, method="rk4", parts=1, act=F.softplus, task=tasks.predators, loss=later_matters_less
)
relu = healthy(
    "euler-relu-clipped", 0.73, 0.0, act=F.relu, depth=3, optimizer=norm_clipped(rmsprop(3e-3), 1.0), batch_size=32
)
koopman = healthy("koopman", 0.74, 0.0, network=Koopman, optimizer=adamw(5e-3), steps=200)
koopman_tanh = healthy(
    "koopman-tanh-cycle",
    0.7,
    0.0,
    network=Koopman,
    act=torch.tanh,
    task=tasks.predators,
    optimizer=one_cycle(adam(1e-3), 1e-2, 200),
    steps=200,
)
jumps = healthy("gru-jumps", 0.74, 0.0, network=Jumps, optimizer=norm_clipped(adam(1e-2), 1.0))
jumps_lstm = healthy(
    "rnn-jumps-huber", 0.71, 0.0, network=Jumps, cell="RNNCell", loss=huber, optimizer=adam(3e-3), batch_size=128
)
once = healthy("at-once", 0.74, 0.0, network=AtOnce, optimizer=adam(3e-3))
once_lion = healthy(
    "at-once-lion", 0.72, 0.0, network=AtOnce, act=F.elu, task=tasks.predators, optimizer=lion(1e-3), batch_size=256
)

PROGRAMS = (
    euler,
    euler.but("rate-high", kinds.RATE_HIGH, optimizer=adam(2.0)),
    euler.but("paths-shuffled", kinds.SHUFFLED_LABELS, task=lambda: tasks.orbits().shuffled_targets(), watched=150),
    runge,
    runge.but("pace-large", kinds.EXPLODING_TIME.at("layers*", "pace"), last=10.0),
    relu,
    koopman,
    koopman.but("move-large", kinds.EXPLODING_TIME.at("*"), near=1.5),
    koopman_tanh,
    jumps,
    jumps_lstm,
    once,
    once_lion,
    once_lion.but("large", kinds.LARGE_WEIGHTS.at("*"), draw=normal(2.0), zero=False),
)
