"""What a variance, a correlation and a gradient pass through, layer by layer, in a wide network at initialisation."""

import math

import numpy as np

from headwater.theory.activation import Array
from headwater.theory.checks import require_depth, require_variance, require_weights
from headwater.theory.correlation import decorrelation_map
from headwater.theory.mean_field import chi_1, length_map
from headwater.theory.nonlinearities import Nonlinearity, NonlinearityLike, nonlinearity

_LEAST, _GREATEST = 1e-280, 1e280  # beyond, squares leave float64


def length_trajectory(
    phi: NonlinearityLike, depth: int, sigma_w2: float, sigma_b2: float = 0.0, q: float = 1.0
) -> Array:
    """q₀, V(q₀), V(V(q₀)), …: variance of the pre-activations at the first layer and after each of ``depth`` more.

    Args:
        phi: Id in the table, or a ``nonlinearity``.
        depth: Number of layers, ≥ 1.
        sigma_w2: Variance of √fan_in · W, dimensionless.
        sigma_b2: Variance of the biases, in units of q.
        q: q₀, > 0.

    Returns:
        depth + 1 variances; 0 and infinity once the signal has left the range of float64.

    Raises:
        InputError: If ``depth`` is below 1, ``q`` not positive, or a variance negative.

    Example:
        >>> length_trajectory("relu", 3, sigma_w2=1.0).round(6).tolist()
        [1.0, 0.5, 0.25, 0.125]
    """
    require_depth(depth)
    require_variance(q)
    require_weights(sigma_w2, sigma_b2)
    f, lengths = nonlinearity(phi), [q]
    for _ in range(depth):
        lengths.append(_next_length(f, lengths[-1], sigma_w2, sigma_b2))
    return np.array(lengths)


def gradient_trajectory(
    phi: NonlinearityLike, depth: int, sigma_w2: float, sigma_b2: float = 0.0, q: float = 1.0
) -> Array:
    """|∂L/∂z| at the first layer over that at the layer l = 0 … depth further on, ∏ √χ₁(q_k) for k < l.

    Args:
        phi: Id in the table, or a ``nonlinearity``.
        depth: Number of layers, ≥ 1.
        sigma_w2: Variance of √fan_in · W, dimensionless.
        sigma_b2: Variance of the biases, in units of q.
        q: Variance of the first layer's pre-activations, > 0.

    Returns:
        depth + 1 ratios of root mean squares, dimensionless, the first of them 1.

    Raises:
        InputError: If ``depth`` is below 1, ``q`` not positive, or a variance negative.

    Example:
        >>> gradient_trajectory("relu", 2, sigma_w2=0.5).round(6).tolist()
        [1.0, 0.5, 0.25]

    Source:
        Schoenholz et al. 2017, arXiv:1611.01232.
    """
    lengths = length_trajectory(phi, depth, sigma_w2, sigma_b2, q)
    f = nonlinearity(phi)
    gains = [chi_1(f, min(max(length, _LEAST), _GREATEST), sigma_w2) for length in lengths[:-1]]
    with np.errstate(divide="ignore", over="ignore"):
        return np.exp(0.5 * np.concatenate([[0.0], np.cumsum(np.log(gains))]))


def correlation_trajectory(
    phi: NonlinearityLike, c: float, depth: int, sigma_w2: float, sigma_b2: float = 0.0, q: float = 1.0
) -> Array:
    """c₀, c₁, …: correlation of two inputs at the first layer and after each of ``depth`` more.

    Args:
        phi: Id in the table, or a ``nonlinearity``.
        c: c₀, in [-1, 1].
        depth: Number of layers, ≥ 1.
        sigma_w2: Variance of √fan_in · W, dimensionless.
        sigma_b2: Variance of the biases, in units of q.
        q: Variance of the first layer's pre-activations, the same for both inputs, > 0.

    Returns:
        depth + 1 correlations, in [-1, 1].

    Raises:
        InputError: If ``c`` is no correlation, ``depth`` below 1, ``q`` not positive, or a variance negative.

    Example:
        >>> correlation_trajectory("relu", 0.0, 2, sigma_w2=2.0).round(5).tolist()
        [0.0, 0.31831, 0.49373]
    """
    lengths = length_trajectory(phi, depth, sigma_w2, sigma_b2, q)
    f, apart = nonlinearity(phi), [1.0 - c]
    for length in lengths[:-1]:
        # An activation that is dying out or blowing up behaves as it does at the edge of the range.
        apart.append(decorrelation_map(f, apart[-1], min(max(length, _LEAST), _GREATEST), sigma_w2, sigma_b2))
    return np.array([c, *(1.0 - d for d in apart[1:])])


def _next_length(f: Nonlinearity, q: float, sigma_w2: float, sigma_b2: float) -> float:
    if q < _LEAST:
        return sigma_w2 * float(f.phi(np.zeros(1))[0]) ** 2 + sigma_b2
    if q > _GREATEST:
        return math.inf
    return length_map(f, q, sigma_w2, sigma_b2)
