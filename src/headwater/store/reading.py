"""One statistic over a run: at which level it is read, from which pieces, and how their points are joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from headwater.records import InputError
from headwater.store.columns import GROUPS, Group
from headwater.store.layout import LEVELS
from headwater.store.payloads import Table
from headwater.store.rollup import rolled_up
from headwater.store.segments import Clock
from headwater.store.start import Piece, Start

Reduce = Literal["min", "max", "mean", "last"]
Axis = Literal["step", "seq", "time"]


@dataclass(frozen=True)
class Wanted:
    """What is to be read.

    Attributes:
        group: Of sites or of parameters.
        statistic: Which.
        names: Of the rows, in the order of the result.
        start: The first step of interest.
        stop: The step behind the last one.
        max_points: How many points are enough.
        reduce: What a point says that stands for several steps.
        single: Whether points that stand for several steps are left out, where nothing else is left of them.

    Raises:
        InputError: If there is no such statistic or reduction, or no point is wanted.
    """

    group: Group
    statistic: str
    names: list[str]
    start: int | None = None
    stop: int | None = None
    max_points: int | None = None
    reduce: Reduce = "max"
    single: bool = False

    def __post_init__(self) -> None:
        known = GROUPS[self.group]
        if self.statistic not in known:
            raise InputError(f"no statistic {self.statistic!r} of {self.group}; there are {', '.join(known)}.")
        if self.reduce not in get_args(Reduce):
            raise InputError(f"reduce={self.reduce!r} is none of min, max, mean and last.")
        if self.max_points is not None and self.max_points < 1:
            raise InputError(f"max_points counts points from 1, got {self.max_points}.")


def read_points(starts: Sequence[Start], wanted: Wanted) -> tuple[Clock, Table]:
    """The points that are wanted, rows by points, in the order they were recorded; more of them than wanted.

    Args:
        starts: Process starts, in order.
        wanted: What.
    """
    level = _level(starts, wanted)
    before = steps_before(starts)
    clocks: list[Clock] = []
    parts: list[Table] = []
    for start in starts:
        places = places_of(start, wanted.group, wanted.names)
        for piece in start.pieces:
            found = _of_piece(start, piece, level, wanted)
            if found is not None:
                clock, column = found
                clocks.append(clock.later(before[start.number]))
                parts.append(placed(column, places, len(wanted.names)))
    return Clock.joined(clocks), side_by_side(parts, len(wanted.names))


def thinned(points: NDArray[Any], values: Table, wanted: Wanted) -> tuple[NDArray[Any], Table]:
    """Join neighbours until there are as few as wanted."""
    most = wanted.max_points
    if most is None or len(points) <= most:
        return points, values
    starts = np.arange(0, len(points), -(-len(points) // most))
    return points[starts], rolled_up(values.T, starts)[wanted.reduce].T


def steps_before(starts: Sequence[Start]) -> dict[int, int]:
    """How many steps were recorded before each start, what is damaged included."""
    found: dict[int, int] = {}
    total = 0
    for start in starts:
        found[start.number] = total
        clocks = [start.clock(piece) for piece in start.pieces[-2:]]  # the last log may have none yet
        total += max((int(clock.ordinal[-1]) + 1 for clock in clocks if len(clock)), default=0)
    return found


def places_of(start: Start, group: Group, names: list[str]) -> NDArray[np.int64]:
    """For each name its row in a start's tables, -1 if it has none."""
    rows = {row["name"]: place for place, row in enumerate(start.rows(group))}
    return np.array([rows.get(name, -1) for name in names], np.int64)


def placed(column: Table, places: NDArray[np.int64], count: int) -> Table:
    """A start's rows in the order asked for."""
    out = np.full((count, column.shape[1]), np.nan)
    there = (places >= 0) & (places < len(column))
    out[there] = column[places[there]]
    return out


def side_by_side(parts: list[Table], rows: int) -> Table:
    """One behind the other along the steps."""
    return np.concatenate(parts, axis=1) if parts else np.empty((rows, 0))


def _level(starts: Sequence[Start], wanted: Wanted) -> int:
    """The finest level that has not many more points than wanted, which are then joined further."""
    if wanted.max_points is None:
        return 1
    pieces = [(start, piece) for start in starts for piece in start.pieces]
    if wanted.start is None and wanted.stop is None:
        count = sum(start.recorded(piece) for start, piece in pieces)
    else:
        count = sum(int(_between(start.clock(piece), wanted, 1).sum()) for start, piece in pieces)
    return next((level for level in (1, *LEVELS) if count / level <= 4 * wanted.max_points), LEVELS[-1])


def _of_piece(start: Start, piece: Piece, level: int, wanted: Wanted) -> tuple[Clock, Table] | None:
    """A piece's points within the range, ``None`` if it has none."""
    group, statistic = wanted.group, wanted.statistic
    there = start.level_there(piece, group, level)
    if there is None:
        return None
    if wanted.single and there > 1:
        return _pinned_alone(start, piece, wanted)
    clock = start.clock(piece, there, group)
    if not _between(clock, wanted, there).any():
        return None
    column = start.column(piece, group, there, statistic, wanted.reduce)
    if there < level:  # the rollup is damaged or gone: it is made again
        runs = np.flatnonzero(np.diff(clock.ordinal // level, prepend=-1))
        clock, column = clock.taken(runs), rolled_up(column.T, runs)[wanted.reduce].T
    if there > level:
        clock, column = _with_pinned(clock, column, there, start.pinned(piece, group, statistic))
    within = _between(clock, wanted, max(level, there))
    return clock.taken(within), column[:, within]


def _pinned_alone(start: Start, piece: Piece, wanted: Wanted) -> tuple[Clock, Table] | None:
    """The single steps that were kept around alarms."""
    pinned = start.pinned(piece, wanted.group, wanted.statistic)
    if pinned is None:
        return None
    clock, column = pinned
    within = _between(clock, wanted, 1)
    return (clock.taken(within), column[:, within]) if within.any() else None


def _between(clock: Clock, wanted: Wanted, level: int) -> NDArray[np.bool_]:
    """Which points lie in the range; at a coarser level those that may reach into it."""
    within = np.ones(len(clock), bool)
    if wanted.stop is not None:
        within &= clock.step < wanted.stop
    if wanted.start is not None:
        last = clock.step if level == 1 else np.append(clock.step[1:] - 1, np.iinfo(np.int64).max)
        within &= last >= wanted.start
    return within


def _with_pinned(clock: Clock, column: Table, level: int, pinned: tuple[Clock, Table] | None) -> tuple[Clock, Table]:
    """Single steps in place of the runs that they make up, where they were kept."""
    if pinned is None or len(pinned[1]) != len(column):
        return clock, column
    single, values = pinned
    runs, counts = np.unique(single.ordinal // level, return_counts=True)
    whole = runs[counts == level]
    rest = ~np.isin(clock.ordinal // level, whole)
    both = Clock.joined([clock.taken(rest), single])
    order = np.argsort(both.ordinal, kind="stable")
    return both.taken(order), np.concatenate([column[:, rest], values], axis=1)[:, order]
