"""What normalising the pre-activations does to a gradient, in wide networks at initialisation.

Either kind fixes q at 1, and divides the gradient by the standard deviation that it took off the signal. The scale of
the weights cancels out, so no choice of it helps.
"""

import math

from headwater.records import InputError
from headwater.theory.moments import second_moment, slope_second_moment, variance
from headwater.theory.nonlinearities import NonlinearityLike, nonlinearity


def batch_norm_gradient_factor(phi: NonlinearityLike) -> float:
    """Factor on the gradient's rms per layer φ(BN(Wx)), √(E[φ′²]/Var[φ]) at q = 1, for a large batch.

    In a deep network the inputs of a batch have become uncorrelated, and a unit's variance over the batch is Var[φ].
    Above 1 but for linear φ: batch normalisation without shortcuts makes gradients explode with depth.

    Args:
        phi: Id in the table, or a ``nonlinearity``.

    Raises:
        InputError: If the activation is unknown, or constant.

    Example:
        >>> round(batch_norm_gradient_factor("relu"), 4)  # √(π / (π - 1))
        1.2112

    Source:
        Yang et al. 2019, arXiv:1902.08129.
    """
    f = nonlinearity(phi)
    return _root_ratio(slope_second_moment(f), variance(f), f.name)


def batch_norm_linear_gradient_factor(batch: int) -> float:
    """The same for linear φ and a small batch, √((B - 2)/(B - 3)): what normalising alone costs.

    Args:
        batch: Samples that are normalised together, B > 3.

    Raises:
        InputError: If there are 3 or fewer.

    Source:
        Yang et al. 2019, arXiv:1902.08129.
    """
    if batch <= 3:
        raise InputError(f"batch is the number of samples normalised together, above 3, got {batch!r}.")
    return math.sqrt((batch - 2) / (batch - 3))


def layer_norm_gradient_factor(phi: NonlinearityLike) -> float:
    """Factor on the gradient's rms per layer φ(LN(Wx)), √(E[φ′²]/E[φ²]) at q = 1, for wide layers.

    Of RMS normalisation too: the pre-activations of one sample have mean 0 over wide layers.

    Args:
        phi: Id in the table, or a ``nonlinearity``.

    Raises:
        InputError: If the activation is unknown, or 0 everywhere.

    Example:
        >>> round(layer_norm_gradient_factor("relu"), 12)
        1.0
    """
    f = nonlinearity(phi)
    return _root_ratio(slope_second_moment(f), second_moment(f), f.name)


def _root_ratio(steepness: float, size: float, name: str) -> float:
    if size <= 0.0:
        raise InputError(f"{name} does not vary, and there is nothing to normalise. Choose other parameters.")
    return math.sqrt(steepness / size)
