"""A picture of a lesson: panels of curves and rasters, with places of their own for exact zeros, NaN and Inf."""

from collections.abc import Iterator
from dataclasses import dataclass

from headwater.records.picture import Curve, Panel, Picture
from headwater.report.charts.plot_key import Looks, looks_of
from headwater.report.charts.plot_lanes import (
    LANE,
    broken_places,
    draw_lanes,
    exact_zeros,
    has_x_zeros,
    has_y_zeros,
    is_log,
    labels_x,
)
from headwater.report.charts.plot_marks import bar_edges, draw_curve
from headwater.report.charts.plot_raster import colour_strip, draw_raster
from headwater.report.charts.plot_scale import PlotScale, Tick, is_drawable, plot_range
from headwater.report.lines import wrap
from headwater.report.markup import Html, el, join
from headwater.report.svg import Size, for_all_screens, hatch, label, line, picture, title
from headwater.report.words import Words

GAP = 30.0  # between panels
RIGHT_ROOM = 14.0  # half of the last tick's letters
TITLE_LINE, TITLE_LETTER = 18.0, 7.4
LETTER = 6.4  # width of a tick's letter, in user units
TICK_WIDTH, TICK_HEIGHT = 58.0, 34.0  # room that a tick asks for
HEIGHTS = {1: 270.0, 2: 230.0, 3: 190.0}  # of a panel's plot, by how many stand side by side
AIR = 0.05  # beside the outermost points, of their span
STRIP_ROOM = 36.0  # below a raster, for what its colours mean


def plot(drawn: Picture, words: Words, identity: str) -> Html:
    """The picture for wide and for narrow screens.

    Args:
        drawn: What to draw.
        words: In which language.
        identity: Tells it from the other pictures of its page.
    """
    summary = words.say(drawn.summary)
    return for_all_screens(lambda size: _draw(drawn, summary, size, words, f"{identity}-{size.name}"))


@dataclass(frozen=True)
class _Row:
    """What panels side by side have in common, so that their plots stand on one line.

    Attributes:
        panels: In reading order, with the place of each in the picture.
        top: Upper edge.
        width: Of a panel.
        height: Of a plot without its lanes.
        title_lines: Lines that the longest title takes.
        has_zero: Whether one of them shows an exact zero below its plot.
        has_broken: Whether one of them shows NaN or Inf.
        has_strip: Whether one of them shows a raster.
    """

    panels: tuple[tuple[int, Panel], ...]
    top: float
    width: float
    height: float
    title_lines: int
    has_zero: bool
    has_broken: bool
    has_strip: bool

    @property
    def plot_top(self) -> float:
        return self.top + TITLE_LINE * self.title_lines + 22 + (LANE + 4 if self.has_broken else 0)

    @property
    def plot_bottom(self) -> float:
        return self.plot_top + self.height

    @property
    def ticks_y(self) -> float:
        return self.plot_bottom + (LANE + 4 if self.has_zero else 0) + 17

    @property
    def bottom(self) -> float:
        return self.ticks_y + 24 + (STRIP_ROOM if self.has_strip else 0)


def _draw(drawn: Picture, summary: str, size: Size, words: Words, identity: str) -> Html:
    looks = looks_of(drawn, words)
    rows = _rows(drawn, size, words)
    shapes = [hatch(f"{identity}-zero")] if any(map(exact_zeros, drawn.panels)) else []
    for row in rows:
        for column, (index, panel) in enumerate(row.panels):
            left = column * (row.width + GAP)
            shapes.append(_panel(panel, looks[index], row, left, words, f"{identity}-zero"))
    return picture(size, rows[-1].bottom if rows else 1.0, summary, *shapes)


def _rows(drawn: Picture, size: Size, words: Words) -> list[_Row]:
    """The panels in as few rows as leave each of them room: one below the other on narrow screens."""
    count = len(drawn.panels)
    side_by_side = 1 if size.width < 500 else {1: 1, 2: 2, 4: 2}.get(count, 3)
    width = (size.width - GAP * (side_by_side - 1)) / side_by_side
    height = HEIGHTS[side_by_side] if size.width > 500 else HEIGHTS[3]
    rows: list[_Row] = []
    for start in range(0, count, side_by_side):
        panels = tuple(enumerate(drawn.panels))[start : start + side_by_side]
        rows.append(
            _Row(
                panels=panels,
                top=rows[-1].bottom + 16 if rows else 4.0,
                width=width,
                height=height,
                title_lines=max(len(_title(panel, width, words)) for _, panel in panels),
                has_zero=any(has_y_zeros(panel) for _, panel in panels),
                has_broken=any(broken_places(panel) for _, panel in panels),
                has_strip=any(panel.raster for _, panel in panels),
            )
        )
    return rows


def _title(panel: Panel, width: float, words: Words) -> list[str]:
    return wrap(words.say(panel.title), int(width / TITLE_LETTER), most=2)


def _panel(panel: Panel, looks: Looks, row: _Row, left: float, words: Words, hatching: str) -> Html:
    right = left + row.width - RIGHT_ROOM
    y = _y_scale(panel, row)
    y_ticks = y.ticks(max(int(row.height / TICK_HEIGHT), 2))
    plot_left = left + _label_room(y_ticks, row) + (LANE + 4 if has_x_zeros(panel) else 0)
    x = _x_scale(panel, plot_left, right)
    curves = sorted(panel.curves, key=lambda curve: not curve.is_reference)
    return join(
        *_heads(panel, row, left, words),
        draw_raster(panel.raster, x, y, words) if panel.raster else None,
        *_grid(y_ticks, x, y, labels_x(panel, x), behind=panel.raster is None),
        *_x_axis(panel, x, y, row, words),
        draw_lanes(panel, looks, x, y, row.ticks_y, f"url(#{hatching})", words),
        *[_curve(curve, looks, x, y, panel.raster is not None, words) for curve in curves],
        colour_strip(panel.raster, plot_left, row.ticks_y + 24, right - plot_left, words) if panel.raster else None,
    )


def _curve(curve: Curve, looks: Looks, x: PlotScale, y: PlotScale, on_raster: bool, words: Words) -> Html:
    name = words.say(curve.name)
    return el("g", title(name), draw_curve(curve, looks[name], x, y), class_="on-raster" if on_raster else None)


def _heads(panel: Panel, row: _Row, left: float, words: Words) -> Iterator[Html]:
    lines = _title(panel, row.width, words)
    for index, text in enumerate(lines):
        yield label(left, row.top + 12 + TITLE_LINE * (row.title_lines - len(lines) + index), text, "row strong")
    yield label(left, row.top + 12 + TITLE_LINE * row.title_lines, words.say(panel.y.title), "side")


def _y_scale(panel: Panel, row: _Row) -> PlotScale:
    values = [value for curve in panel.curves for value in (*curve.y, *curve.low, *curve.high)]
    if not is_log(panel.y) and any(curve.style == "bars" for curve in panel.curves):
        values.append(0.0)
    low, high = plot_range(panel.y, [*values, *(panel.raster.y if panel.raster else ())], 0.0 if panel.raster else AIR)
    if panel.raster is None and not is_log(panel.y) and panel.y.low is None and _lowest(values) == 0.0:
        low = 0.0  # bars and shares stand on their axis
    zero = row.plot_bottom + 4 + LANE / 2 if is_log(panel.y) else None
    return PlotScale(low, high, row.plot_bottom, row.plot_top, is_log(panel.y), zero)


def _lowest(values: list[float]) -> float | None:
    return min(filter(is_drawable, values), default=None)


def _x_scale(panel: Panel, left: float, right: float) -> PlotScale:
    values = [value for curve in panel.curves for value in curve.x]
    for curve in panel.curves:
        if curve.style == "bars":
            values += [edge for edges in bar_edges(curve.x) for edge in edges]
    has_air = panel.raster is None and any(curve.style == "points" for curve in panel.curves)
    low, high = plot_range(panel.x, [*values, *(panel.raster.x if panel.raster else ())], AIR if has_air else 0.0)
    zero = left - 4 - LANE / 2 if is_log(panel.x) else None
    return PlotScale(low, high, left, right, is_log(panel.x), zero)


def _label_room(ticks: list[Tick], row: _Row) -> float:
    least = 3 if row.has_broken else 1
    return LETTER * max([least, *(tick.cells for tick in ticks)]) + 14


def _grid(y_ticks: list[Tick], x: PlotScale, y: PlotScale, labels_end: float, behind: bool) -> Iterator[Html]:
    for tick in y_ticks:
        if behind:
            yield line((x.start, y(tick.value)), (x.end, y(tick.value)), "grid")
        yield tick.draw(labels_end, y(tick.value) + 4, "end")
    if not y.is_log and y.low < 0 < y.high and behind:
        yield line((x.start, y(0.0)), (x.end, y(0.0)), "plot-base")
    yield line((x.start, y.start), (x.end, y.start), "plot-base")


def _x_axis(panel: Panel, x: PlotScale, y: PlotScale, row: _Row, words: Words) -> Iterator[Html]:
    whole = panel.raster is None and all(
        value == round(value) for curve in panel.curves for value in curve.x if is_drawable(value)
    )
    most = max(int((x.end - x.start) / TICK_WIDTH), 2)
    ticks = x.ticks(most, whole)
    while most > 1 and sum(tick.cells * LETTER + 10 for tick in ticks) > x.end - x.start:
        most -= 1
        ticks = x.ticks(most, whole)
    for tick in ticks:
        yield line((x(tick.value), y.start), (x(tick.value), y.start + 4), "plot-base")
        yield tick.draw(x(tick.value), row.ticks_y, "middle")
    yield label((x.start + x.end) / 2, row.ticks_y + 17, words.say(panel.x.title), "side", "middle")
