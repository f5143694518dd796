"""The page around a view: hostile names act nowhere, nothing is asked of anybody, and every word is there."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from headwater.i18n.catalog import catalog
from headwater.records import Event, Message, Site
from headwater.report.view import Course, offline_page
from headwater.report.view.page import TEXTS, Difference, live_shell, script, style, texts
from headwater.report.view.sentences import Said
from tests.helpers import ROOT
from tests.hostile import HOSTILE
from tests.report.pages import Reader
from tests.runs import large_course

WEB = ROOT / "web" / "src"
DATA = re.compile(r'<script type="application/json" id="headwater-data">(.*?)</script>', re.DOTALL)


def hostile_course() -> Course:
    course = large_course(3, 5, name=HOSTILE)
    sites = tuple(Site(HOSTILE + str(i), HOSTILE, "affine", i, HOSTILE) for i in range(3))
    events = (Event(1, Message("event.probe_failed", {"error": HOSTILE})), Event(2, Message(HOSTILE, {"x": HOSTILE})))
    return replace(course, sites=sites, events=events)


def data_of(page: str) -> dict:
    return json.loads(DATA.search(page)[1])


@pytest.fixture(scope="module")
def page() -> str:
    return offline_page([large_course(6, 40)], "en")


def test_hostile_names_are_data_and_nothing_else() -> None:
    page = offline_page([hostile_course()], "en")
    reader = Reader(page)
    assert reader.tags.count("script") == 2
    assert "img" not in reader.tags
    inside = DATA.search(page)[1]
    assert not set("<>&\u2028\u2029") & set(inside)
    view = data_of(page)["views"][0]
    assert view["sites"][0]["name"].startswith("<img src=x")
    assert view["name"] == HOSTILE
    assert "{x.__class__}" in view["sites"][0]["name"]  # a name is never read as a template


def test_policy_admits_this_script_and_this_style_and_no_request(page: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1].replace("&#x27;", "'")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["base-uri"] == rules["form-action"] == "'none'"
    for kind, content in (("script", script()), ("style", style())):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"
        assert f">{content}</{kind}>" in page
    assert "connect-src" not in rules


def test_page_names_no_other_place(page: str) -> None:
    for attribute in re.findall(r'(?:src|href|action)="([^"]*)"', page):
        assert attribute.startswith(("#", "data:,")), attribute
    shell = live_shell("en")
    assert re.findall(r'(?:src|href)="([^"]*)"', shell) == ["/app.css", "data:,", "/app.js"]


def test_page_holds_no_path_of_this_machine(page: str) -> None:
    assert str(Path.home()) not in page
    assert str(ROOT) not in page


@pytest.mark.parametrize("language", ["en", "ko"])
def test_page_begins_in_the_language_asked_for_and_holds_both(language: str) -> None:
    page = offline_page([large_course(2, 4)], language)
    assert f'<html lang="{language}">' in page
    assert data_of(page)["language"] == language
    assert data_of(page)["texts"].keys() == {"en", "ko"}


def test_page_says_the_verdict_without_script(page: str) -> None:
    plain = re.search(r"<noscript>(.*?)</noscript>", page, re.DOTALL)[1]
    assert catalog("en")["view.not_judged"] in plain


def test_difference_travels_with_the_page() -> None:
    difference = Difference((Said("a", "b"),), ((0, 1),), (("x", "y"),), ("p",), ())
    page = offline_page([large_course(2, 4, "a"), large_course(2, 4, "b")], difference=difference)
    assert data_of(page)["difference"]["renamed"] == [["x", "y"]]
    assert [view["name"] for view in data_of(page)["views"]] == ["a", "b"]


def asked_ids() -> tuple[set[str], set[str]]:
    """Ids written out in the page's script, and beginnings of those that it puts together."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in sorted(WEB.rglob("*.ts*")))
    whole = set(re.findall(r'["`](view\.\w+)["`]', code))
    whole = {id_ for id_ in whole if not id_.endswith("_")}
    starts = set(re.findall(r'["`]((?:view|severity|statistic|category)\.\w*)\$\{', code))
    starts |= set(re.findall(r'named\("([\w.]+)"', code))
    return whole, starts


def test_every_word_that_the_script_asks_for_is_there() -> None:
    whole, starts = asked_ids()
    assert len(whole) > 50
    assert whole <= texts()["en"].keys()
    for start in starts:
        assert any(id_.startswith(start) for id_ in texts()["en"]), start


def test_every_word_of_the_page_is_asked_for() -> None:
    whole, starts = asked_ids()
    python = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src" / "headwater").rglob("*.py"))
    idle = {
        id_
        for id_ in catalog("en")
        if id_.startswith("view.")
        and id_ not in whole
        and not any(id_.startswith(start) for start in starts)
        and f'"{id_}"' not in python
    }
    assert not idle


def test_templates_of_the_page_have_plain_places_only() -> None:
    """The script fills in `{name}`; formats and particles are Python's."""
    for language in ("en", "ko"):
        for id_, template in texts()[language].items():
            if id_.startswith("view."):
                assert re.sub(r"\{\w+\}", "", template).count("{") == 0, id_
    assert all(id_.startswith(TEXTS) for id_ in texts()["en"])
