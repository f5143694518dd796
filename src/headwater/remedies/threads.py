"""How many threads? A deep narrow network spends its time starting operations, and more threads only add to that."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import torch

from headwater.probes.preserve import random_states, restore_random_states
from headwater.records import Experiment
from headwater.remedies.trial import endless, fresh_model, make_optimizer, train_step

_STEPS = 4  # of each, the fastest counts: others disturb a step, nothing speeds it up
# Threads must earn their keep: what they save is lost again where other work shares the machine.
_WORTH_IT = 1.25


@contextmanager
def computing_with(threads: int) -> Iterator[None]:
    """So many threads until the block ends."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def best_threads(experiment: Experiment, seed: int, most: int) -> int:
    """1 or ``most``, whichever trains a copy faster; random states are as before afterwards.

    On anything but a CPU threads do not decide, and ``most`` stays.
    """
    if most <= 1:
        return 1
    outside = random_states()
    try:
        model = fresh_model(experiment, seed)
        if any(parameter.device.type != "cpu" for parameter in model.parameters()):
            return most
        optimizer = make_optimizer(experiment, model)
        batches = list(islice(endless(experiment, seed), _STEPS))
        seconds = {}
        for threads in (1, most):
            with computing_with(threads):
                train_step(model, batches[0], experiment.loss, optimizer)  # the first one also fills caches
                seconds[threads] = min(_seconds(experiment, model, batch, optimizer) for batch in batches)
        return most if seconds[1] > _WORTH_IT * seconds[most] else 1
    finally:
        restore_random_states(outside)


def _seconds(experiment: Experiment, model: torch.nn.Module, batch: object, optimizer: torch.optim.Optimizer) -> float:
    started = time.perf_counter()
    train_step(model, batch, experiment.loss, optimizer)
    return time.perf_counter() - started
