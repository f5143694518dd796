import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from headwater.records import Evidence, Flow, InputError, Message, Moments, Site, SiteFlow
from headwater.report import Report, schema
from headwater.report import payload as payload_module
from tests.helpers import ROOT, closed, with_generated
from tests.report import samples
from tests.report.hostile import NAMES

CASES: dict[str, Callable[[], Report]] = {
    **samples.CASES,
}
DOCS = ROOT / "docs" / "json.md"
SHIPPED = jsonschema.Draft202012Validator(schema.stored_schema())
VALIDATOR = jsonschema.Draft202012Validator(closed(schema.stored_schema()))


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no strict JSON")


def parsed(report: Report) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(report.to_json(), parse_constant=refuse_constant)
    return data


@pytest.mark.parametrize("case", CASES)
def test_json_is_strict_valid_and_comes_back(case: str) -> None:
    report = CASES[case]()
    data = parsed(report)
    VALIDATOR.validate(data)
    assert parsed(Report.from_dict(data)) == data
    assert data["table"] == json.loads(json.dumps(data["table"]))
    assert len(data["table"]) == len(report.flow.sites)


def test_json_round_trip_is_equal_where_nothing_is_nan() -> None:
    assert Report.from_dict(parsed(samples.report())) == samples.report()


def test_json_messages_are_also_words() -> None:
    data = samples.report().to_dict("ko")
    assert data["language"] == "ko"
    assert data["diagnosis"]["findings"][0]["causes"][0]["why"]["text"].startswith("σ′는")
    assert data["diagnosis"]["unchecked"][0] == {**data["diagnosis"]["unchecked"][0], "id": "sample.gap", "values": {}}
    assert data["proof"]["metric"]["text"] == "정확도"


@pytest.mark.parametrize("name", NAMES)
def test_json_keeps_any_name(name: str, tmp_path: Path) -> None:
    report = replace(samples.report(1), run=replace(samples.RUN, model=name))
    assert Report.load(report.save(tmp_path / "r.json")) == report


numbers = st.floats() | st.none()
names = st.text(st.characters(), max_size=12)
moments = st.builds(
    samples.moments,
    st.floats(-150, 150) | st.just(-math.inf),
    mean=st.floats(-1, 1),
    nan=st.integers(0, 3),
    inf=st.integers(0, 3),
)
site_flows = st.builds(
    SiteFlow,
    site=st.builds(Site, name=names, op=names, kind=st.just("other"), order=st.integers(0, 999), module=names),
    activation=moments | st.just(Moments()),
    activation_grad=st.none() | moments,
    input=st.none() | moments,
    derivative_rms=numbers,
    dead_fraction=numbers,
    update_ratio=numbers,
)
flows = st.builds(
    Flow, st.lists(site_flows, max_size=5).map(tuple), st.just(()), st.none(), st.floats(), samples=st.integers(0, 9)
)
findings = st.builds(
    lambda value, threshold, message_id, values: replace(
        samples.saturation(), evidence=(Evidence("abs_max", value, threshold),), message=Message(message_id, values)
    ),
    st.floats() | st.integers() | names | st.none(),
    numbers,
    names | st.just("sample.saturation"),
    st.dictionaries(names | st.just("count"), st.floats() | st.integers(-9, 9) | names | st.none(), max_size=2),
)


@given(flows, st.lists(findings, max_size=4).map(tuple))
def test_any_report_has_all_its_faces(flow: Flow, found: tuple[Any, ...]) -> None:
    diagnosis = replace(samples.cannot_tell().diagnosis, verdict="findings" if found else "healthy", findings=found)
    report = Report(samples.RUN, diagnosis, flow)
    data = parsed(report)
    VALIDATOR.validate(data)
    assert parsed(Report.from_dict(data)) == data
    assert len(str(report).splitlines()) <= 25
    assert payload_module.Words("ko")
    assert report._repr_html_()


def test_save_chooses_by_ending(tmp_path: Path) -> None:
    report = samples.report(2)
    assert report.save(tmp_path / "r.html", "ko").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert Report.load(report.save(str(tmp_path / "r.json"))) == report
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.html", "r.json"]


@pytest.mark.parametrize("language", ["fr", "", "KO"])
def test_unknown_language_is_refused(language: str, tmp_path: Path) -> None:
    report = samples.report(1)
    for call in (
        report.to_dict,
        report.to_json,
        lambda language: report.save(tmp_path / "r.json", language),
        lambda language: report.save(tmp_path / "r.html", language),
        lambda language: report.render(Console(), language),
    ):
        with pytest.raises(InputError, match="choose one of en, ko"):
            call(language)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["r.pdf", "r", ".html", "r.html.gz"])
def test_save_names_the_two_endings(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.html or \.json"):
        samples.report(1).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_save_names_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        samples.report(1).save(tmp_path / "nowhere" / "r.json")


def test_save_leaves_the_old_file_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = samples.report(1).save(tmp_path / "r.json")
    before = target.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(payload_module.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        samples.report(2).save(target)
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        "3",
        "null",
        '{"schema":"headwater/report/2"}',
        '{"schema":"headwater/report/1"}',
        "[" * 100_000,
        "\ufeff{",
        "nonsense",
    ],
)
def test_load_says_what_is_no_report(content: str, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="is no headwater report"):
        Report.load(path)


def test_load_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        Report.load(tmp_path / "r.json")


def test_load_says_what_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is no headwater report"):
        Report.load(path)


def test_with_proof_changes_nothing_else() -> None:
    bare = samples.report(2, with_proof=False)
    assert bare.with_proof(samples.proof()) == samples.report(2)
    assert bare.proof is None
    assert bare.verdict == "findings"
    assert bare.findings == bare.diagnosis.findings


SCHEMAS = {
    schema.FILE: schema.report_schema,
    schema.LESSONS_FILE: schema.lessons_schema,
    schema.CURE_FILE: schema.cure_schema,
    schema.PROOF_FILE: schema.proof_schema,
}


@pytest.mark.parametrize("file", SCHEMAS)
def test_schema_is_as_shipped(file: str, golden: Callable[[Path, str], None]) -> None:
    golden(Path(schema.__file__).with_name(file), schema.as_json(SCHEMAS[file]()))


@pytest.mark.parametrize("file", SCHEMAS)
def test_schema_is_a_schema_that_documents_every_field(file: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[file]())
    bare = {
        f"{name}.{field}"
        for name, definition in SCHEMAS[file]()["$defs"].items()
        for field, kind in definition["properties"].items()
        if field != "schema" and not kind.get("description")
    }
    assert not bare


def test_schema_refuses_what_is_no_report() -> None:
    data = parsed(samples.report(1))
    for wrong in (
        {**data, "table": None},
        {**data, "verdict": "healthy", "schema": "headwater/report/2"},
        {key: value for key, value in data.items() if key != "flow"},
        {"flows" if key == "flow" else key: value for key, value in data.items()},
    ):
        assert not SHIPPED.is_valid(wrong)


def newer(data: Any) -> Any:
    """``data`` with a field more in every object."""
    if isinstance(data, list):
        return [newer(item) for item in data]
    return {**{key: newer(item) for key, item in data.items()}, "added": 1} if isinstance(data, dict) else data


def test_schema_and_reader_take_fields_of_a_newer_version() -> None:
    report = samples.report(1)
    data = newer(parsed(report))
    SHIPPED.validate(data)
    assert not VALIDATOR.is_valid(data)
    assert Report.from_dict(data).run == report.run


def test_docs_list_every_field(golden: Callable[[Path, str], None]) -> None:
    golden(DOCS, with_generated(DOCS, "the records", schema.field_tables()))


def test_docs_list_every_field_of_a_cure(golden: Callable[[Path, str], None]) -> None:
    golden(DOCS, with_generated(DOCS, "the records of a cure", schema.cure_field_tables()))


def test_docs_list_every_field_of_lessons(golden: Callable[[Path, str], None]) -> None:
    golden(DOCS, with_generated(DOCS, "the records of lessons", schema.lesson_field_tables()))
