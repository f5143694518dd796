"""What a lesson is: a claim in words, an experiment in code, and what has to hold."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.records import Message
from headwater.records.lesson import Check
from headwater.records.message import Value
from headwater.records.picture import Axis, Curve, CurveStyle, Picture, Table
from headwater.remedies.proof import t_interval


@dataclass(frozen=True)
class Outcome:
    """What an experiment gives; see ``records.LessonResult`` for the parts."""

    checks: tuple[Check, ...]
    values: Mapping[str, Value]
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Lesson:
    """One claim of the lectures.

    Its texts are in ``i18n/lessons/<id>.toml``: title, claim, seen, why, and caveat where the textbook simplifies.

    Attributes:
        id: Such as ``vanishing``.
        experiment: Runs it.
        seconds: What it takes about, one thread; the longest are begun first.
    """

    id: str
    experiment: Callable[[], Outcome]
    seconds: float = 1.0


@dataclass(frozen=True)
class Texts:
    """Messages of one lesson.

    Args:
        id: Of the lesson.
    """

    id: str

    def __call__(self, key: str, **values: Value) -> Message:
        return Message(f"lesson.{self.id}.{key}", values)

    def within(self, key: str, value: float, low: float | None = None, high: float | None = None) -> Check:
        """A number without chance that has to lie within bounds; NaN lies nowhere."""
        holds = not math.isnan(value) and (low is None or value >= low) and (high is None or value <= high)
        return Check(self(f"check.{key}"), holds, value, low, high)

    def true(self, key: str, holds: bool) -> Check:
        """Something that is so or is not."""
        return Check(self(f"check.{key}"), bool(holds))

    def over_seeds(
        self, key: str, values: Sequence[float], low: float | None = None, high: float | None = None
    ) -> Check:
        """A number per seed, of whose mean the 95 % interval has to lie within bounds.

        For an effect that has to be there, ``low=0``: the interval excludes that there is none.
        """
        mean = statistics.fmean(values)
        spread = t_interval(values)
        finite = all(math.isfinite(value) for value in values)
        holds = finite and (low is None or spread[0] >= low) and (high is None or spread[1] <= high)
        if low == 0.0 and finite:
            holds = holds and spread[0] > 0
        return Check(self(f"check.{key}"), holds, mean, low, high, spread)

    def axis(self, key: str, log10: bool = False, low: float | None = None, high: float | None = None) -> Axis:
        """An axis named by a text of this lesson, or by ``axis.<key>``, which all share."""
        return Axis(self._shared("axis", key), "log10" if log10 else "linear", low, high)

    def curve(
        self,
        key: str,
        x: Iterable[float],
        y: Iterable[float],
        *,
        points: bool = False,
        bars: bool = False,
        reference: bool = False,
        low: Iterable[float] = (),
        high: Iterable[float] = (),
        **values: Value,
    ) -> Curve:
        """A curve named by a text of this lesson."""
        style: CurveStyle = "points" if points else "bars" if bars else "line"
        numbers = (tuple(float(v) for v in part) for part in (x, y, low, high))
        xs, ys, lows, highs = numbers
        return Curve(self(f"curve.{key}", **values), xs, ys, style, lows, highs, reference)

    def _shared(self, kind: str, key: str) -> Message:
        return Message(f"{kind}.{key}")


def log10(value: float) -> float:
    """log₁₀ as pictures want it: -inf for zero, NaN stays."""
    return -math.inf if value == 0 else math.log10(value) if value > 0 else math.nan


def table(title: Message, columns: Iterable[Message], rows: Iterable[Iterable[Any]]) -> Table:
    """A table of messages, words and numbers."""
    return Table(title, tuple(columns), tuple(tuple(row) for row in rows))
