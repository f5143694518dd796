"""One training run of an experiment, on data whose order does not depend on what the model draws."""

from __future__ import annotations

import copy
import inspect
import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from headwater.probes.measure import Loss, check_trainable, checked_loss
from headwater.probes.parameters import naming_errors, needs_closure
from headwater.probes.preserve import random_states, restore_random_states, strangers_kept
from headwater.probes.tree import own_copy
from headwater.records import Experiment, InputError
from headwater.records.experiment import RepairedOptimizer
from headwater.remedies import seeds
from headwater.remedies.edits import Edit
from headwater.remedies.seeds import seed_everything as seed_everything
from headwater.remedies.surgery import repair_optimizer


@dataclass(frozen=True)
class Trial:
    """What one run gave.

    Attributes:
        metric: Held-out metric after training; of a run that broke off, what the untrained model scored.
        losses: Training loss of each step.
        failure: Why it broke off, ``""`` if it did not.
        held_out_loss: Mean held-out loss after training; of a run that broke off, of the untrained model.
        step_s: Median seconds of a step.
        parameters: How many numbers the model is made of.
    """

    metric: float
    losses: tuple[float, ...]
    failure: str = ""
    held_out_loss: float = math.nan
    step_s: float = math.nan
    parameters: int = 0


def made(experiment: Experiment, part: str, *arguments: Any) -> Any:
    """What one of the experiment's functions returns; errors inside it are the user's and pass through.

    Raises:
        InputError: If the function does not take what it is called with; the message has the call that fits.
    """
    function = getattr(experiment, part)
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError as error:
        given = {"optimizer": "parameters"}.get(part, "")
        name = getattr(function, "__name__", type(function).__name__).replace("<lambda>", "it")
        raise InputError(
            f"Experiment.{part} is called as {part}({given}), and {name} does not take that: {error}. "
            f"Wrap it: Experiment({part}=lambda{' ' if given else ''}{given}: {name}(...))."
        ) from error
    except ValueError:  # a built-in without a signature
        pass
    return function(*arguments)


def fresh_model(experiment: Experiment, seed: int) -> nn.Module:
    """A model initialised under ``seed``; a copy, in case the experiment hands out the same object each time."""
    seed_everything(seed)
    model: nn.Module = made(experiment, "model")
    check_trainable(model)
    return copied(model)


def copied(model: nn.Module) -> nn.Module:
    """A deep copy to train.

    Raises:
        InputError: If the model cannot be copied.
    """
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise InputError(
            f"{type(model).__name__} cannot be copied ({type(error).__name__}: {error}), and only a copy is trained: "
            "drop tensors with a graph that the model holds."
        ) from error


def run_trial(
    experiment: Experiment,
    model: nn.Module,
    batches: Sequence[Any],
    seed: int,
    on_step: Callable[[], None] = lambda: None,
    edits: Sequence[Edit] = (),
    held_out: Iterable[Any] | None = None,
) -> Trial:
    """Train ``model`` for one step on each batch and score it.

    Args:
        experiment: Has an optimizer and validation data.
        model: Trained in place.
        batches: What to train on, in this order.
        seed: Of the model's own draws (dropout).
        on_step: Called after each step.
        edits: That the model was repaired with; their changes to the optimizer are made to the experiment's.
        held_out: What to score on; by default the validation data.

    Raises:
        InputError: If the experiment's parts do not fit together.
    """
    optimizer = make_optimizer(experiment, model)
    repair_optimizer(model, optimizer, edits)
    with strangers_kept(model, optimizer):
        return _run(experiment, model, optimizer, batches, seed, on_step, held_out)


def _run(
    experiment: Experiment,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Any],
    seed: int,
    on_step: Callable[[], None],
    held_out: Iterable[Any] | None,
) -> Trial:
    untrained = Trial(
        score(experiment, model, held_out),
        (),
        held_out_loss=mean_loss(experiment, model, held_out),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
    )
    seed_everything(seed + seeds.TRAINING)
    losses: list[float] = []
    seconds: list[float] = []
    for step, batch in enumerate(batches, start=1):
        started = time.perf_counter()
        losses.append(train_step(model, batch, experiment.loss, optimizer))
        seconds.append(time.perf_counter() - started)
        if not math.isfinite(losses[-1]):
            return replace(untrained, losses=tuple(losses), failure=f"loss is {losses[-1]} at step {step}")
        on_step()
    step_s = statistics.median(seconds) if seconds else math.nan
    trained = replace(untrained, losses=tuple(losses), step_s=step_s)
    metric = score(experiment, model, held_out)
    if not math.isfinite(metric):
        return replace(trained, failure=f"the metric is {metric} after training")
    return replace(trained, metric=metric, held_out_loss=mean_loss(experiment, model, held_out))


def loss_in_use(model: nn.Module, batch: Any, loss: Loss) -> float:
    """The loss without a graph; with one if it needs that, as one with a derivative of the output in it does."""
    try:
        with torch.no_grad():
            return float(loss(model, own_copy(batch)))
    except RuntimeError:
        with torch.enable_grad():
            value = loss(model, own_copy(batch))
        return float(value.detach() if isinstance(value, torch.Tensor) else value)


def train_step(model: nn.Module, batch: Any, loss: Loss, optimizer: torch.optim.Optimizer) -> float:
    """One optimizer step; gives the loss before it."""
    if not needs_closure(optimizer):
        optimizer.zero_grad()
        value = checked_loss(model, batch, loss)
        value.backward()
        with naming_errors(optimizer):
            optimizer.step()
        return float(value.detach())
    values: list[float] = []

    def closure() -> float:
        optimizer.zero_grad()
        value = checked_loss(model, batch, loss)
        value.backward()
        values.append(float(value.detach()))
        return values[-1]

    with naming_errors(optimizer):
        optimizer.step(closure)
    return values[0]


def make_optimizer(experiment: Experiment, model: nn.Module) -> torch.optim.Optimizer:
    """The experiment's optimizer over the model's parameters.

    Raises:
        InputError: If there is none, or the function gives something else, or one that somebody made before.
    """
    if experiment.optimizer is None:
        raise InputError(
            "this experiment has no optimizer, and training needs one: "
            "Experiment(..., optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-3))."
        )
    if isinstance(experiment.optimizer, RepairedOptimizer):
        return _checked_optimizer(experiment.optimizer_over(model))
    given = _Given(model.parameters())
    optimizer = _checked_optimizer(made(experiment, "optimizer", given))
    if not given.taken and made(experiment, "optimizer", _Given(model.parameters())) is optimizer:
        name = type(optimizer).__name__
        raise InputError(
            f"Experiment.optimizer returns a {name} that was made before, whose state a check would move on. Make one "
            f"over the parameters it is given: Experiment(optimizer=lambda parameters: {name}(parameters, ...))."
        )
    return optimizer


class _Given:
    """Parameters to make an optimizer over.

    Attributes:
        taken: Whether anybody has asked for them.
    """

    def __init__(self, parameters: Iterator[nn.Parameter]) -> None:
        self._parameters = parameters
        self.taken = False

    def __iter__(self) -> Iterator[nn.Parameter]:
        return self

    def __next__(self) -> nn.Parameter:
        self.taken = True
        return next(self._parameters)


def _checked_optimizer(optimizer: Any) -> torch.optim.Optimizer:
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise InputError(f"Experiment.optimizer must return a torch.optim.Optimizer, got {type(optimizer).__name__}.")
    return optimizer


def endless(experiment: Experiment, seed: int | None) -> Iterator[Any]:
    """Batches, asked for again when they run out, drawn under random states of their own.

    A model that draws random numbers (dropout) would otherwise change the order of the data it is compared on.

    Args:
        experiment: Whose batches.
        seed: Of the data's random states, a loader's own generator among them; ``None`` goes on from the present ones.
            The loader's is put back when nobody asks any more.

    Raises:
        InputError: If there is no batch.
    """
    states = _DataStates(seed)
    try:
        while True:
            with states.inside():
                batches = batches_of(experiment)
                states.take(_generators(batches))
                iterator = iter(batches)
                batch = next(iterator, _END)
            if batch is _END:
                raise InputError(NO_BATCHES)
            while batch is not _END:
                yield batch
                with states.inside():
                    batch = next(iterator, _END)
    finally:
        states.put_back()


_END = object()


class _DataStates:
    """Random states that only the data draw from."""

    def __init__(self, seed: int | None) -> None:
        outside = random_states()
        self._seed = seed
        self._generators: list[tuple[torch.Generator, Any]] = []
        if seed is not None:
            seed_everything(seed + seeds.DATA)
        self._states = random_states()
        restore_random_states(outside)

    def take(self, generators: Iterable[torch.Generator]) -> None:
        """Seed generators of the data's own that were not met before, and remember how they were."""
        for generator in generators:
            if not any(known is generator for known, _ in self._generators):
                self._generators.append((generator, generator.get_state()))
                if self._seed is not None:
                    generator.manual_seed(self._seed + seeds.DATA)

    def put_back(self) -> None:
        """Leave those generators as they were met."""
        for generator, state in self._generators:
            generator.set_state(state)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Let the data draw, then put the program's own states back."""
        outside = random_states()
        restore_random_states(self._states)
        try:
            yield
        finally:
            self._states = random_states()
            restore_random_states(outside)


def _generators(batches: Any) -> list[torch.Generator]:
    """Those that a ``DataLoader`` or its samplers draw the order of the samples from."""
    sampler = getattr(batches, "batch_sampler", None)
    holders = (batches, getattr(batches, "sampler", None), sampler, getattr(sampler, "sampler", None))
    found = [getattr(holder, "generator", None) for holder in holders]
    return [generator for generator in found if isinstance(generator, torch.Generator)]


NO_BATCHES = (
    "Experiment.batches() gave no batch. A generator that has run out stays empty: "
    "return a fresh iterable each time, batches=lambda: DataLoader(dataset, batch_size=64)."
)


def batches_of(experiment: Experiment) -> Iterable[Any]:
    """What ``batches()`` gives.

    Raises:
        InputError: If that cannot be iterated over.
    """
    batches = made(experiment, "batches")
    if not isinstance(batches, Iterable):
        raise InputError(f"Experiment.batches() must return an iterable of batches, got {type(batches).__name__}.")
    return batches


NO_VALIDATION = (
    "this experiment has no validation, and a proof is about data the model was not trained on: "
    "Experiment(..., validation=lambda: [(x_held_out, y_held_out)])."
)


def score(experiment: Experiment, model: nn.Module, held_out: Iterable[Any] | None = None) -> float:
    """The held-out metric in eval mode, random states and train mode left alone; higher is better.

    Args:
        experiment: Whose metric; without one it is minus the mean loss.
        model: What is scored.
        held_out: Batches to score on; by default the validation data.

    Raises:
        InputError: If there is no held-out data, or the metric raises or gives no number.
    """
    if experiment.validation is None:
        raise InputError(NO_VALIDATION)
    if experiment.metric is None:
        return -mean_loss(experiment, model, held_out)
    with in_use(model):
        batches = made(experiment, "validation") if held_out is None else [own_copy(batch) for batch in held_out]
        try:
            value = experiment.metric(model, batches)
        except Exception as error:
            raise InputError(
                f"metric(model, batches) raised {type(error).__name__}: {error}\n"
                "  It is called with a model in eval mode and the held-out batches: metric(model, batches) -> float."
            ) from error
        try:
            return float(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"metric(model, batches) must return one number, higher is better, got {type(value).__name__}: "
                "return float(...)."
            ) from error


def mean_loss(experiment: Experiment, model: nn.Module, held_out: Iterable[Any] | None = None) -> float:
    """Mean loss over held-out batches in eval mode.

    Raises:
        InputError: If there is none.
    """
    if experiment.validation is None:
        raise InputError(NO_VALIDATION)
    with in_use(model):
        batches = made(experiment, "validation") if held_out is None else held_out
        losses = [loss_in_use(model, batch, experiment.loss) for batch in batches]
    if not losses:
        raise InputError("Experiment.validation() gave no batch, so there is nothing to score the model on.")
    return sum(losses) / len(losses)


@contextmanager
def in_use(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradients; random states and train mode are as before afterwards."""
    states = random_states()
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        restore_random_states(states)
