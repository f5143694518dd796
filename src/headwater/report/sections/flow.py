"""The flow per layer: the picture, what its marks mean, and every site in numbers."""

from typing import TYPE_CHECKING, Any

from headwater.records import SiteFlow
from headwater.report import charts
from headwater.report.markup import Html, el
from headwater.report.numbers import number_from_log10
from headwater.report.sections.parts import details, table
from headwater.report.words import Words

if TYPE_CHECKING:
    from headwater.report.payload import Report


def flow_section(report: "Report", words: Words, numbers: bool = True) -> Html:
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


def _site_table(report: "Report", words: Words) -> Html:
    rows = report.flow.rows()
    columns = list(rows[0])
    body = [_site_row(values, row, words) for values, row in zip(rows, report.flow.sites, strict=True)]
    head = [words.statistic(column) for column in columns]
    rows_table = table(head, body, text_columns=2, label=words("report.table_head"))
    return details(words("report.table_head"), rows_table)


def _site_row(values: dict[str, Any], row: SiteFlow, words: Words) -> list[str]:
    """A row of the flow's table; the two rms from their logarithms, which never run out of exponents."""
    gradient = row.activation_grad.log10_rms if row.activation_grad else None
    exact = {
        "site": words.site(row.site.name, 60),
        "op": row.site.op,
        "activation_rms": number_from_log10(row.activation.log10_rms),
        "activation_grad_rms": number_from_log10(gradient),
    }
    return [exact[name] if name in exact else words.value(name, value) for name, value in values.items()]
