"""Every claim holds, and everything a lesson shows can be put into words, drawn, stored and read back."""

import json

import pytest

from headwater.i18n import LANGUAGES, text
from headwater.i18n.catalog import catalog
from headwater.records.lesson import LessonResult
from headwater.report.lessons import PARTS, LessonsReport
from headwater.report.lessons_page import page
from headwater.report.lessons_terminal import lines
from headwater.report.words import Words
from tests.helpers import schema_violations
from tests.lessons.ran import LESSONS, messages, result
from tests.report.pages import assert_harmless, assert_pictures_stay_inside

each_lesson = pytest.mark.parametrize("lesson_id", LESSONS)


@each_lesson
def test_claim_holds(lesson_id: str) -> None:
    found = result(lesson_id)
    failed = [
        (str(check.what), check.value, check.low, check.high, check.interval)
        for check in found.checks
        if not check.holds
    ]
    assert found.holds, failed
    assert found.checks, "a lesson that checks nothing"


@each_lesson
def test_every_word_of_a_lesson_is_there_and_used(lesson_id: str) -> None:
    found = result(lesson_id)
    prefix = f"lesson.{lesson_id}."
    own = {key for key in catalog("en") if key.startswith(prefix)}
    said = [found.say(part) for part in PARTS if f"{prefix}{part}" in own]
    for message in [*said, *messages(found)]:
        for language in LANGUAGES:
            assert text(message.id, message.values, language), message.id
    unused = own - {message.id for message in [*said, *messages(found)]}
    assert not unused, "texts that nothing shows"


@each_lesson
def test_lesson_shows_a_picture_and_its_numbers(lesson_id: str) -> None:
    found = result(lesson_id)
    assert found.tables
    for table in found.tables:
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.columns)}
    for picture in found.pictures:
        assert picture.panels
        for panel in picture.panels:
            assert panel.curves or panel.raster
            for curve in panel.curves:
                assert len(curve.x) == len(curve.y) > 0
                assert len(curve.low) == len(curve.high)
                assert len(curve.low) in (0, len(curve.x))
            if panel.raster:
                assert len({len(row) for row in panel.raster.rows}) == 1


@each_lesson
def test_lesson_comes_back_from_json(lesson_id: str) -> None:
    report = LessonsReport((result(lesson_id),))
    data = json.loads(report.to_json("ko"))
    assert schema_violations(data, "lessons") == []
    again = LessonsReport.from_dict(data)
    assert again.to_json("ko") == report.to_json("ko")
    assert LessonResult.from_dict(data["results"][0]).id == lesson_id


@each_lesson
@pytest.mark.parametrize("language", LANGUAGES)
def test_lesson_has_all_its_faces(lesson_id: str, language: str) -> None:
    report = LessonsReport((result(lesson_id),))
    shown = lines(report, Words(language), in_full=True)
    assert max(line.cell_len for line in shown) <= 80
    content = page(report, Words(language))
    assert_harmless(content)
    assert_pictures_stay_inside(content)
    assert len(content.encode()) < 1_000_000
