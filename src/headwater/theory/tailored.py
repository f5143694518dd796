"""Activations made to measure for a plain deep network: a leaky slope (TAT), or a smooth φ shifted and scaled (DKS).

Both keep what two inputs have to do with each other through L activation layers, where the plain activation would merge
them. The input must have q = 1 (normalise it to a mean square of 1), and biases start at 0.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq

from headwater.records import InputError
from headwater.theory.checks import require_depth
from headwater.theory.gaussian import rule
from headwater.theory.moments import BENDS
from headwater.theory.nonlinearities import Nonlinearity, NonlinearityLike, nonlinearity

ETA = 0.9  # end-to-end correlation of orthogonal inputs, the default of arXiv:2203.08120
ZETA = 1.5  # end-to-end slope C′(1), the default of arXiv:2110.01765

_GREATEST_ALPHA = 8.0
_SHALLOW = 4  # layers below which smooth functions may not bend enough either
_BETAS = np.concatenate([[0.0], np.geomspace(1e-3, 0.05, 6), np.arange(0.1, 6.0, 0.1)])


@dataclass(frozen=True)
class TailoredLeaky:
    """Slope and gain of a leaky ReLU for a network of given depth.

    Attributes:
        negative_slope: φ′ below 0.
        gain: √(2/(1 + slope²)), on weights of σ_w² = 1 (orthogonal ones are best), so that q stays 1.
    """

    negative_slope: float
    gain: float


@dataclass(frozen=True)
class TailoredActivation:
    """φ̂(x) = γ(φ(αx + β) + δ), with E[φ̂] = 0 and E[φ̂²] = 1 for x ~ N(0, 1), for weights of σ_w² = 1.

    Attributes:
        base: φ.
        alpha: Factor on the input.
        beta: Added to it.
        delta: Added to the output.
        gamma: Factor on that.
    """

    base: Nonlinearity
    alpha: float
    beta: float
    delta: float
    gamma: float

    def nonlinearity(self) -> Nonlinearity:
        """φ̂ with its derivative, for the formulas of this part."""
        return Nonlinearity(
            f"tailored {self.base.name}",
            lambda x: self.gamma * (self.base.phi(self.alpha * x + self.beta) + self.delta),
            lambda x: self.gamma * self.alpha * self.base.derivative(self.alpha * x + self.beta),
            tuple((kink - self.beta) / self.alpha for kink in self.base.kinks),
        )


def leaky_correlation_map(c: float, negative_slope: float) -> float:
    """C(c) of a leaky ReLU at any q, c + (1-a)²/(π(1+a²)) · (√(1-c²) - c arccos c), in closed form.

    Args:
        c: Correlation, in [-1, 1].
        negative_slope: a, dimensionless; 0 is ReLU.

    Raises:
        InputError: If ``c`` is no correlation.

    Example:
        >>> round(leaky_correlation_map(0.0, negative_slope=0.0), 5)
        0.31831

    Source:
        Cho & Saul 2009, "Kernel methods for deep learning", for ReLU; Zhang et al. 2022, arXiv:2203.08120, for others.
    """
    if not -1.0 <= c <= 1.0:
        raise InputError(f"c is a correlation, from -1 to 1, got {c!r}.")
    bend = (1.0 - negative_slope) ** 2 / (math.pi * (1.0 + negative_slope**2))
    # The two terms cancel near c = 1: the difference is exact to 1e-16, not to a share of itself.
    return min(1.0, c + bend * (math.sqrt((1.0 - c) * (1.0 + c)) - c * math.acos(c)))


def tailored_leaky(depth: int, eta: float = ETA) -> TailoredLeaky:
    """The leaky slope with which orthogonal inputs come out of L activation layers with correlation ``eta`` (TAT).

    Args:
        depth: Number of activation layers L of a plain network, ≥ 1.
        eta: Correlation at the output, above 0 and below 1.

    Raises:
        InputError: If ``depth`` is below 1, or not even ReLU brings inputs as close as ``eta`` in so few layers.

    Example:
        >>> round(tailored_leaky(100).negative_slope, 5)
        0.57044

    Source:
        Zhang et al. 2022, arXiv:2203.08120, "tailored activation transformation".
    """
    require_depth(depth)
    if not 0.0 < eta < 1.0:
        raise InputError(f"eta is the correlation to end with, above 0 and below 1, got {eta!r}; the paper has 0.9.")

    def excess(slope: float) -> float:
        c = 0.0
        for _ in range(depth):
            c = leaky_correlation_map(c, slope)
        return c - eta

    if excess(0.0) < 0.0:
        raise InputError(
            f"{_layers(depth)} of ReLU, the strongest bend, can bring orthogonal inputs only to correlation "
            f"{excess(0.0) + eta:.3f}, below eta={eta!r}: so shallow a network needs no tailoring. Keep ReLU, or pass "
            "a smaller eta."
        )
    slope = float(brentq(excess, 0.0, 1.0, xtol=1e-12))
    return TailoredLeaky(slope, math.sqrt(2.0 / (1.0 + slope**2)))


def tailored_activation(phi: NonlinearityLike, depth: int, zeta: float = ZETA) -> TailoredActivation:
    """A smooth activation made nearly linear, just so much that C_L′(1) = zeta over L activation layers (DKS).

    Solves Q′(1) = 1 and C′(1) = E[φ̂′²] = zeta^(1/L) for α and β; δ and γ make E[φ̂] = 0 and E[φ̂²] = 1. Of several
    solutions the one with the smallest |β| is taken, and of those the one with β > 0.

    Args:
        phi: Id in the table, or a ``nonlinearity``.
        depth: Number of activation layers L of a plain network, ≥ 1.
        zeta: Slope of the correlation map at 1 over the whole network, above 1.

    Raises:
        InputError: If ``depth`` or ``zeta`` is out of range, or no shift and scale do it, as for piecewise linear φ.

    Example:
        >>> tailored = tailored_activation("tanh", depth=100)
        >>> round(tailored.alpha, 4), round(tailored.gamma, 2)
        (0.0904, 14.9)

    Source:
        Martens et al. 2021, arXiv:2110.01765, "deep kernel shaping".
    """
    require_depth(depth)
    if not 1.0 < zeta < math.inf:
        raise InputError(
            f"zeta is the end-to-end slope of the correlation map, above 1, got {zeta!r}; the paper has 1.5."
        )
    return _tailored(nonlinearity(phi), depth, zeta)


@lru_cache(maxsize=64)
def _tailored(f: Nonlinearity, depth: int, zeta: float) -> TailoredActivation:
    target = math.expm1(math.log(zeta) / depth)
    for low, high in _brackets(f, target):
        try:
            beta = float(brentq(lambda b: _imbalance(f, target, b), low, high, xtol=1e-13))
        except ValueError:  # no α inside the interval: brentq refuses NaN
            continue
        # Where the imbalance jumps over 0, at a kink, there is nothing to find.
        if abs(_imbalance(f, target, beta)) < 1e-9:
            shape = _shape(f, _alpha(f, target, beta), beta)
            return TailoredActivation(f, shape.alpha, beta, -shape.mean, 1.0 / math.sqrt(shape.variance))
    instead = (
        "Where it is smooth, a greater depth or a zeta closer to 1 asks for less; tailored_leaky shapes a ReLU."
        if depth < _SHALLOW
        else "For tanh, gelu, softplus and other smooth ones they do; for rectifiers take tailored_leaky."
    )
    raise InputError(
        f"{f.name} cannot be shaped for {_layers(depth)} with zeta={zeta!r}: no shift and scale bend it by that and "
        f"keep q at 1. {instead}"
    )


def _layers(depth: int) -> str:
    return f"{depth} layer{'s' if depth > 1 else ''}"


@dataclass(frozen=True)
class _Shape:
    """φ(αz + β) with z ~ N(0, 1): its mean and variance, and C′(1) - 1 and Q′(1) - 1 once these are 0 and 1."""

    alpha: float
    mean: float
    variance: float
    bend: float
    drift: float


def _shape(f: Nonlinearity, alpha: float, beta: float) -> _Shape:
    z, weights = rule(tuple((x - beta) / alpha for x in {*f.kinks, *(BENDS if alpha > 2.0 else ())}))
    values, slopes = f.phi(alpha * z + beta), alpha * f.derivative(alpha * z + beta)
    if not (np.all(np.isfinite(values)) and np.all(np.isfinite(slopes))):
        raise InputError(f"{f.name} is not finite within 13·{alpha:.3g} of {beta:.3g}, so it cannot be shaped.")
    mean = float(np.sum(weights * values))
    values = values - mean
    variance = float(np.sum(weights * values**2))
    if variance <= 1e-20 * mean**2:
        return _Shape(alpha, mean, variance, math.nan, math.nan)
    bend = float(np.sum(weights * slopes**2)) / variance - 1.0
    drift = float(np.sum(weights * values * slopes * z)) / variance - 1.0
    return _Shape(alpha, mean, variance, bend, drift)


def _alpha(f: Nonlinearity, target: float, beta: float) -> float:
    """The smallest α whose bend is the target; NaN if there is none."""
    low, alpha = math.nan, math.sqrt(target) / 50.0  # the bend of a smooth function is about (φ″/φ′)² α²/2
    while (alpha := 1.5 * alpha) < _GREATEST_ALPHA:
        bend = _shape(f, alpha, beta).bend
        if bend < target:
            low = alpha
        elif math.isnan(low):
            break  # a kink at β bends at any scale
        else:
            return float(brentq(lambda a: _shape(f, a, beta).bend - target, low, alpha, xtol=1e-15))
    return math.nan


def _imbalance(f: Nonlinearity, target: float, beta: float) -> float:
    """Q′(1) - 1 at the α that the target asks for; NaN if there is none."""
    alpha = _alpha(f, target, beta)
    return math.nan if math.isnan(alpha) else _shape(f, alpha, beta).drift


def _brackets(f: Nonlinearity, target: float) -> Iterator[tuple[float, float]]:
    """Intervals of β in which the imbalance changes its sign, from 0 outward, the positive side first."""
    before = dict.fromkeys((1.0, -1.0), _imbalance(f, target, 0.0))
    for near, far in itertools.pairwise(_BETAS.tolist()):
        for sign in (1.0, -1.0):
            here = _imbalance(f, target, sign * far)
            if before[sign] * here <= 0.0:
                yield sign * near, sign * far
            before[sign] = here
