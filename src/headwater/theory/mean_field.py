"""One wide layer at initialisation: what it does to the variance of a signal and to a gradient.

W_ij ~ N(0, σ_w²/fan_in), b_i ~ N(0, σ_b²); q is the variance of the pre-activations. ``correlation`` has what becomes
of two inputs, ``fixed_points`` where depth leads, ``trajectories`` what it passes on the way.
"""

from headwater.theory.checks import require_weights
from headwater.theory.moments import curvature_moment, second_moment, slope_second_moment
from headwater.theory.nonlinearities import NonlinearityLike


def length_map(phi: NonlinearityLike, q: float, sigma_w2: float, sigma_b2: float = 0.0) -> float:
    """Variance of the next layer's pre-activations, V(q) = σ_w² E[φ(√q z)²] + σ_b² with z ~ N(0, 1).

    Args:
        phi: Id in the table, or a ``nonlinearity``.
        q: Variance of this layer's pre-activations, > 0.
        sigma_w2: Variance of √fan_in · W, dimensionless.
        sigma_b2: Variance of the biases, in units of q.

    Raises:
        InputError: If ``q`` is not positive, or a variance negative.

    Example:
        >>> round(length_map("relu", q=3.0, sigma_w2=2.0), 12)
        3.0

    Source:
        Poole et al. 2016, arXiv:1606.05340, the length map.
    """
    require_weights(sigma_w2, sigma_b2)
    return sigma_w2 * second_moment(phi, q) + sigma_b2


def length_map_slope(phi: NonlinearityLike, q: float, sigma_w2: float) -> float:
    """V′(q) = χ₁ + σ_w² E[φφ″], dimensionless; a fixed point of V is stable where it lies within (-1, 1).

    Raises:
        InputError: If ``q`` is not positive, or ``sigma_w2`` negative.
    """
    return chi_1(phi, q, sigma_w2) + sigma_w2 * curvature_moment(phi, q)


def chi_1(phi: NonlinearityLike, q: float, sigma_w2: float) -> float:
    """Mean-field gradient gain of one layer, χ₁ = σ_w² E[φ′(√q z)²] with z ~ N(0, 1).

    The mean squared gradient is multiplied by χ₁ per layer (its rms by √χ₁): below 1 it vanishes with depth, above 1 it
    explodes, at 1 the network is at the edge of chaos.

    Args:
        phi: Id in the table, or a ``nonlinearity``.
        q: Variance of the pre-activations, > 0.
        sigma_w2: Variance of √fan_in · W, dimensionless.

    Returns:
        χ₁, dimensionless.

    Raises:
        InputError: If ``q`` is not positive, or ``sigma_w2`` negative.

    Example:
        >>> round(chi_1("relu", q=1.0, sigma_w2=2.0), 12)  # He initialisation of a ReLU network
        1.0

    Source:
        Schoenholz et al. 2017, arXiv:1611.01232, definition of χ₁.
    """
    require_weights(sigma_w2)
    return sigma_w2 * slope_second_moment(phi, q)
