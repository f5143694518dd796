"""Where runs are made: an experiment, the batches of a seed, and a model repaired in one way or another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from headwater.probes.measure import measure
from headwater.probes.preserve import random_states, restore_random_states
from headwater.records import Experiment, Flow
from headwater.records.proof import ArmName, HeldOutKind
from headwater.remedies import seeds
from headwater.remedies.data import FIRST, Data
from headwater.remedies.edits import Edit
from headwater.remedies.edits_rate import scaled
from headwater.remedies.held_out import HeldOut, Purpose
from headwater.remedies.order import order_of_flow
from headwater.remedies.surgery import plan, repair_optimizer, repaired
from headwater.remedies.trial import Trial, endless, fresh_model, make_optimizer, mean_loss, run_trial, score


@dataclass(frozen=True)
class Run:
    """One training, to be made here or elsewhere.

    Attributes:
        arm: Which side of a proof it belongs to; ``treated`` for a candidate.
        seed: Of weights, data and draws.
        remedies: What the model is repaired with.
        steps: How long it trains.
        rate: Factor on the experiment's own learning rate.
        purpose: Which held-out data it is scored on.
        forgiving: Whether an error in it is a run that failed: nobody asked for a random remedy, or for a pair of
            prescriptions, which may break a training as batch normalisation does on a batch of one.
    """

    arm: ArmName
    seed: int
    remedies: tuple[str, ...]
    steps: int
    rate: float = 1.0
    purpose: Purpose = "prove"
    forgiving: bool = False


class Bench:
    """Makes runs of one experiment; of the seed in hand it keeps the batches, so that all its runs see the same."""

    def __init__(self, experiment: Experiment, held_out: HeldOutKind) -> None:
        self.experiment = experiment
        self._held_out = HeldOut(experiment, held_out)
        self._seed: int | None = None
        self._stream: Iterator[Any] = iter(())
        self._batches: list[Any] = []
        self._base: tuple[nn.Module, Flow] | None = None

    def batches(self, seed: int, steps: int) -> list[Any]:
        """The first batches under a seed."""
        if seed != self._seed:
            self._seed, self._stream, self._batches, self._base = seed, endless(self.experiment, seed), [], None
        while len(self._batches) < steps:
            self._batches.append(next(self._stream))
        return self._batches[:steps]

    def base(self, seed: int) -> tuple[nn.Module, Flow]:
        """The unchanged model under a seed, and what one step of it shows."""
        first = self.batches(seed, 1)[0]
        if self._base is None:
            model = fresh_model(self.experiment, seed)
            self._base = model, measure(model, first, self.experiment.loss)
        return self._base

    def data(self, seed: int) -> Data:
        """What remedies may measure on: the first batches under a seed."""
        return Data(tuple(self.batches(seed, FIRST)), self.experiment.loss)

    def edits(self, seed: int, remedies: tuple[str, ...]) -> tuple[Edit, ...]:
        """The changes that remedies make to the model of a seed.

        Raises:
            InputError: If one is unknown or not applicable, or the optimizer has nothing that it could change.
        """
        model, flow = self.base(seed)
        edits = plan(model, remedies, order_of_flow(flow), seed, self.data(seed))
        if any(edit.optimizer_lines() for edit in edits):
            changed = repaired(model, edits)
            repair_optimizer(changed, make_optimizer(self.experiment, changed), edits)
        return edits

    def treated(self, seed: int, remedies: tuple[str, ...]) -> nn.Module:
        """A repaired copy of the model of a seed, untrained."""
        return repaired(self.base(seed)[0], self.edits(seed, remedies))

    def run(self, run: Run, on_step: Callable[[], None] = lambda: None) -> Trial:
        """Make a run; random states are as before afterwards.

        Raises:
            InputError: If a remedy is not applicable, or the experiment's parts do not fit together.
        """
        outside = random_states()
        try:
            return self._forgiven(run, on_step) if run.forgiving else self._made(run, on_step)
        finally:
            restore_random_states(outside)

    def _made(self, run: Run, on_step: Callable[[], None]) -> Trial:
        batches = self.batches(run.seed, run.steps)
        if run.arm == "placebo":
            start, edits = fresh_model(self.experiment, run.seed + seeds.PLACEBO), scaled(run.rate)
        else:
            start = self.base(run.seed)[0]
            edits = scaled(run.rate) + self.edits(run.seed, run.remedies)
        model, held_out = repaired(start, edits), self._held_out.batches(run.purpose)
        return run_trial(self.experiment, model, batches, run.seed, on_step, edits, held_out)

    def _forgiven(self, run: Run, on_step: Callable[[], None]) -> Trial:
        try:
            return self._made(run, on_step)
        except Exception as error:
            model, held_out = self.base(run.seed)[0], self._held_out.batches
            untrained = score(self.experiment, model, held_out(run.purpose))
            loss = mean_loss(self.experiment, model, held_out(run.purpose))
            said = str(error).splitlines()[0] if str(error) else ""
            return Trial(untrained, (), f"{type(error).__name__}: {said}", loss)


def at_rate(run: Run, rate: float) -> Run:
    """The same run with another learning rate."""
    return replace(run, rate=rate)
