"""A cure as one offline page."""

from headwater.i18n import number
from headwater.records.cure import Cure
from headwater.report import charts
from headwater.report.cure import STATUS, comparison, sentences, standing, title
from headwater.report.frame import document, style
from headwater.report.markup import Html, code, el, join
from headwater.report.sections.about import run_section_of
from headwater.report.sections.parts import table
from headwater.report.sections.proof import proof_section
from headwater.report.words import Words, glyph


def page(cure: Cure, words: Words) -> str:
    """The whole page."""
    run = cure.run
    meta = join(run.model, " · ", el("time", run.created[:10], datetime=run.created))
    main = el("main", *_sections(cure, words), run_section_of(run, words))
    return document(words("cure.title", model=run.model), meta, main, run.headwater, words)


def cell(cure: Cure, words: Words) -> str:
    """The sections alone."""
    return el("div", el("style", style()), *_sections(cure, words), class_="hw cell", lang=words.language)


def _sections(cure: Cure, words: Words) -> list[Html]:
    sections = [_verdict(cure, words)]
    if cure.proof is not None:
        sections.append(_before_and_after(cure, words))
    if cure.patch:
        sections.append(_change(cure, words))
    if cure.candidates:
        sections.append(_candidates(cure, words))
    if cure.proof is not None:
        sections.append(proof_section(cure.proof, words))
    return sections


def _verdict(cure: Cure, words: Words) -> Html:
    status = STATUS.get(cure.verdict, cure.verdict)
    head = el("h1", el("span", glyph(status), class_=f"glyph {status}", aria_hidden="true"), title(cure, words))
    told = [el("p", sentence, class_="lead") for sentence in sentences(cure, words)]
    notes = [el("p", words.say(note), class_="note") for note in cure.notes]
    return el("section", head, *told, *notes, class_="verdict", id="cure")


def _before_and_after(cure: Cure, words: Words) -> Html:
    rows = [[row.name, row.before, row.after] for row in comparison(cure, words)]
    head = ["", words("proof.arm_original"), words("cure.repaired")]
    name = words("cure.comparison")
    drawn = None
    if cure.measure is not None:
        statistic = words.statistic(cure.measure.statistic)
        caption = el("figcaption", words("cure.measure_caption", statistic=statistic))
        drawn = el("div", el("figure", caption, charts.measure_picture(cure.measure, words)), class_="figures")
    caption = el("p", words("cure.spread"), class_="caption")
    return el("section", el("h2", name), table(head, rows, text_columns=1, label=name), caption, drawn, id="comparison")


def _change(cure: Cure, words: Words) -> Html:
    where = el("p", words.say(cure.where)) if cure.where is not None else None
    return el("section", el("h2", words("report.change_head")), where, code(cure.patch), id="change")


def _candidates(cure: Cure, words: Words) -> Html:
    head = [words(f"cure.{part}") for part in ("tried", "outcome", "rate_head", "steps")] + [words.say(cure.metric)]
    head.append(words("proof.failed"))
    rows = [[*standing(candidate, words), candidate.failure or "–"] for candidate in cure.candidates]
    name = words("cure.candidates")
    seconds = el("p", words("cure.candidates_caption", seconds=number(cure.run.wall_time_s)), class_="caption")
    return el("section", el("h2", name), seconds, table(head, rows, text_columns=2, label=name), id="candidates")
