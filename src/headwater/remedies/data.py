"""What a remedy may measure on: the first batches a training sees, and its loss."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from headwater.probes.measure import Loss
from headwater.probes.preserve import random_states, restore_random_states
from headwater.remedies import seeds

FIRST = 8  # batches: a median of eight gradient norms no longer hangs on a single one


@dataclass(frozen=True)
class Data:
    """The data of a training, as far as a plan looks at them.

    Attributes:
        batches: The first few, at least one.
        loss: ``loss(model, batch) -> scalar tensor``.
    """

    batches: tuple[Any, ...]
    loss: Loss


@contextmanager
def drawing_under(seed: int) -> Iterator[None]:
    """Random numbers that a measurement draws (dropout) come from the seed; the program's own states stay.

    Args:
        seed: Of the plan.
    """
    outside = random_states()
    seeds.seed_everything(seed + seeds.MEASURING)
    try:
        yield
    finally:
        restore_random_states(outside)
