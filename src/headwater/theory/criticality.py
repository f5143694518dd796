"""The variances of weights and biases at which gradients neither vanish nor explode, and whether a network stays there.

At the edge of chaos χ₁ = 1. Any q > 0 gives one pair: σ_w² = 1/E[φ′²] makes χ₁ = 1 there, and σ_b² = q - σ_w² E[φ²]
makes q a fixed point. It exists if σ_b² ≥ 0, and a network stays at it if |V′(q)| = |1 + σ_w² E[φφ″]| < 1.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy.optimize import brentq

from headwater.records import InputError
from headwater.theory.checks import require_variance, require_weights
from headwater.theory.moments import GrowsTooFastError, curvature_moment, second_moment, slope_second_moment
from headwater.theory.nonlinearities import Nonlinearity, NonlinearityLike, nonlinearity

Stability = Literal["stable", "marginal", "unstable", "none"]

_Q = np.geomspace(1e-6, 1e4, 201)
_TINY_Q, _SMALL_Q = 1e-16, 1e-3  # one stands for 0, the other shows where things go near it
_NEAR_NONE = 1e-6  # the same at _TINY_Q, which is not quite 0
_NONE = 1e-9  # a σ_b²/q, or a 1 - V′, this small is 0: quadrature is exact to 1e-12


@dataclass(frozen=True)
class EdgeOfChaos:
    """A point at the edge of chaos, or that there is none.

    Attributes:
        stability: ``stable``: a network that starts near q* comes to it. ``marginal``: every q is fixed, as for ReLU.
            ``unstable``: χ₁ = 1, but q leaves q*. ``none``: what was asked for gives no χ₁ = 1.
        sigma_w2: Variance of √fan_in · W, dimensionless; NaN if there is none.
        sigma_b2: Variance of the biases, in units of q; NaN if there is none.
        q_star: Variance of the pre-activations; NaN if there is none, 0 where it is a limit.
        slope: V′(q*), dimensionless; NaN if there is none.
        stable_q: Intervals of q* in which this activation has a stable edge, whatever was asked for; (0, inf) is all.
    """

    stability: Stability
    sigma_w2: float
    sigma_b2: float
    q_star: float
    slope: float
    stable_q: tuple[tuple[float, float], ...]


def edge_of_chaos(
    phi: NonlinearityLike,
    *,
    sigma_w2: float | None = None,
    sigma_b2: float | None = None,
    q_star: float | None = None,
) -> EdgeOfChaos:
    """The edge of chaos of an activation, given one of the three numbers that fix it.

    Where two points answer, the stable one is returned, and of two stable ones that with the smaller q*.

    Args:
        phi: Id in the table, or a ``nonlinearity``.
        sigma_w2: Variance of √fan_in · W, > 0.
        sigma_b2: Variance of the biases, ≥ 0, in units of q.
        q_star: Variance of the pre-activations, > 0.

    Raises:
        InputError: If not exactly one of the three is given, or it is out of range.

    Example:
        >>> edge = edge_of_chaos("tanh", sigma_b2=0.05)
        >>> edge.stability, round(edge.sigma_w2, 4)
        ('stable', 1.761)
        >>> edge_of_chaos("softplus", sigma_b2=0.05).stability
        'none'

    Source:
        Schoenholz et al. 2017, arXiv:1611.01232; Hayou et al. 2019, arXiv:1902.06853, for the curve by q.
    """
    given = [value for value in (sigma_w2, sigma_b2, q_star) if value is not None]
    if len(given) != 1:
        raise InputError("pass one of sigma_w2, sigma_b2 and q_star, as in edge_of_chaos('tanh', sigma_b2=0.05).")
    f = nonlinearity(phi)
    if q_star is not None:
        require_variance(q_star)
        candidates = [q_star]
    elif sigma_b2 is not None:
        require_weights(1.0, sigma_b2)
        candidates = _solutions(f, lambda q: (_sigma_b2(f, q) - sigma_b2) / max(q, sigma_b2))
    else:
        require_weights(target := given[0])
        candidates = _solutions(f, lambda q: _sigma_w2(f, q) - target)
    found = [point for q in candidates if (point := _point(f, q))]
    if not found:
        return EdgeOfChaos("none", math.nan, math.nan, math.nan, math.nan, stable_q(f))
    order: tuple[Stability, ...] = ("stable", "marginal", "unstable")
    return min(found, key=lambda point: (order.index(point.stability), point.q_star))


def stable_q(phi: NonlinearityLike) -> tuple[tuple[float, float], ...]:
    """Intervals of q* in which an activation has a stable edge of chaos; none for softplus or the rectifiers.

    Looks from q = 1e-6 to 1e4 and takes what holds at an end to hold beyond it; stable is 1 - V′ above 1e-9.

    Raises:
        InputError: If the activation is unknown.
    """
    return _stable_q(nonlinearity(phi))


@lru_cache(maxsize=64)
def _stable_q(f: Nonlinearity) -> tuple[tuple[float, float], ...]:
    def margin(q: float) -> float:
        # Above 0 where the edge exists and is stable.
        if not _exists(f, q):
            return -1.0
        slope = _slope(f, q)
        return min(1.0 - _NONE - slope, 1.0 + slope, _sigma_b2(f, q) / q + _NONE)

    margins = [margin(float(q)) for q in _Q]
    edges = [0.0] if margins[0] > 0 else []
    edges += _sign_changes(margin, margins)
    edges += [math.inf] if margins[-1] > 0 else []
    return tuple(zip(edges[::2], edges[1::2], strict=True))


def _solutions(f: Nonlinearity, excess: Callable[[float], float]) -> list[float]:
    """Every q at which the excess is 0; 0 for the limit q → 0, and 1 where it is 0 for all q."""
    excesses = [excess(float(q)) if _exists(f, float(q)) else 0.0 for q in _Q]
    if not any(excesses) and not any(_exists(f, float(q)) for q in _Q):
        return []
    if all(abs(value) < _NONE for value in excesses):
        return [1.0]
    at_zero = [0.0] if abs(excess(_TINY_Q)) < _NEAR_NONE else []
    return at_zero + _sign_changes(excess, [0.0 if abs(value) < _NONE else value for value in excesses])


def _sign_changes(function: Callable[[float], float], values: list[float]) -> list[float]:
    """Where the function changes its sign between the points of the grid, passing over zeros."""
    knots = [(float(q), value) for q, value in zip(_Q, values, strict=True) if value != 0.0]
    return [
        float(brentq(function, low, high, xtol=1e-13, rtol=1e-13))
        for (low, left), (high, right) in itertools.pairwise(knots)
        if left * right < 0
    ]


def _point(f: Nonlinearity, q: float) -> EdgeOfChaos | None:
    """The edge at q*, if it is one; at q* = 0 its limit."""
    near = q or _TINY_Q
    if not _exists(f, near):
        return None
    sigma_w2, sigma_b2 = _sigma_w2(f, near), _sigma_b2(f, near)
    if sigma_b2 < -(_NONE if q else _NEAR_NONE) * near:
        return None
    # At q* = 0 the slope is 1, and what decides is whether q shrinks on its way there.
    slope = _slope(f, q) if q else 1.0
    decides = slope if q else sigma_w2 * second_moment(f, _SMALL_Q) / _SMALL_Q
    stability: Stability = "marginal" if abs(decides - 1.0) < _NONE else "stable" if abs(decides) < 1.0 else "unstable"
    return EdgeOfChaos(stability, sigma_w2, max(sigma_b2, 0.0) if q else 0.0, q, slope, stable_q(f))


def _exists(f: Nonlinearity, q: float) -> bool:
    """Whether some σ_w² makes χ₁ = 1 at q: not where φ is flat, nor where it grows so fast that nothing can be told."""
    try:
        return math.isfinite(_slope(f, q)) and math.isfinite(_sigma_b2(f, q))
    except GrowsTooFastError:
        return False


def _sigma_w2(f: Nonlinearity, q: float) -> float:
    steepness = slope_second_moment(f, q)
    return 1.0 / steepness if steepness > 0.0 else math.inf


def _sigma_b2(f: Nonlinearity, q: float) -> float:
    return q - _sigma_w2(f, q) * second_moment(f, q)


def _slope(f: Nonlinearity, q: float) -> float:
    return 1.0 + _sigma_w2(f, q) * curvature_moment(f, q)
