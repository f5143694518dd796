"""Moments of an activation whose input is normal with mean 0 and variance q."""

import math
from collections.abc import Callable

import numpy as np

from headwater.records import InputError
from headwater.theory.activation import Array
from headwater.theory.checks import require_variance
from headwater.theory.gaussian import Kinks, TooFastError, expectation
from headwater.theory.nonlinearities import Nonlinearity, NonlinearityLike, nonlinearity


class GrowsTooFastError(InputError):
    """A moment lies so far out that it cannot be computed, or is infinite."""


# An activation changes within a few units of x, which is a small part of a wide distribution.
BENDS = (-8.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 8.0)
_WIDE = 4.0


def breakpoints(phi: Nonlinearity, q: float) -> Kinks:
    """Where φ(√q z) is not smooth in z, or bends on a scale far below 1; for the quadratures."""
    bends = BENDS if q > _WIDE else ()
    towards = (cusp + side * 10.0**-k for cusp in phi.cusps for k in (2, 4, 6, 8) for side in (-1.0, 1.0))
    return tuple(x / math.sqrt(q) for x in {*phi.kinks, *bends, *towards})


def mean(phi: NonlinearityLike, q: float = 1.0) -> float:
    """E[φ(x)] with x ~ N(0, q), in units of φ: how far the next layer's inputs are off centre."""
    return _moment(phi, q, lambda f, x, z: f.phi(x))


def second_moment(phi: NonlinearityLike, q: float = 1.0) -> float:
    """E[φ(x)²] with x ~ N(0, q), in units of φ².

    Args:
        phi: Id in the table, or a ``nonlinearity``.
        q: Variance of the pre-activations, > 0.

    Raises:
        InputError: If ``q`` is not positive, the activation unknown, or not finite where x is.

    Example:
        >>> round(second_moment("relu", q=2.0), 12)
        1.0
    """
    return _moment(phi, q, lambda f, x, z: f.phi(x) ** 2)


def variance(phi: NonlinearityLike, q: float = 1.0) -> float:
    """Var[φ(x)] with x ~ N(0, q), in units of φ²; exact also where it is far below E[φ]²."""
    center = mean(phi, q)
    return _moment(phi, q, lambda f, x, z: (f.phi(x) - center) ** 2)


def slope_second_moment(phi: NonlinearityLike, q: float = 1.0) -> float:
    """E[φ′(x)²] with x ~ N(0, q), dimensionless: what the mean square of a gradient is multiplied by.

    Raises:
        InputError: If it is infinite, as for φ = √x at 0, or as ``second_moment``.
    """
    f = nonlinearity(phi)
    if f.infinite_slope is not None:
        raise InputError(
            f"the derivative of {f.name} grows without bound at {f.infinite_slope:g}, and E[φ′²] with it: no gradient "
            "gain exists. Make the function flatter there, as √(x² + ε) is for |x|."
        )
    return _moment(phi, q, lambda f, x, z: f.derivative(x) ** 2)


def curvature_moment(phi: NonlinearityLike, q: float = 1.0) -> float:
    """E[φ(x)φ″(x)] with x ~ N(0, q), dimensionless: what the length map's slope has beyond χ₁.

    From E[φφ′x]/q - E[φ′²], so that φ needs no second derivative and a kink counts as the peak of φ″ that it is.
    """
    with_z = _moment(phi, q, lambda f, x, z: f.phi(x) * f.derivative(x) * z)
    return with_z / math.sqrt(q) - slope_second_moment(phi, q)


def fourth_moment(phi: NonlinearityLike, q: float = 1.0) -> float:
    """E[φ(x)⁴] with x ~ N(0, q), in units of φ⁴: what makes layers of finite width fluctuate."""
    return _moment(phi, q, lambda f, x, z: f.phi(x) ** 4)


def _moment(phi: NonlinearityLike, q: float, integrand: Callable[[Nonlinearity, Array, Array], Array]) -> float:
    require_variance(q)
    f = nonlinearity(phi)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return expectation(lambda z: integrand(f, math.sqrt(q) * z, z), breakpoints(f, q))
    except TooFastError as error:
        raise GrowsTooFastError(
            f"{f.name} grows so fast that its moments at q = {q:g} lie beyond 12·√q, or are infinite. "
            "Limit it, as with np.clip(x, -limit, limit), or take a smaller q."
        ) from error
    except ValueError as error:
        raise InputError(
            f"{f.name} is not finite for every x within 13·√q of 0, q = {q:g}: its moments cannot be computed. "
            "Give it a value there, as with np.clip(x, -limit, limit), or take a smaller q."
        ) from error
