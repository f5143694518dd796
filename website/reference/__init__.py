"""Pages made from the code: every statistic, rule and remedy, in both languages."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from website.layout import DOCS, LANGUAGES
from website.reference import remedies, rules, shared, statistics
from website.reference.documented import ending

FOLDER = DOCS / "reference"
PAGES: dict[Path, Callable[[], str]] = {
    FOLDER / f"{name}{ending(language)}.md": partial(page, language)
    for name, page in (("statistics", statistics.page), ("rules", rules.page), ("remedies", remedies.page))
    for language in LANGUAGES
} | shared.pages()
"""What makes each page; ``python -m website pages`` writes them, ``tests/docs`` compares."""
