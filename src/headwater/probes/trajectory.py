"""The course of a training: a line per measured step, thinned out where it gets long."""

from __future__ import annotations

from array import array
from dataclasses import fields

from headwater.records import Score, Training, TrainingStep

_MOST = 512
_NUMBERS = [field.name for field in fields(TrainingStep) if field.name != "step"]


class Trajectory:
    """Takes steps and scores as they come; where they get many, every second of the older ones stays.

    Numbers lie in arrays, for this is all that grows while a training is watched.
    """

    def __init__(self) -> None:
        self._steps = array("q")
        self._known = array("b")  # a bit for each number: None and NaN are two things
        self._numbers = [array("d") for _ in _NUMBERS]
        self._scores: list[Score] = []

    def add(self, step: TrainingStep) -> None:
        """Another measured step."""
        values = [getattr(step, name) for name in _NUMBERS]
        self._steps.append(step.step)
        self._known.append(sum(1 << place for place, value in enumerate(values) if value is not None))
        for numbers, value in zip(self._numbers, values, strict=True):
            numbers.append(value or 0.0)
        if len(self._steps) > _MOST:
            self._steps, self._known = self._steps[::2], self._known[::2]
            self._numbers = [numbers[::2] for numbers in self._numbers]

    def score(self, score: Score) -> None:
        """How well the model does now."""
        self._scores.append(score)
        if len(self._scores) > _MOST:
            self._scores = self._scores[::2]

    def record(self, metric_name: str = "") -> Training | None:
        """All that was seen, ``None`` if nothing was."""
        if not self._steps and not self._scores:
            return None
        steps = zip(self._steps, self._known, *self._numbers, strict=True)
        return Training(tuple(_step(*kept) for kept in steps), tuple(self._scores), metric_name)


def _step(number: int, known: int, *values: float) -> TrainingStep:
    return TrainingStep(number, *(value if known >> place & 1 else None for place, value in enumerate(values)))
