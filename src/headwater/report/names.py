"""Names from other people's models, made safe to show: no control sequence acts, no name outgrows its place."""

import re
import unicodedata

from rich.cells import cell_len, set_cell_size

ELLIPSIS = "…"
# CSI and OSC sequences, and two-character escapes: what a terminal would obey rather than show.
_ANSI = re.compile(
    r"[\x1b\x9b]\[?[0-?]+[ -/]*[@-~]|\x1b\[[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.?", re.DOTALL
)
# Controls, format characters (all bidirectional ones), lone surrogates, private use, line and paragraph separators.
_UNSHOWN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def clean(value: str) -> str:
    """``value`` on one line, without ANSI sequences, control or bidirectional characters."""
    spaced = re.sub(r"[\t\n\r\f\v]+", " ", _ANSI.sub("", value))
    return "".join(char for char in spaced if unicodedata.category(char) not in _UNSHOWN)


def clean_code(value: str) -> str:
    """The same for program text, whose lines and tabs stay."""
    return "\n".join("\t".join(map(clean, line.split("\t"))) for line in value.splitlines())


def shorten(value: str, cells: int) -> str:
    """``value`` in at most ``cells`` terminal cells, the middle left out: both ends of a dotted name tell most.

    Example:
        >>> shorten("transformer.layers.11.attention", 15)
        'transfo…tention'
    """
    if cell_len(value) <= cells:
        return value
    head, tail = cells // 2, (cells - 1) // 2
    reversed_tail = set_cell_size(value[::-1], tail).rstrip() if tail else ""
    return set_cell_size(value, head).rstrip() + ELLIPSIS + reversed_tail[::-1]


def crop(value: str, cells: int) -> str:
    """``value`` in at most ``cells`` terminal cells, the end left out."""
    if cell_len(value) <= cells:
        return value
    return set_cell_size(value, max(cells - 1, 0)).rstrip() + ELLIPSIS
