"""How far a prediction may itself be off: what it would say of longer inputs.

Where a network's length map is unstable, differences between the lengths of inputs grow from layer to layer (GELU, SiLU
and Mish near He's scale), until a few long inputs carry the mean square. No normal distribution has their tail, and two
batches of one network differ by tenths of a decade. A stable network says the same of longer inputs; a homogeneous one
says as much more as they are longer. Whatever grows beyond that is the uncertainty.
"""

from __future__ import annotations

import math
from itertools import accumulate
from typing import NamedTuple

from headwater.prediction.engine import Visited
from headwater.prediction.signal import Signal, Unknown

TOLERANCE = 0.05  # decades, by which what is expected of a stable network may be off as well
BOUND = 0.06  # decades beyond it, from which a network is called unstable; docs/log.md has what lies on either side
FROM = 0.001  # Σ 1/n over the layers, with as many units as elements; below it lengths hardly differ
_NOTICEABLE = 0.005  # decades at a site of such a network
_STRETCH = 3.0  # (ln of the longer inputs' mean square)² over Σ 1/n; √3 deviations, the outer node of Gauss and Hermite


class Uncertainty(NamedTuple):
    """By how many decades the expected rms may be off at a site; ``None`` where by no more than usual."""

    activation: float | None = None
    gradient: float | None = None


def stretch(visited: list[Visited]) -> float:
    """Logarithm of the factor by which longer inputs' mean square is larger; 0 in wide and in rectifier networks.

    Source:
        Hanin and Rolnick 2018, arXiv:1803.01719: ln of a length's square varies in proportion to Σ 1/n.
    """
    if not any(v.is_curved for v in visited):
        return 0.0
    layers = [v.signal for v in visited if v.site.kind == "affine" and isinstance(v.signal, Signal)]
    narrowness = sum(1 / signal.mean.numel() for signal in layers[:-1])
    return math.sqrt(_STRETCH * narrowness) if narrowness >= FROM else 0.0


def longer(signal: Signal, by: float) -> Signal:
    """The same input with a mean square e^``by`` times as large."""
    return Signal(signal.mean * math.exp(by / 2), signal.variance * math.exp(by))


def uncertainties(usual: list[Visited], of_longer: list[Visited], by: float) -> list[Uncertainty]:
    """Of each site, from what is found there for inputs as they are and for longer ones.

    Activations are as uncertain as long inputs have come to stand out on the way to the site, gradients as they come to
    stand out behind it.

    Args:
        usual: What was found for inputs as they are.
        of_longer: The same sites for inputs that are longer.
        by: ln of the factor between their mean squares.
    """
    decade = math.log(10.0)
    changes = [_change(a.signal, b.signal) for a, b in zip(usual, of_longer, strict=True)]
    activation = list(accumulate((max(0.0, change - by / 2 / decade) for change, _ in changes), max))
    gradient = list(accumulate((max(0.0, change) for _, change in reversed(changes)), max))[::-1]
    if max((*activation, *gradient), default=0.0) < BOUND:
        return [Uncertainty()] * len(usual)
    behind = [max(own, activation[-1] - before) for own, before in zip(gradient, activation, strict=True)]
    return [Uncertainty(_stated(a), _stated(g)) for a, g in zip(activation, behind, strict=True)]


def _change(usual: Signal | Unknown, of_longer: Signal | Unknown) -> tuple[float, float]:
    """Decades of rms from one to the other, of the activation and of the gradient; 0 where one is not known."""
    if not isinstance(usual, Signal) or not isinstance(of_longer, Signal):
        return 0.0, 0.0
    activation = _log10(of_longer.rms) - _log10(usual.rms)
    gradient = 0.0
    if usual.gradient is not None and of_longer.gradient is not None:
        gradient = of_longer.gradient.log10_rms - usual.gradient.log10_rms
    return (activation if math.isfinite(activation) else 0.0), (gradient if math.isfinite(gradient) else 0.0)


def _log10(rms: float) -> float:
    return math.log10(rms) if rms > 0 else -math.inf


def _stated(beyond: float) -> float | None:
    return TOLERANCE + beyond if beyond > _NOTICEABLE else None
