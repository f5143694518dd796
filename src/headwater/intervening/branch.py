"""One branch: the model as it was at the start, with or without one thing changed, trained for a few steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from headwater.diagnosis import diagnose
from headwater.probes.measure import measure
from headwater.probes.names import unwrapped
from headwater.probes.preserve import put_in, strangers_kept
from headwater.probes.tree import mapped, tensors
from headwater.records import Diagnosis, Experiment, Flow
from headwater.rehearsing import rehearse
from headwater.remedies import seeds
from headwater.remedies.order import Order
from headwater.remedies.trial import copied, in_use, loss_in_use, made, make_optimizer, seed_everything

LOOKED_AT = 256  # of the validation's batches: one pass over a usual set
MOST_BYTES = 1 << 30  # that a round's batches take, which all its branches train on

Inside = Callable[[], AbstractContextManager[Any]]


@dataclass
class Branch:
    """What a branch is made of; a change alters one part of it before it is trained.

    Attributes:
        model: A copy of the weights that all branches start from.
        experiment: The user's; a change puts another loss or optimizer into a copy of it.
        batches: One for each step and one to measure on.
        held_out: Batches the loss afterwards is taken of: the validation's, or without any drawn before training, which
            a data set that is gone through again also trains on.
        flow: What the unchanged model showed before any step.
        order: The order its operations run in.
        seed: Of what the model draws, the same for all branches of a repeat.
        inside: What each call of the loss runs in.
        seen: What the loss is given in place of the model.
    """

    model: nn.Module
    experiment: Experiment
    batches: Sequence[Any]
    held_out: Sequence[Any]
    flow: Flow
    order: Order
    seed: int
    inside: Inside = nullcontext
    seen: Callable[[nn.Module], Any] = lambda model: model

    @property
    def named(self) -> nn.Module:
        """The module whose names the order and the flow use: the model's own inside what wraps it."""
        return unwrapped(self.model)

    def fork(self) -> Branch:
        """The same start once more, in copies."""
        return replace(self, model=copied(self.model))

    def with_optimizer(self, changed: Callable[[torch.optim.Optimizer], None]) -> None:
        """Let ``changed`` alter the optimizer as soon as it is made."""
        original = self.experiment.optimizer
        assert original is not None

        def optimizer(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
            made_as_before: torch.optim.Optimizer = original(parameters)
            changed(made_as_before)
            return made_as_before

        self.experiment = replace(self.experiment, optimizer=optimizer)

    def loss(self, model: nn.Module, batch: Any) -> Any:
        """The experiment's loss, in what this branch runs it in."""
        with self.inside():
            return self.experiment.loss(self.seen(model), batch)

    def metric(self) -> Callable[[Any, Any], float] | None:
        """The experiment's metric, of the model as this branch's loss sees it."""
        original = self.experiment.metric
        return None if original is None else lambda model, batches: original(self.seen(model), batches)


@dataclass(frozen=True)
class Grown:
    """A branch that has been trained.

    Attributes:
        model: As it is now.
        flow: What the last step showed, with the course of the training.
        diagnosis: What the rules say of that.
        beside: What was trained with it and is not its own, such as the weights of a loss: each with its value now.
    """

    model: nn.Module
    flow: Flow
    diagnosis: Diagnosis
    beside: Sequence[tuple[Tensor, Tensor]] = ()

    def symptoms(self) -> frozenset[str]:
        """Of severity warning or worse, consequences among them."""
        findings = [finding for finding in self.diagnosis.findings if finding.severity != "info"]
        below = {consequence.symptom for finding in findings for consequence in finding.consequences}
        return frozenset(finding.symptom for finding in findings) | below


def grow(branch: Branch, stepped: Callable[[int], None] = lambda done: None) -> Grown:
    """Train the branch's model on its batches, the last of which is measured.

    Args:
        branch: Its model is trained in place.
        stepped: Told after each step how many are done; what it raises ends the training.
    """
    *training_batches, last = branch.batches
    experiment = replace(branch.experiment, loss=branch.loss, metric=branch.metric())
    optimizer = make_optimizer(experiment, branch.model)
    seed_everything(branch.seed + seeds.TRAINING)
    start = measure(branch.model, branch.batches[0], branch.loss)
    steps = len(training_batches)
    with strangers_kept(branch.model, optimizer) as strangers:
        training, broke = rehearse(
            experiment,
            branch.model,
            optimizer,
            iter(training_batches),
            steps,
            lambda _, done, total: stepped(done),
            strangers,
        )
        flow = replace(measure(branch.model, last, branch.loss, optimizer, steps), training=training)
        beside = strangers.moved()
    return Grown(branch.model, flow, diagnose(flow, start=start, broke=broke), beside)


def held_out_loss(grown: Grown, branch: Branch) -> float:
    """Mean loss in eval mode on the held-out batches, as the branch computes its loss."""
    model = grown.model
    with put_in(grown.beside), in_use(model):
        return sum(loss_in_use(model, batch, branch.loss) for batch in branch.held_out) / len(branch.held_out)


def held_out_batches(experiment: Experiment, stream: Iterator[Any], some: int) -> tuple[list[Any], bool]:
    """Some of the validation's batches; where there are none, batches that are drawn and never trained on.

    Returns:
        The batches, and whether they are the validation's.
    """
    held_out = spread(islice(made(experiment, "validation"), LOOKED_AT), some) if experiment.validation else []
    return (held_out, True) if held_out else (list(islice(stream, some)), False)


def spread(batches: Iterable[Any], some: int) -> list[Any]:
    """Batches at equal distances, which samples in the order of their classes ask for: as many, or up to twice."""
    kept: list[Any] = []
    distance = 1
    for index, batch in enumerate(batches):
        if index % distance:
            continue
        kept.append(batch)
        if len(kept) == 2 * some:
            kept, distance = kept[::2], 2 * distance
    return kept


def drawn(stream: Iterator[Any], count: int) -> list[Any]:
    """So many batches to train on; beyond a GiB of them those that are there come again. None has a graph behind it,
    which only the first branch could go back through.
    """
    held: list[Any] = []
    room = MOST_BYTES
    for batch in islice(stream, count):
        held.append(mapped(lambda tensor: tensor if tensor.is_leaf else tensor.detach(), batch))
        room -= sum(tensor.numel() * tensor.element_size() for tensor in tensors(batch))
        if room < 0:
            break
    return [held[index % len(held)] for index in range(count)]
