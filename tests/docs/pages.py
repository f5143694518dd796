"""What stands on the pages of the documentation, read for the tests."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.helpers import ROOT

DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *(ROOT / name for name in ("README.md", "README.ko.md", "CONTRIBUTING.md"))])
_FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```[^\n]*$\n?", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: ``python``, ``console``, …
        title: What is written over it; ``excerpt: …`` says why it cannot be run as it stands.
        code: What is inside.
        output: The ``text`` block that follows at once, which is what it prints; ``None`` if there is none.
    """

    language: str
    title: str
    code: str
    output: str | None = None

    @property
    def is_excerpt(self) -> bool:
        return self.title.startswith("excerpt: ")


def fences(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    end = -1
    for match in _FENCE.finditer(text):
        language, info, code = match.groups()
        title = re.search(r'title="([^"]*)"', info)
        if language == "text" and found and not text[end : match.start()].strip():
            last = found[-1]
            found[-1] = Block(last.language, last.title, last.code, code)
        found.append(Block(language, title[1] if title else "", code))
        end = match.end()
    return found


def commands(page: Path) -> list[str]:
    """Every ``headwater`` command of a page that stands on a line of its own, without the comment behind it."""
    text = page.read_text(encoding="utf-8")
    indented = re.findall(r"^    (headwater .+)$", text, re.MULTILINE)
    typed = [
        line.removeprefix("$ ")
        for block in fences(page)
        if block.language in ("console", "sh")
        for line in block.code.splitlines()
        if line.removeprefix("$ ").startswith("headwater ")
    ]
    return [re.split(r" {2,}| [>|] ", command)[0] for command in (*indented, *typed)]


def mentioned(page: Path) -> list[str]:
    """Every ``headwater`` command that a sentence quotes in full."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    quoted = re.findall(r"`(headwater [a-z][^`\n]*)`", text)
    return [command for command in quoted if not set("|…") & set(command)]


def without_comments(code: str) -> str:
    """Python as it is whatever language its comments are in."""
    return re.sub(r" *#.*", "", code)
