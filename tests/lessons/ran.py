"""Lessons as they are run for the tests: each once, the longer ones only under ``-m slow``."""

import dataclasses
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from headwater.lessons import ORDER, find, run
from headwater.records import Message
from headwater.records.lesson import LessonResult
from tests.helpers import SOURCE

QUICK_S = 2.0
# `test_texts.py` says which lessons of the lectures' order are not written yet.
WRITTEN = [
    name
    for name in ORDER
    if (SOURCE / "lessons" / f"{name.replace('-', '_')}.py").is_file()
    and (SOURCE / "i18n" / "lessons" / f"{name}.toml").is_file()
]
LESSONS = [
    pytest.param(name, marks=[pytest.mark.slow] if find(name).seconds >= QUICK_S else [], id=name) for name in WRITTEN
]


@cache
def result(lesson_id: str) -> LessonResult:
    return run(lesson_id)


def messages(value: Any) -> Iterator[Message]:
    """Every message in a record."""
    if isinstance(value, Message):
        yield value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from messages(getattr(value, field.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from messages(item)
