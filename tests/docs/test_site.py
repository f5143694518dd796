"""The site is built without a warning, and every link, anchor and picture on it leads somewhere, in both languages."""

import re
import shutil
import tomllib
from html.parser import HTMLParser
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.helpers import ROOT
from website.__main__ import CONFIGURATIONS, build, serve
from website.layout import DOCS, ENGLISH_ONLY, LANGUAGES, LayoutError, lay_out, pages, source_of

ENGLISH_FOR_DEVELOPERS = {
    "abyss.md", "architecture.md", "changes.md", "contributing.md", "faults.md", "json.md", "log.md", "prediction.md",
    "repairs.md", "run-format.md", "thresholds.md",
}  # fmt: skip
"""Pages that may be in English only; every other page is in Korean too."""


class Page(HTMLParser):
    """The links, pictures and anchors of one page, and what would be loaded with it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.language = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "html":
            self.language = given.get("lang", "")
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in ("img", "script", "iframe", "source") and "src" in given:
            self.loaded.append(given["src"])
        if tag == "link" and given.get("rel") not in ("prev", "next"):
            self.loaded.append(given["href"])


def test_site_is_built_without_a_warning_and_nothing_on_it_leads_nowhere(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in CONFIGURATIONS:
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "website" / "theme", tmp_path / "website" / "theme")
    status = build(tmp_path)
    told = capfd.readouterr()
    assert status == 0, told.out + told.err
    assert (told.out + told.err).count("No issues found") == len(CONFIGURATIONS), told.out + told.err
    site = tmp_path / "build" / "site"
    known = {path: Page(path) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}
    problems = [problem for path, page in known.items() for problem in problems_of(path, page, known, site)]
    assert problems == []
    assert len(known) == len(LANGUAGES) * len(pages())
    for path, page in known.items():
        assert page.language == ("ko" if path.is_relative_to(site / "ko") else "en"), path
        assert other_language(path, site) in [target(link, path) for link in page.links], f"{path}: no language switch"


def problems_of(path: Path, page: Page, known: dict[Path, Page], site: Path) -> list[str]:
    where = path.relative_to(site)
    found = [f"{where} loads {address} from elsewhere" for address in page.loaded if "//" in address]
    for address in (*page.links, *(a for a in page.loaded if "//" not in a)):
        if re.match(r"(https?:|mailto:|javascript:|data:)", address):
            continue
        there, _, anchor = address.partition("#")
        aim = target(there, path)
        if not aim.is_file():
            found.append(f"{where} leads to {address}, which is not there")
        elif anchor and aim in known and unquote(anchor) not in known[aim].anchors:
            found.append(f"{where} leads to {address}, and there is no such anchor")
    html = path.read_text(encoding="utf-8")
    article = re.sub(
        r"<(pre|code)\b.*?</\1>", "", html[html.index("<article") : html.index("</article>")], flags=re.DOTALL
    )
    # What a Markdown reader has not understood is left as it was written.
    found += [
        f"{where} shows {text!r} as it is written"
        for text in re.findall(r"<p>\|.{20}|\n- .{20}|\]\([^)]{,40}\)", article)
    ]
    return found


def target(address: str, path: Path) -> Path:
    """The file that a link on a page leads to."""
    aim = (path.parent / unquote(address.partition("#")[0])).resolve() if address.partition("#")[0] else path
    return aim / "index.html" if aim.is_dir() else aim


def other_language(path: Path, site: Path) -> Path:
    where = path.relative_to(site)
    return site / Path(*where.parts[1:]) if where.parts[0] == "ko" else site / "ko" / where


def configuration(name: str) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / name).read_text(encoding="utf-8"))["project"]
    return project


def places(nav: list[Any]) -> list[Any]:
    """A navigation without its words."""
    return [next(iter(entry.values())) if isinstance(next(iter(entry.values())), str) else
            places(next(iter(entry.values()))) for entry in nav]  # fmt: skip


def flat(nav: list[Any]) -> list[str]:
    return [page for entry in nav for page in (flat(entry) if isinstance(entry, list) else [entry])]


def test_both_languages_have_the_same_pages_at_the_same_places_and_the_same_settings() -> None:
    english, korean = map(configuration, CONFIGURATIONS)
    assert places(english["nav"]) == places(korean["nav"])
    assert sorted(flat(places(english["nav"]))) == sorted(pages()), "every page is in the navigation, once"
    for key in ("use_directory_urls", "extra_css", "markdown_extensions", "validation"):
        assert english[key] == korean[key]
    for key in ("font", "features", "custom_dir"):
        assert english["theme"][key] == korean["theme"][key]
    assert [project["theme"]["language"] for project in (english, korean)] == list(LANGUAGES)


def test_every_page_that_a_user_reads_is_in_korean_and_the_others_say_that_they_are_not(tmp_path: Path) -> None:
    lay_out(tmp_path)
    for name in pages():
        is_korean = source_of(name, "ko").name.endswith(".ko.md")
        assert is_korean != (name in ENGLISH_FOR_DEVELOPERS), name
        assert (ENGLISH_ONLY in (tmp_path / "ko" / name).read_text(encoding="utf-8")) != is_korean, name
    orphans = [p.name for p in DOCS.rglob("*.ko.md") if not p.with_name(p.name.replace(".ko.md", ".md")).exists()]
    assert orphans == []


def test_a_link_to_a_file_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("website.layout.DOCS", tmp_path)
    monkeypatch.setattr("website.layout.ROOT", tmp_path)
    monkeypatch.setattr("website.layout.FROM_THE_ROOT", {})
    (tmp_path / "page.md").write_text("# Page\n\n```text\n[in code](nowhere.md)\n```\n\n[dead](nowhere.md)\n")
    with pytest.raises(LayoutError, match=r"page\.md links to nowhere\.md"):
        lay_out(tmp_path / "out")


def test_site_is_shown_until_ctrl_c(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def until_ctrl_c(server: ThreadingHTTPServer) -> None:
        assert server.server_address[0] == "127.0.0.1"
        raise KeyboardInterrupt

    monkeypatch.setattr(ThreadingHTTPServer, "serve_forever", until_ctrl_c)
    monkeypatch.setattr("website.__main__.build", lambda: 0)
    assert serve(0) == 0
    assert "http://127.0.0.1:" in capsys.readouterr().out


def test_site_with_a_warning_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ThreadingHTTPServer, "serve_forever", lambda server: pytest.fail("it is shown"))
    monkeypatch.setattr("website.__main__.build", lambda: 1)
    assert serve(0) == 1


def test_a_chapter_of_the_english_page_is_looked_for_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("website.layout.DOCS", tmp_path)
    monkeypatch.setattr("website.layout.ROOT", tmp_path)
    monkeypatch.setattr("website.layout.FROM_THE_ROOT", {})
    (tmp_path / "a.md").write_text("# A\n")
    (tmp_path / "a.ko.md").write_text("# 가\n\n[b](b.md#chapter) [b](b.ko.md#장) [b](b.ko.md) [c](c.md#chapter)\n")
    (tmp_path / "b.md").write_text("# B\n\n## Chapter\n")
    (tmp_path / "b.ko.md").write_text("# 나\n\n## 장\n")
    (tmp_path / "c.md").write_text("# C\n\n## Chapter\n")
    lay_out(tmp_path / "out")
    page = (tmp_path / "out" / "ko" / "a.md").read_text()
    assert re.findall(r"\((.*?)\)", page) == ["../b.html#chapter", "b.md#장", "b.md", "c.md#chapter"]
