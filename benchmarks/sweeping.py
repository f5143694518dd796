"""How sweeps scale: the same trainings by one and by two workers, of this machine's processes and of a Ray cluster.

    python -m benchmarks.sweeping [--quick] [--out FOLDER]

A training is the plain network of depth 20 and width 64 for 400 steps. ``seconds`` is from the call to the last result,
the start of the workers included (``start_s``, taken from a sweep of one training of one step per worker);
``speedup`` is of what is left without it. ``overhead_ms`` is what the collecting process itself takes to write down
each training.
"""

from __future__ import annotations

import logging
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.options import parser, save, say
from headwater.records.sweep import SweepTrial
from headwater.sweeps.book import Book
from headwater.sweeps.spec import SweepSpec, spec_of
from headwater.sweeps.sweeping import swept

TRAININGS, QUICK_TRAININGS = 16, 4
STEPS, QUICK_STEPS = 400, 20
WRITTEN = 2000


def main(arguments: list[str] | None = None) -> None:
    """Both engines with one and two workers."""
    given = parser(__doc__).parse_args(arguments)
    count, steps = (QUICK_TRAININGS, QUICK_STEPS) if given.quick else (TRAININGS, STEPS)
    result: dict[str, Any] = {"machine": machine.describe(1), "quick": given.quick, "trainings": count, "steps": steps}
    for engine in ("local", "ray"):
        found = {workers: timed(engine, workers, count, steps) for workers in (1, 2)}
        ones, twos = (one["seconds"] - one["start_s"] for one in found.values())
        result[engine] = {**{str(workers): one for workers, one in found.items()}, "speedup": ones / twos}
        say(f"{engine}: {ones:.1f} s with one worker, {twos:.1f} s with two: {ones / twos:.2f} times as fast")
    result["overhead_ms"] = overhead_ms()
    say(f"collecting a training takes {result['overhead_ms']:.2f} ms")
    save(given.out, "sweeping", result)


def timed(engine: str, workers: int, count: int, steps: int) -> dict[str, float]:
    """Seconds of a sweep, and of one that does nothing but start its workers."""
    return {"seconds": _seconds(engine, workers, count, steps), "start_s": _seconds(engine, workers, workers, 1)}


def _seconds(engine: str, workers: int, count: int, steps: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        if engine == "local":
            began = time.perf_counter()
            swept(_spec(count, steps), runs=folder, jobs=workers)
            return time.perf_counter() - began
        import ray
        from ray.cluster_utils import Cluster

        cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": workers, "object_store_memory": 80 << 20, "include_dashboard": False},
        )
        try:
            ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
            began = time.perf_counter()
            swept(_spec(count, steps), runs=folder, engine="ray", address=cluster.address)
            return time.perf_counter() - began
        finally:
            ray.shutdown()
            cluster.shutdown()


def overhead_ms() -> float:
    """Milliseconds that writing down a result takes."""
    spec = _spec(WRITTEN, 1)
    with tempfile.TemporaryDirectory() as folder:
        book = Book(Path(folder, "sweep"), spec)
        began = time.perf_counter()
        for job in spec.jobs():
            book.put(job, SweepTrial(job.point, job.seed, 0.5, 0.1, 1.0))
        taken = time.perf_counter() - began
        book.close()
    return taken / WRITTEN * 1e3


def _spec(count: int, steps: int) -> SweepSpec:
    return spec_of({"axes": {"sigma_w": [1.0 + i / count for i in range(count)]}, "steps": steps})


if __name__ == "__main__":
    main()
