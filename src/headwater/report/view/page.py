"""The page around a view: one offline file, or the shell that a live page starts from. Script and style are the same.

Script and style come from ``web/`` and lie built in ``report/web/``. An offline page admits these two, by hash, and no
request at all; its data are JSON in an element that no browser runs.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from headwater import __version__
from headwater.i18n import LANGUAGES
from headwater.i18n.catalog import catalog
from headwater.records import encode
from headwater.report.files import strict_json
from headwater.report.markup import Html, el, join
from headwater.report.view.course import Course
from headwater.report.view.payload import REPORT_BYTES, View, view_of
from headwater.report.view.sentences import Said
from headwater.report.words import Words

Mode = Literal["offline", "live"]

# Texts that the page's script asks for, by the beginnings of their ids.
DATA_ID = "headwater-data"  # of the element that holds the data
TEXTS = ("view.", "statistic.", "category.", "severity.", "report.percent")
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


@dataclass(frozen=True)
class Difference:
    """What two runs on one page have to do with each other.

    Attributes:
        said: The largest differences in words, largest first.
        pairs: Indices of the sites of the one and of the other that are the same.
        renamed: Names of sites that are the same under another name, of the one and of the other.
        only_first: Names of sites that only the first has.
        only_second: Names of sites that only the second has.
    """

    said: tuple[Said, ...]
    pairs: tuple[tuple[int, int], ...]
    renamed: tuple[tuple[str, str], ...] = ()
    only_first: tuple[str, ...] = ()
    only_second: tuple[str, ...] = ()


def offline_page(courses: Sequence[Course], language: str | None = None, difference: Difference | None = None) -> str:
    """One HTML file with one run or two, which opens anywhere and asks nobody for anything.

    Args:
        courses: One, or two to compare.
        language: ``en`` or ``ko`` to begin with; by default the one in force.
        difference: What the two have to do with each other.

    Raises:
        InputError: For another language.
    """
    words = Words.of(language)
    bare = len(_offline([], words, difference))
    room = max(REPORT_BYTES - bare - 40_000 * len(courses), 60_000) // len(courses)
    while True:
        page = _offline([view_of(course, room=room) for course in courses], words, difference)
        size = len(page.encode("utf-8", "replace"))
        if size <= REPORT_BYTES or room < 20_000:
            return page
        room = room - (size - REPORT_BYTES) // len(courses) - 5_000  # words took more than was set aside


def live_shell(language: str | None = None) -> str:
    """The page that a live view starts from: it holds no number, and asks the server it came from."""
    words = Words.of(language)
    data = _data("live", [], words, None)
    head = [
        el("link", rel="stylesheet", href="/app.css"),
        el("link", rel="icon", href="data:,"),
    ]
    return _document(head, Html('<script src="/app.js" defer></script>'), data, Html(""), "headwater", words)


def script() -> str:
    """The page's script."""
    return _asset("app.js")


def style() -> str:
    """The page's style sheet."""
    return _asset("app.css")


@cache
def _asset(name: str) -> str:
    return files("headwater.report").joinpath("web", name).read_text(encoding="utf-8")


@cache
def texts() -> dict[str, dict[str, str]]:
    """By language, the templates that the page's script fills in."""
    return {
        language: {id_: text for id_, text in catalog(language).items() if id_.startswith(TEXTS)}
        for language in LANGUAGES
    }


def _offline(views: list[View], words: Words, difference: Difference | None) -> str:
    data = _data("offline", [view.to_dict() for view in views], words, difference)
    policy = (
        f"default-src 'none'; script-src '{_hash(script())}'; style-src '{_hash(style())}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    head = [
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("link", rel="icon", href="data:,"),
        Html(f"<style>{style()}</style>"),
    ]
    name = " · ".join(view.name for view in views)
    plain = join(*(_in_words(view, words) for view in views))
    return _document(head, Html(f"<script>{script()}</script>"), data, plain, name or "headwater", words)


def _document(head: list[Html], code: Html, data: Html, plain: Html, title: str, words: Words) -> str:
    metas = [
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="referrer", content="no-referrer"),
        el("meta", name="generator", content=f"headwater {__version__}"),
        el("title", title),
    ]
    noscript = el("noscript", plain, el("p", words("view.no_script")))
    body = el("body", el("div", id="app"), noscript, data, code)
    return "<!DOCTYPE html>\n" + el("html", el("head", *metas, *head), body, lang=words.language) + "\n"


def _in_words(view: View, words: Words) -> Html:
    """What a reader sees whose browser runs no script."""
    findings = [el("li", getattr(finding.sentence, words.language)) for finding in view.findings]
    return join(el("h1", getattr(view.headline, words.language)), el("ul", *findings) if findings else None)


def _data(mode: Mode, views: list[dict[str, Any]], words: Words, difference: Difference | None) -> Html:
    data: Mapping[str, Any] = {
        "mode": mode,
        "language": words.language,
        "texts": texts(),
        "views": views,
        "difference": encode(difference) if difference else None,
    }
    written = strict_json(data)
    for char, escaped in _UNSAFE.items():
        written = written.replace(char, escaped)
    return Html(f'<script type="application/json" id="{DATA_ID}">{written}</script>')


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode("utf-8")).digest()).decode("ascii")
