"""Lessons as one offline page: what is claimed, what was seen, why, and the numbers that had to hold."""

from headwater.i18n import number
from headwater.records.lesson import Check, LessonResult
from headwater.records.message import Message, Value
from headwater.records.picture import Picture, Table
from headwater.report.charts.plot import plot
from headwater.report.charts.plot_key import plot_key
from headwater.report.frame import document
from headwater.report.lessons import LessonsReport, bounds, interval, named, seconds, status, text
from headwater.report.markup import Html, el, join
from headwater.report.sections.parts import details, prose, table
from headwater.report.words import Words, glyph

TEXTS = ("seen", "why", "caveat")


def page(report: LessonsReport, words: Words) -> str:
    """The whole page."""
    results = report.results
    alone = len(results) == 1
    heading = named(results[0], words) if alone else words("lessons.title")
    created = el("time", report.created[:10], datetime=report.created) if report.created else None
    meta = join(words("lessons.title"), " · " if created else None, created)
    lessons = [_lesson(result, index, words) for index, result in enumerate(results, 1)]
    main = el("main", _overview(report, words), None if alone else _contents(report, words), *lessons)
    return document(words("lessons.page_title", title=heading), meta, main, report.headwater, words)


def mark(holds: bool, words: Words) -> Html:
    """Whether something holds, as glyph and word; its colour adds nothing they do not say."""
    name = status(holds)
    return el(
        "span", el("span", glyph(name), aria_hidden="true"), f" {words(f'lessons.{name}')}", class_=f"pill {name}"
    )


def headline(report: LessonsReport, words: Words) -> str:
    """How many claims held."""
    if len(report.results) == 1:
        return words(f"lessons.headline_{status(report.holds)}")
    if report.holds:
        return words("lessons.headline_all", total=len(report.results))
    return words("lessons.headline_some", held=report.held, total=len(report.results))


def _overview(report: LessonsReport, words: Words) -> Html:
    name = status(report.holds)
    took = words("lessons.took", seconds=f"{max(report.wall_time_s, 0.1):.1f}") if report.wall_time_s else None
    return el(
        "section",
        el("h1", el("span", glyph(name), class_=f"glyph {name}", aria_hidden="true"), headline(report, words)),
        el("p", words("lessons.lead"), class_="lead"),
        el("p", took, class_="facts") if took else None,
        class_="verdict",
    )


def _contents(report: LessonsReport, words: Words) -> Html:
    items = [
        el("li", _sign(result.holds, words), el("a", named(result, words), href=f"#{_anchor(result)}"))
        for result in report.results
    ]
    return el("section", el("h2", words("lessons.contents")), el("ol", *items, class_="contents"), id="contents")


def _sign(holds: bool, words: Words) -> Html:
    """A glyph, and the word for those who do not see it."""
    name = status(holds)
    return el("span", glyph(name), class_=f"glyph {name}", role="img", aria_label=words(f"lessons.{name}"))


def _anchor(result: LessonResult) -> str:
    return f"lesson-{result.id}"


def _lesson(result: LessonResult, index: int, words: Words) -> Html:
    claim = text(result, "claim", words)
    facts = [result.id, words("lessons.seconds", seconds=seconds(result))]
    if result.seeds:
        facts.append(words.counted("lessons.seed", len(result.seeds)))
    return el(
        "section",
        el("h2", named(result, words), " ", mark(result.holds, words)),
        el("p", prose(claim), class_="lead") if claim else None,
        *[_figure(picture, f"p{index}-{number_}", words) for number_, picture in enumerate(result.pictures, 1)],
        *[_said(result, part, words) for part in TEXTS],
        el("h3", words("lessons.checks")),
        _checks(result.checks, words),
        *[_table(data, words) for data in result.tables],
        el("p", " · ".join(facts), class_="note"),
        id=_anchor(result),
        class_="lesson",
    )


def _figure(picture: Picture, identity: str, words: Words) -> Html:
    # The sentence is the image's name already, so that it is read out once.
    caption = el("figcaption", prose(words.say(picture.summary)), aria_hidden="true")
    return el("figure", plot_key(picture, words), plot(picture, words, identity), caption, class_="plot")


def _said(result: LessonResult, part: str, words: Words) -> Html:
    said = text(result, part, words)
    return join(el("h3", words(f"lessons.{part}")), el("p", prose(said), class_="said")) if said else Html("")


def _checks(checks: tuple[Check, ...], words: Words) -> Html:
    """What had to hold; on narrow screens, where a row has no room, each number stands below with its column's name."""
    columns = ["measured", "bounds", "interval"]
    if all(check.interval is None for check in checks):
        columns = columns[:-1]
    names = [words(f"lessons.{column}") for column in columns]
    head = [
        el("th", words("lessons.check"), scope="col"),
        *[el("th", name, scope="col", class_="num") for name in names],
    ]
    rows = []
    for check in checks:
        cells = (_measured(check, words), bounds(check, words), interval(check, words))
        what = el("th", _sign(check.holds, words), " ", words.say(check.what), scope="row")
        numbers = [_number_cell(name, cell) for name, cell in zip(names, cells, strict=False)]
        rows.append(el("tr", what, *numbers))
    body = el("table", el("thead", el("tr", *head)), el("tbody", *rows))
    return el("div", body, class_="scroll checks", tabindex=0, role="region", aria_label=words("lessons.checks"))


def _measured(check: Check, words: Words) -> str:
    return words(f"lessons.{'yes' if check.holds else 'no'}") if check.value is None else number(check.value)


def _number_cell(name: str, cell: str) -> Html:
    label = el("span", name, class_="cell-label", aria_hidden="true")
    return el("td", label, cell, class_="num") if cell else el("td", "–", class_="num none")


def _table(data: Table, words: Words) -> Html:
    """The numbers behind a picture; columns of words stand before those of numbers."""
    head = [words.say(column) for column in data.columns]
    rows = [[_cell(value, words) for value in row] for row in data.rows]
    text_columns = next(
        (i for i in range(len(head)) if any(not isinstance(row[i], str | Message) for row in data.rows)), len(head)
    )
    return details(words.say(data.title), table(head, rows, text_columns=text_columns, label=words.say(data.title)))


def _cell(value: Value | Message, words: Words) -> str:
    return words.say(value) if isinstance(value, Message) else number(value)
