"""Trainings of a sweep on a Ray cluster: what is lost with a worker or a node is made again elsewhere."""

from __future__ import annotations

import pickle
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Any

from headwater.cluster import cluster
from headwater.records import InputError
from headwater.records.sweep import SweepTrial
from headwater.sweeps import local
from headwater.sweeps.local import LIVES, LOST, Result
from headwater.sweeps.spec import Job
from headwater.sweeps.trial import Task, failed

_AHEAD = 2  # trainings handed over per processor, so that none waits for this process


def on_ray(task: Task, jobs: Sequence[Job], address: str | None = None) -> Iterator[Result]:
    """Each training as it is done.

    Args:
        task: What they have in common.
        jobs: To be made.
        address: Of a cluster, ``auto`` for the one of this machine; by default what ``RAY_ADDRESS`` names, else one
            that is started here and ends with the sweep.

    Raises:
        InputError: If Ray is not installed or the cluster cannot be reached.
    """
    with cluster(address) as ray:
        remote = ray.remote(num_cpus=1, max_retries=0)(_run)
        shared, left, losses = ray.put(pickle.dumps(task)), deque(jobs), Counter[Job]()
        waiting: dict[Any, Job] = {}
        while left or waiting:
            room = max(_AHEAD * int(ray.cluster_resources().get("CPU", 1)), 1)
            while left and len(waiting) < room:
                job = left.popleft()
                waiting[remote.remote(shared, job)] = job
            for reference in ray.wait(list(waiting), num_returns=1, timeout=1.0)[0]:
                job = waiting.pop(reference)
                trial = _result(ray, reference)
                if trial is None:  # its worker or node is gone
                    losses[job] += 1
                    if losses[job] < LIVES:
                        left.append(job)
                        continue
                    trial = failed(job, LOST.format(lives=LIVES))
                yield job, trial


_begun_with = b""


def _run(task: bytes, job: Job) -> SweepTrial:
    """On a worker, which loads the experiment once."""
    global _begun_with
    if _begun_with != task:
        local.begin(pickle.loads(task))
        _begun_with = task
    return local.run(job)


def _result(ray: Any, reference: Any) -> SweepTrial | None:
    try:
        trial: SweepTrial = ray.get(reference)
    except ray.exceptions.RayTaskError as error:  # what the worker could not even begin with
        cause = error.cause if isinstance(error.cause, Exception) else error
        raise InputError(f"a worker cannot load the experiment: {type(cause).__name__}: {cause}") from error
    except ray.exceptions.RayError:
        return None
    return trial
