"""Trainings of a sweep side by side in processes here; one whose process dies is made again."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool

import torch

from headwater.processes import Workers, workers
from headwater.records import InputError
from headwater.records.sweep import SweepTrial
from headwater.sweeps.spec import Job
from headwater.sweeps.trial import Function, Task, failed, run_job

LIVES = 3  # processes that one training may take with it before it counts as failed
LOST = "its process died {lives} times"

Result = tuple[Job, SweepTrial]


def locally(task: Task, jobs: Sequence[Job], processes: int) -> Iterator[Result]:
    """Each training as it is done.

    Args:
        task: What they have in common.
        jobs: To be made.
        processes: How many at a time.

    Raises:
        InputError: If processes die before any training is done, again and again.
    """
    left, losses, barren = deque(jobs), Counter[Job](), 0
    while left:
        waiting: dict[Future[SweepTrial], Job] = {}
        done = 0
        try:
            with workers(processes, begin, (task,)) as pool:
                for result in _made(pool, left, waiting, processes):
                    done += 1
                    yield result
        except BrokenProcessPool:
            barren = 0 if done else barren + 1
            if barren > 2 * LIVES:
                raise InputError(
                    "the processes that train die before anything is done: is there enough memory? "
                    "Try fewer at a time, as in --jobs 1."
                ) from None
            for job in waiting.values():
                losses[job] += 1
                if losses[job] < LIVES:
                    left.appendleft(job)
                else:
                    yield job, failed(job, LOST.format(lives=LIVES))


def _made(pool: Workers, left: deque[Job], waiting: dict[Future[SweepTrial], Job], processes: int) -> Iterator[Result]:
    while left or waiting:
        while left and len(waiting) < processes:  # no more than are worked on: if one dies, it is one of these
            waiting[pool.submit(run, left[0])] = left[0]
            left.popleft()
        for future in wait(waiting, return_when=FIRST_COMPLETED).done:
            trial = future.result()
            yield waiting.pop(future), trial


_task: Task | None = None
_function: Function | None = None


def begin(task: Task) -> None:
    """In a process, before any training."""
    global _task, _function
    torch.set_num_threads(task.threads)
    _task, _function = task, task.source()


def run(job: Job) -> SweepTrial:
    """In a process: make a training."""
    assert _task is not None
    assert _function is not None
    return run_job(_function, _task, job)
