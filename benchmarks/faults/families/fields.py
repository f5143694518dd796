"""Functions of a place: Fourier features, sines, hypernetworks, operators, kernels and splines that are learnt."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import kinds
from benchmarks.faults import tasks_third as tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    annealed,
    constant,
    explained,
    frozen,
    nadam,
    norm_clipped,
    of_the_last,
    rmsprop,
    sgd,
    squared_error,
    warmed,
)
from benchmarks.faults.recipe import healthy_of


class Waves(nn.Module):
    """Sines and cosines of random directions, which stay as they were drawn (Tancik et al. 2020), then layers."""

    def __init__(
        self,
        inputs: int = 2,
        waves: int = 32,
        scale: float = 3.0,
        width: int = 64,
        depth: int = 2,
        act: Callable[[Tensor], Tensor] = F.relu,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.register_buffer("directions", scale * torch.randn(inputs, waves))
        self.layers = nn.ModuleList(nn.Linear(width if i else 2 * waves, width) for i in range(depth))
        self.out = nn.Linear(width, 1)
        self.act, self.cut = act, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, 1)."""
        turned = x @ self.directions
        h = torch.cat([turned.sin(), turned.cos()], 1)
        for layer in self.layers:
            h = self.act(layer(h))
        return self.out(h.detach() if self.cut else h)


class Siren(nn.Module):
    """Sines all the way (Sitzmann et al. 2020)."""

    def __init__(
        self, inputs: int = 2, width: int = 48, depth: int = 3, first: float = 10.0, spread: float = 6.0
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width if i else inputs, width) for i in range(depth))
        self.out = nn.Linear(width, 1)
        self.first = first
        for index, layer in enumerate(self.layers):
            limit = math.sqrt(spread / width) if index else 1 / inputs
            nn.init.uniform_(layer.weight, -limit, limit)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, 1)."""
        for index, layer in enumerate(self.layers):
            x = torch.sin(layer(x) if index else self.first * layer(x))
        return self.out(x)


class Hyper(nn.Module):
    """A network that tells the weights of another one, which tells the value (Ha et al. 2017)."""

    def __init__(
        self, width: int = 32, inner: int = 8, act: Callable[[Tensor], Tensor] = torch.tanh, cut: bool = False
    ) -> None:
        super().__init__()
        self.sizes = [inner, inner, inner * inner, inner, inner, 1]
        self.read, self.think = nn.Linear(2, width), nn.Linear(width, width)
        self.weights = nn.Linear(width, sum(self.sizes))
        self.inner, self.act, self.cut = inner, act, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, what, where) to (batch, 1)."""
        what, where = x[:, :2], x[:, 2:]
        h = self.act(self.think(self.act(self.read(what))))
        told = self.weights(h.detach() if self.cut else h)
        w1, b1, w2, b2, w3, b3 = told.split(self.sizes, 1)
        h = torch.tanh(2 * where * w1 + b1)
        h = torch.tanh(torch.einsum("bi,bij->bj", h, w2.unflatten(1, (self.inner, self.inner))) + b2)
        return (h * w3).sum(1, keepdim=True) + b3


class Operator(nn.Module):
    """A trunk reads the place, a branch the function, and their product is the answer (DeepONet, Lu et al. 2021)."""

    def __init__(
        self, width: int = 48, depth: int = 2, act: Callable[[Tensor], Tensor] = F.gelu, cut: bool = False
    ) -> None:
        super().__init__()
        self.branch = nn.ModuleList(nn.Linear(width if i else 16, width) for i in range(depth))
        self.trunk = nn.ModuleList(nn.Linear(width if i else 1, width) for i in range(depth))
        self.bias = nn.Parameter(torch.zeros(1))
        self.act, self.cut = act, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, values and place) to (batch, 1)."""
        one, two = x[:, :16], x[:, 16:]
        for layer in self.branch[:-1]:
            one = self.act(layer(one))
        for layer in self.trunk:
            two = self.act(layer(two))
        one = self.branch[-1](one)
        one = one.detach() if self.cut else one
        return (one * two).sum(1, keepdim=True) / one.shape[1] ** 0.5 + self.bias


class Radial(nn.Module):
    """Bumps around places that are learnt with their widths and heights (Broomhead and Lowe 1988)."""

    def __init__(self, inputs: int = 2, bumps: int = 100, sharp: float = 1.5, unit: bool = True) -> None:
        super().__init__()
        self.places = nn.Parameter(2 * torch.rand(bumps, inputs) - 1)
        self.log_sharp = nn.Parameter(torch.full((bumps,), sharp))
        self.heights = nn.Linear(bumps, 1)
        self.unit = unit

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, 1)."""
        far = (x[:, None] - self.places).square().sum(2)
        bumps = (-far * self.log_sharp.exp().square()).exp()
        return self.heights(bumps / (bumps.sum(1, keepdim=True) + 1e-3) if self.unit else bumps)


class Splines(nn.Module):
    """Layers whose every connection is a curve of its own, a sum of hats (Liu et al. 2024)."""

    def __init__(self, sizes: tuple[int, ...] = (2, 8, 1), hats: int = 8) -> None:
        super().__init__()
        self.curves = nn.ParameterList(
            nn.Parameter(0.3 * torch.randn(a * hats, b) / a**0.5) for a, b in pairwise(sizes)
        )
        self.straight = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.register_buffer("grid", torch.linspace(-1.5, 1.5, hats))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, outputs)."""
        for curve, straight in zip(self.curves, self.straight, strict=True):
            hats = (1 - (x[..., None] - self.grid).abs() / (self.grid[1] - self.grid[0])).clamp(min=0)
            x = hats.flatten(1) @ curve + straight(F.silu(x))
        return x


def relative(model: nn.Module, batch: Any) -> Tensor:
    """The error of a whole batch over the size of its targets, as operators are trained."""
    return (model(batch[0]) - batch[1]).norm() / batch[1].norm()


def with_slope(model: nn.Module, batch: Any) -> Tensor:
    """Squared error and a little for a surface that is steep."""
    with torch.enable_grad():
        x = batch[0].detach().requires_grad_()
        y = model(x)
        (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    return F.mse_loss(y, batch[1]) + 1e-4 * slope.square().sum(1).mean()


def finite_share(model: nn.Module, batches: Iterable[Any]) -> float:
    """R², -1 if something is not finite."""
    share = explained(model, batches)
    return share if math.isfinite(share) else -1.0


def far_off(given: Any) -> Any:
    """Places in pixels of a large picture rather than from -1 to 1."""
    return given.map(lambda x: 2000 + 1000 * x)


healthy = healthy_of(
    "fields",
    network=Waves,
    task=tasks.portrait,
    loss=squared_error,
    metric=finite_share,
    optimizer=adam(3e-3),
    steps=250,
)
PITCHES: dict[str, Any] = {"network": Hyper, "task": tasks.families_of_waves}
INTEGRALS: dict[str, Any] = {"network": Operator, "task": tasks.operators}

fourier = healthy("fourier", 0.74, 0.0)
fourier_gelu = healthy(
    "fourier-gelu-cosine",
    0.74,
    0.0,
    depth=3,
    act=F.gelu,
    optimizer=annealed(adamw(5e-3, weight_decay=0.01), 250),
    batch_size=256,
)
siren = healthy("siren", 0.73, 0.0, network=Siren, optimizer=adam(1e-3))
siren_steep = healthy(
    "siren-slope",
    0.72,
    0.0,
    network=Siren,
    width=32,
    first=6.0,
    loss=with_slope,
    optimizer=norm_clipped(adam(2e-3), 1.0),
)
hyper = healthy("hypernetwork", 0.73, 0.0, optimizer=adam(5e-3), **PITCHES)
hyper_sgd = healthy(
    "hypernetwork-silu",
    0.7,
    0.0,
    act=F.silu,
    inner=6,
    optimizer=norm_clipped(rmsprop(3e-3), 1.0),
    batch_size=128,
    **PITCHES,
)
operator = healthy("operator", 0.73, 0.0, loss=relative, optimizer=adam(3e-3), **INTEGRALS)
operator_tanh = healthy(
    "operator-tanh-3", 0.72, 0.0, depth=3, act=torch.tanh, optimizer=warmed(nadam(3e-3), 30), **INTEGRALS
)
radial = healthy("radial", 0.72, 0.0, network=Radial, optimizer=adam(2e-2))
splines = healthy("splines", 0.7, 0.0, network=Splines, optimizer=adam(1e-2))
splines_sgd = healthy(
    "splines-sgd", 0.69, 0.0, network=Splines, sizes=(2, 6, 6, 1), optimizer=sgd(0.05, momentum=0.9, nesterov=True)
)

PROGRAMS = (
    fourier,
    fourier.but("layers-detached", kinds.DETACHED.at("layers*"), cut=True),
    fourier_gelu,
    fourier_gelu.but("sigmoid-12", kinds.SIGMOID_DEPTH.at("layers*"), depth=12, act=torch.sigmoid),
    siren,
    siren.but("in-pixels", kinds.UNSCALED, task=lambda: far_off(tasks.portrait())),
    siren.but("out-only", kinds.WRONG_PARAMETERS.at("layers*"), optimizer=of_the_last(adam(1e-3), 2)),
    siren_steep,
    hyper,
    hyper_sgd,
    hyper_sgd.but("rate-low", kinds.RATE_LOW, optimizer=rmsprop(1e-7)),
    operator,
    operator.but("branch-frozen", kinds.FROZEN.at("branch*", "trunk*"), change=frozen("branch", "trunk")),
    operator.but("one-wide", kinds.UNDERFITTING, width=1, watched=250),
    operator_tanh,
    operator_tanh.but("alike", kinds.SYMMETRIC.at("branch*", "trunk*"), draw=constant(0.1)),
    radial,
    splines,
    splines_sgd,
)
