"""What curves of a plot are drawn with: lines, markers, bars and intervals, told apart by more than their colour."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from headwater.records.picture import Curve
from headwater.report.charts.plot_scale import PlotScale, is_drawable
from headwater.report.markup import Html, compact, el, join
from headwater.report.svg import Point, line, polyline

COLOURS = 6
DASHES = 4
# Paths around (0, 0) with a radius of about 3.4: of equal weight to the eye, and told apart without colour.
MARKERS = (
    "m-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0-6.4 0z",
    "m0-4.3l4.3 4.3l-4.3 4.3l-4.3-4.3z",
    "m-2.9-2.9h5.8v5.8h-5.8z",
    "m0-4.2l4 7h-8z",
    "m0 4.2l4-7h-8z",
)
MARKER_GAP = 46.0  # between markers of a line with many points
MARKER_ROOM = 16.0  # where points are as far apart as this, each has its marker
MARKER_SHIFT = 13.0  # lines beside each other have their markers at different places
MOST_POINTS = 260  # of a line; more is finer than a screen
MOST_WHISKERS = 24  # of a line; more are drawn as a band
MOST_BOXES = 24  # more bars are drawn as one skyline


@dataclass(frozen=True)
class Look:
    """What tells a curve from the others of its picture.

    Attributes:
        number: In the order of the key, measurements and references counted by themselves.
        is_reference: Whether it is dashed grey without markers.
    """

    number: int
    is_reference: bool = False

    @property
    def style(self) -> str:
        if self.is_reference:
            return f"reference dash-{1 + self.number % (DASHES - 1)}"
        return f"tone-{self.number % COLOURS} dash-{self.number % DASHES}"

    @property
    def marker(self) -> str:
        return MARKERS[self.number % len(MARKERS)]


def swatch(curve: Curve, look: Look) -> Html:
    """The curve's sign in a key."""
    if curve.style == "bars":
        shape = el("path", d="M3 11V3h6v-2h6v4h6v6z", class_=f"plot-bars {look.style}")
    else:
        drawn = el("path", d="M0 6h24", class_=f"plot-line {look.style}") if curve.style == "line" else None
        shape = join(drawn, None if look.is_reference else _markers([(12.0, 6.0)], look, "plot-mark"))
    return el("svg", shape, xmlns="http://www.w3.org/2000/svg", viewBox="0 0 24 12", aria_hidden="true")


def draw_curve(curve: Curve, look: Look, x: PlotScale, y: PlotScale) -> Html:
    """The curve with its intervals; what has no place between the axes is left to the lanes."""
    if curve.style == "bars":
        return join(_bars(curve, look, x, y), _whiskers(curve, look, x, y))
    if curve.style == "points":
        inside = [(x(a), y(b)) for a, b in _points(curve) if x.holds(a) and y.holds(b)]
        return join(_whiskers(curve, look, x, y), _markers(inside, look, "plot-mark"))
    few = sum(1 for _ in _points(curve)) <= MOST_WHISKERS
    return join(_whiskers(curve, look, x, y) if few else _band(curve, look, x, y), _line(curve, look, x, y))


def hollow(places: Sequence[Point], look: Look) -> Html:
    """Markers of exact zeros, in the lane below; as many as find room."""
    return _markers(spread(places, look), look, "plot-zero")


def _points(curve: Curve) -> Iterator[Point]:
    return ((a, b) for a, b in zip(curve.x, curve.y, strict=True) if is_drawable(a) and is_drawable(b))


def _markers(places: Sequence[Point], look: Look, class_: str) -> Html:
    if not places:
        return Html("")
    d = "".join(f"M{compact(a)} {compact(b)}{look.marker}" for a, b in places)
    return el("path", d=d, class_=f"{class_} {look.style}")


def _line(curve: Curve, look: Look, x: PlotScale, y: PlotScale) -> Html:
    """Stretches without a hole; a point between two holes keeps its marker."""
    shapes: list[Html] = []
    marked: list[Point] = []
    for stretch in _stretches(curve):
        for piece in _clipped(_thinned(stretch), x, y):
            shapes.append(polyline(piece, f"plot-line {look.style}"))
        places = [(x(a), y(b)) for a, b in stretch if x.holds(a) and y.holds(b)]
        marked += spread(places, look)
    return join(*shapes, None if look.is_reference and any(shapes) else _markers(marked, look, "plot-mark"))


def _stretches(curve: Curve) -> list[list[Point]]:
    stretches: list[list[Point]] = [[]]
    for a, b in zip(curve.x, curve.y, strict=True):
        if is_drawable(a) and is_drawable(b):
            stretches[-1].append((a, b))
        elif stretches[-1]:
            stretches.append([])
    return [stretch for stretch in stretches if stretch] or [[]]


def _thinned(points: list[Point]) -> list[Point]:
    """At most about :data:`MOST_POINTS`: of each bucket the lowest and the highest, so that no spike is lost."""
    size = math.ceil(2 * len(points) / MOST_POINTS)
    if size <= 2:
        return points
    kept = {0, len(points) - 1}
    for start in range(0, len(points), size):
        bucket = range(start, min(start + size, len(points)))
        kept |= {min(bucket, key=lambda i: points[i][1]), max(bucket, key=lambda i: points[i][1])}
    return [points[i] for i in sorted(kept)]


def _clipped(points: list[Point], x: PlotScale, y: PlotScale) -> list[list[Point]]:
    """The parts of a line that lie between the axes, as places."""
    pieces: list[list[Point]] = [[]]
    for start, end in pairwise(points):
        segment = _clip(start, end, x, y)
        if segment is None:
            continue
        first, last = ((x(a), y(b)) for a, b in segment)
        if pieces[-1] and pieces[-1][-1] != first:
            pieces.append([])
        if not pieces[-1]:
            pieces[-1].append(first)
        pieces[-1].append(last)
    return pieces


def _clip(start: Point, end: Point, x: PlotScale, y: PlotScale) -> tuple[Point, Point] | None:
    """The part of a segment inside a rectangle.

    Source:
        Liang and Barsky 1984, "A new concept and method for line clipping".
    """
    enters, leaves = 0.0, 1.0
    for axis, scale in enumerate((x, y)):
        step = end[axis] - start[axis]
        for bound, sign in ((scale.low, 1.0), (scale.high, -1.0)):
            distance = sign * (bound - start[axis])
            if step == 0:
                if distance > 0:
                    return None
            elif sign * step > 0:
                enters = max(enters, distance / (sign * step))
            else:
                leaves = min(leaves, distance / (sign * step))
    if enters > leaves:
        return None

    def at(share: float) -> Point:
        if share in (0.0, 1.0):
            return end if share else start
        return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])

    return at(enters), at(leaves)


def spread(places: Sequence[Point], look: Look) -> Sequence[Point]:
    """Which points of a line carry a marker: all, or some where they are close to each other."""
    if len(places) < 2 or abs(places[-1][0] - places[0][0]) / (len(places) - 1) >= MARKER_ROOM:
        return places
    before, room = places[0], (MARKER_SHIFT * look.number) % MARKER_GAP
    chosen = []
    for place in places:
        if math.dist(place, before) >= room:
            chosen.append(place)
            before, room = place, MARKER_GAP
    return chosen or places[:1]


def _intervals(curve: Curve) -> Iterator[tuple[float, float, float]]:
    """(x, low, high) where all three are numbers; the ends of a log axis stand for what lies beyond."""
    for a, low, high in zip(curve.x, curve.low, curve.high, strict=False):
        if is_drawable(a) and not (math.isnan(low) or math.isnan(high)):
            yield a, low, high


def _whiskers(curve: Curve, look: Look, x: PlotScale, y: PlotScale) -> Html:
    shapes = []
    for a, low, high in _intervals(curve):
        if x.holds(a):
            place, bottom, top = x(a), y.clamped(low), y.clamped(high)
            shapes.append(line((place, bottom), (place, top), f"plot-whisker {look.style}"))
            shapes += [
                line((place - 3.5, end), (place + 3.5, end), f"plot-whisker {look.style}") for end in (bottom, top)
            ]
    return join(*shapes)


def _band(curve: Curve, look: Look, x: PlotScale, y: PlotScale) -> Html:
    inside = [(x(a), y.clamped(low), y.clamped(high)) for a, low, high in _intervals(curve) if x.holds(a)]
    if len(inside) < 2:
        return Html("")
    around = [(a, high) for a, _, high in inside] + [(a, low) for a, low, _ in reversed(inside)]
    corners = " ".join(f"{compact(a)},{compact(b)}" for a, b in around)
    return el("polygon", points=corners, class_=f"plot-band {look.style}")


def _bars(curve: Curve, look: Look, x: PlotScale, y: PlotScale) -> Html:
    """Bars that touch: each with its own outline, or a skyline where they are many."""
    base = y.clamped(-math.inf if y.is_log else 0.0)
    boxes = [
        (x.clamped(left), x.clamped(right), y.clamped(height))
        for (left, right), height in zip(bar_edges(curve.x), curve.y, strict=True)
        if is_drawable(height) and right >= x.low and left <= x.high
    ]
    if not boxes:
        return Html("")
    if len(boxes) <= MOST_BOXES:
        d = "".join(
            f"M{compact(left)} {compact(base)}V{compact(top)}H{compact(right)}V{compact(base)}z"
            for left, right, top in boxes
        )
    else:
        d = f"M{compact(boxes[0][0])} {compact(base)}"
        d += "".join(f"V{compact(top)}H{compact(right)}" for _, right, top in boxes) + f"V{compact(base)}z"
    return el("path", d=d, class_=f"plot-bars {look.style}")


def bar_edges(middles: Sequence[float]) -> list[tuple[float, float]]:
    """Where bars around ``middles`` begin and end, so that neighbours touch."""
    if len(middles) < 2:
        return [(middle - 0.5, middle + 0.5) for middle in middles]
    inner = [(a + b) / 2 for a, b in pairwise(middles)]
    edges = [2 * middles[0] - inner[0], *inner, 2 * middles[-1] - inner[-1]]
    return list(pairwise(edges))
