"""Pictures and tables as data: whoever shows them draws them, in a page, in a terminal or in a browser."""

from dataclasses import dataclass
from typing import Literal

from headwater.records.message import Message, Value

Scale = Literal["linear", "log10"]
CurveStyle = Literal["line", "points", "bars"]


@dataclass(frozen=True)
class Axis:
    """One direction of a panel.

    Attributes:
        title: What is along it.
        scale: On ``log10`` the values given are log₁₀ of what is meant: -inf stands for an exact zero, which has a
            place of its own below all others, and nothing is too small to be shown.
        low: Where it begins, by default where the values do.
        high: Where it ends.
    """

    title: Message
    scale: Scale = "linear"
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Curve:
    """A set of points.

    Attributes:
        name: What they show.
        x: Of each point.
        y: Of each point; NaN is a hole.
        style: A line through the points, the points alone, or bars from 0 that touch each other, as of a histogram.
        low: Lower ends of intervals around the points, or nothing.
        high: Upper ends.
        is_reference: Whether it is what theory or the lecture says, drawn behind the measurements and dashed.
    """

    name: Message
    x: tuple[float, ...]
    y: tuple[float, ...]
    style: CurveStyle = "line"
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    is_reference: bool = False


@dataclass(frozen=True)
class Raster:
    """A value for each cell of a rectangle, such as a loss over two directions or a class over two inputs.

    Attributes:
        x: Where the rectangle begins and ends.
        y: The same upwards.
        rows: Values, the lowest row first.
        name: What the value is.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    rows: tuple[tuple[float, ...], ...]
    name: Message


@dataclass(frozen=True)
class Panel:
    """One coordinate system.

    Attributes:
        title: What tells it from its neighbours.
        x: To the right.
        y: Upwards.
        curves: What is drawn in it, in the order of the key.
        raster: What lies behind the curves.
    """

    title: Message
    x: Axis
    y: Axis
    curves: tuple[Curve, ...] = ()
    raster: Raster | None = None


@dataclass(frozen=True)
class Picture:
    """Panels side by side, with a sentence for those who do not see them.

    Attributes:
        summary: What there is to see, in one sentence with its numbers.
        panels: In reading order.
    """

    summary: Message
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Table:
    """Rows of numbers and words.

    Attributes:
        title: What it shows.
        columns: Heads.
        rows: Cells; a message is put into words, a number written as people read it.
    """

    title: Message
    columns: tuple[Message, ...]
    rows: tuple[tuple[Value | Message, ...], ...]
