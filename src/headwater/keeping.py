"""What a watch measures, on its way into a run's folder. Nothing that goes wrong here reaches the training."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from torch import nn

from headwater.judging import run_info
from headwater.probes.catalogue import module_infos
from headwater.probes.choose import Choice
from headwater.probes.place import rank_and_size
from headwater.probes.sampled_step import SampledStep
from headwater.probes.tabled import Tables
from headwater.records import Event, Flow, InputError
from headwater.records.codec import encode
from headwater.records.place import ALONE, Place
from headwater.store import Writer
from headwater.store.writer import check_size

FOLDER_VARIABLE = "HEADWATER_RUNS"
"""Names the folder that runs without a name of their own go to; ``runs`` by default."""

DEFAULT_BUDGET = 2 << 30  # bytes
_PATIENCE = 3  # failures of our own after which no more steps are recorded


class Kept:
    """Records a watch into a run.

    Args:
        model: That is watched.
        path: Of the run's folder.
        choice: Which sites are measured.
        settings: What ``run.json`` says of the watch.
        budget: Bytes the run may take.
        place: Of this process among those that train together.

    Raises:
        InputError: If no run can be recorded there, or a step would be too large for one.
    """

    def __init__(
        self,
        model: nn.Module,
        path: Path,
        choice: Choice | None,
        settings: Mapping[str, Any],
        budget: int,
        place: Place = ALONE,
    ) -> None:
        sites = sum(not info.is_container for info in module_infos(model, choice).values())
        check_size({"sites": sites, "parameters": len(list(model.parameters())), "course": 1})
        self._tables = Tables()
        self._failures = 0
        about = encode(run_info(model, None, 0.0))
        rank = rank_and_size()[0]
        self._place = place
        self.writer = Writer(path, {**about, **settings}, rank=rank, budget=budget, place=place)

    @property
    def path(self) -> Path:
        return self.writer.path

    def step(self, step: SampledStep) -> None:
        """Write a measured step.

        Raises:
            Exception: If something of ours fails; after three times nothing is tried any more.
        """
        if self._failures >= _PATIENCE or not self.writer.is_ours:
            return
        self._failures += 1
        parameters, new_parameters = self._tables.parameters(step.readings, step.recorder.ledger)
        sites, new_sites = self._tables.sites(step.recorder, parameters, step.grad_scale)
        if new_parameters:
            self.writer.add_rows("parameters", new_parameters)
        if new_sites:
            self.writer.add_rows("sites", new_sites)
        course = self._tables.course(step)
        self.writer.step(step.number, {"sites": sites, "parameters": parameters, "course": course}, step.loss)
        self._failures -= 1

    def at(self, step: int) -> None:
        """Say which step the training is at, also between those that are measured."""
        if self._place.world_size > 1:
            self.writer.at_step = step

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write numbers by name."""
        self.writer.scalars(step, values)

    def event(self, event: Event, is_alarm: bool) -> None:
        """Write what happened."""
        self.writer.event(event.step, event.message.id, event.message.values, is_alarm)

    def flow(self, name: str, flow: Flow) -> None:
        """Keep everything a step showed."""
        self.writer.flow(name, flow)

    def thorough(self, flow: Flow, number: int) -> None:
        """Keep everything that a thorough step showed; beside others of ranks, steps are kept that all of them have.

        A rank that measures half as often as another has every second of its steps. So the last one is kept of each
        number of times that two divides its number: whatever one rank kept last, the others have kept as well.

        Args:
            flow: What it showed.
            number: The how-manieth step it could be at most.
        """
        self.writer.flow("last", flow)
        if self._place.world_size > 1 and number:
            self.writer.flow(f"shared-{(number & -number).bit_length() - 1}", flow)

    def close(self, reason: str, facts: Mapping[str, Any]) -> None:
        """The watch has ended."""
        self.writer.note(**facts)
        self.writer.close(reason)


def chosen_path(run: str | os.PathLike[str]) -> Path | None:
    """Where to record; ``None`` for the processes beside the first of a training that nobody gave a folder.

    Args:
        run: A folder; ``"auto"`` stands for one named after the time.

    Raises:
        InputError: If it is no path.
    """
    if not isinstance(run, (str, os.PathLike)) or not str(run).strip() or "\0" in str(run):
        raise InputError(
            f'run={run!r} is no folder: hw.watch(model, optimizer, run="runs/a"), or run=None to record nothing.'
        )
    if run != "auto":
        return Path(run).expanduser()
    if rank_and_size()[0]:
        return None
    base = Path(os.environ.get(FOLDER_VARIABLE) or "runs").expanduser()
    name = datetime.now().strftime("%Y-%m-%d-%H%M%S")
    return next(path for number in range(1, 10_000) if not (path := base / _numbered(name, number)).exists())


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"
