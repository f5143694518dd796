"""Makes runs: here one after another, or side by side in processes that have made the same experiment for themselves.

What a run gives depends on its own seed alone, so that side by side the very same numbers come out as one after
another. That holds if an experiment is the same everywhere: each process says what it got under one seed, and if one
disagrees, all runs are made here.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from typing import get_args

import torch

from headwater.cluster import Engine, RayWorkers, ray_workers
from headwater.probes.preserve import random_states, restore_random_states
from headwater.processes import Workers, processors, workers
from headwater.records import Experiment, InputError, Message
from headwater.records.proof import HeldOutKind
from headwater.remedies.bench import Bench, Run
from headwater.remedies.fingerprint import Identity, identity
from headwater.remedies.journal import Journal
from headwater.remedies.threads import best_threads, computing_with
from headwater.remedies.trial import Trial

Progress = Callable[[str, int, int], None]
Source = Callable[[], Experiment]


class Runner:
    """Makes runs, keeps what they gave in a journal, and tells how far it is.

    Attributes:
        bench: Where runs are made in this process.
        identity: What the experiment gives under the first seed.
        notes: What a reader of the results should know about how they were made.
        threads: That each process computes with.
        processes: That run side by side.
    """

    def __init__(self, bench: Bench, same: Identity, threads: int) -> None:
        self.bench, self.identity, self.threads = bench, same, threads
        self.notes: list[Message] = []
        self.processes = 1
        self.journal = Journal(None, {})
        self._pool: Workers | RayWorkers | None = None
        self._progress: Callable[[int], None] = lambda steps: None

    def telling(self, progress: Callable[[int], None]) -> None:
        """Call ``progress`` with the steps that were made, whenever some were."""
        self._progress = progress

    def run(self, runs: Sequence[Run]) -> list[Trial]:
        """What each run gave, in order; those the journal knows are not made again.

        Raises:
            InputError: If an experiment or a remedy cannot be used.
        """
        known = {run: trial for run in dict.fromkeys(runs) if (trial := self.journal.get(run)) is not None}
        for run in known:
            self._progress(run.steps)
        missing = [run for run in dict.fromkeys(runs) if run not in known]
        for run, trial in self._made(missing):
            self.journal.put(run, trial)
            known[run] = trial
        return [known[run] for run in runs]

    def _made(self, runs: list[Run]) -> Iterator[tuple[Run, Trial]]:
        left = dict.fromkeys(runs)
        if self._pool is not None and len(runs) > 1:
            try:
                for run, trial in self._elsewhere(self._pool, runs):
                    del left[run]
                    yield run, trial
            except BrokenProcessPool:
                self._alone(Message("proof.note_worker_gone"))
        for run in sorted(left, key=lambda run: run.seed):  # the batches of one seed are kept, not those of several
            yield run, self._here(run)

    def _elsewhere(self, pool: Workers | RayWorkers, runs: list[Run]) -> Iterator[tuple[Run, Trial]]:
        waiting: dict[Future[Trial | None], Run] = {pool.submit(_run, run): run for run in runs}
        while waiting:
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                run = waiting.pop(future)
                trial = future.result()
                if trial is None:  # made once more, here, so that the error comes from where it can be followed
                    trial = self._here(run)
                else:
                    self._progress(run.steps)
                yield run, trial

    def _here(self, run: Run) -> Trial:
        made = 0

        def on_step() -> None:
            nonlocal made
            made += 1
            self._progress(1)

        trial = self.bench.run(run, on_step)
        self._progress(run.steps - made)  # a run that broke off counts as done
        return trial

    def _alone(self, why: Message) -> None:
        self._pool, self.processes = None, 1
        self.notes.append(why)

    def start(self, pool: Workers | RayWorkers, processes: int, seed: int) -> None:
        """Ask the processes what the experiment gives there; use them if it is the same as here."""
        try:
            marks = [pool.submit(_mark, seed) for _ in range(processes)]
            same = all(mark.result() == self.identity.mark for mark in marks)
        except BrokenProcessPool:
            self._alone(Message("proof.note_not_elsewhere"))
            return
        if not same:
            self._alone(Message("proof.note_differs_elsewhere"))
            return
        self._pool, self.processes = pool, processes


@contextmanager
def running(
    experiment: Experiment,
    held_out: HeldOutKind,
    seed: int,
    jobs: int | None,
    source: Source | None,
    engine: Engine = "local",
    address: str | None = None,
) -> Iterator[Runner]:
    """A runner that is there until the block ends; random states are as before afterwards.

    Args:
        experiment: With optimizer and validation.
        held_out: What runs are scored on.
        seed: Under which it is found out what the experiment is.
        jobs: How many processes; ``None`` for one per processor.
        source: Makes the experiment in another process; by default it travels by pickle.
        engine: ``local`` for processes here, ``ray`` for the workers of a cluster.
        address: Of a Ray cluster.

    Raises:
        InputError: If the experiment lacks a part, ``jobs`` is no such number, or the cluster cannot be reached.
    """
    if engine not in get_args(Engine):
        raise InputError(f'engine is "local" or "ray", got {engine!r}.')
    if engine == "local" and address is not None:
        raise InputError('address names a Ray cluster: engine="ray" goes with it.')
    if jobs is not None and (not isinstance(jobs, int) or jobs < 1):
        raise InputError(f"jobs counts processes: a whole number from 1, got {jobs!r}.")
    outside = random_states()
    try:
        bench, same = Bench(experiment, held_out), identity(experiment, seed)
        jobs = jobs or processors()
        if engine == "ray":
            jobs = max(jobs, 2)  # how many there are, the cluster says
        made_by = _travelling(experiment, source) if jobs > 1 else None
        several = made_by is not None and same.repeatable
        most = max(torch.get_num_threads() // (jobs if several else 1), 1)
        threads = best_threads(experiment, seed, most)
        runner = Runner(bench, same, threads)
        if jobs > 1 and not several:
            runner.notes.append(Message("proof.note_not_picklable" if made_by is None else "proof.note_stateful"))
        if same.one_object or not same.weights_vary:
            runner.notes.append(Message("proof.note_same_model"))
        with computing_with(threads), ExitStack() as stack:
            if several and engine == "ray":
                cluster = stack.enter_context(ray_workers(_prepare, (made_by, held_out, threads), address))
                runner.start(cluster, cluster.processors, seed)
            elif several:
                pool = stack.enter_context(workers(jobs, _prepare, (made_by, held_out, threads)))
                runner.start(pool, jobs, seed)
            yield runner
    finally:
        restore_random_states(outside)


def _travelling(experiment: Experiment, source: Source | None) -> bytes | None:
    """How another process makes the experiment, ``None`` if nothing here can travel there."""
    try:
        return pickle.dumps(source if source is not None else experiment)
    except Exception:  # a lambda, an open file, a lock: whatever it is, the runs are then made here
        return None


_bench: Bench | None = None


def _prepare(made_by: bytes, held_out: HeldOutKind, threads: int) -> None:
    """In another process, before any run."""
    global _bench
    torch.set_num_threads(threads)
    made = pickle.loads(made_by)
    _bench = Bench(made if isinstance(made, Experiment) else made(), held_out)


def _mark(seed: int) -> str:
    assert _bench is not None
    return identity(_bench.experiment, seed).mark


def _run(run: Run) -> Trial | None:
    """A run's result, ``None`` if it raised: an error need not survive the way back."""
    assert _bench is not None
    try:
        return _bench.run(run)
    except Exception:
        return None
