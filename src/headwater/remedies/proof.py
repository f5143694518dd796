"""Does the repair help? A paired experiment with controls answers."""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from scipy import special

from headwater.cluster import Engine
from headwater.records import Arm, Cost, Experiment, InputError, Message, Proof, Tuned
from headwater.records.proof import ArmName, ProofVerdict
from headwater.remedies.bench import Bench, Run
from headwater.remedies.held_out import kind_of
from headwater.remedies.journal import Journal
from headwater.remedies.registry import REMEDIES, find
from headwater.remedies.runner import Runner, Source, running
from headwater.remedies.sequential import CONFIDENCE, FIRST_LOOK, critical_values, interval, looks, resolution_of
from headwater.remedies.trial import Trial
from headwater.remedies.tuning import RATES, checked_rates, tuned, tuning_seeds

RANDOM_DRAWS = 100  # a model that refuses so many refuses all but a few
ARMS: tuple[ArmName, ...] = ("original", "treated", "placebo", "random_remedy")
# Remedies that set the learning rate themselves: over a grid of rates, the original would be given the remedy too.
OF_THE_RATE = (
    "optimisation.learning_rate",
    "optimisation.learning_rate_to",
    "optimisation.depth_rate",
    "optimisation.warmup",
)

Progress = Callable[[str, int, int], None]
Stopped = Literal["", "verdict", "time", "interrupted"]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while something was run for a proof or a cure.

    Attributes:
        found: What is known by then: a proof over the seeds that were finished, or a cure; ``None`` if nothing is.
    """

    def __init__(self, found: Any) -> None:
        super().__init__()
        self.found = found


@dataclass(frozen=True)
class Design:
    """What a proof is made of.

    Attributes:
        remedies: Applied in this order.
        seeds: At most these, in this order.
        steps: Optimizer steps per run.
        rates: Factors on the learning rate that each arm is tuned over.
        stop_early: Whether to look after each seed, and to stop once the verdict is there.
        deadline: ``time.monotonic()`` after which no seed begins, as soon as there are enough for an interval.
    """

    remedies: tuple[str, ...]
    seeds: tuple[int, ...]
    steps: int
    rates: tuple[float, ...]
    stop_early: bool = True
    deadline: float = float("inf")


@dataclass
class _Seen:
    """What has been run, seed by seed."""

    rates: dict[ArmName, float] = field(default_factory=dict)
    tuned: list[Tuned] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    runs: dict[ArmName, list[Run]] = field(default_factory=lambda: {name: [] for name in ARMS})
    trials: dict[ArmName, list[Trial]] = field(default_factory=lambda: {name: [] for name in ARMS})

    def metrics(self, arm: ArmName) -> list[float]:
        return [trial.metric for trial in self.trials[arm]]

    def differences(self, other: ArmName) -> list[float]:
        """Treated minus another arm, per seed."""
        return [after - before for after, before in zip(self.metrics("treated"), self.metrics(other), strict=True)]


def prove(
    experiment: Experiment,
    remedies: Sequence[str],
    seeds: int | Sequence[int] = 5,
    steps: int = 200,
    progress: Progress | None = None,
    *,
    rates: Sequence[float] = RATES,
    stop_early: bool = True,
    jobs: int | None = 1,
    source: Source | None = None,
    journal: str | os.PathLike[str] | None = None,
    separate: bool = False,
    engine: Engine = "local",
    address: str | None = None,
) -> Proof:
    """Train the original and the repaired network side by side over seeds, with a placebo and a random remedy.

    Under each seed all arms train on the very same batches; ``original``, ``treated`` and ``random_remedy`` start from
    the same weights as far as the remedy leaves them. The placebo changes nothing but the seed of the weights. The
    random remedy, drawn per seed, is as many changes as the tested one. Each arm is tuned over the same learning rates
    first, on seeds of their own.

    Args:
        experiment: With optimizer and validation.
        remedies: Remedy ids, applied in this order.
        seeds: How many seeds at most, from 0, or which.
        steps: Optimizer steps per run.
        progress: ``progress("progress.prove", done, total)`` after each step.
        rates: Factors on the experiment's own learning rate.
        stop_early: Whether to look after each seed from the third, and to stop once the verdict is there.
        jobs: Processes that run side by side, ``None`` for one per processor.
        source: Makes the experiment in another process; by default it travels by pickle.
        journal: A file, or a folder for one, that keeps finished runs until the proof is done; a proof that finds its
            own goes on with it.
        separate: Whether the metric must be of data that nothing was chosen by.
        engine: ``local`` for processes here, ``ray`` for the workers of a cluster.
        address: Of a Ray cluster.

    Raises:
        InputError: If a remedy is unknown or not applicable, or the experiment lacks a part.
        Interrupted: At Ctrl-C; it holds the proof over the seeds that were finished.
    """
    chosen = checked_seeds(seeds)
    names = checked_remedies(remedies)
    if not isinstance(steps, int) or steps < 1:
        raise InputError(f"steps must be a whole number of at least 1, got {steps!r}.")
    grid = (1.0,) if set_the_rate(names) else checked_rates(rates, experiment, chosen[0])
    design = Design(names, chosen, steps, grid, stop_early)
    with running(experiment, kind_of(experiment, separate), chosen[0], jobs, source, engine, address) as runner:
        runner.journal = Journal(journal, _about(runner, design, separate))
        proof = prove_with(runner, design, progress, separate)
        runner.journal.done()
    return proof


def prove_with(runner: Runner, design: Design, progress: Progress | None = None, separate: bool = False) -> Proof:
    """The same with a runner that is there already."""
    started = time.perf_counter()
    experiment = runner.bench.experiment
    if not runner.identity.weights_vary and not runner.identity.data_vary:
        raise InputError(
            "every seed gives the very same run: model() makes the same weights and batches() the same data each time, "
            "so there is nothing to take an interval over. Let model() draw its weights anew (no manual_seed in it), "
            "or let batches() shuffle: batches=lambda: DataLoader(dataset, batch_size=64, shuffle=True)."
        )
    kind = kind_of(experiment, separate)
    counter = _Counter(progress, _total(design))
    runner.telling(counter.advance)
    seen, stopped = _Seen(), "interrupted"
    notes = () if len(design.rates) > 1 or not set_the_rate(design.remedies) else (Message("proof.note_rate_remedy"),)

    def told(stopped: Stopped) -> Proof:
        return _verdict(runner, design, seen, stopped, kind, notes, time.perf_counter() - started)

    try:
        runner.bench.edits(design.seeds[0], design.remedies)  # one that is not applicable is told before anything runs
        _tune(runner, design, seen)
        stopped = _over_seeds(runner, design, seen)
    except KeyboardInterrupt:
        raise Interrupted(told("interrupted") if len(seen.seeds) > 1 else None) from None
    counter.finish()
    return told(stopped)


def set_the_rate(remedies: Sequence[str]) -> bool:
    """Whether a remedy among these is about the learning rate."""
    return any(remedy.partition(":")[0] in OF_THE_RATE for remedy in remedies)


class _Counter:
    """Tells the caller how far the whole proof is."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def advance(self, steps: int) -> None:
        self._done += steps
        if steps and self._progress is not None:
            self._progress("progress.prove", self._done, self._total)

    def finish(self) -> None:
        """What an early stop has saved counts as done."""
        self.advance(self._total - self._done)


def _total(design: Design) -> int:
    """Steps of all runs there may be: arms, and the tuning of three at first and of each seed's random remedy."""
    rates = len(design.rates) if len(design.rates) > 1 else 0
    return design.steps * (3 * rates + len(design.seeds) * (len(ARMS) + rates))


def _tune(runner: Runner, design: Design, seen: _Seen) -> None:
    """The learning rates of the arms that are the same under each seed."""
    arms = [name for name in ARMS if name != "random_remedy"]
    runs = [Run(name, design.seeds[0], design.remedies if name == "treated" else (), design.steps) for name in arms]
    for run, (metrics, rate) in zip(runs, tuned(runner, runs, design.rates), strict=True):
        seen.rates[run.arm] = rate
        if metrics:
            seen.tuned.append(Tuned(run.arm, run.remedies, metrics, rate))


def _over_seeds(runner: Runner, design: Design, seen: _Seen) -> Stopped:
    """Run seed after seed; why there were not more of them."""
    for seed in design.seeds:
        if len(seen.seeds) >= min(FIRST_LOOK, len(design.seeds)) and time.monotonic() > design.deadline:
            return "time"
        _run_seed(runner, design, seed, seen)
        done = len(seen.seeds)
        early = design.stop_early and done < len(design.seeds) and done in looks(len(design.seeds))
        if early and _decide(*_intervals(design, seen)) != "not_proven":
            return "verdict"
    return ""


def _run_seed(runner: Runner, design: Design, seed: int, seen: _Seen) -> None:
    chance = _random_remedy(runner.bench, design.remedies, seed)
    drawn = Run("random_remedy", seed, chance, design.steps, forgiving=True)
    grid = (1.0,) if set_the_rate(chance) else design.rates
    [(metrics, rate)] = tuned(runner, [drawn], grid)
    if metrics:
        seen.tuned.append(Tuned("random_remedy", chance, metrics, rate))
    runs = [
        Run("original", seed, (), design.steps, seen.rates["original"]),
        Run("treated", seed, design.remedies, design.steps, seen.rates["treated"]),
        Run("placebo", seed, (), design.steps, seen.rates["placebo"]),
        Run("random_remedy", seed, chance, design.steps, rate, forgiving=True),
    ]
    trials = runner.run(runs)
    seen.seeds.append(seed)
    for run, trial in zip(runs, trials, strict=True):
        seen.runs[run.arm].append(run)
        seen.trials[run.arm].append(trial)


def _random_remedy(bench: Bench, tested: tuple[str, ...], seed: int) -> tuple[str, ...]:
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
            bench.edits(seed, changes)
        except InputError:
            continue
        return changes
    return ()


def checked_seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """The seeds, each once.

    Raises:
        InputError: If there are fewer than two.
    """
    try:
        chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(int(seed) for seed in seeds)
    except TypeError as error:
        raise InputError(f"seeds is a number of seeds or a list of them, got {seeds!r}: seeds=5.") from error
    if len(set(chosen)) < 2:
        raise InputError(f"a proof needs at least 2 different seeds to have an interval, got {seeds!r}: seeds=5.")
    return tuple(dict.fromkeys(chosen))


def checked_remedies(remedies: Sequence[str]) -> tuple[str, ...]:
    """The remedies' ids.

    Raises:
        InputError: If there is none, or one is unknown: the nearest is offered.
    """
    if not remedies:
        raise InputError('nothing to prove: name at least one remedy, prove(experiment, ["init.he"]).')
    return tuple(find(remedy).id for remedy in remedies)


def _about(runner: Runner, design: Design, separate: bool) -> dict[str, Any]:
    """What makes a journal that of this proof: a change in any of it would give other numbers."""
    return {
        "experiment": runner.identity.mark,
        "remedies": design.remedies,
        "seeds": design.seeds,
        "steps": design.steps,
        "rates": design.rates,
        "separate": separate,
        "threads": runner.threads,
        "torch": torch.__version__,
    }


def _intervals(design: Design, seen: _Seen, stopped: Stopped = "") -> tuple[tuple[float, float], tuple[float, float]]:
    """Of treated minus original, and of treated minus placebo."""
    arms: tuple[ArmName, ...] = ("original", "treated", "placebo")
    step = resolution_of(metric for arm in arms for metric in seen.metrics(arm))
    done = len(seen.seeds)
    # Cut short by Ctrl-C before its first look, a proof has Student's interval and no verdict. Time runs out whatever
    # was seen, so that the look it leaves is the last one, and may spend what the others have left.
    ended = done if stopped == "time" else None
    looked = critical_values(len(design.seeds), ended).get(done) if design.stop_early else None
    critical = looked or _students(done)
    original, placebo = (interval(seen.differences(arm), critical, step) for arm in ("original", "placebo"))
    return original, placebo


def _verdict(
    runner: Runner,
    design: Design,
    seen: _Seen,
    stopped: Stopped,
    kind: Any,
    notes: tuple[Message, ...],
    wall_time_s: float,
) -> Proof:
    means = {arm: statistics.fmean(seen.metrics(arm)) for arm in ARMS}
    against_original, against_placebo = _intervals(design, seen, stopped)
    looked = len(seen.seeds) in looks(len(design.seeds))
    return Proof(
        remedies=design.remedies,
        verdict=_decide(against_original, against_placebo) if looked else "not_proven",
        effect=statistics.fmean(seen.differences("original")),
        interval=against_original,
        placebo_interval=against_placebo,
        metric_before=means["original"],
        metric_after=means["treated"],
        placebo=means["placebo"],
        random_remedy=means["random_remedy"],
        metric=_metric_name(runner.bench.experiment),
        seeds=tuple(seen.seeds),
        steps=design.steps,
        arms=tuple(_arm(name, seen) for name in ARMS),
        wall_time_s=wall_time_s,
        interval_method="repeated_t" if design.stop_early and len(looks(len(design.seeds))) > 1 else "t",
        seeds_planned=len(design.seeds),
        stopped=stopped,
        rates=design.rates,
        tuning_seeds=tuning_seeds(design.seeds[0]) if len(design.rates) > 1 else (),
        tuned=tuple(seen.tuned),
        held_out=kind,
        cost=_cost(seen),
        threads=runner.threads,
        processes=runner.processes,
        notes=(*runner.notes, *notes),
    )


def _arm(name: ArmName, seen: _Seen) -> Arm:
    runs, trials = seen.runs[name], seen.trials[name]
    return Arm(
        name=name,
        remedies=tuple(run.remedies for run in runs),
        metrics=tuple(trial.metric for trial in trials),
        losses=tuple(trial.losses for trial in trials),
        failures=tuple(trial.failure for trial in trials),
        rates=tuple(run.rate for run in runs),
        held_out_losses=tuple(trial.held_out_loss for trial in trials),
    )


def _cost(seen: _Seen) -> Cost:
    def seconds(arm: ArmName) -> float:
        return statistics.median(trial.step_s for trial in seen.trials[arm])

    before, after = (seen.trials[arm][0].parameters for arm in ("original", "treated"))
    return Cost(before, after, seconds("original"), seconds("treated"))


def _decide(against_original: tuple[float, float], against_placebo: tuple[float, float]) -> ProofVerdict:
    """Proven is that the change helps, beyond chance. That others might help as well does not take that from it."""
    if against_original[1] < 0:
        return "harmful"
    return "proven" if against_original[0] > 0 and against_placebo[0] > 0 else "not_proven"


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
    reach = _students(n, confidence) * statistics.stdev(differences) / n**0.5
    return mean - reach, mean + reach


def _students(n: int, confidence: float = CONFIDENCE) -> float:
    return float(special.stdtrit(n - 1, (1 + confidence) / 2))


def _metric_name(experiment: Experiment) -> Message:
    if experiment.metric is None:
        return Message("metric.negative_loss")
    name = experiment.metric_name or getattr(experiment.metric, "__name__", "metric")
    return Message("metric.named", {"name": "metric" if name == "<lambda>" else name})
