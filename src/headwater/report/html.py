"""A report as one offline page, and as a notebook cell: words first, pictures next, numbers behind them.

The page holds no script and asks for nothing: its policy admits one style sheet, by hash, and nothing else. Every name
passes through :mod:`headwater.report.markup`, which escapes whatever is not markup already.
"""

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from headwater.records import Cause, Evidence, Finding, Prescription, Proof
from headwater.report import charts
from headwater.report.charts.proof import arms, mean
from headwater.report.charts.waterfall import category_class, group_size, is_drawable
from headwater.report.markup import Html, code, el, join
from headwater.report.numbers import decades, number, number_from_log10
from headwater.report.svg import NARROW, WIDE
from headwater.report.words import MOST_FINDINGS, Words, best_prescription, glyph, verdict_status

if TYPE_CHECKING:
    from headwater.records import SiteFlow, Waterfall
    from headwater.report.payload import Report


def page(report: "Report", words: Words) -> str:
    """The whole page."""
    style = _style()
    body = el(
        "div",
        _masthead(report, words),
        el("main", _verdict(report, words), *_sections(report, words)),
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
    parts = [_verdict(report, words), _flow(report, words, numbers=False)]
    if report.proof:
        parts.append(
            el("p", _pill(report.proof.verdict, words), " ", words.proof_sentence(report.proof), class_="lead")
        )
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
    sections = [_flow(report, words)]
    if report.diagnosis.waterfall:
        sections.append(_waterfall(report, report.diagnosis.waterfall, words))
    if report.proof:
        sections.append(_proof(report.proof, words))
    prescription = best_prescription(report.diagnosis, report.proof)
    if prescription:
        sections.append(_change(prescription, words))
    return [*sections, *_coverage(report, words), _run(report, words)]


# ---- the verdict and the findings, in words


def _verdict(report: "Report", words: Words) -> Html:
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
    return el("p", _pill(proof.verdict, words), " ", el("b", words.remedies(proof.remedies)), change, class_="outcome")


def _more(findings: tuple[Finding, ...], words: Words) -> Html:
    items = [
        el("li", _pill(f.severity, words), " ", el("b", words.symptom(f.symptom)), " ", words.say(f.message))
        for f in findings
    ]
    return el("details", el("summary", words("report.more_findings_head"), f" ({len(findings)})"), el("ul", *items))


def _pill(status: str, words: Words) -> Html:
    """A status as glyph and word; its colour adds nothing they do not say."""
    names = {s: words.severity(s) for s in ("critical", "warning", "info")}
    name = names.get(status) or words.name(f"proof.{status}", status)
    return el("span", el("span", glyph(status), aria_hidden="true"), f" {name}", class_=f"pill {status}")


def _finding(finding: Finding, words: Words) -> Html:
    where = words.where(finding.sites)
    return el(
        "article",
        el(
            "header",
            el("h2", words.symptom(finding.symptom)),
            _pill(finding.severity, words),
            el("span", where, class_="where"),
        ),
        el("p", words.say(finding.message), class_="sentence"),
        el("dl", *[_evidence(item, words) for item in finding.evidence[:4]], class_="tiles")
        if finding.evidence
        else None,
        _causes(finding.causes, words) if finding.causes else None,
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
                _bar(cause.share) if cause.share is not None else None,
                el("span", words.say(cause.why), class_="why"),
            )
        )
    return el("div", el("h3", words("report.cause")), el("ul", *rows), class_="causes")


def _bar(share: float, class_: str = "cat-cause") -> Html:
    """A share of one as a bar; a share that works the other way is drawn hollow."""
    width = min(abs(share), 1.0) * 100 if share == share else 0.0
    style = f"{class_} against" if share < 0 else class_
    full = el("rect", x=0, y=0, width=100, height=6, class_="track")
    return el(
        "svg",
        full,
        el("rect", x=0, y=0, width=width, height=6, class_=style),
        class_="bar-line",
        xmlns="http://www.w3.org/2000/svg",
        viewBox="0 0 100 6",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def _remedies(prescriptions: tuple[Prescription, ...], words: Words) -> Html:
    items = [
        el(
            "li",
            el("b", words.remedies(prescription.remedies)),
            " ",
            el("span", words.say(prescription.why), class_="why"),
        )
        for prescription in prescriptions
    ]
    return el("div", el("h3", words("report.fix_head")), el("ol", *items), class_="remedies")


# ---- the pictures


def _flow(report: "Report", words: Words, numbers: bool = True) -> Html:
    flow = report.flow
    if not flow.sites:
        return el("section", el("h2", words("report.flow_head")), el("p", words("report.flow_empty")), id="flow")
    flagged = frozenset(site for finding in report.findings if finding.severity != "info" for site in finding.sites)
    figure = el("figure", _flow_key(report, flagged, words), charts.flow_picture(flow, flagged, words))
    parts = [el("h2", words("report.flow_head")), el("p", words("report.flow_caption"), class_="caption"), figure]
    return el("section", *parts, _site_table(report, words) if numbers else None, id="flow")


def _flow_key(report: "Report", flagged: frozenset[str], words: Words) -> Html:
    """What the marks mean; only those that occur."""
    sites = report.flow.sites
    both = [m for row in sites for m in (row.activation, row.activation_grad) if m is not None]
    keys = [("activation", "key_activation"), ("gradient", "key_gradient")]
    if any(moments.finite_count and moments.zero_count == moments.finite_count for moments in both):
        keys.append(("zero", "key_zero"))
    if any(moments.nonfinite_count for moments in both):
        keys.append(("broken", "key_nonfinite"))
    if any(row.activation_grad is None for row in sites):
        keys.append(("missing", "key_missing"))
    if flagged & {row.site.name for row in sites}:
        keys.append(("found", "key_found"))
    return el("ul", *[el("li", _key_mark(mark), words(f"report.{name}")) for mark, name in keys], class_="key")


def _key_mark(mark: str) -> Html:
    line = f'<path d="M0 6h24" class="line {mark}"/>'
    shapes = {
        "activation": f'{line}<circle cx="12" cy="6" r="3.4" class="mark activation"/>',
        "gradient": f'{line}<path d="M8 6l4-4 4 4-4 4z" class="mark gradient"/>',
        "zero": '<path d="M5 1h14v10h-14z" class="zero"/><path d="M5 7l6-6M5 11l10-10M10 11l9-9" class="hatch-line"/>',
        "broken": '<path d="M6 0h12v12h-12z" class="broken"/><path d="M8 2l8 8M8 10l8-8" class="broken-cross"/>',
        "missing": '<path d="M0 6h8M16 6h8" class="line gradient"/>',
        "found": '<path d="M0 4h24v5h-24z" class="found"/>',
    }
    return el("svg", Html(shapes[mark]), xmlns="http://www.w3.org/2000/svg", viewBox="0 0 24 12", aria_hidden="true")


def _waterfall(report: "Report", waterfall: "Waterfall", words: Words) -> Html:
    direction = "gained" if waterfall.decades > 0 else "lost"
    caption = words(
        f"report.waterfall_caption_{direction}",
        last=words.site(waterfall.last),
        first=words.site(waterfall.first),
        decades=decades(abs(waterfall.decades)).lstrip("+"),
    )
    return el(
        "section",
        el("h2", words("report.waterfall_head")),
        el("p", caption, class_="caption"),
        el("figure", charts.waterfall_picture(waterfall, report.flow, words)) if is_drawable(waterfall) else None,
        _grouping_note(len(report.flow.sites), words),
        _budget(waterfall, words),
        _bar_table(waterfall, words),
        id="waterfall",
    )


def _grouping_note(sites: int, words: Words) -> Html | None:
    """Said on those screens where it is so."""
    shared = [size.name for size in (WIDE, NARROW) if group_size(sites, size) > 1]
    if not shared:
        return None
    return el("p", words("report.waterfall_grouped"), class_="note" if len(shared) == 2 else f"note {shared[0]}")


def _budget(waterfall: "Waterfall", words: Words) -> Html:
    """Decades by category, with shares of the total that sum to one."""
    values = waterfall.shares()
    shares = dict(zip(values, words.shares(list(values.values())), strict=True))
    rows = [
        el(
            "tr",
            el("th", el("span", class_=f"swatch {category_class(name)}"), words.category(name), scope="row"),
            el("td", decades(value), class_="num"),
            el("td", shares.get(name, "–"), class_="num"),
            el("td", _bar(values[name], category_class(name)) if name in values else None, class_="bar-cell"),
        )
        for name, value in waterfall.totals.items()
    ]
    total = el(
        "tr",
        el("th", words("report.total"), scope="row"),
        el("td", decades(waterfall.decades), class_="num"),
        el("td", words("report.percent", value="100") if values else "–", class_="num"),
        el("td"),
    )
    columns = [("category", ""), ("decades", "num"), ("share", "num")]
    head = el(
        "tr", *[el("th", words(f"report.{name}"), scope="col", class_=c or None) for name, c in columns], el("td")
    )
    table = el("table", el("thead", head), el("tbody", *rows), el("tfoot", total), class_="budget")
    return join(el("h3", words("report.budget_head")), table)


def _bar_table(waterfall: "Waterfall", words: Words) -> Html:
    head = [words("report.where"), words("report.operation"), words("report.category"), words("report.decades")]
    rows = [
        [
            words.site(bar.site) if bar.site is not None else "–",
            bar.op,
            words.category(bar.category),
            decades(bar.decades),
        ]
        for bar in waterfall.bars
    ]
    return _details(
        words("report.picture_table"), _table(head, rows, text_columns=3, label=words("report.waterfall_head"))
    )


# ---- the proof and the change


def _proof(proof: Proof, words: Words) -> Html:
    return el(
        "section",
        el("h2", words("report.proof_head"), " ", _pill(proof.verdict, words)),
        el("p", el("b", words.remedies(proof.remedies)), class_="remedy-line"),
        el("p", words.proof_sentence(proof), class_="lead"),
        el(
            "div",
            _figure(charts.metric_picture(proof, words), words("proof.metric_caption", metric=words.say(proof.metric))),
            _figure(charts.effect_picture(proof, words), words("proof.effect_caption")),
            _figure(charts.loss_picture(proof, words), words("proof.loss_caption"), _arm_key(proof, words)),
            class_="figures",
        ),
        _details(words("report.picture_table"), join(_arm_table(proof, words), _effect_table(proof, words))),
        el("p", words("proof.wall_time", seconds=number(proof.wall_time_s)), class_="note"),
        id="proof",
    )


def _figure(drawn: Html, caption: str, key: Html | None = None) -> Html:
    return el("figure", el("figcaption", caption), key, drawn)


def _arm_key(proof: Proof, words: Words) -> Html:
    def mark(name: str) -> Html:
        shape = el("path", d="M0 6h24", class_=f"curve arm-{name}")
        return el("svg", shape, xmlns="http://www.w3.org/2000/svg", viewBox="0 0 24 12", aria_hidden="true")

    return el(
        "ul", *[el("li", mark(a.name), words.name(f"proof.arm_{a.name}", a.name)) for a in arms(proof)], class_="key"
    )


def _arm_table(proof: Proof, words: Words) -> Html:
    names = ["arm", "remedies", "mean", "per_seed", "first_loss", "last_loss", "failed"]
    rows = []
    for arm in arms(proof):
        remedies = sorted({words.remedies(applied) for applied in arm.remedies} - {""})
        rows.append(
            [
                words.name(f"proof.arm_{arm.name}", arm.name),
                "; ".join(remedies) or words("proof.none_applied"),
                number(mean(arm.metrics)),
                ", ".join(map(number, arm.metrics)),
                number(mean(tuple(losses[0] for losses in arm.losses if losses))),
                number(mean(tuple(losses[-1] for losses in arm.losses if losses))),
                "; ".join(failure for failure in arm.failures if failure) or "–",
            ]
        )
    return _table([words(f"proof.{name}") for name in names], rows, text_columns=2, label=words("report.proof_head"))


def _effect_table(proof: Proof, words: Words) -> Html:
    def interval(pair: tuple[float, float]) -> str:
        return f"{number(pair[0])} … {number(pair[1])}"

    rows = [
        [words("proof.against_original"), number(proof.effect), interval(proof.interval)],
        [words("proof.against_placebo"), number(proof.metric_after - proof.placebo), interval(proof.placebo_interval)],
    ]
    head = ["", words("proof.difference"), words("proof.interval")]
    return _table(head, rows, text_columns=1, label=words("proof.interval"))


def _change(prescription: Prescription, words: Words) -> Html:
    facts = [
        (words("report.why"), words.say(prescription.why)),
        (words("report.wrong_when"), words.say(prescription.wrong_when)),
        (words("report.cost"), words.say(prescription.cost)),
    ]
    ids = ", ".join(prescription.remedies)
    return el(
        "section",
        el("h2", words("report.change_head")),
        el("p", el("b", words.remedies(prescription.remedies)), class_="remedy-line"),
        code(prescription.code)
        if prescription.code
        else el("p", words("report.no_code", remedies=ids), class_="caption"),
        el("dl", *[el("div", el("dt", term), el("dd", text)) for term, text in facts], class_="facts-list"),
        id="change",
    )


# ---- what was looked for, and the numbers


def _coverage(report: "Report", words: Words) -> list[Html]:
    """What was looked for and what could not be, so that "healthy" means no more than it says."""
    missing = [*report.diagnosis.unchecked, *report.flow.gaps]
    checked = report.diagnosis.checked
    parts = []
    if checked:
        chips = el("ul", *[el("li", words.symptom(symptom)) for symptom in checked], class_="chips")
        parts += [el("h2", words("report.checked_head")), chips]
    if missing:
        heading = el("h3" if checked else "h2", words("report.unchecked_head"))
        parts += [heading, el("ul", *[el("li", words.say(message)) for message in missing], class_="missing")]
    return [el("section", *parts, id="checked")] if parts else []


def _site_table(report: "Report", words: Words) -> Html:
    rows = report.flow.rows()
    columns = list(rows[0])
    body = [_site_row(values, row, words) for values, row in zip(rows, report.flow.sites, strict=True)]
    head = [words.statistic(column) for column in columns]
    table = _table(head, body, text_columns=2, label=words("report.table_head"))
    return _details(words("report.table_head"), table)


def _site_row(values: dict[str, object], row: "SiteFlow", words: Words) -> list[str]:
    """A row of the flow's table; the two rms from their logarithms, which never run out of exponents."""
    gradient = row.activation_grad.log10_rms if row.activation_grad else None
    exact = {
        "site": words.site(row.site.name, 60),
        "op": row.site.op,
        "activation_rms": number_from_log10(row.activation.log10_rms),
        "activation_grad_rms": number_from_log10(gradient),
    }
    return [exact[name] if name in exact else words.value(name, value) for name, value in values.items()]  # type: ignore[arg-type]


def _run(report: "Report", words: Words) -> Html:
    run, flow = report.run, report.flow
    seconds = words("report.seconds", value=number(run.wall_time_s))
    facts = [
        ("run_model", run.model),
        ("run_parameters", number(run.parameters)),
        ("run_trainable", number(run.trainable)),
        ("run_device", run.device),
        ("run_seed", words("report.run_no_seed") if run.seed is None else str(run.seed)),
        ("run_loss", number(flow.loss)),
        ("run_samples", number(flow.samples)),
        ("run_optimizer", flow.optimizer or "–"),
        ("run_step", number(flow.step)),
        ("run_wall_time", seconds),
        ("run_created", run.created),
        ("run_headwater", run.headwater),
        ("run_torch", run.torch),
        ("run_python", run.python),
    ]
    items = [el("div", el("dt", words(f"report.{term}")), el("dd", text)) for term, text in facts]
    return el("section", _details(words("report.run_head"), el("dl", *items, class_="run")), id="run")


def _details(summary: str, content: Html) -> Html:
    return el("details", el("summary", summary), content)


def _table(head: list[str], rows: list[list[str]], text_columns: int, label: str) -> Html:
    """A table that scrolls by itself where it is wider than the page; text columns first, then numbers."""

    def style(index: int) -> str | None:
        return None if index < text_columns else "num"

    def cells(row: list[str]) -> Html:
        first = el("th", row[0], scope="row")
        return el("tr", first, *[el("td", text, class_=style(i)) for i, text in enumerate(row) if i])

    top = el("tr", *[el("th", text, scope="col", class_=style(i)) for i, text in enumerate(head)])
    table = el("table", el("thead", top), el("tbody", *map(cells, rows)))
    return el("div", table, class_="scroll", tabindex=0, role="region", aria_label=label)
