"""Who repairs: headwater, a recipe that is the same for everybody, and chance. What runs in a worker process."""

from __future__ import annotations

import logging
import math
import random
import statistics
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import torch

import headwater as hw
from benchmarks.faults.judging import known
from benchmarks.faults.program import Program
from headwater.probes.measure import measure
from headwater.records import Experiment
from headwater.remedies.data import FIRST, Data
from headwater.remedies.order import order_of_flow
from headwater.remedies.registry import REMEDIES
from headwater.remedies.surgery import patch
from headwater.remedies.trial import endless, fresh_model, run_trial

FRESH = (1000, 1001, 1002, 1003)
"""Seeds that no repair has seen: of the trainings that a repair is judged by."""

RECIPE = ("activation.relu", "init.he", "normalisation.batch")
RECIPE_RATE = 1e-3  # Adam's own default
CHANCE_DRAWS = 100
LINE = 200

Change = Callable[[Experiment], Experiment]


@dataclass(frozen=True)
class Repair:
    """What somebody made of a faulty program.

    Attributes:
        program: Its id.
        family: Its family.
        cause: The planted one.
        arm: Who repaired.
        verdict: ``proven``, ``not_proven``, ``nothing_to_fix``; of arms that prove nothing ``adopted`` or ``refused``.
        remedies: What was adopted, nothing where nothing was.
        before: Metric of the program as it is, after its steps, per fresh seed.
        after: Metric of the repaired program, of the same seeds and batches.
        twin: Mean metric of the healthy program that it was made from.
        chance: Metric of a network that has learnt nothing.
        seconds: Until there was a repair; judging it is not counted.
        failure: Why there is none, ``""`` if there is.
        budget_s: Seconds that a search might take.
        commit: Of headwater's repository, as it was then.
    """

    program: str
    family: str
    cause: str
    arm: str
    verdict: str
    remedies: tuple[str, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    twin: float
    chance: float
    seconds: float
    failure: str = ""
    budget_s: float = 0.0
    commit: str = ""

    @property
    def gains(self) -> tuple[float, ...]:
        """Points per seed: hundredths of what the healthy twin learns beyond chance."""
        scale = 100 / (self.twin - self.chance)
        return tuple(scale * (after - before) for after, before in zip(self.after, self.before, strict=True))

    @property
    def gain(self) -> float:
        """Mean over the seeds; 0 where nothing was adopted."""
        return statistics.fmean(self.gains) if self.after else 0.0

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {"gain": self.gain}


def repair(program_id: str, arm: str, twin: float, budget_s: float, commit: str = "") -> Repair:
    """One arm on one program, judged on fresh seeds.

    Args:
        program_id: Of a faulty program.
        arm: Key of ``ARMS``.
        twin: Mean metric of its healthy twin.
        budget_s: Seconds that a search may take.
        commit: To be told with the result.
    """
    logging.disable(logging.CRITICAL)
    program = known()[program_id]
    assert program.fault is not None
    told = partial(
        Repair,
        program.id,
        program.family,
        program.fault.causes[0],
        arm,
        twin=twin,
        chance=program.chance,
        budget_s=budget_s,
        commit=commit,
    )
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            verdict, remedies, change = ARMS[arm](program, budget_s)
        except Exception as error:  # whatever it is: the benchmark goes on, and says so
            return told("refused", (), (), (), seconds=time.perf_counter() - started, failure=_line(error))
        seconds = time.perf_counter() - started
        if change is None:
            return told(verdict, remedies, (), (), seconds=seconds)
        before = tuple(_learnt(program, program.make(), seed) for seed in FRESH)
        try:
            after = tuple(_learnt(program, change(program.make()), seed) for seed in FRESH)
        except Exception as error:  # a repair that somebody would have adopted, and that does not run
            after = tuple(program.chance for _ in FRESH)
            return told(verdict, remedies, before, after, seconds=seconds, failure=_line(error))
    return told(verdict, remedies, before, after, seconds=seconds)


def _headwater(program: Program, budget_s: float) -> tuple[str, tuple[str, ...], Change | None]:
    cure = hw.fix(program.make(), steps=program.steps, budget_seconds=budget_s)
    if cure.verdict != "proven":
        return cure.verdict, (), None
    return cure.verdict, tuple(cure.remedies), partial(_patched, cure.patch)


def _recipe(program: Program, budget_s: float) -> tuple[str, tuple[str, ...], Change | None]:
    """ReLU, He, batch normalisation and Adam, as advice without a diagnosis has it; what is there already stays."""
    chosen: tuple[str, ...] = ()
    for remedy in RECIPE:
        with suppress(hw.InputError):
            _patch_of(program, (*chosen, remedy))
            chosen = (*chosen, remedy)
    code = _patch_of(program, chosen)

    def change(experiment: Experiment) -> Experiment:
        return replace(
            _patched(code, experiment), optimizer=lambda parameters: torch.optim.Adam(parameters, lr=RECIPE_RATE)
        )

    return "adopted", (*chosen, "adam"), change


def _random(program: Program, budget_s: float) -> tuple[str, tuple[str, ...], Change | None]:
    """A remedy drawn from all cures; the first that the network does not refuse."""
    chance = random.Random(program.id)
    cures = sorted(remedy.id for remedy in REMEDIES.values() if remedy.is_cure)
    for _ in range(CHANCE_DRAWS):
        chosen = chance.choice(cures)
        try:
            code = _patch_of(program, (chosen,))
        except hw.InputError:
            continue
        return "adopted", (chosen,), partial(_patched, code)
    return "refused", (), None


ARMS: dict[str, Callable[[Program, float], tuple[str, tuple[str, ...], Change | None]]] = {
    "headwater": _headwater,
    "recipe": _recipe,
    "random": _random,
}


def _patch_of(program: Program, remedies: tuple[str, ...]) -> str:
    experiment = program.make()
    model = fresh_model(experiment, 0)
    batches = tuple(islice(endless(experiment, 0), FIRST))
    order = order_of_flow(measure(model, batches[0], experiment.loss))
    return patch(model, remedies, order, data=Data(batches, experiment.loss))


def _patched(code: str, experiment: Experiment) -> Experiment:
    """The experiment as the patch changes it: what a user would paste, run as it stands."""
    space: dict[str, Any] = {}
    exec(compile(code, "patch", "exec"), space)
    return experiment.repaired(space["repair"], space.get("repair_optimizer"))


def _learnt(program: Program, experiment: Experiment, seed: int) -> float:
    model = fresh_model(experiment, seed)
    batches = list(islice(endless(experiment, seed), program.steps))
    metric = run_trial(experiment, model, batches, seed).metric
    return metric if math.isfinite(metric) else program.chance


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:LINE]
