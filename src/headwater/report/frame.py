"""The frame of every page: one offline file with one style sheet, no script, and a policy that admits nothing else."""

import base64
import hashlib
from functools import cache
from importlib.resources import files

from headwater.report.markup import Html, el
from headwater.report.words import Words


def document(title: str, meta: Html, main: Html, version: str, words: Words) -> str:
    """The whole page.

    Args:
        title: What a browser's tab is called.
        meta: Beside the brand, at the top.
        main: The content.
        version: Of headwater.
        words: In the page's language.
    """
    body = el(
        "div",
        _masthead(meta),
        main,
        el("footer", words("report.footer", version=version)),
        class_="hw page",
    )
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_policy(style())),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="referrer", content="no-referrer"),
        el("meta", name="generator", content=f"headwater {version}"),
        el("title", title),
        el("style", style()),
    )
    return "<!DOCTYPE html>\n" + el("html", head, el("body", body), lang=words.language) + "\n"


@cache
def style() -> Html:
    """The style sheet, which is ours and markup already."""
    return Html(files("headwater.report").joinpath("style.css").read_text(encoding="utf-8"))


def _policy(style: Html) -> str:
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _masthead(meta: Html) -> Html:
    return el(
        "header",
        el("span", _logo(), "headwater", class_="brand"),
        el("span", meta, class_="meta"),
        class_="masthead",
    )


def _logo() -> Html:
    wave = "M2 7c3-4 5-4 8 0s5 4 8 0M2 13c3-4 5-4 8 0s5 4 8 0"
    return el("svg", el("path", d=wave), xmlns="http://www.w3.org/2000/svg", viewBox="0 0 20 20", aria_hidden="true")
