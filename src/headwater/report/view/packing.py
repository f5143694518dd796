"""Arrays inside JSON: little-endian float32 by byte planes, deflated, in base64; and columns that keep every spike."""

import base64
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headwater.report.view.levels import Levels

GRAIN = 256  # parts of a decade: log₁₀ is rounded to 0.9 %, less than the two digits that are shown


def packed(values: NDArray[np.float32]) -> str:
    """Base64 of the deflated byte planes of an array, row by row: all first bytes, then all second ones, and so on.

    Planes of one byte deflate to a third of what the floats as they stand do: signs and exponents hardly change from
    one step to the next.
    """
    flat = np.ascontiguousarray(values, dtype="<f4").reshape(-1)
    planes = flat.view(np.uint8).reshape(-1, 4).T
    return base64.b64encode(zlib.compress(planes.tobytes(), 6)).decode("ascii")


def unpacked(text: str, rows: int = 1) -> Levels:
    """What :func:`packed` was given, in so many rows.

    Raises:
        ValueError: If ``text`` is nothing of its kind.
    """
    try:
        data = zlib.decompress(base64.b64decode(text, validate=True))
    except zlib.error as error:
        raise ValueError(f"no deflated array: {error}") from error
    if len(data) % (4 * max(rows, 1)):
        raise ValueError(f"{len(data)} bytes are no array of float32 in {rows} rows")
    flat = np.frombuffer(data, dtype=np.uint8).reshape(4, -1).T.copy().view("<f4")
    return flat.reshape(rows, -1).astype(np.float32)


def grained(levels: Levels) -> Levels:
    """Levels rounded to the grain; NaN and the infinities stay."""
    with np.errstate(invalid="ignore"):
        return (np.round(levels * GRAIN) / GRAIN).astype(np.float32)


@dataclass(frozen=True)
class Columns:
    """How measured steps share columns.

    Attributes:
        starts: Index of the first measured step of each column.
        count: Measured steps.
    """

    starts: NDArray[np.int64]
    count: int

    @staticmethod
    def at_most(count: int, columns: int) -> "Columns":
        """Columns of equally many steps, the last perhaps of fewer."""
        width = max(-(-count // max(columns, 1)), 1)
        return Columns(np.arange(0, count, width, dtype=np.int64), count)

    @property
    def are_single(self) -> bool:
        """Whether each holds one step."""
        return len(self.starts) == self.count

    def first(self, steps: NDArray[np.int64]) -> NDArray[np.int64]:
        """The first step of each column."""
        return steps[self.starts]

    def last(self, steps: NDArray[np.int64]) -> NDArray[np.int64]:
        """The last step of each column."""
        return steps[np.append(self.starts[1:], self.count) - 1] if self.count else steps

    def lowest(self, levels: Levels) -> Levels:
        """The smallest of each column's levels: a zero in one step is a zero of the column; NaN only if all are."""
        return np.fmin.reduceat(levels, self.starts, axis=1) if self.count else levels

    def highest(self, levels: Levels) -> Levels:
        """The largest: a step with NaN or Inf marks its column."""
        return np.fmax.reduceat(levels, self.starts, axis=1) if self.count else levels
