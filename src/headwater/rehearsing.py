"""Train a copy for a few steps and write down how it goes: what the findings about a training's course rest on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from headwater.probes.dependence import dependence
from headwater.probes.pairing import MOST_SAMPLES, pairings
from headwater.probes.preserve import Strangers, leaves_under
from headwater.probes.tree import own_copy, tensors
from headwater.records import Experiment, Flow, InputError, Score, Training
from headwater.remedies.trial import in_use, loss_in_use, made, train_step
from headwater.watching import Watch, watch

Progress = Callable[[str, int, int], None]

_MEASURED = 200  # steps, about
_SCORED = 8  # batches of the training that the model is scored on afterwards
_SCORES = 4  # on the way, beside the first


def rehearse(
    experiment: Experiment,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    stream: Iterator[Any],
    steps: int,
    progress: Progress | None = None,
    strangers: Strangers | None = None,
) -> tuple[Training | None, Flow | None]:
    """Train a model for some steps.

    Args:
        experiment: Its loss, and what it is scored with.
        model: Trained in place.
        optimizer: Over its parameters.
        stream: Of batches.
        steps: How many.
        progress: ``progress("progress.train", done, total)`` after each step.
        strangers: Takes the loss's own weights under its care.

    Returns:
        What the steps showed: each of them up to 200, of more an odd interval's, so that a gradient which turns round
        at every step is seen to; and the first of them with NaN or Inf.
    """
    seen: list[Any] = []  # what it is scored on
    pairs: list[Any] = []  # what is asked whether its inputs say anything of its targets
    samples = 0
    due = {round(steps * part / _SCORES) for part in range(1, _SCORES + 1)}
    with watch(model, optimizer, every=2 * (steps // (2 * _MEASURED)) + 1, run=None, quiet=True) as observed:
        known = strangers is None

        def logged(model: nn.Module, batch: Any) -> Any:
            nonlocal known
            value = experiment.loss(model, batch)
            if isinstance(value, Tensor) and value.numel() == 1:
                observed.log(loss=value)
                if not known and strangers is not None:
                    strangers.keep(leaves_under(value))
                    known = True
            return value

        for done in range(1, steps + 1):
            batch = next(stream)
            if len(seen) < _SCORED:
                seen.append(batch)
            if samples < MOST_SAMPLES:
                pairs.append(batch)
                samples += _samples(batch)
            if strangers is not None:
                strangers.keep(tensor for tensor in tensors(batch) if tensor.is_leaf and tensor.requires_grad)
            if done == 1:
                _score(experiment, model, seen, observed)
            train_step(model, batch, logged, optimizer)
            if done in due:
                _score(experiment, model, seen, observed)
            if progress is not None:
                progress("progress.train", done, steps)
    training = observed.training(experiment.metric_name)
    return (_with_dependence(training, experiment, model, seen, pairs) if training else None), observed.broke


def _samples(batch: Any) -> int:
    """Of the batch's first tensor; of one without, as many as are looked at."""
    first = next(tensors(batch), None)
    return len(first) if first is not None and first.dim() else MOST_SAMPLES


def _with_dependence(
    training: Training, experiment: Experiment, model: nn.Module, seen: list[Any], pairs: list[Any]
) -> Training:
    """The training with what inputs say of targets, to the model and by themselves, trained on and held out."""
    with in_use(model):
        held_out = list(made(experiment, "validation")) if experiment.validation is not None else []
        pairing, validation_pairing = pairings(model, pairs, held_out, experiment.loss)
        return replace(
            training,
            dependence=dependence(model, seen, experiment.loss),
            validation_dependence=dependence(model, held_out, experiment.loss),
            pairing=pairing,
            validation_pairing=validation_pairing,
        )


def _score(experiment: Experiment, model: nn.Module, seen: list[Any], observed: Watch) -> None:
    """How well the model does in eval mode; random states and train mode are left alone."""
    if experiment.validation is None:
        return
    with in_use(model):
        held_out = list(made(experiment, "validation"))
        if not held_out:
            return
        losses = [_mean_loss(experiment, model, batches) for batches in (seen, held_out)]
        metrics = [_metric(experiment, model, batches) for batches in (seen, held_out)]
    observed.score(Score(observed.steps, losses[0], losses[1], metrics[0], metrics[1]))


def _metric(experiment: Experiment, model: nn.Module, batches: list[Any]) -> float | None:
    """The experiment's metric, ``None`` if it has none.

    Raises:
        InputError: If the metric raises, or gives no number.
    """
    if experiment.metric is None:
        return None
    try:
        return float(experiment.metric(model, [own_copy(batch) for batch in batches]))
    except Exception as error:
        raise InputError(
            f"metric(model, batches) raised {type(error).__name__}: {error}\n"
            "  It is asked about training batches too: metric(model, list of batches) -> float."
        ) from error


def _mean_loss(experiment: Experiment, model: nn.Module, batches: list[Any]) -> float | None:
    losses = [loss_in_use(model, batch, experiment.loss) for batch in batches]
    return sum(losses) / len(losses) if losses else None
