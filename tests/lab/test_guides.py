"""Guided pages: complete in both languages, every step opens, goals are not reached at the start and can be reached."""

from typing import Any

import pytest

from headwater.i18n.catalog import catalog
from headwater.lab.answers import sheet
from headwater.lab.goals import goal_of
from headwater.lab.guided import page_of, result_of
from headwater.lab.guides import GUIDES
from headwater.lab.plan import planned
from headwater.lab.refusal import RefusedError
from headwater.lab.slot import Slot
from headwater.lab.spec import Spec
from headwater.lab.views import VIEWS
from headwater.lessons import run
from headwater.lessons.registry import ORDER
from tests.helpers import ROOT

# What a student would do, and for how many steps.
SOLUTIONS: dict[str, tuple[dict[str, Any], int]] = {
    "perceptron-forward": ({"width": 3}, 500),
    "backprop": ({"learning_rate": 3.0}, 400),
    "chain-rule": ({"activation": "tanh", "init": "orthogonal"}, 0),
    "universal-approximation": ({"width": 4}, 500),
    "depth-expressivity": ({"depth": 5, "width": 12}, 1000),
    "sigmoid-derivative": ({"scale": 0.03}, 0),
    "frozen-update": ({"activation": "relu", "init": "he"}, 1),
    "relu-family": ({"activation": "elu"}, 150),
    "bad-init": ({"init": "xavier", "scale": 1.0}, 200),
    "why-nonlinear": ({"activation": "relu", "init": "he"}, 200),
    "vanishing": ({"activation": "relu", "init": "he"}, 200),
    "vanishing-underfits": ({"activation": "relu", "init": "he", "depth": 10, "learning_rate": 0.002}, 200),
    "zigzag": ({"activation": "tanh"}, 400),
    "tanh": ({"init": "orthogonal", "scale": 1.05}, 0),
    "relu": ({"activation": "relu", "init": "he"}, 200),
    "dying-relu": ({"activation": "elu"}, 300),
    "hidden-relu-output-tanh": ({"activation": "relu", "init": "he"}, 300),
    "linear-output": ({"output": "identity"}, 300),
    "naive-init": ({"scale": 0.13}, 0),
    "xavier": ({"scale": 0.075}, 0),
    "xavier-relu": ({"init": "he"}, 0),
    "he": ({"scale": 0.141}, 0),
    "init-by-activation": ({"init": "by_activation"}, 400),
    "he-is-not-enough": ({"init": "mirrored"}, 100),
    "overfitting": ({"samples": 0}, 400),
    "l1": ({"l1": 0.002}, 400),
    "l2": ({"l2": 0.02}, 400),
    "dropout": ({"dropout": 0.2}, 400),
    "batchnorm": ({"normalisation": "batch"}, 200),
    "loss-landscape": ({"seed": 5}, 600),
    "thousand-layers": ({"init": "tailored", "learning_rate": 1e-4}, 100),
}


def test_every_guide_has_a_known_solution() -> None:
    assert set(SOLUTIONS) == set(GUIDES)


@pytest.mark.parametrize("lesson", GUIDES)
def test_page_is_complete_and_every_step_of_it_opens(lesson: str) -> None:
    page, guide = page_of(lesson), GUIDES[lesson]
    assert len(page["question"]["choices"]) == guide.choices > guide.answer
    keys = {key for key in catalog("en") if key.startswith(f"lab.guide.{lesson}.")}
    extra = {"question", "because", "goal", "hint"} | {f"choice.{i + 1}" for i in range(guide.choices)}
    extra |= {f"story.{i + 1}" for i in range(len(guide.story))}
    assert keys == {f"lab.guide.{lesson}.{key}" for key in extra}
    for scene in (*page["story"], page["experiment"], page["goal"]):
        for state in (scene["state"], scene.get("compare_state")):
            if state is not None:
                planned(Spec.from_state(state))
        assert set(scene.get("views", ())) <= set(VIEWS)
    assert Spec.from_state(page["goal"]["state"]).lesson == lesson


def test_documentation_names_every_guide() -> None:
    page = (ROOT / "docs" / "lab.md").read_text(encoding="utf-8")
    assert ", ".join(GUIDES) in page


def test_guides_stand_in_the_lectures_order() -> None:
    assert list(GUIDES) == [lesson for lesson in ORDER if lesson in GUIDES]
    first, last = next(iter(GUIDES)), list(GUIDES)[-1]
    assert page_of(first)["previous"] is None
    assert page_of(last)["next"] is None


@pytest.mark.parametrize("lesson", GUIDES)
def test_goal_is_not_reached_where_the_student_begins(lesson: str) -> None:
    goal = goal_of(Slot(Spec.from_state(page_of(lesson)["goal"]["state"])))
    assert not goal["reached"]
    assert all(row["said"]["ko"] != row["said"]["en"] for row in goal["conditions"])


@pytest.mark.slow
@pytest.mark.parametrize("lesson", GUIDES)
def test_goal_is_reached_with_what_the_lesson_teaches(lesson: str) -> None:
    controls, steps = SOLUTIONS[lesson]
    begin = Spec.from_state(page_of(lesson)["goal"]["state"])
    assert not set(controls) & set(begin.locked), "the page does not let a student do that"
    slot = Slot(begin.changed(controls))
    for step in range(steps):
        slot.advance(step == steps - 1)
    slot._score()
    goal = goal_of(slot)
    assert goal["reached"], goal


def test_goal_without_a_lesson_is_refused() -> None:
    with pytest.raises(RefusedError):
        goal_of(Slot(Spec.from_dict({"depth": 2, "width": 4})))


def test_claim_is_shown_with_the_numbers_of_the_lessons_own_experiment() -> None:
    result = run("xavier-relu")
    shown = result_of(result)
    assert shown["holds"] == result.holds
    assert [row["value"] for row in shown["checks"]] == [check.value for check in result.checks]
    assert shown["said"]["seen"]["en"] == str(result.say("seen")) or shown["said"]["seen"]["ko"]
    assert all(picture["ko"].startswith("<") for picture in shown["pictures_svg"])


def test_answer_sheet_counts_and_shows_nothing_as_markup() -> None:
    answers = [
        {"lesson": "vanishing", "choice": 2, "reached": True, "text": "<script>alert(1)</script>", "state": "depth.9"},
        {"lesson": "relu", "choice": 0, "reached": False},
        {"lesson": "he", "choice": None},
        {"lesson": "l1", "choice": 99},
    ]
    english = sheet({"name": "<b>Kim", "answers": answers, "language": "en"})
    assert "1 of 3 questions right, 1 of 2 goals reached" in english
    assert "<script" not in english
    assert "<b>" not in english
    assert "#lab=depth.9" in english
    assert "답안지" in sheet({"answers": answers, "language": "ko"})
    assert "http" not in english


@pytest.mark.parametrize("answers", [None, [1], [{"lesson": "nothing"}], [{"lesson": "he"}] * 65, "x"])
def test_answers_of_another_kind_are_refused(answers: Any) -> None:
    with pytest.raises(RefusedError):
        sheet({"answers": answers})
