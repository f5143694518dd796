"""What the initialisations people use give a layer: the variance of a weight, and σ_w² = fan_in · Var[w]."""

import math
from collections.abc import Callable

from headwater.records import InputError

# fan_in, fan_out -> Var[w] at gain 1.
_VARIANCES: dict[str, Callable[[float, float], float]] = {
    "lecun": lambda fan_in, fan_out: 1.0 / fan_in,
    "he": lambda fan_in, fan_out: 1.0 / fan_in,
    "he_fan_out": lambda fan_in, fan_out: 1.0 / fan_out,
    "xavier": lambda fan_in, fan_out: 2.0 / (fan_in + fan_out),
    "orthogonal": lambda fan_in, fan_out: 1.0 / max(fan_in, fan_out),
    "torch_default": lambda fan_in, fan_out: 1.0 / (3.0 * fan_in),
    "unit_normal": lambda fan_in, fan_out: 1.0,
}
INITIALISATIONS = tuple(_VARIANCES)
_GAINS = {"he": math.sqrt(2.0), "he_fan_out": math.sqrt(2.0)}


def weight_variance(initialisation: str, fan_in: float, fan_out: float, gain: float | None = None) -> float:
    """Var[w] of an initialisation, dimensionless; the same for its normal and its uniform form.

    ``torch_default`` is that of ``nn.Linear`` and ``nn.ConvNd``, uniform within ±1/√fan_in; biases have that
    variance too. ``unit_normal`` with gain 0.01 is N(0, 0.01²). ``orthogonal`` is that of a matrix.

    Args:
        initialisation: One of ``INITIALISATIONS``.
        fan_in: Terms per output, ≥ 1, as ``fans`` counts them.
        fan_out: Outputs per input, ≥ 1.
        gain: Factor on the standard deviation; by default √2 for He and 1 for the others.

    Raises:
        InputError: If the name is unknown, or a number not positive.

    Example:
        >>> round(weight_variance("he", fan_in=100, fan_out=50), 12)
        0.02

    Source:
        Glorot & Bengio 2010 for Xavier; He et al. 2015, arXiv:1502.01852, for He.
    """
    if initialisation not in _VARIANCES:
        raise InputError(f"no initialisation {initialisation!r}: there are {', '.join(INITIALISATIONS)}.")
    factor = _GAINS.get(initialisation, 1.0) if gain is None else gain
    for name, number in (("fan_in", fan_in), ("fan_out", fan_out), ("gain", factor)):
        if not 0.0 < number < math.inf:
            raise InputError(f"{name} must be positive, got {number!r}: weight_variance('he', fan_in=100, fan_out=50).")
    return factor**2 * _VARIANCES[initialisation](fan_in, fan_out)


def initial_sigma_w2(initialisation: str, fan_in: float, fan_out: float, gain: float | None = None) -> float:
    """σ_w² = fan_in · Var[w], dimensionless: what the maps of this part take.

    Args:
        initialisation: One of ``INITIALISATIONS``.
        fan_in: Terms per output, ≥ 1, as ``fans`` counts them.
        fan_out: Outputs per input, ≥ 1.
        gain: Factor on the standard deviation; by default √2 for He and 1 for the others.

    Raises:
        InputError: If the name is unknown, or a number not positive.

    Example:
        >>> round(initial_sigma_w2("torch_default", fan_in=300, fan_out=300), 4)
        0.3333
        >>> initial_sigma_w2("xavier", fan_in=100, fan_out=300)
        0.5
    """
    return fan_in * weight_variance(initialisation, fan_in, fan_out, gain)
