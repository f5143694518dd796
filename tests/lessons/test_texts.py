"""Every lesson in the lectures' order has its file and its words, and the documentation lists them all."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from headwater.i18n import LANGUAGES, text
from headwater.i18n.catalog import catalog
from headwater.lessons import ORDER, find
from tests.helpers import ROOT, SOURCE, with_generated
from tests.lessons.ran import WRITTEN

TEXTS = SOURCE / "i18n" / "lessons"
NEEDED = {"title", "claim", "seen", "why"}
PAGES = {"en": ROOT / "docs" / "lessons.md", "ko": ROOT / "docs" / "lessons.ko.md"}


@pytest.mark.parametrize("lesson_id", ORDER)
def test_lesson_has_its_module_and_its_texts(lesson_id: str) -> None:
    assert (TEXTS / f"{lesson_id}.toml").is_file()
    lesson = find(lesson_id)
    assert lesson.id == lesson_id
    assert lesson.seconds > 0
    for language in LANGUAGES:
        own = {
            key.removeprefix(f"lesson.{lesson_id}.")
            for key in catalog(language)
            if key.startswith(f"lesson.{lesson_id}.")
        }
        assert own >= NEEDED
        assert any(key.startswith("check.") for key in own)


def test_every_file_of_texts_belongs_to_a_lesson() -> None:
    assert {path.stem for path in TEXTS.iterdir()} <= set(ORDER)


@pytest.mark.parametrize("lesson_id", WRITTEN)
def test_title_fits_the_table(lesson_id: str) -> None:
    for language in LANGUAGES:
        assert len(text(f"lesson.{lesson_id}.title", language=language)) <= 60


def tables(language: str) -> str:
    """All lessons as Markdown: what is claimed and what has to hold."""
    heads = [text(f"lessons.{name}", language=language) for name in ("id", "claim", "checks")]
    rows = [f"| {' | '.join(heads)} |", "|---|---|---|"]
    for lesson_id in WRITTEN:
        prefix = f"lesson.{lesson_id}."
        own = {key.removeprefix(prefix): value for key, value in catalog(language).items() if key.startswith(prefix)}
        checks = "<br>".join(_cell(value) for key, value in own.items() if key.startswith("check."))
        rows.append(f"| `{lesson_id}` | {_cell(own['claim'])} | {checks} |")
    return "\n".join(rows)


def _cell(template: str) -> str:
    """A template in a cell; what only a run can fill in is left out."""
    return re.sub(r"\{[^}]*\}", "…", template).replace("|", "&#124;").replace("*", "\\*")


@pytest.mark.parametrize("language", LANGUAGES)
def test_docs_list_every_lesson(language: str, golden: Callable[[Path, str], None]) -> None:
    page = PAGES[language]
    golden(page, with_generated(page, "the catalogue", tables(language)))
