"""What dropout does to the maps of a wide network: a unit is kept with probability k and then divided by k.

E[mask²]/k² = 1/k, so that q and χ₁ see weights of variance σ_w²/k. Two inputs, or one input twice, get different masks:
their covariance does not have the 1/k, the map C no longer fixes c = 1, and every depth scale is finite.
"""

import math

from scipy.optimize import brentq

from headwater.theory.checks import require_keep, require_weights
from headwater.theory.correlation import correlation_slope, decorrelation_map
from headwater.theory.mean_field import length_map
from headwater.theory.moments import second_moment
from headwater.theory.nonlinearities import NonlinearityLike, nonlinearity


def dropout_sigma_w2(sigma_w2: float, keep: float) -> float:
    """σ_w²/k, what stands for σ_w² in ``length_map``, ``chi_1`` and ``q_star`` when a share k of the inputs is kept.

    Args:
        sigma_w2: Variance of √fan_in · W, dimensionless.
        keep: k, in (0, 1]; ``nn.Dropout(p)`` keeps 1 - p.

    Raises:
        InputError: If ``keep`` is no share, or the variance negative.

    Example:
        >>> dropout_sigma_w2(2.0, keep=0.5)
        4.0
    """
    require_keep(keep)
    require_weights(sigma_w2)
    return sigma_w2 / keep


def dropout_critical_sigma_w2(phi: NonlinearityLike, keep: float, q: float = 1.0) -> float:
    """σ_w² that keeps q where it is under dropout, k q / E[φ²]; 2k for ReLU, at any q.

    Args:
        phi: Id in the table, or a ``nonlinearity``.
        keep: k, in (0, 1].
        q: Variance of the pre-activations, > 0.

    Raises:
        InputError: If ``keep`` is no share, or ``q`` not positive.

    Example:
        >>> round(dropout_critical_sigma_w2("relu", keep=0.8), 12)
        1.6

    Source:
        Pretorius et al. 2018, "Critical initialisation for deep signal propagation in noisy rectifier neural networks".
    """
    require_keep(keep)
    return keep * q / second_moment(phi, q)


def dropout_correlation_map(
    phi: NonlinearityLike, c: float, q: float, sigma_w2: float, sigma_b2: float = 0.0, *, keep: float
) -> float:
    """Correlation after the next layer of inputs with masks of their own, (σ_w² E[φφ] + σ_b²)/(σ_w² E[φ²]/k + σ_b²).

    Args:
        phi: Id in the table, or a ``nonlinearity``.
        c: Correlation, in [-1, 1].
        q: Variance of the pre-activations, > 0.
        sigma_w2: Variance of √fan_in · W, dimensionless.
        sigma_b2: Variance of the biases, in units of q.
        keep: k, in (0, 1].

    Raises:
        InputError: If ``c`` is no correlation, ``keep`` no share, ``q`` not positive, or a variance negative.

    Example:
        >>> round(dropout_correlation_map("relu", 1.0, q=1.0, sigma_w2=1.6, keep=0.8), 12)
        0.8

    Source:
        Schoenholz et al. 2017, arXiv:1611.01232, on dropout.
    """
    f = nonlinearity(phi)
    without = length_map(f, q, sigma_w2, sigma_b2)
    shared = without * (1.0 - decorrelation_map(f, 1.0 - c, q, sigma_w2, sigma_b2))
    return shared / length_map(f, q, dropout_sigma_w2(sigma_w2, keep), sigma_b2)


def dropout_c_star(phi: NonlinearityLike, q: float, sigma_w2: float, sigma_b2: float = 0.0, *, keep: float) -> float:
    """The correlation that depth leads one input, run twice, to; below 1 for every k < 1.

    Args:
        phi: Id in the table, or a ``nonlinearity``.
        q: Variance of the pre-activations at its fixed point under dropout, > 0.
        sigma_w2: Variance of √fan_in · W, dimensionless.
        sigma_b2: Variance of the biases, in units of q.
        keep: k, in (0, 1).

    Raises:
        InputError: If ``keep`` is no share, ``q`` not positive, or a variance negative.
    """
    f = nonlinearity(phi)

    def gain(c: float) -> float:
        return dropout_correlation_map(f, c, q, sigma_w2, sigma_b2, keep=keep) - c

    if gain(1.0) >= -1e-12:
        return 1.0
    return float(brentq(gain, 0.0, 1.0, xtol=1e-13)) if gain(0.0) > 0.0 else 0.0


def dropout_depth_scale(
    phi: NonlinearityLike, q: float, sigma_w2: float, sigma_b2: float = 0.0, *, keep: float
) -> float:
    """ξ_c = -1/ln C′(c*) in layers, for two inputs with masks of their own: finite for every k < 1.

    Args:
        phi: Id in the table, or a ``nonlinearity``.
        q: Variance of the pre-activations at its fixed point under dropout, > 0.
        sigma_w2: Variance of √fan_in · W, dimensionless.
        sigma_b2: Variance of the biases, in units of q.
        keep: k, in (0, 1].

    Raises:
        InputError: If ``keep`` is no share, ``q`` not positive, or a variance negative.

    Source:
        Schoenholz et al. 2017, arXiv:1611.01232, on dropout.
    """
    likeness = dropout_c_star(phi, q, sigma_w2, sigma_b2, keep=keep)
    slope = correlation_slope(phi, likeness, q, sigma_w2)
    return math.inf if abs(slope - 1.0) < 1e-9 else -1.0 / math.log(slope)
