"""A report as one offline page, and as a notebook cell: words first, pictures next, numbers behind them.

The page holds no script and asks for nothing: its policy admits one style sheet, by hash, and nothing else. Every name
passes through :mod:`headwater.report.markup`, which escapes whatever is not markup already.
"""

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from headwater.report.markup import Html, el
from headwater.report.sections.about import coverage_sections, run_section, watch_sections
from headwater.report.sections.findings import verdict_section
from headwater.report.sections.flow import flow_section
from headwater.report.sections.parts import pill
from headwater.report.sections.proof import change_section, proof_section
from headwater.report.sections.waterfall import waterfall_section
from headwater.report.words import Words, best_prescription

if TYPE_CHECKING:
    from headwater.report.payload import Report


def page(report: "Report", words: Words) -> str:
    """The whole page."""
    style = _style()
    body = el(
        "div",
        _masthead(report, words),
        el("main", verdict_section(report, words), *_sections(report, words)),
        el("footer", words("report.footer", version=report.run.headwater)),
        class_="hw page",
    )
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_policy(style)),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="referrer", content="no-referrer"),
        el("meta", name="generator", content=f"headwater {report.run.headwater}"),
        el("title", words("report.title", model=report.run.model)),
        el("style", style),
    )
    return "<!DOCTYPE html>\n" + el("html", head, el("body", body), lang=words.language) + "\n"


def cell(report: "Report", words: Words) -> str:
    """A compact form for a notebook: the verdict, the findings, the flow and the proof's sentence."""
    parts = [verdict_section(report, words), flow_section(report, words, numbers=False)]
    if report.proof:
        parts.append(el("p", pill(report.proof.verdict, words), " ", words.proof_sentence(report.proof), class_="lead"))
    return el("div", el("style", _style()), *parts, class_="hw cell", lang=words.language)


@cache
def _style() -> Html:
    """The style sheet, which is ours and markup already."""
    return Html(files("headwater.report").joinpath("style.css").read_text(encoding="utf-8"))


def _policy(style: Html) -> str:
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _masthead(report: "Report", words: Words) -> Html:
    run = report.run
    return el(
        "header",
        el("span", _logo(), "headwater", class_="brand"),
        el("span", run.model, " · ", el("time", run.created[:10], datetime=run.created), class_="meta"),
        class_="masthead",
    )


def _logo() -> Html:
    wave = "M2 7c3-4 5-4 8 0s5 4 8 0M2 13c3-4 5-4 8 0s5 4 8 0"
    return el("svg", el("path", d=wave), xmlns="http://www.w3.org/2000/svg", viewBox="0 0 20 20", aria_hidden="true")


def _sections(report: "Report", words: Words) -> list[Html]:
    sections = [flow_section(report, words)]
    if report.diagnosis.waterfall:
        sections.append(waterfall_section(report, report.diagnosis.waterfall, words))
    if report.proof:
        sections.append(proof_section(report.proof, words))
    prescription = best_prescription(report.diagnosis, report.proof)
    if prescription:
        sections.append(change_section(prescription, words))
    return [*sections, *watch_sections(report, words), *coverage_sections(report, words), run_section(report, words)]
