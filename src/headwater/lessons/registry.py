"""Every lesson, in the order the lectures tell their story; their files are loaded when they are asked for."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

from headwater import plugins
from headwater.records import InputError

if TYPE_CHECKING:
    from headwater.lessons.lesson import Lesson

ORDER = (
    "perceptron-forward",
    "backprop",
    "chain-rule",
    "why-nonlinear",
    "universal-approximation",
    "depth-expressivity",
    "sigmoid-derivative",
    "vanishing",
    "frozen-update",
    "vanishing-underfits",
    "zigzag",
    "tanh",
    "relu",
    "relu-family",
    "dying-relu",
    "hidden-relu-output-tanh",
    "linear-output",
    "bad-init",
    "naive-init",
    "xavier",
    "xavier-relu",
    "he",
    "init-by-activation",
    "he-is-not-enough",
    "overfitting",
    "l1",
    "l2",
    "dropout",
    "batchnorm",
    "loss-landscape",
    "thousand-layers",
)


def foreign() -> tuple[str, ...]:
    """Ids of the lessons that plugins bring (``headwater.lessons``); they are loaded when they are asked for."""
    return tuple(dict.fromkeys(entry.name for entry in plugins.named("lessons") if entry.name not in ORDER))


def known(lesson_id: str) -> str:
    """``lesson_id`` itself.

    Raises:
        InputError: If there is no such lesson; the nearest ids are offered.
    """
    if lesson_id not in ORDER and lesson_id not in foreign():
        every = (*ORDER, *foreign())
        near = get_close_matches(str(lesson_id), every, n=3, cutoff=0.4) or list(every)
        raise InputError(f"no lesson {lesson_id!r}. Did you mean {', '.join(near)}?")
    return lesson_id


def find(lesson_id: str) -> Lesson:
    """The lesson called ``lesson_id``; its file is loaded now.

    Raises:
        InputError: If there is none; the nearest ids are offered. Or if a plugin's cannot be loaded.
    """
    if known(lesson_id) not in ORDER:
        return _of_a_plugin(lesson_id)
    lesson: Lesson = import_module(f"headwater.lessons.{lesson_id.replace('-', '_')}").LESSON
    return lesson


def _of_a_plugin(lesson_id: str) -> Lesson:
    from headwater.lessons.lesson import Lesson

    entry = next(entry for entry in plugins.named("lessons") if entry.name == lesson_id)
    lesson = plugins.load(entry)
    if isinstance(lesson, Lesson) and lesson.id == lesson_id:
        return lesson
    if lesson is not None:
        plugins.leave_out(entry, f"it gives {lesson!r:.60}, and should give a Lesson whose id is {lesson_id!r}")
    raise InputError(f"the lesson {plugins.label(entry)} cannot be used; the warning above says why.")
