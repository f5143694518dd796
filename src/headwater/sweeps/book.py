"""Trainings of a sweep in the run store: each is written when it is done, and is not made again after a kill."""

from __future__ import annotations

import json
import os
from pathlib import Path

from headwater.records import InputError, decode, encode
from headwater.records.sweep import TRIAL, SweepTrial
from headwater.store import Recording, Writer
from headwater.store.layout import RUN_FILE
from headwater.sweeps.spec import Job, SweepSpec


class Book:
    """The run that a sweep's trainings are written into, one event each.

    Args:
        path: The run's folder, made or gone on with.
        spec: Of the sweep.

    Raises:
        InputError: If something else lies there.
    """

    def __init__(self, path: str | os.PathLike[str], spec: SweepSpec) -> None:
        self.path = Path(path)
        self._known = self._read(spec)
        about = {"experiment": spec.experiment, "digest": spec.digest, "steps": spec.steps}
        self._writer = Writer(self.path, {"model": spec.experiment, "sweep": about})

    def get(self, job: Job) -> SweepTrial | None:
        """What a training gave, if it was made before."""
        return self._known.get(job.key)

    def put(self, job: Job, trial: SweepTrial) -> None:
        """Write down what a training gave."""
        values = {**encode(trial), "point": json.dumps(dict(job.settings)), "job": job.key}
        self._writer.event(len(self._known), TRIAL, values)
        self._writer.scalars(len(self._known), {"metric": trial.metric})
        self._known[job.key] = trial

    def close(self, reason: str = "closed") -> None:
        """No more is to come for now."""
        self._writer.close(reason)

    def _read(self, spec: SweepSpec) -> dict[str, SweepTrial]:
        if not (self.path / RUN_FILE).exists():
            return {}
        recording = Recording(self.path)
        about = recording.info.get("sweep")
        if not isinstance(about, dict) or about.get("digest") != spec.digest:
            what = "a run" if not isinstance(about, dict) else "another sweep"
            raise InputError(
                f'{self.path} holds {what}: give this one a name of its own, as in name = "{spec.name}-2". '
                "More seeds or more values of an axis go on with what is there; another experiment, fixed setting or "
                "number of steps does not."
            )
        found = {}
        for event in recording.events():
            if event.message.id == TRIAL:
                values = dict(event.message.values)
                values["point"] = json.loads(str(values["point"]))
                found[str(values["job"])] = decode(SweepTrial, values)
        return found
