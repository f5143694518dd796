"""Coarse rollups of several logs in one file: what is read of a long run must not be spread over a thousand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headwater.store.layout import MOST_GATHERED, NewerFormatError, SegmentName, segment_of
from headwater.store.payloads import PayloadError, Table
from headwater.store.segments import Clock, ForeignError, LogPart, Segment


@dataclass(frozen=True)
class Rows:
    """What one segment of sites, or parameters, holds.

    Attributes:
        names: Of the rows.
        clock: Of the steps, or of the runs of steps.
        columns: Rows by steps.
        parts: Which steps are of which log, in order.
    """

    names: list[str]
    clock: Clock
    columns: dict[str, Table]
    parts: list[LogPart]


def gathered(folder: Path, rows: Rows) -> tuple[Rows, list[Path]]:
    """The rows of a log behind those of the logs before it, where there is a file that they fit into.

    Args:
        folder: Of the table and level.
        rows: Of the log.

    Returns:
        What is to be written, and the files that need not stay once it is.
    """
    number = rows.parts[0].number
    named = [(name, path) for path in folder.glob("*.parquet") if (name := segment_of(path.name)) is not None]
    for name, path in named:
        if name.last == number - 1 and name.last - name.first + 1 < MOST_GATHERED:
            both = _joined(path, rows)
            if both is not None:
                return both, [other for known, other in named if _is_within(known, name)]
    return rows, []


def _is_within(one: SegmentName, other: SegmentName) -> bool:
    return other.first <= one.first and one.last <= other.last


def _joined(path: Path, rows: Rows) -> Rows | None:
    """Both together; ``None`` if the file is damaged, or of other columns or sites."""
    try:
        before = Segment(path)
        names, columns = before.names, [name for name in before.columns if name in rows.columns]
        if names != rows.names[: len(names)] or columns != list(rows.columns) or not before.logs:
            return None
        return Rows(
            rows.names,
            Clock.joined([before.clock, rows.clock]),
            {name: _beside(before.column(name), rows.columns[name]) for name in columns},
            [*before.logs, *rows.parts],
        )
    except (OSError, PayloadError, ForeignError, NewerFormatError):
        return None


def _beside(earlier: Table, later: Table) -> Table:
    """Sites that were not there yet have no numbers."""
    new = np.full((len(later) - len(earlier), earlier.shape[1]), np.nan)
    return np.concatenate([np.concatenate([earlier, new]), later], axis=1)
