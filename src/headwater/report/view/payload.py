"""The view: a run in the form that a browser reads, every word in both languages and every array packed.

The record is what ``headwater/view/1`` says; :func:`view_of` makes it of a :class:`~headwater.report.view.Course`.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from headwater import __version__
from headwater.records import Severity, Verdict, encode
from headwater.report.view.course import Course, Line, State
from headwater.report.view.levels import STATISTICS, Kind
from headwater.report.view.packing import Columns, grained, packed
from headwater.report.view.sentences import (
    Fact,
    Said,
    ViewFinding,
    facts_of,
    findings_of,
    headline_of,
    lead_of,
    said_message,
)
from headwater.report.words import verdict_status

REPORT_BYTES = 600_000  # of one page, as journey 5 asks
MOST_COLUMNS = 2048  # more than a screen has
FEWEST_COLUMNS = 32
MOST_POINTS = 1024  # of a line
MOST_EVENTS = 500
_BYTES = (
    1.6  # that a packed level takes, as a rule: a deep tanh and a deep ReLU network over 2,000 steps take 1.3 to 1.7
)


@dataclass(frozen=True)
class ViewSite:
    """One operation.

    Attributes:
        name: As in the flow.
        op: Class name of the module, or name of the function.
        kind: What sort of operation it is.
        shape: Of its output, batch first.
        dtype: Of its output.
        expected: log₁₀ of the rms that theory expects of ∂loss/∂output, ``None`` where it expects nothing.
    """

    name: str
    op: str
    kind: str
    shape: tuple[int, ...]
    dtype: str
    expected: float | None


@dataclass(frozen=True)
class ViewStatistic:
    """One number per site and column.

    Attributes:
        name: As in the flow's table.
        kind: A ``size`` spans decades; a ``fraction`` lies between 0 and 1.
        low: Packed levels, sites × columns: log₁₀ of the smallest number of the column's steps; NaN where nothing was
            measured, -Inf for an exact zero, +Inf for NaN and Inf.
        high: The same of the largest number; ``None`` where each column is one step.
    """

    name: str
    kind: Kind
    low: str
    high: str | None


@dataclass(frozen=True)
class ViewLine:
    """One number of the whole network, step by step.

    Attributes:
        name: What it is called.
        steps: Steps of the points.
        values: Packed, as many.
    """

    name: str
    steps: tuple[int, ...]
    values: str


@dataclass(frozen=True)
class ViewEvent:
    """Something that happened.

    Attributes:
        step: Optimizer steps taken before.
        id: Id of the message.
        said: In words.
    """

    step: int
    id: str
    said: Said


@dataclass(frozen=True)
class ViewBar:
    """Decades that one operation took or gave.

    Attributes:
        site: Index of the site, ``None`` for an operation between sites.
        op: The operation.
        category: What the decades are charged to.
        decades: log₁₀ of the gradient's rms after over before.
    """

    site: int | None
    op: str
    category: str
    decades: float


@dataclass(frozen=True)
class ViewWaterfall:
    """The gradient's budget on its way from the last site to the first.

    Attributes:
        first: Name of the site nearest the input.
        last: Name of the site nearest the loss.
        log10_first: log₁₀ of the gradient's rms at ``first``.
        log10_last: The same at ``last``.
        bars: From ``last`` to ``first``.
        totals: Decades by category, largest magnitude first.
    """

    first: str
    last: str
    log10_first: float
    log10_last: float
    bars: tuple[ViewBar, ...]
    totals: dict[str, float]


@dataclass(frozen=True)
class View:
    """A run as a browser reads it.

    Attributes:
        name: Of the run.
        headwater: Version that wrote the view.
        created: When the run began, UTC.
        model: Class name of the model, ``""`` if unknown.
        state: ``finished``, ``running``, or ``silent`` where it stopped writing without an end.
        verdict: ``healthy``, ``findings``, ``cannot_tell``; ``None`` where nothing was judged.
        status: The verdict, or the severity of the worst finding.
        headline: The verdict in one line.
        lead: What it rests on.
        findings: Worst first.
        sites: In execution order.
        measured: Measured steps.
        first: First step of each column.
        last: Last step of each column.
        statistics: What the flow map can show.
        lines: Loss, scores and whatever else was logged.
        events: Oldest first.
        events_left_out: How many more happened.
        waterfall: The gradient's budget, ``None`` where it is unknown.
        facts: Circumstances of the run.
    """

    SCHEMA: ClassVar[str] = "headwater/view/1"

    name: str
    headwater: str
    created: str
    model: str
    state: State
    verdict: Verdict | None
    status: Severity | Literal["healthy", "cannot_tell"]
    headline: Said
    lead: Said
    findings: tuple[ViewFinding, ...]
    sites: tuple[ViewSite, ...]
    measured: int
    first: tuple[int, ...]
    last: tuple[int, ...]
    statistics: tuple[ViewStatistic, ...]
    lines: tuple[ViewLine, ...]
    events: tuple[ViewEvent, ...]
    events_left_out: int
    waterfall: ViewWaterfall | None
    facts: tuple[Fact, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        data: dict[str, Any] = encode(self)
        return data


def view_of(course: Course, *, room: int | None = None, columns: int = MOST_COLUMNS) -> View:
    """The view of a run.

    Args:
        course: What the run showed.
        room: Bytes that the packed arrays may take, by default any number; steps share columns until they do.
        columns: At most so many.
    """
    statistics, shared = _packed_to_fit(course, room, columns)
    diagnosis = course.diagnosis
    place = {site.name: index for index, site in enumerate(course.sites)}
    return View(
        name=course.name,
        headwater=__version__,
        created=course.run.created if course.run else "",
        model=course.run.model if course.run else "",
        state=course.state,
        verdict=diagnosis.verdict if diagnosis else None,
        status=verdict_status(diagnosis) if diagnosis else "cannot_tell",
        headline=headline_of(diagnosis),
        lead=lead_of(course),
        findings=findings_of(diagnosis, place),
        sites=tuple(
            ViewSite(s.name, s.op, s.kind, s.shape, s.dtype, course.expected.get(s.name)) for s in course.sites
        ),
        measured=len(course.steps) if course.measured is None else course.measured,
        first=tuple(shared.first(course.steps).tolist()),
        last=tuple(shared.last(course.steps).tolist()),
        statistics=statistics,
        lines=tuple(_line(line) for line in course.lines),
        events=tuple(
            ViewEvent(event.step, event.message.id, said_message(event.message))
            for event in course.events[-MOST_EVENTS:]
        ),
        events_left_out=max(len(course.events) - MOST_EVENTS, 0)
        + (course.watch.events_left_out if course.watch else 0),
        waterfall=_waterfall(course, place),
        facts=facts_of(course),
    )


def _packed_to_fit(course: Course, room: int | None, columns: int) -> tuple[tuple[ViewStatistic, ...], Columns]:
    """The statistics in as many columns as there is room for."""
    names = [name for name in STATISTICS if name in course.levels and not np.isnan(course.levels[name]).all()]
    known = sum(np.count_nonzero(~np.isnan(course.levels[name])) for name in names) / max(len(course.steps), 1)
    if room is not None and known:
        columns = min(columns, max(int(room / (2 * known * _BYTES)), FEWEST_COLUMNS))
    while True:
        shared = Columns.at_most(len(course.steps), columns)
        statistics = tuple(_statistic(name, course, shared) for name in names)
        size = sum(len(item.low) + len(item.high or "") for item in statistics)
        if room is None or size <= room or columns <= FEWEST_COLUMNS:
            return statistics, shared
        columns = max(min(int(0.97 * columns * room / size), len(shared.starts) - 1), FEWEST_COLUMNS)


def _statistic(name: str, course: Course, shared: Columns) -> ViewStatistic:
    lows, highs = course.levels[name], course.highs.get(name)
    is_single = shared.are_single and highs is None
    high = None if is_single else packed(grained(shared.highest(lows if highs is None else highs)))
    return ViewStatistic(name, STATISTICS[name].kind, packed(grained(shared.lowest(lows))), high)


def _line(line: Line) -> ViewLine:
    kept = _extremes(line.values, MOST_POINTS)
    return ViewLine(line.name, tuple(line.steps[kept].tolist()), packed(line.values[kept].astype(np.float32)))


def _extremes(values: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Indices of at most so many points: of each stretch its lowest and its highest, NaN and Inf first of all."""
    if len(values) <= most:
        return np.arange(len(values))
    kept: set[int] = {0, len(values) - 1}
    for stretch in np.array_split(np.arange(len(values)), most // 2 - 1):
        part = values[stretch]
        if not np.isfinite(part).all():
            kept |= {int(stretch[np.flatnonzero(~np.isfinite(part))[0]]), int(stretch[0])}
        else:
            kept |= {int(stretch[part.argmin()]), int(stretch[part.argmax()])}
    return np.array(sorted(kept), dtype=np.int64)


def _waterfall(course: Course, place: dict[str, int]) -> ViewWaterfall | None:
    found = course.diagnosis.waterfall if course.diagnosis else None
    if found is None or not all(map(math.isfinite, (found.log10_first, found.log10_last))):
        return None
    bars = tuple(
        ViewBar(None if bar.site is None else place.get(bar.site), bar.op, bar.category, bar.decades)
        for bar in found.bars
        if math.isfinite(bar.decades)
    )
    return ViewWaterfall(found.first, found.last, found.log10_first, found.log10_last, bars, dict(found.totals))
