"""Does the repair help? A paired experiment with controls answers."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from scipy import special
from torch import nn

from headwater.probes.measure import measure
from headwater.probes.preserve import random_states, restore_random_states
from headwater.records import Arm, Experiment, InputError, Message, Proof
from headwater.records.proof import ArmName, ProofVerdict
from headwater.remedies import seeds as streams
from headwater.remedies.data import FIRST, Data
from headwater.remedies.edits import Edit
from headwater.remedies.order import Order, order_of_flow
from headwater.remedies.registry import REMEDIES, find
from headwater.remedies.surgery import plan, repair_optimizer, repaired
from headwater.remedies.trial import Trial, endless, fresh_model, make_optimizer, run_trial, score

CONFIDENCE = 0.95
RANDOM_DRAWS = 100  # a model that refuses so many refuses all but a few
ARMS: tuple[ArmName, ...] = ("original", "treated", "placebo", "random_remedy")

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class _Run:
    """One arm under one seed."""

    arm: ArmName
    remedies: tuple[str, ...]
    trial: Trial


def prove(
    experiment: Experiment,
    remedies: Sequence[str],
    seeds: int | Sequence[int] = 5,
    steps: int = 200,
    progress: Progress | None = None,
) -> Proof:
    """Train the original and the repaired network side by side over seeds, with a placebo and a random remedy.

    Under each seed all arms train on the very same batches, which are drawn once and held in memory; ``original``,
    ``treated`` and ``random_remedy`` start from the same weights as far as the remedy leaves them. The placebo changes
    nothing but the seed of the weights. The random remedy, drawn per seed, is as many changes as the tested one.

    Args:
        experiment: With optimizer and validation.
        remedies: Remedy ids, applied in this order.
        seeds: How many seeds, from 0, or which.
        steps: Optimizer steps per run.
        progress: ``progress("progress.prove", done, total)`` after each step.

    Raises:
        InputError: If a remedy is unknown or not applicable, or the experiment lacks a part.
    """
    chosen = _checked_seeds(seeds)
    names = _checked_remedies(remedies)
    if not isinstance(steps, int) or steps < 1:
        raise InputError(f"steps must be a whole number of at least 1, got {steps!r}.")
    started = time.perf_counter()
    outside = random_states()
    counter = _Counter(progress, len(chosen) * len(ARMS) * steps)
    try:
        runs = [run for seed in chosen for run in _runs_of_seed(experiment, names, seed, steps, counter)]
    finally:
        restore_random_states(outside)
    return _verdict(experiment, names, chosen, steps, runs, time.perf_counter() - started)


class _Counter:
    """Tells the caller how far the whole proof is; a run that broke off counts as done."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self.done = progress, total, 0

    def advance(self, steps: int = 1) -> None:
        self.done += steps
        if steps and self._progress is not None:
            self._progress("progress.prove", self.done, self._total)


def _runs_of_seed(
    experiment: Experiment, remedies: tuple[str, ...], seed: int, steps: int, counter: _Counter
) -> list[_Run]:
    base = fresh_model(experiment, seed)
    batches = list(islice(endless(experiment, seed), steps))
    order = order_of_flow(measure(base, batches[0], experiment.loss))
    data = Data(tuple(batches[:FIRST]), experiment.loss)
    chance = _random_remedy(base, order, remedies, seed, data, experiment)

    elsewhere = fresh_model(experiment, seed + streams.PLACEBO)
    arms: list[tuple[ArmName, tuple[str, ...], nn.Module]] = [
        ("original", (), base),
        ("treated", remedies, base),
        ("placebo", (), elsewhere),
        ("random_remedy", chance, base),
    ]
    planned = [(name, changes, start, plan(start, changes, order, seed, data)) for name, changes, start in arms]
    for _, _, start, edits in planned:
        _refuse_unfit(experiment, start, edits)
    ready = [(name, changes, repaired(start, edits), edits) for name, changes, start, edits in planned]
    return [
        _Run(name, changes, _counted(experiment, model, edits, batches, seed, counter, name == "random_remedy"))
        for name, changes, model, edits in ready
    ]


def _counted(
    experiment: Experiment,
    model: nn.Module,
    edits: tuple[Edit, ...],
    batches: list[Any],
    seed: int,
    counter: _Counter,
    forgiving: bool,
) -> Trial:
    """One run. A remedy that nobody asked for may break it, as batch normalisation does on a batch of one."""
    before = counter.done
    untrained = score(experiment, model) if forgiving else float("nan")
    try:
        trial = run_trial(experiment, model, batches, seed, counter.advance, edits)
    except Exception as error:
        if not forgiving:
            raise
        trial = Trial(untrained, (), f"{type(error).__name__}: {error}")
    counter.advance(len(batches) - (counter.done - before))
    return trial


def _random_remedy(
    model: nn.Module,
    order: Order,
    tested: tuple[str, ...],
    seed: int,
    data: Data | None = None,
    experiment: Experiment | None = None,
) -> tuple[str, ...]:
    """As many remedies as the tested change has, drawn from all cures there are; none if no draw is applicable.

    Not fewer, or the control would lose by their number alone; not of the same kinds, or it would be given half of the
    diagnosis: that it takes another activation *and* another initialisation.
    """
    chance = random.Random(seed)
    cures = sorted(remedy.id for remedy in REMEDIES.values() if remedy.is_cure)
    for _ in range(RANDOM_DRAWS):
        changes = tuple(chance.sample(cures, k=min(len(tested), len(cures))))
        if changes == tested:
            continue
        try:
            edits = plan(model, changes, order, seed, data)
            if experiment is not None:
                _refuse_unfit(experiment, model, edits)
        except InputError:
            continue
        return changes
    return ()


def _refuse_unfit(experiment: Experiment, model: nn.Module, edits: tuple[Edit, ...]) -> None:
    """Before anything is trained: the optimizer may have nothing that a remedy could change.

    Raises:
        InputError: If it has not.
    """
    if any(edit.optimizer_lines() for edit in edits):
        changed = repaired(model, edits)
        repair_optimizer(changed, make_optimizer(experiment, changed), edits)


def _checked_seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    try:
        chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(int(seed) for seed in seeds)
    except TypeError as error:
        raise InputError(f"seeds is a number of seeds or a list of them, got {seeds!r}: seeds=5.") from error
    if len(set(chosen)) < 2:
        raise InputError(f"a proof needs at least 2 different seeds to have an interval, got {seeds!r}: seeds=5.")
    return tuple(dict.fromkeys(chosen))


def _checked_remedies(remedies: Sequence[str]) -> tuple[str, ...]:
    if not remedies:
        raise InputError('nothing to prove: name at least one remedy, prove(experiment, ["init.he"]).')
    return tuple(find(remedy).id for remedy in remedies)


def _verdict(
    experiment: Experiment,
    remedies: tuple[str, ...],
    seeds: tuple[int, ...],
    steps: int,
    runs: list[_Run],
    wall_time_s: float,
) -> Proof:
    arms = {name: _arm(name, [run for run in runs if run.arm == name]) for name in ARMS}
    means = {name: statistics.fmean(arm.metrics) for name, arm in arms.items()}
    effect = [after - before for after, before in zip(arms["treated"].metrics, arms["original"].metrics, strict=True)]
    against_placebo = [a - b for a, b in zip(arms["treated"].metrics, arms["placebo"].metrics, strict=True)]
    interval, placebo_interval = t_interval(effect), t_interval(against_placebo)
    return Proof(
        remedies=remedies,
        verdict=_decide(interval, placebo_interval),
        effect=statistics.fmean(effect),
        interval=interval,
        placebo_interval=placebo_interval,
        metric_before=means["original"],
        metric_after=means["treated"],
        placebo=means["placebo"],
        random_remedy=means["random_remedy"],
        metric=_metric_name(experiment),
        seeds=seeds,
        steps=steps,
        arms=tuple(arms.values()),
        wall_time_s=wall_time_s,
    )


def _arm(name: ArmName, runs: list[_Run]) -> Arm:
    return Arm(
        name=name,
        remedies=tuple(run.remedies for run in runs),
        metrics=tuple(run.trial.metric for run in runs),
        losses=tuple(run.trial.losses for run in runs),
        failures=tuple(run.trial.failure for run in runs),
    )


def _decide(interval: tuple[float, float], placebo_interval: tuple[float, float]) -> ProofVerdict:
    """Proven is that the change helps, beyond chance. That others might help as well does not take that from it."""
    if interval[1] < 0:
        return "harmful"
    return "proven" if interval[0] > 0 and placebo_interval[0] > 0 else "not_proven"


def t_interval(differences: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Student's t interval of the mean of paired differences.

    Args:
        differences: At least two.
        confidence: Share of such intervals that hold the true mean.

    Example:
        >>> [round(bound, 3) for bound in t_interval([1.0, 2.0, 3.0])]
        [-0.484, 4.484]
    """
    n = len(differences)
    mean = statistics.fmean(differences)
    reach = special.stdtrit(n - 1, (1 + confidence) / 2) * statistics.stdev(differences) / n**0.5
    return mean - float(reach), mean + float(reach)


def _metric_name(experiment: Experiment) -> Message:
    if experiment.metric is None:
        return Message("metric.negative_loss")
    name = experiment.metric_name or getattr(experiment.metric, "__name__", "metric")
    return Message("metric.named", {"name": "metric" if name == "<lambda>" else name})
