"""Pieces that several sections are made of."""

import re

from headwater.report.markup import Html, el, join
from headwater.report.words import Words, glyph


def pill(status: str, words: Words) -> Html:
    """A status as glyph and word; its colour adds nothing they do not say."""
    names = {s: words.severity(s) for s in ("critical", "warning", "info")}
    name = names.get(status) or words.name(f"proof.{status}", status)
    return el("span", el("span", glyph(status), aria_hidden="true"), f" {name}", class_=f"pill {status}")


def bar(share: float, class_: str = "cat-cause") -> Html:
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


def prose(text: str) -> Html:
    """Running text, its numbers kept whole: a line may otherwise end within ``1.6e-14``."""
    parts = re.split(r"(-?[\d.]+e-\d+)", text)
    return join(*[el("span", part, class_="whole") if index % 2 else part for index, part in enumerate(parts)])


def details(summary: str, content: Html) -> Html:
    return el("details", el("summary", summary), content)


def table(head: list[str], rows: list[list[str]], text_columns: int, label: str) -> Html:
    """A table that scrolls by itself where it is wider than the page; text columns first, then numbers."""

    def style(index: int) -> str | None:
        return None if index < text_columns else "num"

    def cells(row: list[str]) -> Html:
        first = el("th", row[0], scope="row")
        return el("tr", first, *[el("td", text, class_=style(i)) for i, text in enumerate(row) if i])

    top = el("tr", *[el("th", text, scope="col", class_=style(i)) for i, text in enumerate(head)])
    table = el("table", el("thead", top), el("tbody", *map(cells, rows)))
    return el("div", table, class_="scroll", tabindex=0, role="region", aria_label=label)
