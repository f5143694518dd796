"""Lessons for a terminal: one in full, or all of them as a table."""

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from headwater.i18n import number
from headwater.records.lesson import Check, LessonResult
from headwater.report.lessons import LessonsReport, bounds, interval, leading, named, seconds, status, text
from headwater.report.lines import COLOURS, WIDEST, WIDTH, fit, padded, print_lines, wrap
from headwater.report.names import clean, crop
from headwater.report.words import Words, glyph

INDENT = 2
MOST_IN_FULL = 3  # more lessons are told as a table, unless they were asked for by name
LABELLED = ("claim", "seen", "why", "caveat")
ID_CELLS, NUMBER_CELLS, SECONDS_CELLS = 23, 9, 7


def render(report: LessonsReport, console: Console, words: Words, in_full: bool | None = None) -> None:
    """Print the lessons; see :meth:`LessonsReport.render`."""
    if in_full is None:
        in_full = len(report.results) <= MOST_IN_FULL
    print_lines(lines(report, words, in_full, console.width), console)


def plain(report: LessonsReport, words: Words, in_full: bool) -> str:
    """The lessons as plain text of 80 columns."""
    return "\n".join(line.plain.rstrip() for line in lines(report, words, in_full))


def lines(report: LessonsReport, words: Words, in_full: bool, width: int = WIDTH) -> list[Text]:
    """Each lesson in full, then the table if there are several; or the table and what did not hold."""
    width = min(max(width, 40), WIDEST)
    told = [result for result in report.results if in_full or not result.holds]
    blocks = [_lesson(result, words, width) for result in told]
    table = _table(report, words, width)
    if not in_full:
        blocks.insert(0, table)
    elif len(report.results) > 1:
        blocks.append(table)
    return [line for block in blocks for line in (*block, Text())][:-1]


def listed(lessons: list[tuple[str, str]], width: int = WIDTH) -> list[Text]:
    """Ids and titles, nothing run."""
    cells = max((cell_len(lesson_id) for lesson_id, _ in lessons), default=0)
    return [fit(Text.assemble((padded(name, cells), "bold"), "  ", title), width) for name, title in lessons]


def _lesson(result: LessonResult, words: Words, width: int) -> list[Text]:
    name = status(result.holds)
    head = Text.assemble(
        (f"{glyph(name)} {words(f'lessons.{name}')}", COLOURS[name]), " · ", (named(result, words), "bold")
    )
    told = [(words(f"lessons.{part}"), text(result, part, words)) for part in LABELLED]
    room = max(cell_len(label) for label, _ in told) + 2
    found = [fit(head, width), Text()]
    for label, said in told:
        if said:
            found += _labelled(label, said, room, width)
    facts = [clean(result.id), words("lessons.seconds", seconds=seconds(result))]
    if result.seeds:
        facts.append(words.counted("lessons.seed", len(result.seeds)))
    checks = [line for check in result.checks for line in _check(check, words, width)]
    return [*found, Text(), *checks, Text(), fit(Text("  " + " · ".join(facts), "dim"), width)]


def _labelled(label: str, said: str, room: int, width: int) -> list[Text]:
    """A text beside its label, indented as a block."""
    first, *others = wrap(said, width - INDENT - room)
    indent = " " * (INDENT + room)
    return [Text.assemble(" " * INDENT, (padded(label, room), "dim"), first), *(Text(indent + line) for line in others)]


def _check(check: Check, words: Words, width: int) -> list[Text]:
    """What had to hold, and below it the number, where it had to lie, and its interval."""
    name = status(check.holds)
    first, *others = wrap(words.say(check.what), width - INDENT - 2)
    sign = (f"{glyph(name)} ", COLOURS[name])
    found = [Text.assemble(" " * INDENT, sign, first), *(Text(" " * (INDENT + 2) + line) for line in others)]
    if check.value is None:
        return found
    numbers = [words("lessons.measured_value", value=number(check.value))]
    if check.interval is not None:
        numbers.append(words("lessons.interval_value", interval=interval(check, words)))
    if where := bounds(check, words):
        numbers.append(words("lessons.bounds_value", bounds=where))
    return [*found, fit(Text(" " * (INDENT + 2) + " · ".join(numbers), "dim"), width)]


def _table(report: LessonsReport, words: Words, width: int) -> list[Text]:
    heads = [words(f"lessons.{name}") for name in ("id", "lesson", "number", "took_head")]
    title_cells = max(width - INDENT - ID_CELLS - NUMBER_CELLS - SECONDS_CELLS - 4, 8)
    rows = [fit(Text.assemble(" " * INDENT, (_columns(heads, title_cells), "dim")), width)]
    for result in report.results:
        name = status(result.holds)
        check = leading(result)
        cells = [
            clean(result.id),
            named(result, words),
            number(check.value) if check else words(f"lessons.{'yes' if result.holds else 'no'}"),
            words("lessons.seconds", seconds=seconds(result)),
        ]
        row = Text.assemble((f"{glyph(name)} ", COLOURS[name]), _columns(cells, title_cells))
        rows.append(fit(row, width))
    return [*rows, Text(), fit(_total(report, words), width)]


def _columns(cells: list[str], title_cells: int) -> str:
    lesson_id, title, value, took = cells
    return " ".join(
        (
            padded(crop(lesson_id, ID_CELLS), ID_CELLS),
            padded(crop(title, title_cells), title_cells),
            " " + _right(value, NUMBER_CELLS),
            _right(took, SECONDS_CELLS),
        )
    )


def _right(text: str, cells: int) -> str:
    return " " * (cells - cell_len(text)) + text


def _total(report: LessonsReport, words: Words) -> Text:
    name = status(report.holds)
    own = sum(result.wall_time_s for result in report.results)
    total = words("lessons.total", held=report.held, total=len(report.results))
    took = words("lessons.total_seconds", seconds=f"{report.wall_time_s or own:.0f}", own=f"{own:.0f}")
    return Text.assemble((f"{glyph(name)} {total}", COLOURS[name]), f" · {took}")
