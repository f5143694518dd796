"""The page of the lab: a shell without numbers, and its script and style, which ``web/`` of the repository holds."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from headwater import __version__
from headwater.i18n import LANGUAGES
from headwater.i18n.catalog import catalog
from headwater.report.files import strict_json
from headwater.report.markup import Html, el
from headwater.report.words import Words

DATA_ID = "headwater-data"
TEXTS = ("lab.page.", "statistic.", "symptom.", "severity.", "category.", "view.", "report.percent")
"""Beginnings of the ids of the texts that the page's script fills in."""
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def shell(language: str | None, guide: str | None, classroom: bool) -> str:
    """The page that a browser starts from.

    Args:
        language: Of the page at first; by default the one in force.
        guide: The lesson it begins with.
        classroom: Whether others than this machine are served.
    """
    words = Words.of(language)
    data = {
        "mode": "lab",
        "language": words.language,
        "texts": texts(),
        "guide": guide,
        "classroom": classroom,
        "version": __version__,
    }
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", "headwater"),
        el("link", rel="stylesheet", href="/lab.css"),
        el("link", rel="icon", href="data:,"),
    )
    body = el(
        "body",
        el("div", id="app"),
        el("noscript", el("p", words("view.no_script"))),
        _data(data),
        Html('<script src="/lab.js" defer></script>'),
    )
    return "<!DOCTYPE html>\n" + el("html", head, body, lang=words.language) + "\n"


@cache
def asset(name: str) -> str | None:
    """The text of a file of the built page, ``None`` where there is none."""
    found = files("headwater.lab").joinpath("web", name)
    return found.read_text(encoding="utf-8") if found.is_file() else None


@cache
def texts() -> dict[str, dict[str, str]]:
    """By language, the templates that the page's script fills in."""
    return {
        language: {id: text for id, text in catalog(language).items() if id.startswith(TEXTS)} for language in LANGUAGES
    }


def _data(data: dict[str, Any]) -> Html:
    written = strict_json(data)
    for char, escaped in _UNSAFE.items():
        written = written.replace(char, escaped)
    return Html(f'<script type="application/json" id="{DATA_ID}">{written}</script>')
