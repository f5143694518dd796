"""Lessons in a terminal: in full, and as a table."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from headwater.i18n import LANGUAGES
from headwater.records import Message
from headwater.records.lesson import Check
from headwater.report.lessons import bounds
from headwater.report.lessons_terminal import lines, listed, plain
from headwater.report.words import Words
from tests.report.hostile import NAMES
from tests.report.lesson_samples import report, result, say

IN_FULL = """\
✓ holds · A sample

  Claim  It is <so> & stays so.
  Seen   It was 1.3e-26.
  Why    Because.
  But    Not always.

  ✓ the effect is there
    measured 0.31 · 95 % interval 0.2 … 0.42 · has to be > 0
  ✓ exactly so
    measured 0.25 · has to be 0.25 ± 1.0e-9
  ✓ it is so at all

  sample · 2.5 s · 3 seeds"""
TABLE = """\
  id                      lesson                                  number seconds
✓ a-lesson                A sample                                  0.31   2.5 s
✗ sample                  A sample                                 -0.02   2.5 s

✗ 1 of 2 hold · 2 s, for experiments of 5 s together"""


def test_lesson_is_told_in_full() -> None:
    assert plain(report(), Words("en"), in_full=True) == IN_FULL


def test_all_are_told_as_a_table_with_what_did_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    from headwater.i18n.catalog import catalog

    monkeypatch.setitem(catalog("en"), "lesson.a-lesson.title", "A sample")
    shown = plain(report(result("a-lesson"), result(holds=False)), Words("en"), in_full=False)
    assert shown.startswith(TABLE + "\n\n✗ does not hold · A sample\n")
    assert "measured -0.02 · 95 % interval -0.1 … 0.06 · has to be > 0" in shown
    assert shown.count("Claim") == 1


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("in_full", [True, False])
@pytest.mark.parametrize("width", [40, 80, 200])
def test_lines_keep_to_the_screen(language: str, in_full: bool, width: int) -> None:
    long = Message("lesson.sample.curve", {"depth": "y " * 300})
    sample = result(holds=False)
    wordy = replace(sample, id="x" * 60, checks=tuple(replace(check, what=long) for check in sample.checks))
    shown = lines(report(wordy, sample), Words(language), in_full, width)
    assert max(line.cell_len for line in shown) <= min(width, 100)


@pytest.mark.parametrize(
    ("low", "high", "interval", "expected"),
    [
        (None, None, None, ""),
        (0.0, None, None, "≥ 0"),
        (0.0, None, (0.1, 0.2), "> 0"),
        (None, 0.2, None, "≤ 0.2"),
        (0.0, 0.0, None, "exactly 0"),
        (0.9, 1.1, None, "0.9 … 1.1"),
        (1 / 64 - 1e-9, 1 / 64 + 1e-9, None, "0.0156 ± 1.0e-9"),
    ],
)
def test_bounds_are_said_as_people_would(
    low: float | None, high: float | None, interval: tuple[float, float] | None, expected: str
) -> None:
    assert bounds(Check(say("check.word"), True, 0.5, low, high, interval), Words("en")) == expected


def test_list_puts_titles_beside_ids() -> None:
    assert [line.plain for line in listed([("he", "He"), ("xavier", "Xavier")])] == ["he      He", "xavier  Xavier"]


@pytest.mark.parametrize("name", NAMES)
def test_terminal_obeys_no_name(name: str) -> None:
    message = Message("lesson.sample.curve", {"depth": name})
    sample = result()
    hostile = replace(sample, id=name, checks=(replace(sample.checks[0], what=message),), values={"value": name})
    console = Console(file=io.StringIO(), width=80)
    report(hostile, sample).render(console)
    assert not set(console.file.getvalue()) & set("\x1b\x9b\x00\u202e\u2066\u2069\u2028\x07\r")


def test_terminal_writes_where_unicode_is_missing() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    report().render(Console(file=file, width=80))
    file.flush()
    assert b"+ holds - A sample" in file.buffer.getvalue()
    assert b"0.25 +- 1.0e-9" in file.buffer.getvalue()
