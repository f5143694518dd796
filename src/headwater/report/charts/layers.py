"""The frame that the pictures over layers share: sites across, decades up, so that one can be read above the other."""

import math
from dataclasses import dataclass

from headwater.report.markup import Html, join
from headwater.report.names import clean, shorten
from headwater.report.svg import Size, decade_ticks, label, line, power_of_ten
from headwater.report.words import Words

LETTER = 6.4  # width of a tick's letter, in user units
TICK_GAP = 30  # height a tick of the vertical axis asks for


@dataclass(frozen=True)
class LayerFrame:
    """Where a site and a number stand in the picture.

    Attributes:
        size: Of the picture.
        count: Number of sites.
        top: Upper edge of the plot.
        height: Height of the plot.
        low: Decade at the lower edge.
        high: Decade at the upper edge.
    """

    size: Size
    count: int
    top: float
    height: float
    low: float
    high: float

    @property
    def left(self) -> float:
        return 60 if self.size.width > 500 else 44

    @property
    def right(self) -> float:
        return self.size.width - (80 if self.size.width > 500 else 66)  # the last site's number stands beside it

    @property
    def bottom(self) -> float:
        return self.top + self.height

    @property
    def column(self) -> float:
        """Width that one site has."""
        return (self.right - self.left) / max(self.count, 1)

    def x(self, index: float) -> float:
        """Middle of a site's column."""
        return self.left + (index + 0.5) * self.column

    def y(self, log10: float) -> float:
        return self.bottom - (log10 - self.low) / (self.high - self.low) * self.height

    def grid(self) -> Html:
        """Lines and labels of the vertical axis."""
        ticks = decade_ticks(self.low, self.high, max(int(self.height / TICK_GAP), 2))
        lines = [line((self.left, self.y(tick)), (self.right, self.y(tick)), "grid") for tick in ticks]
        labels = [power_of_ten(self.left - 8, self.y(tick) + 4, tick) for tick in ticks]
        return join(*lines, *labels)

    def site_axis(self, names: list[str], y: float, words: Words) -> Html:
        """Names below the plot, as many as find room; and which side is which."""
        cells = 10 if self.size.width > 500 else 8
        longest = max((len(shorten(clean(name), cells)) for name in names), default=1)
        step = max(math.ceil((longest * LETTER + 10) / self.column), 1) if names else 1
        shown = [
            label(self.x(index), y, words.site(names[index], cells), "tick", "middle")
            for index in range(0, len(names), step)
        ]
        sides = [
            label(self.left, y + 18, f"← {words('report.flow_input_side')}", "side"),
            label(self.right, y + 18, f"{words('report.flow_loss_side')} →", "side", "end"),
        ]
        if self.size.width > 500:  # a narrow picture has no room for it, and its caption says as much
            sides.append(label((self.left + self.right) / 2, y + 18, words("report.flow_layer_axis"), "side", "middle"))
        return join(*shown, *sides)


def decade_range(levels: list[float]) -> tuple[float, float]:
    """Whole decades around ``levels``, with a little air and never without height."""
    if not levels:
        return -1.0, 1.0
    air = 0.3 + 0.08 * (max(levels) - min(levels))  # the end's number stands in it
    low, high = math.floor(min(levels) - air), math.ceil(max(levels) + air / 2)
    return float(low), float(max(high, low + 2))
