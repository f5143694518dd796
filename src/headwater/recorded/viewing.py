"""A recorded run as a page shows it; and what has come since, for a page that is open while the training runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headwater.recorded.compare import align
from headwater.recorded.run import Run
from headwater.recorded.why import damage_message
from headwater.records import Diagnosis, Event, HeadwaterError, WatchInfo
from headwater.records.recorded import Comparison
from headwater.report.view import Course, Line
from headwater.report.view.course import State
from headwater.report.view.expected import Expected, expected_levels
from headwater.report.view.levels import STATISTICS, Levels, of_numbers
from headwater.report.view.page import Difference
from headwater.report.view.sentences import said_message
from headwater.store.reader import Update

MOST_COLUMNS = 4096
"""Recorded steps from which on a column stands for several: twice what the widest screens have."""

# Where these counted something, the rms beside them is that of the finite rest.
_NONFINITE = {
    "activation_rms": ("activation_nan", "activation_inf"),
    "activation_grad_rms": ("activation_grad_nan", "activation_grad_inf"),
}
FOLLOWED = (*STATISTICS, *(name for names in _NONFINITE.values() for name in names))
"""Statistics that a page needs of each new step."""

_STATES: dict[str, State] = {"running": "running", "ended": "finished", "broken": "silent"}


def course_of(run: Run, *, judged: bool = True) -> Course:
    """What a recorded run showed so far, as of the last time it was looked at.

    Args:
        run: That was opened.
        judged: Whether to diagnose it as well.
    """
    count = len(run)
    is_long = count > MOST_COLUMNS
    steps, lows = _levels(run, "min" if is_long else "last", MOST_COLUMNS if is_long else None)
    highs = _levels(run, "max", MOST_COLUMNS)[1] if is_long else {}
    diagnosis, expected, watch = _judged(run) if judged else (None, {}, None)
    return Course(
        name=run.name,
        sites=tuple(run.sites),
        steps=steps,
        levels=lows,
        highs=highs,
        measured=count,
        lines=_lines(run),
        events=_told(run.events()),
        run=run.run_info(),
        diagnosis=diagnosis,
        watch=watch,
        expected=expected,
        state=_STATES[run.state.name],
        unread=tuple(damage_message(found) for found in run.damage_met),
    )


def difference_of(a: Run, b: Run, found: Comparison) -> Difference:
    """What a page says that tells two runs apart.

    Args:
        a: The first.
        b: The second.
        found: What comparing them gave.
    """
    pairs = align(a.sites, b.sites)[0]
    return Difference(
        said=tuple(said_message(difference.message) for difference in found.differences),
        pairs=tuple(pairs),
        renamed=tuple((one.a, one.b) for one in found.renamed),
        only_first=found.only_a,
        only_second=found.only_b,
    )


def course_since(run: Run, update: Update) -> Course:
    """What an update brought: its steps and points alone, with all events and the state as it is now.

    Args:
        run: That was followed.
        update: What ``run.follow(cursor, FOLLOWED)`` gave.
    """
    told = ~np.isnan(update.loss)
    losses = list(zip(update.steps[told].tolist(), update.loss[told].tolist(), strict=True))
    losses = sorted([*losses, *update.scalars.get("loss", [])], key=lambda point: point[0])
    logged = {**update.scalars, "loss": losses} if losses else update.scalars
    lines = [Line(name, *_points(points)) for name, points in logged.items()]
    return Course(
        name=run.name,
        sites=tuple(run.sites),
        steps=update.steps,
        levels=_from_tables(lambda name: update.values[name]),
        lines=tuple(lines),
        events=_told(run.events()),
        run=run.run_info(),
        state=_STATES[update.state.name],
    )


def _levels(run: Run, reduce: Any, most: int | None) -> tuple[NDArray[np.int64], dict[str, Levels]]:
    steps, _ = run.read("activation_rms", sites=[], max_points=most, reduce=reduce)

    def read(name: str) -> NDArray[np.float64]:
        counts = name.endswith(("_nan", "_inf"))
        return run.read(name, max_points=most, reduce="max" if counts and reduce == "max" else reduce)[1]

    return steps, _from_tables(read)


def _from_tables(read: Callable[[str], NDArray[np.float64]]) -> dict[str, Levels]:
    found = {}
    for name in STATISTICS:
        counts = [np.nan_to_num(read(part)) for part in _NONFINITE.get(name, ())]
        found[name] = of_numbers(read(name), np.sum(counts, axis=0) if counts else None)
    return found


def _judged(run: Run) -> tuple[Diagnosis | None, Expected, WatchInfo | None]:
    """The diagnosis, where enough was kept for one."""
    with suppress(HeadwaterError):
        report = run.report()
        return report.diagnosis, expected_levels(report.flow), report.watch
    return None, {}, None


def _lines(run: Run) -> tuple[Line, ...]:
    lines = [Line(name, curve.steps, curve.values) for name, curve in run.scalars().items()]
    course = run.course()
    gradient, update = course["log10_gradient"], course["update_ratio"]
    with np.errstate(over="ignore"):
        lines.append(Line("gradient", gradient.steps, 10.0**gradient.values))
    lines.append(Line("update_ratio", update.steps, update.values))
    return tuple(_known(line) for line in lines if len(line.steps) and not np.isnan(line.values).all())


def _known(line: Line) -> Line:
    """A loss of NaN is news; any other line has NaN where nothing was measured."""
    if line.name not in ("gradient", "update_ratio"):
        return line
    known = ~np.isnan(line.values)
    return Line(line.name, line.steps[known], line.values[known])


def _points(points: list[tuple[int, float]]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    steps, values = zip(*points, strict=True)
    return np.array(steps, np.int64), np.array(values, np.float64)


def _told(events: tuple[Event, ...]) -> tuple[Event, ...]:
    """Events without the end that every run has."""
    return tuple(event for event in events if event.message.id != "event.end")
