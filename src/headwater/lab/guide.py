"""What a guided page is: a story in steps, a question before the reveal, an experiment, and a goal to be reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Condition:
    """One thing that has to hold for a goal to be reached.

    Attributes:
        what: A figure of ``figures.py``; with ``among``, a control.
        low: Where the figure has to be at least.
        high: Where it has to be at most.
        among: What the control has to be one of.
    """

    what: str
    low: float | None = None
    high: float | None = None
    among: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scene:
    """One step of a story; its text is ``lab.guide.<lesson>.story.<number>``.

    Attributes:
        spec: What the network becomes, in the place of the guide's own; ``None`` to leave the lab as it is.
        compare: Spec of a second network beside it.
        views: What is looked at.
        steps: How many steps are trained.
    """

    spec: Mapping[str, Any] | None = None
    compare: Mapping[str, Any] | None = None
    views: tuple[str, ...] = ()
    steps: int = 0


@dataclass(frozen=True)
class Guide:
    """The guided page of a lesson; its texts are in ``i18n/lab/guides/<lesson>.toml``.

    Attributes:
        lesson: Whose.
        spec: Of the network it begins with, as changes to the default.
        story: In order.
        choices: How many answers the question has.
        answer: The right one, from 0.
        experiment: What is run to see it.
        goal: What the student is to bring about.
        begin: Spec from which the student sets out.
    """

    lesson: str
    spec: Mapping[str, Any]
    story: tuple[Scene, ...]
    choices: int
    answer: int
    experiment: Scene
    goal: tuple[Condition, ...]
    begin: Mapping[str, Any] = field(default_factory=dict)
