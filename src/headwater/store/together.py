"""Read what several ranks have recorded of one training, step by step together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from headwater.records.codec import decode
from headwater.records.place import ALONE, Place
from headwater.store.columns import Group
from headwater.store.merging import Cube, Holding, merged_parameters, merged_sites
from headwater.store.payloads import Table
from headwater.store.reading import Wanted, read_points
from headwater.store.start import Start
from headwater.store.state import is_alive

EXACT_CELLS = 1 << 23
"""Numbers of a column, over all ranks, up to which every step is merged by itself; 64 MiB."""
_START_BITS = 40  # a step has fewer

Keys = NDArray[np.int64]


@dataclass(frozen=True)
class Points:
    """The steps that are merged.

    Attributes:
        keys: Number of the process start and step, in one number; rising.
        times: When the last rank recorded it.
    """

    keys: Keys
    times: NDArray[np.float64]

    @property
    def steps(self) -> NDArray[np.int64]:
        """Optimizer steps taken before."""
        return self.keys & ((1 << _START_BITS) - 1)

    def __len__(self) -> int:
        return len(self.keys)


def place_of_start(start: Start) -> Place:
    """Where a rank stood among the others, by what it wrote; alone where it wrote nothing."""
    told = start.who.get("place")
    try:
        return decode(Place, told) if told is not None else ALONE
    except ValueError:
        return ALONE


def shared_points(ranks: Mapping[int, Sequence[Start]]) -> Points:
    """The steps that every rank has recorded which was there then: one that has ended or was lost is not waited for.

    Args:
        ranks: Process starts by rank.
    """
    series = {rank: _clock(starts) for rank, starts in ranks.items()}
    live = {
        rank: max((s.number for s in starts if is_alive(s) and s.end is None), default=-1)
        for rank, starts in ranks.items()
    }
    every = np.unique(np.concatenate([keys for keys, _ in series.values()] or [np.empty(0, np.int64)]))
    kept = np.ones(len(every), bool)
    times = np.full(len(every), -np.inf)
    for rank, (keys, own) in series.items():
        has = np.isin(every, keys)
        kept &= has | ~_was_there(every, keys, live[rank])
        np.maximum.at(times, np.searchsorted(every, keys), own)
    return Points(every[kept], times[kept])


def read_together(ranks: Mapping[int, Sequence[Start]], points: Points, wanted: Wanted) -> Table:
    """One statistic at the points.

    Args:
        ranks: Process starts by rank.
        points: Of :func:`shared_points`, or some of them.
        wanted: What; its range and number of points say what is read, and the points what is given.
    """
    found: dict[str, Cube] = {}

    def column(name: str) -> Cube:
        if name not in found:
            one = replace(wanted, statistic=name)
            found[name] = np.stack([at_points(starts, points, one) for starts in ranks.values()])
        return found[name]

    merged = merged_sites if wanted.group == "sites" else merged_parameters
    return merged(wanted.statistic, column, holding_of(ranks, wanted.group, wanted.names))


def holding_of(ranks: Mapping[int, Sequence[Start]], group: Group, names: Sequence[str]) -> Holding:
    """Which rank has which rows, and what of them.

    Args:
        ranks: Process starts by rank.
        group: Of sites or of parameters.
        names: Of the rows.
    """
    rows = [{row["name"]: row for start in starts for row in start.rows(group)} for starts in ranks.values()]
    there = np.array([[name in known for name in names] for known in rows], bool).reshape(len(rows), len(names))
    replicas = np.ones(there.shape)
    for index, starts in enumerate(ranks.values()):
        place = place_of_start(starts[-1]) if starts else ALONE
        # Nobody says over how many the mean is: over those that have the row.
        replicas[index] = place.replicas or np.maximum(1, there.sum(axis=0))
    counts = np.zeros(there.shape)
    pieces = np.full(there.shape, -1, np.int64)
    numbers: dict[str, int] = {}
    for index, known in enumerate(rows):
        for column, name in enumerate(names):
            row = known.get(name)
            if row is not None:
                counts[index, column] = row.get("here", np.prod(row.get("shape", [1]), dtype=float))
                pieces[index, column] = numbers.setdefault(str(row.get("piece", "")), len(numbers))
    replica = [place_of_start(starts[-1]).replica if starts else -1 for starts in ranks.values()]
    return Holding(replicas, counts, pieces, np.array(replica, np.int64))


def _was_there(every: Keys, keys: Keys, live: int) -> NDArray[np.bool_]:
    """Whether a rank that lacks a step was there then: it has recorded a later one of that start, or still runs."""
    number = every >> _START_BITS
    last = np.full(len(every), -1, np.int64)
    for start in np.unique(keys >> _START_BITS):
        own = keys[keys >> _START_BITS == start]
        last[number == start] = own.max()
    return (every < last) | (number == live)


def _clock(starts: Sequence[Start]) -> tuple[Keys, NDArray[np.float64]]:
    """Keys and times of all steps a rank has recorded."""
    keys, times = [np.empty(0, np.int64)], [np.empty(0)]
    for start in starts:
        for piece in start.pieces:
            clock = start.clock(piece)
            keys.append(_keys(start, clock.step))
            times.append(clock.time)
    return np.concatenate(keys), np.concatenate(times)


def _keys(start: Start, steps: NDArray[np.int64]) -> Keys:
    return (np.int64(start.number) << _START_BITS) | steps


def at_points(starts: Sequence[Start], points: Points, wanted: Wanted) -> Table:
    """One rank's rows at the points, NaN where it has none; where points are to be few, that of the run they are in.

    Args:
        starts: Process starts of the rank.
        points: Which.
        wanted: What is read.
    """
    out = np.full((len(wanted.names), len(points)), np.nan)
    for start in starts:
        clock, values = read_points([start], wanted)
        if not len(clock):
            continue
        keys = _keys(start, clock.step)
        own = np.flatnonzero(points.keys >> _START_BITS == start.number)
        at = np.searchsorted(keys, points.keys[own], side="right") - 1
        whole = wanted.max_points is not None
        has = (at >= 0) & (whole | (keys[np.maximum(at, 0)] == points.keys[own]))
        out[:, own[has]] = values[:, at[has]]
    return out
