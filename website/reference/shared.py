"""Tables that a Korean page shares with its English one, so that no number stands in two places by hand.

A Korean page marks them ``<!-- same as in English: KEY -->`` … ``<!-- end of what is the same -->``. The key is that of
a part which is generated in the English page, or ``table 2`` for the second table that is not. Cells that
``texts/cells.toml`` knows are told in Korean.
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from website.layout import DOCS
from website.reference.documented import texts

_SHARED = re.compile(r"(<!-- same as in English: (.+?) -->\n).*?(<!-- end of what is the same -->)", re.DOTALL)
_TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)


def pages() -> dict[Path, Callable[[], str]]:
    """What makes each Korean page that shares something."""
    korean = sorted(DOCS.rglob("*.ko.md"))
    return {path: partial(page, path) for path in korean if _SHARED.search(path.read_text(encoding="utf-8"))}


def page(path: Path) -> str:
    """A Korean page with its shared parts as the English one has them now.

    Raises:
        KeyError: If the English page has no such part.
    """
    english = path.with_name(path.name.replace(".ko.md", ".md")).read_text(encoding="utf-8")

    def filled(match: re.Match[str]) -> str:
        return f"{match[1]}\n{_in_korean(part(english, match[2])).strip()}\n\n{match[3]}"

    return _SHARED.sub(filled, path.read_text(encoding="utf-8"))


def part(english: str, key: str) -> str:
    """The part of an English page that a key names."""
    if key.startswith("table "):
        return _TABLE.findall(_without_generated(english))[int(key.removeprefix("table ")) - 1]
    name = re.escape(key)
    for start, end in (
        (rf"<!-- generated from {name}: .*? -->\n", "<!-- end of the generated part -->"),
        (rf"<!-- {name}: generated -->\n", rf"<!-- {name}: end -->"),
    ):
        found = re.search(f"{start}(.*?){end}", english, re.DOTALL)
        if found is not None:
            return found[1]
    raise KeyError(f"the English page has no part {key!r}")


def _without_generated(text: str) -> str:
    text = re.sub(r"<!-- generated from .*?<!-- end of the generated part -->", "", text, flags=re.DOTALL)
    return re.sub(r"<!-- (\w+): generated -->.*?<!-- \1: end -->", "", text, flags=re.DOTALL)


def _in_korean(text: str) -> str:
    known = texts("cells")["cell"]
    lines = [_row(line, known) if line.startswith("|") else known.get(line, line) for line in text.splitlines()]
    # Links lead to the page in the same language where there is one.
    return re.sub(r"\]\((\w+)\.md", _korean_link, "\n".join(lines))


def _row(line: str, known: dict[str, str]) -> str:
    cells = re.split(r"(?<!\\)\|", line)
    return "|".join(
        cell.replace(cell.strip(), known.get(cell.strip(), cell.strip())) if cell.strip() else cell for cell in cells
    )


def _korean_link(link: re.Match[str]) -> str:
    is_there = any(DOCS.rglob(f"{link[1]}.ko.md"))
    return f"]({link[1]}{'.ko' if is_there else ''}.md"
