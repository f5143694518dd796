"""Convolutions over time: dilated ones with shortcuts (TCN), gated ones (WaveNet), plain ones, one that denoises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import kinds
from benchmarks.faults import tasks_more as tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    annealed,
    explained,
    frozen,
    he,
    nadam,
    normal,
    of_a_copy,
    rmsprop,
    sgd,
    squared_error,
    token_accuracy,
    token_cross_entropy,
)
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of

Function = Callable[[Tensor], Tensor]


class Causal(nn.Conv1d):
    """A convolution that sees no future: as many zeros before the start as it reaches back."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, time) to the same time."""
        return super().forward(F.pad(x, ((self.kernel_size[0] - 1) * self.dilation[0], 0)))


class Temporal(nn.Module):
    """Two causal convolutions and a shortcut, each block reaching twice as far back (Bai et al. 2018, TCN)."""

    def __init__(
        self,
        blocks: int = 4,
        width: int = 24,
        act: Function = F.relu,
        shortcut: bool = True,
        dropout: float = 0.1,
        weight_norm: bool = False,
        cut: int | None = None,
    ) -> None:
        super().__init__()
        norm: Callable[[nn.Module], nn.Module] = nn.utils.parametrizations.weight_norm if weight_norm else nn.Identity()
        self.lift = nn.Conv1d(1, width, 1)
        self.first = nn.ModuleList(norm(Causal(width, width, 3, dilation=2**i)) for i in range(blocks))
        self.second = nn.ModuleList(norm(Causal(width, width, 3, dilation=2**i)) for i in range(blocks))
        self.act, self.shortcut, self.dropout, self.cut = act, shortcut, dropout, cut
        self.out = nn.Linear(width, tasks.TIMBRES)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, time) to logits."""
        h = self.lift(x)
        for index, (first, second) in enumerate(zip(self.first, self.second, strict=True)):
            h = h.detach() if index == self.cut else h
            y = F.dropout(self.act(first(h)), self.dropout, self.training)
            y = F.dropout(self.act(second(y)), self.dropout, self.training)
            h = self.act(h + y) if self.shortcut else y
        h = h.detach() if self.cut == len(self.first) else h
        return self.out(h.mean(2))


class Plain(nn.Module):
    """Strided convolutions, batch normalisation or none, ReLU in place, a mean over time (M5, Dai et al. 2017)."""

    def __init__(
        self,
        depth: int = 3,
        width: int = 24,
        norm: Callable[[int], nn.Module] | None = nn.BatchNorm1d,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(depth):
            size, stride = (9, 2) if index == 0 else (3, 1)
            layers.append(nn.Conv1d(width if index else 1, width, size, stride, padding=size // 2))
            layers += [*([norm(width)] if norm else []), nn.ReLU(inplace=True)]
            layers += [nn.MaxPool1d(2)] if index < 3 else []
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(width, tasks.TIMBRES)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, time) to logits."""
        return self.classifier(self.features(x).mean(-1))


class Gated(nn.Module):
    """tanh times sigmoid of dilated causal convolutions, with shortcuts and skips (van den Oord et al. 2016)."""

    def __init__(self, blocks: int = 4, width: int = 24, gain: float = 1.0, cut: bool = False) -> None:
        super().__init__()
        self.levels = nn.Embedding(tasks.LEVELS, width)
        self.filters = nn.ModuleList(Causal(width, width, 2, dilation=2**i) for i in range(blocks))
        self.gates = nn.ModuleList(Causal(width, width, 2, dilation=2**i) for i in range(blocks))
        self.mixes = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(blocks))
        self.top = nn.Sequential(nn.ReLU(), nn.Conv1d(width, width, 1), nn.ReLU(), nn.Conv1d(width, tasks.LEVELS, 1))
        self.gain, self.cut = gain, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time) to (batch, time, levels)."""
        h = self.gain * self.levels(x).mT
        skips = torch.zeros(())
        for filtered, gate, mix in zip(self.filters, self.gates, self.mixes, strict=True):
            y = mix(torch.tanh(filtered(h)) * torch.sigmoid(gate(h)))
            h, skips = h + y, skips + y
        return self.top(skips.detach() if self.cut else skips).mT


class Cleaner(nn.Module):
    """Down and up again, with what was seen on the way down laid beside (U-Net over time; Stoller et al. 2018)."""

    def __init__(self, width: int = 16, act: Function = F.leaky_relu) -> None:
        super().__init__()
        self.enter = nn.Conv1d(1, width, 5, padding=2)
        self.down = nn.Conv1d(width, 2 * width, 4, 2, 1)
        self.middle = nn.Conv1d(2 * width, 2 * width, 3, padding=1)
        self.up = nn.ConvTranspose1d(2 * width, width, 4, 2, 1)
        self.leave = nn.Conv1d(2 * width, 1, 5, padding=2)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, time) to the same."""
        a = self.act(self.enter(x))
        b = self.act(self.middle(self.act(self.down(a))))
        c = self.act(self.up(b))
        return self.leave(torch.cat([a, c], 1))


def gates_shut(model: nn.Module) -> None:
    """Start every gate far below 0."""
    for gate in model.gates:
        nn.init.constant_(gate.bias, -15.0)


healthy = healthy_of("signals", network=Temporal, task=tasks.sounds, optimizer=adam(3e-3))
LEVELS: dict[str, Any] = {
    "network": Gated,
    "task": tasks.quantised,
    "loss": token_cross_entropy,
    "metric": token_accuracy,
    "batch_size": 32,
}
CLEAN: dict[str, Any] = {"network": Cleaner, "task": tasks.hum, "loss": squared_error, "metric": explained}

temporal = healthy("temporal", 0.7, chance=0.2)
normed = healthy(
    "temporal-weight-norm", 0.7, chance=0.2, weight_norm=True, dropout=0.0, optimizer=annealed(adamw(5e-3), 150)
)
plain = healthy("plain", 0.75, chance=0.2, network=Plain, optimizer=sgd(0.05, momentum=0.9))
bare = healthy(
    "plain-bare-4", 0.7, chance=0.2, network=Plain, norm=None, depth=4, draw=he, optimizer=rmsprop(1e-3), steps=200
)
deep = healthy("plain-8", 0.7, chance=0.2, network=Plain, depth=8, optimizer=adam(2e-3), batch_size=32)
gated = healthy("gated", 0.4, chance=0.15, optimizer=adam(5e-3), **LEVELS)
clean = healthy("cleaner", 0.6, chance=0.0, optimizer=nadam(3e-3), **CLEAN)

# What comes out of a gate is about 0, and so is its slope: nothing gets through either way.
SHUT = Fault(("saturation", "vanishing", "bad_init_small", "bad_init_large"), ("saturated_activation", "init_mismatch"))
BODY = ("first*", "second*")

PROGRAMS = (
    temporal,
    temporal.but("sixteen-bits", kinds.UNSCALED, task=tasks.sounds_in_16_bits),
    temporal.but("features-detached", kinds.DETACHED.at("lift", *BODY), cut=4),
    temporal.but("dropout", kinds.DROPOUT, dropout=0.95),
    temporal.but("no-activation", kinds.LINEAR, act=nn.Identity()),
    normed,
    normed.but("no-shortcut", kinds.SIGMOID_DEPTH.at("lift", *BODY), act=torch.sigmoid, shortcut=False, blocks=5),
    plain,
    plain.but("silences", kinds.NAN_IN_DATA, task=tasks.silences),
    deep,
    deep.but("features-frozen", kinds.FROZEN.at("features*"), change=frozen("features")),
    bare,
    bare.but("weights-large", kinds.LARGE_WEIGHTS.at("features*", "classifier"), draw=normal(1.0)),
    bare.but("small", kinds.SMALL_WEIGHTS.at("*"), draw=normal(1e-4)),
    bare.but("labels-shuffled", kinds.SHUFFLED_LABELS, task=lambda: tasks.sounds().shuffled_targets(), watched=200),
    gated,
    gated.but("gates-shut", SHUT.at("gates*", "mixes*"), change=gates_shut),
    gated.but("skips-detached", kinds.DETACHED.at("levels", "filters*", "gates*", "mixes*"), cut=True),
    gated.but("levels-large", kinds.SATURATED.at("filters*", "gates*", "levels"), gain=100.0),
    clean,
    clean.but("copy", kinds.WRONG_PARAMETERS, optimizer=of_a_copy(nadam(3e-3))),
)
