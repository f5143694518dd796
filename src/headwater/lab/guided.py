"""A guided page as JSON, and what the lesson's own experiment gave."""

from __future__ import annotations

from typing import Any

from headwater.i18n import has_text
from headwater.lab.conditions import said_of as condition_said
from headwater.lab.guide import Guide, Scene
from headwater.lab.guides import GUIDES
from headwater.lab.refusal import RefusedError
from headwater.lab.said import in_both, told
from headwater.lab.spec import Spec
from headwater.lessons.registry import ORDER, find
from headwater.records import Message, encode
from headwater.records.lesson import Check, LessonResult
from headwater.report.charts.plot import plot
from headwater.report.view.sentences import said
from headwater.report.words import Words


def guide_of(lesson: str) -> Guide:
    """The guide of a lesson.

    Raises:
        RefusedError: If there is none.
    """
    if lesson not in GUIDES:
        raise RefusedError("lesson", {"lesson": repr(lesson)[:60]}, status=404)
    return GUIDES[lesson]


def page_of(lesson: str) -> dict[str, Any]:
    """Everything the page of a lesson shows, and the states its steps bring the lab to."""
    guide = guide_of(lesson)
    own = Spec.from_dict({**guide.spec, "lesson": lesson})
    begin = own.changed(guide.begin) if guide.begin else own
    ids = [id for id in ORDER if id in GUIDES]
    at = ids.index(lesson)

    def own_text(key: str) -> dict[str, str]:
        return told(Message(f"lab.guide.{lesson}.{key}"))

    return {
        "id": lesson,
        "title": _lesson_text(lesson, "title"),
        "claim": _lesson_text(lesson, "claim"),
        "spec": own.to_dict(),
        "state": own.to_state(),
        "story": [
            {"said": own_text(f"story.{number}"), **_scene(scene, own)}
            for number, scene in enumerate(guide.story, start=1)
        ],
        "question": {
            "said": own_text("question"),
            "choices": [own_text(f"choice.{number}") for number in range(1, guide.choices + 1)],
            "answer": guide.answer,
            "because": own_text("because"),
        },
        "experiment": _scene(guide.experiment, own),
        "check": {"claim": _lesson_text(lesson, "claim"), "seconds": find(lesson).seconds},
        "goal": {
            "said": own_text("goal"),
            "hint": own_text("hint"),
            "conditions": [in_both(condition_said(condition)) for condition in guide.goal],
            "state": begin.to_state(),
            "spec": begin.to_dict(),
        },
        "previous": ids[at - 1] if at else None,
        "next": ids[at + 1] if at + 1 < len(ids) else None,
    }


def _scene(scene: Scene, own: Spec) -> dict[str, Any]:
    spec = own.changed(scene.spec) if scene.spec is not None else None
    compare = own.changed(scene.compare) if scene.compare is not None else None
    return {
        "state": spec.to_state() if spec is not None else None,
        "compare_state": compare.to_state() if compare is not None else None,
        "views": list(scene.views),
        "steps": scene.steps,
    }


def _lesson_text(lesson: str, part: str) -> dict[str, str]:
    return in_both(said(lambda words: words(f"lesson.{lesson}.{part}")))


def result_of(result: LessonResult) -> dict[str, Any]:
    """What a lesson's experiment gave, in words, numbers and pictures."""
    parts = {
        part: told(result.say(part)) if has_text(result.say(part).id) else None for part in ("seen", "why", "caveat")
    }
    pictures = [
        {
            language: str(plot(picture, Words.of(language), f"{result.id}-{number}-{language}"))
            for language in ("en", "ko")
        }
        for number, picture in enumerate(result.pictures)
    ]
    return {
        "state": "done",
        "result": result.to_dict(),
        "holds": result.holds,
        "said": parts,
        "checks": [_check(check) for check in result.checks],
        "pictures_svg": pictures,
    }


def _check(check: Check) -> dict[str, Any]:
    data: dict[str, Any] = encode(
        {
            "said": told(check.what),
            "holds": check.holds,
            "value": check.value,
            "low": check.low,
            "high": check.high,
            "interval": check.interval,
        }
    )
    return data
