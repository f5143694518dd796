"""The waterfall: the picture, the budget by category, and every bar in numbers."""

from typing import TYPE_CHECKING

from headwater.records import Waterfall
from headwater.report import charts
from headwater.report.charts.waterfall import category_class, group_size, is_drawable
from headwater.report.markup import Html, el, join
from headwater.report.numbers import decades
from headwater.report.sections.parts import bar, details, table
from headwater.report.svg import NARROW, WIDE
from headwater.report.words import Words

if TYPE_CHECKING:
    from headwater.report.payload import Report


def waterfall_section(report: "Report", waterfall: Waterfall, words: Words) -> Html:
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


def _budget(waterfall: Waterfall, words: Words) -> Html:
    """Decades by category, with shares of the total that sum to one."""
    values = waterfall.shares()
    shares = dict(zip(values, words.shares(list(values.values())), strict=True))
    rows = [
        el(
            "tr",
            el("th", el("span", class_=f"swatch {category_class(name)}"), words.category(name), scope="row"),
            el("td", decades(value), class_="num"),
            el("td", shares.get(name, "–"), class_="num"),
            el("td", bar(values[name], category_class(name)) if name in values else None, class_="bar-cell"),
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
    budget = el("table", el("thead", head), el("tbody", *rows), el("tfoot", total), class_="budget")
    return join(el("h3", words("report.budget_head")), budget)


def _bar_table(waterfall: Waterfall, words: Words) -> Html:
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
    return details(
        words("report.picture_table"), table(head, rows, text_columns=3, label=words("report.waterfall_head"))
    )
