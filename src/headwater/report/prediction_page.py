"""A prediction as one offline page: the picture, what follows from it, and the numbers of every site."""

from importlib.metadata import version

from headwater.i18n import number
from headwater.records.prediction import Prediction, SitePrediction
from headwater.report.charts.plot import plot
from headwater.report.charts.plot_key import plot_key
from headwater.report.frame import document, style
from headwater.report.markup import Html, el, join
from headwater.report.numbers import number_from_log10
from headwater.report.prediction import heading, is_within_range, limit_in_words, marked, picture, what
from headwater.report.sections.parts import details, table
from headwater.report.words import Words


def page(prediction: Prediction, words: Words) -> str:
    """The whole page."""
    main = el(
        "main",
        el(
            "section",
            el("h1", heading(prediction, words)),
            el("p", what(prediction, words), class_="lead"),
            class_="verdict",
        ),
        el("section", _figure(prediction, words), el("p", words("predict.band"), class_="note")),
        el("section", *[el("p", sentence, class_="lead") for sentence in sentences(prediction, words)]),
        el("section", _numbers(prediction, words)),
    )
    title = words("predict.page_title", model=prediction.model)
    return document(title, join(prediction.model), main, version("headwater"), words)


def cell(prediction: Prediction, words: Words) -> str:
    """The heading, the picture and what follows from it."""
    parts = [el("h2", heading(prediction, words)), _figure(prediction, words)]
    parts += [el("p", sentence) for sentence in sentences(prediction, words)]
    return el("div", el("style", style()), *parts, class_="hw cell", lang=words.language)


def sentences(prediction: Prediction, words: Words) -> list[str]:
    """What follows: what is uncertain, how deep it can be trained, where numbers give out, what is not known."""
    found = [words.say(doubt) for doubt in prediction.doubts]
    found.append(words.say(prediction.trainable_why))
    found += [limit_in_words(limit, words) for limit in prediction.limits]
    if is_within_range(prediction):
        found.append(words("predict.no_limits"))
    return [*found, *(words.say(gap) for gap in prediction.gaps)]


def _figure(prediction: Prediction, words: Words) -> Html:
    drawn = picture(prediction)
    caption = el("figcaption", words.say(drawn.summary), aria_hidden="true")
    return el("figure", plot_key(drawn, words), plot(drawn, words, "prediction"), caption, class_="plot")


def _numbers(prediction: Prediction, words: Words) -> Html:
    heads = [words(f"predict.{name}") for name in ("site", "op", "activation", "gradient", "cosine")]
    if prediction.is_measured:
        measured = words("predict.measured")
        heads += [f"{words(f'predict.{name}')}, {measured}" for name in ("activation", "gradient", "cosine")]
    rows = [_cells(row, prediction.is_measured, words) for row in prediction.sites]
    label = words("predict.table")
    return details(label, table(heads, rows, text_columns=2, label=label))


def _cells(row: SitePrediction, is_measured: bool, words: Words) -> list[str]:
    if row.gap is not None:
        return [words.site(row.site.name), row.site.op, *(["–"] * (6 if is_measured else 3))]
    cells = [
        words.site(row.site.name),
        row.site.op,
        _with_band(marked(number(row.activation_rms), row.activation_uncertainty), row.activation_band),
        _with_band(
            marked(number_from_log10(row.activation_grad_log10_rms), row.activation_grad_uncertainty),
            row.activation_grad_band,
        ),
        number(row.abs_cosine),
    ]
    found = row.measured
    if is_measured:
        values = (found.activation_rms, found.activation_grad_rms, found.abs_cosine) if found else (None,) * 3
        cells += [number(value) for value in values]
    return cells


def _with_band(shown: str, band: tuple[float, float] | None) -> str:
    return shown if band is None or band[0] == band[1] else f"{shown} ({number(band[0])}–{number(band[1])})"
