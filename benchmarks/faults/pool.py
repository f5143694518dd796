"""Jobs on several processes, with progress and what is left of the time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from queue import SimpleQueue
from typing import Any, TypeVar

from benchmarks.options import say
from benchmarks.worker import CrashError, Worker

T = TypeVar("T")
PROCESSES = 2
EVERY_S = 15.0


def keep_stdout_free() -> None:
    """Send what libraries print from C, as Intel's do of NaN, to stderr: stdout holds the tables alone."""
    os.dup2(2, 1)


def spread(
    job: Callable[..., T],
    arguments: Sequence[tuple[Any, ...]],
    processes: int = PROCESSES,
    warm_up: Callable[[], Any] | None = None,
) -> Iterator[tuple[tuple[Any, ...], T | CrashError]]:
    """Run ``job(*arguments)`` for all arguments, each process on one thread; results as they come.

    Args:
        job: A function of a module.
        arguments: Of each call.
        processes: At work side by side.
        warm_up: Called in each process first, so that no job pays for imports and compilation.
    """
    idle: SimpleQueue[Worker] = SimpleQueue()

    def started() -> Worker:
        worker = Worker(threads=1)
        worker.call(keep_stdout_free)
        if warm_up is not None:
            worker.call(warm_up)
        return worker

    def call(given: tuple[Any, ...]) -> T | CrashError:
        worker = idle.get()
        try:
            result: T | CrashError = worker.call(job, *given)
        except CrashError as error:
            result = error
            if not worker.alive:
                worker.close()
                worker = started()
        idle.put(worker)
        return result

    with ThreadPoolExecutor(processes) as threads:
        for worker in threads.map(lambda _: started(), range(processes)):
            idle.put(worker)
        futures = {threads.submit(call, given): given for given in arguments}
        started_at = told_at = time.monotonic()
        for done, future in enumerate(as_completed(futures), start=1):
            yield futures[future], future.result()
            if time.monotonic() - told_at > EVERY_S:
                told_at = time.monotonic()
                left = (told_at - started_at) / done * (len(futures) - done)
                say(f"{done} of {len(futures)}, about {left / 60:.1f} minutes left")
        for _ in range(processes):
            idle.get().close()
