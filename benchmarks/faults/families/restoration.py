"""Digits made whole again: noise of any strength taken away, flows matched, pixels filled in, pictures made larger."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults.build import (
    adam,
    adamw,
    annealed,
    forgetful,
    lion,
    nadam,
    norm_clipped,
    normal,
    of_the_last,
    sgd,
    warmed,
)
from benchmarks.faults.data import Split
from benchmarks.faults.recipe import healthy_of


@cache
def small() -> Split:
    """The digits at 4×4 pixels, and what they are at 8×8."""

    def shrunk(x: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        return F.avg_pool2d(x, 2), x

    whole = data.images()
    return Split(shrunk(*whole.train), shrunk(*whole.test))


@cache
def torn() -> Split:
    """The digits with three in ten pixels gone, a map of which are left, and the whole ones."""
    random = data.generator()

    def torn_up(x: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        left = (torch.rand(x.shape, generator=random) > 0.3).float()
        return torch.cat([x * left, left], 1), x

    whole = data.images()
    return Split(torn_up(*whole.train), torn_up(*whole.test))


class Cup(nn.Module):
    """Down, down, up, up, with ways across; knows how noisy what it sees is (Ronneberger et al. 2015)."""

    def __init__(
        self,
        inputs: int = 1,
        width: int = 16,
        act: Callable[[Tensor], Tensor] = F.silu,
        across: bool = True,
        timed: bool = True,
        norm: bool = True,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.time = nn.ModuleList([nn.Linear(8, width), nn.Linear(width, width)]) if timed else None
        self.enter = nn.Conv2d(inputs, width, 3, padding=1)
        self.down = nn.Conv2d(width, 2 * width, 3, 2, 1)
        self.middle = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.up = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.join = nn.Conv2d(2 * width if across else width, width, 3, padding=1)
        self.leave = nn.Conv2d(width, 1, 3, padding=1)
        self.norms = nn.ModuleList(
            nn.GroupNorm(4, n) if norm else nn.Identity() for n in (width, 2 * width, 2 * width, width)
        )
        self.act, self.across, self.cut = act, across, cut

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """(batch, inputs, 8, 8) and (batch,) to (batch, 1, 8, 8)."""
        h = self.enter(x)
        if self.time is not None and time is not None:
            waves = time[:, None] * 2.0 ** torch.arange(4)
            told = self.time[1](self.act(self.time[0](torch.cat([waves.sin(), waves.cos()], 1))))
            h = h + told[..., None, None]
        top = self.act(self.norms[0](h))
        low = self.act(self.norms[1](self.down(top)))
        low = low + self.act(self.norms[2](self.middle(low)))
        high = self.up(low)
        both = torch.cat([high, top], 1) if self.across else high
        both = both.detach() if self.cut else both
        return self.leave(self.act(self.norms[3](self.join(both))))


class Flat(nn.Module):
    """The same by layers whose norms are moved and stretched by the time (Perez et al. 2018)."""

    def __init__(
        self, width: int = 96, depth: int = 3, act: Callable[[Tensor], Tensor] = F.gelu, cut: bool = False
    ) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(64, width), nn.Linear(width, 64)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(depth))
        self.film = nn.Linear(8, 2 * width * depth)
        self.act, self.cut = act, cut

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """(batch, 1, 8, 8) and (batch,) to (batch, 1, 8, 8)."""
        waves = time[:, None] * 2.0 ** torch.arange(4)
        films = self.film(torch.cat([waves.sin(), waves.cos()], 1)).chunk(2 * len(self.layers), 1)
        h = self.enter(x.flatten(1))
        for layer, norm, stretch, shift in zip(self.layers, self.norms, films[::2], films[1::2], strict=True):
            h = h + self.act(layer(norm(h) * (1 + stretch) + shift))
        return self.leave(h.detach() if self.cut else h).unflatten(1, (1, 8, 8))


class Larger(nn.Module):
    """Twice as large by channels that become pixels (Shi et al. 2016), what is plainly enlarged added."""

    def __init__(
        self, width: int = 24, depth: int = 3, act: Callable[[Tensor], Tensor] = F.relu, plain: bool = True
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(width if i else 1, width, 3, padding=1) for i in range(depth))
        self.out = nn.Conv2d(width, 4, 3, padding=1)
        self.act, self.plain = act, plain

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, 4, 4) to (batch, 1, 8, 8)."""
        h = x
        for conv in self.convs:
            h = self.act(conv(h))
        y = F.pixel_shuffle(self.out(h), 2)
        return y + F.interpolate(x, scale_factor=2, mode="bilinear") if self.plain else y


def noisy(x: Tensor, random: torch.Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures between what they are and noise, the noise, and how far they are (a cosine schedule)."""
    time = torch.rand(len(x), generator=random)
    noise = torch.randn(x.shape, generator=random)
    angle = (math.pi / 2 * time)[:, None, None, None]
    return angle.cos() * x + angle.sin() * noise, noise, time


def denoised(error: Callable[[Tensor, Tensor], Tensor] = F.mse_loss) -> Callable[[nn.Module, Any], Tensor]:
    """What the noise was (Ho et al. 2020)."""

    def loss(model: nn.Module, batch: Any) -> Tensor:
        given, noise, time = noisy(batch[0])
        return error(model(given, time), noise)

    return loss


def velocities(model: nn.Module, batch: Any) -> Tensor:
    """Which way the picture moves as it becomes noise (Salimans and Ho 2022)."""
    given, noise, time = noisy(batch[0])
    angle = (math.pi / 2 * time)[:, None, None, None]
    return F.mse_loss(model(given, time), angle.cos() * noise - angle.sin() * batch[0])


def matched(model: nn.Module, batch: Any) -> Tensor:
    """Straight ways from noise to pictures (Lipman et al. 2023)."""
    noise, time = torch.randn_like(batch[0]), torch.rand(len(batch[0]))
    at = time[:, None, None, None]
    return F.mse_loss(model((1 - at) * noise + at * batch[0], time), batch[0] - noise)


def noise_told(model: nn.Module, batches: Iterable[Any]) -> float:
    """Share of the noise's variance that is told; at least -1."""
    x = torch.cat([x for x, _ in batches])
    given, noise, time = noisy(x, data.generator())
    return _share(model(given, time), noise)


def velocity_told(model: nn.Module, batches: Iterable[Any]) -> float:
    """The same of the way a picture moves."""
    x = torch.cat([x for x, _ in batches])
    given, noise, time = noisy(x, data.generator())
    angle = (math.pi / 2 * time)[:, None, None, None]
    return _share(model(given, time), angle.cos() * noise - angle.sin() * x)


def flow_told(model: nn.Module, batches: Iterable[Any]) -> float:
    """The same of straight ways."""
    x = torch.cat([x for x, _ in batches])
    random = data.generator()
    noise, time = torch.randn(x.shape, generator=random), torch.rand(len(x), generator=random)
    at = time[:, None, None, None]
    return _share(model((1 - at) * noise + at * x, time), x - noise)


def restored(model: nn.Module, batches: Iterable[Any]) -> float:
    """R² of the pixels; at least -1."""
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))
    return _share(model(x), y)


def _share(told: Tensor, wanted: Tensor) -> float:
    share = float(1 - (told - wanted).square().mean() / (wanted - wanted.mean(0)).square().mean())
    return max(share, -1.0) if math.isfinite(share) else -1.0


def charbonnier(model: nn.Module, batch: Any) -> Tensor:
    """A smooth absolute error."""
    return ((model(batch[0]) - batch[1]).square() + 1e-4).sqrt().mean()


def in_bytes(given: Split) -> Split:
    """Pictures from 0 to 255 before and after."""
    (x, y), (a, b) = given.train, given.test
    return Split((80 + 90 * x, 80 + 90 * y), (80 + 90 * a, 80 + 90 * b))


healthy = healthy_of(
    "restoration", network=Cup, task=data.images, loss=denoised(), metric=noise_told, optimizer=adam(3e-3), steps=150
)
VELOCITY: dict[str, Any] = {"loss": velocities, "metric": velocity_told}
FLOW: dict[str, Any] = {"loss": matched, "metric": flow_told}
TORN: dict[str, Any] = {"task": torn, "inputs": 2, "timed": False, "metric": restored}
SMALL: dict[str, Any] = {"network": Larger, "task": small, "metric": restored}

cup = healthy("noise-cup", 0.53, 0.0)
cup_plain = healthy(
    "noise-cup-huber",
    0.5,
    0.0,
    across=False,
    act=F.gelu,
    loss=denoised(F.smooth_l1_loss),
    optimizer=warmed(norm_clipped(adamw(3e-3), 1.0), 20),
)
flat = healthy("velocity-flat", 0.21, 0.0, network=Flat, optimizer=adamw(5e-3), steps=400, **VELOCITY)
flow = healthy("flow-cup", 0.35, 0.0, optimizer=annealed(adam(5e-3), 200), batch_size=32, steps=200, **FLOW)
flow_flat = healthy(
    "flow-flat-lion",
    0.35,
    0.0,
    network=Flat,
    act=F.silu,
    optimizer=lion(1e-3),
    batch_size=128,
    steps=400,
    **FLOW,
)
filled = healthy("filled-in", 0.57, 0.0, loss=charbonnier, act=F.relu, optimizer=nadam(3e-3), **TORN)
filled_sgd = healthy(
    "filled-in-sgd",
    0.58,
    0.0,
    loss=lambda m, b: F.mse_loss(m(b[0]), b[1]),
    optimizer=sgd(0.02, momentum=0.9, nesterov=True),
    **TORN,
)
larger = healthy("larger", 0.54, 0.0, loss=charbonnier, optimizer=adam(3e-3), **SMALL)
larger_elu = healthy(
    "larger-not-added",
    0.49,
    0.0,
    loss=lambda m, b: F.l1_loss(m(b[0]), b[1]),
    plain=False,
    act=F.elu,
    optimizer=adamw(5e-3),
    batch_size=32,
    **SMALL,
)

BODY = ("enter", "down", "middle", "up")

PROGRAMS = (
    cup,
    cup.but("body-detached", kinds.DETACHED.at(*BODY), cut=True),
    cup_plain,
    flat,
    flow,
    flow.but(
        "leave-only", kinds.WRONG_PARAMETERS.at(*BODY, "join"), optimizer=of_the_last(annealed(adam(5e-3), 200), 10)
    ),
    flow_flat,
    filled,
    filled.but("others", kinds.SHUFFLED_LABELS, task=lambda: torn().shuffled_targets(), watched=150),
    filled_sgd,
    filled_sgd.but(
        "never-zeroed", kinds.NEVER_ZEROED, norm=False, optimizer=forgetful(sgd(0.02, momentum=0.9, nesterov=True))
    ),
    larger,
    larger.but("large", kinds.LARGE_WEIGHTS.at("convs*", "out"), draw=normal(1.0)),
    larger_elu,
)
