"""How much an activation scales a signal on its way forward and a gradient on its way back."""

import math
from functools import cache
from typing import Any

from headwater.records import InputError
from headwater.theory.moments import mean, second_moment, slope_second_moment, variance
from headwater.theory.nonlinearities import Nonlinearity, activation_of, nonlinearity

_LINEAR = {"linear", *(f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3))}
_SELU = 0.75  # torch's choice; it keeps neither moment
_TANH = 5.0 / 3.0  # torch's choice; it keeps neither moment


@cache
def gain_forward(activation: str | Nonlinearity, **parameters: Any) -> float:
    """Factor on the weights that keeps the second moment, E[φ(z)²]^(-1/2) with z ~ N(0, 1), dimensionless.

    Raises:
        InputError: If the activation or a parameter is unknown, or φ is 0 everywhere.

    Example:
        >>> round(gain_forward("relu"), 5)
        1.41421

    Source:
        He et al. 2015, arXiv:1502.01852, section 2.2, for rectifiers; docs/theory.md has the gain of every
        activation.
    """
    phi = nonlinearity(activation, **parameters)
    return _inverse_root(second_moment(phi), phi, "is 0 everywhere")


@cache
def gain_backward(activation: str | Nonlinearity, **parameters: Any) -> float:
    """Factor on the weights that keeps the gradient, E[φ′(z)²]^(-1/2) with z ~ N(0, 1), dimensionless.

    Raises:
        InputError: If the activation or a parameter is unknown, or φ is flat everywhere.

    Source:
        Schoenholz et al. 2017, arXiv:1611.01232, the inverse root of χ₁ at q = 1.
    """
    phi = nonlinearity(activation, **parameters)
    return _inverse_root(slope_second_moment(phi), phi, "is flat everywhere")


@cache
def gain_sd(activation: str | Nonlinearity, **parameters: Any) -> float:
    """Factor on the activation that gives it unit variance, Var[φ(z)]^(-1/2) with z ~ N(0, 1), dimensionless.

    The γ of networks without normalisation whose weights are standardised, so that E[φ] is taken off.

    Raises:
        InputError: If the activation or a parameter is unknown, or φ is constant.

    Source:
        Brock et al. 2021, arXiv:2101.08692, "scaled weight standardization".
    """
    phi = nonlinearity(activation, **parameters)
    spread = variance(phi)
    # A constant leaves the square of what its mean was rounded by.
    return _inverse_root(spread if spread > 1e-24 * mean(phi) ** 2 else 0.0, phi, "is constant")


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The gain ``torch.nn.init.calculate_gain`` gives, and the forward gain where torch refuses.

    Torch's own are kept as they are, also where they keep no moment: 5/3 for tanh, 3/4 for SELU, 1 for sigmoid.

    Args:
        nonlinearity: Torch's name (``linear``, ``conv2d``, ``tanh``) or an id of the table (``gelu``, ``mish``).
        param: First parameter of the activation, such as the slope of ``leaky_relu`` or the α of ``elu``.

    Returns:
        Factor on the standard deviation of the weights, dimensionless.

    Raises:
        InputError: If the name or the parameter is unknown.

    Example:
        >>> calculate_gain("tanh")
        1.6666666666666667
        >>> round(calculate_gain("gelu"), 5)
        1.53353
    """
    fixed = {"sigmoid": 1.0, "tanh": _TANH, "selu": _SELU, "relu": math.sqrt(2.0)}
    if nonlinearity in _LINEAR:
        return 1.0
    if nonlinearity in fixed:
        return fixed[nonlinearity]
    activation = activation_of(nonlinearity)
    if param is None:
        return gain_forward(activation.id)
    if not activation.parameters or isinstance(param, bool | str):
        takes = next(iter(activation.parameters), None)
        raise InputError(
            f"{nonlinearity} takes no parameter {param!r}: "
            + (f"pass a number for {takes}." if takes else f"calculate_gain({nonlinearity!r}).")
        )
    return gain_forward(activation.id, **{next(iter(activation.parameters)): param})


def _inverse_root(moment: float, phi: Nonlinearity, fault: str) -> float:
    if moment <= 0.0:
        raise InputError(f"{phi.name} {fault}: no gain makes up for that. Choose other parameters.")
    return 1.0 / math.sqrt(moment)
