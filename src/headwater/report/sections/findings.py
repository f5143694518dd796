"""The verdict and the findings, in words: what a reader meets first."""

from typing import TYPE_CHECKING

from headwater.i18n import number
from headwater.records import Cause, Consequence, Evidence, Finding, Prescription, Proof
from headwater.report.markup import Html, el
from headwater.report.sections.parts import bar, pill
from headwater.report.sections.tested import tested_section
from headwater.report.words import MOST_FINDINGS, Words, glyph, verdict_status

if TYPE_CHECKING:
    from headwater.report.payload import Report


def verdict_section(report: "Report", words: Words) -> Html:
    diagnosis, run = report.diagnosis, report.run
    status = verdict_status(diagnosis)
    sites = words.counted("report.site", len(report.flow.sites))
    facts = [run.model, sites, words.counted("report.parameter", run.parameters), run.device]
    lead = None
    if diagnosis.verdict in ("healthy", "cannot_tell"):
        lead = el("p", words(f"report.lead_{diagnosis.verdict}", sites=sites), class_="lead")
    rest = diagnosis.findings[MOST_FINDINGS:]
    return el(
        "section",
        el("h1", el("span", glyph(status), class_=f"glyph {status}", aria_hidden="true"), words.headline(diagnosis)),
        el("p", " · ".join(facts), class_="facts"),
        lead,
        _proof_line(report.proof, words) if report.proof else None,
        *[_finding(finding, words) for finding in diagnosis.findings[:MOST_FINDINGS]],
        _more(rest, words) if rest else None,
        class_="verdict",
        id="verdict",
    )


def _proof_line(proof: Proof, words: Words) -> Html:
    """The experiment's outcome beside the verdict: what a reader in a hurry takes along."""
    change = f" {words.say(proof.metric)} {number(proof.metric_before)} → {number(proof.metric_after)}"
    return el("p", pill(proof.verdict, words), " ", el("b", words.remedies(proof.remedies)), change, class_="outcome")


def _more(findings: tuple[Finding, ...], words: Words) -> Html:
    items = [
        el("li", pill(f.severity, words), " ", el("b", words.symptom(f.symptom)), " ", words.say(f.message))
        for f in findings
    ]
    return el("details", el("summary", words("report.more_findings_head"), f" ({len(findings)})"), el("ul", *items))


def _finding(finding: Finding, words: Words) -> Html:
    where = words.where(finding.sites)
    return el(
        "article",
        el(
            "header",
            el("h2", words.symptom(finding.symptom)),
            pill(finding.severity, words),
            el("span", where, class_="where"),
        ),
        el("p", words.say(finding.message), class_="sentence"),
        el("dl", *[_evidence(item, words) for item in finding.evidence[:4]], class_="tiles")
        if finding.evidence
        else None,
        _causes(finding.causes, words) if finding.causes else None,
        _consequences(finding.consequences, words) if finding.consequences else None,
        tested_section(finding.interventions, words) if finding.interventions else None,
        _remedies(finding.prescriptions, words) if finding.prescriptions else None,
        class_=f"finding {finding.severity}",
    )


def _evidence(item: Evidence, words: Words) -> Html:
    """A number, large; under it what it is, where, and what it was held against."""
    notes = []
    if item.site is not None:
        notes.append(el("span", words("report.at_site", site=words.site(item.site, 28))))
    if item.threshold is not None:
        limit = f"{words('report.threshold')} {words.value(item.statistic, item.threshold)}"
        notes.append(el("span", limit, title=item.source or None))
    return el(
        "div",
        el("dt", words.statistic(item.statistic)),
        el("dd", words.value(item.statistic, item.value), class_="figure"),
        el("dd", *notes, class_="notes") if notes else None,
    )


def _causes(causes: tuple[Cause, ...], words: Words) -> Html:
    shares = iter(words.shares([cause.share for cause in causes if cause.share is not None]))
    rows = []
    for cause in causes:
        share = None if cause.share is None else next(shares)
        rows.append(
            el(
                "li",
                el(
                    "span",
                    el("b", words.cause(cause.id)),
                    el("span", share, class_="share") if share else None,
                    class_="cause",
                ),
                bar(cause.share) if cause.share is not None else None,
                el("span", words.say(cause.why), class_="why"),
            )
        )
    return el("div", el("h3", words("report.cause")), el("ul", *rows), class_="causes")


def _consequences(consequences: tuple[Consequence, ...], words: Words) -> Html:
    """What goes away with the finding."""
    rows = [
        el(
            "li",
            el("span", el("b", words.symptom(c.symptom)), class_="cause"),
            el("span", words.say(c.message), class_="why"),
        )
        for c in consequences
    ]
    return el("div", el("h3", words("report.brings_head")), el("ul", *rows), class_="causes")


def _remedies(prescriptions: tuple[Prescription, ...], words: Words) -> Html:
    items = [
        el(
            "li",
            el("b", words.remedies(prescription.remedies)) if prescription.remedies else None,
            " " if prescription.remedies else None,
            el("span", words.say(prescription.why), class_="why"),
        )
        for prescription in prescriptions
    ]
    return el("div", el("h3", words("report.fix_head")), el("ol", *items), class_="remedies")
