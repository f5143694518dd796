"""A report as one offline page, and as a notebook cell: words first, pictures next, numbers behind them.

The page holds no script and asks for nothing: its policy admits one style sheet, by hash, and nothing else. Every name
passes through :mod:`headwater.report.markup`, which escapes whatever is not markup already.
"""

from typing import TYPE_CHECKING

from headwater.report.frame import document, style
from headwater.report.markup import Html, el, join
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
    run = report.run
    meta = join(run.model, " · ", el("time", run.created[:10], datetime=run.created))
    main = el("main", verdict_section(report, words), *_sections(report, words))
    return document(words("report.title", model=run.model), meta, main, run.headwater, words)


def cell(report: "Report", words: Words) -> str:
    """A compact form for a notebook: the verdict, the findings, the flow and the proof's sentence."""
    parts = [verdict_section(report, words), flow_section(report, words, numbers=False)]
    if report.proof:
        parts.append(el("p", pill(report.proof.verdict, words), " ", words.proof_sentence(report.proof), class_="lead"))
    return el("div", el("style", style()), *parts, class_="hw cell", lang=words.language)


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
