"""Lines of a terminal: wrapped, cut to a width, coloured, and writable where Unicode is missing."""

from collections.abc import Callable, Iterable

from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from rich.text import Text

from headwater.report.names import crop

WIDTH = 80
WIDEST = 100  # longer lines are hard to read
# Okabe-Ito: blue for what is well, vermillion for what is not; never red against green.
COLOURS = {
    "healthy": "bold #0072b2",
    "proven": "bold #0072b2",
    "held": "bold #0072b2",
    "critical": "bold #d55e00",
    "harmful": "bold #d55e00",
    "not_held": "bold #d55e00",
    "warning": "#d55e00",
    "info": "#0072b2",
    "cannot_tell": "bold #cc79a7",
    "not_proven": "bold #cc79a7",
}
# Where a terminal cannot say it in Unicode.
_ASCII = str.maketrans(
    {
        "✓": "+",
        "✗": "x",
        "▲": "!",
        "●": "*",
        "○": "o",
        "·": "-",
        "…": "~",
        "→": ">",
        "–": "-",
        "█": "#",
        "▏": "|",
        "▌": "#",
        "⊘": "0",
        "×": "x",
        "φ": "phi",
        "σ": "sigma",
        "α": "alpha",
        "′": "'",
        "₁": "1",
        "₀": "0",
        "‖": "|",
        "Δ": "d",
        "∂": "d",
        "Π": "product of ",
        "√": "sqrt ",
        "−": "-",
        "←": "<-",
        "≈": "~",
        "ᵢ": "i",
        "₋": "-",
        "±": "+-",
        "≥": ">=",
        "≤": "<=",
        **{chr(0x2080 + digit): str(digit) for digit in range(2, 10)},
    }
)


def wrap(content: str, width: int, most: int | None = None) -> list[str]:
    """``content`` in lines of ``width`` cells; past ``most`` lines the rest is left out, visibly."""
    wrapped = [line.plain.rstrip() for line in Text(content).wrap(Console(width=width, file=None), width)]
    if most is None or len(wrapped) <= most:
        return wrapped or [""]
    return [*wrapped[: most - 1], crop(" ".join(wrapped[most - 1 :]), width)]


def fit(line: Text, width: int) -> Text:
    """``line``, its end left out visibly where it is too long."""
    if cell_len(line.plain) > width:
        line.truncate(width, overflow="ellipsis")
    return line


def padded(word: str, cells: int) -> str:
    """``word`` with blanks up to ``cells``; Korean letters take two each."""
    return word + " " * (cells - cell_len(word))


def print_lines(lines: Iterable[Text], console: Console) -> None:
    """Print them; nothing is taken for markup, and an encoding that lacks a character gets another."""
    for line in lines:
        console.print(_encodable(line, console.encoding), soft_wrap=True, highlight=False, markup=False, emoji=False)


def printed(lines: Callable[[int], Iterable[Text]]) -> str:
    """What ``print`` shows: in colour and as wide as a terminal is, plain and 80 columns wide in a pipe.

    Plain too under ``NO_COLOR``, on a terminal without colours, and in a notebook's output.

    Args:
        lines: Makes the lines for a width.
    """
    console = Console()
    if not console.is_terminal or console.is_jupyter or console.no_color or console.color_system is None:
        return "\n".join(line.plain.rstrip() for line in lines(WIDTH))
    with console.capture() as captured:
        print_lines(lines(console.width), console)
    return captured.get().removesuffix("\n")


def _encodable(line: Text, encoding: str) -> Text:
    try:
        line.plain.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        shown = line.plain.translate(_ASCII).encode("ascii", "replace").decode()
        return Text(shown, style=Style.null())
    return line
