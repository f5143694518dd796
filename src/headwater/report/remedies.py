"""Remedies in words, for a terminal and as JSON."""

from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.text import Text

from headwater.i18n import number
from headwater.remedies.explained import PARTS, Explanation
from headwater.report.files import strict_json, with_text
from headwater.report.lines import WIDEST, WIDTH, fit, padded, print_lines, wrap
from headwater.report.words import Words

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = "headwater/remedies/1"
INDENT = 2


def to_json(found: tuple[Explanation, ...], language: str | None = None) -> str:
    """Strict JSON: an object with ``remedies``, every message also in words."""
    words = Words.of(language)
    remedies = with_text(found, words)
    data: dict[str, Any] = {"schema": SCHEMA, "remedies": remedies, "language": words.language}
    return strict_json(data)


def render(
    found: tuple[Explanation, ...], console: "Console", language: str | None = None, in_full: bool = True
) -> None:
    """Print each remedy in full, or one line for each."""
    words = Words.of(language)
    print_lines(lines(found, words, in_full, console.width), console)


def lines(found: tuple[Explanation, ...], words: Words, in_full: bool, width: int = WIDTH) -> list[Text]:
    """The same as lines."""
    width = min(max(width, 40), WIDEST)
    if not in_full:
        return _listed(found, words, width)
    return [line for remedy in found for line in (*_told(remedy, words, width), Text())][:-1]


def _listed(found: tuple[Explanation, ...], words: Words, width: int) -> list[Text]:
    """Ids and names, family by family."""
    cells = max(cell_len(remedy.id) for remedy in found)
    rows: list[Text] = []
    for _, family in groupby(found, key=lambda remedy: remedy.id.partition(".")[0]):
        rows += [
            fit(Text.assemble((padded(remedy.id, cells), "bold"), "  ", words.say(remedy.name)), width)
            for remedy in family
        ]
        rows.append(Text())
    return [*rows, *(Text(line, "dim") for line in wrap(words("remedies.more", count=len(found)), width))]


def _told(remedy: Explanation, words: Words, width: int) -> list[Text]:
    told = [(words(f"remedies.{part}"), words.say(getattr(remedy, part))) for part in PARTS]
    if remedy.default is not None:
        meaning = words.name(f"remedy.{remedy.id}.strength", remedy.strength)
        default = f"{remedy.id}:{number(remedy.default)}"
        told.append((words("remedies.strength"), words("remedies.strength_is", what=meaning, example=default)))
    if remedy.needs_batch:
        call = f"hw.apply(model, {remedy.id!r}, batches=[batch], loss=loss)"
        told.append((words("remedies.batch"), words("remedies.batch_is", call=call)))
    room = max(cell_len(label) for label, _ in told) + 2
    found = [fit(Text.assemble((remedy.id, "bold"), " · ", words.say(remedy.name)), width), Text()]
    for label, said in told:
        first, *others = wrap(said, width - INDENT - room)
        found.append(Text.assemble(" " * INDENT, (padded(label, room), "dim"), first))
        found += [Text(" " * (INDENT + room) + line) for line in others]
    if not remedy.is_cure:
        found += [Text(), *(Text(" " * INDENT + line) for line in wrap(words("remedies.no_cure"), width - INDENT))]
    return found
