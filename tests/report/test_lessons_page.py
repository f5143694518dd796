"""The page of lessons: one harmless file that says first what matters."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from headwater.i18n import LANGUAGES
from headwater.i18n.catalog import catalog
from headwater.records import InputError, Message
from headwater.records.picture import Table
from headwater.report.lessons import LessonsReport
from headwater.report.lessons_page import page
from headwater.report.words import Words
from tests.report.hostile import NAMES
from tests.report.lesson_samples import PICTURES, report, result
from tests.report.pages import (
    Reader,
    assert_harmless,
    assert_pictures_stay_inside,
    assert_policy_admits_its_own_style_only,
    pictures,
)

CASES = {
    "one": report(),
    "one_fails": report(result(holds=False)),
    "several": report(result("a"), result("sample", holds=False), result("c")),
    "all_hold": report(result("a", pictures=(PICTURES["lines"],)), result("sample")),
    "bare": report(replace(result(), checks=(), pictures=(), tables=(), seeds=(), values={})),
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("case", CASES)
def test_page_is_one_harmless_file(case: str, language: str) -> None:
    content = page(CASES[case], Words(language))
    reader = assert_harmless(content)
    assert content.startswith("<!DOCTYPE html>")
    assert ("lang", language) in reader.attributes
    assert_policy_admits_its_own_style_only(content)
    assert_pictures_stay_inside(content)
    identities = [value for name, value in reader.attributes if name == "id"]
    assert len(identities) == len(set(identities))
    for drawn in pictures(content):
        assert (drawn.get("role") == "img" and drawn.get("aria-label")) or drawn.get("aria-hidden") == "true"


def test_page_says_first_what_matters() -> None:
    text = Reader(page(CASES["one"], Words("en"))).text.partition("2026-11-21")[2]
    order = [
        "The claim holds",
        "A sample",
        "It is <so> & stays so.",
        "Two curves at 0.25.",
        "1.3e-26",
        "Because.",
        "Not always.",
        "the effect is there",
        "0.31",
        "> 0",
        "0.2 … 0.42",
        "0.25 ± 1.0e-9",
        "All of it",
        "1.0e-26",
        "3 seeds",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_page_of_several_has_contents_that_lead_to_each() -> None:
    content = page(CASES["several"], Words("en"))
    reader = Reader(content)
    assert "2 of 3 claims hold" in reader.text
    targets = [value for name, value in reader.attributes if name == "href"]
    assert targets == ["#lesson-a", "#lesson-sample", "#lesson-c"]
    assert {target[1:] for target in targets if target} <= {value for name, value in reader.attributes if name == "id"}
    contents = content[content.index('class="contents"') : content.index("</ol>")]
    assert re.findall(r'aria-label="([^"]*)"', contents) == ["holds", "does not hold", "holds"]
    assert re.findall(r">([✓✗])<", contents) == ["✓", "✗", "✓"]


def test_lesson_without_texts_shows_its_id_and_numbers() -> None:
    text = Reader(page(report(result("unheard-of")), Words("ko"))).text
    assert "unheard-of" in text
    assert "0.31" in text


@pytest.mark.parametrize("name", NAMES)
def test_page_shows_any_name_as_text(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    message = Message("lesson.sample.curve", {"depth": name})
    sample = result(pictures=(PICTURES["lines"],))
    panel = replace(sample.pictures[0].panels[0], title=message)
    curves = tuple(replace(curve, name=message) for curve in panel.curves)
    drawn = replace(sample.pictures[0], summary=message, panels=(replace(panel, curves=curves),))
    checks = tuple(replace(check, what=message) for check in sample.checks)
    tables = (Table(message, (message, message), ((name, message),)),)
    monkeypatch.setitem(catalog("en"), "lesson.sample.claim", "{depth}")
    hostile = replace(sample, id=name, checks=checks, pictures=(drawn,), tables=tables, values={"depth": name})
    content = page(replace(report(hostile), headwater=name, created=name), Words("en"))
    assert_harmless(content)
    assert not set(content) & set("\x1b\x9b\x00\u202e\u2066\u2069\u2028\x07\r")
    pictures(content)


def test_save_chooses_by_ending(tmp_path: Path) -> None:
    lessons = report()
    assert lessons.save(tmp_path / "l.html", "ko").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert lessons.save(tmp_path / "l.json").read_text(encoding="utf-8").startswith('{"schema":"headwater/lessons/1"')
    with pytest.raises(InputError, match=r"\.html or \.json"):
        lessons.save(tmp_path / "l.pdf")
    with pytest.raises(InputError, match="choose one of en, ko"):
        lessons.save(tmp_path / "l.json", "fr")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["l.html", "l.json"]


def test_no_lessons_hold_together() -> None:
    assert LessonsReport(()).holds
