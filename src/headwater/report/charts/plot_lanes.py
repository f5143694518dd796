"""Beside a plot's axes: a lane for exact zeros of a log axis, and one for NaN and Inf, so that nothing falls off."""

import math
from collections.abc import Iterator

from headwater.records.picture import Axis, Curve, Panel
from headwater.report.charts.plot_marks import Look, hollow
from headwater.report.charts.plot_scale import PlotScale, is_drawable
from headwater.report.markup import Html, join
from headwater.report.svg import Point, cross, label, rect
from headwater.report.words import Words

LANE = 18.0  # height of a lane, in user units
CROSS_GAP = 15.0  # between crosses


def draw_lanes(
    panel: Panel, looks: dict[str, Look], x: PlotScale, y: PlotScale, ticks_y: float, fill: str, words: Words
) -> Html:
    """Below the plot exact zeros, hollow on hatched ground; above it NaN and Inf.

    Args:
        panel: Whose curves.
        looks: Of the curves, by name.
        x: Of the panel, with its ``zero`` where a lane to the left is needed.
        y: The same for the lane below.
        ticks_y: Where labels of the horizontal axis stand.
        fill: The hatching.
        words: In which language.
    """
    shapes = []
    zeros = exact_zeros(panel)
    if has_y_zeros(panel) and y.zero is not None:
        shapes.append(rect(x.start, y.zero - LANE / 2, x.end - x.start, LANE, "zero", fill=fill))
        shapes.append(label(labels_x(panel, x), y.zero + 4, "0", "tick strong", "end"))
    if has_x_zeros(panel) and x.zero is not None:
        shapes.append(rect(x.zero - LANE / 2, y.end, LANE, y.start - y.end, "zero", fill=fill))
        shapes.append(label(x.zero, ticks_y, "0", "tick strong", "middle"))
    for curve in panel.curves:
        places = [place for owner, a, b in zeros if owner is curve for place in _zero_place(a, b, x, y)]
        shapes.append(hollow(places, looks[words.say(curve.name)]))
    broken = sorted({x(value) for value in broken_places(panel) if x.holds(value)})
    if broken:
        shapes.append(label(labels_x(panel, x), y.end - LANE / 2, "NaN", "tick strong", "end"))
        shapes += _crosses(broken, y.end - 4 - LANE / 2)
    return join(*shapes)


def _crosses(places: list[float], y: float) -> Iterator[Html]:
    after = -math.inf
    for place in places:
        if place >= after:
            yield join(rect(place - 7, y - LANE / 2 + 1, 14, LANE - 2, "broken"), cross(place, y, 4, "broken-cross"))
            after = place + CROSS_GAP


def exact_zeros(panel: Panel) -> list[tuple[Curve, float, float]]:
    """Points that are exactly zero on a log axis."""
    return [
        (curve, a, b)
        for curve in panel.curves
        for a, b in zip(curve.x, curve.y, strict=True)
        if (is_log(panel.x) and a == -math.inf) or (is_log(panel.y) and b == -math.inf)
    ]


def has_x_zeros(panel: Panel) -> bool:
    """Whether there has to be a lane to the left."""
    return is_log(panel.x) and any(a == -math.inf for _, a, _ in exact_zeros(panel))


def has_y_zeros(panel: Panel) -> bool:
    """Whether there has to be a lane below."""
    return is_log(panel.y) and any(b == -math.inf for _, _, b in exact_zeros(panel))


def labels_x(panel: Panel, x: PlotScale) -> float:
    """Where labels of the vertical axis end."""
    return (x.zero - LANE / 2 if has_x_zeros(panel) and x.zero is not None else x.start) - 8


def _zero_place(a: float, b: float, x: PlotScale, y: PlotScale) -> Iterator[Point]:
    across = x.zero if a == -math.inf else x(a) if is_drawable(a) and x.holds(a) else None
    up = y.zero if b == -math.inf else y(b) if is_drawable(b) and y.holds(b) else None
    if across is not None and up is not None:
        yield across, up


def broken_places(panel: Panel) -> list[float]:
    """Where a measured value is NaN or Inf, or past any axis."""
    return [
        a
        for curve in panel.curves
        if not curve.is_reference
        for a, b in zip(curve.x, curve.y, strict=True)
        if is_drawable(a) and not is_drawable(b) and not (is_log(panel.y) and b == -math.inf)
    ]


def is_log(axis: Axis) -> bool:
    return axis.scale == "log10"
