"""Derivatives without the chain rule: central differences, extrapolated to a step of zero."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

_SHRINK = 1.6
_ROUNDS = 10


@dataclass(frozen=True)
class Difference:
    """A derivative from differences.

    Attributes:
        value: The derivative.
        error: How far it may be off: by extrapolation, and by rounding of the function's values.
    """

    value: float
    error: float


def central(function: Callable[[float], float], step: float = 0.02, eps: float = 2.0**-52) -> Difference:
    """The derivative of ``function`` at 0.

    Args:
        function: Of the distance moved; smooth around 0, or the error says that it is not.
        step: First and largest distance tried, in the units of h.
        eps: Relative rounding of the function's values.

    Source:
        Ridders 1982, "Accurate computation of F′(x) and F′(x)F″(x)", Advances in Engineering Software 4(2).
    """
    table: list[list[float]] = []
    best = Difference(math.nan, math.inf)
    for round_ in range(_ROUNDS):
        h = step / _SHRINK**round_
        high, low = function(h), function(-h)
        row = [(high - low) / (2 * h)]
        factor = _SHRINK**2
        for before in table[-1] if table else []:
            row.append((row[-1] * factor - before) / (factor - 1))
            factor *= _SHRINK**2
        rounding = max(abs(high), abs(low)) * eps / h
        if table:
            for column in range(1, len(row)):
                error = max(abs(row[column] - row[column - 1]), abs(row[column] - table[-1][column - 1]))
                if error + rounding <= best.error:
                    best = Difference(row[column], error + rounding)
        table.append(row)
    return best
