"""What a flow map shows of a site at a step: one number, as log₁₀, with a place for zero and for what is not finite."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from headwater.records import Flow, Moments, SiteFlow

Kind = Literal["size", "fraction"]
Levels = NDArray[np.float32]

MISSING, ZERO, NONFINITE = math.nan, -math.inf, math.inf


@dataclass(frozen=True)
class Statistic:
    """One number per site and step.

    Attributes:
        name: As in the flow's table.
        kind: A ``size`` spans decades; a ``fraction`` lies between 0 and 1.
        read: Its log₁₀ at a site: NaN where it was not measured, -Inf for an exact zero, +Inf for NaN and Inf.
    """

    name: str
    kind: Kind
    read: Callable[[SiteFlow], float]


def of_moments(moments: Moments | None) -> float:
    """log₁₀ of the rms; of a tensor with NaN or Inf the finite rest is no level."""
    if moments is None:
        return MISSING
    if moments.nonfinite_count:
        return NONFINITE
    return MISSING if moments.log10_rms is None else moments.log10_rms


def of_number(value: float | None) -> float:
    """log₁₀ of a number that is not negative."""
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return NONFINITE
    return math.log10(value) if value > 0 else ZERO


STATISTICS: dict[str, Statistic] = {
    statistic.name: statistic
    for statistic in (
        Statistic("activation_grad_rms", "size", lambda row: of_moments(row.activation_grad)),
        Statistic("activation_rms", "size", lambda row: of_moments(row.activation)),
        Statistic("dead_fraction", "fraction", lambda row: of_number(row.dead_fraction)),
        Statistic("saturated_fraction", "fraction", lambda row: of_number(row.saturated_fraction)),
        Statistic("abs_cosine", "fraction", lambda row: of_number(row.abs_cosine)),
        Statistic("update_ratio", "size", lambda row: of_number(row.update_ratio)),
        Statistic("grad_rms", "size", lambda row: of_number(row.grad_rms)),
    )
}


def of_numbers(values: NDArray[np.float64], nonfinite: NDArray[np.float64] | None = None) -> Levels:
    """log₁₀ of recorded numbers, element by element; where anything was counted as NaN or Inf, the rest is no level.

    Args:
        values: None of them negative; NaN where nothing was measured.
        nonfinite: Elements that were NaN or Inf, of the same shape.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        levels = np.log10(values).astype(np.float32)
    if nonfinite is not None:
        levels[nonfinite > 0] = NONFINITE
    return levels


def levels_of(flows: Sequence[Flow], names: Sequence[str]) -> dict[str, Levels]:
    """Each statistic's levels, sites × steps; NaN where a site took no part in a step.

    Args:
        flows: One per measured step, oldest first.
        names: Of the sites, in the order of the rows.
    """
    place = {name: index for index, name in enumerate(names)}
    found = {name: np.full((len(names), len(flows)), np.nan, dtype=np.float32) for name in STATISTICS}
    for column, flow in enumerate(flows):
        for row in flow.sites:
            index = place.get(row.site.name)
            if index is not None:
                for name, statistic in STATISTICS.items():
                    found[name][index, column] = statistic.read(row)
    return found
