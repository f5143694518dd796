"""A value for each cell of a rectangle, in colours that rise in lightness, with the strip that says which is which."""

from dataclasses import dataclass

from headwater.i18n import number
from headwater.records.picture import Raster
from headwater.report.charts.plot_scale import PlotScale, is_drawable, tick_texts
from headwater.report.markup import Html, compact, el, join
from headwater.report.svg import label, title
from headwater.report.words import Words

# Ten steps of viridis (van der Walt and Smith 2015): even to the eye, and to those who see fewer colours.
VIRIDIS = (
    (0x44, 0x01, 0x54),
    (0x48, 0x28, 0x78),
    (0x3E, 0x49, 0x89),
    (0x31, 0x68, 0x8E),
    (0x26, 0x82, 0x8E),
    (0x1F, 0x9E, 0x89),
    (0x35, 0xB7, 0x79),
    (0x6E, 0xCE, 0x58),
    (0xB5, 0xDE, 0x2B),
    (0xFD, 0xE7, 0x25),
)
LEVELS = 24
STRIP_HEIGHT = 10.0


@dataclass(frozen=True)
class _Colours:
    """Values to levels of colour."""

    low: float
    high: float

    @staticmethod
    def of(raster: Raster) -> "_Colours":
        known = [value for row in raster.rows for value in row if is_drawable(value)]
        low, high = (min(known), max(known)) if known else (0.0, 1.0)
        return _Colours(low, high)

    def level(self, value: float) -> int | None:
        """Which of :data:`LEVELS`, ``None`` for a value that is not finite."""
        if not is_drawable(value):
            return None
        if self.high <= self.low:
            return LEVELS // 2
        return min(int((value - self.low) / (self.high - self.low) * LEVELS), LEVELS - 1)


def draw_raster(raster: Raster, x: PlotScale, y: PlotScale, words: Words) -> Html:
    """The cells, those of one colour as one path; black where a value is not finite."""
    colours = _Colours.of(raster)
    paths: dict[int | None, list[str]] = {}
    columns = max(map(len, raster.rows), default=0)
    if not columns:
        return Html("")
    for index, row in enumerate(raster.rows):
        bottom, top = (y.clamped(_between(raster.y, at / len(raster.rows))) for at in (index, index + 1))
        for first, last, level in _runs([colours.level(value) for value in row]):
            left, right = (x.clamped(_between(raster.x, at / columns)) for at in (first, last))
            box = f"M{compact(left)} {compact(top)}H{compact(right)}V{compact(bottom)}H{compact(left)}z"
            paths.setdefault(level, []).append(box)
    drawn = [
        el(
            "path",
            d="".join(boxes),
            fill=None if level is None else _hex(level),
            class_="broken" if level is None else None,
        )
        for level, boxes in sorted(paths.items(), key=lambda item: -1 if item[0] is None else item[0])
    ]
    return el("g", title(words.say(raster.name)), *drawn, class_="plot-raster")


def has_holes(raster: Raster) -> bool:
    """Whether one of its values is NaN or Inf."""
    return not all(is_drawable(value) for row in raster.rows for value in row)


def colour_strip(raster: Raster, left: float, y: float, width: float, words: Words) -> Html:
    """What the colours mean: the name, and a strip from the lowest to the highest value."""
    colours = _Colours.of(raster)
    low, high = number(colours.low), number(colours.high)
    if low == high:
        low, high = tick_texts([colours.low, colours.high])
    cell = width / LEVELS
    cells = [
        el("rect", x=left + i * cell, y=y, width=cell + 0.3, height=STRIP_HEIGHT, fill=_hex(i)) for i in range(LEVELS)
    ]
    ends = [label(left, y + STRIP_HEIGHT + 13, low), label(left + width, y + STRIP_HEIGHT + 13, high, anchor="end")]
    name = label(left + width / 2, y + STRIP_HEIGHT + 13, words.say(raster.name), "side", "middle")
    return join(el("g", *cells, class_="plot-raster"), *ends, name)


def _between(ends: tuple[float, float], share: float) -> float:
    return ends[0] + share * (ends[1] - ends[0])


def _runs(levels: list[int | None]) -> list[tuple[int, int, int | None]]:
    """Stretches of equal levels: first cell, the one after the last, the level."""
    stretches: list[tuple[int, int, int | None]] = []
    for index, level in enumerate(levels):
        if stretches and stretches[-1][2] == level:
            stretches[-1] = (stretches[-1][0], index + 1, level)
        else:
            stretches.append((index, index + 1, level))
    return stretches


def _hex(level: int) -> str:
    position = level / (LEVELS - 1) * (len(VIRIDIS) - 1)
    first = min(int(position), len(VIRIDIS) - 2)
    share = position - first
    mixed = (round(a + share * (b - a)) for a, b in zip(VIRIDIS[first], VIRIDIS[first + 1], strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)
