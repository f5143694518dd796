"""The picture of a small network: boxes for units, lines for weights, numbers forward and backward."""

from dataclasses import dataclass

from headwater.records import Derivation, Stage, WeightGradient
from headwater.report.markup import Html, join
from headwater.report.svg import Point, Size, for_all_screens, label, line, picture, rect, title
from headwater.report.trace import sentences
from headwater.report.trace.symbols import lowered, precise, stage_symbols, upper_symbol
from headwater.report.words import Words

ROOM = {"wide": 128.0, "narrow": 90.0}  # from one unit of a row to the next
CLOSE = 78.0  # the same where the lines carry no numbers
BOX = {"wide": (136.0, 62.0), "narrow": (82.0, 66.0)}
EDGE_ROOM = 84.0  # between two rows of boxes, for numbers on the lines
MOST_UNITS = 6  # of a row that is drawn with numbers
THICKEST = 5.0
PLACES = (0.3, 0.22, 0.38, 0.46, 0.54, 0.62, 0.7, 0.78)  # of numbers along a line, from its start
LABEL = (62.0, 30.0)  # room that the numbers of one line take


@dataclass(frozen=True)
class Unit:
    """One box.

    Attributes:
        name: Such as a₂.
        value: What it holds, in one line.
        error: The error that has come back to it.
        told: To a resting pointer.
    """

    name: str
    value: str
    error: str
    told: str


@dataclass(frozen=True)
class Column:
    """The units between two affine maps: the input, or p with a = φ(p) where an activation follows.

    Attributes:
        units: From the top.
        weights: The lines that lead to them.
    """

    units: list[Unit]
    weights: list[WeightGradient]


def is_drawable(trace: Derivation) -> bool:
    """Whether there are few enough units to be seen."""
    return bool(trace.stages) and max(len(stage.values) for stage in trace.stages) <= 16


def network_picture(trace: Derivation, words: Words) -> Html:
    """The picture, input at the left."""
    columns = columns_of(trace)
    summary = sentences.picture_summary(trace, words)
    return for_all_screens(lambda size: _draw(columns, summary, size))


def columns_of(trace: Derivation) -> list[Column]:
    """The boxes of the picture."""
    upper = upper_symbol(trace)
    weights: dict[tuple[str, int], list[WeightGradient]] = {}
    for weight in trace.weights:
        if len(weight.index) == 2:
            weights.setdefault((weight.parameter, weight.use), []).append(weight)
    columns: list[Column] = []
    pairs = list(zip(trace.stages, stage_symbols(trace.stages), strict=True))
    place = 0
    own = iter(weights.values())
    while place < len(pairs):
        stage, symbol = pairs[place]
        bend = pairs[place + 1] if place + 1 < len(pairs) and pairs[place + 1][0].kind == "activation" else None
        if stage.kind == "affine":
            columns.append(Column(_units(stage, symbol, bend, upper), next(own, [])))
            place += 2 if bend else 1
        else:
            columns.append(Column(_units(stage, symbol, None, upper), []))
            place += 1
    return columns


def _units(stage: Stage, symbol: str, bend: tuple[Stage, str] | None, upper: str) -> list[Unit]:
    units = []
    for index, value in enumerate(stage.values):
        number = lowered(index + 1) if len(stage.values) > 1 else ""
        shown, told = precise(value), f"{symbol} = {value!r}\n∂{upper}/∂{symbol} = {stage.gradients[index]!r}"
        name = symbol
        if bend is not None:
            after = bend[0]
            shown = f"{shown} → {precise(after.values[index])}"
            name = f"{symbol} → {bend[1]}"
            told += f"\n{bend[1]} = {after.values[index]!r}\nφ′ = {after.slopes[index]!r}"
        suffix = f" ({index + 1})" if number else ""
        units.append(Unit(name + suffix, shown, precise(stage.gradients[index]), told))
    return units


def _draw(columns: list[Column], summary: str, size: Size) -> Html:
    width, height = BOX[size.name]
    width = min(width, (size.width - 8) / len(columns) * 0.72)
    gap = (size.width - 8 - width) / max(len(columns) - 1, 1)
    tallest = max(len(column.units) for column in columns)
    numbered = size.name == "wide" and gap - width >= EDGE_ROOM and tallest <= MOST_UNITS
    room = ROOM[size.name] if numbered else CLOSE
    total = (tallest - 1) * room + height + 24
    largest = max((abs(w.value) for c in columns for w in c.weights), default=1.0) or 1.0

    def centre(column: int, unit: int) -> Point:
        count = len(columns[column].units)
        return 4 + width / 2 + column * gap, 12 + height / 2 + ((tallest - count) / 2 + unit) * room

    lines, texts, boxes = [], [], []
    taken: list[Point] = []
    for place, column in enumerate(columns):
        for weight in column.weights:
            row, source = weight.index
            start, end = centre(place - 1, source), centre(place, row)
            start, end = (start[0] + width / 2, start[1]), (end[0] - width / 2, end[1])
            lines.append(_edge(weight, start, end, largest))
            if numbered:
                place_of_numbers = _free_place(start, end, taken)
                taken.append(place_of_numbers)
                texts.append(_numbers(weight, place_of_numbers))
        boxes += [
            _box(unit, *centre(place, index), width, height, place == len(columns) - 1, size)
            for index, unit in enumerate(column.units)
        ]
    return picture(size, total, summary, join(*lines), join(*texts), join(*boxes))


def _edge(weight: WeightGradient, start: Point, end: Point, largest: float) -> Html:
    """As thick as the weight is large; dashed where it is negative."""
    thickness = 1.0 + (THICKEST - 1.0) * min(abs(weight.value) / largest, 1.0)
    drawn = line(start, end, f"edge{' negative' if weight.value < 0 else ''}")
    return Html(drawn.replace("<line ", f'<line stroke-width="{thickness:.1f}" ', 1))


def _free_place(start: Point, end: Point, taken: list[Point]) -> Point:
    """Where on a line its numbers cover no others; near its start if they can, where lines that cross have parted."""
    places = [(start[0] + s * (end[0] - start[0]), start[1] + s * (end[1] - start[1])) for s in PLACES]
    free = (p for p in places if all(abs(p[0] - x) > LABEL[0] or abs(p[1] - y) > LABEL[1] for x, y in taken))
    return next(free, places[0])


def _numbers(weight: WeightGradient, place: Point) -> Html:
    """The weight and its gradient."""
    x, y = place
    return join(
        label(x, y - 3, precise(weight.value), "edge-value", "middle"),
        label(x, y + 11, precise(weight.gradient), "edge-gradient", "middle"),
    )


def _box(unit: Unit, x: float, y: float, width: float, height: float, output: bool, size: Size) -> Html:
    tight = size.name == "narrow" or width < 116
    small = " narrow-text" if tight else ""
    # Where p → a finds no room on one line, a stands below p.
    shown = unit.value.replace(" → ", "\n→ ").split("\n") if tight else [unit.value]
    first = y + 6 - 6.5 * (len(shown) - 1)
    values = [label(x, first + 13 * row, text, f"unit-value{small}", "middle") for row, text in enumerate(shown)]
    return join(
        rect(x - width / 2, y - height / 2, width, height, "unit output" if output else "unit", title(unit.told)),
        label(x, y - height / 2 + 14, unit.name, f"unit-name{small}", "middle"),
        *values,
        label(x, y + height / 2 - 7, unit.error, f"unit-error{small}", "middle"),
    )
