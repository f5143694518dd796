"""A report for a terminal: the verdict first, and all of it on one screen.

At most :data:`MOST_LINES` lines at 80 columns. Colour only repeats what a glyph and a word already say, and rich leaves
it out in pipes and under ``NO_COLOR``.
"""

import math
from dataclasses import dataclass
from itertools import chain
from statistics import median
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from headwater.i18n import number
from headwater.records import Cause, Evidence, Finding, Intervention, Proof, SiteFlow
from headwater.report.lines import COLOURS, WIDEST, WIDTH, fit, padded, print_lines, wrap
from headwater.report.names import clean
from headwater.report.numbers import number_from_log10
from headwater.report.sections.about import watch_sentence, watch_values
from headwater.report.words import MOST_FINDINGS, Words, glyph, verdict_status

if TYPE_CHECKING:
    from headwater.report.payload import Report

MOST_LINES = 25  # a report fits on one screen of a classic terminal
INDENT = 2
MOST_GROUPS = 6
# Labels that stand under each other.
LABELS = (
    ("report.number", "report.cause", "report.brings", "report.tested", "report.fix"),
    ("report.checked", "report.unchecked"),
)
BAR_CELLS = 18
LEAST_DECADES = 4.0  # that the bars span: small differences should look small


@dataclass(frozen=True)
class _Page:
    """The room there is, and the words to fill it with."""

    words: Words
    width: int

    def label(self, message_id: str) -> str:
        """A row's label, padded so that rows of one block align; Korean letters take two cells."""
        group = next(group for group in LABELS if message_id in group)
        return padded(self.words(message_id), max(cell_len(self.words(label)) for label in group) + 2)


def lines(report: "Report", words: Words, width: int = WIDTH) -> list[Text]:
    """The report's lines, none wider than ``width`` cells, at most :data:`MOST_LINES` at 80 columns or more."""
    page = _Page(words, min(max(width, 20), WIDEST))
    room = MOST_LINES if page.width >= WIDTH else 4 * MOST_LINES
    blocks: list[list[Text]] = []
    for sentence_lines in (4, 3, 2):
        blocks = _blocks(report, page, sentence_lines)
        if sum(map(len, blocks)) <= room:  # whole sentences are worth more than blank lines
            break
    profile = _profile(report.flow.sites, page)
    if profile and _spaced([*blocks, profile]) <= room:
        blocks.insert(-1 if report.proof else len(blocks), profile)
    return _join(blocks, room)


def render(report: "Report", console: Console, words: Words) -> None:
    """Print the report; nothing in it is taken for markup, and an encoding that lacks a character gets another."""
    print_lines(lines(report, words, console.width), console)


def plain(report: "Report", words: Words) -> str:
    """The report as plain text of 80 columns."""
    return "\n".join(line.plain.rstrip() for line in lines(report, words))


def _blocks(report: "Report", page: _Page, sentence_lines: int) -> list[list[Text]]:
    shown = report.findings[:MOST_FINDINGS]
    sites = {row.site.name for row in report.flow.sites}
    blocks = [_head(report, page)]
    blocks += [_finding(finding, page, sentence_lines, sites) for finding in shown]
    blocks += [_more(report, page), _coverage(report, page)]
    if report.proof:
        blocks.append(_proof(report.proof, page))
    return [block for block in blocks if block]


def _spaced(blocks: list[list[Text]]) -> int:
    """Lines the blocks take with a blank line between them."""
    return sum(map(len, blocks)) + len(blocks) - 1


def _join(blocks: list[list[Text]], room: int) -> list[Text]:
    """The blocks, a blank line between them where there is room for it; first things get theirs first."""
    blanks = room - sum(map(len, blocks))
    spaced = [[*block, Text()] if index < blanks else block for index, block in enumerate(blocks[:-1])]
    return list(chain(*spaced, blocks[-1]))[:room]


def _head(report: "Report", page: _Page) -> list[Text]:
    status = verdict_status(report.diagnosis)
    run, words = report.run, page.words
    verdict = Text.assemble((f"{glyph(status)} {words.headline(report.diagnosis)}", COLOURS.get(status, "")))
    facts = [clean(run.model), words.counted("report.site", len(report.flow.sites))]
    facts += [words.counted("report.parameter", run.parameters), clean(run.device)]
    missing = len(report.diagnosis.unchecked) + len(report.flow.gaps)
    if missing and report.findings:
        facts.append(words.counted("report.unchecked", missing))
    head = [fit(verdict, page.width), fit(Text("  " + " · ".join(facts), "dim"), page.width)]
    if report.watch is not None:
        watched = words(watch_sentence(report.watch), **watch_values(report.watch))
        head.append(fit(Text("  " + watched, "dim"), page.width))
    return head


def _finding(finding: Finding, page: _Page, sentence_lines: int, sites: set[str]) -> list[Text]:
    words, colour = page.words, COLOURS.get(finding.severity, "")
    place = _place(finding, page, sites)
    title = Text.assemble(
        (f"{glyph(finding.severity)} {words.severity(finding.severity)}", colour),
        " · ",
        (words.symptom(finding.symptom), "bold"),
        f" · {place}" if place else "",
    )
    found = [fit(title, page.width), *_wrapped(words.say(finding.message), page, sentence_lines)]
    if finding.evidence:
        found.append(_row("report.number", _evidence(finding.evidence, page), page))
    if finding.causes:
        found.append(_row("report.cause", _causes(finding.causes, page), page))
    if finding.consequences:
        symptoms = dict.fromkeys(words.symptom(consequence.symptom) for consequence in finding.consequences)
        found.append(_row("report.brings", _fitting(list(symptoms), page), page))
    if finding.interventions:
        found += _tested(finding.interventions, page)
    if finding.prescriptions:
        best = finding.prescriptions[0]
        found.append(_row("report.fix", words.remedies(best.remedies) or words.say(best.why), page))
    return found


def _place(finding: Finding, page: _Page, sites: set[str]) -> str:
    """Where a finding sits; sites are called so, since many are named by a bare number, and weights are not."""
    where = page.words.where(finding.sites, cells=24)
    if not finding.sites or not sites.issuperset(finding.sites):
        return where
    return page.words("report.site_named" if len(finding.sites) == 1 else "report.sites_named", where=where)


def _evidence(evidence: tuple[Evidence, ...], page: _Page) -> str:
    """The first number, and the others as long as they fit on its line."""
    return _fitting([page.words.evidence(item) for item in evidence], page)


def _causes(causes: tuple[Cause, ...], page: _Page) -> str:
    words = page.words
    shares = iter(words.shares([cause.share for cause in causes if cause.share is not None]))
    named = [words.cause(c.id) + (f" {next(shares)}" if c.share is not None else "") for c in causes]
    return _fitting(named, page)


def _tested(interventions: tuple[Intervention, ...], page: _Page) -> list[Text]:
    """The best change with what it did, in a line of its own where it needs one, and the others that were tried."""
    words = page.words
    best, *others = interventions
    effect = best.failed or best.loss
    said = f"{glyph(best.outcome)} {words.say(best.what)}: {words.outcome(best.outcome)}"
    tried = [f"{glyph(i.outcome)} {words.say(i.what)}" for i in others if i.repeats]
    told = [] if effect is None else [words.effect(effect)]
    if told and told[0] not in (row := _fitting([said, *told], page)):
        rows = [_row("report.tested", _fitting([row, *tried], page), page)]
        indent = " " * (INDENT + cell_len(page.label("report.tested")))
        return [*rows, fit(Text(indent + told[0]), page.width)]
    return [_row("report.tested", _fitting([said, *told, *tried], page), page)]


def _fitting(parts: list[str], page: _Page) -> str:
    """As many of ``parts`` as one row holds, and the first in any case."""
    room = page.width - INDENT - cell_len(page.label("report.cause"))
    shown = parts[0]
    for part in parts[1:]:
        if cell_len(f"{shown} · {part}") > room:
            break
        shown = f"{shown} · {part}"
    return shown


def _more(report: "Report", page: _Page) -> list[Text]:
    rest = len(report.findings) - MOST_FINDINGS
    if rest <= 0:
        return []
    return [fit(Text("  " + page.words.counted("report.more_finding", rest), "dim"), page.width)]


def _coverage(report: "Report", page: _Page) -> list[Text]:
    """Where nothing was found: what was looked for, and what could not be."""
    words, diagnosis = page.words, report.diagnosis
    told: list[Text] = []
    if diagnosis.verdict == "findings":
        return told
    if diagnosis.checked:
        names = ", ".join(words.symptom(symptom) for symptom in diagnosis.checked)
        told += _wrapped_row("report.checked", names, page, 3)
    missing = [words.say(message) for message in (*diagnosis.unchecked, *report.flow.gaps)]
    for message in missing[:MOST_FINDINGS]:
        told += _wrapped_row("report.unchecked", message, page, 2)
    rest = len(missing) - MOST_FINDINGS
    if rest > 0:
        told.append(fit(Text("  " + words.counted("report.more_unchecked", rest), "dim"), page.width))
    return told


def _proof(proof: Proof, page: _Page) -> list[Text]:
    words = page.words
    verdict = Text.assemble(
        (
            f"{glyph(proof.verdict)} {words.name(f'proof.{proof.verdict}', proof.verdict)}",
            COLOURS.get(proof.verdict, ""),
        ),
        " · ",
        (words.remedies(proof.remedies), "bold"),
    )
    low, high = proof.interval
    metric = f"{words.say(proof.metric)} {number(proof.metric_before)} → {number(proof.metric_after)}"
    effect = words("proof.effect_short", effect=number(proof.effect), low=number(low), high=number(high))
    controls = words("proof.controls", placebo=number(proof.placebo), random=number(proof.random_remedy))
    runs = words("proof.runs", seeds=len(proof.seeds), steps=proof.steps)
    rows = [verdict, Text(f"  {metric} · {effect}"), Text(f"  {controls} · {runs}")]
    return [fit(row, page.width) for row in rows]


def _profile(sites: tuple[SiteFlow, ...], page: _Page) -> list[Text]:
    """One line per group of neighbouring layers: how large the gradient there is, as a number and as a bar."""
    with_gradient = [row for row in sites if row.activation_grad is not None]
    if len(with_gradient) < 2:
        return []
    size = math.ceil(len(with_gradient) / MOST_GROUPS)
    groups = [with_gradient[start : start + size] for start in range(0, len(with_gradient), size)]
    levels = [_level(group) for group in groups]
    finite = [level for level in levels if level is not None and math.isfinite(level)]
    high = max(finite, default=0.0)
    low = min([*finite, high - LEAST_DECADES])
    names = [page.words.where(tuple(row.site.name for row in group), cells=22) for group in groups]
    widest = max(map(cell_len, names))
    head = Text(f"  {page.words('report.profile')}", "dim")
    rows = [fit(head, page.width)]
    for name, level, group in zip(names, levels, groups, strict=True):
        broken = any(row.activation_grad and row.activation_grad.nonfinite_count for row in group)
        value = "NaN/Inf" if broken else number_from_log10(level)
        bar = "×" if broken else _bar(level, low, high)
        cells = f"  {name}{' ' * (widest - cell_len(name))}  {value:>8}  {bar}"
        rows.append(fit(Text(cells, COLOURS["critical"] if broken or level == -math.inf else ""), page.width))
    return rows


def _level(group: list[SiteFlow]) -> float | None:
    """Median log₁₀ of a group's gradient rms: one odd layer does not speak for its neighbours."""
    levels = [row.activation_grad.log10_rms for row in group if row.activation_grad]
    known = [level for level in levels if level is not None]
    return median(known) if known else None


def _bar(level: float | None, low: float, high: float) -> str:
    """A bar on a log axis; zero is no short bar but a sign of its own."""
    if level is None:
        return ""
    if level == -math.inf:
        return "⊘"
    return "█" * round((level - low) / (high - low) * BAR_CELLS) or "▏"


def _row(label: str, content: str, page: _Page) -> Text:
    return fit(Text.assemble("  ", (page.label(label), "dim"), content), page.width)


def _wrapped_row(label: str, content: str, page: _Page, most: int) -> list[Text]:
    head = page.label(label)
    indent = INDENT + cell_len(head)
    wrapped = wrap(content, page.width - indent, most)
    first = Text.assemble("  ", (head, "dim"), wrapped[0])
    return [first, *(Text(" " * indent + line) for line in wrapped[1:])]


def _wrapped(content: str, page: _Page, most: int) -> list[Text]:
    return [Text(" " * INDENT + line) for line in wrap(content, page.width - INDENT, most)]
