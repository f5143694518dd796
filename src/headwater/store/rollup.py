"""Many steps as one row: minimum, maximum, mean and last, so that a spike is never averaged away."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headwater.store.payloads import Table


def rolled_up(values: Table, starts: NDArray[np.int64]) -> dict[str, Table]:
    """Reduce along the first axis; what is NaN (not measured) has no say, and where all is NaN so is the result.

    Args:
        values: Steps first, any further axes.
        starts: Where each run of steps begins, from 0, rising.

    Returns:
        ``min``, ``max``, ``mean`` and ``last``, each with a row per start.
    """
    known = ~np.isnan(values)
    count = np.add.reduceat(known, starts, axis=0, dtype=np.int64)
    with np.errstate(invalid="ignore", over="ignore"):  # the mean of Inf and -Inf is nobody's
        total = np.add.reduceat(np.where(known, values, 0.0), starts, axis=0)
        mean = np.where(count, total / np.maximum(count, 1), np.nan)
    return {
        "min": np.fmin.reduceat(values, starts, axis=0),
        "max": np.fmax.reduceat(values, starts, axis=0),
        "mean": mean,
        "last": _last(values, known, starts),
    }


def _last(values: Table, known: NDArray[np.bool_], starts: NDArray[np.int64]) -> Table:
    """The last known value of each run."""
    index = np.arange(len(values)).reshape(-1, *([1] * (values.ndim - 1)))
    last = np.maximum.reduceat(np.where(known, index, -1), starts, axis=0)
    first = starts.reshape(-1, *([1] * (values.ndim - 1)))
    found = np.take_along_axis(values, np.maximum(last, 0), axis=0)
    return np.where(last >= first, found, np.nan)
