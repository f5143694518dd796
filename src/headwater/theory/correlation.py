"""What a wide layer at initialisation does to the likeness of two inputs.

c is the correlation of their pre-activations, d = 1 - c how far they are from being the same.
"""

import math

from scipy.optimize import brentq

from headwater.records import InputError
from headwater.theory.checks import require_variance, require_weights
from headwater.theory.gaussian import expectation_of_pair, mean_squared_difference
from headwater.theory.mean_field import chi_1, length_map
from headwater.theory.moments import breakpoints
from headwater.theory.nonlinearities import NonlinearityLike, nonlinearity

_LEAST = 1e-12  # a 1 - c below is none


def correlation_map(phi: NonlinearityLike, c: float, q: float, sigma_w2: float, sigma_b2: float = 0.0) -> float:
    """Correlation of two inputs after the next layer, C(c) = (σ_w² E[φ(u₁)φ(u₂)] + σ_b²) / V(q).

    u₁, u₂ ~ N(0, q) with correlation c; both inputs have the same q.

    Args:
        phi: Id in the table, or a ``nonlinearity``.
        c: Correlation, in [-1, 1].
        q: Variance of the pre-activations, > 0; q* for the map that depth repeats.
        sigma_w2: Variance of √fan_in · W, dimensionless.
        sigma_b2: Variance of the biases, in units of q.

    Raises:
        InputError: If ``c`` is no correlation, ``q`` not positive, or a variance negative.

    Example:
        >>> round(correlation_map("relu", c=0.0, q=1.0, sigma_w2=2.0), 5)
        0.31831

    Source:
        Poole et al. 2016, arXiv:1606.05340, the correlation map; Cho & Saul 2009, "Kernel methods for deep
        learning", for the closed form of ReLU.
    """
    return 1.0 - decorrelation_map(phi, 1.0 - c, q, sigma_w2, sigma_b2)


def decorrelation_map(phi: NonlinearityLike, d: float, q: float, sigma_w2: float, sigma_b2: float = 0.0) -> float:
    """1 - C(1 - d) = σ_w² E[(φ(u₁) - φ(u₂))²] / 2V(q), which keeps its digits where two inputs nearly agree.

    Args:
        phi: Id in the table, or a ``nonlinearity``.
        d: 1 - c, in [0, 2].
        q: Variance of the pre-activations, > 0.
        sigma_w2: Variance of √fan_in · W, dimensionless.
        sigma_b2: Variance of the biases, in units of q.

    Raises:
        InputError: If ``d`` is out of range, ``q`` not positive, a variance negative, or V(q) = 0.
    """
    require_weights(sigma_w2, sigma_b2)
    require_variance(q)
    _require_decorrelation(d)
    f, root = nonlinearity(phi), math.sqrt(q)
    length = length_map(f, q, sigma_w2, sigma_b2)
    if length <= 0.0:
        raise InputError(f"{f.name} with sigma_w2={sigma_w2!r} lets nothing through, so nothing is correlated.")
    apart = mean_squared_difference(lambda z: f.phi(root * z), d, breakpoints(f, q))
    return sigma_w2 * apart / (2.0 * length)


def correlation_slope(phi: NonlinearityLike, c: float, q: float, sigma_w2: float) -> float:
    """σ_w² E[φ′(u₁)φ′(u₂)], dimensionless: C′(c) at a fixed point q = V(q), and χ₁ at c = 1.

    It is also what the product of the gradients of two inputs is multiplied by per layer.

    Raises:
        InputError: If ``c`` is no correlation, ``q`` not positive, or ``sigma_w2`` negative.
    """
    require_weights(sigma_w2)
    require_variance(q)
    _require_decorrelation(1.0 - c)
    f, root = nonlinearity(phi), math.sqrt(q)
    kinks = breakpoints(f, q)
    return sigma_w2 * expectation_of_pair(
        lambda z: f.derivative(root * z), lambda z: f.derivative(root * z), c, kinks, kinks
    )


def c_star(phi: NonlinearityLike, q: float, sigma_w2: float, sigma_b2: float = 0.0) -> float:
    """The correlation that depth leads any two inputs to: 1 if χ₁ ≤ 1, and the fixed point of C below 1 otherwise.

    Args:
        phi: Id in the table, or a ``nonlinearity``.
        q: Variance of the pre-activations at its fixed point q*, > 0.
        sigma_w2: Variance of √fan_in · W, dimensionless.
        sigma_b2: Variance of the biases, in units of q.

    Raises:
        InputError: If ``q`` is not positive, or a variance negative.

    Source:
        Poole et al. 2016, arXiv:1606.05340.
    """
    f = nonlinearity(phi)
    slope = chi_1(f, q, sigma_w2) * q / length_map(f, q, sigma_w2, sigma_b2)
    if slope <= 1.0 or _growth(f, _LEAST, q, sigma_w2, sigma_b2) <= 0.0:
        return 1.0
    if _growth(f, 1.0, q, sigma_w2, sigma_b2) >= -1e-12:
        return 0.0
    # C is convex on [0, 1], being a power series without negative terms: there is one fixed point besides 1.
    log_d = brentq(lambda t: _growth(f, math.exp(t), q, sigma_w2, sigma_b2), math.log(_LEAST), 0.0, xtol=1e-14)
    return 1.0 - math.exp(log_d)


def _growth(f: NonlinearityLike, d: float, q: float, sigma_w2: float, sigma_b2: float) -> float:
    """By what share of itself 1 - c grows in a layer."""
    return decorrelation_map(f, d, q, sigma_w2, sigma_b2) / d - 1.0


def _require_decorrelation(d: float) -> None:
    if not 0.0 <= d <= 2.0:
        raise InputError(f"a correlation c lies within [-1, 1], so that 1 - c is within [0, 2]; got 1 - c = {d!r}.")
