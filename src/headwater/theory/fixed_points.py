"""Where the variance of a signal settles with depth, and whether gradients grow or shrink there."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from headwater.theory.checks import require_variance, require_weights
from headwater.theory.mean_field import chi_1, length_map, length_map_slope
from headwater.theory.moments import GrowsTooFastError
from headwater.theory.nonlinearities import Nonlinearity, NonlinearityLike, nonlinearity

Phase = Literal["ordered", "critical", "chaotic"]

LEAST_Q, GREATEST_Q = 1e-16, 1e8  # stand for 0 and infinity, where only limits exist
_SAME = 1e-11  # a relative change of q below is none: quadrature is exact to 1e-13
_BLOWN_UP = 1e12  # stands for a growth that cannot be told
_CRITICAL = 1e-6  # χ₁ - 1 below changes a gradient by 5 % in 100,000 layers


@dataclass(frozen=True)
class FixedPoint:
    """A variance q* that a layer hands on unchanged, V(q*) = q*.

    Attributes:
        q_star: Variance of the pre-activations; 0 and infinity are limits.
        slope: V′(q*), dimensionless.
        chi_1: Factor on the mean squared gradient per layer at q*, dimensionless.
        stable: Whether depth leads to it from nearby. A slope below -1/2 does not occur: E[φ²] falls with q as 1/√q at
            the fastest.
    """

    q_star: float
    slope: float
    chi_1: float
    stable: bool


@dataclass(frozen=True)
class FixedPoints:
    """All fixed points of a length map, in rising order.

    Attributes:
        points: Infinity is among them if the variance grows without bound from somewhere.
        every_q: V(q) = q for every q, as with He initialisation of ReLU; then there are no single points.
    """

    points: tuple[FixedPoint, ...]
    every_q: bool


def fixed_points(phi: NonlinearityLike, sigma_w2: float, sigma_b2: float = 0.0) -> FixedPoints:
    """Every q* with V(q*) = q*, 0 and infinity included.

    Args:
        phi: Id in the table, or a ``nonlinearity``.
        sigma_w2: Variance of √fan_in · W, dimensionless.
        sigma_b2: Variance of the biases, in units of q.

    Raises:
        InputError: If a variance is negative, or the activation is unknown.

    Example:
        >>> [round(point.q_star, 4) for point in fixed_points("tanh", sigma_w2=25 / 9).points]
        [0.0, 1.1785]

    Source:
        Poole et al. 2016, arXiv:1606.05340.
    """
    require_weights(sigma_w2, sigma_b2)
    return _fixed_points(nonlinearity(phi), sigma_w2, sigma_b2)


def q_star(phi: NonlinearityLike, sigma_w2: float, sigma_b2: float = 0.0, q: float = 1.0) -> float:
    """The variance that depth leads to from q: a fixed point of V, 0, or infinity.

    Args:
        phi: Id in the table, or a ``nonlinearity``.
        sigma_w2: Variance of √fan_in · W, dimensionless.
        sigma_b2: Variance of the biases, in units of q.
        q: Variance of the pre-activations of the first layer, > 0.

    Raises:
        InputError: If ``q`` is not positive, or a variance negative.

    Example:
        >>> round(q_star("tanh", sigma_w2=1.5, sigma_b2=0.05), 4)
        0.418
    """
    require_variance(q)
    found = fixed_points(phi, sigma_w2, sigma_b2)
    growth = length_map(phi, q, sigma_w2, sigma_b2) / q - 1.0
    if found.every_q or abs(growth) < _SAME:
        return q
    # V rises wherever E[φ²] does, so q never crosses a fixed point on its way.
    if growth > 0:
        reached = next((point for point in found.points if point.q_star > q), None)
    else:
        reached = next((point for point in reversed(found.points) if point.q_star < q), None)
    assert reached is not None, "V crosses the diagonal between two places where it lies on different sides of it"
    return reached.q_star


def at_limit(q: float) -> float:
    """A q that the formulas take, close enough to 0 or infinity for their limits."""
    return min(max(q, LEAST_Q), GREATEST_Q)


def phase(phi: NonlinearityLike, sigma_w2: float, sigma_b2: float = 0.0, q: float = 1.0) -> Phase:
    """Ordered (χ₁ < 1: gradients vanish), chaotic (χ₁ > 1: they explode) or critical, at the q* that q leads to.

    Args:
        phi: Id in the table, or a ``nonlinearity``.
        sigma_w2: Variance of √fan_in · W, dimensionless.
        sigma_b2: Variance of the biases, in units of q.
        q: Variance of the pre-activations of the first layer, > 0.

    Raises:
        InputError: As ``q_star``.

    Example:
        >>> phase("tanh", sigma_w2=1 / 3), phase("relu", sigma_w2=2.0), phase("tanh", sigma_w2=25 / 9)
        ('ordered', 'critical', 'chaotic')
    """
    gain = chi_1(phi, at_limit(q_star(phi, sigma_w2, sigma_b2, q)), sigma_w2)
    if abs(gain - 1.0) < _CRITICAL:
        return "critical"
    return "ordered" if gain < 1.0 else "chaotic"


@lru_cache(maxsize=256)
def _fixed_points(phi: Nonlinearity, sigma_w2: float, sigma_b2: float) -> FixedPoints:
    def growth(log_q: float) -> float:
        q = math.exp(log_q)
        try:
            return min(length_map(phi, q, sigma_w2, sigma_b2) / q - 1.0, _BLOWN_UP)
        except GrowsTooFastError:
            return _BLOWN_UP

    # At 0 itself V is known; above 0 it is larger, so that no fixed point lies below V(0).
    from_zero = sigma_w2 * float(phi.phi(np.zeros(1))[0]) ** 2 + sigma_b2
    least = min(1e-8, from_zero / 2.0) if from_zero > 0 else 1e-8
    log_q = np.linspace(math.log(least), math.log(GREATEST_Q), round(16 * math.log10(GREATEST_Q / least)) + 1)
    # Where q does not change it tells nothing of where it goes.
    knots = [(x, y) for x in log_q.tolist() if abs(y := growth(x)) > _SAME]
    if not knots:
        return FixedPoints((), every_q=True)
    points = [_interior(phi, math.exp(root), sigma_w2) for root in _roots(growth, knots)]
    if from_zero == 0.0:
        slope = length_map(phi, LEAST_Q, sigma_w2, sigma_b2) / LEAST_Q
        points.insert(0, FixedPoint(0.0, slope, chi_1(phi, LEAST_Q, sigma_w2), stable=knots[0][1] < 0.0))
    if knots[-1][1] > 0.0:
        slope = knots[-1][1] + 1.0
        points.append(FixedPoint(math.inf, *_at_infinity(phi, slope, sigma_w2), stable=True))
    return FixedPoints(tuple(points), every_q=False)


def _at_infinity(phi: Nonlinearity, slope: float, sigma_w2: float) -> tuple[float, float]:
    """Slope and χ₁; both infinite where the function grows faster than its moments can be told."""
    try:
        return slope, chi_1(phi, GREATEST_Q, sigma_w2)
    except GrowsTooFastError:
        return math.inf, math.inf


def _interior(phi: Nonlinearity, q: float, sigma_w2: float) -> FixedPoint:
    slope = length_map_slope(phi, q, sigma_w2)
    return FixedPoint(q, slope, chi_1(phi, q, sigma_w2), stable=abs(slope) < 1.0)


def _roots(growth: Callable[[float], float], knots: list[tuple[float, float]]) -> list[float]:
    """Where the growth changes its sign, also twice between two knots."""
    turns = []
    for (before, left), (_, here), (after, right) in zip(knots, knots[1:], knots[2:], strict=False):
        if left * here > 0 and here * right > 0 and abs(here) < min(abs(left), abs(right)):
            side = math.copysign(1.0, here)
            found = minimize_scalar(
                lambda x, side=side: side * growth(x), bounds=(before, after), method="bounded", options={"xatol": 1e-9}
            )
            turns.append((float(found.x), growth(float(found.x))))
    knots = sorted([*knots, *turns])
    return [
        float(brentq(growth, low, high, xtol=1e-14))
        for (low, left), (high, right) in itertools.pairwise(knots)
        if left * right < 0
    ]
