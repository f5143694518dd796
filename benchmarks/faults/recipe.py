"""One recipe for families whose networks take their own arguments: a network, a task, and how it is trained."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from benchmarks.faults.build import Change, Draw, Loss, Metric, Optimize, Pack, drawn, experiment
from benchmarks.faults.data import Split
from benchmarks.faults.program import STEPS, WATCHED, Program
from headwater.demo import accuracy, cross_entropy
from headwater.records import Experiment


def trained(
    network: Callable[..., nn.Module],
    task: Callable[[], Split],
    optimizer: Optimize,
    draw: Draw | None = None,
    loss: Loss = cross_entropy,
    metric: Metric = accuracy,
    batch_size: int = 64,
    change: Change | None = None,
    pack: Pack | None = None,
    **options: Any,
) -> Experiment:
    """A network on a task.

    Args:
        network: Makes it.
        task: The data.
        optimizer: Of all parameters.
        draw: How weights are drawn; the network's own way by default.
        loss: What is minimised.
        metric: Held-out, higher is better.
        batch_size: Samples per step.
        change: What is done to the finished network.
        pack: What a batch is made of its inputs and targets; the two as they are by default.
        options: Arguments of the network.
    """
    return experiment(
        lambda: drawn(network(**options), draw),
        task(),
        optimizer,
        loss=loss,
        metric=metric,
        batch_size=batch_size,
        change=change,
        pack=pack,
    )


def healthy_of(family: str, steps: int = STEPS, **usual: Any) -> Callable[..., Program]:
    """Makes the healthy programs of a family: ``healthy(name, learns, chance, steps=150, watched=40, **recipe)``.

    Args:
        family: Its name.
        steps: Of programs that do not say otherwise.
        usual: Arguments of :func:`trained` that its programs share unless they say otherwise.
    """

    def healthy(
        name: str, learns: float, chance: float, steps: int = steps, watched: int = WATCHED, **recipe: Any
    ) -> Program:
        make = partial(trained, **(usual | recipe))
        return Program(f"{family}/{name}", family, make, steps=steps, watched=watched, chance=chance, learns=learns)

    return healthy
