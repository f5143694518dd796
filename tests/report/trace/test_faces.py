"""What a trace looks like: terminal, JSON and page, in both languages."""

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from rich.cells import cell_len
from rich.console import Console

from headwater.records import InputError
from headwater.report import Trace, schema
from headwater.report.lines import WIDTH
from headwater.report.trace.page import cell, page
from headwater.report.words import Words
from tests.helpers import ROOT, closed, with_generated
from tests.report.hostile import NAMES
from tests.report.pages import (
    SVG,
    Reader,
    assert_harmless,
    assert_pictures_stay_inside,
    assert_policy_admits_its_own_style_only,
    pictures,
)
from tests.report.trace import samples

GOLDEN = Path(__file__).parent / "golden"
DOCS = ROOT / "docs" / "json.md"
CASES: dict[str, Callable[[], Trace]] = {
    "chain": samples.chain,
    "long": lambda: samples.chain(60),
    "dead": lambda: samples.chain(5, dead=True),
    "network": samples.network,
    "layers": samples.layers,
    "blocked": lambda: samples.layers(3, blocked=True),
    "failing": samples.failing,
}
MORE = {
    **CASES,
    "abyss": lambda: samples.chain(900),
    "deep": lambda: samples.layers(400),
    "single": lambda: samples.chain(1),
}
LANGUAGES = pytest.mark.parametrize("language", ["en", "ko"])


def plain(trace: Trace, words: Words) -> str:
    """The lines of a terminal of 80 columns."""
    return "\n".join(line.plain.rstrip() for line in trace.lines(words, WIDTH))


@LANGUAGES
@pytest.mark.parametrize("case", CASES)
def test_terminal_is_as_recorded(case: str, language: str, golden: Callable[[Path, str], None]) -> None:
    golden(GOLDEN / f"{case}.{language}.txt", plain(CASES[case](), Words(language)) + "\n")


@LANGUAGES
@pytest.mark.parametrize("case", MORE)
@pytest.mark.parametrize("width", [40, 80, 200])
def test_terminal_keeps_to_its_width(case: str, language: str, width: int) -> None:
    shown = MORE[case]().lines(Words(language), width)
    assert max(cell_len(line.plain) for line in shown) <= min(width, 100)
    assert len(shown) <= (100 if width >= 80 else 140)


def test_terminal_leaves_the_middle_of_a_long_chain_out_visibly() -> None:
    shown = str(samples.chain(60))
    assert "… 19 more" in shown
    assert re.search(r"^ +2 ", shown, re.MULTILINE)
    assert re.search(r"^ +60 ", shown, re.MULTILINE)


def test_terminal_says_loudly_that_two_ways_disagree() -> None:
    console = Console(file=io.StringIO(), width=80)
    samples.failing().render(console)
    shown = console.file.getvalue()
    assert shown.startswith("✗ ∂p₃/∂w₁: the chain rule and autograd DISAGREE")
    assert "THEY DISAGREE" in shown
    assert "relative difference 0.25" in " ".join(shown.split())


def test_terminal_writes_where_unicode_is_missing() -> None:
    for make in CASES.values():
        file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        make().render(Console(file=file, width=80))
        file.flush()
        assert b"dL/d" in file.buffer.getvalue() or b"dp" in file.buffer.getvalue()
        assert b"?" not in file.buffer.getvalue().replace(b"? gradient along", b"")


@pytest.mark.parametrize("name", NAMES)
def test_no_face_obeys_a_name(name: str) -> None:
    trace = samples.layers()
    rows = tuple(replace(row, name=name, op=name) for row in trace.layers)
    hostile = replace(trace, layers=rows, parameter=name, run=replace(samples.RUN, model=name))
    shown = str(hostile)
    assert not set(shown) & set("\x1b\x9b\x00\u202e\u2066\u2069\u2028\x07\r")
    assert max(map(cell_len, shown.splitlines())) <= 80
    content = page(hostile, Words("en"))
    reader = assert_harmless(content)
    assert set(reader.tags) <= set(Reader(page(trace, Words("en"))).tags)
    assert not set(content) & set("\x1b\x9b\x00\u202e\u2066\u2069\u2028\x07\r")
    assert Trace.from_dict(json.loads(hostile.to_json())) == hostile


@LANGUAGES
@pytest.mark.parametrize("case", MORE)
def test_page_is_one_harmless_file(case: str, language: str) -> None:
    content = page(MORE[case](), Words(language))
    assert_policy_admits_its_own_style_only(content)
    reader = assert_harmless(content)
    assert ("lang", language) in reader.attributes
    drawn = pictures(content)
    assert any(one.get("role") == "img" for one in drawn)
    for one in drawn:
        assert (one.get("role") == "img" and one.get("aria-label")) or one.get("aria-hidden") == "true"
    assert len(content) < 1_500_000


@pytest.mark.parametrize("case", MORE)
def test_pictures_stay_inside_their_frame(case: str) -> None:
    assert_pictures_stay_inside(page(MORE[case](), Words("en")))


def test_bars_of_the_picture_reach_what_the_factors_multiply_to() -> None:
    """From the start's height to the end's: the bars' heights with their signs sum to the whole way."""
    trace = samples.chain(8)
    drawn = next(one for one in pictures(page(trace, Words("en"))) if one.get("class") == "wide" and one.get("role"))
    bars = [shape for shape in drawn.iter(f"{{{SVG}}}rect") if shape.get("class", "").startswith("bar ")]
    assert len(bars) == len(trace.factors)
    tops = [float(bar.attrib["y"]) for bar in bars]
    assert tops == sorted(tops)  # every factor of this chain is below 1, and the input is 1
    total = max(float(bar.attrib["y"]) + float(bar.attrib["height"]) for bar in bars) - min(tops)
    ticks = [(float(line.attrib["y1"]), line) for line in drawn.iter(f"{{{SVG}}}line") if line.get("class") == "grid"]
    labels = re.findall(r">10<tspan[^>]*>(−?\d+)<", page(trace, Words("en")))[: len(ticks)]
    decade = (ticks[-1][0] - ticks[0][0]) / (int(labels[-1].replace("−", "-")) - int(labels[0].replace("−", "-")))
    assert total / abs(decade) == pytest.approx(-trace.gradient.log10, rel=0.03)


def test_page_says_first_what_matters() -> None:
    text = Reader(page(samples.network(), Words("en"))).text
    order = [
        "∂L/∂0.weight[0,0] = -0.0429",
        "the loss falls",
        "Forward and backward",
        "0.7311",
        "The check",
        "Relative difference",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_every_number_of_the_picture_is_in_a_table_too() -> None:
    text = Reader(page(samples.network(), Words("en"))).text
    tables = text[text.index("Every unit") :]
    for number in ("0.7311", "-0.04292", "0.5575", "0.2467", "2.weight[0,1]", "-0.1596"):
        assert number in tables


def test_cell_is_a_part_without_tables() -> None:
    content = cell(samples.chain(), Words("en"))
    assert content == samples.chain()._repr_html_()
    assert "table" not in Reader(content).tags


@pytest.mark.parametrize("case", MORE)
def test_json_is_strict_valid_and_comes_back(case: str) -> None:
    trace = MORE[case]()
    data = json.loads(trace.to_json(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    jsonschema.Draft202012Validator(closed(schema.stored_schema(schema.TRACE_FILE))).validate(data)
    assert data["schema"] == "headwater/trace/1"
    assert Trace.from_dict(data) == trace


def test_json_messages_are_also_words() -> None:
    data = samples.network().to_dict("ko")
    assert data["language"] == "ko"
    assert data["target"]["text"] == "평균 제곱 오차"
    assert data["notes"][0]["text"].startswith("표본 5개 가운데")


def test_save_chooses_by_ending_and_load_reads_back(tmp_path: Path) -> None:
    trace = samples.network()
    assert trace.save(tmp_path / "t.html", "ko").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert Trace.load(trace.save(tmp_path / "t.json")) == trace
    with pytest.raises(InputError, match=r"trace is saved as \.html or \.json.*trace\.save"):
        trace.save(tmp_path / "t.pdf")
    with pytest.raises(InputError, match="choose one of en, ko"):
        trace.to_json("fr")


def test_load_says_what_is_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text('{"schema":"headwater/report/1"}')
    with pytest.raises(InputError, match=r"is no headwater trace: expected schema 'headwater/trace/1'"):
        Trace.load(path)


def test_schema_is_as_shipped(golden: Callable[[Path, str], None]) -> None:
    golden(Path(schema.__file__).with_name(schema.TRACE_FILE), schema.as_json(schema.trace_schema()))


def test_schema_documents_every_field() -> None:
    jsonschema.Draft202012Validator.check_schema(schema.trace_schema())
    silent = [
        f"{name}.{field}"
        for name, definition in schema.trace_schema()["$defs"].items()
        for field, kind in definition["properties"].items()
        if field != "schema" and not kind.get("description")
    ]
    assert silent == []


def test_docs_list_every_field(golden: Callable[[Path, str], None]) -> None:
    golden(DOCS, with_generated(DOCS, "the records of a trace", schema.trace_field_tables()))
