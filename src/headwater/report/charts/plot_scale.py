"""Where numbers stand along an axis of a plot, and which of them are written beside it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from headwater.i18n import number
from headwater.records.picture import Axis
from headwater.report.markup import Html
from headwater.report.svg import decade_ticks, label, linear_ticks, power_of_ten

BEYOND_ANY_AXIS = 1e150  # differences and squares of such numbers are no numbers any more
PLAIN = (1e-4, 1e6)  # between these a tick reads better without an exponent


@dataclass(frozen=True)
class Tick:
    """A place with what is written there.

    Attributes:
        value: In the axis' numbers, which on a log axis are logarithms.
        text: As people read it; empty for a power of ten.
        exponent: Of a power of ten.
    """

    value: float
    text: str = ""
    exponent: int | None = None

    @property
    def cells(self) -> int:
        """About how many letters it takes."""
        return len(self.text) if self.exponent is None else 2 + len(str(self.exponent))

    def draw(self, x: float, y: float, anchor: str) -> Html:
        if self.exponent is None:
            return label(x, y, self.text, "tick", anchor)
        return power_of_ten(x, y, self.exponent, anchor)


@dataclass(frozen=True)
class PlotScale:
    """Numbers of an axis to places in the picture, linear in both.

    Attributes:
        low: Number at ``start``.
        high: Number at ``end``.
        start: Place of the lower end.
        end: Place of the upper end.
        is_log: Whether numbers are log₁₀ of what is meant.
        zero: Place of exact zeros on a log axis, ``None`` where there are none.
    """

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False
    zero: float | None = None

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def clamped(self, value: float) -> float:
        """The place of ``value``, or of the end that it lies beyond."""
        if not math.isfinite(value):
            return self.end if value > 0 else self.start
        return self(min(max(value, self.low), self.high))

    def holds(self, value: float) -> bool:
        slack = 1e-9 * (self.high - self.low)
        return self.low - slack <= value <= self.high + slack

    def ticks(self, most: int, whole: bool = False) -> list[Tick]:
        """Round numbers along the axis, about ``most`` of them; on a linear one only whole ones if asked for."""
        if self.is_log:
            decades = decade_ticks(self.low, self.high, most)
            return [Tick(float(e), exponent=e) for e in decades] if len(decades) > 1 else self._within_decades(most)
        places = [round(place, 12) for place in linear_ticks(self.low, self.high, most)]
        if whole:
            places = [place for place in places if place == round(place)]
        return [Tick(place, text) for place, text in zip(places, tick_texts(places), strict=True)]

    def _within_decades(self, most: int) -> list[Tick]:
        """On a log axis shorter than two decades: 1, 2, 5, or round numbers where it is shorter still."""
        steps = [m * 10.0**e for e in range(math.floor(self.low), math.ceil(self.high) + 1) for m in (1, 2, 5)]
        shown = [step for step in steps if self.holds(math.log10(step))]
        if len(shown) < 3:
            shown = [tick for tick in linear_ticks(10**self.low, 10**self.high, most) if tick > 0]
        return [Tick(math.log10(place), number(round(place, 12))) for place in shown]


def is_drawable(value: float) -> bool:
    """Whether a number has a place on an axis."""
    return math.isfinite(value) and abs(value) < BEYOND_ANY_AXIS


def plot_range(axis: Axis, values: Iterable[float], air: float) -> tuple[float, float]:
    """From where to where an axis goes: as it asks for, else around ``values`` with so much of their span for air."""
    known = [value for value in values if is_drawable(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    margin = air * (high - low) if known else 0.0
    if high - low < 1e-9 * max(abs(high), 1e-300):
        margin = 0.5 if axis.scale == "log10" else abs(high) / 2 or 1.0
    low = low - margin if axis.low is None else axis.low
    high = high + margin if axis.high is None else axis.high
    return (low, high) if high > low else (low, low + 1.0)


def tick_texts(places: list[float]) -> list[str]:
    """Numbers of an axis, all with as many decimals as they need to be told apart."""
    largest = max(map(abs, places), default=0.0)
    if largest and not PLAIN[0] <= largest < PLAIN[1]:
        return [number(place) for place in places]
    decimals = next((d for d in range(12) if all(abs(round(p, d) - p) <= 1e-9 * largest for p in places)), 12)
    return [f"{place + 0.0:,.{decimals}f}" for place in places]
