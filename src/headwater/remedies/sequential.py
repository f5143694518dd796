"""Looking after every seed, and still being wrong no more than once in twenty times.

A 95 % interval that is looked at after each seed, with leave to stop as soon as it excludes 0, excludes it in more
than 5 % of the cases where there is no effect. Here the error is spent over the looks instead, little at first
(O'Brien and Fleming's shape in the form of Lan and DeMets), and each look has a critical value of its own. The paired
differences are taken to be normal with unknown variance: then the joint law of Student's t after 2, 3, ... seeds knows
no parameter, and the critical values follow from simulating it once.

What this is poor for: differences that are strongly skewed, over few seeds. There the true error can be 14 %, nearly
all of it on the side away from the long tail (docs/log.md). An interval free of that assumption needs more seeds than
anybody runs: among 5 seeds, no test by signs or ranks ever reaches 5 % on both sides.

Source: Lan and DeMets 1983, "Discrete sequential boundaries for clinical trials", Biometrika 70:659; O'Brien and
Fleming 1979, Biometrics 35:549; repeated intervals: Jennison and Turnbull 1989, JRSS B 51:305; Jennison and Turnbull
2000, "Group Sequential Methods", chapter 11, for the t statistic.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise

import numpy as np
from scipy import special

CONFIDENCE = 0.95
# No look before: over two seeds the interval is two hundred times as wide as over many, and whether it excludes 0 is
# a matter of how nearly two numbers agree.
FIRST_LOOK = 3
_PATHS = 400_000  # so that a critical value is known to half a percent
_FEWEST = 400  # paths beyond a value for it to be read off them
_SAME = 1e-6  # relative: metrics nearer than this differ by rounding


def looks(seeds: int) -> tuple[int, ...]:
    """After which seeds a proof over ``seeds`` of them looks."""
    return tuple(range(min(FIRST_LOOK, seeds), seeds + 1))


@cache
def critical_values(seeds: int, ended: int | None = None) -> dict[int, float]:
    """Per look, how many standard errors the mean difference must be away from 0.

    Args:
        seeds: How many there will be at most, from 2.
        ended: The look at which the proof ended for a reason that has nothing to do with what was seen (its time was
            up): all of the error that is left is spent there, as at the last look of a proof that was to be so long
            (Lan and DeMets 1983: looks need not be planned as long as they do not hang on the data).

    Example:
        >>> {look: round(value, 1) for look, value in critical_values(3).items()}
        {3: 4.3}
    """
    alpha = 1 - CONFIDENCE
    last = seeds if ended is None else ended
    spent = [_spent(look / seeds, alpha) for look in looks(seeds) if look <= last]
    spent[-1] = alpha
    values: dict[int, float] = {}
    generator = np.random.default_rng(0)
    total = np.zeros(_PATHS)
    squares = np.zeros(_PATHS)
    inside = np.ones(_PATHS, dtype=bool)
    used = 0.0
    for n in range(1, last + 1):
        drawn = generator.standard_normal(_PATHS)
        total += drawn
        squares += drawn * drawn
        if n not in looks(seeds):
            continue
        share = spent[len(values)] - used
        used += share
        deviation = np.sqrt(np.maximum(squares - total**2 / n, 1e-300) / (n - 1))
        t = np.abs(total) / (np.sqrt(n) * deviation)
        values[n] = _critical(t[inside], share, n, first=not values)
        inside &= t <= values[n]
    return values


def _spent(time: float, alpha: float) -> float:
    """How much of the error may be used up when a share ``time`` of the seeds is there."""
    return float(2 * special.ndtr(special.ndtri(alpha / 2) / math.sqrt(time)))


def _critical(t: np.ndarray, share: float, n: int, first: bool) -> float:
    """The value that a share of all paths lies beyond; where that is exact, or too few for a count, by Student's t.

    Of the paths that are still inside, no more lie beyond Student's value than of all: to take it is on the safe side.
    """
    students = float(special.stdtrit(n - 1, 1 - share / 2))
    beyond = round(share * _PATHS)
    if first or beyond < _FEWEST:
        return students
    return float(np.partition(t, len(t) - beyond)[len(t) - beyond])


def interval(differences: Sequence[float], critical: float, resolution: float = 0.0) -> tuple[float, float]:
    """Mean of paired differences, give or take ``critical`` standard errors.

    Args:
        differences: At least two.
        critical: From :func:`critical_values`, or Student's quantile.
        resolution: Steps in which the metric moves: an accuracy over 100 samples moves in hundredths. Three seeds that
            differ by the same one sample have no spread at all, which proves nothing, so that each metric is taken to
            be rounded to such a step (variance step²/12, Sheppard 1898).

    Returns:
        Two NaNs if a difference is not finite.
    """
    if not all(map(math.isfinite, differences)):
        return math.nan, math.nan
    n, mean = len(differences), statistics.fmean(differences)
    variance = statistics.variance(differences) + 2 * resolution**2 / 12
    reach = critical * math.sqrt(variance / n)
    return mean - reach, mean + reach


def resolution_of(metrics: Iterable[float]) -> float:
    """The smallest step between two metrics that were seen; 0 if all are the same."""
    known = sorted({metric for metric in metrics if math.isfinite(metric)})
    steps = [after - before for before, after in pairwise(known)]
    scale = max((abs(metric) for metric in known), default=0.0)
    return min((step for step in steps if step > _SAME * scale), default=0.0)
