"""From a spec to a sweep: what is missing is trained by one of two engines, and all of it is drawn."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import get_args

from headwater.cluster import Engine
from headwater.processes import processors
from headwater.records import Experiment, InputError, Message
from headwater.records.message import Value
from headwater.records.sweep import Sweep, SweepTrial
from headwater.remedies.threads import best_threads
from headwater.sweeps.book import Book
from headwater.sweeps.local import Result, locally
from headwater.sweeps.maps import MOST_PANELS, agreement, layout, pictures
from headwater.sweeps.network import plain_network
from headwater.sweeps.spec import Job, SweepSpec, unknown
from headwater.sweeps.trial import Function, Task, check_function

Progress = Callable[[str, int, int], None]
Source = Callable[[], Function]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C: what was done is here and on disk, and the same call goes on with it."""

    def __init__(self, found: Sweep) -> None:
        super().__init__()
        self.found = found


@dataclass(frozen=True)
class PlainNetwork:
    """Loads the network that is trained where no other is named."""

    def __call__(self) -> Function:
        """The function."""
        return plain_network


def swept(
    spec: SweepSpec,
    source: Source | None = None,
    *,
    runs: str | os.PathLike[str] = "runs",
    engine: Engine = "local",
    jobs: int | None = None,
    address: str | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Make the trainings of a sweep that are not there yet, and tell of all.

    Args:
        spec: What is to be trained.
        source: ``source() -> function(**settings) -> Experiment``; travels by pickle. The plain network by default.
        runs: Folder that the sweep's own folder lies in.
        engine: ``local`` for processes here, ``ray`` for a cluster.
        jobs: Processes of the local engine; one per processor by default.
        address: Of a Ray cluster.
        progress: ``progress("progress.sweep", done, total)`` after each training.

    Raises:
        InputError: If the spec, the experiment, the folder or the engine cannot be used.
        Interrupted: At Ctrl-C, with what there is.
    """
    if engine not in get_args(Engine):
        raise InputError(unknown("engine", str(engine), get_args(Engine)))
    if jobs is not None and (not isinstance(jobs, int) or isinstance(jobs, bool) or jobs < 1):
        raise InputError(f"jobs counts processes: a whole number from 1, got {jobs!r}.")
    if engine == "ray" and jobs is not None:
        raise InputError("jobs counts processes of this machine; on Ray the cluster's processors decide.")
    if engine == "local" and address is not None:
        raise InputError('address names a Ray cluster: engine="ray" goes with it.')
    started = time.perf_counter()
    source = source or PlainNetwork()
    experiment = check_function(source(), spec)
    wanted = spec.jobs()
    book = Book(Path(runs, spec.name), spec)
    found = {job: trial for job in wanted if (trial := book.get(job)) is not None}
    resumed = len(found)

    def told() -> Sweep:
        trials = tuple(found[job] for job in wanted if job in found)
        metric_name = experiment.metric_name or ("loss" if experiment.metric is None else "metric")
        return _told(spec, trials, len(wanted), metric_name, resumed, time.perf_counter() - started)

    def tell() -> None:
        if progress is not None:
            progress("progress.sweep", len(found), len(wanted))

    reason = "closed"
    try:
        tell()
        missing = [job for job in wanted if job not in found]
        for job, trial in _results(spec, source, experiment, missing, engine, jobs, address):
            book.put(job, trial)
            found[job] = trial
            tell()
    except KeyboardInterrupt as interrupt:
        reason = "KeyboardInterrupt"
        raise Interrupted(told()) from interrupt
    except BaseException as error:
        reason = type(error).__name__
        raise
    finally:
        book.close(reason)
    return told()


def _results(
    spec: SweepSpec,
    source: Source,
    experiment: Experiment,
    missing: Sequence[Job],
    engine: Engine,
    jobs: int | None,
    address: str | None,
) -> Iterator[Result]:
    if not missing:
        return iter(())
    if engine == "ray":
        from headwater.sweeps.on_ray import on_ray

        return on_ray(Task(source, spec.fixed or {}, spec.steps), missing, address)
    processes = min(jobs or processors(), len(missing))
    threads = best_threads(experiment, spec.first_seed, processors()) if processes == 1 else 1
    return locally(Task(source, spec.fixed or {}, spec.steps, threads), missing, processes)


def _told(
    spec: SweepSpec, trials: tuple[SweepTrial, ...], wanted: int, metric_name: str, resumed: int, seconds: float
) -> Sweep:
    notes = []
    agreed = agreement(spec, trials)
    if agreed is not None:
        notes.append(Message("sweep.note_theory", {"share": agreed[0], "points": agreed[1]}))
    broken = [trial for trial in trials if trial.failure]
    if broken:
        first = broken[0]
        values: dict[str, Value] = {
            "count": len(broken),
            "of": len(trials),
            "point": _point(first),
            "why": first.failure,
        }
        notes.append(Message("sweep.note_failed", values))
    panels = len(layout(spec).panels)
    if panels > MOST_PANELS and layout(spec).x is not None:
        notes.append(Message("sweep.note_panels", {"shown": MOST_PANELS, "count": panels}))
    if resumed:
        notes.append(Message("sweep.note_resumed", {"count": resumed}))
    return Sweep(
        name=spec.name,
        experiment=spec.experiment,
        axes=dict(spec.axes),
        fixed=dict(spec.fixed or {}),
        metric_name=metric_name,
        steps=spec.steps,
        seeds=spec.seeds,
        trials=trials,
        missing=wanted - len(trials),
        pictures=pictures(spec, trials, metric_name),
        notes=tuple(notes),
        agreement=None if agreed is None else agreed[0],
        wall_time_s=seconds,
        headwater=version("headwater"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _point(trial: SweepTrial) -> str:
    return ", ".join(f"{name} {value}" for name, value in trial.point.items())
