import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from headwater.records import Evidence, Message
from headwater.report import Report
from headwater.report.html import cell, page
from headwater.report.words import Words
from tests.report import samples
from tests.report.hostile import NAMES
from tests.report.pages import (
    Reader,
    assert_harmless,
    assert_pictures_stay_inside,
    assert_policy_admits_its_own_style_only,
    pictures,
)

GOLDEN = Path(__file__).parent / "golden"
CASES: dict[str, Callable[[], Report]] = {
    **samples.CASES,
    "one_site": lambda: samples.healthy(1),
    "small": lambda: samples.report(2),
    "deep": lambda: samples.report(150),
    "abyss": lambda: samples.report(500),
}


@pytest.mark.parametrize("language", ["en", "ko"])
def test_page_is_as_recorded(language: str, golden: Callable[[Path, str], None]) -> None:
    golden(
        GOLDEN / f"small.{language}.html",
        page(samples.report(2, with_proof=False).with_proof(samples.proof(seeds=2, steps=12)), Words(language)),
    )


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("case", CASES)
def test_page_is_one_harmless_file(case: str, language: str) -> None:
    content = page(CASES[case](), Words(language))
    reader = assert_harmless(content)
    assert content.startswith("<!DOCTYPE html>")
    assert ("lang", language) in reader.attributes
    assert not re.search(
        r"(?<![\w.])(nan|inf|-inf)(?![\w-])", re.sub(r"<style>.*?</style>", "", content, flags=re.DOTALL)
    )
    for drawn in pictures(content):
        assert (drawn.get("role") == "img" and drawn.get("aria-label")) or drawn.get("aria-hidden") == "true"


@pytest.mark.parametrize("case", CASES)
def test_pictures_stay_inside_their_frame(case: str) -> None:
    assert_pictures_stay_inside(page(CASES[case](), Words("en")))


def test_page_policy_admits_its_own_style_only() -> None:
    content = page(samples.report(), Words("en"))
    assert_policy_admits_its_own_style_only(content)


@pytest.mark.parametrize("name", NAMES)
def test_page_shows_any_name_as_text(name: str) -> None:
    report = samples.report(2)
    rows = tuple(replace(row, site=replace(row.site, name=name, op=name)) for row in report.flow.sites)
    finding = replace(
        report.findings[0],
        symptom=name,
        sites=(name, name),
        evidence=(Evidence(name, name, 1.0, name, name),),
        causes=(replace(report.findings[0].causes[0], id=name, why=Message(name)),),
        prescriptions=(replace(report.findings[0].prescriptions[0], remedies=(name,), code=name),),
        message=Message("sample.not_updating", {"site": name, "fraction": name}),
    )
    assert report.diagnosis.waterfall
    waterfall = replace(
        report.diagnosis.waterfall, first=name, last=name, totals={name: report.diagnosis.waterfall.decades}
    )
    diagnosis = replace(
        report.diagnosis, findings=(finding,) * 5, waterfall=waterfall, checked=(name,), unchecked=(Message(name),)
    )
    run = replace(report.run, model=name, device=name, created=name, headwater=name, torch=name)
    hostile = replace(report, run=run, diagnosis=diagnosis, flow=replace(report.flow, sites=rows, optimizer=name))
    content = page(hostile, Words("en"))
    reader = assert_harmless(content)
    expected = set(Reader(page(report, Words("en"))).tags) | {"details", "ul", "li", "summary"}
    assert set(reader.tags) == expected - (set() if name else {"pre", "code"})
    assert not set(content) & set("\x1b\x9b\x00\u202e\u2066\u2069\u2028\x07\r")
    pictures(content)


def test_page_of_60_sites_is_small() -> None:
    content = page(samples.report(30), Words("ko"))
    assert len(content.encode()) <= 600_000


def test_page_says_first_what_matters() -> None:
    text = Reader(page(samples.report(), Words("en"))).text
    order = [
        "3 findings: 1 critical, 2 warnings",
        "proven",
        "vanishing gradient",
        "1.4e-27",
        "activation derivative",
        "73 %",
        "The flow, layer by layer",
        "Where the gradient goes",
        "The proof",
        "0.824",
        "The change",
        "kaiming_normal_",
        "When it would be wrong",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_page_shows_shares_that_sum_to_one() -> None:
    budget = re.search(r'<table class="budget">(.*?)</table>', page(samples.report(), Words("en")), re.DOTALL)
    assert budget
    shares = [int(share) for share in re.findall(r'<td class="num">(-?\d+) %</td>', budget[1])]
    assert sum(shares[:-1]) == shares[-1] == 100


def test_page_draws_every_decade_of_the_waterfall() -> None:
    """The bars' heights, up and down, span what the axis says they do: nothing is lost by drawing sites together."""
    report = samples.report(150)
    assert report.diagnosis.waterfall
    assert sum(report.diagnosis.waterfall.totals.values()) == pytest.approx(report.diagnosis.waterfall.decades)
    assert sum(bar.decades for bar in report.diagnosis.waterfall.bars) == pytest.approx(
        report.diagnosis.waterfall.decades
    )
    text = Reader(page(report, Words("en"))).text
    assert "-126.0" in text
    assert "Neighbouring layers share a column" in text


def test_page_marks_zero_nonfinite_and_missing() -> None:
    content = page(samples.broken(), Words("en"))
    text = Reader(content).text
    assert all(key in text for key in ("exactly zero", "NaN or Inf", "gap: no gradient arrived"))
    assert 'class="broken-cross"' in content
    assert "url(#hw-zero-wide)" in content
    assert "url(#hw-zero-narrow)" in content
    assert "unknown.message" in text


def test_page_survives_a_proof_that_broke_off() -> None:
    proof = samples.proof()
    treated = replace(
        proof.arm("treated"),
        metrics=(float("nan"),) * 5,
        losses=((2.3, float("inf")), (), (1e300,), (-1.0,), (0.0,)),
        failures=("loss is <b>NaN</b>",) * 5,
    )
    arms = tuple(treated if arm.name == "treated" else arm for arm in proof.arms)
    nan = float("nan")
    proof = replace(
        proof,
        verdict="not_proven",
        arms=arms,
        effect=nan,
        interval=(nan, nan),
        placebo_interval=(-1e308, 1e308),
        metric_after=nan,
    )
    content = page(samples.report(2).with_proof(proof), Words("en"))
    assert "loss is NaN" not in content
    assert "&lt;b&gt;NaN" in content
    assert_harmless(content)
    pictures(content)


def test_page_survives_a_proof_without_runs() -> None:
    proof = replace(samples.proof(), arms=(), seeds=(), steps=0)
    assert_harmless(page(samples.report(2).with_proof(proof), Words("ko")))


def test_cell_is_a_part_without_script() -> None:
    content = cell(samples.report(), Words("en"))
    assert content == samples.report()._repr_html_()
    assert content.startswith('<div class="hw cell"')
    reader = assert_harmless(f"<style></style>{content}".replace("<style></style>", "", 1))
    assert "table" not in reader.tags
    assert len(content) < 120_000
