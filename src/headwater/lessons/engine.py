"""Run lessons: one here, or all of them side by side in processes of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import contextmanager, suppress

import torch

from headwater.lessons.lesson import Lesson
from headwater.lessons.registry import ORDER, find, foreign
from headwater.probes.preserve import random_states, restore_random_states
from headwater.processes import processors, workers
from headwater.records import InputError
from headwater.records.lesson import LessonResult

Progress = Callable[[str, int, int], None]


def run(lesson_id: str) -> LessonResult:
    """Run a lesson's experiment in this process, on one thread; random states are as before afterwards.

    Args:
        lesson_id: Such as ``"vanishing"``.

    Raises:
        InputError: If there is no such lesson; the nearest ids are offered.
    """
    return _run(find(lesson_id))


def run_all(
    lesson_ids: Sequence[str] = (), processes: int | None = None, progress: Progress | None = None
) -> tuple[LessonResult, ...]:
    """Run several lessons side by side; each on one thread.

    Args:
        lesson_ids: Which; by default all, those that plugins bring behind our own.
        processes: How many at a time; by default one per processor.
        progress: ``progress("progress.lessons", done, total)`` after each.

    Returns:
        The results in the order asked for.

    Raises:
        InputError: If there is no such lesson; the nearest ids are offered.
    """
    lessons = [find(lesson_id) for lesson_id in dict.fromkeys(lesson_ids)] if lesson_ids else _all()
    processes = min(processes or processors(), len(lessons))
    if progress is not None:
        progress("progress.lessons", 0, len(lessons))
    results = dict(_side_by_side(lessons, processes, progress) if processes > 1 else _in_turn(lessons, progress))
    return tuple(results[lesson.id] for lesson in lessons)


def _all() -> list[Lesson]:
    """Ours, and behind them those of plugins that can be loaded."""
    found = [find(lesson_id) for lesson_id in ORDER]
    for lesson_id in foreign():
        with suppress(InputError):  # which has been told
            found.append(find(lesson_id))
    return found


def _in_turn(lessons: list[Lesson], progress: Progress | None) -> Iterator[tuple[str, LessonResult]]:
    for done, lesson in enumerate(lessons, 1):
        yield lesson.id, _run(lesson)
        if progress is not None:
            progress("progress.lessons", done, len(lessons))


def _side_by_side(
    lessons: list[Lesson], processes: int, progress: Progress | None
) -> Iterator[tuple[str, LessonResult]]:
    """The longest first, so that none is left alone at the end."""
    order = sorted(lessons, key=lambda lesson: -lesson.seconds)
    with workers(processes) as pool:
        waiting = {pool.submit(run, lesson.id): lesson.id for lesson in order}
        for done, future in enumerate(as_completed(waiting), 1):
            yield waiting[future], future.result()
            if progress is not None:
                progress("progress.lessons", done, len(lessons))


def _run(lesson: Lesson) -> LessonResult:
    started = time.perf_counter()
    with one_thread(), _random_states_kept():
        torch.manual_seed(0)
        outcome = lesson.experiment()
    return LessonResult(
        id=lesson.id,
        holds=all(check.holds for check in outcome.checks),
        checks=outcome.checks,
        values=dict(outcome.values),
        pictures=outcome.pictures,
        tables=outcome.tables,
        seeds=outcome.seeds,
        wall_time_s=time.perf_counter() - started,
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Deep narrow networks spend their time starting operations; a second thread only adds to that."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _random_states_kept() -> Iterator[None]:
    states = random_states()
    try:
        yield
    finally:
        restore_random_states(states)
