"""The learning rate, tuned equally little on every side.

A repair that is tried at a learning rate chosen for the broken network, or the other way round, says more about the
rate than about the repair: which of two ways of training is better changes with how well each was tuned. So each arm
of a proof, the placebo and the random remedy too, tries the same few factors on the experiment's own rate, on seeds
that are not the proof's, and goes on with its best.

Source: Choi et al. 2019, arXiv:1910.05446, section 4; Sivaprasad et al. 2020, arXiv:1910.11758, section 3, for equal
budgets. The grid: half a decade between neighbours, which is as near as it matters (Bengio 2012, arXiv:1206.5533,
section 3.1.1: a rate within a factor of two of the best does about as well), one step up, where networks diverge before
long, and two down.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from headwater.probes.preserve import random_states, restore_random_states
from headwater.records import Experiment, InputError
from headwater.remedies import seeds
from headwater.remedies.bench import Run, at_rate
from headwater.remedies.runner import Runner
from headwater.remedies.trial import Trial, fresh_model, make_optimizer

RATES = (1.0, 1 / 3, 1 / 10, 3.0)
TUNING_SEEDS = 1  # per arm


def checked_rates(rates: Sequence[float], experiment: Experiment, seed: int) -> tuple[float, ...]:
    """The grid; only 1 for an optimizer that has no learning rate.

    Raises:
        InputError: If a factor is no positive number.
    """
    try:
        grid = tuple(dict.fromkeys(float(rate) for rate in rates))
    except (TypeError, ValueError):
        grid = ()
    if not grid or not all(0.0 < rate < math.inf for rate in grid):
        raise InputError(f"rates are factors on the learning rate, such as rates=(1.0, 0.3, 0.1); got {rates!r}.")
    outside = random_states()
    groups = make_optimizer(experiment, fresh_model(experiment, seed)).param_groups
    restore_random_states(outside)
    return grid if all(isinstance(group.get("lr"), float | int) for group in groups) else (1.0,)


def tuning_seeds(first: int) -> tuple[int, ...]:
    """None of them is a proof's own."""
    return tuple(first + seeds.TUNING + index for index in range(TUNING_SEEDS))


def tuned(runner: Runner, runs: Sequence[Run], rates: tuple[float, ...]) -> list[tuple[tuple[float, ...], float]]:
    """For each run, the mean metric at each rate over the tuning seeds, and the rate that did best.

    Args:
        runner: Makes the runs.
        runs: One for each arm; each is made anew per rate, under seeds of its own that follow from its seed.
        rates: The grid. Over a single one nothing is run.
    """
    if len(rates) == 1:
        return [((), rates[0]) for _ in runs]
    wanted = [[[at_rate(_moved(run, seed), rate) for seed in tuning_seeds(run.seed)] for rate in rates] for run in runs]
    trials = iter(runner.run([run for by_rate in wanted for by_seed in by_rate for run in by_seed]))
    found = []
    for by_rate in wanted:
        metrics = tuple(mean_metric([next(trials) for _ in by_seed]) for by_seed in by_rate)
        found.append((metrics, best_rate(rates, metrics)))
    return found


def mean_metric(trials: Sequence[Trial]) -> float:
    """Mean over runs, NaN if one broke off."""
    return math.nan if any(trial.failure for trial in trials) else statistics.fmean(trial.metric for trial in trials)


def best_rate(rates: Sequence[float], metrics: Sequence[float]) -> float:
    """The factor with the best metric; of equals the one nearest to the experiment's own."""
    known = [(metric, -abs(math.log(rate)), rate) for rate, metric in zip(rates, metrics, strict=True)]
    finite = [entry for entry in known if not math.isnan(entry[0])]
    return max(finite)[2] if finite else min(rates, key=lambda rate: (abs(math.log(rate)), rate))


def _moved(run: Run, seed: int) -> Run:
    return Run(run.arm, seed, run.remedies, run.steps, purpose="choose", forgiving=True)
