"""A recorded run as people open it."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headwater.records import (
    Diagnosis,
    Event,
    Flow,
    HeadwaterError,
    InputError,
    RunInfo,
    Score,
    Training,
    TrainingStep,
    WatchInfo,
)
from headwater.records.codec import decode
from headwater.records.place import ALONE, Place
from headwater.store import Recording
from headwater.store.start import Start
from headwater.store.together import place_of_start

if TYPE_CHECKING:
    from headwater.report import Report

_MOST = 512  # steps of the training's course in a report, as a watch keeps


class Run(Recording):
    """A run's folder, read; made by :func:`open_run`. Nothing in it is loaded as code, and nothing is changed."""

    def __init__(self, path: str | Path, rank: int = 0) -> None:
        self._flow_steps: dict[tuple[Path, int], int | None] = {}
        super().__init__(path, rank)

    def __repr__(self) -> str:
        return f"<run {self.name!r}: {self.state.name}, {len(self):,} recorded steps of {len(self.site_names):,} sites>"

    def _repr_html_(self) -> str:
        """Its report in a notebook; where nothing was kept that one rests on, what there is, in a line."""
        try:
            return self.report()._repr_html_()
        except HeadwaterError:
            return f"<pre>{escape(repr(self))}</pre>"

    @property
    def name(self) -> str:
        """As it was recorded; what the folder is called now may be something else."""
        return str(self.info.get("name", self.path.name))

    def flow(self, which: str = "last") -> Flow | None:
        """Everything a kept step showed.

        Args:
            which: ``first``, ``last`` thorough one, or ``broke``: the first with NaN or Inf.
        """
        data = self.flow_data(which)
        if data is None:
            return None
        try:
            return Flow.from_dict(data)
        except (ValueError, TypeError):
            return None

    @property
    def place(self) -> Place:
        """Where the rank stood among the others."""
        return place_of_start(self.starts[-1]) if self.starts else ALONE

    @property
    def facts(self) -> dict[str, Any]:
        """How the training was watched, as far as that was written down."""
        return self.starts[-1].facts if self.starts else {}

    def kept_steps(self) -> dict[int, dict[int, str]]:
        """The names of the flows that are kept, by their step; under the number of the rank."""
        found: dict[int, str] = {}
        for start in self.starts:
            for name in start.flow_names():
                step = self._step_of(start, name)
                if step is not None and name != "broke":
                    found[step] = name
        return {self.rank: found}

    def _step_of(self, start: Start, name: str) -> int | None:
        path = start.flow_path(name)
        try:
            key = (path, path.stat().st_mtime_ns)
        except OSError:
            return None
        if key not in self._flow_steps:
            step = (start.flow(name) or {}).get("step")
            self._flow_steps[key] = step if isinstance(step, int) else None
        return self._flow_steps[key]

    def training(self) -> Training | None:
        """The course of the training: a line per recorded step, thinned out where it is long."""
        return _training(self)

    def report(self) -> Report:
        """The diagnosis of the last thorough step, or of the first one with NaN or Inf, with the training's course.

        Raises:
            HeadwaterError: If no step was kept as a whole; the message says what can be had instead.
        """
        from headwater.diagnosis import diagnose  # here: the numbers of a run are read without it
        from headwater.report import Report

        broke = self.flow("broke")
        flow = self.flow("last") or self.flow("first")
        if broke is not None and (flow is None or flow.step <= broke.step):
            flow = broke
        if flow is None:
            raise HeadwaterError(
                f"{self.path.name} keeps no step as a whole, which a report rests on: it ended before the first was "
                f"written. `headwater why {self.path.name}` and run.read(...) show the numbers of {len(self)} steps."
            )
        flow = _with_training(flow, self.training())
        spoiled = broke is not None and flow.step >= broke.step
        return Report(
            run=self.run_info(),
            diagnosis=self._looked_at(diagnose(flow, broke=broke if spoiled else None), flow),
            flow=flow,
            watch=self.watch_info(),
        )

    def _looked_at(self, diagnosis: Diagnosis, flow: Flow) -> Diagnosis:
        """The diagnosis with what more than the flow shows."""
        return diagnosis

    def run_info(self) -> RunInfo:
        """What ran, as far as it is known."""
        unknown = {"parameters": 0, "trainable": 0, "seed": None, "wall_time_s": 0.0}
        known = {field.name: self.info.get(field.name, unknown.get(field.name, "")) for field in fields(RunInfo)}
        try:
            return decode(RunInfo, known)
        except ValueError:
            return decode(RunInfo, {field.name: unknown.get(field.name, "") for field in fields(RunInfo)})

    def watch_info(self) -> WatchInfo:
        """How the training was watched, and what that cost."""
        facts = {**self.info, **self.facts}
        return WatchInfo(
            every=str(facts.get("every", "?")),
            budget=_number(facts.get("budget")) or 0.0,
            steps=self.steps_taken,
            sampled=len(self),
            thorough=int(_number(facts.get("thorough")) or 0),
            step_s=_number(facts.get("step_s")),
            overhead=_number(facts.get("overhead")),
            events=tuple(_listed(self.events())),
        )

    @property
    def steps_taken(self) -> int:
        """Optimizer steps that the training is known to have taken: measured, logged at, or told at its end."""
        measured = self.course()["update_ratio"].steps
        logged = [curve.steps.max() for curve in self.scalars().values() if len(curve.steps)]
        told = _number(self.facts.get("steps")) or 0
        return int(max(told, int(measured.max()) + 1 if len(measured) else 0, *logged))


def open_run(path: str | Path, rank: int | None = None) -> Run:
    """Open a recorded run, also while it is being written, and after it was killed.

    Args:
        path: The folder that ``hw.watch(model, optimizer, run=...)`` recorded into.
        rank: Whose numbers, where several processes trained together; by default those of all, merged.

    Raises:
        InputError: If there is no run, one of a newer version, or nothing of that rank.

    Example:
        >>> import tempfile
        >>> from headwater.store import Writer
        >>> writer = Writer(tempfile.mkdtemp() + "/a")
        >>> _ = writer.scalars(0, {"loss": 0.5})
        >>> run = open_run(writer.path)
        >>> run.state.name, run.scalars()["loss"].values.tolist()
        ('running', [0.5])
        >>> writer.close()
        >>> open_run(writer.path).state.name
        'ended'
    """
    from headwater.recorded.together import TogetherRun, no_rank

    first = Run(path, rank or 0)
    if rank is not None:
        if first.ranks and rank not in first.ranks:
            raise InputError(no_rank(first, rank))
        return first
    if len(first.ranks) > 1:
        return TogetherRun(path)
    return Run(path, first.ranks[0]) if first.ranks and first.ranks != [0] else first


def _number(told: Any) -> float | None:
    """What a file says of itself, if it is a number that a training could have."""
    is_number = isinstance(told, (int, float)) and not isinstance(told, bool)
    return float(told) if is_number and 0 <= told < 1 << 62 else None


def _with_training(flow: Flow, training: Training | None) -> Flow:
    return replace(flow, training=training)


def _listed(events: tuple[Event, ...]) -> list[Event]:
    return [event for event in events if event.message.id != "event.end"][:1000]


def _training(run: Recording) -> Training | None:
    course, scores, broken = _course(run), _scores(run), _broken_between(run)
    if broken:
        course = sorted([*course, *broken], key=lambda step: step.step)
    return Training(tuple(course), tuple(scores)) if course or scores else None


def _course(run: Recording) -> list[TrainingStep]:
    """A line per step, every second of them or fewer where they are many; the last one is always there."""
    curves = run.course()
    steps = curves["update_ratio"].steps
    losses = run.loss_of_steps()
    stride = -(-len(steps) // _MOST) or 1
    places = list(range((len(steps) - 1) % stride, len(steps), stride)) if len(steps) else []
    known = {name: curves[name].values for name in ("log10_gradient", "gradient_cosine", "update_ratio")}
    return [
        TrainingStep(
            int(steps[place]),
            losses[place],
            **{name: None if math.isnan(values[place]) else float(values[place]) for name, values in known.items()},
        )
        for place in places
    ]


def _broken_between(run: Recording) -> list[TrainingStep]:
    """The first loss with NaN or Inf at a step that was not measured, where there is one."""
    loss = run.scalars().get("loss")
    if loss is None:
        return []
    found = np.flatnonzero(~np.isfinite(loss.values) & ~np.isin(loss.steps, run.course()["update_ratio"].steps))
    return [TrainingStep(int(loss.steps[place]), float(loss.values[place])) for place in found[:1]]


def _scores(run: Recording) -> list[Score]:
    found: dict[int, dict[str, float]] = {}
    for name, field in (
        ("val_loss", "validation_loss"),
        ("metric", "metric"),
        ("val_metric", "validation_metric"),
    ):
        curve = run.scalars().get(name)
        if curve is not None:
            for step, value in zip(curve.steps.tolist(), curve.values.tolist(), strict=True):
                found.setdefault(step, {})[field] = value
    return [Score(step, **values) for step, values in sorted(found.items())][-_MOST:]
