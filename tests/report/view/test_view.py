"""A view says what the run's numbers say, in both languages, and fits where it has to."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from numpy.testing import assert_allclose

import headwater as hw
from headwater.kernels import reference
from headwater.recorded.viewing import course_of
from headwater.records import Flow, PathStep, Site, SiteFlow
from headwater.records import Path as GradientPath
from headwater.report import schema
from headwater.report.view import REPORT_BYTES, Course, Line, View, offline_page, view_of
from headwater.report.view.expected import expected_levels
from headwater.report.view.packing import GRAIN, unpacked
from headwater.report.view.sentences import lead_of
from headwater.theory.moments import slope_second_moment
from tests.helpers import ROOT, closed, with_generated
from tests.runs import large_course, record

DOCS = ROOT / "docs" / "json.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("runs") / "sigmoid")


@pytest.fixture(scope="module")
def course(folder: Path) -> Course:
    return course_of(hw.open_run(folder))


def levels(view: View, name: str, part: str = "low") -> np.ndarray:
    statistic = next(one for one in view.statistics if one.name == name)
    text = getattr(statistic, part) or statistic.low
    return unpacked(text, len(view.sites))


def test_levels_are_the_logarithms_of_what_was_recorded(folder: Path, course: Course) -> None:
    run, view = hw.open_run(folder), view_of(course)
    steps, values = run.read("activation_grad_rms")
    assert list(view.first) == list(view.last) == steps.tolist()
    assert [site.name for site in view.sites] == run.site_names
    assert_allclose(levels(view, "activation_grad_rms"), np.log10(values), atol=0.5 / GRAIN + 1e-6)


def test_view_says_what_the_report_says(folder: Path, course: Course) -> None:
    report, view = hw.open_run(folder).report(), view_of(course)
    assert view.verdict == report.verdict == "findings"
    assert [finding.symptom for finding in view.findings] == [finding.symptom for finding in report.findings]
    assert "기울기" in view.findings[0].sentence.ko
    assert str(report.findings[0].message) == view.findings[0].sentence.en
    names = [view.sites[index].name for index in view.findings[0].sites]
    assert names == list(report.findings[0].sites)
    assert view.waterfall is not None
    assert math.fsum(bar.decades for bar in view.waterfall.bars) == pytest.approx(
        view.waterfall.log10_first - view.waterfall.log10_last, abs=1e-6
    )
    assert {"loss", "val_loss", "lr"} <= {line.name for line in view.lines}


def test_view_is_what_the_schema_says(course: Course) -> None:
    validator = jsonschema.Draft202012Validator(closed(schema.stored_schema(schema.VIEW_FILE)))
    for one in (course, large_course(4, 30), Course("empty", (), np.array([], np.int64), {})):
        validator.validate(json.loads(json.dumps(view_of(one).to_dict(), allow_nan=False)))
    assert not validator.is_valid({**view_of(course).to_dict(), "schema": "headwater/view/2"})


def test_schema_is_as_shipped_and_documented(golden: Callable[[Path, str], None]) -> None:
    golden(Path(schema.__file__).with_name(schema.VIEW_FILE), schema.as_json(schema.view_schema()))
    golden(DOCS, with_generated(DOCS, "the records of a view", schema.view_field_tables()))
    bare = [
        f"{name}.{field}"
        for name, definition in schema.view_schema()["$defs"].items()
        for field, kind in definition["properties"].items()
        if field != "schema" and not kind.get("description")
    ]
    assert not bare


@pytest.mark.parametrize(("level", "part"), [(3.0, "high"), (-90.0, "low"), (math.inf, "high"), (-math.inf, "low")])
def test_one_step_out_of_thousands_survives_however_little_room_there_is(level: float, part: str) -> None:
    course = large_course(6, 3000)
    course.levels["activation_grad_rms"][2, 1234] = level
    view = view_of(course, room=20_000)
    assert len(view.first) < 300
    column = next(i for i in range(len(view.first)) if view.first[i] <= 1234 <= view.last[i])
    assert levels(view, "activation_grad_rms", part)[2, column] == level


def test_steps_share_columns_only_where_room_is_short() -> None:
    course = large_course(10, 400)
    assert len(view_of(course).first) == 400
    assert view_of(course).statistics[0].high is None
    small = view_of(course, room=15_000)
    assert sum(len(one.low) + len(one.high or "") for one in small.statistics) <= 15_000
    assert small.measured == 400


def test_page_of_sixty_sites_and_two_thousand_steps_fits() -> None:
    page = offline_page([large_course()])
    assert len(page.encode()) <= REPORT_BYTES
    view = json.loads(page.split('id="headwater-data">')[1].split("</script>")[0])["views"][0]
    assert len(view["first"]) >= 150  # and the room is used


def test_two_runs_on_a_page_fit_as_well() -> None:
    assert len(offline_page([large_course(name="a"), large_course(name="b")]).encode()) <= REPORT_BYTES


def test_long_lines_keep_their_spikes() -> None:
    steps = np.arange(50_000)
    values = np.sin(steps / 1000)
    values[31_234] = 40.0
    values[41_000] = math.nan
    course = replace(large_course(2, 10), lines=(Line("loss", steps, values),))
    (line,) = view_of(course).lines
    shown = unpacked(line.values)[0]
    assert len(line.steps) < 2000
    assert np.nanmax(shown) == 40.0
    assert np.isnan(shown).any()
    assert list(line.steps) == sorted(line.steps)


def test_long_run_is_read_by_its_smallest_and_largest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = hw.open_run(folder)
    every = course_of(run)
    monkeypatch.setattr("headwater.recorded.viewing.MOST_COLUMNS", 8)
    few = course_of(run)
    assert len(few.steps) <= 8
    assert few.measured == len(run)
    assert lead_of(replace(few, watch=None)).en.startswith(f"{len(run)} measured steps of ")
    name = "activation_grad_rms"
    assert_allclose(few.levels[name].min(axis=1), every.levels[name].min(axis=1), rtol=1e-6)
    assert_allclose(few.highs[name].max(axis=1), every.levels[name].max(axis=1), rtol=1e-6)
    assert view_of(few).statistics[0].high is not None


def chain(*steps: PathStep, size: float = 1.0) -> Flow:
    """A flow whose gradient came along ``steps``, from the last site to the first."""
    names = [step.site for step in steps if step.site]
    moments = reference.moments(np.array([size, -size]))
    rows = tuple(
        SiteFlow(
            Site(name, "Op", step.kind, i, name, activation="sigmoid" if step.kind == "activation" else None),
            moments,
            input=moments,
        )
        for i, (name, step) in enumerate(zip(names, steps, strict=True))
    )
    total = math.fsum(step.log10_gain for step in steps)
    return Flow(rows, (), GradientPath("first", names[0], -2.0 + total, -2.0, steps), 0.0)


def test_theory_multiplies_scale_and_mean_slope_and_takes_the_rest_as_measured() -> None:
    steps = (
        PathStep("c", "Linear", "affine", "operation", -0.7, weight_gain=0.1),
        PathStep("b", "Sigmoid", "activation", "operation", -0.9),
        PathStep("a", "AvgPool2d", "pooling", "operation", -0.25),
    )
    expected = expected_levels(chain(*steps, size=2.0))
    slope = 0.5 * math.log10(slope_second_moment("sigmoid", 4.0))
    assert expected == pytest.approx({"c": -2.0, "b": -3.0, "a": -3.0 + slope, "first": -3.25 + slope})


def test_theory_is_silent_without_the_gradients_way() -> None:
    assert expected_levels(Flow((), (), None, 0.0)) == {}


def test_theory_stands_near_what_is_measured_in_a_network_it_describes(course: Course) -> None:
    """Random weights and sigmoids that hardly bend: mean field is right to half a decade over 8 layers."""
    first = course.levels["activation_grad_rms"][0, -1]
    expected = course.expected[course.sites[0].name] - course.expected[course.sites[-1].name]
    measured = first - course.levels["activation_grad_rms"][-1, -1]
    assert abs(expected - measured) < 0.5
    assert expected < -4
