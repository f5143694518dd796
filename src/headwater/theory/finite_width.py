"""What layers that are not infinitely wide add to the averages: a spread over draws of the weights."""

import math
from collections.abc import Sequence

from scipy.special import digamma

from headwater.records import InputError
from headwater.theory.checks import require_depth
from headwater.theory.gains import gain_forward
from headwater.theory.mean_field import length_map, length_map_slope
from headwater.theory.moments import fourth_moment, second_moment
from headwater.theory.nonlinearities import NonlinearityLike, nonlinearity


def length_spread(phi: NonlinearityLike, q: float = 1.0) -> float:
    """κ = E[φ⁴]/E[φ²]² - 1: a layer of n units adds κ/n to the variance of ln|h|²; 5 for ReLU, 2 for linear.

    Args:
        phi: Id in the table, or a ``nonlinearity``.
        q: Variance of the pre-activations, > 0.

    Raises:
        InputError: If ``q`` is not positive, or φ is 0 everywhere.

    Example:
        >>> round(length_spread("relu"), 9), round(length_spread("identity"), 9)
        (5.0, 2.0)

    Source:
        Hanin & Rolnick 2018, arXiv:1803.01719, for ReLU; the constant is our own, and simulated in the tests.
    """
    size = second_moment(phi, q)
    if size <= 0.0:
        raise InputError(f"{nonlinearity(phi).name} is 0 everywhere: its output has no length that could vary.")
    return fourth_moment(phi, q) / size**2 - 1.0


def log_length_variance(
    phi: NonlinearityLike,
    widths: Sequence[int],
    sigma_w2: float | None = None,
    sigma_b2: float = 0.0,
    q: float = 1.0,
) -> float:
    """Var[ln|h|²] over draws of the weights after layers of these widths, to first order in 1/width.

    Each layer adds κ/n and hands on what it was given, times (d ln E[φ²] / d ln q)² for the part of q that the weights
    make: 1 for the rectifiers, whose spreads add up to κ Σ 1/n, and less for functions that saturate.

    Args:
        phi: Id in the table, or a ``nonlinearity``.
        widths: Units of each layer in turn, all ≥ 1.
        sigma_w2: Variance of √fan_in · W; the squared forward gain if not given.
        sigma_b2: Variance of the biases, in units of q.
        q: Variance of the first layer's pre-activations, > 0.

    Raises:
        InputError: If there are no widths or one is below 1, or a variance is out of range.

    Example:
        >>> round(log_length_variance("relu", [50] * 20), 9)
        2.0

    Source:
        Hanin & Rolnick 2018, arXiv:1803.01719, for Σ 1/n.
    """
    f = nonlinearity(phi)
    if not widths or any(width < 1 for width in widths):
        raise InputError(f"widths are the numbers of units of the layers, all at least 1, got {list(widths)!r}.")
    weights = gain_forward(f) ** 2 if sigma_w2 is None else sigma_w2
    spread, by_the_weights = 0.0, 0.0  # the input is given, and does not vary
    for width in widths:
        elasticity = by_the_weights * q * length_map_slope(f, q, 1.0) / second_moment(f, q)
        spread = elasticity**2 * spread + length_spread(f, q) / width
        following = length_map(f, q, weights, sigma_b2)
        by_the_weights, q = (following - sigma_b2) / following, following
    return spread


def median_log_length(variance: float) -> float:
    """What the median of ln|h|² is below the logarithm of its mean, -variance/2, where |h|² is lognormal.

    Args:
        variance: Of ln|h|², ≥ 0.

    Raises:
        InputError: If it is negative.

    Example:
        >>> median_log_length(2.0)
        -1.0
    """
    if variance < 0.0:
        raise InputError(f"variance cannot be negative, got {variance!r}; log_length_variance gives it.")
    return -variance / 2.0


def gaussian_product_edge(depth: int) -> float:
    """Largest squared singular value of a product of L square Gaussian matrices with σ_w² = 1, (L+1)^(L+1)/L^L.

    The mean squared one stays 1, and near e(L + ½) is the largest: most others are close to 0. Those of orthogonal
    matrices all stay 1.

    Args:
        depth: Number of matrices L, ≥ 1.

    Raises:
        InputError: If ``depth`` is below 1.

    Example:
        >>> gaussian_product_edge(1)
        4.0

    Source:
        Penson & Życzkowski 2011, "Product of Ginibre matrices: Fuss–Catalan and Raney distributions".
    """
    require_depth(depth)
    return math.exp((depth + 1) * math.log(depth + 1) - depth * math.log(depth))


def gaussian_merging_depth(width: int, cosine: float) -> float:
    """Layers after which independently drawn weights of this width have turned any two inputs into one direction.

    A product of Gaussian matrices stretches one direction more than all others, whatever their variance: the sine of
    the angle between two vectors falls by exp(λ₂ - λ₁) per layer, λ₁ - λ₂ = ½(ψ(n/2) - ψ((n-1)/2)) ≈ 1/(2n). So with
    more than a few times n layers no draw of independent weights will do; orthogonal ones do not merge anything. For an
    activation that is nearly linear, such as tanh of small inputs, this is what mean field does not see.

    Args:
        width: Units of each layer, n ≥ 2.
        cosine: From which on inputs count as merged, in (1/2, 1).

    Raises:
        InputError: If ``width`` or ``cosine`` is out of range.

    Example:
        >>> gaussian_merging_depth(64, 0.9999)
        533

    Source:
        Newman 1986, "The distribution of Lyapunov exponents: exact results for random matrices", for λ; simulated in
        the tests.
    """
    if width < 2 or not 0.5 < cosine < 1.0:
        raise InputError(
            f"width is at least 2 and cosine between 0.5 and 1, got {width!r} and {cosine!r}: "
            "gaussian_merging_depth(64, 0.9999)."
        )
    per_layer = float(digamma(width / 2) - digamma((width - 1) / 2))
    return math.ceil(-math.log(2.0 * (1.0 - cosine)) / per_layer)
