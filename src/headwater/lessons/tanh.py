"""tanh doubles the range of the sigmoid and is centred, yet still vanishes with depth.

Slope of the gradient by layer as in the lesson on vanishing, for both activations in both initialisations, over seeds.
At tanh's critical point, Xavier's, the gradient falls by a power of depth only; the theory of the slope is √χ₁ and, at
the critical point, its product along the trajectory of variances (Schoenholz et al. 2017, arXiv:1611.01232).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from headwater.api import check
from headwater.demo import cross_entropy
from headwater.lessons.data import digits
from headwater.lessons.lesson import Lesson, Outcome, Texts, log10
from headwater.lessons.networks import chain, deep
from headwater.records import Flow, Message
from headwater.records.message import Value
from headwater.records.picture import Curve, Panel, Picture, Table
from headwater.remedies.proof import t_interval
from headwater.theory import ACTIVATIONS, depth_scales, gradient_trajectory

DEPTHS = (4, 6, 8, 10, 20)  # at which a decade may be gone
DEEPEST = 50
WIDTH = 200
BATCH = 128
SEEDS = tuple(range(10))
TOLERANCE = 0.1  # of the decades lost per layer
POWER = 0.15  # decades over the whole depth, where they follow no straight line
X = np.linspace(-6.0, 6.0, 241)
INITS = {"default": (None, 1 / 3, 1 / (3 * WIDTH)), "xavier": ("init.xavier", 1.0, 0.0)}
"""Remedy, σ_w² and σ_b²: ``nn.Linear`` draws weights and biases of variance 1 / (3 fan_in)."""
T = Texts("tanh")


@dataclass(frozen=True)
class Measured:
    """One network.

    Attributes:
        levels: log₁₀ of the gradient's rms at each layer.
        mean: Of the first hidden layer's outputs.
        low: Smallest of them.
        high: Largest of them.
        q: Mean square of the first layer's pre-activations.
    """

    levels: list[float]
    mean: float
    low: float
    high: float
    q: float

    @property
    def lost(self) -> float:
        """Decades between the last hidden layer and the first."""
        return self.levels[-2] - self.levels[0]


def experiment() -> Outcome:
    """Networks of both activations in both initialisations, of each depth."""
    nets = {(name, init): _networks(name, init, DEEPEST) for name in ("sigmoid", "tanh") for init in INITS}
    slopes = {key: [decades_per_layer(net.levels) for net in row] for key, row in nets.items()}
    default = {depth: _networks("tanh", "default", depth) for depth in DEPTHS} | {DEEPEST: nets["tanh", "default"]}
    reached = next((d for d, row in default.items() if t_interval(_lost(row))[0] >= 1), DEEPEST)
    xavier = nets["tanh", "xavier"]
    scale = -log10(_factor("tanh", "default"))
    gap = float(np.abs(ACTIVATIONS["tanh"].phi(X) - (2 * ACTIVATIONS["sigmoid"].phi(2 * X) - 1)).max())
    checks = (
        T.within("twice", gap, 0.0, 1e-12),
        T.over_seeds("centred", [net.mean for net in xavier], low=-0.05, high=0.05),
        *(T.over_seeds(f"slower_{i}", _gains(slopes["tanh", i], slopes["sigmoid", i]), low=0.0) for i in INITS),
        T.over_seeds("slope", slopes["tanh", "default"], low=(1 - TOLERANCE) * scale, high=(1 + TOLERANCE) * scale),
        T.over_seeds("decade", _lost(default[reached]), low=1.0),
        T.over_seeds("power", [_beyond_theory(net) for net in xavier], low=-POWER, high=POWER),
    )
    values = {
        "depth": DEEPEST,
        "reached": reached,
        "decades": statistics.fmean(_lost(default[DEEPEST])),
        "xavier_left": 10 ** -statistics.fmean(_lost(xavier)),
        "tanh_mean": statistics.fmean(net.mean for net in xavier),
        "sigmoid_mean": statistics.fmean(net.mean for net in nets["sigmoid", "xavier"]),
        **{f"{name}_{init}": 10 ** -statistics.fmean(row) for (name, init), row in slopes.items()},
        "theory": 10**-scale,
    }
    columns = tuple(T(f"column.{key}") for key in ("activation", "init", "mean", "low", "high", "factor", "lost"))
    rows = tuple(_row(name, init, nets[name, init], slopes[name, init]) for name, init in nets)
    panels = (_functions(), *(_panel(init, nets) for init in INITS))
    return Outcome(
        checks, values, (Picture(T("summary", **values), panels),), (Table(T("table"), columns, rows),), SEEDS
    )


def gradient_levels(flow: Flow) -> list[float]:
    """log₁₀ of the gradient's rms at the output of each affine layer, the first one first."""
    rows = [row.activation_grad for row in flow.sites if row.site.kind == "affine" and row.activation_grad]
    return [moments.log10_rms for moments in rows if moments.log10_rms is not None]


def decades_per_layer(levels: Sequence[float]) -> float:
    """Decades lost from a layer to the one before it, away from both ends."""
    inner = levels[2:-2]
    return float(np.polyfit(range(len(inner)), inner, 1)[0])


def mean_levels(key: str, rows: Sequence[Sequence[float]], t: Texts) -> Curve:
    """Levels by layer, means over seeds with their intervals."""
    by_layer = list(zip(*rows, strict=True))
    low, high = zip(*map(t_interval, by_layer), strict=True)
    return t.curve(key, range(1, len(by_layer) + 1), [statistics.fmean(row) for row in by_layer], low=low, high=high)


def _flow(model: nn.Module) -> Flow:
    data = digits()
    return check(model, (data.x[:BATCH], data.y[:BATCH]), cross_entropy, sites=(nn.Linear, "1")).flow


def _networks(name: str, init: str, depth: int) -> list[Measured]:
    """One of them under each seed."""
    return [_measured(name, init, depth, seed) for seed in SEEDS]


def _measured(name: str, init: str, depth: int, seed: int) -> Measured:
    flow = _flow(chain(deep(depth, WIDTH), name, INITS[init][0], seed=seed))
    first = flow.site("0").activation
    out = flow.site("1").activation
    numbers = (out.mean, out.min, out.max, first.rms)
    mean, low, high, rms = (math.nan if number is None else number for number in numbers)
    return Measured(gradient_levels(flow), mean, low, high, rms**2)


def _factor(name: str, init: str) -> float:
    """What theory multiplies the gradient's rms by per layer."""
    _, sigma_w2, sigma_b2 = INITS[init]
    return depth_scales(name, sigma_w2, sigma_b2).chi_1 ** 0.5


def _beyond_theory(net: Measured) -> float:
    """Decades lost between first and last hidden layer, more than theory says for the variance that was measured."""
    hidden = len(net.levels) - 1
    return net.lost + log10(float(gradient_trajectory("tanh", hidden - 1, 1.0, q=net.q)[-1]))


def _lost(nets: Sequence[Measured]) -> list[float]:
    return [net.lost for net in nets]


def _gains(before: Sequence[float], after: Sequence[float]) -> list[float]:
    return [b - a for a, b in zip(before, after, strict=True)]


def _row(name: str, init: str, nets: Sequence[Measured], slopes: Sequence[float]) -> tuple[Value | Message, ...]:
    means = (statistics.fmean(getattr(net, part) for net in nets) for part in ("mean", "low", "high"))
    factor, lost = 10 ** -statistics.fmean(slopes), statistics.fmean(_lost(nets))
    return T(f"curve.{name}"), T(f"init.{init}"), *means, factor, lost


def _functions() -> Panel:
    """Both activations in one system."""
    curves = tuple(T.curve(name, X, ACTIVATIONS[name].phi(X)) for name in ("sigmoid", "tanh"))
    return Panel(T("panel.phi"), T.axis("x"), T.axis("phi", low=-1.1, high=1.1), curves)


def _panel(init: str, nets: dict[tuple[str, str], list[Measured]]) -> Panel:
    """The gradient by layer at the greatest depth."""
    rows = {name: [net.levels for net in nets[name, init]] for name in ("sigmoid", "tanh")}
    curves = tuple(mean_levels(name, levels, T) for name, levels in rows.items())
    return Panel(T(f"init.{init}"), T.axis("layer"), T.axis("gradient_rms", log10=True), curves)


LESSON = Lesson("tanh", experiment, seconds=10.0)
