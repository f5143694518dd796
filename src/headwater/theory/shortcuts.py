"""What a shortcut x + branch · F(x) does to the maps, for F(x) = Wφ(x) + b with fresh weights in every block.

Shortcut and branch are uncorrelated at initialisation, so their variances add, and so do those of the gradients.
"""

import math

from headwater.records import InputError
from headwater.theory.checks import require_depth
from headwater.theory.mean_field import chi_1, length_map
from headwater.theory.nonlinearities import NonlinearityLike


def shortcut_length_map(
    phi: NonlinearityLike, q: float, sigma_w2: float, sigma_b2: float = 0.0, *, skip: float = 1.0, branch: float = 1.0
) -> float:
    """Variance after a block skip · x + branch · (Wφ(x) + b): skip² q + branch² V(q).

    Args:
        phi: Id in the table, or a ``nonlinearity``.
        q: Variance of x, > 0.
        sigma_w2: Variance of √fan_in · W, dimensionless.
        sigma_b2: Variance of the biases, in units of q.
        skip: Factor on the shortcut.
        branch: Factor on the branch; 0 is ReZero at its start.

    Raises:
        InputError: If ``q`` is not positive, a variance negative, or a factor not finite.

    Example:
        >>> round(shortcut_length_map("relu", q=1.0, sigma_w2=2.0), 12)
        2.0

    Source:
        Yang & Schoenholz 2017, arXiv:1712.08969.
    """
    _require_finite(skip=skip, branch=branch)
    return skip**2 * q + branch**2 * length_map(phi, q, sigma_w2, sigma_b2)


def shortcut_chi_1(
    phi: NonlinearityLike, q: float, sigma_w2: float, *, skip: float = 1.0, branch: float = 1.0
) -> float:
    """Factor on the mean squared gradient of a block, skip² + branch² χ₁: at least skip², whatever the branch does.

    Args:
        phi: Id in the table, or a ``nonlinearity``.
        q: Variance of x, > 0.
        sigma_w2: Variance of √fan_in · W, dimensionless.
        skip: Factor on the shortcut.
        branch: Factor on the branch.

    Raises:
        InputError: If ``q`` is not positive, the variance negative, or a factor not finite.

    Example:
        >>> round(shortcut_chi_1("sigmoid", q=1.0, sigma_w2=1.0), 3)
        1.045

    Source:
        Yang & Schoenholz 2017, arXiv:1712.08969.
    """
    _require_finite(skip=skip, branch=branch)
    return skip**2 + branch**2 * chi_1(phi, q, sigma_w2)


def branch_for_depth(blocks: int) -> float:
    """1/√L, the factor on each of L branches with which all of them together change a variance by no more than e.

    (1 + χ/L)^L stays below exp(χ); with factor 1, He-initialised ReLU branches multiply the variance by 2^L.

    Args:
        blocks: Number of blocks L, ≥ 1.

    Raises:
        InputError: If ``blocks`` is below 1.

    Example:
        >>> branch_for_depth(100)
        0.1
    """
    require_depth(blocks)
    return 1.0 / math.sqrt(blocks)


def _require_finite(**factors: float) -> None:
    for name, factor in factors.items():
        if not math.isfinite(factor):
            raise InputError(f"{name} is a factor and must be finite, got {factor!r}; {name}=1.0 is a plain shortcut.")
