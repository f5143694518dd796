"""What is promised of a lesson."""

import json
from dataclasses import replace

from headwater.lessons import find, run
from headwater.lessons.lesson import Lesson
from headwater.probes.preserve import random_states
from headwater.records import InputError, decode, encode
from headwater.records.lesson import LessonResult
from headwater.report.files import strict_json
from headwater.testing.same import same
from headwater.testing.texts import check_ids, check_messages

TEXTS = ("title", "claim", "seen", "why")


def check_lesson(lesson: Lesson) -> LessonResult:
    """Fail unless a lesson holds, gives the same numbers each time, and has its words in both languages.

    Args:
        lesson: Which; it is run twice.

    Returns:
        What it showed.

    Raises:
        AssertionError: With the sentence that does not hold.
    """
    try:
        known = find(lesson.id)
    except InputError as error:
        raise AssertionError(f"{lesson.id!r} is not among the lessons: install the plugin's package") from error
    assert known == lesson, f"another lesson is called {lesson.id!r}"
    check_ids(f"lesson.{lesson.id}.{part}" for part in TEXTS)
    states = random_states()
    result = run(lesson.id)
    assert same(states, random_states()), f"{lesson.id}: the random numbers are others after it"
    assert result.checks, f"{lesson.id} checks nothing: its claim could not fail"
    failed = [str(check.what) for check in result.checks if not check.holds]
    assert not failed, f"{lesson.id} does not hold: {failed}"
    check_messages(result)
    data = json.loads(strict_json(encode(result)))
    assert decode(LessonResult, data) == result, f"{lesson.id}: the result is another after it was saved and read"
    again = replace(run(lesson.id), wall_time_s=result.wall_time_s)
    assert again == result, f"{lesson.id} gives other numbers when it is run again"
    return result
