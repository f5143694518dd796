"""Numbers that were logged by name, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Scalars:
    """Numbers that were logged by name, in order.

    Attributes:
        steps: Optimizer steps taken before.
        times: Seconds since 1970.
        codes: Of the names, their places in ``names``.
        names: Each once.
        values: NaN and Inf as they were.
    """

    steps: NDArray[np.int64]
    times: NDArray[np.float64]
    codes: NDArray[np.int32]
    names: tuple[str, ...]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.steps)


def scalars_of(entries: list[dict[str, Any]]) -> Scalars:
    """Of what a log holds."""
    rows = [(entry["step"], entry["time"], name, value) for entry in entries for name, value in entry["values"].items()]
    places: dict[str, int] = {}
    codes = [places.setdefault(name, len(places)) for _, _, name, _ in rows]
    return Scalars(
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.float64),
        np.array(codes, np.int32),
        tuple(places),
        np.array([row[3] for row in rows], np.float64),
    )
