"""One training of a sweep, with what its network looked like before the first step."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headwater.probes.measure import measure
from headwater.probes.preserve import random_states, restore_random_states
from headwater.records import Experiment, Flow, InputError
from headwater.records.sweep import Setting, SweepTrial
from headwater.remedies.trial import NO_VALIDATION, endless, fresh_model, make_optimizer, run_trial, score
from headwater.sweeps.spec import Job, SweepSpec, unknown

Function = Callable[..., Experiment]


@dataclass(frozen=True)
class Task:
    """What all trainings of a sweep have in common; it travels to other processes.

    Attributes:
        source: ``source() -> function``, and ``function(**settings) -> Experiment``.
        fixed: Settings that are the same everywhere.
        steps: Of each training.
        threads: That each process computes with.
    """

    source: Callable[[], Function]
    fixed: Mapping[str, Setting]
    steps: int
    threads: int = 1


def run_job(function: Function, task: Task, job: Job) -> SweepTrial:
    """Make a training; an error in it is what came of it, because the other points know nothing of it.

    Random states are as before afterwards.
    """
    outside, started = random_states(), time.perf_counter()
    try:
        return _run(function(**{**task.fixed, **job.point}), task.steps, job, started)
    except Exception as error:
        said = str(error).splitlines()[0] if str(error) else ""
        return failed(job, f"{type(error).__name__}: {said}", time.perf_counter() - started)
    finally:
        restore_random_states(outside)


def failed(job: Job, why: str, seconds: float = 0.0) -> SweepTrial:
    """A training of which there is nothing but the reason."""
    return SweepTrial(job.point, job.seed, math.nan, math.nan, math.nan, seconds=seconds, failure=why)


def _run(experiment: Experiment, steps: int, job: Job, started: float) -> SweepTrial:
    model = fresh_model(experiment, job.seed)
    stream = endless(experiment, job.seed)
    batches = [next(stream) for _ in range(steps)]
    untrained = score(experiment, model)
    flow = measure(model, batches[0], experiment.loss)
    trial = run_trial(experiment, model, batches, job.seed)
    return SweepTrial(
        point=job.point,
        seed=job.seed,
        metric=trial.metric,
        untrained=untrained,
        loss=trial.losses[-1],
        gradient_decades=_gradient_decades(flow),
        abs_cosine=_abs_cosine(flow),
        steps=len(trial.losses),
        seconds=time.perf_counter() - started,
        failure=trial.failure,
    )


def _gradient_decades(flow: Flow) -> float | None:
    rows = [row.activation_grad for row in flow.sites if row.activation_grad is not None]
    if len(rows) < 2:
        return None
    first, last = rows[0].log10_rms, rows[-1].log10_rms
    if first is None or last is None or math.isnan(first - last):
        return None
    return first - last


def _abs_cosine(flow: Flow) -> float | None:
    known = [row.abs_cosine for row in flow.sites[:-1] if row.abs_cosine is not None]
    return known[-1] if known else None


def check_function(function: Any, spec: SweepSpec) -> Experiment:
    """The experiment of the first point, after a look at whether the function takes what the sweep sets.

    Raises:
        InputError: If it does not, or what it gives cannot be trained and scored.
    """
    if isinstance(function, Experiment) or not callable(function):
        raise InputError(
            f"a sweep calls its experiment with the settings of a point, and {spec.experiment} is no function: "
            f"def experiment({', '.join(spec.settings)}): return headwater.Experiment(...)."
        )
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:  # written in C, and silent about what it takes
        parameters = inspect.signature(lambda **settings: None).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    named = [name for name, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for setting in spec.settings:
        if not takes_all and setting not in named:
            raise InputError(f"{spec.experiment}: {unknown('setting', setting, named)}")
    missing = [name for name in named if parameters[name].default is inspect.Parameter.empty]
    missing = [name for name in missing if name not in spec.settings]
    if missing:
        raise InputError(f"{spec.experiment} needs {', '.join(missing)} too: [fixed] {missing[0]} = ...")
    outside = random_states()
    try:
        made = function(**{**(spec.fixed or {}), **spec.jobs()[0].point})
        if not isinstance(made, Experiment):
            raise InputError(
                f"{spec.experiment} returned {type(made).__name__}, and a sweep trains a headwater.Experiment."
            )
        if made.validation is None:
            raise InputError(NO_VALIDATION.replace("a proof is", "a sweep's map is"))
        make_optimizer(made, fresh_model(made, spec.first_seed))
    finally:
        restore_random_states(outside)
    return made
