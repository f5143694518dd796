"""One lesson as it is shown in a terminal, word for word."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from headwater.i18n import LANGUAGES
from headwater.report.lessons import LessonsReport
from headwater.report.lessons_terminal import plain
from headwater.report.words import Words
from tests.lessons.ran import result

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("language", LANGUAGES)
def test_terminal_is_as_recorded(language: str, golden: Callable[[Path, str], None]) -> None:
    found = result("sigmoid-derivative")
    # Where the last bits of a search differ from machine to machine, the words are the same.
    checks = tuple(replace(check, value=round(check.value or 0.0, 6)) for check in found.checks)
    report = LessonsReport((replace(found, checks=checks, wall_time_s=0.1),))
    golden(GOLDEN / f"sigmoid-derivative.{language}.txt", plain(report, Words(language), in_full=True) + "\n")
