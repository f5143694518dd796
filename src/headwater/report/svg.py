"""The few shapes our pictures are drawn from, in user units; colours come from the page's style sheet by class."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from headwater.report.markup import Html, compact, el, join

Point = tuple[float, float]


@dataclass(frozen=True)
class Size:
    """A picture is drawn once for wide and once for narrow screens, so that its letters are legible on both.

    Attributes:
        name: Class under which the style sheet shows one and hides the other.
        width: In user units, which are pixels where the picture fills its column.
    """

    name: str
    width: int


WIDE = Size("wide", 860)
NARROW = Size("narrow", 340)


def for_all_screens(draw: Callable[[Size], Html]) -> Html:
    """The picture for wide screens and that for narrow ones."""
    return join(draw(WIDE), draw(NARROW))


def picture(size: Size, height: float, summary: str, *children: Html) -> Html:
    """An image with a sentence for those who do not see it."""
    box = f"0 0 {size.width} {compact(height)}"
    return el(
        "svg",
        *children,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=box,
        role="img",
        aria_label=summary,
        class_=size.name,
    )


def line(start: Point, end: Point, class_: str) -> Html:
    return el("line", x1=float(start[0]), y1=float(start[1]), x2=float(end[0]), y2=float(end[1]), class_=class_)


def rect(
    x: float, y: float, width: float, height: float, class_: str, *children: Html, fill: str | None = None
) -> Html:
    return el(
        "rect",
        *children,
        x=float(x),
        y=float(y),
        width=float(max(width, 0)),
        height=float(max(height, 0)),
        class_=class_,
        fill=fill,
    )


def polyline(points: Iterable[Point], class_: str) -> Html:
    """An open line; nothing for fewer than two points."""
    steps = [f"{compact(x)},{compact(y)}" for x, y in points]
    return el("polyline", points=" ".join(steps), class_=class_) if len(steps) > 1 else Html("")


def dot(x: float, y: float, radius: float, class_: str, *children: Html) -> Html:
    return el("circle", *children, cx=float(x), cy=float(y), r=float(radius), class_=class_)


def diamond(x: float, y: float, radius: float, class_: str) -> Html:
    corners = [(x - radius, y), (x, y - radius), (x + radius, y), (x, y + radius)]
    return el("polygon", points=" ".join(f"{compact(a)},{compact(b)}" for a, b in corners), class_=class_)


def cross(x: float, y: float, radius: float, class_: str) -> Html:
    x1, x2, y1, y2 = (compact(value) for value in (x - radius, x + radius, y - radius, y + radius))
    return el("path", d=f"M{x1} {y1}L{x2} {y2}M{x1} {y2}L{x2} {y1}", class_=class_)


def label(x: float, y: float, text: str, class_: str = "tick", anchor: str = "start") -> Html:
    return el("text", text, x=float(x), y=float(y), text_anchor=anchor, class_=class_)


def power_of_ten(x: float, y: float, exponent: int, anchor: str = "end") -> Html:
    """An axis label such as 10⁻²⁶, set with a raised small exponent: not every font has good ones."""
    raised = el("tspan", str(exponent).replace("-", "−"), dy=-4, class_="raised")
    return el("text", "10", raised, x=float(x), y=float(y), text_anchor=anchor, class_="tick")


def title(text: str) -> Html:
    """What a pointer that rests on the element is told."""
    return el("title", Html("\n".join(join(line) for line in text.split("\n"))))


def hatch(identity: str) -> Html:
    """A pattern of slanted lines, to be used as ``fill="url(#identity)"``."""
    stripe = el("path", d="M-1 7L7 -1M-1 1L1 -1M5 7L7 5", class_="hatch-line")
    ground = el("rect", width=6, height=6, class_="hatch-ground")
    return el("defs", el("pattern", ground, stripe, id=identity, width=6, height=6, patternUnits="userSpaceOnUse"))


def runs(indices: Sequence[int]) -> list[tuple[int, int]]:
    """Rising indices as stretches without a hole, both ends included: ``[1, 2, 3, 7]`` is ``[(1, 3), (7, 7)]``."""
    stretches: list[tuple[int, int]] = []
    for index in indices:
        if stretches and stretches[-1][1] == index - 1:
            stretches[-1] = (stretches[-1][0], index)
        else:
            stretches.append((index, index))
    return stretches


def linear_ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers between ``low`` and ``high``, about ``most`` of them."""
    if not high > low:
        return [low]
    rough = (high - low) / max(most, 1)
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    return [(first + index) * step for index in range(min(count, 4 * most + 4))]


def decade_ticks(low: float, high: float, most: int) -> list[int]:
    """Whole decades between ``low`` and ``high``, at most about ``most`` of them."""
    steps = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
    step = next((step for step in steps if (high - low) / step <= most), steps[-1])
    return list(range(math.ceil(low / step) * step, math.floor(high) + 1, step))
