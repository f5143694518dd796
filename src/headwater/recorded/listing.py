"""The runs of a folder, each in a line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from headwater.recorded.run import Run, open_run
from headwater.records import HeadwaterError, InputError, Verdict
from headwater.records.recorded import RunList, RunSummary
from headwater.records.sweep import TRIAL
from headwater.store.layout import RUN_FILE, start_of

Progress = Callable[[str, int, int], None]
_DEPTH = 3  # folders that are looked into: runs/, runs/experiment/, ...
_MOST = 10_000


def listed(folder: Path, progress: Progress | None = None) -> RunList:
    """All runs in a folder and the folders in it.

    Args:
        folder: That is looked into; links are not followed.
        progress: ``progress("progress.runs", done, total)`` after each run.

    Raises:
        InputError: If there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {str(folder)!r}: headwater runs DIR lists the runs that DIR holds.")
    found = sorted(_runs_in(folder, _DEPTH))[:_MOST]
    summaries = []
    for done, path in enumerate(found, 1):
        summaries.append(summary(path, folder))
        if progress is not None:
            progress("progress.runs", done, len(found))
    return RunList(tuple(sorted(summaries, key=lambda run: run.created, reverse=True)))


def summary(path: Path, folder: Path) -> RunSummary:
    """A run in a line, also one that cannot be read."""
    relative = os.path.relpath(path, folder)
    try:
        run = open_run(path)
        trainings = trainings_of(run)
        course = run.course()["update_ratio"].steps
        loss = run.scalars().get("loss")
        return RunSummary(
            folder=relative,
            name=run.name,
            state=run.state.name,
            verdict=verdict(run) if trainings is None else None,
            created=str(run.info.get("created", "")),
            model=str(run.info.get("model", "")),
            steps=run.steps_taken if trainings is None else 0,
            recorded=len(course),
            sites=len(run.sites),
            loss=float(loss.values[-1]) if loss is not None and len(loss.values) else None,
            alarms=len(run.alarms()),
            bytes=size(path),
            damaged=len(run.damage_met),
            ranks=len(run.ranks) or 1,
            notes=tuple(event.message for event in run.events() if event.message.id.startswith("event.rank_")),
            trainings=trainings,
        )
    except (InputError, OSError) as error:
        return RunSummary(relative, path.name, "unreadable", "cannot_tell", bytes=size(path), problem=str(error))


def verdict(run: Run) -> Verdict:
    """Of a run's report; without one it cannot be told."""
    try:
        return run.report().verdict
    except HeadwaterError:
        return "cannot_tell"


def trainings_of(run: Run) -> int | None:
    """How many trainings a sweep has made; ``None`` of a run that is a training itself."""
    if not isinstance(run.info.get("sweep"), dict):
        return None
    return len({event.message.values.get("job") for event in run.events() if event.message.id == TRIAL})


def size(path: Path) -> int:
    """Bytes of all files below."""
    total = 0
    for base, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(base, name)).st_size
            except OSError:  # removed meanwhile
                continue
    return total


def _runs_in(folder: Path, depth: int) -> list[Path]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return []
    if any(entry.name == RUN_FILE or start_of(entry.name) for entry in entries):
        return [folder]
    if not depth:
        return []
    folders = [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    return [run for inner in folders for run in _runs_in(inner, depth - 1)]
