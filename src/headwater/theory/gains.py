"""How much an activation scales a signal on its way forward and a gradient on its way back."""

import math
from functools import cache
from typing import Any

from headwater.theory.activations import ACTIVATIONS
from headwater.theory.gaussian import expectation


@cache
def gain_forward(activation_id: str, **parameters: Any) -> float:
    """Factor on the weights that keeps the second moment, E[φ(z)²]^(-1/2) with z ~ N(0, 1), dimensionless.

    Example:
        >>> round(gain_forward("relu"), 5)
        1.41421

    Source:
        He et al. 2015, arXiv:1502.01852, section 2.2, for rectifiers; docs/theory.md has the gain of every
        activation.
    """
    activation = ACTIVATIONS[activation_id]
    return 1.0 / math.sqrt(expectation(lambda z: activation.phi(z, **parameters) ** 2, activation.kinks))


@cache
def gain_backward(activation_id: str, **parameters: Any) -> float:
    """Factor on the weights that keeps the gradient, E[φ′(z)²]^(-1/2) with z ~ N(0, 1), dimensionless.

    Source:
        Schoenholz et al. 2017, arXiv:1611.01232, the inverse root of χ₁ at q = 1.
    """
    activation = ACTIVATIONS[activation_id]
    return 1.0 / math.sqrt(expectation(lambda z: activation.derivative(z, **parameters) ** 2, activation.kinks))
