"""Every lesson, in the order the lectures tell their story; their files are loaded when they are asked for."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

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


def known(lesson_id: str) -> str:
    """``lesson_id`` itself.

    Raises:
        InputError: If there is no such lesson; the nearest ids are offered.
    """
    if lesson_id not in ORDER:
        near = get_close_matches(str(lesson_id), ORDER, n=3, cutoff=0.4) or list(ORDER)
        raise InputError(f"no lesson {lesson_id!r}. Did you mean {', '.join(near)}?")
    return lesson_id


def find(lesson_id: str) -> Lesson:
    """The lesson called ``lesson_id``; its file is loaded now.

    Raises:
        InputError: If there is none; the nearest ids are offered.
    """
    lesson: Lesson = import_module(f"headwater.lessons.{known(lesson_id).replace('-', '_')}").LESSON
    return lesson
