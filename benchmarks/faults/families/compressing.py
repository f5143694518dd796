"""Autoencoders: dense, convolutional, denoising and variational ones, of digits and of curves made of three numbers.

Marks by task, as :mod:`benchmarks.faults.tasks_sixth` has them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_sixth as tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    explained_input,
    frozen,
    he,
    normal,
    reconstruction_error,
    rmsprop,
    sgd,
)
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of


class AutoEncoder(nn.Module):
    """Sizes down to the code and up again."""

    def __init__(
        self,
        sizes: tuple[int, ...] = (64, 48, 16),
        act: Callable[[], nn.Module] = nn.ReLU,
        out: Callable[[], nn.Module] = nn.Identity,
        noise: float = 0.0,
        norm: bool = False,
    ) -> None:
        super().__init__()

        def half(widths: tuple[int, ...]) -> nn.Sequential:
            layers: list[nn.Module] = []
            for a, b in pairwise(widths):
                layers += [nn.Linear(a, b), *([nn.BatchNorm1d(b)] if norm else []), act()]
            return nn.Sequential(*layers[: -2 if norm else -1])

        self.encoder, self.decoder = half(sizes), half(sizes[::-1])
        self.out = out()
        self.noise = noise

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.noise:
            x = x + self.noise * torch.randn_like(x)
        return self.out(self.decoder(self.encoder(x)))


class Variational(nn.Module):
    """A mean and a spread of each number of the code."""

    def __init__(self, inputs: int = 64, hidden: int = 96, code: int = 12) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU())
        self.mu, self.logvar = nn.Linear(hidden, code), nn.Linear(hidden, code)
        self.decoder = nn.Sequential(nn.Linear(code, hidden), nn.ReLU(), nn.Linear(hidden, inputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.mu(self.encoder(x)))


def bound(weight: float = 0.01) -> Callable[[Any, Any], Tensor]:
    """Error of a copy out of a drawn code, and how far codes are from a normal distribution (Kingma and Welling)."""

    def loss(model: Any, batch: Any) -> Tensor:
        h = model.encoder(batch[0])
        mu, logvar = model.mu(h), model.logvar(h)
        code = mu + (logvar / 2).exp() * torch.randn_like(mu)
        distance = (mu.square() + logvar.exp() - 1 - logvar).sum(1).mean() / 2
        return F.mse_loss(model.decoder(code), batch[0]) + weight * distance

    return loss


class ConvAutoEncoder(nn.Module):
    """Strided convolutions down, transposed ones up."""

    def __init__(self, width: int = 12, act: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.down = nn.Sequential(
            *(nn.Conv2d(1, width, 3, stride=2, padding=1), act()),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
        )
        self.up = nn.Sequential(
            *(nn.ConvTranspose2d(width, width, 4, stride=2, padding=1), act()),
            nn.ConvTranspose2d(width, 1, 4, stride=2, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.down(x))


healthy = healthy_of(
    "compressing",
    network=AutoEncoder,
    task=data.digits,
    loss=reconstruction_error,
    metric=explained_input,
    optimizer=adam(3e-3),
    steps=200,
    batch_size=64,
)
MODES: dict[str, Any] = {"task": tasks.modes, "sizes": (40, 64, 32, 6)}

plain = healthy("digits", 0.5, 0.0)
tanh = healthy("digits-tanh-momentum", 0.5, 0.0, act=nn.Tanh, optimizer=sgd(1.0, momentum=0.9), steps=300)
noisy = healthy("digits-denoising", 0.5, 0.0, noise=0.3, sizes=(64, 128, 24), act=nn.GELU, optimizer=adamw(3e-3))
unit = healthy("unit-digits-sigmoid-out", 0.5, 0.0, task=tasks.unit_digits, out=nn.Sigmoid, optimizer=adam(5e-3))
variational = healthy("digits-variational", 0.5, 0.0, network=Variational, loss=bound())
curves = healthy("curves", 0.6, 0.0, **MODES)
curves_deep = healthy("curves-elu-he", 0.6, 0.0, act=nn.ELU, draw=he, optimizer=rmsprop(1e-3), **MODES)
convolved = healthy("images-convolved", 0.5, 0.0, network=ConvAutoEncoder, task=data.images, optimizer=adam(5e-3))

BOTTLENECK = Fault(("underfitting", "rank_collapse"), ("capacity_or_label_noise",))
"""A code of one number."""

PROGRAMS = (
    plain,
    plain.but("bytes", kinds.UNSCALED, task=data.digit_bytes, optimizer=sgd(0.01)),
    plain.but("relu-out", kinds.WRONG_HEAD.at("out", "decoder*", ""), out=nn.ReLU),
    plain.but("one-number", BOTTLENECK.at("encoder*", "decoder*"), sizes=(64, 48, 1), watched=150),
    tanh,
    tanh.but("sigmoid", kinds.SIGMOID_DEPTH.at("*"), act=nn.Sigmoid, sizes=(64, 48, 32, 24, 16)),
    tanh.but("rate-low", kinds.RATE_LOW, optimizer=sgd(1e-4)),
    noisy,
    unit,
    variational,
    variational.but("rate-high", kinds.RATE_HIGH, optimizer=sgd(10.0, momentum=0.9)),
    curves,
    curves.but(
        "frozen",
        kinds.FROZEN.at("encoder*", "decoder.0", "decoder.2"),
        change=frozen("encoder", "decoder.0", "decoder.2"),
    ),
    curves_deep,
    curves_deep.but("thousandth", kinds.SMALL_WEIGHTS.at("*"), draw=normal(1e-3)),
    convolved,
)
