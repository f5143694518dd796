"""What a run showed: the same numbers whether they come from a file, from memory or from a training that still runs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from headwater.records import Diagnosis, Event, Flow, Message, RunInfo, Site, Training, WatchInfo
from headwater.report.view.expected import Expected, expected_levels
from headwater.report.view.levels import Levels, levels_of

State = Literal["finished", "running", "silent"]


@dataclass(frozen=True)
class Line:
    """One number of the whole network, step by step.

    Attributes:
        name: What it is called: ``loss``, or whatever the training logged.
        steps: Optimizer steps taken before each value, ascending.
        values: As many.
    """

    name: str
    steps: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Course:
    """A training as it was measured, site by site and step by step.

    Attributes:
        name: Of the run.
        sites: In execution order.
        steps: Optimizer steps taken before each measured one, in the order they were measured.
        levels: By statistic, sites × steps; what the numbers mean, :mod:`~headwater.report.view.levels` says. Of a long
            run each column stands for several steps, and this is the smallest.
        highs: The largest, where columns stand for several steps; else nothing.
        measured: Measured steps; as many as columns by default.
        lines: Loss, scores and whatever else was logged.
        events: What happened, oldest first.
        run: Model, versions and the like, ``None`` where they are unknown.
        diagnosis: The verdict and the findings, ``None`` where nothing was judged.
        watch: How it was watched, ``None`` where that is unknown.
        expected: What theory expects of the gradient at each site, by name.
        state: Whether it has ended, goes on, or has stopped writing without an end.
        unread: What could not be read of it, as messages.
    """

    name: str
    sites: tuple[Site, ...]
    steps: NDArray[np.int64]
    levels: dict[str, Levels]
    highs: dict[str, Levels] = field(default_factory=dict)
    measured: int | None = None
    lines: tuple[Line, ...] = ()
    events: tuple[Event, ...] = ()
    run: RunInfo | None = None
    diagnosis: Diagnosis | None = None
    watch: WatchInfo | None = None
    expected: Expected = field(default_factory=dict)
    state: State = "finished"
    unread: tuple[Message, ...] = ()

    @staticmethod
    def of_flows(name: str, flows: Sequence[Flow], thorough: Flow | None = None, **known: object) -> "Course":
        """The course that measured steps make up.

        Args:
            name: Of the run.
            flows: One per measured step, oldest first.
            thorough: One with the gradient's path, which theory's expectation needs.
            known: Further fields.
        """
        sites: dict[str, Site] = {}
        for flow in flows:
            for row in flow.sites:
                sites.setdefault(row.site.name, row.site)
        ordered = tuple(sorted(sites.values(), key=lambda site: site.order))
        fields: dict[str, Any] = {"expected": expected_levels(thorough) if thorough else {}, **known}
        return Course(
            name=name,
            sites=ordered,
            steps=np.array([flow.step for flow in flows], dtype=np.int64),
            levels=levels_of(flows, [site.name for site in ordered]),
            **fields,
        )


def lines_of(training: Training | None) -> tuple[Line, ...]:
    """The lines of a training's course: loss, scores, gradient and update of all parameters."""
    if training is None:
        return ()
    steps = training.steps
    loss = [(step.step, step.loss) for step in steps]
    scored = {score.step: score for score in training.scores}
    rows: dict[str, list[tuple[int, float | None]]] = {
        "loss": loss if any(value is not None for _, value in loss) else [(s.step, s.loss) for s in scored.values()],
        "val_loss": [(score.step, score.validation_loss) for score in scored.values()],
        "metric": [(score.step, score.metric) for score in scored.values()],
        "val_metric": [(score.step, score.validation_metric) for score in scored.values()],
        "update_ratio": [(step.step, step.update_ratio) for step in steps],
    }
    return tuple(line for name, points in rows.items() if (line := line_of(name, points)) is not None)


def line_of(name: str, points: Sequence[tuple[int, float | None]]) -> Line | None:
    """The line through the points whose value is known, ``None`` if there is none."""
    known = [(step, value) for step, value in points if value is not None]
    if not known:
        return None
    steps, values = zip(*known, strict=True)
    return Line(name, np.array(steps, dtype=np.int64), np.array(values, dtype=np.float64))
