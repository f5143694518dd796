"""The calls people make."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, overload

import torch
from torch import nn

from headwater.asserting import Limits, reason_to_fail
from headwater.checking import (
    Measured,
    is_criterion,
    measured_experiment,
    measured_model,
    refuse_extra,
    refuse_to_intervene,
    refuse_without_experiment,
)
from headwater.cluster import Engine
from headwater.curing import Wish, cured, has_healed, needs_training, untreated
from headwater.intervening import intervene as _intervene
from headwater.judging import diagnosed, run_info
from headwater.prediction import predict as _prediction_of
from headwater.probes.choose import Sites
from headwater.probes.first_inputs import first_inputs
from headwater.probes.measure import check_trainable, measure
from headwater.probes.preserve import preserved, random_states, restore_random_states
from headwater.records import Budget, Experiment, InputError, Message, Prescription, Proof
from headwater.records.trace import RATE
from headwater.remedies import proof as _proof
from headwater.remedies.data import FIRST, Data
from headwater.remedies.order import Order, order_of_flow, order_of_model
from headwater.remedies.proof import Interrupted
from headwater.remedies.refusals import refuse_unreachable
from headwater.remedies.seeds import SELECTION
from headwater.remedies.surgery import apply_remedies
from headwater.remedies.trial import NO_VALIDATION, endless, made, make_optimizer, seed_everything
from headwater.remedies.tuning import RATES
from headwater.report import Cure, Prediction, Report, Trace
from headwater.tracing import Subject, derive, of_experiment, of_model

Progress = Callable[[str, int, int], None]


def check(
    model: nn.Module | Experiment,
    batch: Any = None,
    loss: Callable[[Any, Any], Any] | None = None,
    *,
    steps: int = 0,
    seed: int | None = None,
    sites: Sites | None = None,
    intervene: bool | Budget = False,
    progress: Progress | None = None,
) -> Report:
    """Measure one step of a model and say what is wrong with it.

    The model's outputs, ``.grad``, buffers, weights, train/eval mode, the batches and the random states are
    bit-identical afterwards; so are weights of the loss, and a data loader's own generator. What nobody hands over
    moves as in a training: buffers of a teacher in train mode, a ``numpy.random.Generator`` that the batches draw from.

    Args:
        model: A module, or an Experiment.
        batch: What ``loss`` takes beside the model; not with an Experiment, which has its own.
        loss: ``loss(model, batch) -> scalar tensor``; not with an Experiment.
        steps: With an Experiment, how many steps a copy is trained before the measurement.
        seed: With an Experiment, the seed of weights and data; by default the random states as they are.
        sites: Which operations are measured: a pattern of names (``"encoder.*"``), a class of modules, several of
            either, or a depth; all by default.
        intervene: With an Experiment, whether to test the causes of what was found: short trainings from the same
            weights on the same batches with one thing changed in each. A :class:`Budget` says how much to train.
        progress: ``progress("progress.train", done, total)`` after each training step, and of the interventions
            ``progress("progress.intervene", done, total)``.

    Raises:
        InputError: If something handed over cannot be used; the message has the corrected call.
        KeyboardInterrupt: At Ctrl-C; where causes are being tested its ``found`` is the report as far as it came.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))
        >>> batch = torch.randn(64, 8), torch.randint(2, (64,))
        >>> check(model, batch, lambda m, b: nn.functional.cross_entropy(m(b[0]), b[1])).verdict
        'healthy'
    """
    started = time.perf_counter()
    states = random_states()
    try:
        if isinstance(model, Experiment):
            refuse_extra(batch, loss)
            refuse_to_intervene(model, intervene)
            measured = measured_experiment(model, steps, seed, sites, progress)
        else:
            refuse_without_experiment(intervene)
            measured = measured_model(model, batch, loss, steps, sites)
        report = diagnosed(
            measured.untrained,
            measured.flow,
            seed,
            time.perf_counter() - started,
            measured.start,
            measured.broke,
            measured.data,
        )
        if isinstance(model, Experiment) and intervene:
            budget = intervene if isinstance(intervene, Budget) else Budget()
            try:
                report = _with_interventions(report, model, measured, budget, steps, seed, progress)
            except Interrupted as stopped:
                raise Interrupted(replace(report, diagnosis=stopped.found)) from None
    finally:
        restore_random_states(states)
    return replace(report, run=replace(report.run, wall_time_s=time.perf_counter() - started))


def _with_interventions(
    report: Report,
    experiment: Experiment,
    measured: Measured,
    budget: Budget,
    steps: int,
    seed: int | None,
    progress: Progress | None,
) -> Report:
    before, untrained = measured.before, measured.untrained
    tested = _intervene(experiment, untrained, before, report.diagnosis, budget, steps, seed, progress)
    return replace(report, diagnosis=tested)


def assert_healthy(
    model: nn.Module | Experiment,
    batch: Any = None,
    loss: Callable[[Any, Any], Any] | None = None,
    *,
    steps: int = 0,
    seed: int | None = None,
    allow: Sequence[str] = (),
    limits: Limits | None = None,
) -> Report:
    """One line in a test suite: :func:`check`, and an error of a few lines if the model is not healthy.

    Args:
        model: A module, or an Experiment.
        batch: As for :func:`check`.
        loss: As for :func:`check`.
        steps: As for :func:`check`.
        seed: As for :func:`check`.
        allow: Symptoms that are no reason to fail, such as ``"overfitting"``; ``"cannot_tell"`` for that verdict.
        limits: Limits of your own in place of ours, for layers by a pattern of their names: the most that a statistic
            of ``report.flow.to_pandas()`` may be, or the least and the most, ``{"encoder.*": {"dead_fraction": 0.9}}``.
            Of two patterns that fit a layer the later one holds.

    Returns:
        The report.

    Raises:
        AssertionError: If there is a finding of severity warning or worse, a limit is passed, or no verdict is
            possible; at most twelve lines with layer, measured value, threshold and what to do.
        InputError: If something handed over cannot be used.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))
        >>> batch = torch.randn(64, 8), torch.randint(2, (64,))
        >>> assert_healthy(model, batch, lambda m, b: nn.functional.cross_entropy(m(b[0]), b[1])).verdict
        'healthy'
    """
    allowed = {allow} if isinstance(allow, str) else set(allow)
    report = check(model, batch, loss, steps=steps, seed=seed)
    reason = reason_to_fail(type(model).__name__, report, allowed, limits or {})
    if reason is not None:
        raise AssertionError(reason)
    return report


def predict(
    model: nn.Module | Experiment,
    input_shape: Sequence[int] | Sequence[Sequence[int]] | None = None,
    *,
    inputs: torch.Tensor | None = None,
    measured: bool = False,
    seed: int | None = None,
) -> Prediction:
    """What to expect of a network before any data: the scale of activations and gradients at every site.

    The weights are taken as they are, and the activations that follow them as they stand in ``forward``. Inputs are
    independent normal numbers of variance 1, or have the mean and variance of ``inputs``, element by element; of an
    Experiment, those of its first batch. Random states are as before afterwards.

    Args:
        model: Linear and convolutional layers, activations, normalisation, pooling, dropout, shortcuts and changes of
            shape; behind anything else nothing is predicted, and ``gaps`` says why. Or an Experiment.
        input_shape: Shape of one sample, without the batch: ``(784,)``, ``(3, 32, 32)``; several for several inputs.
        inputs: Samples to take mean and variance from, batch first.
        measured: With an Experiment, whether to measure the same model on the same batch, to stand beside.
        seed: With an Experiment, the seed of weights and data; by default the random states as they are.

    Raises:
        InputError: If the forward cannot be followed, or refuses such an input.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Linear(64, 64), nn.Sigmoid(), nn.Linear(64, 64), nn.Sigmoid(), nn.Linear(64, 10))
        >>> predict(model, (64,)).sites[0].activation_grad_rms < 0.1
        True
    """
    states = random_states()
    try:
        if isinstance(model, Experiment):
            return _predict_experiment(model, input_shape, inputs, measured, seed)
    finally:
        restore_random_states(states)
    if measured:
        raise InputError(
            "measured=True needs an Experiment, which brings data: hw.predict(hw.Experiment(...), measured=True); or "
            "hw.predict(model, shape).beside(hw.check(model, batch, loss).flow)."
        )
    if input_shape is None:
        raise InputError("predict() needs the shape of one sample: hw.predict(model, (3, 32, 32)).")
    return Prediction.of(_prediction_of(model, input_shape, inputs=inputs))


def _predict_experiment(
    experiment: Experiment, input_shape: Any, inputs: torch.Tensor | None, measured: bool, seed: int | None
) -> Prediction:
    if seed is not None:
        seed_everything(seed)
    model = made(experiment, "model")
    check_trainable(model)
    batch = next(endless(experiment, seed))
    if input_shape is None:
        taken = first_inputs(model, batch, experiment.loss)
        shapes = [tuple(tensor.shape[1:]) for tensor in taken]
        input_shape = shapes[0] if len(shapes) == 1 else shapes
        if inputs is None and len(taken) == 1 and taken[0].is_floating_point() and len(taken[0]) > 1:
            inputs = taken[0]
    prediction = Prediction.of(_prediction_of(model, input_shape, inputs=inputs))
    return prediction.beside(measure(model, batch, experiment.loss)) if measured else prediction


def prescribe(report: Report) -> tuple[Prescription, ...]:
    """What a report's findings call for, best first, each once.

    Args:
        report: From :func:`check`.
    """
    ranked = {
        p.remedies or p.why.id: p for finding in reversed(report.findings) for p in reversed(finding.prescriptions)
    }
    return tuple(reversed(ranked.values()))


@overload
def apply(
    model: nn.Module,
    remedies: str | Sequence[str] | Prescription,
    optimizer: None = None,
    *,
    report: Report | None = None,
    seed: int = 0,
    batches: Iterable[Any] | None = None,
    loss: Callable[[Any, Any], Any] | None = None,
) -> nn.Module: ...
@overload
def apply(
    model: nn.Module,
    remedies: str | Sequence[str] | Prescription,
    optimizer: torch.optim.Optimizer,
    *,
    report: Report | None = None,
    seed: int = 0,
    batches: Iterable[Any] | None = None,
    loss: Callable[[Any, Any], Any] | None = None,
) -> tuple[nn.Module, torch.optim.Optimizer]: ...
def apply(
    model: nn.Module,
    remedies: str | Sequence[str] | Prescription,
    optimizer: torch.optim.Optimizer | None = None,
    *,
    report: Report | None = None,
    seed: int = 0,
    batches: Iterable[Any] | None = None,
    loss: Callable[[Any, Any], Any] | None = None,
) -> nn.Module | tuple[nn.Module, torch.optim.Optimizer]:
    """A repaired copy of a model, and of its optimizer if one is given; the originals are left as they are.

    Args:
        model: Any module.
        remedies: An id such as ``"init.he"`` or ``"regularisation.l2:0.01"``, whose strength stands behind the colon;
            several in order; or a Prescription.
        optimizer: Made over the model's parameters. Remedies that act on its updates need it.
        report: From :func:`check` of this model; it knows the order the model runs in. Without one the order is read
            off a chain of ``nn.Sequential``, or traced; or measured, where that cannot be and there is a batch.
        seed: Seed of newly drawn weights.
        batches: What the training sees, for remedies that measure something on it; of many the first eight are taken.
        loss: ``loss(model, batch) -> scalar tensor``, for the same.

    Returns:
        The model; with an optimizer, the model and the optimizer.

    Raises:
        InputError: If a remedy is unknown or cannot work on this model; the message says why and what would.

    Example:
        >>> repaired = apply(nn.Sequential(nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 2)), "activation.relu")
        >>> repaired[1]
        ReLU()
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"apply() changes a copy of a torch.nn.Module, got {type(model).__name__}.")
    data = _data(batches, loss)
    refuse_unreachable(model)
    order = order_of_flow(report.flow) if report is not None else _order(model, data)
    changed, changed_optimizer = apply_remedies(model, _ids(remedies), order, optimizer, seed, data)
    return changed if changed_optimizer is None else (changed, changed_optimizer)


def _data(batches: Any, loss: Any) -> Data | None:
    if batches is None and loss is None:
        return None
    first = tuple(islice(batches, FIRST)) if isinstance(batches, Iterable) else ()
    if not first or not callable(loss) or is_criterion(loss):
        raise InputError(
            "batches and loss go together, at least one batch and a function of model and batch: hw.apply(model, "
            "remedy, optimizer, batches=[batch], loss=lambda model, batch: criterion(model(batch[0]), batch[1]))."
        )
    return Data(first, loss)


def _order(model: nn.Module, data: Data | None) -> Order:
    """The order read off the model, or measured where it cannot be."""
    try:
        return order_of_model(model)
    except InputError:
        if data is None:
            raise
        return order_of_flow(measure(model, data.batches[0], data.loss))


def prove(
    experiment: Experiment,
    remedies: str | Sequence[str] | Prescription,
    seeds: int | Sequence[int] = 5,
    steps: int = 200,
    progress: Progress | None = None,
    *,
    rates: Sequence[float] = RATES,
    stop_early: bool = True,
    jobs: int | None = 1,
    source: Callable[[], Experiment] | None = None,
    journal: str | os.PathLike[str] | None = None,
    engine: Engine = "local",
    address: str | None = None,
) -> Proof:
    """Train original and repaired side by side over seeds, with a placebo and a random remedy as controls.

    Every side is tuned over the same learning rates first, on a seed that is not the proof's. With ``test`` in the
    experiment, rates are chosen by the validation data and the metric is that of the test data.

    Args:
        experiment: With optimizer and validation.
        remedies: An id such as ``"init.he"`` or ``"regularisation.l2:0.01"``, several in order, or a Prescription.
        seeds: How many seeds at most, from 0, or which.
        steps: Optimizer steps per run.
        progress: ``progress("progress.prove", done, total)`` after each step, or run of another process.
        rates: Factors on the experiment's own learning rate; ``(1.0,)`` to leave it as it is.
        stop_early: Whether to look after each seed from the third and stop once the verdict is there; the interval
            allows for the looks.
        jobs: Processes that run side by side, ``None`` for one per processor. From 2, what the experiment is made of
            must be importable, and a script keeps its calls under ``if __name__ == "__main__":``. The numbers are the
            same as with one.
        source: Makes the experiment in another process; by default it travels by pickle.
        journal: A file, or a folder for one, that keeps finished runs until the proof is done; a call that finds its
            own goes on with it.
        engine: ``"local"`` for processes here, ``"ray"`` for the workers of a Ray cluster, one per processor; a run
            that is lost with its node is made again.
        address: Of the cluster, ``HOST:PORT`` or ``"auto"``; by default what ``RAY_ADDRESS`` names, else one that is
            started here and ends with the proof.

    Raises:
        InputError: If a remedy is unknown or not applicable, or the experiment lacks a part.
        KeyboardInterrupt: At Ctrl-C; its ``found`` is the proof over the seeds that were finished, if there are two.
    """
    if not isinstance(experiment, Experiment):
        raise InputError(f"prove() takes an Experiment, which can be started again; got {type(experiment).__name__}.")
    return _proof.prove(
        experiment,
        _ids(remedies),
        seeds,
        steps,
        progress,
        rates=rates,
        stop_early=stop_early,
        jobs=jobs,
        source=source,
        journal=journal,
        engine=engine,
        address=address,
    )


def fix(
    experiment: Experiment,
    *,
    seeds: int | Sequence[int] = 5,
    steps: int = 200,
    budget_seconds: float | None = None,
    rates: Sequence[float] = RATES,
    jobs: int | None = 1,
    source: Callable[[], Experiment] | None = None,
    journal: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    tell: Callable[[Message], None] | None = None,
) -> Cure:
    """Find out what is wrong, try what could help, and prove the best of it on seeds that were not used to find it.

    The experiment and its file stay as they are: the cure has the change as code (``patch``, to be put ``where``), and
    ``cure.model()`` makes a repaired model. Nothing is called a cure that is not proven.

    Args:
        experiment: With optimizer and validation; with ``test`` where a strength has to be chosen (overfitting), or
            with validation data that can be split.
        seeds: Of the proof: how many at most, from 0, or which.
        steps: Optimizer steps of a full run, from 10.
        budget_seconds: After so many nothing begins any more but the three seeds a verdict needs.
        rates: Factors on the experiment's own learning rate that every candidate and the original are tried at.
        jobs: Processes that run side by side, ``None`` for one per processor. From 2, what the experiment is made of
            must be importable, and a script keeps its calls under ``if __name__ == "__main__":``.
        source: Makes the experiment in another process; by default it travels by pickle.
        journal: A file, or a folder for one, that keeps finished runs until the end; a call that finds its own goes on
            with it.
        progress: ``progress(message_id, done, total)`` on the way.
        tell: Called with a message whenever the standing of the candidates changes.

    Raises:
        InputError: If the experiment lacks a part; the message says what to add.
        KeyboardInterrupt: At Ctrl-C; its ``found`` is the cure as far as it came.

    Example:
        >>> from headwater.demo import experiment
        >>> cure = fix(experiment(depth=12), seeds=3, steps=60, rates=(1.0,))  # doctest: +SKIP
        >>> cure.verdict, cure.remedies  # doctest: +SKIP
        ('proven', ('activation.tanh', 'init.xavier'))
    """
    if not isinstance(experiment, Experiment):
        raise InputError(f"fix() takes an Experiment, which can be started again; got {type(experiment).__name__}.")
    wish = Wish(seeds, steps, budget_seconds, rates, jobs, source, journal)
    _refuse_without_parts(experiment)
    started = time.monotonic()
    states = random_states()
    try:
        report, healed = _report_to_fix(experiment, wish, progress)
        return cured(experiment, report, wish, started, tell, progress, healed)
    finally:
        restore_random_states(states)


def _report_to_fix(experiment: Experiment, wish: Wish, progress: Progress | None) -> tuple[Report, bool]:
    """What is wrong: before training if that is critical, else in the course of it; tested where no rule names a cause.

    Where a training finds nothing any more, what was wrong before it, and that this is so. The seed is none of the
    proof's.
    """
    first = wish.seeds if isinstance(wish.seeds, int) else next(iter(wish.seeds))
    seed = SELECTION + (0 if isinstance(wish.seeds, int) else int(first))
    report = before = check(experiment, seed=seed)
    if needs_training(before):
        report = check(experiment, steps=wish.steps, seed=seed, progress=progress)
        if has_healed(before, report):
            return before, True
    if untreated(report):
        steps = wish.steps if report.flow.step else 0
        budget = Budget(seconds=min(60.0, (wish.budget_s or 240.0) / 4), repeats=2)
        try:
            report = check(experiment, steps=steps, seed=seed, intervene=budget, progress=progress)
        except Interrupted:  # what it found is no cure
            raise KeyboardInterrupt from None
    return report, False


def _refuse_without_parts(experiment: Experiment) -> None:
    if experiment.validation is None:
        raise InputError(NO_VALIDATION)
    if experiment.optimizer is None:
        make_optimizer(experiment, nn.Linear(1, 1))  # says what to add


def trace(
    model: nn.Module | Experiment,
    x: Any = None,
    y: Any = None,
    loss: Callable[[Any, Any], Any] | None = None,
    parameter: str | None = None,
    *,
    rate: float = RATE,
    seed: int | None = None,
) -> Trace:
    """The chain rule of one gradient, factor by factor, checked against autograd.

    A chain of single units shows every factor of ∂p_n/∂w_1 = Π ∂a_i/∂p_{i-1} · Π w_i · x; a small network every unit
    and every weight, of the first sample; a larger one what each operation does to the gradient and what its Jacobian
    could do. All is computed on a copy in float64: the model, its ``.grad`` and the random states stay as they are.

    Args:
        model: A module, or an Experiment, whose first batch and loss are taken.
        x: The model's input: a tensor or numbers, a tuple or dictionary of arguments.
        y: What the output should be: numbers with a fraction make the loss the mean squared error, whole numbers
            (classes) cross entropy. Without it the output itself is differentiated, or the sum of the outputs.
        loss: ``loss(output, y) -> scalar tensor``, in place of these.
        parameter: The weight whose gradient is explained, ``"0.weight"`` or one element of it, ``"0.weight[0,1]"``; by
            default the first.
        rate: α of the step w ← w - α ∂L/∂w that a small network shows.
        seed: Of what the model draws (dropout), and with an Experiment of weights and data; by default the random
            states as they are.

    Raises:
        InputError: If the model rejects x, the loss is no scalar, an operation has no derivative, or a number is not
            finite; the message names the culprit and the corrected call.

    Example:
        >>> chain = nn.Sequential(nn.Linear(1, 1), nn.Sigmoid(), nn.Linear(1, 1))
        >>> found = trace(chain, 1.0)
        >>> [factor.kind for factor in found.factors], found.holds
        (['activation', 'weight', 'input'], True)
    """
    started = time.perf_counter()
    states = random_states()
    try:
        subject = _subject(model, x, y, loss, seed)
        with preserved(subject.model, (x, y)):
            derivation = derive(subject, parameter, rate)
    finally:
        restore_random_states(states)
    return Trace.of(derivation, run_info(subject.model, seed, time.perf_counter() - started))


def _subject(model: Any, x: Any, y: Any, loss: Any, seed: int | None) -> Subject:
    if seed is not None:
        seed_everything(seed)
    if not isinstance(model, Experiment):
        return of_model(model, x, y, loss)
    if x is not None or y is not None or loss is not None:
        raise InputError("an Experiment brings its own batches and loss: hw.trace(experiment), nothing else.")
    traced = made(model, "model")
    check_trainable(traced)
    return of_experiment(traced, next(endless(model, seed)), model)


def _ids(remedies: str | Sequence[str] | Prescription) -> tuple[str, ...]:
    if isinstance(remedies, Prescription):
        if not remedies.remedies:
            raise InputError(f"no remedy can make this change, which is one to the program itself:\n{remedies.code}")
        return remedies.remedies
    return (remedies,) if isinstance(remedies, str) else tuple(remedies)
