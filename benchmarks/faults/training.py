"""A training that a diagnoser looks into: the same weights, data and steps for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import torch
from torch import Tensor, nn

from headwater.records import Experiment
from headwater.remedies.trial import endless, fresh_model, make_optimizer, run_trial, train_step


class Training:
    """One experiment under one seed, step by step."""

    def __init__(self, experiment: Experiment, seed: int) -> None:
        self.experiment = experiment
        self.model = fresh_model(experiment, seed)
        self.optimizer = make_optimizer(experiment, self.model)
        self._batches = endless(experiment, seed)
        self.batch: object = None

    def step(self) -> float:
        """One optimizer step; gives the loss before it. Gradients are there until the next."""
        self.batch = next(self._batches)
        return train_step(self.model, self.batch, self.experiment.loss, self.optimizer)

    def steps(self, count: int) -> Iterator[float]:
        """The losses of so many steps, each when it has been taken."""
        for _ in range(count):
            yield self.step()

    def held_out_loss(self) -> float:
        """Mean loss of the held-out batches, in evaluation mode."""
        batches = self.experiment.validation() if self.experiment.validation else []
        with torch.no_grad(), evaluating(self.model):
            losses = [float(self.experiment.loss(self.model, batch)) for batch in batches]
        return sum(losses) / len(losses)

    def metric(self, batches: list[object]) -> float:
        """The experiment's metric of some batches, in evaluation mode."""
        assert self.experiment.metric is not None
        with torch.no_grad(), evaluating(self.model):
            return self.experiment.metric(self.model, batches)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The network in evaluation mode inside, each module in its own mode again outside."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def dense(gradient: Tensor) -> Tensor:
    """A gradient as most rules read it: that of an embedding may be sparse."""
    return gradient.to_dense() if gradient.is_sparse else gradient


def learnt(experiment: Experiment, steps: int, seed: int) -> float:
    """The held-out metric after so many steps; of a run that broke off, that of the untrained network."""
    model = fresh_model(experiment, seed)
    batches = list(islice(endless(experiment, seed), steps))
    return run_trial(experiment, model, batches, seed).metric
