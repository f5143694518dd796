"""Columns of a trace in a terminal: numbers that stand under each other, and bars on a log axis."""

import math
from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from headwater.report.lines import fit, padded, wrap
from headwater.report.words import Words

INDENT = 2
MOST_ROWS = 40  # the middle of a longer table is left out, visibly
BAR_CELLS = 14
LEAST_BAR = 4  # cells; shorter ones tell nothing
LEAST_DECADES = 4.0  # that the bars span: small differences should look small
_BARS = ("█", "▏", "⊘")
Row = list[str]


def paragraph(content: str, width: int, indent: int = INDENT, hanging: int = 0) -> list[Text]:
    """``content`` on as many lines as it takes, those after the first set in by ``hanging`` more."""
    parts = wrap(content, width - indent - hanging, 12)
    return [Text(" " * (indent + (hanging if place else 0)) + part) for place, part in enumerate(parts)]


def packed(parts: list[str], width: int, indent: int = INDENT, hanging: int = 0) -> list[Text]:
    """``parts`` with dots between, broken between two of them where the line ends."""
    lines = [""]
    for part in parts:
        joined = f"{lines[-1]} · {part}" if lines[-1] else part
        if lines[-1] and cell_len(joined) > width - indent - hanging:
            lines.append(part)
        else:
            lines[-1] = joined
    first = paragraph(lines[0], width, indent, hanging)
    return [*first, *(line for rest in lines[1:] for line in paragraph(rest, width, indent + hanging))]


def dimmed(lines: list[Text]) -> list[Text]:
    """The same lines, said more quietly."""
    return [Text(line.plain, "dim") for line in lines]


def middle_out(body: list[Row], words: Words) -> list[Row]:
    """The first and the last rows of a long table, and how many lie between."""
    if len(body) <= MOST_ROWS:
        return body
    half = MOST_ROWS // 2
    rest = len(body) - 2 * half
    return [*body[:half], [words("trace.more_rows", count=rest)], *body[-half:]]


def aligned(head: Row, body: list[Row], width: int, text_columns: int = 0, spare: tuple[int, ...] = ()) -> list[Text]:
    """Columns that stand under each other: text to the left, numbers to the right, bars in the room that is left.

    Args:
        head: One word for each column.
        body: Rows; one of a single cell runs across all columns.
        width: Of the terminal.
        text_columns: How many of the first hold text.
        spare: Columns that are left out where there is no room, the first first.
    """
    if not body:
        return []
    rows = [head, *(row for row in body if len(row) == len(head))]
    kept = list(range(len(head)))
    for column in spare:
        if INDENT + sum(_widest(rows, other) + 2 for other in kept if head[other]) - 2 > width:
            kept.remove(column)
    widths = {column: _widest(rows, column) for column in kept}
    if not head[-1]:  # bars
        room = width - INDENT - sum(widths[column] + 2 for column in kept[:-1])
        widths[kept[-1]] = min(widths[kept[-1]], room) if room >= LEAST_BAR else 0

    def line(row: Row, style: str = "") -> Text:
        if len(row) != len(head):
            return fit(Text("  " + row[0], "dim"), width)
        cells = [_cell(row[i], widths[i], i < text_columns) for i in kept]
        return fit(Text(("  " + "  ".join(cells)).rstrip(), style), width)

    return [line(head, "dim"), *map(line, body)]


def _widest(rows: list[Row], column: int) -> int:
    return max(cell_len(row[column]) for row in rows)


def _cell(text: str, cells: int, is_text: bool) -> str:
    """A bar is shortened with all the others, text and numbers are not."""
    if text.startswith(_BARS):
        return text if len(text) == 1 and cells else text[: round(len(text) * cells / BAR_CELLS)]
    return padded(text, cells) if is_text else to_the_right(text, cells)


def to_the_right(text: str, cells: int) -> str:
    """``text`` with blanks before it up to ``cells``; Korean letters take two each."""
    return " " * (cells - cell_len(text)) + text


def bar(level: float, levels: Sequence[float], cells: int = BAR_CELLS) -> str:
    """A bar on a log axis; zero is no short bar but a sign of its own.

    Args:
        level: log₁₀ of what it shows.
        levels: Those of all bars.
        cells: Of the longest.
    """
    if level == -math.inf:
        return "⊘"
    finite = [one for one in levels if math.isfinite(one)]
    high = max(finite)
    low = min([*finite, high - LEAST_DECADES])
    return "█" * round((level - low) / (high - low) * cells) or "▏"
