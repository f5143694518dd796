"""The waterfall: the gradient's decades from the last site to the first, bar by bar, coloured by what took them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from headwater.records import Flow, Waterfall, WaterfallBar
from headwater.report.charts.layers import LayerFrame, decade_range
from headwater.report.markup import Html, join
from headwater.report.numbers import decades, number_from_log10
from headwater.report.svg import Size, for_all_screens, label, line, picture, polyline, rect, title
from headwater.report.words import Words

PLOT_HEIGHT = {"wide": 250, "narrow": 210}
COLUMN_ROOM = {"wide": 30.0, "narrow": 22.0}  # narrower columns are drawn together
CATEGORIES = ("activation", "weights", "alignment", "normalization", "pooling", "shortcut")


@dataclass(frozen=True)
class _Drop:
    """One drawn bar: what a category took in a column, and where the gradient stood before and after."""

    column: int
    slot: int
    slots: int
    category: str
    told: str
    before: float
    after: float


def category_class(category: str) -> str:
    """The style of a category; one we do not know looks like ``other``."""
    return f"cat-{category}" if category in CATEGORIES else "cat-other"


def is_drawable(waterfall: Waterfall) -> bool:
    """Whether every number of it has a place on an axis."""
    levels = [waterfall.log10_first, waterfall.log10_last, *(bar.decades for bar in waterfall.bars)]
    return all(map(math.isfinite, levels)) and bool(waterfall.bars)


def group_size(sites: int, size: Size) -> int:
    """How many neighbouring sites share one column."""
    frame = LayerFrame(size, sites, 0, 1, 0, 1)
    needed = max(math.ceil(COLUMN_ROOM[size.name] / frame.column), 1)
    return needed if needed == 1 else needed + needed % 2  # even: affine maps and activations mostly alternate


def waterfall_picture(waterfall: Waterfall, flow: Flow, words: Words) -> Html:
    """The picture, its columns those of the flow's picture: layers left to right, the gradient right to left."""
    summary = words(
        "report.waterfall_summary",
        last=words.site(waterfall.last),
        first=words.site(waterfall.first),
        log10_last=number_from_log10(waterfall.log10_last),
        log10_first=number_from_log10(waterfall.log10_first),
        parts=", ".join(_part(name, value, words) for name, value in waterfall.totals.items()),
    )
    return for_all_screens(lambda size: _draw(waterfall, flow, summary, size, words))


def _part(category: str, value: float, words: Words) -> str:
    return words("report.waterfall_part", category=words.category(category), decades=decades(value))


def _draw(waterfall: Waterfall, flow: Flow, summary: str, size: Size, words: Words) -> Html:
    names = [row.site.name for row in flow.sites] or [waterfall.first]
    drops = list(_drops(waterfall, names, group_size(len(names), size), words))
    levels = [level for drop in drops for level in (drop.before, drop.after)]
    low, high = decade_range(levels)
    frame = LayerFrame(size, len(names), 14, PLOT_HEIGHT[size.name], low, high)
    grouped = group_size(len(names), size)
    return picture(
        size,
        frame.bottom + 46,
        summary,
        frame.grid(),
        _distance(waterfall, drops, frame, grouped, words),
        *_bars(drops, frame, grouped),
        _ends(waterfall, drops, frame, grouped),
        frame.site_axis(names, frame.bottom + 18, words),
    )


def _drops(waterfall: Waterfall, names: list[str], grouped: int, words: Words) -> Iterator[_Drop]:
    """Bars on the gradient's way, those of a shared column summed by category; their decades still sum to the total."""
    level = waterfall.log10_last
    for column, bars in _columns(waterfall, names, grouped):
        parts = (
            [(bar.category, bar.decades, _told(bar, words)) for bar in bars] if grouped == 1 else _summed(bars, words)
        )
        for slot, (category, value, told) in enumerate(parts):
            yield _Drop(column, slot, len(parts), category, told, level, level + value)
            level += value


def _columns(waterfall: Waterfall, names: list[str], grouped: int) -> list[tuple[int, list[WaterfallBar]]]:
    """Neighbouring bars of one column; an operation between sites stands with the site it was reached from."""
    place = {name: index for index, name in enumerate(names)}
    current = place.get(waterfall.last, len(names) - 1)
    columns: list[tuple[int, list[WaterfallBar]]] = []
    for bar in waterfall.bars:
        current = place.get(bar.site, current) if bar.site is not None else current
        column = current // grouped
        if not columns or columns[-1][0] != column:
            columns.append((column, []))
        columns[-1][1].append(bar)
    return columns


def _summed(bars: list[WaterfallBar], words: Words) -> list[tuple[str, float, str]]:
    totals: dict[str, float] = {}
    for bar in bars:
        totals[bar.category] = totals.get(bar.category, 0.0) + bar.decades
    sites = [bar.site for bar in bars if bar.site is not None]
    where = words.where((sites[-1], sites[0])) if len(set(sites)) > 1 else words.where(tuple(sites[:1]))
    return [(name, value, f"{where}\n{_part(name, value, words)}") for name, value in totals.items()]


def _told(bar: WaterfallBar, words: Words) -> str:
    site = words.site(bar.site) if bar.site is not None else "–"
    return f"{site} · {bar.op}\n{_part(bar.category, bar.decades, words)}"


def _bars(drops: list[_Drop], frame: LayerFrame, grouped: int) -> Iterator[Html]:
    """Bars from the right edge of their column to the left, joined by a thin line at the level reached."""
    reached = frame.right
    for drop in drops:
        column = min(frame.column * grouped, frame.right - frame.left - drop.column * frame.column * grouped)
        width = column / drop.slots
        x = frame.left + drop.column * frame.column * grouped + column - (drop.slot + 1) * width
        top, bottom = sorted((frame.y(drop.before), frame.y(drop.after)))
        yield line((reached, frame.y(drop.before)), (x, frame.y(drop.before)), "step")
        inset = min(width * 0.12, 2.0)
        yield rect(
            x + inset,
            top,
            width - 2 * inset,
            max(bottom - top, 1.2),
            f"bar {category_class(drop.category)}",
            title(drop.told),
        )
        reached = x


def _distance(waterfall: Waterfall, drops: list[_Drop], frame: LayerFrame, grouped: int, words: Words) -> Html:
    """The level the gradient set out from, what lies between it and each column's end, and the whole way in decades."""
    start, end = frame.y(waterfall.log10_last), frame.y(waterfall.log10_first)
    reached = {drop.column: drop.after for drop in drops}
    level, shades = waterfall.log10_last, []
    for column in range(max(reached), min(reached) - 1, -1):  # a column off the gradient's way keeps the level it has
        level = reached.get(column, level)
        x = frame.left + column * frame.column * grouped
        width = min(frame.column * grouped, frame.right - x)
        top, bottom = sorted((start, frame.y(level)))
        shades.append(rect(x, top, width, bottom - top, "shade"))
    x = frame.left + drops[-1].column * frame.column * grouped + 10
    arrow = polyline([(x, start), (x, end)], "way") if abs(end - start) > 40 else Html("")
    whole = words("report.waterfall_way", decades=decades(waterfall.decades))
    told = label(x + 8, (start + end) / 2 + 4, whole, "value") if arrow else None
    return join(*shades, line((frame.left, start), (frame.right, start), "floor"), arrow, told)


def _ends(waterfall: Waterfall, drops: list[_Drop], frame: LayerFrame, grouped: int) -> Html:
    """The gradient's number where the way starts, on the right, and where it ends, on the left."""
    start, end = frame.y(waterfall.log10_last), frame.y(waterfall.log10_first)
    gained = waterfall.decades > 0  # then the way rises to the left, and the room is on the other side of it
    last = label(frame.right + 6, start + 5, number_from_log10(waterfall.log10_last), "value")
    x = frame.left + drops[-1].column * frame.column * grouped
    first = label(x + 2, end + (-7 if gained else 18), number_from_log10(waterfall.log10_first), "value")
    return join(last, first)
