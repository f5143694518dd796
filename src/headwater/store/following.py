"""What has come to a run since somebody looked at it, for a page that is open while the training goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headwater.records import Event, InputError
from headwater.store.events import event_of
from headwater.store.payloads import Table
from headwater.store.reading import placed, places_of, side_by_side
from headwater.store.segments import Clock
from headwater.store.start import Start
from headwater.store.state import State


@dataclass(frozen=True)
class Update:
    """What has come since the last time one looked.

    Attributes:
        cursor: For the next call of ``follow``.
        steps: Recorded steps from there on.
        values: Per statistic of sites, sites by steps.
        loss: Of each step, NaN where it was not told.
        events: What happened.
        scalars: By name, pairs of step and value.
        sites_changed: Whether there are sites that were not there before: ``sites`` is to be asked again.
        state: As it is now.
    """

    cursor: str
    steps: NDArray[np.int64]
    values: dict[str, Table]
    loss: NDArray[np.float64]
    events: tuple[Event, ...]
    scalars: dict[str, list[tuple[int, float]]]
    sites_changed: bool
    state: State


class Cursor(NamedTuple):
    """How far somebody has read.

    Attributes:
        start: Number of the process start.
        steps: Steps of it, what is damaged included.
        events: Events of it.
        scalars: Logged numbers of it.
        sites: Sites of the whole run.
    """

    start: int = 0
    steps: int = 0
    events: int = 0
    scalars: int = 0
    sites: int = -1

    @staticmethod
    def of(text: str | None) -> Cursor:
        """As :meth:`__str__` gave it.

        Raises:
            InputError: If it did not.
        """
        try:
            return Cursor() if text is None else Cursor._make(int(part) for part in text.split("."))
        except (ValueError, TypeError):
            raise InputError(f"since={text!r} is no cursor that follow() gave.") from None

    def __str__(self) -> str:
        return ".".join(map(str, self))


@dataclass
class Gathered:
    """What is new, piece by piece.

    Attributes:
        names: Of the sites.
        values: Per statistic, sites by steps.
    """

    names: list[str]
    values: dict[str, list[Table]]
    clocks: list[Clock] = field(default_factory=list)
    losses: list[NDArray[np.float64]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    scalars: dict[str, list[tuple[int, float]]] = field(default_factory=dict)


def update_since(
    starts: Sequence[Start], names: list[str], state: State, since: str | None, statistics: Sequence[str]
) -> Update:
    """What has come to the starts of a run.

    Args:
        starts: In order, refreshed.
        names: Of the sites.
        state: Of the run.
        since: A cursor, ``None`` for everything.
        statistics: Of the sites, which are of interest.

    Raises:
        InputError: If ``since`` is no cursor.
    """
    cursor = before = Cursor.of(since)
    new = Gathered(names, {statistic: [] for statistic in statistics})
    for start in starts:
        if start.number >= cursor.start:
            own = cursor if start.number == cursor.start else Cursor(start.number)
            cursor = _add_new(start, own, new)
    return Update(
        cursor=str(cursor._replace(sites=len(names))),
        steps=Clock.joined(new.clocks).step,
        values={name: side_by_side(parts, len(names)) for name, parts in new.values.items()},
        loss=np.concatenate(new.losses) if new.losses else np.empty(0),
        events=tuple(new.events),
        scalars=new.scalars,
        sites_changed=len(names) != before.sites,
        state=state,
    )


def _add_new(start: Start, cursor: Cursor, new: Gathered) -> Cursor:
    """Add what a start has behind the cursor; gives the cursor behind that."""
    steps = _add_steps(start, cursor.steps, new)
    happened = start.events()
    new.events += [event_of(entry) for entry in happened[cursor.events :]]
    scalars = _add_scalars(start, cursor.scalars, new.scalars)
    return cursor._replace(steps=steps, events=len(happened), scalars=scalars)


def _add_steps(start: Start, done: int, new: Gathered) -> int:
    """Add a start's steps from the ordinal ``done`` on; gives the ordinal behind the last one."""
    places = places_of(start, "sites", new.names)
    for piece in start.pieces:
        clock = start.clock(piece)
        is_new = clock.ordinal >= done
        count = int(is_new.sum())
        if not count:
            continue
        has_single_steps = start.level_there(piece, "sites", 1) == 1
        new.clocks.append(clock.taken(is_new))
        told = start.losses(piece)[0]
        new.losses.append(told[is_new] if len(told) == len(is_new) else np.full(count, np.nan))
        for statistic, parts in new.values.items():
            if has_single_steps:
                column = start.column(piece, "sites", 1, statistic, "last")
                parts.append(placed(column[:, is_new], places, len(new.names)))
            else:
                parts.append(np.full((len(new.names), count), np.nan))
        done = int(clock.ordinal[-1]) + 1
    return done


def _add_scalars(start: Start, seen: int, into: dict[str, list[tuple[int, float]]]) -> int:
    """Add what a start has logged from the row ``seen`` on; gives how many rows there are."""
    behind = 0
    for piece in start.pieces:
        logged = start.scalars(piece)
        first = max(0, seen - behind)
        rows = logged.codes[first:].tolist(), logged.steps[first:].tolist(), logged.values[first:].tolist()
        for code, step, value in zip(*rows, strict=True):
            into.setdefault(logged.names[code], []).append((step, value))
        behind += len(logged)
    return behind
