import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from headwater.records import Finding, Message
from headwater.report import Report
from headwater.report.terminal import MOST_LINES, lines, plain
from headwater.report.words import Words
from tests.report import samples
from tests.report.hostile import NAMES

GOLDEN = Path(__file__).parent / "golden"
CASES: dict[str, Callable[[], Report]] = {
    "proof": samples.report,
    "check": lambda: samples.report(with_proof=False),
    "one_finding": lambda: only(samples.report(with_proof=False), 1),
    "broken": samples.broken,
    "healthy": samples.healthy,
    "cannot_tell": samples.cannot_tell,
    "one_site": lambda: samples.healthy(1),
    "deep": lambda: samples.report(150),
}


def only(report: Report, count: int) -> Report:
    return replace(report, diagnosis=replace(report.diagnosis, findings=report.findings[:count]))


def printed(report: Report, **options: object) -> str:
    console = Console(file=io.StringIO(), **{"width": 80, **options})
    report.render(console)
    return console.file.getvalue()


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("case", CASES)
def test_terminal_is_as_recorded(case: str, language: str, golden: Callable[[Path, str], None]) -> None:
    golden(GOLDEN / f"{case}.{language}.txt", plain(CASES[case](), Words(language)) + "\n")


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("width", [80, 100, 200])
def test_terminal_fits_one_screen(case: str, language: str, width: int) -> None:
    shown = lines(CASES[case](), Words(language), width)
    assert len(shown) <= MOST_LINES
    assert max(cell_len(line.plain) for line in shown) <= min(width, 100)


@pytest.mark.parametrize("width", [20, 40, 60])
def test_terminal_keeps_to_narrow_screens(width: int) -> None:
    assert max(cell_len(line.plain) for line in lines(samples.report(), Words("ko"), width)) <= width


def test_terminal_fits_with_the_longest_words() -> None:
    long = Message("sample.not_updating", {"site": "x" * 500, "fraction": "y " * 500})
    finding = replace(samples.report().findings[0], message=long, sites=("z" * 300, "w" * 300))
    diagnosis = replace(samples.report().diagnosis, findings=(finding,) * 7, unchecked=(long,) * 9)
    report = replace(samples.report(), diagnosis=diagnosis)
    shown = lines(report, Words("en"))
    assert len(shown) <= MOST_LINES
    assert max(cell_len(line.plain) for line in shown) <= 80
    assert any("and 4 more findings" in line.plain for line in shown)
    assert any("accuracy 0.103 → 0.927" in line.plain for line in shown)


def test_terminal_says_first_what_matters() -> None:
    shown = str(samples.report()).splitlines()
    assert shown[0] == "✗ 3 findings: 1 critical, 2 warnings"
    assert "1.4e-27" in "".join(shown[:8])
    assert "0.0 " not in "".join(shown)
    assert any("activation derivative 73 %" in line for line in shown)


def test_terminal_speaks_the_language_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_LANG", "ko")
    assert str(samples.healthy()).startswith("✓ 정상")


def test_terminal_has_colour_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b" in printed(samples.report(), force_terminal=True, color_system="truecolor")
    assert "\x1b" not in printed(samples.report())
    assert printed(samples.report()).split() == str(samples.report()).split()


def test_terminal_has_no_colour_under_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "38;" not in printed(samples.report(), force_terminal=True)


@pytest.mark.parametrize("name", NAMES)
def test_terminal_obeys_no_name(name: str) -> None:
    finding: Finding = samples.not_updating(name)
    diagnosis = replace(samples.report().diagnosis, findings=(finding,))
    site = replace(
        samples.report().flow.sites[0], site=replace(samples.report().flow.sites[0].site, name=name, op=name)
    )
    flow = replace(samples.report().flow, sites=(site, *samples.report().flow.sites[1:]))
    report = replace(
        samples.report(), diagnosis=diagnosis, flow=flow, run=replace(samples.RUN, model=name, device=name)
    )
    shown = printed(report)
    assert not set(shown) & set("\x1b\x9b\x00\u202e\u2066\u2069\u2028\x07\r")
    assert len(shown.splitlines()) <= MOST_LINES
    assert max(map(cell_len, shown.splitlines())) <= 80


def test_terminal_writes_where_unicode_is_missing() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    samples.report().render(Console(file=file, width=80))
    file.flush()
    assert b"x 3 findings" in file.buffer.getvalue()


def test_terminal_says_what_a_bare_number_names() -> None:
    report = samples.report()
    title = next(line.plain for line in lines(report, Words("en")) if "not updating" in line.plain)
    assert title.endswith(" · site 0")
    parameter = replace(report.diagnosis.findings[-1], sites=("0.weight",))
    report = replace(report, diagnosis=replace(report.diagnosis, findings=(parameter,)))
    assert lines(report, Words("en"))[3].plain.endswith(" · 0.weight")


def test_terminal_bars_of_a_flat_network_look_flat() -> None:
    levels = [-2.0, -2.4, -2.8]
    sites = tuple(samples.sigmoid_site(order, 2, level) for order, level in enumerate(levels))
    report = replace(samples.healthy(3), flow=replace(samples.healthy(3).flow, sites=sites))
    bars = [line.plain.count("█") for line in lines(report, Words("en")) if "█" in line.plain]
    assert bars == [18, 16, 14]
