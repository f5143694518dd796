"""A training for each point of a grid: in processes here or on a Ray cluster, resumable, with theory's line."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headwater.cluster import Engine
from headwater.records import Experiment, InputError
from headwater.report.sweep import SweepReport
from headwater.sweeps.spec import PLAIN_NETWORK, read_spec, spec_of
from headwater.sweeps.sweeping import Progress, swept


@dataclass(frozen=True)
class _Given:
    """Loads a function that travels by pickle itself."""

    function: Callable[..., Experiment]

    def __call__(self) -> Callable[..., Experiment]:
        return self.function


def sweep(
    spec: str | os.PathLike[str] | Mapping[str, Any],
    experiment: Callable[..., Experiment] | None = None,
    *,
    runs: str | os.PathLike[str] = "runs",
    engine: Engine = "local",
    jobs: int | None = None,
    address: str | None = None,
    progress: Progress | None = None,
) -> SweepReport:
    """Train at each point of a grid; what was made before is not made again.

    Args:
        spec: A TOML file, or a mapping with its keys: ``{"axes": {"depth": [5, 10], "sigma_w": [1.0, 1.5]}}``.
        experiment: ``experiment(**settings) -> Experiment``, importable by other processes; by default a plain network
            with ``depth``, ``width``, ``activation``, ``sigma_w``, ``sigma_b``, ``data``, ``optimizer``,
            ``learning_rate`` and ``batch_size``.
        runs: Folder that the sweep's own folder lies in.
        engine: ``"local"`` for processes here, ``"ray"`` for the workers of a Ray cluster.
        jobs: Processes here; one per processor by default. A script keeps its call under ``if __name__ ==
            "__main__":``.
        address: Of a Ray cluster, ``HOST:PORT`` or ``"auto"``; by default what ``RAY_ADDRESS`` names, else one that is
            started here and ends with the sweep.
        progress: ``progress("progress.sweep", done, total)`` after each training.

    Raises:
        InputError: If the spec, the experiment, the folder or the engine cannot be used.
        KeyboardInterrupt: At Ctrl-C; its ``found`` is what was finished, and the same call goes on with it.
    """
    read = spec_of(spec) if isinstance(spec, Mapping) else read_spec(os.fspath(spec))
    if experiment is None and read.experiment != PLAIN_NETWORK:
        raise InputError(
            f"sweep() takes the function itself: sweep(..., experiment=...) with what {read.experiment} names; "
            "`headwater sweep` finds it by that name."
        )
    source = None if experiment is None else _Given(experiment)
    found = swept(read, source, runs=runs, engine=engine, jobs=jobs, address=address, progress=progress)
    return SweepReport(found)


__all__ = ["sweep"]
