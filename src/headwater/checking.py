"""What may be handed to :func:`headwater.check`, and the measurement of it, which the report is made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

import torch
from torch import nn
from torch.nn.modules.loss import _Loss

from headwater.probes.choose import Sites
from headwater.probes.measure import check_trainable, measure
from headwater.probes.preserve import strangers_kept
from headwater.records import Budget, Experiment, Flow, InputError
from headwater.rehearsing import rehearse
from headwater.remedies.data import FIRST, Data
from headwater.remedies.trial import copied, endless, made, make_optimizer, seed_everything


@dataclass(frozen=True)
class Measured:
    """A model and what was measured of it: last, before it was trained, and at the first step with NaN or Inf.

    ``data`` holds the first batches; ``origin`` is the model as it was before it was trained.
    """

    model: nn.Module
    flow: Flow
    data: Data
    start: Flow | None = None
    broke: Flow | None = None
    origin: nn.Module | None = None

    @property
    def untrained(self) -> nn.Module:
        """The model as it was handed over, or made."""
        return self.model if self.origin is None else self.origin

    @property
    def before(self) -> Flow:
        """What was measured before any training."""
        return self.flow if self.start is None else self.start


def refuse_without_experiment(intervene: Any) -> None:
    if intervene:
        raise InputError(
            "intervene=True trains copies, which needs an Experiment: hw.check(hw.Experiment(...), intervene=True)."
        )


def refuse_to_intervene(experiment: Experiment, intervene: Any) -> None:
    if not isinstance(intervene, (bool, Budget)):
        raise InputError(
            f"intervene is True, False or a budget, got {intervene!r}: "
            "hw.check(experiment, intervene=hw.Budget(steps=30, repeats=3, seconds=120))."
        )
    if intervene and experiment.optimizer is None:
        raise InputError(
            "intervene=True trains copies, and this experiment has no optimizer: "
            "Experiment(..., optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-3))."
        )


def refuse_extra(batch: Any, loss: Any) -> None:
    if batch is not None or loss is not None:
        raise InputError("an Experiment brings its own batches and loss: hw.check(experiment), nothing else.")


def measured_model(model: Any, batch: Any, loss: Any, steps: int, sites: Sites | None) -> Measured:
    """A model measured on one batch.

    Raises:
        InputError: If what was handed over cannot be measured.
    """
    if steps:
        raise InputError(
            "steps=N trains a copy first, which needs an Experiment: hw.check(hw.Experiment(...), steps=N)."
        )
    if batch is None or loss is None:
        raise InputError("check() needs three things, or an Experiment: hw.check(model, batch, loss).")
    if not callable(loss) or is_criterion(loss):
        raise InputError(
            f"loss must be a function of model and batch, got {getattr(loss, '__name__', type(loss).__name__)}: "
            "hw.check(model, batch, lambda model, batch: criterion(model(batch[0]), batch[1]))."
        )
    return Measured(model, measure(model, batch, loss, sites=sites), Data((batch,), loss))


def is_criterion(loss: Any) -> bool:
    """Whether it is one of torch's losses, which take an output and a target instead of a model and a batch."""
    return isinstance(loss, _Loss) or getattr(loss, "__module__", "") == "torch.nn.functional"


def measured_experiment(
    experiment: Experiment,
    steps: int,
    seed: int | None,
    sites: Sites | None,
    progress: Callable[[str, int, int], None] | None,
) -> Measured:
    """An experiment's model measured on its first batch, and after ``steps`` that a copy of it is trained.

    Raises:
        InputError: If the experiment cannot be measured or trained.
    """
    if not isinstance(steps, int) or steps < 0:
        raise InputError(f"steps counts training steps: a whole number from 0, got {steps!r}.")
    if seed is not None:
        seed_everything(seed)
    model = made(experiment, "model")
    check_trainable(model)
    origin = model
    if steps:
        model = copied(model)
    stream = endless(experiment, seed)
    optimizer = make_optimizer(experiment, model) if steps or experiment.optimizer is not None else None
    first = tuple(islice(stream, min(max(steps, 1), FIRST)))
    data = Data(first, experiment.loss)
    if not steps:
        return Measured(model, measure(model, first[0], experiment.loss, optimizer, sites=sites), data)
    assert optimizer is not None
    start = measure(model, first[0], experiment.loss, sites=sites)
    _refuse_originals(origin, model, optimizer)
    with strangers_kept(model, optimizer) as strangers:
        training, broke = rehearse(experiment, model, optimizer, chain(first, stream), steps, progress, strangers)
        flow = measure(model, next(stream), experiment.loss, optimizer, steps, sites)
    return Measured(model, replace(flow, training=training), data, start, broke, origin)


def _refuse_originals(origin: nn.Module, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Refuse an optimizer over the model's own parameters in place of those of the copy that is trained."""
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if held & {id(p) for p in origin.parameters()} and not held & {id(p) for p in model.parameters()}:
        name = type(optimizer).__name__
        raise InputError(
            "only a copy of the model is trained, and Experiment.optimizer makes its optimizer over the original. "
            f"Take the parameters it is given: Experiment(optimizer=lambda parameters: {name}(parameters, ...))."
        )
