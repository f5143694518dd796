"""Networks that make things up: variational autoencoders of digits, denoisers of points and digits (diffusion)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults.build import (
    Loss,
    adam,
    adamw,
    explained_input,
    frozen,
    of_a_copy,
    of_the_last,
    warmed,
    xavier,
)
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of


def layers(sizes: list[int], activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Linear layers with an activation between each two."""
    made: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        made += [nn.Linear(fan_in, fan_out), activation()]
    return nn.Sequential(*made[:-1])


class Variational(nn.Module):
    """An encoder with two heads, mean and log-variance of the code, and a decoder (Kingma and Welling 2013)."""

    def __init__(
        self,
        code: int = 12,
        width: int = 64,
        depth: int = 2,
        activation: Callable[[], nn.Module] = nn.ReLU,
        head: Callable[[], nn.Module] = nn.Identity,
        dropout: float = 0.0,
        cut: bool = False,
    ) -> None:
        super().__init__()
        hidden = [width] * (depth - 1)
        self.encoder = nn.Sequential(layers([64, *hidden, width], activation), activation(), nn.Dropout(dropout))
        self.mean, self.log_variance = nn.Linear(width, code), nn.Linear(width, code)
        self.decoder = nn.Sequential(layers([code, *hidden, width, 64], activation), head())
        self.cut = cut

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruction alone."""
        return self.parts(x)[0]

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction, mean and log-variance."""
        seen = self.encoder(x)
        mean, log_variance = self.mean(seen), self.log_variance(seen)
        code = mean + (0.5 * log_variance).exp() * torch.randn_like(mean) if self.training else mean
        return self.decoder(code.detach() if self.cut else code), mean, log_variance


class Block(nn.Module):
    """x + a branch that the time shifts; its last layer may start at zero."""

    def __init__(self, width: int, activation: Callable[[], nn.Module], zeroed: bool, shortcut: bool) -> None:
        super().__init__()
        self.norm, self.expand = nn.LayerNorm(width) if shortcut else nn.Identity(), nn.Linear(width, width)
        self.time, self.act, self.contract = nn.Linear(16, width), activation(), nn.Linear(width, width)
        self.shortcut = shortcut
        if zeroed:
            nn.init.zeros_(self.contract.weight)
            nn.init.zeros_(self.contract.bias)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """(batch, width) and (batch, 16) to (batch, width)."""
        y = self.contract(self.act(self.expand(self.norm(x)) + self.time(time)))
        return x + y if self.shortcut else y


class Denoiser(nn.Module):
    """Tells the noise in what it is given, with the time it was noised for as waves (Ho et al. 2020)."""

    def __init__(
        self,
        inputs: int = 2,
        width: int = 64,
        blocks: int = 3,
        activation: Callable[[], nn.Module] = nn.SiLU,
        zeroed: bool = True,
        shortcut: bool = True,
        waves: bool = True,
    ) -> None:
        super().__init__()
        self.stem = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(Block(width, activation, zeroed, shortcut) for _ in range(blocks))
        self.head, self.waves = nn.Linear(width, inputs), waves

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """(batch, inputs) and times (batch, 1) from 0 to 1,000, to the noise."""
        paces = math.pi / 1000 * 2.0 ** torch.arange(8) / 2
        known = torch.cat([(paces * time).sin(), (paces * time).cos()], 1) if self.waves else time.expand(-1, 16)
        x = self.stem(x)
        for block in self.blocks:
            x = block(x, known)
        return self.head(x)


TIMES = 1000


def noised(x: Tensor, noise: Tensor, time: Tensor) -> Tensor:
    """What is left of x, and the noise, by the cosine schedule (Nichol and Dhariwal 2021)."""
    angle = time / TIMES * (math.pi / 2)
    return angle.cos() * x + angle.sin() * noise


def noise_error(model: nn.Module, batch: Any) -> Tensor:
    """Mean squared error of the noise at random times."""
    x = batch[0]
    noise, time = torch.randn_like(x), torch.randint(TIMES, (len(x), 1)).float()
    return F.mse_loss(model(noised(x, noise, time), time), noise)


def noise_explained(model: nn.Module, batches: Iterable[Any]) -> float:
    """Share of the noise's variance that is told, at the same times and with the same noise whenever it is asked."""
    random = data.generator()
    missed = told = 0.0
    for x, _ in batches:
        noise = torch.randn(x.shape, generator=random)
        time = torch.randint(TIMES, (len(x), 1), generator=random).float()
        missed += float((model(noised(x, noise, time), time) - noise).square().sum())
        told += float(noise.square().sum())
    return max(1 - missed / told, -1.0) if math.isfinite(missed) else -1.0


def bound(weight: float, error: Callable[[Tensor, Tensor], Tensor] = F.mse_loss) -> Loss:
    """Reconstruction error and the divergence from N(0, 1) times a weight, per pixel (Higgins et al. 2017)."""

    def loss(model: Any, batch: Any) -> Tensor:
        given, mean, log_variance = model.parts(batch[0])
        divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1).mean()
        return error(given, batch[0]) + weight * divergence / batch[0].shape[1]

    return loss


def dark() -> data.Split:
    """Pixels from 0 to 1."""
    return data.digit_bytes().map(lambda x: x / 255)


healthy = healthy_of(
    "generative", network=Variational, task=data.digits, loss=bound(0.1), metric=explained_input, optimizer=adam(5e-3)
)
POINTS: dict[str, Any] = {"network": Denoiser, "task": data.ring, "loss": noise_error, "metric": noise_explained}

variational = healthy("variational", 0.3, chance=0.0)
nearly_plain = healthy("little-divergence", 0.35, chance=0.0, loss=bound(1e-4), activation=nn.GELU)
probabilities = healthy(
    "probabilities", 0.3, chance=0.0, task=dark, head=nn.Sigmoid, loss=bound(0.05, F.binary_cross_entropy), steps=250
)
tanh = healthy(
    "variational-tanh-4", 0.25, chance=0.0, depth=4, activation=nn.Tanh, draw=xavier, steps=250, optimizer=adamw(3e-3)
)
points = healthy("denoiser-points", 0.4, chance=0.0, optimizer=adam(3e-3), steps=250, **POINTS)
warm = healthy(
    "denoiser-warm-up", 0.4, chance=0.0, blocks=6, zeroed=False, steps=250, optimizer=warmed(adamw(3e-3), 50), **POINTS
)
digits = healthy(
    "denoiser-digits",
    0.3,
    chance=0.0,
    inputs=64,
    width=128,
    steps=250,
    optimizer=adam(3e-3),
    **(POINTS | {"task": data.digits}),
)

# The divergence still reaches the encoder, and makes all its codes alike.
HALF_DETACHED = Fault(("not_updating", "underfitting", "vanishing"), ("detached_graph",))
ENCODER = ("encoder*", "mean", "log_variance")

PROGRAMS = (
    variational,
    variational.but("code-detached", HALF_DETACHED.at(*ENCODER), cut=True),
    variational.but("rate-high", kinds.RATE_HIGH, optimizer=adam(1.0)),
    variational.but("dropout", kinds.DROPOUT.at("encoder.2"), dropout=0.95),
    variational.but("bytes", kinds.UNSCALED, task=data.digit_bytes),
    nearly_plain,
    nearly_plain.but("thirty-digits", kinds.OVERFITTING, task=lambda: data.digits().first(30), width=256, watched=150),
    probabilities,
    probabilities.but("decoder-only", kinds.WRONG_PARAMETERS.at(*ENCODER), optimizer=of_the_last(adam(5e-3), 4)),
    tanh,
    tanh.but("sigmoid", kinds.SIGMOID_DEPTH.at(*ENCODER), activation=nn.Sigmoid, depth=8),
    points,
    points.but("raw-time", kinds.UNSCALED, waves=False),
    warm,
    warm.but("copy", kinds.WRONG_PARAMETERS, optimizer=of_a_copy(adamw(3e-3))),
    warm.but("no-shortcut", kinds.NO_SHORTCUT.at("stem", "blocks.*"), shortcut=False, activation=nn.Sigmoid, blocks=10),
    digits,
    digits.but("rate-low", kinds.RATE_LOW, optimizer=adam(1e-7)),
    digits.but("frozen", kinds.FROZEN.at("stem", "blocks*"), change=frozen("stem", "blocks")),
)
