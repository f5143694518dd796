"""What runs say, for a terminal and as JSON."""

from __future__ import annotations

import os
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from headwater.i18n import number
from headwater.records.message import Value
from headwater.records.recorded import Comparison, RunList, RunSummary
from headwater.records.why import WELL, Sample, Why
from headwater.report.files import strict_json, with_text
from headwater.report.lines import COLOURS, WIDEST, padded, print_lines, wrap
from headwater.report.names import clean, crop, shorten
from headwater.report.words import NAME_CELLS, Words, glyph

_SAMPLE_COLUMNS = (
    "step",
    "loss",
    "activation_rms",
    "activation_abs_max",
    "activation_grad_rms",
    "nonfinite",
    "log10_gradient",
    "update_ratio",
)
_RUN_COLUMNS = ("folder", "verdict", "state", "steps", "sites", "loss", "alarms", "bytes")
_FOLDER_CELLS = 32
_MOST_NAMES = 8
_ENDLESS = 1 << 16


def to_json(record: Why | Comparison | RunList, language: str | None) -> str:
    """Strict JSON, every message in words as well."""
    words = Words.of(language)
    return strict_json({**with_text(record, words), "language": words.language})


def render(record: Why | Comparison | RunList, console: Console, language: str | None) -> None:
    """Print a record."""
    words = Words.of(language)
    width = min(max(console.width, 40), WIDEST)
    room = _room(console)
    if isinstance(record, Why):
        found = _why(record, words, width, room)
    elif isinstance(record, Comparison):
        found = _comparison(record, words, width)
    else:
        found = _runs(record, words, width, room)
    print_lines(found, console)


def _room(console: Console) -> int:
    """Cells that a table has; a pipe has any number, and a program behind it wants a row in a line."""
    return console.width if console.is_terminal or "COLUMNS" in os.environ else _ENDLESS


def _why(why: Why, words: Words, width: int, room: int) -> list[Text]:
    broke = why.verdict not in WELL
    status = "critical" if broke else ("healthy" if why.verdict == "nothing_found" else "cannot_tell")
    lines = _status(status, words.say(why.message), width)
    lines += _indented([words.say(message) for message in why.evidence], width)
    if why.affected:
        lines += _indented([words("why.affected", count=why.affected)], width)
    lines += [Text()]
    state = words(f"run_state.{why.state}")
    last = "–" if why.last_step is None else number(why.last_step)
    lines += _indented([words("why.head", run=clean(why.run), recorded=why.recorded, last=last, state=state)], width)
    damage = [clean(words(message.id, **message.values)) for message in why.damage[:_MOST_NAMES]]  # names in full
    lines += _indented(damage, width)
    if why.samples:
        lines += [Text(), Text(f"  {words('why.samples')}", style="bold"), *_samples(why.samples, words, room)]
    return lines


def _samples(samples: tuple[Sample, ...], words: Words, room: int) -> list[Text]:
    known = [name for name in _SAMPLE_COLUMNS if any(getattr(sample, name) is not None for sample in samples)]
    rows = [[number(getattr(sample, name)) for name in known] for sample in samples]
    return _table([words(f"run_column.{name}") for name in known], rows, room, marked=len(rows) - 1)


def _comparison(found: Comparison, words: Words, width: int) -> list[Text]:
    known: dict[str, Value] = {"a": clean(found.a), "b": clean(found.b), "aligned": found.aligned}
    step = found.last_step
    head = words("compare.head_sites", **known) if step is None else words("compare.head", step=step, **known)
    lines = [Text(line, style="bold") for line in wrap(head, width)]
    if found.renamed:
        pairs = [f"{_named(pair.a)} = {_named(pair.b)}" for pair in found.renamed]
        lines += _indented([words("compare.renamed", names=_some(pairs))], width)
    for run, names in ((found.a, found.only_a), (found.b, found.only_b)):
        if names:
            names_text = _some([_named(name) for name in names])
            lines += _indented([words("compare.only", run=clean(run), count=len(names), names=names_text)], width)
    lines.append(Text())
    if not found.differences:
        lines += _indented([words("compare.none" if found.last_step is not None else "compare.no_steps")], width)
    for place, difference in enumerate(found.differences, 1):
        first, *rest = wrap(words.say(difference.message), width - 4)
        lines.append(Text(f"  {place} {first}"))
        lines += [Text(f"    {line}") for line in rest]
    return lines


def _runs(found: RunList, words: Words, width: int, room: int) -> list[Text]:
    if not found.runs:
        return [Text(words("runs.none"))]
    rows = [_row(run, words) for run in found.runs]
    lines = _table([words(f"runs.{name}") for name in _RUN_COLUMNS], rows, room, left=3)
    lines += [Text(f"  {_named(run.folder)}: {clean(run.problem)}") for run in found.runs if run.problem]
    for run in found.runs:
        if run.damaged:
            lines += _indented([f"{_named(run.folder)}: {words.counted('runs.damaged', run.damaged)}"], width)
        for note in run.notes:
            lines += _indented([f"{_named(run.folder)}: {words.say(note)}"], width)
    return lines


def _row(run: RunSummary, words: Words) -> list[str]:
    state = words("runs.unreadable") if run.state == "unreadable" else words(f"run_state.{run.state}")
    known = (run.steps, run.sites, run.loss, run.alarms)
    return [
        shorten(clean(run.folder), _FOLDER_CELLS),
        _verdict(run, words),
        state,
        *(number(value) if run.trainings is None else "–" for value in known),
        _bytes(run.bytes),
    ]


def _verdict(run: RunSummary, words: Words) -> str:
    if run.verdict is None:
        return words.counted("runs.trainings", run.trainings or 0)
    return f"{glyph('critical' if run.verdict == 'findings' else run.verdict)} {words(f'verdict.{run.verdict}')}"


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _table(head: list[str], rows: list[list[str]], width: int, left: int = 0, marked: int | None = None) -> list[Text]:
    """Columns of words to the left, of numbers to the right; those that have no room come below, none is cut off."""
    widths = [max(cell_len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(row: list[str], columns: list[int], style: str) -> Text:
        cells = [(row[column], widths[column], column < left) for column in columns]
        words = [padded(w, n) if is_word else " " * (n - cell_len(w)) + w for w, n, is_word in cells]
        return Text("  " + "  ".join(words), style=style)

    lines: list[Text] = []
    for columns in _side_by_side(widths, width):
        lines += [Text()] if lines else []
        lines.append(line(head, columns, "dim"))
        lines += [line(row, columns, "bold" if place == marked else "") for place, row in enumerate(rows)]
    return lines


def _side_by_side(widths: list[int], width: int) -> list[list[int]]:
    """Which columns stand beside each other; the first one, which says what a row is, stands in front of all."""
    blocks = [[0]]
    for column in range(1, len(widths)):
        taken = sum(widths[other] + 2 for other in blocks[-1])
        if taken + widths[column] + 2 > width and len(blocks[-1]) > 1:
            blocks.append([0])
        blocks[-1].append(column)
    return blocks


def _status(status: str, said: str, width: int) -> list[Text]:
    first, *rest = wrap(said, width - 2)
    head = Text.assemble((f"{glyph(status)} ", COLOURS[status]), (first, "bold"))
    return [head, *(Text(f"  {line}", style="bold") for line in rest)]


def _indented(sentences: list[str], width: int) -> list[Text]:
    return [Text(f"  {line}") for sentence in sentences for line in wrap(sentence, width - 2)]


def _some(names: list[str]) -> str:
    return ", ".join([*names[:_MOST_NAMES], *(["…"] if len(names) > _MOST_NAMES else [])])


def _named(name: str) -> str:
    return crop(clean(name), NAME_CELLS)


__all__: list[Any] = ["render", "to_json"]
