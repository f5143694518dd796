"""Trainings of a sweep on a Ray cluster: what is lost with a worker or a node is made again elsewhere."""

from __future__ import annotations

import pickle
import socket
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from headwater.records import InputError
from headwater.records.sweep import SweepTrial
from headwater.sweeps import local
from headwater.sweeps.local import LIVES, LOST, Result
from headwater.sweeps.spec import Job
from headwater.sweeps.trial import Task, failed

_PATIENCE_S = 5.0
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


@contextmanager
def cluster(address: str | None) -> Iterator[Any]:
    """Ray, connected until the block ends; a cluster that was connected to before stays so."""
    ray = _ray()
    if ray.is_initialized():
        yield ray
        return
    _check_reachable(address)
    started_here = {} if address else {"include_dashboard": False}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **started_here)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise InputError(_unreachable(address, str(error).splitlines()[0] if str(error) else "")) from error
    try:
        yield ray
    finally:
        ray.shutdown()


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


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise InputError('engine "ray" needs Ray: pip install "headwater[ray]".') from error
    return ray


def _check_reachable(address: str | None) -> None:
    """Ray itself waits for half a minute and longer."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE_S).close()
    except (OSError, OverflowError) as error:
        raise InputError(_unreachable(address, getattr(error, "strerror", None) or str(error))) from error


def _unreachable(address: str | None, why: str) -> str:
    return (
        f"no Ray cluster answers at {address or 'RAY_ADDRESS'} ({why}): start one with `ray start --head` and give the "
        "address it prints, or leave --address out for one on this machine."
    )
