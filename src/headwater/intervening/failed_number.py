"""The number that failed: what a symptom is about, read off one measured step."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from headwater.diagnosis.rules.vanishing_through_time import ways_through_time
from headwater.diagnosis.waterfall import waterfall
from headwater.records import Flow


@dataclass(frozen=True)
class FailedNumber:
    """One number and which way it gets better.

    Attributes:
        statistic: Its name.
        read: Its value in a flow, ``None`` where the flow has none.
        better: 1 if more is better, -1 if less is.
    """

    statistic: str
    read: Callable[[Flow], float | None]
    better: int


def failed_number(symptom: str) -> FailedNumber | None:
    """What failed, by symptom; ``None`` where that is the loss and nothing else."""
    return _NUMBERS.get(symptom)


def _decades(flow: Flow) -> float | None:
    budget = waterfall(flow)
    return budget.decades if budget is not None and math.isfinite(budget.decades) else None


def _time_decades(flow: Flow) -> float | None:
    return min((decades for _, decades, _ in ways_through_time(flow)), default=None)


def _cosine_of_steps(flow: Flow) -> float | None:
    cosines = flow.training.cosines() if flow.training is not None else []
    return statistics.median(cosines) if cosines else None


def _largest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


_LOST = FailedNumber("decades", _decades, 1)
_NUMBERS = {
    "vanishing": _LOST,
    "underflow": _LOST,
    "exploding": FailedNumber("decades", _decades, -1),
    "dead_units": FailedNumber("dead_fraction", lambda flow: _largest(r.dead_fraction for r in flow.sites), -1),
    "saturation": FailedNumber(
        "saturated_fraction", lambda flow: _largest(r.saturated_fraction for r in flow.sites), -1
    ),
    "rank_collapse": FailedNumber("abs_cosine", lambda flow: _largest(r.abs_cosine for r in flow.sites), -1),
    "vanishing_through_time": FailedNumber("time_decades", _time_decades, 1),
    "oscillation": FailedNumber("gradient_cosine", _cosine_of_steps, 1),
}
