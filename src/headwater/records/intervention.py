"""One changed thing, a few short trainings beside unchanged ones, and what it did to the failure."""

import math
from dataclasses import dataclass
from typing import Literal

from headwater.records.errors import InputError
from headwater.records.message import Message

Outcome = Literal["restores", "helps", "nothing", "harms", "cannot_tell", "not_tried"]


@dataclass(frozen=True)
class Budget:
    """How much an intervention may train.

    Attributes:
        steps: Optimizer steps of each branch; ``None`` for as many as the check trained, at least 30, at most 100.
        repeats: Branches of each change, each beside an unchanged one on the same batches.
        seconds: What they may take in all. The first round has half of them, and what does not fit in is left out and
            told; after two rounds no further one begins that would not be done in time.

    Raises:
        InputError: If one of them is too small.
    """

    steps: int | None = None
    repeats: int = 3
    seconds: float = 120.0

    def __post_init__(self) -> None:
        whole = isinstance(self.repeats, int) and (self.steps is None or isinstance(self.steps, int))
        if not whole or self.repeats < 2 or (self.steps is not None and self.steps < 12) or not self.seconds > 0:
            raise InputError(
                "Budget needs steps from 12 (fewer losses show no trend), repeats from 2 (one has no interval) and "
                f"seconds above 0: Budget(steps=30, repeats=3, seconds=120); got {self!r}."
            )


@dataclass(frozen=True)
class Effect:
    """What a change did to one number, over the repeats.

    Attributes:
        statistic: What the number is.
        before: Its mean over the unchanged branches.
        after: Its mean over the changed ones.
        interval: 95 % interval of the mean of after - before, Student's t over the repeats.
        better: 1 if more is better, -1 if less is.
    """

    statistic: str
    before: float
    after: float
    interval: tuple[float, float]
    better: int

    @property
    def change(self) -> float:
        return self.after - self.before

    @property
    def surely_better(self) -> bool:
        """Whether the whole interval lies on the better side, or a number has come back where there was none."""
        recovered = math.isfinite(self.after) and not math.isfinite(self.before)
        return recovered or min(self.better * bound for bound in self.interval) > 0

    @property
    def surely_worse(self) -> bool:
        """Whether the whole interval lies on the worse side, or the number is none any more."""
        lost = math.isfinite(self.before) and not math.isfinite(self.after)
        return lost or max(self.better * bound for bound in self.interval) < 0


@dataclass(frozen=True)
class Intervention:
    """What became of a finding when one thing was changed.

    Attributes:
        cause: The hypothesis: what would be the cause if the change restores what failed.
        change: Id of the change.
        what: The change in words.
        outcome: ``restores`` if the symptom is gone in every repeat and learning is no worse for it, and better where
            the symptom is about learning; ``helps`` if the failed number or the loss is surely better, by 1 % or more;
            ``harms`` if the loss or the failed number is worse by as much and the symptom still there, or the loss
            where learning is what the symptom is about; else ``nothing``. ``cannot_tell`` where the unchanged branches
            do not show the symptom, ``not_tried`` where the change cannot be made; then ``why`` says so.
        gone: Repeats without the symptom.
        repeats: Repeats of changed beside unchanged.
        steps: Optimizer steps of each branch.
        failed: What the change did to the number that failed, ``None`` where the symptom has none of its own.
        loss: What it did to the loss afterwards, in eval mode, on the same batches for all branches: of the validation
            data, or without any of the training data.
        why: Why there is no answer.
    """

    cause: str
    change: str
    what: Message
    outcome: Outcome
    gone: int = 0
    repeats: int = 0
    steps: int = 0
    failed: Effect | None = None
    loss: Effect | None = None
    why: Message | None = None
