"""The course of a training: a line per measured step, thinned out where it gets long."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from headwater.records import Score, Training, TrainingStep

_MOST = 512
_NUMBERS = [field.name for field in fields(TrainingStep) if field.name != "step"]


class Trajectory:
    """Takes steps and scores as they come; where they get many, every second of the older ones stays.

    Numbers lie in one table that is there from the start: watching takes no more memory as a training goes on.
    """

    def __init__(self) -> None:
        self._table = np.zeros((_MOST, 2 + len(_NUMBERS)))  # step, which numbers are known (a bit each), the numbers
        self._count = 0
        self._scores: list[Score] = []

    def add(self, step: TrainingStep) -> None:
        """Another measured step."""
        if self._count == _MOST:
            self._count = _MOST // 2
            self._table[: self._count] = self._table[::2].copy()
        values = [getattr(step, name) for name in _NUMBERS]
        known = sum(1 << place for place, value in enumerate(values) if value is not None)
        self._table[self._count] = (step.step, known, *(value or 0.0 for value in values))
        self._count += 1

    def score(self, score: Score) -> None:
        """How well the model does now."""
        self._scores.append(score)
        if len(self._scores) > _MOST:
            self._scores = self._scores[::2]

    def record(self, metric_name: str = "") -> Training | None:
        """All that was seen, ``None`` if nothing was."""
        if not self._count and not self._scores:
            return None
        rows = self._table[: self._count].tolist()
        return Training(tuple(_step(*row) for row in rows), tuple(self._scores), metric_name)


def _step(number: float, known: float, *values: float) -> TrainingStep:
    given = (value if int(known) >> place & 1 else None for place, value in enumerate(values))
    return TrainingStep(int(number), *given)
