"""The flow per layer: how large signals and gradients are at each site, on a log axis that nothing falls off."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from headwater.records import Flow, Moments, SiteFlow
from headwater.report.charts.layers import LayerFrame, decade_range
from headwater.report.markup import Html, join
from headwater.report.numbers import number_from_log10
from headwater.report.svg import (
    Size,
    cross,
    diamond,
    dot,
    for_all_screens,
    hatch,
    label,
    line,
    picture,
    polyline,
    rect,
    runs,
    title,
)
from headwater.report.words import Words

PLOT_HEIGHT = {"wide": 290, "narrow": 230}
LANE = 20  # height of the lanes for zero and for NaN and Inf
MARKER_ROOM = 6.0  # narrower columns carry the line alone
CROSS_ROOM = 12.0  # width a cross asks for
HOVER_ROOM = 4.0  # narrower columns share what a pointer is told
# log₁₀ of the smallest normal number: below it precision goes, and soon the number itself. IEEE 754; bfloat16.
SMALLEST_NORMAL = {"float16": -4.214, "bfloat16": -37.93, "float32": -37.93, "float64": -307.65}


@dataclass(frozen=True)
class _Series:
    """One line: log₁₀ of an rms per site, ``None`` where there is none."""

    name: str
    moments: list[Moments | None]

    @property
    def levels(self) -> list[float | None]:
        return [moments.log10_rms if moments else None for moments in self.moments]

    @property
    def drawn(self) -> list[tuple[int, float]]:
        """Sites that have a place on a log axis."""
        return [(i, level) for i, level in enumerate(self.levels) if level is not None and math.isfinite(level)]

    @property
    def zeros(self) -> list[int]:
        return [i for i, level in enumerate(self.levels) if level == -math.inf]

    @property
    def nonfinite(self) -> list[int]:
        return [i for i, moments in enumerate(self.moments) if moments and moments.nonfinite_count]


def flow_picture(flow: Flow, flagged: frozenset[str], words: Words) -> Html:
    """The picture; ``flagged`` sites, those of a finding, carry a mark below."""
    activation = _Series("activation", [row.activation if row.activation.count else None for row in flow.sites])
    gradient = _Series("gradient", [row.activation_grad for row in flow.sites])
    summary = _summary(flow, activation, gradient, words)
    return for_all_screens(lambda size: _draw(flow.sites, activation, gradient, flagged, summary, size, words))


def _summary(flow: Flow, activation: _Series, gradient: _Series, words: Words) -> str:
    def extreme(series: _Series, choose: Callable[[list[float]], float]) -> str:
        levels = [level for _, level in series.drawn]
        return number_from_log10(choose(levels) if levels else None)

    return words(
        "report.flow_summary",
        sites=words.counted("report.site", len(flow.sites)),
        activation_low=extreme(activation, min),
        activation_high=extreme(activation, max),
        gradient_low=extreme(gradient, min),
        gradient_high=extreme(gradient, max),
        zero=len(gradient.zeros),
        nonfinite=len({*activation.nonfinite, *gradient.nonfinite}),
        missing=sum(level is None for level in gradient.levels),
    )


def _draw(
    sites: tuple[SiteFlow, ...],
    activation: _Series,
    gradient: _Series,
    flagged: frozenset[str],
    summary: str,
    size: Size,
    words: Words,
) -> Html:
    low, high = decade_range([level for series in (activation, gradient) for _, level in series.drawn])
    nonfinite = sorted({*activation.nonfinite, *gradient.nonfinite})
    zeros = sorted({*activation.zeros, *gradient.zeros})
    top = 12.0 + (LANE + 4 if nonfinite else 0)
    frame = LayerFrame(size, len(sites), top, PLOT_HEIGHT[size.name], low, high)
    zero_y = frame.bottom + 4
    strip_y = zero_y + (LANE + 4 if zeros else 0)
    found = [i for i, row in enumerate(sites) if row.site.name in flagged]
    axis_y = strip_y + (10 if found else 0) + 16
    return picture(
        size,
        axis_y + 26,
        summary,
        frame.grid(),
        _floors(sites, frame, words),
        _zero_lane(zeros, frame, zero_y, f"hw-zero-{size.name}") if zeros else Html(""),
        _nonfinite_lane(nonfinite, frame) if nonfinite else Html(""),
        join(*(_cells(frame, run, strip_y, 5, "found") for run in runs(found))),
        _line(activation, frame),
        _line(gradient, frame),
        _ends(gradient, frame),
        frame.site_axis([row.site.name for row in sites], axis_y, words),
        _pointers(sites, frame, axis_y, words),
    )


def _cells(
    frame: LayerFrame, run: tuple[int, int], y: float, height: float, class_: str, fill: str | None = None
) -> Html:
    """One box under or over a stretch of sites."""
    width = (run[1] - run[0] + 1) * frame.column
    return rect(frame.left + run[0] * frame.column, y, width, height, class_, fill=fill)


def _line(series: _Series, frame: LayerFrame) -> Html:
    """The series' line, broken where a value is missing; a value between two gaps keeps its marker at any width."""
    drawn = dict(series.drawn)
    stretches = runs(sorted(drawn))
    shapes = []
    for first, last in stretches:
        points = [(frame.x(i), frame.y(drawn[i])) for i in range(first, last + 1)]
        shapes.append(polyline(points, f"line {series.name}"))
        if frame.column >= MARKER_ROOM or first == last:
            radius = 2.6 if frame.column < 14 else 3.4
            shapes += [_marker(series, x, y, radius) for x, y in points]
    return join(*shapes)


def _marker(series: _Series, x: float, y: float, radius: float) -> Html:
    if series.name == "gradient":
        return diamond(x, y, radius + 0.8, "mark gradient")
    return dot(x, y, radius, "mark activation")


def _ends(gradient: _Series, frame: LayerFrame) -> Html:
    """The gradient's number at the first and the last site: what the whole picture is about."""
    if not gradient.drawn:
        return Html("")
    arrived = [i for i, moments in enumerate(gradient.moments) if moments]
    near = len(gradient.drawn) // 10  # how far into the picture the number's letters reach
    (first, start), (last, end) = gradient.drawn[0], gradient.drawn[-1]
    left = max(frame.x(first) - 4, frame.left + 2)
    texts = []
    if first == arrived[0]:  # else the first number is zero or none, and its lane says so
        y = _clear(frame, start, gradient.drawn[near][1])
        texts.append(label(left, y, number_from_log10(start), "value gradient"))
    if last != first and last == arrived[-1]:
        texts.append(label(frame.x(last) + 9, frame.y(end) + 5, number_from_log10(end), "value gradient"))
    return join(*texts)


def _clear(frame: LayerFrame, log10: float, inward: float) -> float:
    """Height of the first number: on the side of the line that the line does not turn to."""
    y = frame.y(log10) + (19 if inward > log10 else -11)
    return min(max(y, frame.top + 10), frame.bottom - 4)


def _floors(sites: tuple[SiteFlow, ...], frame: LayerFrame, words: Words) -> Html:
    """A dashed line at each element type's smallest normal number, if the picture reaches down to it."""
    levels: dict[float, str] = {}
    for dtype in sorted({row.site.dtype for row in sites} & SMALLEST_NORMAL.keys()):
        levels.setdefault(SMALLEST_NORMAL[dtype], dtype)
    shapes = []
    for level, dtype in levels.items():
        if frame.low < level < frame.high:
            y = frame.y(level)
            shapes.append(line((frame.left, y), (frame.right, y), "floor"))
            shapes.append(label(frame.right, y - 5, words("report.smallest_normal", dtype=dtype), "side", "end"))
    return join(*shapes)


def _zero_lane(zeros: list[int], frame: LayerFrame, y: float, identity: str) -> Html:
    cells = [_cells(frame, run, y, LANE, "zero", f"url(#{identity})") for run in runs(zeros)]
    return join(hatch(identity), *cells, label(frame.left - 8, y + 14, "0", "tick strong", "end"))


def _nonfinite_lane(nonfinite: list[int], frame: LayerFrame) -> Html:
    shapes = []
    for first, last in runs(nonfinite):
        width = max((last - first + 1) * frame.column, CROSS_ROOM)  # one site among hundreds must be seen as well
        middle = frame.x((first + last) / 2)
        shapes.append(rect(middle - width / 2, 6, width, LANE, "broken"))
        marks = range(first, last + 1) if frame.column >= CROSS_ROOM else [(first + last) / 2]
        shapes += [cross(frame.x(mark), 6 + LANE / 2, 4, "broken-cross") for mark in marks]
    return join(
        *shapes, label(frame.left - 8, 20, "NaN/Inf" if frame.size.width > 500 else "NaN", "tick strong", "end")
    )


def _pointers(sites: tuple[SiteFlow, ...], frame: LayerFrame, bottom: float, words: Words) -> Html:
    """Invisible columns that tell a resting pointer the site's numbers."""
    step = max(math.ceil(HOVER_ROOM / frame.column), 1)
    shapes = []
    for start in range(0, len(sites), step):
        group = sites[start : start + step]
        told = "\n".join(_told(row, words) for row in group)
        width = len(group) * frame.column
        shapes.append(rect(frame.left + start * frame.column, 0, width, bottom, "pointer", title(told)))
    return join(*shapes)


def _told(row: SiteFlow, words: Words) -> str:
    def size(moments: Moments | None) -> str:
        if moments is None:
            return words("report.no_gradient")
        broken = f" + NaN {moments.nan_count}, Inf {moments.inf_count}" if moments.nonfinite_count else ""
        return number_from_log10(moments.log10_rms) + broken

    activation = f"{words.statistic('activation_rms')} {size(row.activation)}"
    gradient = f"{words.statistic('activation_grad_rms')} {size(row.activation_grad)}"
    return f"{words.site(row.site.name)} · {row.site.op}\n{activation}\n{gradient}"
